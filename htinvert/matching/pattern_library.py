"""A library of patterns of strips across a boundary: levels of a descriptor, thicknesses, tilts.

One Zarr store; a level is computed at once and counts when its mark is written after it, so that a
build which was killed goes on with the first level that is missing. Patterns are kept as half
floats, good to 5e-4 of each value.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htinvert.core import Floats, UserError
from htinvert.forward.cbed.cell import Cell
from htinvert.forward.cbed.interface import Strips, strip_patterns
from htinvert.matching.pattern_nuisances import (
    CHANGE_COMPONENTS,
    UNEVEN,
    Axes,
    Nuisances,
    between,
    fewer_levels,
    fewer_tilts,
    reduced,
)
from htinvert.matching.pattern_wanted import DIVISIONS, VERSION, Wanted

_SCAN = "uneven"
SCALE = 1e3  # of intensities, so that half floats hold them
_NOTHING = 1e-8  # of the largest variance: below it half floats have only noise
SUBSET, COMPONENTS = 1200, 400
"""Patterns that principal components are made of, and how many: levels are a small part of the
variance; 120 left a third of the noise of 1e6 electrons at 195 Å, which moved a level by 0.06."""
REACH, NEAR = (3, 3, 3), 120  # nodes of thickness and tilts about a point; components there


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
    done: list[str] = list(group.attrs.get("done", []))  # type: ignore[arg-type]
    tasks = _tasks(wanted)
    for name, index, doubt in tasks:
        if name not in done:
            array = _simulated(wanted, index, doubt, group)
            if name in group:
                del group[name]
            group.create_array(name, data=array, chunks=(1, *array.shape[1:]))
            done.append(name)
            group.attrs["done"] = done
            group.attrs["finished"] = False
        if observer is not None:
            observer(len(done), len(tasks))
    if not group.attrs.get("finished"):
        _reduce(group, len(wanted.levels), len(strips.tilts))
        _reduce_changes(group, wanted)
        group.attrs["finished"] = True
    return path


def _tasks(wanted: Wanted) -> list[tuple[str, int, str]]:
    """Arrays to be made: name, number of the level, and of what a change, "" for the patterns."""
    count = len(wanted.levels)
    levels = [(f"level-{index:03d}", index, "") for index in range(count)]
    doubts = (*wanted.doubts(), _SCAN)
    changed = [(doubt, index) for doubt in doubts for index in fewer_levels(count)]
    return levels + [(f"{doubt}-{index:03d}", index, doubt) for doubt, index in changed]


def _simulated(wanted: Wanted, index: int, doubt: str, group: Any) -> NDArray[np.float16]:
    """Patterns of a level, or how they change by a standard deviation of what is in doubt.

    By uneven places they change in so many ways, which follow the tilts.
    """
    if doubt and doubt != _SCAN:
        wanted = wanted.doubts()[doubt][1]
    level = wanted.levels[index]
    cell = wanted.cell(level)
    strips = wanted.strips(cell, level)
    few = fewer_tilts(strips.tilts)
    if doubt:
        strips = replace(strips, tilts=tuple(strips.tilts[place] for place in few))
    if doubt == _SCAN:
        strips = replace(strips, weights=UNEVEN)
    patterns = binned_down(strip_patterns(cell, strips, beneath=wanted.beneath(level, cell)))
    patterns *= SCALE
    if doubt == _SCAN:
        patterns = patterns.reshape(*patterns.shape[:2], len(UNEVEN), -1, *patterns.shape[3:])
    elif doubt:
        patterns -= np.asarray(group[f"level-{index:03d}"])[:, few]
    return patterns.astype(np.float16)


def _reduce_changes(group: Any, wanted: Wanted) -> None:
    """Write what :class:`Nuisances` holds."""
    few, doubts = fewer_levels(len(wanted.levels)), wanted.doubts()
    strips = wanted.strips(wanted.cell(wanted.levels[0]), wanted.levels[0])
    tilts = np.array([strips.tilts[place] for place in fewer_tilts(strips.tilts)])
    right, down = strips.step(wanted.cell(wanted.levels[0]))
    group.attrs["nuisances"] = {
        "priors": {name: prior for name, (prior, _) in doubts.items()},
        "levels": [wanted.levels[index] for index in few],
        "tilts_x": sorted({x * right for x in tilts[:, 0].tolist()}),
        "tilts_y": sorted({y * down for y in tilts[:, 1].tolist()}),
    }
    changes = np.stack(
        [[np.asarray(group[f"{doubt}-{index:03d}"]) for index in few] for doubt in doubts]
    )
    uneven = np.stack([np.asarray(group[f"{_SCAN}-{index:03d}"]) for index in few])
    for kind, values in (("", changes), (_SCAN, np.moveaxis(uneven, 3, 0))):
        prefix, most = f"{kind}-" if kind else "", CHANGE_COMPONENTS[kind]
        components, coefficients = reduced(values, len(set(tilts[:, 0].tolist())), most)
        for name, array in (("changes", components), ("change-coefficients", coefficients)):
            if prefix + name in group:
                del group[prefix + name]
            group.create_array(prefix + name, data=array)


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


def _axes(known: Mapping[str, Any], thicknesses: Sequence[float]) -> Axes:
    """Levels, thicknesses and tilts, those to the left, too."""
    right = np.array(known["tilts_x"], float)
    return (
        np.array(known["levels"], float),
        np.array(thicknesses, float),
        np.concatenate([-right[:0:-1], right]),
        np.array(known["tilts_y"], float),
    )


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
        nuisances: what is known only about, and how patterns change with it.
        uneven: how patterns change where places in a strip weigh unevenly, per width of a strip
            (:data:`UNEVEN <htinvert.matching.pattern_nuisances.UNEVEN>`).
    """

    descriptor: str
    axes: Axes
    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    coefficients: NDArray[np.float32]
    step: tuple[float, float]
    semiangle: float
    beam_energy: float
    nuisances: Nuisances
    uneven: Nuisances

    @property
    def blurred(self) -> tuple[float, float]:
        """Standard deviation of what rows were binned with (down, right) [mrad]."""
        return float(np.sqrt(0.5)) * self.step[0] / 2.0, 0.0

    @property
    def lattice(self) -> float:
        """Of the reciprocal lattice vector along the boundary [mrad]."""
        return DIVISIONS * self.step[1]

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
        if "nuisances" not in known or f"{_SCAN}-changes" not in group:
            raise UserError(
                f"{path} is a library of patterns of an older htinvert, which knows no error of "
                "motion, of potentials and of scans; run htinvert build --library again, which "
                "adds what it lacks, or into another folder where it says so"
            )
        doubts = known["nuisances"]
        return cls(
            known["descriptor"],
            _axes(known, known["thicknesses"]),
            np.asarray(group["mean"]),
            np.asarray(group["components"]),
            np.asarray(group["coefficients"]),
            (float(known["step"][1]), float(known["step"][0])),
            float(known["semiangle"]),
            float(known["beam_energy"]),
            *(
                Nuisances(
                    priors,
                    _axes(doubts, known["thicknesses"]),
                    np.asarray(group[f"{prefix}changes"]),
                    np.asarray(group[f"{prefix}change-coefficients"]),
                )
                for prefix, priors in (("", dict(doubts["priors"])), (f"{_SCAN}-", {}))
            ),
        )

    def leading(self, count: int = NEAR) -> PatternLibrary:
        """The library by its first components alone: coarse, and quick."""
        return replace(
            self,
            components=self.components[:count],
            coefficients=np.ascontiguousarray(self.coefficients[..., :count]),
        )

    def near(self, point: Floats) -> PatternLibrary:
        """The part about a thickness and tilts, on components of its own: fine, and quick."""
        parts = []
        for axis, value, reach in zip(self.axes[1:], point[1:4], REACH, strict=True):
            middle = int(np.argmin(np.abs(axis - value)))
            parts.append(slice(max(middle - reach, 0), middle + reach + 1))
        thicknesses, right, down = (
            axis[part] for axis, part in zip(self.axes[1:], parts, strict=True)
        )
        some = self.coefficients[:, *parts]
        flat = some.reshape(-1, some.shape[-1]).astype(float)
        mean = flat.mean(axis=0)
        turn = np.linalg.eigh((flat - mean).T @ (flat - mean))[1][:, ::-1][:, :NEAR]
        moved = np.tensordot(mean.astype(np.float32), self.components, 1)
        return replace(
            self,
            axes=(self.axes[0], thicknesses, right, down),
            mean=self.mean + moved,
            components=np.tensordot(turn.T.astype(np.float32), self.components, 1),
            coefficients=((flat - mean) @ turn).reshape(*some.shape[:-1], -1).astype(np.float32),
        )

    def mixed(self, point: Floats) -> Floats:
        """Coefficients (c,) at a point (level, thickness, tilt x, tilt y), cubic in between."""
        return np.asarray(between(self.axes, self.coefficients, point))

    def patterns(self, point: Floats, doubts: Floats | None = None) -> Floats:
        """Patterns of all strips, intensities of a beam of 1, shape (rows, down, right).

        ``doubts`` are the nuisances in standard deviations, none where None.
        """
        mixed = np.tensordot(self.mixed(point).astype(np.float32), self.components, 1) + self.mean
        if doubts is not None and np.any(doubts):
            mixed += self.nuisances.change(point, doubts)
        return np.asarray(np.maximum(mixed, 0.0) / SCALE)

    def doubted(self, point: Floats, changes: Mapping[str, float]) -> PatternLibrary:
        """The library with nuisances changed (relative) as they act at a point."""
        values = [changes[name] / prior for name, prior in self.nuisances.priors.items()]
        moved = self.nuisances.change(point, np.array(values))
        return replace(self, mean=(self.mean + moved).astype(np.float32))
