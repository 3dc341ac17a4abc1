"""Generators of a space group from its Hall symbol, for settings that no table has.

Source: S. R. Hall, Acta Cryst. A 37, 517 (1981); International Tables B (2010), appendix A1.4.2.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.int64]
Generator = tuple[Matrix, NDArray[np.float64]]

AXES = {"x": 0, "y": 1, "z": 2}
AROUND_Z = {
    1: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    2: [[-1, 0, 0], [0, -1, 0], [0, 0, 1]],
    3: [[0, -1, 0], [1, -1, 0], [0, 0, 1]],
    4: [[0, -1, 0], [1, 0, 0], [0, 0, 1]],
    6: [[1, -1, 0], [1, 0, 0], [0, 0, 1]],
}
DIAGONAL = {"'": [[0, -1, 0], [-1, 0, 0], [0, 0, -1]], '"': [[0, 1, 0], [1, 0, 0], [0, 0, -1]]}
THROUGH_THE_CUBE = [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
SHIFTS = {
    "a": (0.5, 0.0, 0.0), "b": (0.0, 0.5, 0.0), "c": (0.0, 0.0, 0.5), "n": (0.5, 0.5, 0.5),
    "u": (0.25, 0.0, 0.0), "v": (0.0, 0.25, 0.0), "w": (0.0, 0.0, 0.25), "d": (0.25, 0.25, 0.25),
}  # fmt: skip
_LATTICE = re.compile(r"(-?)([pabcirf])$")
_ROTATION = re.compile(r"(-?)([12346])([xyz'\"*]?)([1-5]?)([xyz'\"*]?)([abcnuvwd]*)$")


def generators(symbol: str) -> tuple[str, list[Generator]] | None:
    """Centering and generators of a Hall symbol without change of basis; None where it is none.

    A generator is a rotation (3, 3) and a shift (3,), in fractions of the cell.
    """
    words = symbol.lower().split()
    lattice = _LATTICE.match(words[0]) if words else None
    if lattice is None:
        return None
    found: list[Generator] = []
    if lattice[1]:
        found.append((-np.eye(3, dtype=np.int64), np.zeros(3)))
    principal, before = "z", 0
    for place, word in enumerate(words[1:]):
        match = _ROTATION.match(word)
        if match is None:
            return None
        order, axis = int(match[2]), match[3] or match[5]
        axis = axis or _usual(order, before, place)
        rotation = _rotation(order, axis, principal)
        if rotation is None:
            return None
        shift = np.sum([SHIFTS[letter] for letter in match[6]] or [(0.0,) * 3], axis=0)
        if match[4] and axis in AXES:
            shift = shift + int(match[4]) / order * np.eye(3)[AXES[axis]]
        found.append((-rotation if match[1] else rotation, shift))
        principal = axis if axis in AXES else principal
        before = order
    return lattice[2].upper(), found


def _usual(order: int, before: int, place: int) -> str:
    """The axis that is meant where none is written, by the rotation before."""
    if place == 0 or order == 1:
        return "z"
    if order == 3:
        return "*"
    if order == 2:
        return "'" if before in (3, 6) else "x" if before in (2, 4) else "z"
    return "z"


def _rotation(order: int, axis: str, principal: str) -> Matrix | None:
    if axis == "*":
        return np.array(THROUGH_THE_CUBE) if order == 3 else None
    if axis in DIAGONAL:
        return _turned(DIAGONAL[axis], principal) if order == 2 else None
    return _turned(AROUND_Z[order], axis)


def _turned(around_z: list[list[int]], axis: str) -> Matrix:
    """A rotation around z as the same around another axis: x, y, z follow each other in turn."""
    step = AXES[axis] - 2
    matrix = np.array(around_z, dtype=np.int64)
    return np.roll(matrix, (step, step), axis=(0, 1))
