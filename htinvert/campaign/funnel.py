"""A funnel: campaigns of which each evaluates the best structures of the one before it.

Its second stage has the generator ``{use: store, run: runs/screen, top: 20}`` and a better engine,
a better image, or both. Which structure came from which is found by its key, for what a stage
proposes is what the one before it relaxed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import PositiveInt

from htinvert.config.campaign import Config
from htinvert.config.yaml_file import read_yaml, way
from htinvert.core import (
    ENERGIES,
    Candidate,
    Evaluation,
    Exhausted,
    Objective,
    UserError,
    weighted_sum,
)
from htinvert.declaration.declared import Parameter
from htinvert.metrics.likelihood import from_plain
from htinvert.ranking.rank import Ranked, rank
from htinvert.ranking.survey import Survey
from htinvert.store import is_run, snap, structure_key
from htinvert.store.provenance import read_provenance

Key = bytes
OPERATOR = "store"


@dataclass
class BestOf:
    """Propose the best families of another run, as they were relaxed there; then nothing more.

    Attributes:
        run: the other run's folder, as seen from where the command is started.
        top: how many families, in the order of their ranking; that of the start structure comes
            along, wherever it ranks.
        weights: other weights of its objectives to rank by, such as ``{energy: 0}``.
        first: how many of the first families are wanted as if all were evaluated; ``top`` does not
            count then. Families come in the order of what the other run knows of this campaign's
            sum, until the next could not be among so many, were it fitted without a misfit by every
            datum that the other run lacks. None: the best ``top``.
        objectives: the campaign's.
    """

    run: str
    top: Annotated[PositiveInt, Parameter("1")] = 10
    weights: Mapping[str, float] = field(default_factory=dict)
    first: Annotated[PositiveInt | None, Parameter("1")] = None
    objectives: tuple[Objective, ...] = ()
    _left: list[Evaluation] | None = field(default=None, init=False, repr=False)
    _told: set[Key] = field(default_factory=set, init=False, repr=False)
    _known: list[dict[str, float]] = field(default_factory=list, init=False, repr=False)
    _out: set[Key] = field(default_factory=set, init=False, repr=False)
    _awaited: set[Key] | None = field(default=None, init=False, repr=False)

    def ask(self, indices: Sequence[int]) -> list[Candidate]:
        """Propose the next of the other run's best for each index.

        Raises :class:`Exhausted` where none is left, :class:`UserError` where there is no such run.
        """
        if self._left is None:
            self._left = self._best()
        candidates: list[Candidate] = []
        for index in indices:
            while self._left and key_of(self._left[0]) in self._told:
                self._left.pop(0)
            if not candidates and (why := self._hopeless(self._left)):
                raise Exhausted(why)
            if self._left:
                best = self._left.pop(0)
                start = best.parameters
                candidates.append(Candidate(index, best.atoms, OPERATOR, start=start, given=True))
                self._out.add(key_of(best))
        if indices and not candidates:
            raise Exhausted
        return candidates

    def tell(self, evaluations: Iterable[Evaluation]) -> None:
        """Remember what has been evaluated, so that a resumed campaign goes on behind it."""
        handed = [one for one in evaluations if one.candidate.operator == OPERATOR]
        self._told.update(key_of(evaluation, proposed=True) for evaluation in handed)
        self._out -= self._told
        self._known += [dict(one.objectives) for one in handed if one.ok]

    def state(self) -> list[Any]:
        """What has been evaluated, and what came out, for :meth:`restore`."""
        return [sorted(key.hex() for key in self._told), self._known]

    def restore(self, state: Sequence[Any]) -> None:
        """Go on behind what a :meth:`state` says was evaluated."""
        told, self._known = state[0], [dict(values) for values in state[1]]
        self._told = {bytes.fromhex(key) for key in told}

    def _hopeless(self, left: Sequence[Evaluation]) -> str:
        """Why none of those left could be among the first; empty where one could, or all count.

        What was out when that was seen first is waited for, for it may say that one could.
        """
        if self.first is None or not left or len(self._known) < self.first:
            return ""
        last = sorted(weighted_sum(one, self.objectives) for one in self._known)[self.first - 1]
        new = [o for o in self.objectives if o.name not in left[0].objectives]
        least = sum(self._least(o) for o in new)
        bound = self._cheap(left[0]) + least
        if bound <= last:
            self._awaited = None
            return ""
        if self._awaited is None:
            self._awaited = set(self._out)
        if self._awaited & self._out:
            return ""
        names = " and ".join(o.name for o in new) or "what is new"
        return (
            f"{len(left)} families of {self.run} are not evaluated, because their sums are "
            f"{bound:.4g} or more whatever {names} says, and number {self.first} has {last:.4g}"
        )

    def _least(self, objective: Objective) -> float:
        """What a family that is not evaluated may have at best: no misfit; of an energy, the best.

        Costs are never negative, so that no winner is lost; energies have no such end.
        """
        if objective.name not in ENERGIES:
            return float(objective.worth(0.0))
        return min(float(objective.worth(one[objective.name])) for one in self._known)

    def _cheap(self, evaluation: Evaluation) -> float:
        """The part of this campaign's sum that the other run knows."""
        known = evaluation.objectives
        return weighted_sum(known, (o for o in self.objectives if o.name in known))

    def _best(self) -> list[Evaluation]:
        folder = Path(self.run)
        if not (folder / "config.yaml").is_file():
            raise UserError(
                f"the generator store takes its candidates from {folder}, which is not a run; run "
                "that campaign first, from the same folder"
            )
        ranked = families(folder, objectives_of(folder, self.weights))
        if self.first is not None:
            return sorted((entry.evaluation for entry in ranked), key=self._cheap)
        start = [entry for entry in ranked[self.top :] if entry.has_start]
        return [entry.evaluation for entry in (*ranked[: self.top], *start)]


