"""Which structures of a folder explain a curve: each fitted, in order, and rivals named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from htinvert.campaign.channels import make_channel
from htinvert.config.experiment import Experiment
from htinvert.core import EvaluationFailed, UserError
from htinvert.evaluation.blame import answerable
from htinvert.evaluation.fit import fit
from htinvert.report.curve_fit import fittable, reframed
from htinvert.report.terminal import progress_bar
from htinvert.signals.correlated import correlation_time
from htinvert.signals.seen import Seen, see
from htinvert.structures.file import from_file
from htinvert.structures.write import write_table

EACH = 150  # signals that are simulated at most per structure
REFUTED = 9.0  # of the logarithm of a likelihood, doubled: three standard deviations
SHOWN = 12  # rows of the table


@dataclass(frozen=True)
class Explained:
    """A structure's name, atoms and cost; ``rival`` where the data cannot tell it from the first.

    ``parameters`` are those fitted.
    """

    name: str
    atoms: int
    cost: float
    rival: bool
    parameters: Mapping[str, float]


def rank_with_progress(
    folder: Path,
    experiment: Experiment,
    *,
    base: Path,
    output: Path,
    also: Mapping[str, tuple[float, float]],
    console: Any,
) -> list[Explained]:
    """Fit every structure file of a folder to a curve and print them in order of their cost.

    The best is drawn by ``htinvert fit`` with its file. Structures are rivals of the first where
    ``n (cost^2 / best^2 - 1) <= 9``, with n the points of the curve per correlation time of the
    best one's residual; costs are of a root mean square, such as Rw.

    Raises:
        UserError: where the folder holds no structure that could be fitted.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name[0] != ".")
    found: list[tuple[float, str, Seen, Mapping[str, float]]] = []
    failed: dict[str, str] = {}
    with progress_bar(console) as bar:
        task = bar.add_task("fitting", total=len(files))
        for path in files:
            try:
                found.append(_fitted(path, experiment, base, also))
            except (UserError, EvaluationFailed) as error:
                failed[path.name] = str(error)
            bar.update(task, advance=1)
    if not found:
        reasons = next(iter(failed.values()), "it is empty")
        raise UserError(f"no structure of {folder} could be fitted: {reasons}")
    found.sort(key=lambda entry: entry[:2])
    ranked = _explained(found)
    output.mkdir(parents=True, exist_ok=True)
    table = output / "ranking.csv"
    rows: list[Mapping[str, Any]] = [
        {"name": e.name, "atoms": e.atoms, "cost": e.cost, "rival": e.rival, **e.parameters}
        for e in ranked
    ]
    write_table(table, rows)
    console.print(_table(ranked))
    rivals = sum(entry.rival for entry in ranked) - 1
    console.print(f"{rivals} of {len(ranked) - 1} others cannot be told from the first at 3 sigma")
    for name, reason in failed.items():
        console.print(f"left out: {name}: {reason}")
    console.print(f"written: {table}")
    return ranked


def _fitted(
    path: Path, experiment: Experiment, base: Path, also: Mapping[str, tuple[float, float]]
) -> tuple[float, str, Seen, Mapping[str, float]]:
    """Cost, name, signals and parameters of one structure in its fit."""
    atoms = from_file(path)
    channel = make_channel(path.stem, experiment, folder=base)
    with answerable([channel], at=""):
        atoms = reframed(channel, atoms)
        channel = fittable(channel, experiment, atoms, also)
        result = fit(channel, atoms, start={}, max_evaluations=EACH)
        seen = see(channel, atoms, result.parameters)
    return next(iter(result.scores.values())).cost, path.stem, seen, result.parameters


def _explained(
    found: list[tuple[float, str, Seen, Mapping[str, float]]],
) -> list[Explained]:
    """Structures in order of cost, with those that are no worse than chance would make them."""
    best, _, seen, _ = found[0]
    independent = seen.placed.residual.size / correlation_time(seen.placed.residual)
    return [
        Explained(
            *(name, len(other.atoms), cost),
            independent * ((cost / max(best, 1e-12)) ** 2 - 1.0) <= REFUTED,
            parameters,
        )
        for cost, name, other, parameters in found
    ]


def _table(ranked: list[Explained]) -> Any:
    """The best structures."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    view = Table(box=SIMPLE_HEAD)
    for column in ("rank", "structure", "atoms", "cost", "told from the first"):
        view.add_column(column, justify="right" if column in ("rank", "atoms", "cost") else "left")
    for rank, entry in enumerate(ranked[:SHOWN], 1):
        told = "" if rank == 1 else ("no" if entry.rival else "yes")
        view.add_row(str(rank), entry.name, str(entry.atoms), f"{entry.cost:.4f}", told)
    return view
