"""A campaign over the frames of a series of images: each begins where the last one ended.

The first frame is searched as the campaign says. Each later one begins from the imaging parameters
of the one before, fitted on, evaluates first what earlier frames have shown (relaxed already, for
an energy depends on no image), and searches on with a quarter of the evaluations. In the end every
answer is imaged in every frame, so that what changes is told from what scatters
(:mod:`htinvert.campaign.events`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from htinvert.campaign import loop
from htinvert.campaign.channels import observe
from htinvert.campaign.events import Event, events_of
from htinvert.campaign.frames import (
    family_in,
    frames_of,
    image_shift,
    nearest_repeat,
    place_of,
    repeats_of,
    require_equal_size,
    series_experiment,
    unlike,
)
from htinvert.campaign.funnel import families, objectives_of
from htinvert.campaign.identity import content
from htinvert.campaign.inputs import contents
from htinvert.campaign.load import load
from htinvert.campaign.plan import Plan, make_plan
from htinvert.campaign.progress import Progress
from htinvert.config.yaml_file import read_yaml
from htinvert.core import Candidate, Channel, Evaluation, Floats, Reused, UserError
from htinvert.declaration.abilities import HasView
from htinvert.evaluation.fit import adjusted, fit
from htinvert.ranking.rank import Ranked
from htinvert.store import RunStore
from htinvert.store.provenance import begun_at, read_provenance

SHARE = 0.25  # of the first frame's evaluations, for each later one
FEWEST = 4  # evaluations of a frame
RECALLED = 6  # structures of the last frame, or answers before, that are evaluated first
FITS = 25  # images simulated per imaging parameter, from where the last frame ended
OPERATOR = "last_frame"
STATE = "progress.json"
AT_HAND = 64  # frames whose families are not read again

Observer = Callable[[int, int, Progress], None]
"""Told of the frame, of how many, and how far its campaign is."""


@dataclass(frozen=True, eq=False)
class FrameAnswer:
    """What one frame of a series shows.

    Attributes:
        number: of the frame among those chosen, from 0.
        folder: of its run.
        best: the evaluation with the lowest weighted sum.
        total: that sum.
        parameters: what was fitted of its image.
        place: row and column [px] of the start structure's middle; NaN where nothing says so.
        evaluations: how many the frame took.
        relaxations: how many of them were of structures that no frame before had relaxed.
        seconds: that all of them took together [s].
    """

    number: int
    folder: Path
    best: Evaluation
    total: float
    parameters: Mapping[str, float]
    place: Floats
    evaluations: int
    relaxations: int
    seconds: float


@dataclass(frozen=True, eq=False)
class SeriesAnswers:
    """What a series shows, frame by frame, and what happens in it.

    Attributes:
        experiment: the one that the frames are of.
        frames: one answer each.
        structures: the answers that are unlike, an evaluation each, of the frame they are best in.
        totals: their weighted sums in each frame, shape (structures, frames).
        path: which of them holds in each frame.
        drift: of the picture from the first frame on, (down, right) [Å], shape (frames, 2).
        events: what changes, in the order of time.
    """

    experiment: str
    frames: Sequence[FrameAnswer]
    structures: Sequence[Evaluation]
    totals: Floats
    path: Sequence[int]
    drift: Floats
    events: Sequence[Event]


def run_series(
    campaign: str | Path,
    folder: str | Path,
    *,
    frames: Path | None = None,
    experiment: str | None = None,
    chosen: slice = slice(None),
    evaluations: int | None = None,
    observer: Observer | None = None,
    **changes: Any,
) -> SeriesAnswers | None:
    """Run or resume a campaign over the frames of a series; None where it was interrupted.

    Args:
        campaign: the YAML file, which describes one frame.
        folder: where the runs of the frames go, ``frames/0000`` and so on.
        frames: a stack of images or a folder of them; the experiment's own file if not given.
        experiment: the one that the frames are of; the only image if not given.
        chosen: which frames.
        evaluations: of each frame after the first; a quarter of the first one's if not given.
        observer: told of every evaluation.
        changes: as those of :func:`htinvert.campaign.load.load`.

    Raises:
        UserError: for what a campaign may not say, frames that are too few or unequal, and a
            folder of another series.
    """
    series = _Series(Path(campaign), Path(folder), frames, experiment, chosen, evaluations, changes)
    told = observer or (lambda *_: None)
    answers: list[FrameAnswer] = []
    for number in range(len(series)):
        if not series.is_done(number):
            if series.search(number, answers, told).interrupted:
                return None
            series.done(number)
        answers.append(series.answer(number))
    found = unlike([answer.best for answer in answers])
    for number in range(len(series)):
        recalled = series.recall(number, found, told)
        if recalled is not None and recalled.interrupted:
            return None
        if recalled is not None:
            answers[number] = series.answer(number)
    return series.conclude(answers, found)


class _Series:
    """The frames, their plans, and their runs on disk."""

    def __init__(
        self,
        campaign: Path,
        folder: Path,
        frames: Path | None,
        experiment: str | None,
        chosen: slice,
        evaluations: int | None,
        changes: Mapping[str, Any],
    ) -> None:
        raw = read_yaml(campaign)
        self.folder = folder
        self.experiment = series_experiment(raw, experiment)
        self.blocks = frames_of(
            raw, self.experiment, folder=campaign.parent, frames=frames, chosen=chosen
        )
        self.evaluations = evaluations
        self.first = load(campaign, **changes, experiments={self.experiment: self.blocks[0]})
        self._families: dict[int, list[Ranked]] = {}  # of some frames
        self._state = self._open()

    def __len__(self) -> int:
        return len(self.blocks)

    def plan(self, number: int, **stop: Any) -> Plan:
        """The campaign of a frame, before anything is fitted; placed as the first one is."""
        if not number and not stop:
            return self.first
        config, block = self.first.config, self.blocks[number]
        experiments = {**config.experiments, self.experiment: self._experiment(block)}
        changes = {"experiments": experiments, "stop": config.stop.model_copy(update=stop)}
        plan = make_plan(config.model_copy(update=changes), folder=self.first.folder)
        require_equal_size(self._channel(self.first).observed, self._channel(plan).observed, number)
        return plan

    def path(self, number: int) -> Path:
        return self.folder / "frames" / f"{number:04d}"

    def search(self, number: int, before: Sequence[FrameAnswer], told: Observer) -> Progress:
        """Search a frame; all but the first begin where those before have ended."""
        if not before:
            return self._run(self.first, number, told)
        plan = self.plan(number, evaluations=self.budget())
        plan = plan.calibrated(self._followed(plan, before[-1]))
        known = [entry.evaluation for entry in self._ranked(number - 1)[:RECALLED]]
        earlier = unlike([answer.best for answer in reversed(before)])
        first = unlike([known[0], *earlier, *known])[:RECALLED]
        return self._run(replace(plan, first=self._again(first)), number, told)

    def recall(
        self, number: int, structures: Sequence[Evaluation], told: Observer
    ) -> Progress | None:
        """Image those structures that a frame does not know; None where it knows all."""
        ranked = self._ranked(number)
        missing = [one for one in structures if family_in(ranked, one.atoms) is None]
        if not missing:
            return None
        with RunStore.open(self.path(number)) as store:
            counts = store.counts()
        plan = self.plan(number, evaluations=counts.ok + counts.failed + len(missing))
        return self._run(replace(plan, first=self._again(missing)), number, told)

    def budget(self) -> int:
        """Evaluations of a frame after the first."""
        if self.evaluations is not None:
            return self.evaluations
        with RunStore.open(self.path(0)) as store:
            counts = store.counts()
        return max(int(SHARE * (counts.ok + counts.failed)), FEWEST)

    def answer(self, number: int) -> FrameAnswer:
        """What a frame's run holds."""
        ranked, path = self._ranked(number), self.path(number)
        best = ranked[0].evaluation
        with RunStore.open(path) as store:
            every = list(store.evaluations(signals=False))
        fitted = _fitted(path).get(self.experiment, {})
        parameters = {**fitted, **best.parameters.get(self.experiment, {})}
        again = sum(one.candidate.operator == OPERATOR for one in every)
        return FrameAnswer(
            number,
            path,
            best,
            ranked[0].total,
            parameters,
            place_of(self._channel(self.first), best, parameters, self.first.space.template),
            len(every),
            len(every) - again,
            sum(one.seconds for one in every),
        )

    def conclude(
        self, answers: Sequence[FrameAnswer], structures: Sequence[Evaluation]
    ) -> SeriesAnswers:
        """Sums of all structures in all frames, drift and events."""
        totals = np.full((len(structures), len(answers)), np.inf)
        for answer in answers:
            ranked = self._ranked(answer.number)
            for row, one in enumerate(structures):
                entry = family_in(ranked, one.atoms)
                totals[row, answer.number] = np.inf if entry is None else entry.total
        worst = totals[np.isfinite(totals)].max()
        totals = np.where(np.isfinite(totals), totals, worst)  # what could not be imaged
        forward = self._channel(self.first).forward
        across = np.eye(3)[1:]
        if isinstance(forward, HasView):
            view: Any = forward.view(structures[0].atoms)
            across = view.frame[:2]
        path, events = events_of(totals, [one.atoms for one in structures], across)
        return SeriesAnswers(
            self.experiment, answers, structures, totals, path, self._drift(answers), events
        )

    def is_done(self, number: int) -> bool:
        return number in self._state["done"]

    def done(self, number: int) -> None:
        """Take note, on disk, that a frame was searched."""
        self._state["done"].append(number)
        self._write()

    def _open(self) -> dict[str, Any]:
        config = self.first.config.model_dump(mode="json")
        for key in ("name", "stop", "workers", "cluster", "in_flight"):
            config.pop(key)
        blocks = [
            [contents(Path(block.get("data") or block["image"])), block.get("channel")]
            for block in self.blocks
        ]
        config["experiments"][self.experiment].pop("data")
        told = content([config, blocks])
        path = self.folder / STATE
        if not path.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            return {"series": told, "done": []}
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            held, done = str(state["series"]), [int(number) for number in state["done"]]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is not what was written; name a new folder") from error
        if held != told:
            raise UserError(
                f"{self.folder} holds the series of another campaign or of other frames; name a "
                "new folder with --output, or restore what differs"
            )
        return {"series": told, "done": done}

    def _write(self) -> None:
        path = self.folder / STATE
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(self._state), encoding="utf-8")
        partial.replace(path)

    def _run(self, plan: Plan, number: int, told: Observer) -> Progress:
        count = len(self)
        self._families.pop(number, None)
        return loop.run(plan, self.path(number), observer=lambda far: told(number, count, far))

    def _ranked(self, number: int) -> list[Ranked]:
        if number not in self._families:
            path = self.path(number)
            while len(self._families) >= AT_HAND:
                del self._families[next(iter(self._families))]
            self._families[number] = families(path, objectives_of(path))
        return self._families[number]

    def _again(self, found: Sequence[Evaluation]) -> tuple[Candidate, ...]:
        """Structures to be imaged again; where images do not move atoms, nothing is relaxed."""
        refined = self.first.recipe.refine is not None
        return tuple(
            Candidate(
                -1,
                one.atoms,
                OPERATOR,
                start=one.parameters,
                given=True,
                reused=Reused(one.relaxation) if one.relaxation and not refined else None,
            )
            for one in found
        )

    def _followed(self, plan: Plan, last: FrameAnswer) -> dict[str, dict[str, float]]:
        """Imaging parameters of a frame, fitted on from the last one's with its answer."""
        fitted = _fitted(last.folder)
        found: dict[str, dict[str, float]] = {}
        for channel in plan.recipe.channels:
            start = {**fitted.get(channel.name, {}), **last.best.parameters.get(channel.name, {})}
            if not channel.free or not start:
                continue
            if channel.name != self.experiment:
                found[channel.name] = start
                continue
            most = FITS * len(channel.free)
            found[channel.name] = fit(
                channel, last.best.atoms, start=start, max_evaluations=most
            ).parameters
        return found

    def _channel(self, plan: Plan) -> Channel:
        return next(c for c in plan.recipe.channels if c.name == self.experiment)

    def _experiment(self, block: Mapping[str, Any]) -> Any:
        """The experiment of a frame: as that of the first, but for its file and number."""
        changes = {"data": Path(block.get("data") or block["image"])}
        changes |= {"channel": block["channel"]} if "channel" in block else {}
        return self.first.config.experiments[self.experiment].model_copy(update=changes)

    def _drift(self, answers: Sequence[FrameAnswer]) -> Floats:
        """How far the picture is from where it was in the first frame, (down, right) [Å]."""
        first = self._channel(self.first)
        forward: Any = first.forward
        drift, before = np.zeros((len(answers), 2)), first.observed
        for last, answer in pairwise(answers):
            now = observe(self._experiment(self.blocks[answer.number]), folder=self.first.folder)
            step, shift = answer.place - last.place, image_shift(before, now)
            if np.isfinite(step).all():
                model = adjusted(forward, answer.parameters)
                template = self.first.space.template
                shift = nearest_repeat(step, shift, *repeats_of(answer.best.atoms, template, model))
            drift[answer.number] = drift[last.number] + shift * np.array(first.observed.sampling)
            before = now
        return drift


def _fitted(folder: Path) -> Mapping[str, Mapping[str, float]]:
    """Imaging parameters that a run was begun with, by experiment."""
    return begun_at(read_provenance(folder)) or {}
