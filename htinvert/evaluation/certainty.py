"""How surely a fitted parameter is known, and a sentence where its value means nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

AT_BOUND = 1e-3  # of a parameter's range
UNDETERMINED = 0.25  # of a parameter's range: a longer reach tells next to nothing


@dataclass(frozen=True)
class Certainty:
    """How surely a fitted parameter is known, in its own unit.

    Attributes:
        value: what was fitted.
        error: standard error.
        bounds: within which it was fitted.
        spread: lowest and highest value of all fits that are as good; None: there is one.
        takes_up: what else than its name says is in the value, which its error does not cover.
    """

    value: float
    error: float
    bounds: tuple[float, float]
    spread: tuple[float, float] | None = None
    takes_up: str = ""

    @property
    def bound(self) -> float | None:
        """The bound that the value has reached, so that its error says nothing; None: neither."""
        return bound_met(self.value, self.bounds)

    @property
    def reach(self) -> tuple[float, float]:
        """Where the parameter may lie: a standard error about the value, and all good fits."""
        spread = self.spread or (self.value, self.value)
        lower = max(min(self.value - self.error, spread[0]), self.bounds[0])
        return lower, min(max(self.value + self.error, spread[1]), self.bounds[1])

    @property
    def determined(self) -> bool:
        """Whether the data tell the value from most of what the bounds allow."""
        lower, upper = self.reach
        return upper - lower <= UNDETERMINED * (self.bounds[1] - self.bounds[0])

    @property
    def word(self) -> str:
        """The error as a table shows it."""
        if self.bound is not None and self.determined:
            return "at its bound"
        lower, upper = self.reach
        if not self.determined:
            return f"not determined ({lower:.3g} to {upper:.3g})"
        return f"{self.error:.5f}, not it alone" if self.takes_up else f"{self.error:.5f}"

    def note(self, name: str, unit: str = "") -> str:
        """A sentence on what is wrong with the parameter of that name; empty where nothing is."""
        if self.determined:
            return "" if self.bound is None else bound_note(name, self.bound, unit)
        lower, upper = self.reach
        measured = f"{upper:.3g} {unit}" if unit not in ("", "1") else f"{upper:.3g}"
        return (
            f"{name} is not determined (from {lower:.3g} to {measured} fit as well): do not use "
            "its value; give it if it is known, or take it out of free"
        )

    def remark(self, name: str) -> str:
        """A sentence on what else is in the parameter of that name; empty where nothing is."""
        return self.takes_up and (
            f"{name} holds {self.takes_up}, too: fit it, but do not read more out of it"
        )


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
