"""Which surface made an STM image: candidates, null models and the data's own floor, in pairs.

Each contender is fitted once in one window, from every orientation that its lattice cannot tell
apart and as both mirror domains. From there it is fitted anew in each of many windows: affine map,
phase and blur; bias and isovalue never, for a free isovalue makes the wrong surface look right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms

from htinvert.core import EvaluationFailed, Floats, Metric, Signal
from htinvert.forward.stm_null import lattice_average, plane_waves, with_relief
from htinvert.image.compare import Comparison, Contender, Refit, compare
from htinvert.image.surface import Settled, SurfaceWindow, around, settle

NULL_PHASES = (-90.0, -60.0, -30.0, 30.0, 60.0, 90.0)  # degrees, of three plane waves
SAME_LATTICE = 0.02  # of the longer vector: how far a turned lattice may be from itself
FINALISTS = 2  # orientations that are polished
FOLLOW = 150  # images of the last stage in each of many windows


@dataclass(frozen=True, eq=False)
class Study:
    """An image to explain: where and how it is compared, and how far the scan may be distorted.

    Attributes:
        observed: the micrograph, shape (ny, nx).
        window: the part in which each contender is fitted first.
        metric: what compares.
        distortion: bound of shear and stretch either way [1].
        blur: largest standard deviation of the blur [px].
    """

    observed: Signal
    window: SurfaceWindow
    metric: Metric
    distortion: float = 0.3
    blur: float = 4.0

    def free(self, forward: Any) -> Mapping[str, tuple[float, float]]:
        """Bounds of what is fitted, around a model's own values."""
        sampling = float(np.mean(self.observed.sampling))
        return around(forward, sampling=sampling, distortion=self.distortion, blur=self.blur)


def lattice_turns(cell: Floats) -> list[float]:
    """Turns [degrees] that map an in-plane lattice, rows of ``cell`` [Å], onto itself."""
    inverse, longest = np.linalg.inv(cell), float(np.linalg.norm(cell, axis=1).max())
    found = []
    for angle in (0.0, 60.0, 90.0, 120.0, 180.0, 240.0, 270.0, 300.0):
        a = np.radians(angle)
        turned = cell @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
        fractions = turned @ inverse
        off = (fractions - np.round(fractions)) @ cell
        if np.linalg.norm(off, axis=1).max() < SAME_LATTICE * longest:
            found.append(angle)
    return found


def settle_domains(study: Study, atoms: Atoms, forward: Any, *, mirrors: bool = True) -> Settled:
    """Fit a surface from each orientation that its lattice allows; the best one counts.

    Raises:
        EvaluationFailed: where none could be fitted, or no image could be made.
    """
    turns = lattice_turns(atoms.cell.array[:2, :2])
    starts = [
        replace(forward, rotation=forward.rotation + turn, mirror=mirror)
        for mirror in ((False, True) if mirrors else (forward.mirror,))
        for turn in turns
    ]
    rough = [fit_surface(study, atoms, start, polish=1) for start in starts]
    rough.sort(key=lambda fitted: fitted.score.cost)
    return min(
        (fit_surface(study, atoms, fitted.forward, growth=(1.0,)) for fitted in rough[:FINALISTS]),
        key=lambda fitted: fitted.score.cost,
    )


def fit_surface(
    study: Study, atoms: Atoms, forward: Any, *, window: SurfaceWindow | None = None, **options: Any
) -> Settled:
    """Fit one start into the study's window, or another; options are those of ``settle``."""
    return settle(
        atoms,
        study.observed,
        window or study.window,
        forward=forward,
        metric=study.metric,
        free=study.free(forward),
        **options,
    )


def refitted(study: Study, settled: Mapping[str, Settled]) -> Refit:
    """Fit each contender anew in a window, from where it was in the study's own."""

    def refit(
        contender: Contender, observed: Signal, window: SurfaceWindow
    ) -> tuple[float, Mapping[str, float]]:
        first = settled[contender.name]
        found = fit_surface(
            replace(study, observed=observed),
            contender.atoms,
            first.forward,
            window=window,
            growth=(0.75, 1.0),
            polish=FOLLOW,
            seeds=2,
        )
        return found.score.cost, found.parameters

    return refit


def null_contender(study: Study, like: Settled, atoms: Atoms) -> tuple[Contender, Settled]:
    """Three plane waves in the lattice that a fit has found, at their best phase."""
    cell = atoms.cell.array[:2, :2]
    found = []
    for phase in NULL_PHASES:
        name = f"three plane waves, {phase:g} degrees"
        forward = with_relief(like.forward, atoms, plane_waves(cell, phase=phase), name)
        found.append((fit_surface(study, atoms, forward, growth=(1.0,)), name))
    best, name = min(found, key=lambda entry: entry[0].score.cost)
    return Contender(name, atoms, best.forward, "null"), best


def floor_contender(study: Study, like: Settled, atoms: Atoms) -> tuple[Contender, Settled]:
    """The image averaged over the lattice that a fit has found, within its window."""
    name = "lattice average of the image"
    patch = like.window.cut(study.observed)
    relief = lattice_average(patch, like.forward, atoms)
    forward = with_relief(like.forward, atoms, relief, name)
    best = fit_surface(study, atoms, forward, growth=(1.0,))
    return Contender(name, atoms, best.forward, "floor"), best


@dataclass(frozen=True, eq=False)
class SurfaceVerdict:
    """Fits in the first window by name, what failed with the reason, and the comparison."""

    settled: Mapping[str, Settled]
    failed: Mapping[str, str]
    comparison: Comparison


def compare_surfaces(
    study: Study,
    candidates: Mapping[str, tuple[Atoms, Any]],
    whole: Signal,
    windows: Sequence[SurfaceWindow],
    *,
    measure: str = "",
    observer: Callable[[int, int], None] | None = None,
) -> SurfaceVerdict:
    """Fit candidates, null and floor in the study's window, then compare them over ``windows``.

    Args:
        study: the image and window of the first fit.
        candidates: structure and forward model by name.
        whole: the image that ``windows`` are parts of; may be larger than the study's.
        windows: parts that share no pixel.
        measure: what the cost is, in words.
        observer: told how many of how many fits in windows are done.

    Raises:
        EvaluationFailed: where no candidate could be fitted.
    """
    settled: dict[str, Settled] = {}
    failed: dict[str, str] = {}
    contenders: list[Contender] = []
    for name, (atoms, forward) in candidates.items():
        try:
            settled[name] = settle_domains(study, atoms, forward)
        except EvaluationFailed as error:
            failed[name] = str(error)
            continue
        contenders.append(Contender(name, atoms, settled[name].forward))
    if not contenders:
        raise EvaluationFailed(f"no candidate could be fitted: {'; '.join(failed.values())}")
    best = min(contenders, key=lambda contender: settled[contender.name].score.cost)
    for make in (null_contender, floor_contender):
        contender, fitted = make(study, settled[best.name], best.atoms)
        contenders.append(contender)
        settled[contender.name] = fitted
    found = compare(
        whole,
        contenders,
        windows,
        refit=refitted(study, settled),
        measure=measure,
        observer=observer,
    )
    return SurfaceVerdict(settled, failed, found)
