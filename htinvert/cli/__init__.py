"""The command line. Every command is thin: it reads, calls one verb, and shows what came of it."""

import os

# Before NumPy is loaded: its vectors are too short for threads, which wait for each other on a
# busy machine; a registration took twice the CPU time. Processes are what runs side by side.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

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
