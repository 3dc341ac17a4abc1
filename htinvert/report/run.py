"""A run as everybody sees it: its best families, tables, structures, signals, pictures and page.

In a notebook all of these show themselves.

>>> import htinvert as ht
>>> run = ht.open("runs/demo")         # doctest: +SKIP
>>> run.best(5)                        # doctest: +SKIP
>>> run.draw(run.best(1)[0])           # doctest: +SKIP
>>> run.report("demo.html")            # doctest: +SKIP
"""

from __future__ import annotations

import functools
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from ase import Atoms

from htinvert import store
from htinvert.campaign import loop
from htinvert.campaign.funnel import objectives_of
from htinvert.campaign.inputs import changed_inputs
from htinvert.campaign.load import changed, load
from htinvert.campaign.plan import Plan
from htinvert.campaign.resume import plan_of
from htinvert.core import Channel, EvaluationFailed, Objective, Signal, UserError
from htinvert.evaluation.fit import adjusted
from htinvert.ranking import rank as ranking
from htinvert.ranking.rank import Ranked
from htinvert.ranking.survey import Survey
from htinvert.report.figures import draw_pareto
from htinvert.report.show import panels_of
from htinvert.report.summary import draw_channel, labeled, lineage, row
from htinvert.report.terminal import terminal
from htinvert.signals.seen import see
from htinvert.store.provenance import read_log
from htinvert.structures.write import write_structures, write_table

ENDINGS = (".xyz", ".cif", ".vasp", ".csv")
RUNS = Path("runs")  # where runs go whose folder nobody has named


def run(
    plan: Plan | str | Path | Mapping[str, Any],
    folder: str | Path | None = None,
    *,
    workers: int | None = None,
    observer: loop.Observer | None = None,
    fork: str | Path | None = None,
) -> Run:
    """Run a campaign, or go on with it where it was stopped or killed, and give what it found.

    Args:
        plan: what :func:`htinvert.load` gives, or what it takes: a YAML file's path or a mapping.
        folder: of the run; ``runs/NAME`` unless it is given.
        workers: worker processes, in place of what the plan says; 0 is this process.
        observer: told after every block of results how far the campaign is.
        fork: an older run, whose energies and scores that still hold are taken over.

    SIGINT, SIGTERM, SIGHUP and SIGUSR1 end it cleanly; ``run.reason`` says why it ended. A script
    that asks for workers needs no main guard. Raises :class:`~htinvert.core.UserError` where the
    folder belongs to another recipe or driver, and for what :func:`htinvert.load` refuses.
    """
    ready = plan if isinstance(plan, Plan) else load(plan)
    if workers is not None:
        ready = changed(ready, workers=workers)
    place = RUNS / ready.config.name if folder is None else Path(folder)
    loop.run(ready, place, observer=observer, fork=Path(fork) if fork is not None else None)
    return open_run(place)


def open_run(folder: str | Path) -> Run:
    """Look at a run, also while a campaign writes it.

    Warns where a file is not what the run was made with, for pictures of other data are refused.
    Raises :class:`~htinvert.core.UserError` where the folder is no run, or one of another format.
    """
    found = Run.open(folder)
    for line in found.changed_inputs:
        warnings.warn(line, stacklevel=2)
    return found


@dataclass(frozen=True)
class Picture:
    """A PNG that a notebook shows; :meth:`save` keeps it."""

    png: bytes
    what: str

    def _repr_png_(self) -> bytes:
        return self.png

    def save(self, path: str | Path) -> None:
        """Write the picture to a file."""
        Path(path).write_bytes(self.png)


