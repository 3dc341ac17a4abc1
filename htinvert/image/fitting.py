"""Fit one structure's image at one place: least squares of the image, then the figure of merit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms

from htinvert.core import Floats, Metric, Score, Signal
from htinvert.declaration.declared import with_values
from htinvert.evaluation.fit import Trial, normalized, unexplained, with_steps
from htinvert.evaluation.optimize import Box, gauss_newton, minimize
from htinvert.forward.scene import Pixels, Scene
from htinvert.image.slopes import jacobian
from htinvert.metrics.patch import window

Site = tuple[int, int]

POLISH = 1500  # most evaluations of the figure of merit for each place
NEARBY = 0.3  # of each parameter's range: how far a polish may go
RISE = 0.02  # of what least squares leave: a polish looks as far as that much more is left
ACCURACY = 0.05  # of twice that way, where a polish ends: 2e-4 more is left then
ROUNDS = 4  # times that a polish that ends at the edge of what it looks at goes on from there
SAME = 3  # px: places no farther apart are one
ALIKE = 0.05  # of a parameter's range: points no farther apart are one


@dataclass(frozen=True, eq=False)
class PlacedFit:
    """Parameters (scaled to 0..1) at a place, their cost, and what least squares leave there."""

    site: Site
    point: Floats
    cost: float
    left: float = np.inf

    def like(self, other: PlacedFit) -> bool:
        """Whether both are the same place and, but for the shift, the same parameters."""
        near = all(abs(a - b) <= SAME for a, b in zip(self.site, other.site, strict=True))
        return near and float(np.abs(self.point - other.point).max()) <= ALIKE


def distinct(fits: Sequence[PlacedFit], count: int) -> list[PlacedFit]:
    """The best fits, one of each that are alike."""
    chosen: list[PlacedFit] = []
    for fit in sorted(fits, key=lambda fit: (fit.cost, fit.site)):
        if len(chosen) < count and not any(fit.like(other) for other in chosen):
            chosen.append(fit)
    return chosen


class RegistrationProblem:
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
        self._moved: dict[tuple[float, float, float | None], Atoms] = {}

    def start(self) -> Floats:
        """The forward model's own values, scaled to 0..1."""
        return self.box.scaled({name: getattr(self.forward, name) for name in self.box.names})

    def model(self, point: Floats) -> Any:
        """The forward model at a point of the unit box."""
        return replace(self.forward, **with_values(self.forward, self.box.parameters(point)))

    def simulate(self, point: Floats) -> Signal:
        """The image at a point of the unit box; the last few are remembered."""
        key = np.clip(point, 0.0, 1.0).tobytes()
        if key not in self._known:
            if len(self._known) > 64:
                self._known.clear()
            self._known[key] = self._image(self.model(point))
        return self._known[key]

    def _image(self, model: Any) -> Signal:
        """The structure's image; grains that were moved before are not moved again."""
        if not isinstance(model, Scene):
            image: Signal = model(self.atoms)
            return image
        moved = model.interface_width, model.interface_shift, model.interface
        if moved not in self._moved:
            if len(self._moved) > 64:
                self._moved.clear()
            self._moved[moved] = model.specimen(self.atoms)
        still: Callable[[Atoms], Signal] = replace(model, interface_width=0.0, interface_shift=0.0)  # type: ignore[assignment]
        return still(self._moved[moved])

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

    def residual(self, point: Floats, patch: Floats) -> Floats:
        """Experiment less simulation, gain and offset in closed form; flat."""
        return unexplained(self.simulate(point).data, patch)

    def jacobian(self, point: Floats, patch: Floats) -> Floats:
        """Derivatives of the residual, shape (pixels, n)."""
        return jacobian(self.box, point, patch, model=self.model, simulate=self.simulate)

    def least_squares(self, site: Site, point: Floats, *, steps: int = 12) -> PlacedFit:
        """Fit the image at a place by least squares from a point, the region where it belongs."""
        patch = normalized(self.patch(site).data)
        found, left = gauss_newton(
            lambda p: self.residual(p, patch),
            lambda p: self.jacobian(p, patch),
            point,
            steps=steps,
        )
        site, found = self.centered(site, found)
        return PlacedFit(site, found, self.cost("least squares", site, found), left)

    def centered(self, site: Site, point: Floats) -> tuple[Site, Floats]:
        """The same fit with a shift below a pixel, as far as bounds and the image allow.

        What the region shows is the forward model's ``center``; otherwise the region itself would
        be fitted, and figures of merit of different regions do not compare.
        """
        values, model = self.box.parameters(point), self.model(point)
        moved = list(site)
        if not isinstance(model, Pixels) or model.shape is None:
            return site, point
        for axis, name in enumerate(("shift_y", "shift_x")):
            if name not in values:
                continue
            pixel = model.pixel[axis]
            lower, upper = self.free[name]
            wanted = min(max(values[name] - round(values[name] / pixel) * pixel, lower), upper)
            last = self.observed.data.shape[axis] - model.shape[axis]
            place = min(max(site[axis] + round((values[name] - wanted) / pixel), 0), last)
            values[name] -= (place - site[axis]) * pixel
            moved[axis] = place
        return (moved[0], moved[1]), self.box.scaled(values)

    def polish(self, fit: PlacedFit, method: str) -> PlacedFit:
        """Minimize the cost itself at a fixed place from a fit.

        Along the principal axes of the residual's curvature, which hardly depend on each other, and
        as far as :data:`RISE` says: a parameter at a time would go round in valleys.
        """
        axes, best = self._axes(fit), fit
        for _ in range(ROUNDS):
            middle = best.point

            def cost(at: Floats, middle: Floats = middle) -> float:
                point = np.clip(middle + (2.0 * at - 1.0) @ axes, 0.0, 1.0)
                return self.cost(method, fit.site, point)

            start = np.full(len(middle), 0.5)
            found = minimize(
                cost, start, method=method, accuracy=ACCURACY, max_evaluations=POLISH // ROUNDS
            )
            point = np.clip(middle + (2.0 * found.point - 1.0) @ axes, 0.0, 1.0)
            best = PlacedFit(fit.site, point, found.cost, fit.left)
            if float(np.abs(found.point - 0.5).max()) < 0.4:
                break
        return best

    def _axes(self, fit: PlacedFit) -> Floats:
        """Steps in the unit box that each leave :data:`RISE` more, shape (n, n), one per row."""
        slopes = self.jacobian(fit.point, normalized(self.patch(fit.site).data))
        curvature, directions = np.linalg.eigh(slopes.T @ slopes)
        left = fit.left if np.isfinite(fit.left) else 1.0
        reach = np.sqrt(RISE * left / np.maximum(curvature, 1e-300))
        return np.asarray((directions * np.minimum(reach, NEARBY)).T)
