"""How surely a fitted parameter is known, and a sentence where its value means nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

AT_BOUND = 1e-3  # of a parameter's range


@dataclass(frozen=True)
class Certainty:
    """A fitted parameter between its bounds, with its standard error, all in its own unit."""

    value: float
    error: float
    bounds: tuple[float, float]

    @property
    def bound(self) -> float | None:
        """The bound that the value has reached, so that its error says nothing; None: neither."""
        return bound_met(self.value, self.bounds)

    @property
    def word(self) -> str:
        """The error as a table shows it."""
        return "at its bound" if self.bound is not None else f"{self.error:.5f}"

    def note(self, name: str, unit: str = "") -> str:
        """A sentence on what is wrong with the parameter of that name; empty where nothing is."""
        return "" if self.bound is None else bound_note(name, self.bound, unit)


def bound_met(value: float, bounds: tuple[float, float]) -> float | None:
    """The bound that a fitted value has reached, to a thousandth of its range; None: neither."""
    lower, upper = bounds
    reach = AT_BOUND * (upper - lower)
    if value - lower <= reach:
        return lower
    return upper if upper - value <= reach else None


def bound_note(name: str, bound: float, unit: str = "") -> str:
    """What to do about a parameter that ended at a bound."""
    measured = f"{bound:g} {unit}" if unit not in ("", "1") else f"{bound:g}"
    return (
        f"{name} ends at its bound, {measured}: widen its range (free: {name}) if it can truly lie "
        "beyond; if it then runs to the next bound, the data do not determine it: take it out of "
        "free"
    )


def bound_notes(
    values: Mapping[str, float],
    free: Mapping[str, tuple[float, float]],
    units: Mapping[str, str],
) -> list[str]:
    """A sentence for each value that ended at one of the bounds in ``free``."""
    met = {name: bound_met(value, free[name]) for name, value in values.items() if name in free}
    return [
        bound_note(name, bound, units.get(name, ""))
        for name, bound in met.items()
        if bound is not None
    ]
