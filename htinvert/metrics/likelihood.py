"""What a cost says for a structure: the logarithm of the likelihood of its residual.

The residual of a data set with N independent points is normal, of a relative standard deviation
that is profiled out but no smaller than the error of the model: ``-2 ln L = N (ln s^2 + m^2/s^2)``
with ``s = max(m, f)``, m the relative misfit, f that floor. Profile likelihoods: Murphy & van der
Vaart, J. Am. Stat. Assoc. 95, 449 (2000).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from htinvert.core import Objective

MODEL_ERROR = 0.1  # relative, of a forward model that declares none: a convention
LEAST = 1e-6  # of a misfit: what two equal signals have in single precision


@dataclass(frozen=True)
class Likelihood:
    """Minus the log-likelihood [nats] of a cost, above that of one at the floor.

    Attributes:
        points: how many independent points the data have [1].
        floor: relative root mean square residual that the model errs by, whatever the structure.
        root: whether the cost is the relative misfit, as Rw; else 1 less a correlation r, whose
            misfit is ``sqrt(1 - r^2)``.
    """

    points: float
    floor: float
    root: bool = True

    def misfit(self, cost: Any) -> Any:
        """Relative root mean square residual [1] of a cost, or of an array of them."""
        cost = np.asarray(cost, dtype=float)
        if self.root:
            return np.maximum(cost, LEAST)
        return np.sqrt(np.maximum(np.where(cost < 1.0, cost * (2.0 - cost), 1.0), LEAST**2))

    def __call__(self, cost: Any) -> Any:
        """Nats, of a number one, of an array one of its shape."""
        ratio = (self.misfit(cost) / self.floor) ** 2
        found = 0.5 * self.points * np.where(ratio > 1.0, np.log(ratio), ratio - 1.0)
        return found if found.ndim else float(found)

    def slope(self, cost: Any) -> Any:
        """Nats per unit of the cost, of a number one, of an array one of its shape."""
        cost, misfit = np.asarray(cost, dtype=float), self.misfit(cost)
        scale = np.maximum(misfit, self.floor) ** 2
        half = misfit if self.root else np.where(cost < 1.0, 1.0 - cost, 0.0)
        found = self.points * half / scale
        return found if found.ndim else float(found)


def slope(objective: Objective, value: Any) -> Any:
    """How much the weighted sum grows per unit of an objective where its value is this."""
    inner = objective.likelihood
    return objective.weight * (1.0 if inner is None else inner.slope(value))


def as_plain(objective: Objective) -> float | dict[str, Any]:
    """What an objective is worth, as a campaign's file says it: a weight, or a likelihood."""
    told = objective.likelihood
    if not isinstance(told, Likelihood):
        return objective.weight
    misfit = "cost" if told.root else "correlation"
    return {"points": told.points, "floor": told.floor, "misfit": misfit}


def from_plain(name: str, worth: Any) -> Objective:
    """The objective of what a run's file says. Raises LookupError, TypeError, ValueError if odd."""
    if not isinstance(worth, Mapping):
        return Objective(name, float(worth))
    if "kT" in worth:
        return Objective(name, 1.0 / float(worth["kT"]))
    root = worth["misfit"] == "cost"
    return Objective(name, 1.0, Likelihood(float(worth["points"]), float(worth["floor"]), root))


def in_words(objective: Objective) -> str:
    """What an objective is worth, in a few words."""
    told = objective.likelihood
    if not isinstance(told, Likelihood):
        return f"{objective.weight:g} x {objective.name}"
    return f"-ln L({objective.name}; {told.points:g} points, floor {told.floor:g})"


def is_likely(objectives: Sequence[Objective]) -> bool:
    """Whether some of the objectives are likelihoods."""
    return any(objective.likelihood is not None for objective in objectives)
