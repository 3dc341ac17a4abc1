"""Structures and tables out."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.io import write


def write_structures(path: Path, structures: Iterable[Atoms]) -> None:
    """Write structures as extended XYZ, or as numbered files where the format holds only one."""
    structures = list(structures)
    if path.suffix == ".xyz":
        write(path, structures, format="extxyz")
        return
    for number, atoms in enumerate(structures, 1):
        write(path.with_stem(f"{path.stem}-{number:02d}"), atoms)


def write_table(path: Path, rows: list[Mapping[str, Any]]) -> None:
    """Write rows, all with the same columns, as comma-separated values with a header."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows(rows)
