"""Experiments in, structures and tables out."""

from htinvert.io.experiment import Source, describe, read_image
from htinvert.io.output import read_structure, write_structure, write_structures, write_table

__all__ = [
    "Source",
    "describe",
    "read_image",
    "read_structure",
    "write_structure",
    "write_structures",
    "write_table",
]
