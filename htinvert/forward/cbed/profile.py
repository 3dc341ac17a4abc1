"""Thickness of a crystal with an error, from one position-averaged pattern.

Everything about the instrument is fitted anew at every thickness of a list: what is linear in
closed form (Golub & Pereyra, Inverse Problems 19, R1 (2003)), geometry, blur, tilt and semiangle by
steps of Gauss and Newton from the neighbor's values. The misfit over thickness is then a likelihood
in which only as many points count as are independent in the residual.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms

from htinvert.core import Floats, Signal
from htinvert.declaration.declared import declared
from htinvert.forward.cbed.descent import descend
from htinvert.forward.cbed.detector import brought
from htinvert.forward.cbed.model import Cbed
from htinvert.forward.cbed.posterior import Posterior, independent_points, posterior
from htinvert.forward.cbed.survey import INSIDE, Surveyed

STEPS: Mapping[str, float] = {
    "rotation": 0.3,
    "center_x": 0.05,
    "center_y": 0.05,
    "scale": 0.003,
    "blur": 0.05,
    "tilt_x": 0.1,
    "tilt_y": 0.1,
    "semiangle": 0.1,
}
"""Of each nuisance, for differences; degrees, mrad, and of the scale 1."""
FIRST, NEXT, LAST = 8, 1, 3  # steps of Gauss and Newton: at the start, elsewhere, near the best
NEAR = 12.0  # of the logarithm of a likelihood, doubled, that is refined
WORTH = 0.12  # of correlation below the survey's best, beyond which no fit is made


@dataclass(frozen=True, eq=False)
class Profile:
    """Misfit and nuisances at each thickness.

    Attributes:
        thicknesses: [Å], shape (t,).
        misfit: sum of squared residuals, shape (t,); where the survey's correlation is too low for
            a fit to be worth it, the part of the variance that it leaves stands for it.
        models: in their fits, one for each that was fitted.
        observed: what was compared: inside of the disk, NaN elsewhere.
        fitted: names of the nuisances.
        independent: points of the residual that are independent.
        explained: part of the variance inside of the disk that the best explains, 0 to 1.
        answer: posterior of the thickness [Å].
    """

    thicknesses: Floats
    misfit: Floats
    models: tuple[Cbed | None, ...]
    observed: Signal
    fitted: tuple[str, ...]
    independent: float
    explained: float
    answer: Posterior

    @property
    def best(self) -> Cbed:
        """The model in its best fit."""
        models = [(m, model) for m, model in zip(self.misfit, self.models, strict=True) if model]
        return min(models, key=lambda pair: pair[0])[1]


def profile(
    surveyed: Surveyed,
    atoms: Atoms,
    observed: Signal,
    *,
    semiangle: bool = False,
    observer: Callable[[], Any] | None = None,
) -> Profile:
    """Fit the nuisances at every thickness of a survey.

    Args:
        surveyed: where to begin.
        atoms: one cell of the crystal.
        observed: pattern (ky, kx), NaN where nothing was measured.
        semiangle: whether it is fitted, too.
        observer: told of every thickness that is done.
    """
    names = tuple(name for name in STEPS if semiangle or name != "semiangle")
    middle = surveyed.best
    start = replace(surveyed.models[middle], halo=True)
    seen = inside(start, observed)
    worth = surveyed.correlation >= surveyed.correlation.max() - WORTH
    fits: dict[int, Cbed] = {middle: _refined(start, atoms, seen, names, FIRST)}
    for place in sorted(np.flatnonzero(worth).tolist(), key=lambda place: abs(place - middle)):
        near = min(fits, key=lambda other: abs(other - place))
        if place != middle:
            moved = replace(fits[near], thickness=float(surveyed.thicknesses[place]))
            fits[place] = _refined(moved, atoms, seen, names, NEXT)
        if observer is not None:
            observer()
    misfits = {place: _misfit(model, atoms, seen) for place, model in fits.items()}
    best = min(misfits, key=lambda place: misfits[place])
    independent = _independent(fits[best], atoms, seen)
    for place, model in fits.items():
        if independent * (misfits[place] / misfits[best] - 1.0) < NEAR:
            fits[place] = _refined(model, atoms, seen, names, LAST)
            misfits[place] = _misfit(fits[place], atoms, seen)
    best = min(misfits, key=lambda place: misfits[place])
    independent = _independent(fits[best], atoms, seen)
    left = 1.0 - np.clip(surveyed.correlation, 0.0, 1.0) ** 2
    misfit = left / left[middle] * misfits[middle]
    misfit[list(misfits)] = list(misfits.values())
    spread = float(np.nansum((seen.data - np.nanmean(seen.data)) ** 2))
    return Profile(
        surveyed.thicknesses,
        misfit,
        tuple(fits.get(place) for place in range(len(misfit))),
        seen,
        names,
        independent,
        1.0 - misfits[best] / spread,
        posterior(surveyed.thicknesses, misfit, independent),
    )


def inside(model: Cbed, observed: Signal) -> Signal:
    """The part of an observation within 0.94 of the aperture; beyond it disks have their edges.

    It is cropped to that disk, NaN in its corners, so that no answer depends on how much of a frame
    lies around it. Pixels at a detector's highest value are left out, too, where more than one has
    it.
    """
    x, y = replace(model, axes=observed.axes, shape=observed.data.shape).pixels()
    right, down = model.geometry.directions(*np.meshgrid(x, y))
    data = observed.data.astype(float)
    full = data >= np.nanmax(data)
    hidden = np.hypot(right, down) > INSIDE * model.semiangle
    if full.sum() > 1:
        hidden |= full
    part = np.where(hidden, np.nan, data).astype(np.float32)
    axes = list(observed.axes)
    for place, axis in enumerate(axes):
        seen = np.flatnonzero(np.isfinite(part).any(axis=1 - place))
        if seen.size:
            part = part.take(np.arange(seen[0], seen[-1] + 1), axis=place)
            axes[place] = replace(axis, origin=axis.origin + axis.step * float(seen[0]))
    return Signal(part, tuple(axes))


def _residual(model: Cbed, atoms: Atoms, seen: Signal) -> Floats:
    data = seen.data.astype(float)
    known = replace(model, observed=seen, axes=seen.axes, shape=seen.data.shape)
    return np.asarray((brought(known.columns(atoms), data)[0] - data)[np.isfinite(data)])


def _misfit(model: Cbed, atoms: Atoms, seen: Signal) -> float:
    return float((_residual(model, atoms, seen) ** 2).sum())


def _refined(model: Cbed, atoms: Atoms, seen: Signal, names: tuple[str, ...], count: int) -> Cbed:
    """A model after this many steps of Gauss and Newton."""

    def at(point: Floats) -> Cbed:
        changed: dict[str, Any] = dict(zip(names, map(float, point), strict=True))
        return replace(model, **changed)

    bounds = declared(Cbed)
    point, *_ = descend(
        lambda point: _residual(at(point), atoms, seen),
        np.array([getattr(model, name) for name in names], dtype=float),
        np.array([STEPS[name] for name in names]),
        lower=np.array([bounds[name].lower for name in names]),
        upper=np.array([bounds[name].upper for name in names]),
        count=count,
    )
    return at(point)


def _independent(model: Cbed, atoms: Atoms, seen: Signal) -> float:
    data = np.full(seen.data.shape, np.nan)
    data[np.isfinite(seen.data)] = _residual(model, atoms, seen)
    return independent_points(data)
