"""A run in a notebook: tables, the best families and pictures, as rich output.

>>> from htinvert.report.notebook import Run
>>> run = Run.open("runs/demo")        # doctest: +SKIP
>>> run.table()                        # doctest: +SKIP
>>> run.best(5)                        # doctest: +SKIP
>>> run.plot_pareto()                  # doctest: +SKIP
>>> run.fuse(run.best(1)[0])           # doctest: +SKIP
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from htinvert import store
from htinvert.campaign.funnel import objectives_of
from htinvert.campaign.plan import Plan
from htinvert.campaign.resume import plan_of
from htinvert.core import Objective, UserError
from htinvert.ranking.rank import Ranked, rank, unit_of_sum
from htinvert.ranking.survey import Survey
from htinvert.report.figures import draw_pareto
from htinvert.report.summary import draw_channel, lineage


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
        above = f"above [{unit}]" if (unit := unit_of_sum(self.objectives)) else "above"
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


class Run(store.Run):
    """A run to look at, also while a driver writes it, with its best families and pictures."""

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What the run ranks by."""
        return objectives_of(self.path)

    def best(self, top: int = 5, **weights: float) -> Families:
        """The best families, by other ``weights`` where given, such as ``energy=0.5``.

        A dot in an objective's name is written as two underscores: ``haadf__registration=20``.
        """
        changed = {name.replace("__", "."): weight for name, weight in weights.items()}
        objectives = objectives_of(self.path, changed)
        return Families(self._ranked(objectives)[:top], objectives)

    def plot_pareto(self) -> Picture:
        """The families of the best evaluations over energy and the first other objective."""
        objectives = self.objectives
        ranked = self._ranked(objectives)
        if not ranked:
            raise UserError(f"{self.path} has no successful evaluation to draw yet")
        draw = functools.partial(
            draw_pareto, ranked=ranked, objectives=objectives, title=self.path.name
        )
        return _drawn(draw, "Pareto plot")

    def fuse(self, which: int | Ranked, channel: str | None = None) -> Picture:
        """A candidate's simulation fused into the experiment, by its number or its family.

        Raises :class:`UserError` where the campaign has no such experiment.
        """
        index = which if isinstance(which, int) else which.evaluation.candidate.index
        plan = self._plan
        names = [known.name for known in plan.recipe.channels]
        name = channel or next(iter(names), "")
        if name not in names:
            known = ", ".join(names) or "none"
            raise UserError(f"the campaign has no experiment {name!r}; it has {known}")
        chosen = plan.recipe.channels[names.index(name)]
        evaluation = self.evaluation(index)
        return _drawn(
            lambda path: draw_channel(path, chosen, evaluation, plan=plan),
            f"candidate #{index} in {name}",
        )

    def _ranked(self, objectives: Sequence[Objective]) -> list[Ranked]:
        survey = Survey(objectives)
        survey.read(self)
        return rank(survey.best(), objectives)

    @functools.cached_property
    def _plan(self) -> Plan:
        return plan_of(self.path)

    def _repr_html_(self) -> str:
        counts = self.counts()
        text = (
            f"{self.path.name}: {counts.ok} evaluated, {counts.failed} failed, "
            f"{counts.pending} on their way, {sum(counts.refused.values())} refused"
        )
        return f"<p><b>{escape(text)}</b></p>" + self.best(3)._repr_html_()


def _drawn(draw: Callable[[Path], None], what: str) -> Picture:
    """What a function draws to a file."""
    with tempfile.TemporaryDirectory(prefix="htinvert-") as folder:
        path = Path(folder) / "picture.png"
        draw(path)
        if not path.is_file():
            raise UserError(f"{what} cannot be drawn")
        return Picture(path.read_bytes(), what)
