"""How far a campaign is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from htinvert.core import Evaluation

GOES_ON = "the same command goes on from here"  # how the reason of an interruption ends
KEPT = ("evaluated", "failed", "duplicates", "core_seconds", "reached", "best", "since_best")


@dataclass
class Progress:
    """How far a campaign is; ``improved`` is the evaluation that has just become the best.

    ``news`` is a sentence on what has just happened to the workers.
    ``refused`` counts proposals by reason, before any cost; ``duplicates`` are evaluations that
    relaxed into a known family; ``core_seconds`` is what all evaluations took together.
    """

    evaluated: int = 0
    failed: int = 0
    duplicates: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    core_seconds: float = 0.0
    reached: bool = False
    seconds: float = 0.0
    best: float = float("inf")
    improved: Evaluation | None = None
    news: str = ""
    reason: str = ""
    since_best: int = 0
    session: int = 0

    @property
    def interrupted(self) -> bool:
        """Whether somebody ended the campaign before its stop rules did."""
        return self.reason.endswith(GOES_ON)

    def state(self) -> dict[str, Any]:
        """What follows from the evaluations alone, for :meth:`restore`."""
        return {name: getattr(self, name) for name in KEPT}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Be as far as the one was whose :meth:`state` this is."""
        for name in KEPT:
            setattr(self, name, state[name])
