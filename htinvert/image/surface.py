"""Fit the periodic image of a surface into one window of a micrograph, however the scan drifted.

A scan's drift shears and stretches a lattice by tens of percent, so that over a whole window it is
off by more than a period. Where a window begins with two periods and grows, it never is: phase by
normalized cross-correlation over one cell of shifts, least squares of the image (gain and offset in
closed form) in each window, at last a local method on the figure of merit. Nothing is random.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
from ase import Atoms
from scipy.optimize import least_squares

from htinvert.core import EvaluationFailed, Floats, Metric, Score, Signal, UserError
from htinvert.evaluation.fit import Trial, adjusted, normalized, unexplained, with_steps
from htinvert.evaluation.optimize import STEP, Box, minimize
from htinvert.image.slopes import jacobian

GROWTH = (0.5, 0.75, 1.0)  # of the window: where the lattice is found, followed, and fitted
PHASES = 10  # shifts along each lattice vector
SEEDS = 3  # of them that are followed
POLISH = 400  # most images in the end
NEARBY = 0.15  # of each parameter's range: how far the end may go
HALF_TURN = 60.0  # degrees
_SLOPE = 0.02  # px: for the image's slope


@dataclass(frozen=True)
class SurfaceWindow:
    """A part of an image: its top-left pixel and how many rows and columns it has."""

    top: int
    left: int
    rows: int
    columns: int

    def cut(self, image: Signal) -> Signal:
        """That part of an image, shape (rows, columns). Raises UserError where it lies beyond."""
        ny, nx = image.data.shape
        if self.top < 0 or self.left < 0 or self.bottom > ny or self.right > nx:
            raise UserError(f"{self} is not inside of the image of {ny} x {nx} px; move it")
        part = image.data[self.top : self.bottom, self.left : self.right]
        return Signal(np.ascontiguousarray(part), image.axes)

    @property
    def bottom(self) -> int:
        """The first row below."""
        return self.top + self.rows

    @property
    def right(self) -> int:
        """The first column to the right."""
        return self.left + self.columns

    def shrunk(self, part: float) -> SurfaceWindow:
        """A window with the same center and ``part`` of the size, to the same parity."""
        rows, columns = (n - 2 * round(n * (1 - part) / 2) for n in (self.rows, self.columns))
        top = self.top + (self.rows - rows) // 2
        return SurfaceWindow(top, self.left + (self.columns - columns) // 2, rows, columns)

    def __str__(self) -> str:
        return f"window {self.rows} x {self.columns} px at row {self.top}, column {self.left}"


@dataclass(frozen=True, eq=False)
class Settled:
    """A forward model fitted into a window, its image there and its score.

    ``images`` says how many were simulated on the way.
    """

    forward: Any
    parameters: Mapping[str, float]
    score: Score
    simulated: Signal
    window: SurfaceWindow
    images: int
    trials: tuple[Trial, ...] = field(default=(), repr=False)


def around(
    forward: Any, *, sampling: float, distortion: float = 0.3, blur: float = 4.0
) -> dict[str, tuple[float, float]]:
    """Bounds of what a drifting scan leaves open, around a forward model's own values.

    ``sampling`` [Å/px] is what the file says of the pixels; a fit stays within a tenth of it.

    ``distortion`` bounds shear and stretch either way; ``blur`` the standard deviation [px].
    """
    free = dict.fromkeys(
        ("stretch_x", "stretch_y", "shear_x", "shear_y"), (-distortion, distortion)
    )
    return free | {
        "sampling": (0.9 * sampling, 1.1 * sampling),
        "rotation": (forward.rotation - HALF_TURN / 2, forward.rotation + HALF_TURN / 2),
        "shift_x": (forward.shift_x - 10.0, forward.shift_x + 10.0),
        "shift_y": (forward.shift_y - 10.0, forward.shift_y + 10.0),
        "blur": (0.0, blur * sampling * 2.3548),
    }


def settle(
    atoms: Atoms,
    observed: Signal,
    window: SurfaceWindow,
    *,
    forward: Any,
    metric: Metric,
    free: Mapping[str, tuple[float, float]],
    growth: Sequence[float] = GROWTH,
    polish: int = POLISH,
    seeds: int = SEEDS,
) -> Settled:
    """Fit ``free`` parameters of ``forward``, from its own values on, to a window of an image.

    Args:
        atoms: the surface; its first two cell vectors repeat.
        observed: the micrograph, shape (ny, nx).
        window: the part that is compared.
        forward: a forward model with a ``view``, a ``shape`` and shifts.
        metric: compares the simulation with the window.
        free: lower and upper bound of each parameter that may change.
        growth: parts of the window that are fitted one after the other, ascending.
        polish: most images simulated in the last stage.
        seeds: phases that are followed.

    Raises:
        EvaluationFailed: where nothing could be simulated, or the window is constant.
    """
    problem = _SurfaceProblem(atoms, observed, forward, metric, Box(free))
    first = window.shrunk(growth[0])
    fitted = [
        problem.grow(point, [window.shrunk(part) for part in growth])
        for point in problem.phases(first)[:seeds]
    ]
    point = min(fitted, key=lambda p: problem.misfit(p, window))
    return problem.result(problem.polish(point, window, polish), window)


@dataclass(frozen=True, eq=False)
class _SurfaceProblem:
    """One fit: what is simulated, compared and adjusted; counts the images."""

    atoms: Atoms
    observed: Signal
    forward: Any
    metric: Metric
    box: Box
    trials: list[Trial] = field(default_factory=list)
    cuts: dict[SurfaceWindow, Signal] = field(default_factory=dict)

    def cut(self, window: SurfaceWindow) -> Signal:
        """A window of the micrograph, always the same array: metrics keep what they made of it."""
        if window not in self.cuts:
            self.cuts[window] = window.cut(self.observed)
        return self.cuts[window]

    def model(self, point: Floats, window: SurfaceWindow) -> Any:
        """The forward model at a point, for a window."""
        parameters = self.box.parameters(point)
        return replace(self.forward, shape=(window.rows, window.columns), **parameters)

    def simulate(self, point: Floats, window: SurfaceWindow) -> Signal:
        """The image at a point, for a window."""
        image: Signal = self.model(point, window)(self.atoms)
        return image

    def residual(self, point: Floats, window: SurfaceWindow, patch: Floats) -> Floats:
        """Experiment less simulation, gain and offset in closed form; flat."""
        return unexplained(self.simulate(point, window).data, patch)

    def derivatives(self, point: Floats, window: SurfaceWindow, patch: Floats) -> Floats:
        """Of the residual by each parameter, shape (pixels, parameters).

        What only moves the image is taken from its slopes, exact up to the window's edge, which
        leaves out that the blur is distorted with it.
        """
        start = self.model(point, window)
        dy, dx = start.pixel

        def slopes(image: Floats) -> tuple[Floats, Floats]:
            aside = replace(start, shift_x=start.shift_x + _SLOPE * dx)(self.atoms).data
            below = replace(start, shift_y=start.shift_y + _SLOPE * dy)(self.atoms).data
            return (image - aside) / _SLOPE, (image - below) / _SLOPE

        return jacobian(
            self.box,
            point,
            patch,
            model=lambda p: self.model(p, window),
            simulate=lambda p: self.simulate(p, window),
            slopes=slopes,
        )

    def misfit(self, point: Floats, window: SurfaceWindow) -> float:
        """Part of the window's variance that the simulation leaves."""
        patch = normalized(self.cut(window).data)
        left = self.residual(point, window, patch)
        return float(left @ left)

    def phases(self, window: SurfaceWindow) -> list[Floats]:
        """The best few shifts over one cell of the lattice, all else as it is."""
        start = {name: getattr(self.forward, name) for name in self.box.names}
        vectors = self._image_vectors(window)
        ranked = []
        for i, j in product(range(PHASES), repeat=2):
            right, down = np.array([i / PHASES - 0.5, j / PHASES - 0.5]) @ vectors
            moved = {"shift_x": start["shift_x"] + right, "shift_y": start["shift_y"] + down}
            point = self.box.scaled(start | moved)
            ranked.append((self.misfit(point, window), (i, j), point))
        ranked.sort(key=lambda entry: entry[0])
        kept: list[tuple[tuple[int, int], Floats]] = []
        for _, place, point in ranked:
            if all(_apart(place, other) > 2 for other, _ in kept):
                kept.append((place, point))
        return [point for _, point in kept[:SEEDS]]

    def _image_vectors(self, window: SurfaceWindow) -> Floats:
        """The lattice's vectors in the image, (right, down) [Å], one per row, near the middle."""
        shaped = replace(self.forward, shape=(window.rows, window.columns))
        view = shaped.view(self.atoms)
        cell = self.forward.specimen(self.atoms).cell.array
        places = view.pixels(np.array([np.zeros(3), cell[0], cell[1]]))
        dy, dx = shaped.pixel
        first, second = (places[1:] - places[0])[:, ::-1] * [dx, dy]
        return np.array([first, second])

    def grow(self, point: Floats, windows: Sequence[SurfaceWindow]) -> Floats:
        """Follow a start through windows of growing size by least squares, the last one exactly."""
        for window in windows:
            patch = normalized(self.cut(window).data)
            inside = np.clip(point, 1e-6, 1 - 1e-6)
            point = least_squares(
                self.residual,
                inside,
                self.derivatives if window != windows[-1] else "2-point",
                bounds=(0.0, 1.0),
                args=(window, patch),
                diff_step=STEP,
                xtol=1e-4,
                ftol=1e-4,
                max_nfev=15,
            ).x
        return point

    def cost(self, stage: str, point: Floats, window: SurfaceWindow) -> float:
        """What the metric says of a point; logged."""
        score = self.score(point, window)
        self.trials.append(
            Trial(stage, self.box.parameters(point), score.cost, (window.top, window.left))
        )
        return score.cost

    def score(self, point: Floats, window: SurfaceWindow) -> Score:
        """Compare the image at a point with the window."""
        simulated = self.simulate(point, window)
        return self.metric(simulated, with_steps(self.cut(window), simulated.sampling))

    def polish(self, point: Floats, window: SurfaceWindow, most: int) -> Floats:
        """Minimize the metric's cost from a point."""
        return minimize(
            lambda p: self.cost("nelder-mead", p, window),
            point,
            method="nelder-mead",
            width=NEARBY,
            max_evaluations=most,
        ).point

    def result(self, point: Floats, window: SurfaceWindow) -> Settled:
        """Everything about the best fit."""
        parameters = self.box.parameters(point)
        shaped = replace(self.forward, shape=(window.rows, window.columns))
        score = self.score(point, window)
        if not np.isfinite(score.cost):
            raise EvaluationFailed("the surface could not be fitted into the window")
        return Settled(
            forward=adjusted(shaped, parameters),
            parameters=parameters,
            score=score,
            simulated=self.simulate(point, window),
            window=window,
            images=len(self.trials),
            trials=tuple(self.trials),
        )


