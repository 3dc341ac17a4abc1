"""The command line. Every command is thin: it reads, calls one verb, and shows what came of it."""

from htinvert.cli import campaign, image, match, start, store, structure, watch
from htinvert.cli.app import app, main

__all__ = ["app", "campaign", "image", "main", "match", "start", "store", "structure", "watch"]
