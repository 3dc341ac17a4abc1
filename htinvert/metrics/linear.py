"""What is linear in a comparison, solved in closed form: gain, offset, polynomial background.

Least squares by normal equations of zero-mean data, or by QR where a background takes part; see
Lawson & Hanson, *Solving Least Squares Problems* (1974).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from htinvert.core import EvaluationFailed, Floats
from htinvert.declaration.declared import Parameter

MOST = 12  # degree of a background, beyond which it would follow the signal


def gain_and_offset(
    simulated: NDArray[np.floating], patch: NDArray[np.floating]
) -> tuple[float, float]:
    """Gain and offset of least squares that bring ``simulated`` to ``patch``, both of one shape.

    The gain may be negative; it is 0 where the simulation is constant.
    """
    x, y = np.asarray(simulated, float).ravel(), np.asarray(patch, float).ravel()
    gain = gain_of(x - x.mean(), y)
    return gain, float(y.mean() - gain * x.mean())


def gain_of(centered: NDArray[np.floating], patch: NDArray[np.floating]) -> float:
    """Gain of least squares [1] where the simulation has zero mean already, both of one shape.

    It may be negative; it is 0 where the simulation is constant.
    """
    power = float(np.vdot(centered, centered))
    return float(np.vdot(centered, patch)) / power if power > 0.0 else 0.0


@dataclass(frozen=True, kw_only=True)
class Linear:
    """Which linear parameters a comparison solves for.

    Args:
        scale: whether the simulation is multiplied by the number >= 0 that fits best.
        background: degree of a polynomial that is added, solved in closed form; none by default.
    """

    scale: bool = True
    background: Annotated[int | None, Parameter("1", 0, MOST)] = None

    def __post_init__(self) -> None:
        if self.background is not None and not 0 <= self.background <= MOST:
            raise ValueError(
                f"background is {self.background}; give a degree from 0 to {MOST}, or none"
            )

    def solved(self, simulated: Floats, observed: Floats) -> tuple[Floats, dict[str, float]]:
        """The simulation brought to the observation of the same shape, and what was solved for.

        Points where the observation is NaN do not count. The names are ``scale`` [1] and
        ``background_0``, ``background_1``, ... in the observation's unit.

        Raises:
            EvaluationFailed: where fewer points are left than parameters, or the simulation is not
                finite.
        """
        if not np.isfinite(simulated).all():
            raise EvaluationFailed("not finite: the simulated signal holds no finite number")
        columns = self._backgrounds(simulated.shape)
        seen = np.isfinite(observed).ravel()
        if seen.sum() <= len(columns) + self.scale:
            raise EvaluationFailed(
                f"{int(seen.sum())} points are too few for {len(columns) + self.scale} parameters"
            )
        flat, target = simulated.ravel(), observed.ravel()
        own = [flat] if self.scale else []
        rest = target if self.scale else target - flat
        found = _solved([*own, *columns], rest, seen)
        if self.scale and found[0] < 0.0:  # no signal is the closest of those that may be
            found = np.concatenate([[0.0], _solved(columns, target, seen)])
        scale = float(found[0]) if self.scale else 1.0
        coefficients = found[1:] if self.scale else found
        brought = scale * flat
        for coefficient, column in zip(coefficients, columns, strict=True):
            brought = brought + coefficient * column
        names = {"scale": scale} if self.scale else {}
        names |= {f"background_{i}": float(value) for i, value in enumerate(coefficients)}
        return brought.reshape(simulated.shape), names

    def _backgrounds(self, shape: tuple[int, ...]) -> list[Floats]:
        """Flat columns of the background: products of Chebyshev's up to the total degree."""
        if self.background is None:
            return []
        degree = self.background
        axes = [chebyshev.chebvander(np.linspace(-1.0, 1.0, n), degree) for n in shape]
        columns: list[Floats] = []
        for powers in sorted(np.ndindex(*(degree + 1,) * len(shape)), key=lambda p: (sum(p), p)):
            if sum(powers) > degree:
                continue
            column = np.ones(())
            for values, power in zip(axes, powers, strict=True):
                column = np.multiply.outer(column, values[:, power])
            columns.append(np.asarray(column.ravel()))
        return columns


def _solved(columns: list[Floats], target: Floats, seen: NDArray[np.bool_]) -> Floats:
    """Coefficients of least squares over the points that were seen."""
    if not columns:
        return np.empty(0)
    matrix = np.stack([column[seen] for column in columns], axis=1)
    return np.asarray(np.linalg.lstsq(matrix, target[seen], rcond=None)[0])