class Families(list[Ranked]):
    """Ranked families that a notebook shows as a table; ``objectives`` are its columns."""

    def __init__(self, ranked: Sequence[Ranked], objectives: Sequence[Objective]) -> None:
        super().__init__(ranked)
        self.objectives = tuple(objectives)

    def _repr_html_(self) -> str:
        names = [objective.name for objective in self.objectives]
        above = f"above [{unit}]" if (unit := ranking.unit_of_sum(self.objectives)) else "above"
        heads = ("rank", "candidate", "formula", *names, above, "found", "how")
        rows = [
            (
                entry.rank,
                f"#{entry.evaluation.candidate.index}",
                entry.evaluation.atoms.get_chemical_formula(),
                *(f"{entry.evaluation.objectives[name]:.4f}" for name in names),
                f"{entry.above:.3f}",
                f"{entry.members}x",
                lineage(entry.evaluation),
            )
            for entry in self
        ]
        head = "".join(f"<th>{escape(name)}</th>" for name in heads)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>"
            for row in rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


class Run(store.RunStore):
    """A run to look at, also while a driver writes it: what it found, and how that looks.

    Candidates are named by their number, or by a family that :meth:`best` gives. What the run
    holds besides (``counts()``, ``evaluation(i)``, ``lineage(i)``, ``pending()`` ...) is what
    :class:`htinvert.store.reader.Reader` says.
    """

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What the run ranks by."""
        return objectives_of(self.path)

    @property
    def changed_inputs(self) -> list[str]:
        """What is not the file any more that the run was made with, a sentence each."""
        return list(changed_inputs(self.path).values())

    @functools.cached_property
    def plan(self) -> Plan:
        """What the run goes on with, at the imaging parameters that it was begun with.

        Raises :class:`UserError` where this machine lacks a file or an engine of it, and where a
        file is not what the run was made with.
        """
        return plan_of(self.path)

    @property
    def reason(self) -> str:
        """Why the campaign ended, in words; empty while it goes on or where it was killed."""
        return reason_of(self.path)

    def rank(self, **weights: float) -> Families:
        """All families, ranked by weighted sum, by other ``weights`` where given: ``energy=0.5``.

        A dot in an objective's name is written as two underscores: ``haadf__registration=20``. Of
        a long run these are the families of the lowest sums and of the Pareto front.
        """
        names = {name.replace("__", "."): weight for name, weight in weights.items()}
        objectives = objectives_of(self.path, names)
        return Families(self._ranked(objectives), objectives)

    def best(self, top: int = 5, **weights: float) -> Families:
        """The best families, by other ``weights`` where given, as :meth:`rank` takes them."""
        ranked = self.rank(**weights)
        return Families(ranked[:top], ranked.objectives)

    def atoms(self, index: int | Ranked) -> Atoms:
        """The relaxed structure of a candidate, or as proposed where it was not relaxed."""
        return super().atoms(_number(index))

    def parameters(self, index: int | Ranked) -> Mapping[str, Mapping[str, float]]:
        """What was fitted for a candidate, by channel and name."""
        return super().parameters(_number(index))

    def signal(self, index: int | Ranked, channel: str | None = None) -> Signal:
        """What a candidate looks like in a channel, the first unless it is named.

        Kept ones have 12 bits; of others the structure is simulated again, with what was fitted.
        Raises :class:`UserError` where the campaign has no such channel.
        """
        chosen, evaluation = self._channel(channel), self.evaluation(_number(index))
        if chosen.name in evaluation.signals:
            return evaluation.signals[chosen.name]
        forward = adjusted(chosen.forward, evaluation.parameters.get(chosen.name, {}))
        simulated: Signal = forward(evaluation.atoms)
        return simulated

    def draw(self, index: int | Ranked, channel: str | None = None) -> Picture:
        """A candidate's simulation beside what was observed, in the first channel or a named one.

        Raises :class:`UserError` where the campaign has no such channel.
        """
        chosen, evaluation = self._channel(channel), self.evaluation(_number(index))
        return _drawn(
            lambda path: draw_channel(path, chosen, evaluation, plan=self.plan),
            f"candidate #{evaluation.candidate.index} in {chosen.name}",
        )

    def plot_pareto(self) -> Picture:
        """The families of the best evaluations over energy and the first other objective."""
        ranked = self.rank()
        if not ranked:
            raise UserError(f"{self.path} has no successful evaluation to draw yet")
        draw = functools.partial(
            draw_pareto, ranked=ranked, objectives=ranked.objectives, title=self.path.name
        )
        return _drawn(draw, "Pareto plot")

    def export(self, path: str | Path, top: int = 10) -> int:
        """Write the best structures (.xyz, .cif, .vasp), or of all families a table (.csv).

        Returns how many families were written. Raises :class:`UserError` for another ending, and
        where there is nothing yet.
        """
        target = Path(path)
        if target.suffix not in ENDINGS:
            known = f"{', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}"
            raise UserError(f"{target.name} has no known ending; choose {known}")
        ranked = self.rank()
        if not ranked:
            raise UserError(f"{self.path} has no successful evaluation to export yet")
        if target.suffix == ".csv":
            write_table(target, [row(entry) for entry in ranked])
            return len(ranked)
        write_structures(target, [labeled(entry) for entry in ranked[:top]])
        return min(top, len(ranked))

    def report(self, path: str | Path | None = None, **details: Any) -> str:
        """Write one HTML file on the run, ``report.html`` in its folder, and files beside it.

        ``details`` are those of :func:`htinvert.report.page.make.make`, such as ``movie=True`` or
        ``error=(0.02, 0.1)`` [eV/atom, Å]. Returns the verdict in a sentence. Raises
        :class:`UserError` where there is nothing to report, or the page cannot be written.
        """
        from htinvert.report.page.make import make

        quiet = {"console": terminal(quiet=True)} | details
        return make(self.path, Path(path or self.path / "report.html"), **quiet)

    def _ranked(self, objectives: Sequence[Objective]) -> list[Ranked]:
        survey = Survey(objectives)
        survey.read(self)
        return ranking.rank(survey.best(), objectives)

    def _channel(self, name: str | None) -> Channel:
        channels = {channel.name: channel for channel in self.plan.recipe.channels}
        wanted = name or next(iter(channels), "")
        if wanted not in channels:
            known = ", ".join(channels) or "none"
            raise UserError(f"the campaign has no experiment {wanted!r}; it has {known}")
        return channels[wanted]

    def __repr__(self) -> str:
        counts = self.counts()
        return (
            f"{self.path.name}: {counts.ok} evaluated, {counts.failed} failed, "
            f"{counts.pending} on their way, {sum(counts.refused.values())} refused"
        )

    def _repr_html_(self) -> str:
        changed = "".join(f"<p>{escape(line)}</p>" for line in self.changed_inputs)
        best = self.best(3)
        head = f"<p><b>{escape(repr(self))}</b></p>{changed}{best._repr_html_()}"
        return head + "".join(self._pictured(best[0]) if best else ())

    def _pictured(self, best: Ranked) -> Iterator[str]:
        """What each experiment shows of the best, where this machine has all that it takes."""
        evaluation = best.evaluation
        try:
            for channel in self.plan.recipe.channels:
                parameters = evaluation.parameters.get(channel.name, {})
                yield panels_of(see(channel, evaluation.atoms, parameters)).html
        except (UserError, EvaluationFailed):
            return


def reason_of(folder: Path) -> str:
    """Why the campaign of a run's folder ended last; empty where it goes on or was killed."""
    for event in reversed(list(read_log(folder))):
        if event.get("event") in ("created", "resumed", "stopped"):
            return str(event.get("reason", ""))
    return ""


def _number(which: int | Ranked) -> int:
    """The number of a candidate, or of a family's best one."""
    return which.evaluation.candidate.index if isinstance(which, Ranked) else which


def _drawn(draw: Callable[[Path], None], what: str) -> Picture:
    """What a function draws to a file."""
    with tempfile.TemporaryDirectory(prefix="htinvert-") as folder:
        path = Path(folder) / "picture.png"
        draw(path)
        if not path.is_file():
            raise UserError(f"{what} cannot be drawn")
        return Picture(path.read_bytes(), what)
