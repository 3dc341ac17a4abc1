"""The run on disk: a durable intake (SQLite) folded into Zarr; one writer, many readers."""

from htinvert.store.reader import Counts
from htinvert.store.record import snap, structure_key
from htinvert.store.run import RunStore, is_run
from htinvert.store.trouble import Busy, Damaged, Fenced, Held, OutOfSpace

__all__ = [
    "Busy",
    "Counts",
    "Damaged",
    "Fenced",
    "Held",
    "OutOfSpace",
    "RunStore",
    "is_run",
    "snap",
    "structure_key",
]
