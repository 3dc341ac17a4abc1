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
from ase import Atoms

from htinvert.campaign import loop
from htinvert.campaign.events import Event, events_of
from htinvert.campaign.frames import (
    frames_of,
    image_shift,
    lattice_pixels,
    nearest_repeat,
    require_equal_size,
    series_experiment,
)
from htinvert.campaign.funnel import families, objectives_of
from htinvert.campaign.identity import content
from htinvert.campaign.inputs import contents
from htinvert.campaign.load import load
from htinvert.campaign.plan import Plan
from htinvert.campaign.progress import Progress
from htinvert.config.yaml_file import read_yaml
from htinvert.core import Candidate, Channel, Evaluation, Floats, Reused, UserError
from htinvert.declaration.abilities import HasView
from htinvert.evaluation.fit import adjusted, fit
from htinvert.geometry.known import Known
from htinvert.ranking.rank import Ranked
from htinvert.store import RunStore
from htinvert.store.provenance import read_provenance

SHARE = 0.25  # of the first frame's evaluations, for each later one
FEWEST = 4  # evaluations of a frame
RECALLED = 6  # structures of the last frame, or answers before, that are evaluated first
FITS = 25  # images simulated per imaging parameter, from where the last frame ended
OPERATOR = "last_frame"
STATE = "progress.json"

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
            progress = series.search(number, answers, told)
            if progress.interrupted:
                return None
            series.done(number)
        answers.append(series.answer(number))
    found = _unlike([answer.best for answer in answers])
    for number in range(len(series)):
        if not series.recall(number, found, told):
            return None
    return series.conclude([series.answer(number) for number in range(len(series))], found)


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
        self.campaign, self.folder, self.changes = campaign, folder, dict(changes)
        self.experiment = series_experiment(raw, experiment)
        self.blocks = frames_of(
            raw, self.experiment, folder=campaign.parent, frames=frames, chosen=chosen
        )
        self.evaluations = evaluations
        self.first = self.plan(0)
        self._state = self._open()

    def __len__(self) -> int:
        return len(self.blocks)

    def plan(self, number: int, **stop: Any) -> Plan:
        """The campaign of a frame, before anything is fitted."""
        changes = {**self.changes, "experiments": {self.experiment: self.blocks[number]}}
        if stop:
            changes["stop"] = {**self.changes.get("stop", {}), **stop}
        plan = load(self.campaign, **changes)
        if number:
            require_equal_size(
                self._observed(self.first).observed, self._observed(plan).observed, number
            )
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
        earlier = _unlike([answer.best for answer in reversed(before)])
        first = _unlike([known[0], *earlier, *known])[:RECALLED]
        return self._run(replace(plan, first=self._again(first)), number, told)

    def recall(self, number: int, structures: Sequence[Evaluation], told: Observer) -> bool:
        """Image those structures that a frame does not know; False where it was interrupted."""
        ranked = self._ranked(number)
        missing = [one for one in structures if _in(ranked, one.atoms) is None]
        if not missing:
            return True
        with RunStore.open(self.path(number)) as store:
            counts = store.counts()
        plan = self.plan(number, evaluations=counts.ok + counts.failed + len(missing))
        plan = replace(plan, first=self._again(missing))
        return not self._run(plan, number, told).interrupted

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
            self._place(best, parameters),
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
                entry = _in(ranked, one.atoms)
                totals[row, answer.number] = np.inf if entry is None else entry.total
        worst = totals[np.isfinite(totals)].max()
        totals = np.where(np.isfinite(totals), totals, worst)  # what could not be imaged
        frame = self._view(structures[0].atoms, answers[0].parameters)
        across = np.eye(3)[1:] if frame is None else frame.frame[:2]
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
        return loop.run(plan, self.path(number), observer=lambda far: told(number, count, far))

    def _ranked(self, number: int) -> list[Ranked]:
        path = self.path(number)
        return families(path, objectives_of(path))

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

    def _observed(self, plan: Plan) -> Channel:
        return next(c for c in plan.recipe.channels if c.name == self.experiment)

    def _view(self, atoms: Atoms, parameters: Mapping[str, float]) -> Any:
        forward: Any = adjusted(self._observed(self.first).forward, parameters)
        return forward.view(atoms) if isinstance(forward, HasView) else None

    def _place(self, best: Evaluation, parameters: Mapping[str, float]) -> Floats:
        """Row and column [px] of the start structure's middle in a frame."""
        view = self._view(best.atoms, parameters)
        name = next(n for n in best.scores if n.partition(".")[0] == self.experiment)
        detail = best.scores[name].detail
        keys = [("row_refined", "column_refined"), ("row", "column")]
        named = next((pair for pair in keys if set(pair) <= detail.keys()), None)
        if view is None or named is None:
            return np.full(2, np.nan)
        template = self.first.space.template
        held = template if len(template) else best.atoms
        corner = np.array([detail[key] for key in named])
        return np.asarray(corner + view.pixels(held.positions.mean(axis=0)[None])[0])

    def _drift(self, answers: Sequence[FrameAnswer]) -> Floats:
        """How far the picture is from where it was in the first frame, (down, right) [Å]."""
        pixel = np.array(self._observed(self.first).observed.sampling)
        drift = np.zeros((len(answers), 2))
        image = self._observed(self.first).observed
        forward: Any = self._observed(self.first).forward
        for last, answer in pairwise(answers):
            now = self._observed(self.plan(answer.number)).observed
            step = answer.place - last.place
            shift = image_shift(image, now)
            if np.isfinite(step).all():
                model = adjusted(forward, answer.parameters)
                vectors = lattice_pixels(answer.best.atoms, model)
                shift = nearest_repeat(step, shift, vectors)
            drift[answer.number] = drift[last.number] + shift * pixel
            image = now
        return drift


def _fitted(folder: Path) -> Mapping[str, Mapping[str, float]]:
    """Imaging parameters that a run was begun with, by experiment."""
    known: Mapping[str, Mapping[str, float]] = read_provenance(folder).get("calibration") or {}
    return known


def _unlike(found: Sequence[Evaluation]) -> list[Evaluation]:
    """One evaluation of each family, in the order in which they come."""
    known, kept = Known.families(), []
    for one in found:
        if known.find(one.atoms) is None:
            known.add(one.atoms)
            kept.append(one)
    return kept


def _in(ranked: Sequence[Ranked], atoms: Atoms) -> Ranked | None:
    """The family that a structure is of, among those that were ranked."""
    known = Known.families()
    known.add(atoms)
    return next((e for e in ranked if known.find(e.evaluation.atoms) is not None), None)