@dataclass(frozen=True, eq=False)
class Stage:
    """A run of a funnel: its ranking, and the place (from 1) of each relaxed structure in it.

    ``engine`` and ``images`` are what it was priced and imaged with, by the names in its file.
    """

    folder: Path
    engine: str
    images: tuple[str, ...]
    objectives: tuple[Objective, ...]
    ranked: Sequence[Ranked]
    places: Mapping[Key, Ranked]


def stages(folder: Path) -> list[Stage]:
    """A run and those that its candidates came from, the first one first.

    A run whose source is not there any more is where the funnel begins to be known.
    """
    chain: list[Stage] = []
    while folder not in [stage.folder for stage in chain]:
        objectives = objectives_of(folder)
        ranked = families(folder, objectives)
        with _kept_config(folder) as config:
            engine = str(config["energy"]["use"])
            channels = config.get("experiments", {}).values()
            images = tuple(dict.fromkeys(str(channel["forward"]["use"]) for channel in channels))
        places = {key_of(entry.evaluation): entry for entry in ranked}
        chain.insert(0, Stage(folder, engine, images, objectives, ranked, places))
        source = source_of(folder)
        if source is None:
            break
        folder = source
    return chain


def source_of(folder: Path) -> Path | None:
    """The run that a run's candidates came from, None where there is none or it is gone."""
    facts = read_provenance(folder)
    known = (_shortest(folder / path) for path in facts.get("stages", []))
    return next((path for path in known if (path / "config.yaml").is_file()), None)


def _shortest(path: Path) -> Path:
    """A path without ``..``, which behind a link is not where it seems to be."""
    short = Path(os.path.normpath(path))
    return short if short.resolve() == path.resolve() else path.resolve()


def history(entry: Ranked, chain: Sequence[Stage]) -> list[Ranked | None]:
    """A family of the last stage, and what it was in each stage before, the first one first.

    None stands for a stage that did not know it, as for what a later stage's own search found.
    """
    history: list[Ranked | None] = [entry]
    for stage in reversed(chain[:-1]):
        latest = history[0]
        key = key_of(latest.evaluation, proposed=True) if latest else b""
        history.insert(0, stage.places.get(key))
    return history


def key_of(evaluation: Evaluation, *, proposed: bool = False) -> Key:
    """Key of the structure that an evaluation ended with, or of the one it began from."""
    atoms = evaluation.candidate.atoms if proposed else evaluation.atoms
    return structure_key(snap(atoms), "")


def sources(config: Config, folder: Path) -> list[str]:
    """Runs that a campaign's candidates come from, as seen from its own folder."""
    runs = [spec["run"] for spec in config.search.generators if spec["use"] == "store"]
    return [way(Path(run), folder) for run in runs]


def families(folder: Path, objectives: Sequence[Objective]) -> list[Ranked]:
    """What a run has found, ranked, as :func:`ranking`. Raises as that does."""
    return ranking(folder, Survey.of(folder, objectives))


def ranking(folder: Path, survey: Survey) -> list[Ranked]:
    """The families of what a survey holds: of a long run the lowest sums and the Pareto front.

    Raises :class:`UserError` where there is nothing yet.
    """
    ranked = rank(survey.best(), survey.objectives)
    if not ranked:
        raise UserError(
            f"{folder} has no successful evaluation to rank yet; look at `htinvert status`"
        )
    return ranked


def objectives_of(
    folder: Path, weights: Mapping[str, float] | None = None
) -> tuple[Objective, ...]:
    """The objectives that a run was made with, with other weights where given."""
    with _kept_config(folder) as config:
        given = config["objectives"].items()
        known = {str(name): from_plain(str(name), worth) for name, worth in given}
    for name in weights or {}:
        if name not in known and name not in ENERGIES:
            raise UserError(
                f"objective {name} is unknown to {folder}; known are {', '.join(known)}"
            )
    for name, weight in (weights or {}).items():
        if not 0.0 <= weight < math.inf:
            raise UserError(f"the weight of {name} is {weight:g}; give a finite number, 0 or more")
    merged = known | {name: Objective(name, float(w)) for name, w in (weights or {}).items()}
    if weights and not any(objective.weight for objective in merged.values()):
        raise UserError("nothing ranks if all weights are 0; give one a weight above 0")
    return tuple(merged.values())


@contextmanager
def _kept_config(folder: Path) -> Iterator[dict[str, Any]]:
    """The configuration that a run's folder keeps; where something is not in it, it is damaged."""
    path = folder / "config.yaml"
    if not path.is_file() and not is_run(folder):
        likely = Path("runs") / folder.name
        meant = f"did you mean {likely}?" if is_run(likely) else "name a run's folder"
        raise UserError(f"{folder} is not a run (it has no config.yaml); {meant}")
    try:
        yield read_yaml(path)
    except (UserError, LookupError, TypeError, ValueError, AttributeError) as error:
        what = "is not what was written" if path.is_file() else "is lost"
        raise UserError(
            f"{path} {what}; start the run's own command again, which writes it anew"
        ) from error