def _apart(first: tuple[int, int], second: tuple[int, int]) -> int:
    """Steps between two places on the torus of phases."""
    return sum(min((a - b) % PHASES, (b - a) % PHASES) for a, b in zip(first, second, strict=True))


def best_window(
    fitted: Settled, atoms: Atoms, observed: Signal, *, metric: Metric, size: int, step: int = 3
) -> SurfaceWindow:
    """The window of ``size`` px that a fitted model resembles best, over a whole image.

    A choice by the model's own cost: made once, for one model, and then held for all.
    """
    ny, nx = observed.data.shape
    window = fitted.window
    right = (window.left + (window.columns - 1) / 2) - (nx - 1) / 2
    down = (window.top + (window.rows - 1) / 2) - (ny - 1) / 2
    whole = moved(replace(fitted.forward, shape=(ny, nx)), right, down)
    image = whole(atoms)
    axes = image.axes
    best, chosen = np.inf, window
    for top, left in product(range(0, ny - size + 1, step), range(0, nx - size + 1, step)):
        trial = SurfaceWindow(top, left, size, size)
        patch = Signal(trial.cut(observed).data, axes)
        cost = metric(trial.cut(image), patch).cost
        if cost < best:
            best, chosen = cost, trial
    return chosen


def moved(forward: Any, columns: float, rows: float) -> Any:
    """A forward model whose image lies ``columns`` to the right and ``rows`` farther down [px]."""
    dy, dx = forward.pixel
    return replace(
        forward, shift_x=forward.shift_x + columns * dx, shift_y=forward.shift_y + rows * dy
    )


Fitter = Callable[[Atoms, Signal, SurfaceWindow, Any], Settled]
