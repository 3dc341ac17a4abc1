"""What a unit of a cost is worth in eV where nobody says: by noise, window and engine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from htinvert.campaign.plan import IMAGE_WEIGHT, Plan, has_start
from htinvert.core import Channel, EvaluationFailed, Objective
from htinvert.ranking.bounds import scatter
from htinvert.ranking.confidence import declared_accuracy
from htinvert.signals.kind import kind_of
from htinvert.signals.seen import see

LEAST, MOST = 1.0, 200.0  # eV per unit: of data almost without noise, and of almost nothing else


@dataclass(frozen=True)
class Worth:
    """The weight of a cost [eV per unit], and a sentence on where it comes from."""

    weight: float
    why: str


def worths(plan: Plan) -> dict[str, Worth]:
    """Per cost, the weight by which its scatter is worth the engine's error of one atom.

    The scatter is what the noise of the data makes of the cost of a perfect structure in this
    window. A difference of the cost that is as large says no more than one of the energy that is as
    large as the error of an atom whose surroundings differ.
    """
    found = {}
    error = declared_accuracy(plan.config.energy).energy
    for channel in plan.recipe.channels:
        for metric, (spread, note) in _scatters(channel, plan).items():
            name = f"{channel.name}.{metric}"
            if spread is None:
                found[name] = Worth(IMAGE_WEIGHT, f"a convention, because {note}")
                continue
            weight = _rounded(min(max(error / max(spread, 1e-9), LEAST), MOST))
            why = f"the cost scatters by {spread:.2g} {note}, the engine by {error:g} eV per atom"
            found[name] = Worth(weight, why)
    return found


def weighted(plan: Plan, known: Mapping[str, float] | None = None) -> Plan:
    """The plan with derived weights where its file gives no objectives; ``known`` ones stay."""
    if plan.config.objectives is not None or not plan.recipe.channels:
        return plan
    weights = dict(known or {name: worth.weight for name, worth in worths(plan).items()})
    chosen = tuple(Objective(o.name, weights.get(o.name, o.weight)) for o in plan.objectives)
    return replace(plan, objectives=chosen)


def _scatters(channel: Channel, plan: Plan) -> dict[str, tuple[float | None, str]]:
    """Per metric the scatter of a cost, and in what; None, and why, where it is not known."""
    if not has_start(plan):
        return dict.fromkeys(channel.metrics, (None, "the start structure has no atoms"))
    try:
        seen = see(channel, plan.space.template, {})
    except EvaluationFailed:
        return dict.fromkeys(channel.metrics, (None, "the start structure cannot be imaged"))
    words = kind_of(channel.forward).words(seen.simulated)
    found: dict[str, tuple[float | None, str]] = {}
    for name, metric in channel.metrics.items():
        spread = scatter(metric, seen)
        if spread is None:
            found[name] = (None, "its noise is not known")
        else:
            found[name] = (spread[0], f"for noise of {spread[1]:.0%} of the contrast in {words}")
    return found


def _rounded(weight: float) -> float:
    """To two digits."""
    return round(weight, 1 - math.floor(math.log10(weight)))
