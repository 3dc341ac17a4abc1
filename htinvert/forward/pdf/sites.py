"""Places of a crystal's atoms as a fit may move them: coordinates that symmetry leaves free.

Of each orbit the first atom is named, ``O1`` the first of oxygen; ``O1x`` is its coordinate along a
with what symmetry moves along. A coordinate is free where the site's symmetry keeps it: T. Hahn
(ed.), *International Tables for Crystallography A* (2005). Where the group has a polar direction,
the first orbit is held along it, for moving all atoms changes nothing.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from htinvert.core import Floats, UserError
from htinvert.forward.memo import fingerprint, remember
from htinvert.forward.pdf.symmetry import LARGEST, symmetry_of

AXES = "xyz"
MOST = 40  # coordinates that are freed at once
REMEMBERED = 16  # structures
_known: OrderedDict[bytes, tuple[Coordinate, ...]] = OrderedDict()


@dataclass(frozen=True, eq=False)
class Coordinate:
    """A coordinate that symmetry leaves free.

    ``atom`` is the first of its orbit, ``axis`` 0, 1 or 2; ``moves`` is the change of all
    fractions per change of this one, shape (n, 3).
    """

    name: str
    atom: int
    axis: int
    moves: Floats


def coordinates(atoms: Atoms) -> tuple[Coordinate, ...]:
    """Every free coordinate of a crystal; none of a cluster or a cell of very many atoms."""
    arrays = (atoms.numbers, atoms.positions, atoms.cell.array)
    key = fingerprint({}, *arrays)
    if key not in _known:
        remember(_known, key, _coordinates(atoms), most=REMEMBERED)
    return _known[key]


def moved(atoms: Atoms, shift: Mapping[str, float]) -> Atoms:
    """A crystal whose free coordinates, by name, are changed by ``shift`` [Å].

    Raises:
        UserError: where a coordinate is not one of those that symmetry leaves free.
    """
    known = {one.name: one for one in coordinates(atoms)}
    lengths = atoms.cell.lengths()
    change = np.zeros((len(atoms), 3))
    for name, value in shift.items():
        if name == "*":
            continue
        if name not in known:
            some = ", ".join(list(known)[:9]) or "none"
            raise UserError(
                f"shift.{name} is no coordinate that the structure's symmetry leaves free; "
                f"those are {some}"
            )
        change += value / lengths[known[name].axis] * known[name].moves
    found = atoms.copy()
    found.positions += change @ atoms.cell.array
    return found


def names(atoms: Atoms) -> tuple[str, ...]:
    """Names of all free coordinates; none where symmetry holds every one.

    Raises:
        UserError: for a cluster, a cell of very many atoms, and more than a fit can move.
    """
    found = tuple(one.name for one in coordinates(atoms))
    if not found and symmetry_of(atoms) is None:
        raise UserError(
            f"shift moves what the symmetry of a crystal of up to {LARGEST} atoms leaves free, and "
            f"{atoms.symbols} is none; leave it out"
        )
    if len(found) > MOST:
        raise UserError(
            f"symmetry leaves {len(found)} coordinates free, more than {MOST}; name those to fit, "
            f"such as shift.{found[0]}"
        )
    return found


def derived(
    atoms: Atoms, parameters: Mapping[str, float], errors: Mapping[str, float]
) -> dict[str, tuple[float, float | None, str]]:
    """Fractions that follow from fitted shifts, their standard errors and unit."""
    found: dict[str, tuple[float, float | None, str]] = {}
    for one in coordinates(atoms):
        name = f"shift.{one.name}"
        if name in parameters:
            length = atoms.cell.lengths()[one.axis]
            place = atoms.get_scaled_positions(wrap=False)[one.atom, one.axis]
            value = float(place + parameters[name] / length)
            label = f"{one.name[:-1]} {one.name[-1]}"
            found[label] = (value, float(errors[name] / length), "of the cell")
    return found


def _coordinates(atoms: Atoms) -> tuple[Coordinate, ...]:
    dataset = symmetry_of(atoms)
    if dataset is None:
        return ()
    rotations = np.asarray(dataset.rotations, dtype=float)
    polar = _leading(rotations.mean(axis=0))
    found, counts = [], Counter[str]()
    for number, first in enumerate(dict.fromkeys(map(int, dataset.equivalent_atoms))):
        symbol = atoms[first].symbol
        counts[symbol] += 1
        images = _images(atoms, first, dataset)
        basis = _leading(rotations[images == first].mean(axis=0))
        for axis, vector in basis.items():
            if number == 0 and axis in polar:
                continue
            moves = np.zeros((len(atoms), 3))
            for image in np.unique(images):
                moves[image] = rotations[np.flatnonzero(images == image)[0]] @ vector
            name = f"{symbol}{counts[symbol]}{AXES[axis]}"
            found.append(Coordinate(name, first, axis, moves))
    return tuple(found)


def _images(atoms: Atoms, first: int, dataset: Any) -> np.ndarray:
    """Number of the atom that each symmetry takes an atom to, shape (symmetries,)."""
    places = atoms.get_scaled_positions(wrap=False)
    ends = np.asarray(dataset.rotations) @ places[first] + np.asarray(dataset.translations)
    apart = ends[:, None] - places
    apart -= np.round(apart)
    away = np.linalg.norm(apart @ atoms.cell.array, axis=-1)
    away[:, atoms.numbers != atoms.numbers[first]] = np.inf
    return np.asarray(np.argmin(away, axis=1))


def _leading(projection: Floats) -> dict[int, Floats]:
    """Directions that a projection keeps: by the first coordinate of each, which no other has."""
    rows = np.array(projection.T)
    found: dict[int, Floats] = {}
    for axis in range(3):
        pivot = int(np.argmax(np.abs(rows[:, axis])))
        if abs(rows[pivot, axis]) < 1e-6:
            continue
        leading = rows[pivot] / rows[pivot, axis]
        rows = np.delete(rows, pivot, axis=0)
        rows = rows - np.outer(rows[:, axis], leading)
        found = {other: row - row[axis] * leading for other, row in found.items()}
        found[axis] = leading
        if not len(rows):
            break
    return found
