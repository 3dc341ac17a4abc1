"""What there is to see of a run at this moment, and its pictures; read again when it has grown."""

from __future__ import annotations

import base64
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from htinvert.campaign.funnel import objectives_of
from htinvert.campaign.inputs import changed_inputs
from htinvert.campaign.plan import Plan
from htinvert.core import ENERGIES, EvaluationFailed, Objective
from htinvert.ranking.rank import Ranked, rank, unit_of_sum
from htinvert.ranking.survey import Survey
from htinvert.report.page import charts
from htinvert.report.summary import failures, held, lineage
from htinvert.signals.seen import see
from htinvert.store import RunStore
from htinvert.store.lock import is_owned

PAUSE = 1.0  # s between two looks at a run
SHARE = 0.1  # of the time, at most, that goes into looking
CURVE = 400  # points of the search's history, at most
TOP = 5
KEPT = 500  # evaluations with the lowest sums, of which families are made


@dataclass
class State:
    """A run's counts, its best families, its history and pictures, as of the last look.

    ``plan`` is what the pictures need; without one there are numbers only. ``pictures`` have their
    type, such as ``image/webp``, and their content. ``version`` grows with every change.
    """

    folder: Path
    plan: Plan | None = None
    version: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    _seen: tuple[int, ...] = ()
    _next: float = 0.0

    def look(self) -> bool:
        """Look at the run, if it is time to; whether there is anything new."""
        now = monotonic()
        if now < self._next:
            return False
        with RunStore.open(self.folder) as store:
            counts = store.counts()
            running = bool(is_owned(self.folder))
            seen = (counts.ok, counts.failed, counts.pending, sum(counts.refused.values()), running)
            changed = seen != self._seen
            if changed:
                self._survey.read(store)
        if changed:
            self._seen = seen
            self._learn(self._survey, counts)
            self.facts["running"] = running
            self.version += 1
        self._next = monotonic() + max(PAUSE, (monotonic() - now) / SHARE)
        return changed

    @functools.cached_property
    def _survey(self) -> Survey:
        return Survey(objectives_of(self.folder), kept=KEPT)

    def _learn(self, survey: Survey, counts: Any) -> None:
        objectives = survey.objectives
        ranked = rank(survey.best(), objectives)
        self.facts = {
            "name": self.folder.name,
            "evaluated": counts.ok,
            "failed": counts.failed,
            "pending": counts.pending,
            "refused": dict(counts.refused),
            "failures": failures(survey),
            "changed": "; ".join(changed_inputs(self.folder).values()),
            "families": len(ranked),
            "held": held(survey),
            "unit": unit_of_sum(objectives),
            "objectives": [_named(objective.name) for objective in objectives],
            "best": [_row(entry, objectives) for entry in ranked[:TOP]],
            "history": history(survey),
            "signals": [],
            "pareto": "",
        }
        if ranked:
            self._draw(ranked, objectives)

    def _draw(self, ranked: Sequence[Ranked], objectives: Sequence[Objective]) -> None:
        """Draw the best family's signals, panel by panel, and the Pareto plot."""
        best = ranked[0].evaluation
        found: dict[str, tuple[str, bytes]] = {}
        for channel in self.plan.recipe.channels if self.plan is not None else ():
            try:
                seen = see(channel, best.atoms, best.parameters.get(channel.name, {}))
            except EvaluationFailed:
                continue
            frame = seen.kind.frame(channel.observed)
            uris = {"experiment": frame.experiment, **seen.kind.panels(seen.placed)}
            names = {key: f"{channel.name}-{key}" for key, _ in frame.panels}
            found |= {names[key]: _unpacked(uris[key]) for key in names}
            self.facts["signals"].append(
                {
                    "name": channel.name,
                    "size": seen.kind.words(channel.observed),
                    "width": frame.width,
                    "height": frame.height,
                    "bar": frame.bar,
                    "panels": [(names[key], title) for key, title in frame.panels],
                }
            )
        self.pictures = found
        if len(objectives) > 1:
            self.facts["pareto"] = charts.pareto(ranked, objectives, {})


def _unpacked(uri: str) -> tuple[str, bytes]:
    """Type and content of a data URI."""
    head, _, content = uri.partition(",")
    return head.removeprefix("data:").removesuffix(";base64"), base64.b64decode(content)


def history(survey: Survey) -> list[tuple[int, float]]:
    """Best weighted sum after a number of evaluations: its changes and the end; 400 at most."""
    curve = [(step.after, step.total) for step in survey.steps()]
    if curve:
        curve.append((len(survey.totals), curve[-1][1]))
    chosen = np.unique(np.linspace(0, len(curve) - 1, min(len(curve), CURVE)).round().astype(int))
    return [curve[place] for place in chosen]


def _named(objective: str) -> str:
    """An objective with its unit, where it has one."""
    unit = ENERGIES.get(objective)
    return f"{objective} [{unit}]" if unit else objective


def _row(entry: Ranked, objectives: Sequence[Objective]) -> dict[str, Any]:
    evaluation = entry.evaluation
    return {
        "rank": entry.rank,
        "candidate": evaluation.candidate.index,
        "formula": evaluation.atoms.get_chemical_formula(),
        "values": [evaluation.objectives[objective.name] for objective in objectives],
        "above": entry.above,
        "members": entry.members,
        "lineage": lineage(evaluation),
    }
