"""The run on disk: a durable intake (SQLite) folded into Zarr; one writer, many readers."""

from htinvert.store.record import snap, structure_key
from htinvert.store.run import Counts, Run

__all__ = ["Counts", "Run", "snap", "structure_key"]
