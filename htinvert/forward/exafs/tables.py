"""Potentials and phase shifts of a reference, used for every other structure.

Of single scattering FEFF tabulates amplitude and phase once, for every element and distance, so
that a structure takes no more than counting its pairs; of more, see
:mod:`htinvert.forward.exafs.multiple`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols
from ase.io import read
from scipy.interpolate import CubicSpline

from htinvert.core import Floats, UserError
from htinvert.forward.exafs.feff import Settings, elements_of
from htinvert.forward.exafs.kept import paths_of, phases_of
from htinvert.forward.exafs.neighborhood import Neighborhood, neighborhoods
from htinvert.forward.exafs.paths import LEGS, Paths
from htinvert.forward.pdf import pairs

NEAREST, SPACING = 1.4, 0.2  # Å of a table; amplitudes change smoothly from one to the next
SEEN = 1e-9  # neighbors per absorber in a bin, below which it is empty


@dataclass(frozen=True, eq=False)
class Reference:
    """One absorber's phase shifts.

    Attributes:
        phases: FEFF's file of them.
        elements: atomic numbers that they are of, in order.
    """

    phases: bytes
    elements: tuple[int, ...]

    def check(self, elements: tuple[int, ...]) -> None:
        """Raise :class:`UserError` where a structure has an element that the reference lacks."""
        if missing := set(elements) - set(self.elements):
            names = ", ".join(chemical_symbols[number] for number in sorted(missing))
            raise UserError(
                f"the reference has no {names} near its absorbers; give one that has, or none"
            )


def reference_of(path: Path, number: int, settings: Settings, radius: float) -> Reference:
    """Of the absorber of a structure file that has most around it within ``radius`` [Å].

    Raises :class:`UserError` where the file cannot be read, or lacks the absorber.
    """
    try:
        stamp = path.stat().st_mtime_ns
    except OSError as error:
        raise UserError(f"there is no reference {path}") from error
    return _reference(path, stamp, number, settings, radius)


@functools.lru_cache(maxsize=8)
def _reference(path: Path, stamp: int, number: int, settings: Settings, radius: float) -> Reference:
    del stamp  # of the file, so that a changed one is read anew
    try:
        atoms: Any = read(path)
    except Exception as error:  # ase raises what its many readers do
        raise UserError(f"{path.name} is not read as a structure: {error}") from error
    found = neighborhoods(atoms, number, radius)
    if not found:
        raise UserError(f"the reference {path.name} has no {chemical_symbols[number]}")
    most = max(found, key=lambda hood: (len(hood.numbers), hood.key))
    elements = elements_of(most)
    if not elements:
        raise UserError(f"the absorber of the reference {path.name} has nothing around it")
    return Reference(phases_of(most, settings), elements)


def single_scattering(atoms: Atoms, number: int, reference: Reference, settings: Settings) -> Paths:
    """Single scattering of the average absorber, by tables and the counted pairs."""
    symbols, _ = pairs.kinds_of(atoms)
    absorber = chemical_symbols[number]
    here = symbols.index(absorber)
    counted = pairs.histogram(atoms, settings.reach)
    absorbers = int((atoms.numbers == number).sum())
    parts = []
    for there, symbol in enumerate(symbols):
        row = counted[pairs.rows(len(symbols))[here, there]]
        per_absorber = row / absorbers / (1 if symbol == absorber else 2)
        (bins,) = np.nonzero(np.abs(per_absorber) > SEEN)
        if len(bins):
            reference.check((atomic_numbers[symbol],))
            table = _tables(reference, number, settings)[atomic_numbers[symbol]]
            parts.append(_at(table, pairs.BIN * bins.astype(float), per_absorber[bins]))
    if not parts:
        raise UserError(f"{absorber} has no neighbor within {settings.reach:g} Å")
    return Paths.stacked(parts).merged()


def _at(table: Paths, length: Floats, degeneracy: Floats) -> Paths:
    """Paths of other lengths [Å], by splines along the length."""
    count = len(length)
    places = np.zeros((count, LEGS, 3))
    places[:, 1, 0] = length
    inside = np.clip(length, table.length[0], table.length[-1])
    return replace(
        table,
        amplitude=CubicSpline(table.length, table.amplitude)(inside),
        phase=CubicSpline(table.length, table.phase)(inside),
        degeneracy=degeneracy,
        length=length,
        norman=np.full(count, table.norman[0]),
        places=places,
        numbers=np.repeat(table.numbers[:1], count, axis=0),
    )


@functools.lru_cache(maxsize=8)
def _tables(reference: Reference, number: int, settings: Settings) -> Mapping[int, Paths]:
    """Paths to one atom of each element at rising distances."""
    lengths = np.arange(NEAREST, settings.reach + 2 * SPACING, SPACING)
    every = replace(settings, reach=float(lengths[-1]) + 0.01, legs=2, criterion=0.0)
    found = {}
    for element in reference.elements:
        numbers = np.concatenate([[number], np.full(len(lengths), element)])
        turns = 2.4 * np.arange(len(lengths))  # the golden angle: no two atoms are near
        rays = np.transpose([np.cos(turns), np.sin(turns), 0.0 * turns])
        positions = np.concatenate([np.zeros((1, 3)), lengths[:, None] * rays])
        key = f"{number} and {element} from {NEAREST} by {SPACING}".encode()
        hood = Neighborhood(numbers, positions, key)
        paths = paths_of(hood, every, phases=reference.phases, elements=reference.elements)
        paths = paths.at(np.argsort(paths.length))
        # FEFF's phases jump by 2 pi from one path to the next
        found[element] = replace(paths, phase=np.unwrap(paths.phase, axis=0))
    return found
