"""Minimize a cost over a few bounded parameters, by the method that is asked for by name.

Parameters are scaled to the unit box, so that one step size suits all of them. Every method starts
from a given point, stays inside the bounds, counts and remembers what it tries, and gives the same
result each time. Powell, Comput. J. 7, 155 (1964); CMA-ES: Hansen, arXiv:1604.00772; the others are
scipy's.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from htinvert.core import Floats

Cost = Callable[[Floats], float]

LOCAL = ("powell", "nelder-mead", "cobyla", "l-bfgs-b", "slsqp", "tnc")
GLOBAL = ("cma-es", "differential-evolution", "dual-annealing", "direct")
METHODS = LOCAL + GLOBAL
LEAST_SQUARES = "least-squares"
"""Of the residual itself, for signals on equal axes; :mod:`htinvert.evaluation.fit` knows it."""
STEP = 2e-3  # of a parameter's range, for derivatives: above the ripple of sampled images
ANYWHERE = 12.0  # inverse variance of a value that lies anywhere between 0 and 1
_LONGEST = 0.15  # of a parameter's range: a step of least squares
_SEED = 1  # of the methods that draw random numbers


class Box:
    """Named parameters with bounds, as points of the unit box."""

    def __init__(self, free: Mapping[str, tuple[float, float]]) -> None:
        self.names = tuple(free)
        bounds = np.array(list(free.values()), dtype=float).reshape(-1, 2)
        self.lower, self.span = bounds[:, 0], bounds[:, 1] - bounds[:, 0]

    def scaled(self, values: Mapping[str, float]) -> Floats:
        """Unit-box point of parameters by name, shape (n,), moved inside the bounds."""
        raw = np.array([values[name] for name in self.names], dtype=float)
        return np.asarray(np.clip((raw - self.lower) / np.where(self.span, self.span, 1.0), 0, 1))

    def parameters(self, point: Floats) -> dict[str, float]:
        """Parameters by name at a point of the unit box."""
        values = self.lower + np.clip(point, 0.0, 1.0) * self.span
        return dict(zip(self.names, map(float, values), strict=True))

    def probes(self, count: int) -> list[Floats]:
        """Points that fill the box evenly (Halton, Numer. Math. 2, 84 (1960))."""
        bases: list[int] = []
        number = 2
        while len(bases) < len(self.names):
            if all(number % base for base in bases):
                bases.append(number)
            number += 1
        columns = [_radical_inverse(base, count) for base in bases]
        return list(np.reshape(columns, (len(bases), count)).T)

    def linearized(
        self, residual: Callable[[Floats], Floats], point: Floats
    ) -> tuple[Floats, Floats]:
        """The residual, shape (m,), at a point, and its Jacobian, shape (m, n), by differences."""
        base = residual(point)
        columns = []
        for index in range(len(point)):
            moved = np.array(point)
            moved[index] += STEP if moved[index] < 0.5 else -STEP
            columns.append((residual(moved) - base) / (moved[index] - point[index]))
        return base, np.array(columns).T

    def standard_errors(
        self,
        residual: Callable[[Floats], Floats],
        point: Floats,
        pieces: NDArray[np.intp] | None = None,
    ) -> Floats:
        """Standard error of each parameter at the minimum of a sum of squares, shape (n,).

        From the Jacobian J of the ``residual`` r, shape (m,): the diagonal of
        (J'J / s + 12)^-1 with s = r^2 / (m - n), every element of r taken as independent; 12 is the
        inverse variance of a value anywhere in its range, so that a direction in which the
        residual does not change has that range's error and not none. With ``pieces``, the number
        of the piece of data that each element belongs to, only pieces are independent: s is
        multiplied by the ratio of the squared sums of r by piece to r^2 (the design effect: Kish,
        Survey Sampling (1965), section 5.4), or, where it is larger, the variance is the diagonal
        of B M B with B = (J'J + 12 s)^-1 and M the sum over pieces of the squared sums of J r
        (Liang & Zeger, Biometrika 73, 13 (1986)), which few pieces make too small.
        """
        base, jacobian = self.linearized(residual, point)
        power = float(base @ base)
        scale = power / max(len(base) - len(point), 1)
        if pieces is not None:
            effect = float((np.bincount(pieces, base) ** 2).sum()) / max(power, 1e-300)
            scale *= max(effect, 1.0)
        inverse = np.linalg.pinv(jacobian.T @ jacobian + ANYWHERE * scale * np.eye(len(point)))
        variances = np.diag(inverse) * scale
        if pieces is not None:
            sums = np.array([np.bincount(pieces, column * base) for column in jacobian.T])
            robust = np.diag(inverse @ (sums @ sums.T) @ inverse)
            variances = np.maximum(variances, robust)
        return np.asarray(np.sqrt(variances) * self.span)


def _radical_inverse(base: int, count: int) -> Floats:
    """The numbers 1 to ``count`` with their digits in this base mirrored at the point."""
    rest, weight = np.arange(1, count + 1), 1.0
    found = np.zeros(count)
    while rest.any():
        weight /= base
        found += rest % base * weight
        rest //= base
    return found


@dataclass(frozen=True, eq=False)
class Minimum:
    """The best point of a search, its cost, and how many points were tried."""

    point: Floats
    cost: float
    evaluations: int


class _Spent(Exception):
    """No evaluations are left."""


class _Tried:
    """A cost inside the unit box that counts, remembers every point, and keeps the best."""

    def __init__(self, cost: Cost, most: int) -> None:
        self._cost, self._most = cost, most
        self._known: dict[bytes, float] = {}
        self.best = Minimum(np.empty(0), np.inf, 0)

    def __call__(self, point: Floats) -> float:
        inside = np.clip(np.asarray(point, dtype=float), 0.0, 1.0)
        key = inside.tobytes()
        if key not in self._known:
            if len(self._known) >= self._most:
                raise _Spent
            self._known[key] = value = self._cost(inside)
            if value < self.best.cost or not self.best.evaluations:
                self.best = Minimum(inside.copy(), value, 1)
        return self._known[key]

    @property
    def evaluations(self) -> int:
        """How many different points were tried."""
        return len(self._known)


def minimize(
    cost: Cost,
    start: Floats,
    *,
    method: str = "powell",
    width: float = 1.0,
    accuracy: float = 1e-3,
    max_evaluations: int = 400,
) -> Minimum:
    """Minimize ``cost`` in the unit box from ``start``, shape (n,).

    Args:
        cost: takes a point, shape (n,).
        start: where to begin; the result is never worse.
        method: one of ``METHODS``, small or capital letters.
        width: how far from ``start`` each parameter may go, as a share of its range.
        accuracy: of each parameter, as a share of its range, at which Powell's method, the
            simplex and COBYLA end.
        max_evaluations: most points to try, >= 1; a point met twice counts once.

    Raises:
        ValueError: for an unknown method.
    """
    name = method.lower()
    if name not in METHODS:
        raise ValueError(f"method {method} is unknown; choose one of {', '.join(METHODS)}")
    tried = _Tried(cost, max(max_evaluations, 1))
    bounds = [(max(0.0, x - width), min(1.0, x + width)) for x in start]
    try:
        tried(start)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scipy's remarks about steps that come to rest
            if name == "cma-es":
                _cma_es(tried, start, bounds)
            elif name in GLOBAL:
                _spread(tried, start, bounds, name)
            else:
                options = _options(name, width, accuracy)
                optimize.minimize(tried, start, method=name, bounds=bounds, options=options)
    except _Spent:
        pass
    return Minimum(tried.best.point, tried.best.cost, tried.evaluations)


def gauss_newton(
    residual: Callable[[Floats], Floats],
    jacobian: Callable[[Floats], Floats],
    start: Floats,
    *,
    steps: int = 12,
    tolerance: float = 1e-4,
) -> tuple[Floats, float]:
    """Minimize a sum of squares in the unit box with a damped Gauss-Newton method.

    Levenberg, Q. Appl. Math. 2, 164 (1944), with Marquardt's scaling; a parameter that a step would
    take out of the box stays.

    Args:
        residual: of a point, shape (m,).
        jacobian: its derivatives, shape (m, n); they need not be exact.
        start: where to begin, shape (n,).
        steps: most Jacobians.
        tolerance: ends it, of the sum of squares by which a step must lower it.

    Returns:
        The best point and its sum of squares, no larger than at the start.
    """
    point = np.clip(np.asarray(start, dtype=float), 0.0, 1.0)
    base = residual(point)
    cost, damping = float(base @ base), 1e-3
    for _ in range(steps):
        slopes = jacobian(point)
        matrix, gradient = slopes.T @ slopes, slopes.T @ base
        before = cost
        for _ in range(4):
            trial = np.clip(point + _damped(matrix, gradient, point, damping), 0.0, 1.0)
            left = residual(trial)
            if float(left @ left) < cost:
                point, base, cost, damping = trial, left, float(left @ left), damping / 5
                break
            damping *= 10
        if before - cost <= tolerance * before:
            break
    return point, cost


def _damped(matrix: Floats, gradient: Floats, point: Floats, damping: float) -> Floats:
    """A step of :func:`gauss_newton`; what is at its bound and wants to leave the box stays."""
    held = ((point <= 0.0) & (gradient > 0.0)) | ((point >= 1.0) & (gradient < 0.0))
    inside = np.flatnonzero(~held)
    step = np.zeros(len(point))
    if inside.size:
        part = matrix[np.ix_(inside, inside)]
        diagonal = np.diag(part) + 1e-12 * max(float(np.trace(part)), 1e-300)
        step[inside] = np.linalg.solve(part + damping * np.diag(diagonal), -gradient[inside])
    return np.clip(step, -_LONGEST, _LONGEST)


def _options(name: str, width: float, accuracy: float) -> dict[str, float]:
    """Step sizes and tolerances in the unit box."""
    known: dict[str, dict[str, float]] = {
        "powell": {"xtol": accuracy, "ftol": max(1e-4, accuracy / 100)},
        "nelder-mead": {"xatol": accuracy, "fatol": 1e-5, "adaptive": True},
        "cobyla": {"rhobeg": min(width / 2, 0.1), "tol": accuracy},
        "l-bfgs-b": {"eps": STEP, "ftol": 1e-7},
        "slsqp": {"eps": STEP, "ftol": 1e-6},
        "tnc": {"eps": STEP, "ftol": 1e-6},
    }
    return known[name]


def _spread(tried: _Tried, start: Floats, bounds: list[tuple[float, float]], name: str) -> None:
    """Run a global method of scipy's, which ends when the evaluations do, or when it rests."""
    if name == "differential-evolution":
        optimize.differential_evolution(tried, bounds, x0=start, rng=_SEED, polish=False, tol=1e-4)
    elif name == "dual-annealing":
        optimize.dual_annealing(tried, bounds, x0=start, rng=_SEED)
    else:
        optimize.direct(tried, bounds, maxfun=10**6, maxiter=10**6)


def _cma_es(tried: _Tried, start: Floats, bounds: list[tuple[float, float]]) -> None:
    """Evolution of a normal distribution until it is narrow."""
    from cmaes import CMA

    count = len(start)
    if count == 1:  # the library asks for two dimensions at least: a second one that does nothing
        start, bounds = np.append(start, 0.5), [*bounds, (0.0, 1.0)]
    search = CMA(mean=start, sigma=0.15, bounds=np.array(bounds), seed=_SEED)
    while not search.should_stop():
        points = [search.ask() for _ in range(search.population_size)]
        search.tell([(point, tried(point[:count])) for point in points])
