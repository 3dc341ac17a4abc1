"""The command line. Every command is thin: it reads, calls one verb, and shows what came of it."""

from htinvert.cli import (
    campaign,
    columns,
    compare,
    curve,
    example,
    fluctuations,
    hamiltonian,
    image,
    locate,
    match,
    report,
    scan,
    series,
    start,
    store,
    structure,
    watch,
)
from htinvert.cli.app import app, main

__all__ = [
    "app",
    "campaign",
    "columns",
    "compare",
    "curve",
    "example",
    "fluctuations",
    "hamiltonian",
    "image",
    "locate",
    "main",
    "match",
    "report",
    "scan",
    "series",
    "start",
    "store",
    "structure",
    "watch",
]
