"""The kind of curves: pair distributions, absorption and loss spectra, powder patterns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from htinvert.core import Signal, UserError
from htinvert.evaluation.placed import Placed
from htinvert.evaluation.steps import apply_steps
from htinvert.image.draw import caption
from htinvert.signals.correlated import blocks
from htinvert.signals.curve_file import read_curve
from htinvert.signals.curve_steps import PLACING, STEPS
from htinvert.signals.equal_axes import place_equal, squared_shares
from htinvert.signals.kind import Frame, Part, Step
from htinvert.signals.plot import BLUE, GRAY, HEIGHT, PALE, RED, WIDTH, Line, limits, plot

TITLES = (
    ("experiment", "experiment"),
    ("fused", "experiment and simulation, difference below"),
    ("simulated", "simulation alone"),
    ("residual", "simulation less experiment"),
)
CAPTION = "Dots: experiment. Line: simulation. Red: simulation less experiment, on the same scale."


class CurveKeys(Part):
    """What an experiment says of a curve.

    ``columns`` are x and y of a table by number (from 1) or name; ``axis`` names x and its unit, as
    ``r [Å]`` or ``energy [eV]``, where the file does not; ``quantity`` the values, as ``G [Å⁻²]``.
    ``range`` is the part that is compared, in the axis's unit, cut before anything else.
    """

    columns: tuple[int | str, int | str] | None = None
    axis: str | None = None
    quantity: str = ""
    range: tuple[float | None, float | None] | None = None


class Curve:
    """Curves are compared point by point on equal axes, and judged by stretches of x."""

    name = "curve"
    keys: type[BaseModel] = CurveKeys
    steps: Mapping[str, Step] = STEPS
    place = staticmethod(place_equal)
    shares = staticmethod(squared_shares)

    def read(
        self, path: Path, keys: Any, prepare: Iterable[Mapping[str, Any]] = ()
    ) -> tuple[Signal, str]:
        """Read columns, cut the range, then prepare."""
        curve, said = read_curve(path, columns=keys.columns, axis=keys.axis, quantity=keys.quantity)
        steps = [{"range": keys.range}] if keys.range is not None else []
        try:
            curve = apply_steps(curve, steps, STEPS, placing=PLACING)
            _refuse_gaps(curve)
            curve = apply_steps(curve, prepare, STEPS, placing=PLACING)
        except UserError as error:
            raise UserError(f"{path.name}: {error}") from error
        if np.ptp(curve.data) == 0:
            raise UserError(f"{path.name} is the same everywhere; check its columns and range")
        return curve, said

    def pieces(
        self,
        placed: Placed,
        shape: tuple[int, ...],  # noqa: ARG002  (shares are as many as points)
    ) -> NDArray[np.intp]:
        """Stretches of x that are four correlation times of the residual long."""
        return blocks(placed.residual, (0,))

    def noise(self, observed: Signal) -> float | None:
        """From second differences, which a smooth curve has none of (Gasser et al. 1986)."""
        second = np.diff(observed.data.astype(float), 2)
        return float(np.sqrt(np.mean(second**2) / 6.0)) if len(second) else None

    def draw(self, figure: Any, placed: Placed, *, title: str, note: str = "") -> None:
        """Observation as dots, simulation as a line, and their difference below."""
        figure.set_size_inches(8.0, 4.8)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        observed, simulated = placed.observed, placed.simulated
        upper.plot(
            observed.coordinates(), observed.data, ".", ms=2.5, color=GRAY, label="experiment"
        )
        upper.plot(simulated.coordinates(), placed.matched, color=BLUE, lw=1.2, label="simulation")
        upper.set_ylabel(_value(observed))
        upper.legend(frameon=False, fontsize=8)
        lower.axhline(0.0, color=PALE, lw=0.8)
        lower.plot(simulated.coordinates(), placed.residual, color=RED, lw=1.0)
        lower.set_ylabel("simulation -\nexperiment", fontsize=8)
        lower.set_xlabel(label(observed))
        for axis in (upper, lower):
            axis.spines[["top", "right"]].set_visible(False)
        caption(figure, title, note)

    def frame(self, observed: Signal) -> Frame:
        """The observed curve over axes with numbers."""
        x, y = observed.coordinates(), observed.data.astype(float)
        shown = _plot(observed, [Line(x, y, GRAY, dots=True)], limits(y))
        return Frame(WIDTH, HEIGHT, shown, TITLES, CAPTION)

    def panels(self, placed: Placed) -> dict[str, str]:
        """Both with their difference below, the simulation alone, the difference alone."""
        observed = placed.observed
        x, y = observed.coordinates(), observed.data.astype(float)
        seen, matched, residual = placed.simulated.coordinates(), placed.matched, placed.residual
        low, high = limits(y, matched)
        offset = low - float(np.nanmax(residual))
        both = [
            Line(x, y, GRAY, dots=True),
            Line(seen, matched, BLUE),
            Line(seen, np.full_like(residual, offset), PALE),
            Line(seen, residual + offset, RED),
        ]
        alone = [Line(seen, matched, BLUE)]
        return {
            "fused": _plot(observed, both, limits(y, matched, residual + offset)),
            "simulated": _plot(observed, alone, (low, high)),
            "residual": _plot(observed, [Line(seen, residual, RED)], limits(residual)),
        }

    def words(self, signal: Signal) -> str:
        """Number of points, and from where to where."""
        axis, x = signal.axes[0], signal.coordinates()
        return f"{len(x)} points, {axis.name} from {x[0]:.6g} to {x[-1]:.6g} {axis.unit}"


def _refuse_gaps(curve: Signal) -> None:
    """Raise where values are no numbers."""
    bad = np.flatnonzero(~np.isfinite(curve.data))
    if len(bad):
        axis = curve.axes[0]
        raise UserError(
            f"{len(bad)} of {len(curve.data)} values are no numbers, the first at {axis.name} = "
            f"{curve.coordinates()[bad[0]]:g} {axis.unit}; remove these rows, or give a range "
            "without them"
        )


def label(signal: Signal) -> str:
    """The axis's name with its unit, such as ``r [Å]``."""
    axis = signal.axes[0]
    return f"{axis.name} [{axis.unit}]"


def _value(signal: Signal) -> str:
    """What the values are; ``signal`` where nothing says so."""
    return signal.quantity or "signal"


def _plot(observed: Signal, lines: list[Line], y: tuple[float, float]) -> str:
    x = observed.coordinates()
    return plot(
        lines, x=(float(x[0]), float(x[-1])), y=y, labels=(label(observed), _value(observed))
    )
