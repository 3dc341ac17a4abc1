"""What a person sees at the end of a campaign: a table of the best, and the pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from htinvert.campaign.plan import Plan
from htinvert.core import (
    ENERGIES,
    Channel,
    Evaluation,
    EvaluationFailed,
    Objective,
    weighted_sum,
)
from htinvert.ranking.confidence import SPREAD
from htinvert.ranking.rank import Ranked, Yield, unit_of_sum
from htinvert.ranking.survey import Survey
from htinvert.report.figures import draw_pareto, draw_placed, footnote, phrase
from htinvert.report.start import start_entry, start_words
from htinvert.signals.seen import see


def family_table(
    ranked: Sequence[Ranked],
    objectives: Sequence[Objective],
    *,
    top: int = 5,
    note: str = "",
    varied: bool = False,
) -> Any:
    """A rich table of the best families: objectives, how far above the best, size and first hit.

    ``note`` follows the number of families; ``varied`` adds their ranks under other weights.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    shown = min(top, len(ranked))
    view = Table(
        title=f"the {shown} best of {len(ranked)} families{note}",
        title_justify="left",
        box=SIMPLE_HEAD,
    )
    names = [o.name.replace(".", "\n") if "." in o.name else _head(o.name) for o in objectives]
    above = f"above\n[{unit}]" if (unit := unit_of_sum(objectives)) else "above"
    other = other_ranks(ranked, objectives) if varied else {}
    view.padding = (0, 1, 0, 0)
    last = ["first\nhit", "found", *(["/3,\nx3"] if other else [])]
    for name in ("rank", "candi-\ndate", "formula", *names, above, *last):
        view.add_column(name, justify="left" if name == "formula" else "right", no_wrap=True)
    start = [entry for entry in ranked[top:] if entry.has_start]
    for entry in (*ranked[:top], *start):
        evaluation = entry.evaluation
        view.add_row(
            f"{'*' if entry.on_front and len(objectives) > 1 else ''}{entry.rank}",
            f"#{evaluation.candidate.index}",
            evaluation.atoms.get_chemical_formula(),
            *(f"{evaluation.objectives[o.name]:.4f}" for o in objectives),
            f"{entry.above:.3f}",
            f"#{entry.first}",
            f"{entry.members}x",
            *([other[entry.rank]] if other else []),
            end_section=entry.rank == top and bool(start),
        )
    view.caption = "above: weighted sum over the best; first hit, found: of the whole family"
    if other:
        view.caption += "\n/3, x3: rank if costs weighed a third of it, three times as much"
    if len(objectives) > 1:
        view.caption += "\n*: on the Pareto front, no family is better in every objective"
    if start_entry(ranked) is not None:
        view.caption += f"\n{start_words(ranked, objectives)}"
    view.caption_justify = "left"
    return view


def other_ranks(ranked: Sequence[Ranked], objectives: Sequence[Objective]) -> dict[int, str]:
    """Per rank, those under a third of and three times the costs' weights; empty without both."""
    costs = [o for o in objectives if o.name not in ENERGIES and o.weight]
    if not costs or not any(o.name in ENERGIES and o.weight for o in objectives):
        return {}
    places = []
    for factor in (1.0 / SPREAD, SPREAD):
        changed = [replace(o, weight=o.weight * factor) if o in costs else o for o in objectives]
        sums = np.array([weighted_sum(e.evaluation.objectives, changed) for e in ranked])
        order = np.argsort(sums, kind="stable")
        places.append({ranked[i].rank: place for place, i in enumerate(order.tolist(), 1)})
    return {e.rank: f"{places[0][e.rank]},{places[1][e.rank]}" for e in ranked}


def _head(energy: str) -> str:
    """The column head of an energy: its name above its unit."""
    return f"{energy.replace('_energy', '')}\n[{ENERGIES.get(energy, '1')}]"


