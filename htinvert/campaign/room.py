"""Whether a campaign's region can hold what is to be put into it, before anything begins."""

from __future__ import annotations

import numpy as np

from htinvert.campaign.plan import Plan
from htinvert.core import Exhausted, Infeasible, UserError
from htinvert.generators.operators.start import random_structure

TRIALS = 4  # first proposals that are looked at


def crowded(plan: Plan) -> str:
    """Why the region cannot be filled at random, and what to do; empty where it can be."""
    try:
        random_structure(plan.space, rng=np.random.default_rng(plan.config.seed))
    except Infeasible as reason:
        return (
            f"{reason}; widen the region, ask for fewer atoms in composition, or lower "
            "search.min_distance"
        )
    return ""


def require_proposals(plan: Plan) -> None:
    """Raise :class:`UserError` where the region has no room, and no generator knows better."""
    if not (reason := crowded(plan)):
        return
    try:
        proposed = plan.generator().ask(range(1, TRIALS + 1))
    except Exhausted:
        return  # which the campaign itself says
    if not proposed:
        raise UserError(none_came(reason))


def none_came(reason: str) -> str:
    """What is said of a campaign whose first proposals came to nothing."""
    return f"none of the first {TRIALS} proposals came about: {reason}"
