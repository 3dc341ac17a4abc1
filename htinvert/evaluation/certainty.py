"""How surely a fitted parameter is known, and a sentence where its value means nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

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
            return f"not determined ({_span(lower, upper)})"
        return f"{self.error:.5f}, not it alone" if self.takes_up else f"{self.error:.5f}"

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


def notes(sure: Mapping[str, Certainty], unit_of: Callable[[str], str]) -> list[str]:
    """What is wrong with fitted parameters, a sentence for each kind; none where nothing is."""
    lost = [
        f"{name} (from {_span(*one.reach)}{_tail(unit_of(name))} fit as well)"
        for name, one in sure.items()
        if not one.determined
    ]
    ended = [
        (name, f"{name} ({one.bound:g}{_tail(unit_of(name))})")
        for name, one in sure.items()
        if one.determined and one.bound is not None
    ]
    found = []
    if ended:
        verb, ranges, them = (
            ("ends at its bound", "its range", "it")
            if len(ended) == 1
            else ("end at their bounds", "their ranges", "them")
        )
        found.append(
            f"{', '.join(shown for _, shown in ended)} {verb}: widen {ranges} (free: "
            f"{', '.join(name for name, _ in ended)}) if the value can truly lie beyond; what then "
            f"runs to the next bound is not determined: take {them} out of free"
        )
    if lost:
        verb, values, them = (
            ("is", "its value", "it") if len(lost) == 1 else ("are", "their values", "them")
        )
        found.append(
            f"{', '.join(lost)} {verb} not determined: do not use {values}; give what is known, or "
            f"take {them} out of free"
        )
    return found


def _span(lower: float, upper: float) -> str:
    """Two values, to a hundredth of what is between them.

    >>> _span(0.99912, 1.00204)
    '0.99912 to 1.00204'
    """
    decimals = 2 - int(np.floor(np.log10(max(upper - lower, 1e-12))))
    return f"{round(lower, decimals):g} to {round(upper, decimals):g}"


def _tail(unit: str) -> str:
    """What follows a number in this unit."""
    return f" {unit}" if unit not in ("", "1") else ""
