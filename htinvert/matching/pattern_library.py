"""A library of patterns of strips across a boundary: levels of a descriptor, thicknesses, tilts.

One Zarr store; a level is computed at once and counts when its mark is written after it, so that a
build which was killed goes on with the first level that is missing. Patterns are kept as half
floats, good to 5e-4 of each value.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import Floats, UserError
from htinvert.forward.cbed.cell import Cell, make_cell
from htinvert.forward.cbed.interface import Strips, seconds_of, strip_patterns

VERSION = 2
BAND = 75.0
"""Angles that waves reach [mrad]. What a narrower band cuts off acts like a thicker crystal: at
180 Å, 52 mrad move a thickness by 3.4 Å and a level by 0.1; beyond 80 nothing changes."""
SCALE = 1e3  # of intensities, so that half floats hold them
_NOTHING = 1e-6  # of the largest variance: below it single precision has only noise
SUBSET, COMPONENTS = 600, 120  # patterns that principal components are made of, and how many


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
        )

    def strips(self, cell: Cell, level: float) -> Strips:
        """What is recorded of a level."""
        middle = float(self.build(level).info["boundary"])
        first, last, step = (max(1, round(t / cell.period)) for t in self.thickness)
        periods = tuple(range(first, last + 1, step))
        blank = Strips(
            centers=tuple(
                middle + (row - (self.rows - 1) / 2) * self.width for row in range(self.rows)
            ),
            width=self.width,
            semiangle=self.semiangle,
            divisions=6,
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
    each = seconds_of(cell, strips)
    tilted = len(strips.periods) * len(strips.tilts)
    count = len(wanted.levels) * tilted * wanted.rows
    size = (2 * nx + 1) * (ny // 2 * 2 + 1) * 2 / 1e9
    return Cost(count, float(each * len(wanted.levels)), count * size)


def build_library(
    wanted: Wanted, path: Path, *, observer: Callable[[int, int], Any] | None = None
) -> Path:
    """Simulate every level that the store does not hold yet, then its principal components.

    ``observer`` is told how many levels of how many are there. Raises :class:`UserError` where the
    store holds another library.
    """
    import zarr

    key = wanted.key()
    group = zarr.open_group(str(path), mode="a")
    if group.attrs.get("key", key) != key:
        raise UserError(
            f"{path} holds another library; give another output, or remove it to build this one"
        )
    cell = wanted.cell(wanted.levels[0])
    strips = wanted.strips(cell, wanted.levels[0])
    if "key" not in group.attrs:
        group.attrs.update({"key": key, **_described(wanted, cell, strips)})
    done: list[int] = list(group.attrs.get("done", []))  # type: ignore[arg-type]
    for index, level in enumerate(wanted.levels):
        if index not in done:
            cell = wanted.cell(level)
            strips = wanted.strips(cell, level)
            beneath = wanted.beneath(level, cell)
            patterns = binned_down(strip_patterns(cell, strips, beneath=beneath))
            array = (patterns * SCALE).astype(np.float16)
            name = f"level-{index:03d}"
            if name in group:
                del group[name]
            group.create_array(name, data=array, chunks=(1, *array.shape[1:]))
            done.append(index)
            group.attrs["done"] = done
        if observer is not None:
            observer(len(done), len(wanted.levels))
    if not group.attrs.get("finished"):
        _reduce(group, len(wanted.levels), len(strips.tilts))
        group.attrs["finished"] = True
    return path


def binned_down(patterns: NDArray[np.float32]) -> NDArray[np.float32]:
    """Every second row (..., down, right), each with halves of its neighbors; the middle stays."""
    middle = patterns.shape[-2] // 2
    first = middle % 2 or 2
    kept = patterns[..., first:-1:2, :]
    before, after = patterns[..., first - 1 : -2 : 2, :], patterns[..., first + 1 :: 2, :]
    rows = min(kept.shape[-2], before.shape[-2], after.shape[-2])
    return np.asarray(kept[..., :rows, :] + 0.5 * (before[..., :rows, :] + after[..., :rows, :]))


def _described(wanted: Wanted, cell: Cell, strips: Strips) -> dict[str, Any]:
    right, down = strips.step(cell)
    tilts = np.array(strips.tilts) * (right, down)
    return {
        "version": VERSION,
        "descriptor": wanted.descriptor,
        "levels": list(wanted.levels),
        "thicknesses": [float(p * cell.period) for p in strips.periods],
        "tilts_x": sorted(set(tilts[:, 0].tolist())),
        "tilts_y": sorted(set(tilts[:, 1].tolist())),
        "step": [right, 2.0 * down],
        "semiangle": wanted.semiangle,
        "beam_energy": wanted.beam_energy,
        "settings": json.loads(
            json.dumps({k: v for k, v in vars(wanted).items() if k != "build"}, default=str)
        ),
    }


def _reduce(group: Any, levels: int, tilts: int) -> None:
    """Write principal components, and every pattern's coefficients, tilts to the left mirrored."""
    columns = len(group.attrs["tilts_y"])
    rng = np.random.default_rng(0)
    every = [np.asarray(group[f"level-{index:03d}"]) for index in range(levels)]
    thick, _, *shape = every[0].shape
    count = levels * thick * tilts
    picked = np.sort(rng.choice(count, min(SUBSET, count), replace=False))
    rows = [
        every[p // (thick * tilts)][p // tilts % thick, p % tilts].astype(np.float32)
        for p in picked
    ]
    sample = np.stack([*rows, *(row[..., ::-1] for row in rows)]).reshape(2 * len(rows), -1)
    mean = sample.mean(axis=0)
    sample -= mean
    values, vectors = np.linalg.eigh(sample @ sample.T)
    most = min(COMPONENTS, int((values > _NOTHING * values.max()).sum()))
    values, vectors = values[::-1][:most], vectors[:, ::-1][:, :most]
    basis = (vectors / np.sqrt(values)).T @ sample
    found = np.empty((levels, thick, 2 * (tilts // columns) - 1, columns, most), dtype=np.float32)
    middle = tilts // columns - 1
    for index, patterns in enumerate(every):
        for place in range(thick):
            part = patterns[place].astype(np.float32)
            for mirrored in (False, True):
                flat = (part[..., ::-1] if mirrored else part).reshape(tilts, -1) - mean
                coefficients = (flat @ basis.T).reshape(tilts // columns, columns, most)
                if mirrored:
                    found[index, place, : middle + 1] = coefficients[::-1]
                else:
                    found[index, place, middle:] = coefficients
    for name, array in (
        ("mean", mean.reshape(shape).astype(np.float32)),
        ("components", basis.reshape(most, *shape).astype(np.float32)),
        ("coefficients", found),
    ):
        if name in group:  # of a build that was killed here
            del group[name]
        group.create_array(name, data=array)


@dataclass(frozen=True, eq=False)
class PatternLibrary:
    """A library in memory: patterns at any level, thickness and tilt between its own.

    Attributes:
        descriptor: name of what varies.
        axes: values of level, thickness [Å], tilt to the right and down [mrad].
        mean: shape (rows, down, right).
        components: shape (c, rows, down, right).
        coefficients: shape (levels, thicknesses, tilts x, tilts y, c).
        step: of directions (down, right) [mrad].
        semiangle: [mrad].
        beam_energy: [eV].
    """

    descriptor: str
    axes: tuple[Floats, Floats, Floats, Floats]
    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    coefficients: NDArray[np.float32]
    step: tuple[float, float]
    semiangle: float
    beam_energy: float

    @classmethod
    def open(cls, path: Path) -> PatternLibrary:
        """Read a finished library. Raises :class:`UserError` where there is none."""
        import zarr

        try:
            group: Any = zarr.open_group(str(path), mode="r")
        except (FileNotFoundError, KeyError) as error:
            raise UserError(f"{path} is no library of patterns; build one first") from error
        if not group.attrs.get("finished"):
            raise UserError(f"{path} is not finished; run htinvert build --library again")
        known = group.attrs
        tilts = np.array(known["tilts_x"], float)
        left_too = np.concatenate([-tilts[:0:-1], tilts])
        return cls(
            known["descriptor"],
            (
                np.array(known["levels"], float),
                np.array(known["thicknesses"], float),
                left_too,
                np.array(known["tilts_y"], float),
            ),
            np.asarray(group["mean"]),
            np.asarray(group["components"]),
            np.asarray(group["coefficients"]),
            (float(known["step"][1]), float(known["step"][0])),
            float(known["semiangle"]),
            float(known["beam_energy"]),
        )

    def mixed(self, point: Floats) -> Floats:
        """Coefficients (c,) at a point (level, thickness, tilt x, tilt y), cubic in between."""
        found = [_weights(axis, float(x)) for axis, x in zip(self.axes, point, strict=True)]
        near = tuple(slice(place, place + len(weights)) for place, weights in found)
        values: NDArray[Any] = self.coefficients[near]
        for _, weights in found:
            values = np.tensordot(weights.astype(np.float32), values, 1)
        return np.asarray(values)

    def patterns(self, point: Floats) -> Floats:
        """Patterns of all strips, intensities of a beam of 1, shape (rows, down, right)."""
        return self.of(self.mixed(point))

    def of(self, coefficients: Floats) -> Floats:
        """Patterns from coefficients (c,)."""
        mixed = self.mean + np.tensordot(coefficients.astype(np.float32), self.components, 1)
        return np.maximum(mixed, 0.0) / SCALE


def _weights(axis: Floats, x: float) -> tuple[int, Floats]:
    """First index and weights of a cubic through four even points of an axis; fewer where it ends.

    Lagrange's, held at the axis' ends.
    """
    count = min(4, len(axis))
    if count == 1:
        return 0, np.ones(1)
    step = (axis[-1] - axis[0]) / (len(axis) - 1)
    where = float(np.clip((x - axis[0]) / step, 0.0, len(axis) - 1.0))
    place = int(np.clip(int(where) - (count - 2) // 2, 0, len(axis) - count))
    nodes = place + np.arange(count)
    weights = np.ones(count)
    for i, node in enumerate(nodes):
        for other in nodes:
            if other != node:
                weights[i] *= (where - other) / (node - other)
    return place, weights
