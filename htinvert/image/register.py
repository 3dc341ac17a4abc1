"""Register a structure in a micrograph: find the place, fit the imaging parameters, score the fit.

Capture by cross-correlation over all offsets on a coarse grid of scale and rotation; at every
promising place a least-squares fit of the image itself (gain and offset in closed form); at the
best places Powell's method on the figure of merit. The comparison region is fixed in the last two
stages, so that figures of merit compare. No randomness: the same input gives the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from itertools import product
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d
from scipy.optimize import least_squares

from htinvert.core import EvaluationFailed, Floats, Metric, Score, Signal
from htinvert.evaluation.certainty import Certainty
from htinvert.evaluation.fit import Trial, adjusted, normalized, unexplained, with_steps
from htinvert.evaluation.optimize import STEP, Box, minimize
from htinvert.image.evidence import window_numbers
from htinvert.image.outliers import cleaned
from htinvert.metrics.correlation import check_comparable, normalized_cross_correlation
from htinvert.metrics.patch import window
from htinvert.metrics.registration import Registration

Site = tuple[int, int]

FREE: Mapping[str, tuple[float, float]] = {
    "shift_x": (-4.0, 4.0),  # Å
    "shift_y": (-4.0, 4.0),  # Å
    "stretch_x": (-0.1, 0.1),
    "stretch_y": (-0.1, 0.1),
    "shear_x": (-0.1, 0.1),
    "rotation": (-6.0, 6.0),  # degrees
    "source_size": (0.3, 3.0),  # Å
}
BLUR = (0.0, 4.0)  # Å, of a model whose width is called so
METRIC = Registration()
SCALES = (-0.04, -0.02, 0.0, 0.02, 0.04)
ROTATIONS = (-3.0, -1.5, 0.0, 1.5, 3.0)  # degrees
GRAIN_SHIFTS = (0.0, 0.2, 0.4, 0.6, 0.8)  # of the range in which a grain may slide
SITES = 10  # places where the image is fitted
FINALISTS = 2  # places where the figure of merit is polished
POLISH = 1500  # most evaluations for each
NEARBY = 0.3  # of each parameter's range: how far a polish may go


def free_of(forward: Any) -> dict[str, tuple[float, float]]:
    """What of :data:`FREE` a forward model, or its class, has; and its blur, if that is all."""
    names = {part.name for part in fields(forward)} if is_dataclass(forward) else set()
    found = {name: bounds for name, bounds in FREE.items() if name in names}
    return found if "source_size" in found or "blur" not in names else {**found, "blur": BLUR}


@dataclass(frozen=True, eq=False)
class Registered:
    """A structure in its place: the fitted forward model, the simulated image and its score.

    ``row`` and ``column`` [px] are the top-left of the comparison region in the observed image;
    ``certainties`` hold each parameter's standard error, from the curvature of the squared
    residual, windows of 3 Å of the image taken as independent, and whether it ended at a bound.
    ``trials`` holds every image simulated on the way.
    """

    forward: Any
    parameters: Mapping[str, float]
    certainties: Mapping[str, Certainty]
    score: Score
    simulated: Signal
    row: int
    column: int
    trials: tuple[Trial, ...] = field(repr=False)

    @property
    def intervals(self) -> dict[str, float]:
        """Standard error of each parameter, by name."""
        return {name: certainty.error for name, certainty in self.certainties.items()}


def register(
    atoms: Atoms,
    observed: Signal,
    *,
    forward: Any,
    metric: Metric = METRIC,
    free: Mapping[str, tuple[float, float]] = FREE,
    method: str = "powell",
    observer: Callable[[Trial], None] | None = None,
) -> Registered:
    """Find ``atoms`` in ``observed`` and adjust the ``free`` parameters of ``forward``.

    Args:
        atoms: the structure; the forward model tiles it along its periodic directions.
        observed: the micrograph, shape (ny, nx), at least as large as the simulation; hot and dead
            pixels are replaced, with a warning that counts them.
        forward: a forward model with a ``shape`` [px] and the free parameters as fields.
        metric: compares the simulation with a region of its own size, such as ``Registration()``.
        free: lower and upper bound of each parameter that may change.
        method: what minimizes the figure of merit in the end, one of
            :data:`htinvert.evaluation.optimize.METHODS`.
        observer: told of every trial.

    Raises:
        EvaluationFailed: no place could be fitted.
        UserError: the simulation is larger than the image or sampled differently.
        ValueError: an unknown method.
    """
    observed = cleaned(observed)
    problem = _Problem(atoms, observed, forward, metric, dict(free), observer)
    check_comparable(problem.simulate(problem.start()), observed)
    fitted = [problem.least_squares(site, point) for site, point in problem.capture()]
    fitted = _best(fitted, 2 * FINALISTS)
    fitted += [
        problem.least_squares(site, best.point)
        for best in fitted[:FINALISTS]
        for site in problem.sites(best.point)
    ]
    final = _best([problem.polish(fit, method) for fit in _best(fitted, FINALISTS)], 1)[0]
    return problem.result(final)


@dataclass(frozen=True, eq=False)
class _Fit:
    """Parameters (scaled to 0..1) at a place, and their cost."""

    site: Site
    point: Floats
    cost: float


def _best(fits: Sequence[_Fit], count: int) -> list[_Fit]:
    """The best fits, one for each place."""
    chosen: dict[Site, _Fit] = {}
    for fit in sorted(fits, key=lambda fit: (fit.cost, fit.site)):
        chosen.setdefault(fit.site, fit)
    return list(chosen.values())[:count]


class _Problem:
    """What does not change during a registration, and the log of its trials."""

    def __init__(
        self,
        atoms: Atoms,
        observed: Signal,
        forward: Any,
        metric: Metric,
        free: dict[str, tuple[float, float]],
        observer: Callable[[Trial], None] | None,
    ) -> None:
        self.atoms = atoms
        self.observed = observed
        self.forward = forward
        self.metric = metric
        self.free = free
        self.box = Box(free)
        self.trials: list[Trial] = []
        self._observer = observer
        self._known: dict[bytes, Signal] = {}
        self._patches: dict[Site, Signal] = {}

    def start(self) -> Floats:
        """The forward model's own values, scaled to 0..1."""
        return self.box.scaled({name: getattr(self.forward, name) for name in self.box.names})

    def simulate(self, point: Floats) -> Signal:
        """The image at a point of the unit box; the last few are remembered."""
        key = np.clip(point, 0.0, 1.0).tobytes()
        if key not in self._known:
            if len(self._known) > 64:
                self._known.clear()
            self._known[key] = adjusted(self.forward, self.box.parameters(point))(self.atoms)
        return self._known[key]

    def patch(self, site: Site) -> Signal:
        """The comparison region at a place."""
        if site not in self._patches:
            data = self.observed.data[window(site, self.forward.shape)]
            self._patches[site] = Signal(np.ascontiguousarray(data), self.observed.axes)
        return self._patches[site]

    def score(self, site: Site, point: Floats) -> Score:
        """Compare at a place and point; a pixel size that is fitted is the experiment's, too."""
        simulated, region = self.simulate(point), self.patch(site)
        if "sampling" in self.box.names:
            region = with_steps(region, simulated.sampling)
        return self.metric(simulated, region)

    def cost(self, stage: str, site: Site, point: Floats) -> float:
        """Cost at a place and point; logged."""
        score = self.score(site, point)
        trial = Trial(stage, self.box.parameters(point), score.cost, site)
        self.trials.append(trial)
        if self._observer is not None:
            self._observer(trial)
        return score.cost

    def capture(self) -> Iterator[tuple[Site, Floats]]:
        """Places and points worth a fit: the best correlations over scale and rotation."""
        found: list[tuple[float, Site, Floats]] = []
        for point in self._grid():
            simulated = self.simulate(point)
            ncc = normalized_cross_correlation(simulated.data, self.observed.data)
            found += [(float(ncc[site]), site, point) for site in row_peaks(ncc)]
        found.sort(key=lambda entry: (-entry[0], entry[1]))
        seen: list[Site] = []
        for _, site, point in found:
            if all(abs(site[0] - s[0]) + abs(site[1] - s[1]) > 3 for s in seen):
                seen.append(site)
                yield site, point
            if len(seen) == SITES:
                return

    def _grid(self) -> list[Floats]:
        """Points of a coarse grid of scale, rotation and grain shift, as far as those are free."""
        names = self.box.names
        scales = [name for name in ("stretch_x", "stretch_y", "sampling") if name in names]
        angles = ROTATIONS if "rotation" in names else (0.0,)
        slides: tuple[float | None, ...] = (None,)
        if "interface_shift" in names:
            slides = GRAIN_SHIFTS
        points = []
        for scale, angle, slide in product(SCALES if scales else (0.0,), angles, slides):
            values = self.box.parameters(self.start())
            for name in scales:
                values[name] += scale * (values[name] if name == "sampling" else 1.0)
            if "rotation" in values:
                values["rotation"] += angle
            point = self.box.scaled(values)
            if slide is not None:
                index = names.index("interface_shift")
                point[index] = (point[index] + slide) % 1.0
            points.append(point)
        return points

    def sites(self, point: Floats) -> list[Site]:
        """The best places of an image that is already well fitted."""
        ncc = normalized_cross_correlation(self.simulate(point).data, self.observed.data)
        peaks = sorted(row_peaks(ncc, count=4), key=lambda site: -ncc[site])
        return peaks[: SITES // 2]

    def residual(self, point: Floats, patch: Floats) -> Floats:
        """Experiment less simulation, gain and offset in closed form; flat."""
        return unexplained(self.simulate(point).data, patch)

    def least_squares(self, site: Site, point: Floats) -> _Fit:
        """Fit the image at a place by least squares from a point."""
        patch = normalized(self.patch(site).data)
        inside = np.clip(point, 1e-6, 1 - 1e-6)
        solution = least_squares(
            self.residual,
            inside,
            bounds=(0.0, 1.0),
            args=(patch,),
            diff_step=STEP,
            xtol=1e-4,
            ftol=1e-4,
            max_nfev=12,
        )
        return _Fit(site, solution.x, self.cost("least squares", site, solution.x))

    def polish(self, fit: _Fit, method: str) -> _Fit:
        """Minimize the cost itself at a fixed place from a fit."""
        found = minimize(
            lambda point: self.cost(method, fit.site, point),
            fit.point,
            method=method,
            width=NEARBY,
            max_evaluations=POLISH,
        )
        return _Fit(fit.site, found.point, found.cost)

    def result(self, fit: _Fit) -> Registered:
        """Everything about the best fit."""
        if not np.isfinite(fit.cost):
            raise EvaluationFailed("no place in the image could be fitted")
        return Registered(
            forward=adjusted(self.forward, self.box.parameters(fit.point)),
            parameters=self.box.parameters(fit.point),
            certainties=self._certainties(fit),
            score=self.score(fit.site, fit.point),
            simulated=self.simulate(fit.point),
            row=fit.site[0],
            column=fit.site[1],
            trials=tuple(self.trials),
        )

    def _certainties(self, fit: _Fit) -> dict[str, Certainty]:
        """Standard errors from the residual's Jacobian, windows of the image being independent."""
        region = self.patch(fit.site)
        patch = normalized(region.data)
        pieces = window_numbers(region.data.shape, region.sampling).ravel()
        errors = self.box.standard_errors(
            lambda point: self.residual(point, patch), fit.point, pieces
        )
        values = self.box.parameters(fit.point)
        return {
            name: Certainty(values[name], float(error), self.free[name])
            for name, error in zip(self.box.names, errors, strict=True)
        }


def row_peaks(ncc: NDArray[np.floating], *, count: int = 2, reach: int = 7) -> list[Site]:
    """Places of high correlation in different rows: what a lattice repeats along x counts little.

    The rows whose best value is a maximum within ``reach`` rows; of each the ``count`` best places.
    """
    best = ncc.max(axis=1)
    rows = np.flatnonzero(best == maximum_filter1d(best, reach, mode="nearest"))
    rows = rows[np.argsort(-best[rows], kind="stable")][:4]
    sites = []
    for row in rows:
        peaks = np.flatnonzero(ncc[row] == maximum_filter1d(ncc[row], reach, mode="nearest"))
        peaks = peaks[np.argsort(-ncc[row][peaks], kind="stable")][:count]
        sites += [(int(row), int(column)) for column in peaks]
    return sites
