"""What a library of patterns is to hold: structures, strips, thicknesses, tilts; its cost."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms

from htinvert.forward.cbed.cell import Cell, make_cell
from htinvert.forward.cbed.interface import Strips, seconds_of
from htinvert.matching.pattern_nuisances import (
    MOTION,
    PLACE,
    STRENGTH,
    UNEVEN,
    fewer_levels,
    fewer_tilts,
)

VERSION = 4
DIVISIONS = 6  # of a reciprocal lattice vector along the boundary
BAND = 75.0
"""Angles that waves reach [mrad]. What a narrower band cuts off acts like a thicker crystal: at
180 Å, 52 mrad move a thickness by 3.4 Å and a level by 0.1; beyond 80 nothing changes."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a library holds.

    Attributes:
        descriptor: name of what varies from level to level.
        levels: its values, evenly spaced and rising.
        build: the structure of a level; its ``info["boundary"]`` is where the middle strip lies,
            and from ``info["depth"]`` [Å] on, rounded to whole periods, the beam goes through
            ``info["beneath"]``, where there is one.
        semiangle: of the illumination [mrad].
        beam_energy: [eV].
        beam: direction toward the viewer.
        up: direction that is up in the patterns.
        rms_displacement: of atoms per direction [Å], one number or one per element.
        rows: strips.
        width: of each, and from one to the next [Å].
        thickness: first, last and step [Å].
        tilt: largest (right, down) [mrad]; a mirror gives the left.
        outer: largest angle that is kept [mrad].
        strength: of the potential, relative to the tabulated one.
        shift: of the strips, down [width].
    """

    descriptor: str
    levels: tuple[float, ...]
    build: Callable[[float], Atoms]
    semiangle: float
    beam_energy: float = 2e5
    beam: str = "-z"
    up: str = "-y"
    rms_displacement: float | Mapping[str, float] = 0.08
    rows: int = 5
    width: float = 3.905
    thickness: tuple[float, float, float] = (47.0, 141.0, 7.8)
    tilt: tuple[float, float] = (3.2, 3.9)
    outer: float = 40.0
    strength: float = 1.0
    shift: float = 0.0

    def cell(self, level: float) -> Cell:
        """Slices of one level's structure, one per plane of atoms' period."""
        return self._cell(self.build(level))

    def beneath(self, level: float, cell: Cell) -> tuple[int, Cell] | None:
        """After how many periods something else follows, and its slices."""
        info = self.build(level).info
        if "beneath" not in info:
            return None
        return round(info["depth"] / cell.period), self._cell(info["beneath"])

    def _cell(self, atoms: Atoms) -> Cell:
        return make_cell(
            atoms,
            beam=self.beam,
            up=self.up,
            beam_energy=self.beam_energy,
            rms_displacement=self.rms_displacement,
            outer=BAND,
            slice_thickness=4.2,
            strength=self.strength,
        )

    def doubts(self) -> dict[str, tuple[float, Wanted]]:
        """What is known only about: its standard deviation (relative), and what is wanted there."""
        found = {
            "place": (PLACE, replace(self, shift=self.shift + PLACE)),
            "strength": (STRENGTH, replace(self, strength=self.strength * (1 + STRENGTH))),
        }
        ends = [self.build(self.levels[place]) for place in (0, -1)]
        moved = self.rms_displacement
        known = moved if isinstance(moved, Mapping) else {"*": moved}
        for symbol in sorted(set().union(*map(_elements, ends))):
            farther = {**known, symbol: (1 + MOTION) * known.get(symbol, known.get("*", 0.0))}
            found[f"motion {symbol}"] = (MOTION, replace(self, rms_displacement=farther))
        return found

    def strips(self, cell: Cell, level: float) -> Strips:
        """What is recorded of a level."""
        middle = float(self.build(level).info["boundary"]) + self.shift * self.width
        first, last, step = (max(1, round(t / cell.period)) for t in self.thickness)
        periods = tuple(range(first, last + 1, step))
        blank = Strips(
            centers=tuple(
                middle + (row - (self.rows - 1) / 2) * self.width for row in range(self.rows)
            ),
            width=self.width,
            semiangle=self.semiangle,
            divisions=DIVISIONS,
            tilts=((0, 0),),
            outer=self.outer,
            periods=periods,
        )
        right, down = blank.step(cell)
        most = (int(np.ceil(self.tilt[0] / right)), int(np.ceil(self.tilt[1] / down / 2.0)))
        tilts = tuple((x, 2 * y) for x in range(most[0] + 1) for y in range(-most[1], most[1] + 1))
        return Strips(**{**vars(blank), "tilts": tilts})

    def key(self) -> str:
        """A name for all that decides a library's patterns."""
        parts = {k: v for k, v in vars(self).items() if k != "build"}
        digest = hashlib.sha256(repr((VERSION, sorted(parts.items(), key=str))).encode())
        for level in self.levels[:: max(len(self.levels) - 1, 1)]:
            atoms = self.build(level)
            for part in (atoms, *filter(None, (atoms.info.get("beneath"),))):
                digest.update(part.positions.tobytes() + part.numbers.tobytes())
                digest.update(repr(part.info.get("occupancy")).encode())
        return digest.hexdigest()


def _elements(atoms: Atoms) -> set[str]:
    """Symbols of all elements, those of shared sites among them."""
    shared: Mapping[str, Mapping[str, float]] = atoms.info.get("occupancy") or {}
    return {*atoms.symbols, *(symbol for site in shared.values() for symbol in site)}


@dataclass(frozen=True)
class Cost:
    """What a library takes: patterns, core seconds, GB on disk."""

    patterns: int
    seconds: float
    disk: float

    def __str__(self) -> str:
        time_ = (
            f"{self.seconds:.0f} s" if self.seconds < 120 else f"{self.seconds / 60:.0f} minutes"
        )
        return f"{self.patterns} patterns, about {time_} of one core, {self.disk:.2f} GB"


def cost_of(wanted: Wanted) -> Cost:
    """What a library will take, from a small part of it that is simulated now."""
    cell = wanted.cell(wanted.levels[0])
    strips = wanted.strips(cell, wanted.levels[0])
    nx, ny = strips.reach(cell)
    seconds = seconds_of(cell, strips) * len(wanted.levels)
    few = replace(strips, tilts=tuple(strips.tilts[place] for place in fewer_tilts(strips.tilts)))
    fewer, doubts = len(fewer_levels(len(wanted.levels))), len(wanted.doubts())
    again = (doubts + 1) * fewer  # uneven scans go through once, and are kept in all their ways
    tilted = len(wanted.levels) * len(strips.tilts)
    tilted += (doubts + len(UNEVEN)) * fewer * len(few.tilts)
    count = tilted * len(strips.periods) * wanted.rows
    size = (2 * nx + 1) * (ny // 2 * 2 + 1) * 2 / 1e9
    return Cost(count, float(seconds + again * seconds_of(cell, few)), count * size)
