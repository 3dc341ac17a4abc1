"""A run under a changed recipe that takes over what still holds of an older run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from htinvert.campaign.plan import Plan
from htinvert.core import Candidate, Evaluation, Reused, UserError
from htinvert.evaluation.signals import imaging
from htinvert.evaluation.validity import STATUSES
from htinvert.store import RunStore
from htinvert.store.identity import stage_keys


class Fork:
    """An older run as a cache for a new plan.

    Raises:
        UserError: nothing of it holds, because structure, region or energy have changed.
    """

    def __init__(self, path: Path, plan: Plan) -> None:
        self.path = path
        self._imaging = {channel.name: imaging(channel) for channel in plan.recipe.channels}
        with RunStore.open(path) as old:
            if plan.recipe.refine is not None or old.recipe.get("refine"):
                raise UserError(
                    "refined structures follow their data, so nothing holds under others; start "
                    "without --fork"
                )
            before, now = stage_keys(old.recipe), stage_keys(plan.identity)
            self.run_id = old.run_id
        for stage, what in (
            ("structure", "structure, region or composition"),
            ("energy", "energy"),
        ):
            if before[stage] != now[stage]:
                raise UserError(
                    f"nothing of {path} holds under this recipe, because {what} differs; start "
                    "without --fork"
                )
        self.same = {stage for stage, key in now.items() if before.get(stage) == key}

    def __iter__(self) -> Iterator[tuple[Candidate, Evaluation | None]]:
        """Every candidate of the older run, and its evaluation where that stays as it was."""
        with RunStore.open(self.path) as old:
            for evaluation in old.evaluations(signals=True):
                if evaluation.ok:
                    yield self._again(evaluation), None
                elif (evaluation.error or "").startswith(STATUSES):  # no image was looked at
                    yield evaluation.candidate, evaluation

    def _again(self, evaluation: Evaluation) -> Candidate:
        assert evaluation.relaxation is not None  # noqa: S101
        channels = {stage[6:] for stage in self.same if stage.startswith("score.")}
        images = {stage[6:] for stage in self.same if stage.startswith("image.")}
        reused = Reused(
            evaluation.relaxation,
            frozenset(channels),
            {n: score for n, score in evaluation.scores.items() if n.partition(".")[0] in channels},
            {n: values for n, values in evaluation.parameters.items() if n in channels},
            {
                n: evaluation.signals[n]
                for n, how in evaluation.exact.items()
                if how == self._imaging.get(n)
            },
        )
        start = {n: values for n, values in evaluation.parameters.items() if n in images}
        return replace(evaluation.candidate, start=start, reused=reused)