def operator_table(yields: Sequence[Yield]) -> Any:
    """A rich table of what each operator brought, and of what was refused before any cost."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    view = Table(title="what the operators brought", title_justify="left", box=SIMPLE_HEAD)
    view.padding = (0, 1, 0, 0)
    view.add_column("operator", no_wrap=True)
    heads = ("pro-\nposed", "re-\nfused", "eval-\nuated", "failed", "dupli-\ncates")
    for name in (*heads, "fami-\nlies", "new\nbest", "core\nsec."):
        view.add_column(name, justify="right", no_wrap=True)
    for entry in yields:
        counts = (entry.proposed, entry.refused.total(), entry.evaluated, entry.failed)
        found = (entry.duplicates, entry.families, entry.improvements)
        view.add_row(entry.operator, *map(str, (*counts, *found)), f"{entry.seconds:.1f}")
    reasons = sum((entry.refused for entry in yields), Counter[str]())
    refused = ", ".join(f"{n} {reason.replace('_', ' ')}" for reason, n in reasons.most_common())
    view.caption = "duplicates: relaxed into a family known by then; families: into a new one"
    view.caption += f"\nrefused before any cost: {refused or 'none'}"
    view.caption_justify = "left"
    return view


def held(survey: Survey) -> str:
    """Among how many of how many families were looked for; empty where that is all."""
    if len(survey.numbers) >= survey.good:
        return ""
    return f" among the {len(survey.numbers)} best of {survey.good} evaluations"


def failures(survey: Survey) -> str:
    """How many failed of what, the most frequent first, such as ``3 fused, 1 timed out``.

    What a failure is called is what stands before the colon in its reason.
    """
    return ", ".join(f"{count} {name}" for name, count in survey.failures()[0].most_common())


def lineage(evaluation: Evaluation) -> str:
    """Operator and parents in one phrase, such as ``cut_and_splice of #12, #31``."""
    candidate = evaluation.candidate
    parents = ", ".join(f"#{parent}" for parent in candidate.parents)
    return f"{candidate.operator} of {parents}" if parents else candidate.operator


def row(entry: Ranked) -> dict[str, Any]:
    """A flat record of a ranked family for a table file; energies in eV."""
    evaluation = entry.evaluation
    detail = {
        f"{name}.{key}": value
        for name, score in evaluation.scores.items()
        for key, value in score.detail.items()
    }
    return {
        "rank": entry.rank,
        "candidate": evaluation.candidate.index,
        "formula": evaluation.atoms.get_chemical_formula(),
        "total": entry.total,
        "on_front": entry.on_front,
        "members": entry.members,
        "first_hit": entry.first,
        "lineage": lineage(evaluation),
        **evaluation.objectives,
        **detail,
    }


def labeled(entry: Ranked) -> Atoms:
    """A family's structure with rank, candidate and objectives in its ``info``."""
    atoms = entry.evaluation.atoms.copy()
    atoms.info = {
        "rank": entry.rank,
        "candidate": entry.evaluation.candidate.index,
        "total": entry.total,
    }
    atoms.info |= dict(entry.evaluation.objectives)
    return atoms


def draw(
    plan: Plan, ranked: Sequence[Ranked], folder: Path, *, start: Evaluation | None
) -> list[Path]:
    """Draw the best family and the start structure over each experiment, and the Pareto plot."""
    paths = []
    given = start_entry(ranked[1:])
    shown = {"best": ranked[0].evaluation} | ({"start": given.evaluation} if given else {})
    for name, evaluation in shown.items():
        for channel in plan.recipe.channels:
            path = folder / f"{name}-{channel.name}.png"
            draw_channel(path, channel, evaluation, plan=plan)
            paths.append(path)
    if len(plan.objectives) > 1:
        path = folder / "pareto.png"
        draw_pareto(path, ranked, plan.objectives, title=plan.config.name, start=start)
        paths.append(path)
    return paths


def draw_channel(path: Path, channel: Channel, evaluation: Evaluation, *, plan: Plan) -> None:
    """Simulate a candidate again with its recorded parameters and draw it over the experiment."""
    try:
        seen = see(channel, evaluation.atoms, evaluation.parameters.get(channel.name, {}))
    except EvaluationFailed:
        return
    metric, score = next(iter(seen.scores.items()))
    label = evaluation.candidate.index
    who = f"candidate #{label}" if label >= 0 else "start structure"
    parts = (f"{plan.config.name}: {who}", f"{metric} {score.cost:.4f}", phrase(score.detail))
    draw_placed(
        path,
        seen.placed,
        seen.kind,
        title=", ".join(filter(None, parts)),
        note=footnote(channel.metrics[metric], plan.config.experiments[channel.name].credit),
    )
