"""What became of the start structure: its rank, or why it has none, and whether that is amiss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from htinvert.core import Evaluation, Objective, weighted_sum
from htinvert.ranking.rank import Ranked, unit_of_sum


def start_words(ranked: Sequence[Ranked], objectives: Sequence[Objective], out: str = "") -> str:
    """A sentence on where the start structure ranks; ``out`` says why it is no candidate."""
    if out:
        return f"The start structure is no candidate: {out}."
    entry = start_entry(ranked)
    if entry is None:
        return "The start structure is not among the families that are ranked."
    if entry.rank == 1:
        return "The start structure is rank 1: nothing better was found."
    unit = f" {unit}" if (unit := unit_of_sum(objectives)) else " in the sum"
    return f"The start structure is rank {entry.rank}, {entry.above:.3f}{unit} above the best."


def start_entry(ranked: Sequence[Ranked]) -> Ranked | None:
    """The family that the start structure relaxed into, None where it is none of these."""
    return next((entry for entry in ranked if entry.has_start), None)


def better_start(start: Evaluation, best: Ranked, objectives: Sequence[Objective], out: str) -> str:
    """A warning where a start structure that is no candidate is better than the answer."""
    if not out or not start.ok:
        return ""
    total = weighted_sum(start.objectives, objectives)
    if total >= best.total:
        return ""
    return (
        f"the start structure, which is no candidate, has the lower weighted sum: {total:.4f} "
        f"against {best.total:.4f} of rank 1; {out}: let composition hold what it has"
    )


def better_image(limits: Mapping[str, float | None], best: Ranked) -> list[str]:
    """A warning per image objective that the start structure as given explains better.

    ``limits`` holds the costs of the start structure as it is given.
    """
    costs = best.evaluation.objectives
    return [
        f"The start structure as given fits the image better than the best: {name} {cost:.4f} "
        f"against {costs[name]:.4f}. Where that is no accident, energies, weights or composition "
        "are what speaks against it."
        for name, cost in limits.items()
        if cost is not None and cost < costs[name]
    ]
