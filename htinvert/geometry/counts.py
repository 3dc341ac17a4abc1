"""How many atoms and points a file says to hold, before a reader believes it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from htinvert.core import UserError

NEGATIVE = 10**12  # what a count below zero is taken for: more than any file holds


def refuse_counts(path: Path) -> None:
    """Refuse a file that says to hold far more atoms or points than its lines can.

    Readers make room for what a file says, or look for it line by line, before they miss it.
    Looks at xyz, POSCAR and cube. Raises :class:`UserError`.
    """
    name, size = path.name.lower(), path.stat().st_size
    with path.open("rb") as file:
        head = [file.readline(4096).split() for _ in range(8)]
    if path.suffix.lower() in (".xyz", ".extxyz"):
        counts = _xyz_counts(path)
    elif path.suffix.lower() in (".cube", ".cub"):
        points = [abs(count) for line in head[3:6] for count in _wholes(line[:1])]
        counts = [*_wholes(head[2][:1]), math.prod(points)]
    elif "poscar" in name or "contcar" in name or path.suffix.lower() in (".vasp", ".poscar"):
        counts = [sum(_wholes(line)) for line in head[5:7]]
    else:
        return
    for count in counts:
        if abs(count) > size:
            raise UserError(
                f"{path} says that it holds {count:.6g} atoms or points, which a file of {size} "
                "bytes cannot; it may be truncated, copy it again"
            )


def _xyz_counts(path: Path) -> list[int]:
    """Numbers of atoms that the frames of an xyz file say to have."""
    lines = path.read_bytes().splitlines()
    counts, place = [], 0
    while place < len(lines) and (said := _wholes(lines[place].split()[:1])):
        counts.append(said[0] if said[0] >= 0 else NEGATIVE)
        place += max(said[0], 0) + 2
        while place < len(lines) and lines[place].lstrip().startswith(b"VEC"):
            place += 1
    return counts


def _wholes(words: Sequence[bytes]) -> list[int]:
    """Those of some words that are whole numbers."""
    return [int(word) for word in words if re.fullmatch(rb"[-+]?\d{1,30}", word)]
