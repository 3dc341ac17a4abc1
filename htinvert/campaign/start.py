"""The start structure as the first candidate of a campaign."""

from __future__ import annotations

from collections import Counter

from htinvert.config.campaign import Config
from htinvert.core import Candidate, Space
from htinvert.generators.walks import START
from htinvert.geometry.roles import region_mask


def start_candidate(space: Space, config: Config) -> Candidate | None:
    """The start structure as candidate 0; None where it is :func:`left_out`."""
    if left_out(space, config):
        return None
    return Candidate(0, space.template.copy(), START, given=True)


def left_out(space: Space, config: Config) -> str:
    """Why the start structure is no candidate, in words; empty where it is one."""
    if not len(space.template):
        return "it has no atoms"
    if all(block["use"] == "store" for block in config.search.generators):
        return "the stage before has evaluated it"
    held = Counter(space.template.symbols[region_mask(space.template)])
    wrong = [
        f"{held[symbol]} {symbol} but composition asks for {low} to {high}"
        for symbol, (low, high) in space.composition.items()
        if not low <= held[symbol] <= high
    ]
    return f"the part that may change holds {', '.join(wrong)}" if wrong else ""
