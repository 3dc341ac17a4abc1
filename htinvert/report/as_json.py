"""What commands say, as plain values that scripts read: numbers in eV, Å and seconds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from htinvert.campaign.funnel import objectives_of
from htinvert.campaign.inputs import changed_inputs
from htinvert.campaign.plan import Plan
from htinvert.core import Objective
from htinvert.evaluation.fit import Fitted
from htinvert.metrics.likelihood import as_plain
from htinvert.ranking.decide import Decision
from htinvert.ranking.rank import Ranked, rank, unit_of_sum
from htinvert.ranking.survey import Survey
from htinvert.report.curve_rank import Explained
from htinvert.report.summary import lineage
from htinvert.store import RunStore
from htinvert.store.lock import is_owned


def written(values: Any) -> str:
    """Values as JSON; what is no finite number is null, for JSON has none."""
    return json.dumps(_plain(values), indent=1, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(part) for part in value]
    if isinstance(value, str | bool | None):
        return value
    if isinstance(value, Path):
        return str(value)
    number = float(value)
    if not math.isfinite(number):
        return None
    return int(number) if isinstance(value, int) else number


def status_values(folder: Path) -> dict[str, Any]:
    """How far a run is. Raises :class:`~htinvert.core.UserError` where the folder is no run."""
    objectives = objectives_of(folder)
    survey = Survey(objectives)
    with RunStore.open(folder) as store:
        counts = store.counts()
        survey.read(store)
    ranked = rank(survey.best(), objectives)
    return {
        "run": folder,
        "running": bool(is_owned(folder)),
        "evaluated": counts.ok,
        "failed": counts.failed,
        "pending": counts.pending,
        "refused": dict(counts.refused),
        "core_seconds": survey.seconds,
        "families": len(ranked),
        "best": ranking_values(ranked[:1], objectives)["families"][0] if ranked else None,
        "changed_inputs": list(changed_inputs(folder).values()),
    }


def ranking_values(ranked: Sequence[Ranked], objectives: Sequence[Objective]) -> dict[str, Any]:
    """Families in their order, with the weights that order them."""
    return {
        "objectives": {objective.name: as_plain(objective) for objective in objectives},
        "unit": unit_of_sum(objectives) or None,
        "families": [
            {
                "rank": entry.rank,
                "candidate": entry.evaluation.candidate.index,
                "formula": entry.evaluation.atoms.get_chemical_formula(),
                "objectives": {o.name: entry.evaluation.objectives[o.name] for o in objectives},
                "total": entry.total,
                "above": entry.above,
                "members": entry.members,
                "first": entry.first,
                "on_front": entry.on_front,
                "has_start": entry.has_start,
                "lineage": lineage(entry.evaluation),
            }
            for entry in ranked
        ],
    }


def decision_values(decision: Decision) -> dict[str, Any]:
    """Which families are left by which data."""
    indices = [entry.evaluation.candidate.index for entry in decision.ranked]
    return {
        "families": indices,
        "choices": [
            {
                "data": list(choice),
                "left": [index for index, inside in zip(indices, row, strict=True) if inside],
                "first": indices[decision.first(choice)],
            }
            for choice, row in zip(decision.choices, decision.inside.tolist(), strict=True)
        ],
        "misfits": {n: {"best": b, "floor": f} for n, (b, f) in decision.misfits.items()},
        "positions": {
            name: {"error": off.distance, "misfit": off.share, "model_error": off.model}
            for name, off in decision.misplaced.items()
        },
        "price": decision.price,
        "inconsistent": decision.inconsistent,
    }


def check_values(plan: Plan, found: Mapping[str, Any], said: Sequence[str]) -> dict[str, Any]:
    """What `check` found: ``found`` in numbers, ``said`` in lines."""
    stop = plan.config.stop
    return {
        "campaign": plan.config.name,
        "atoms": len(plan.space.template),
        "composition": {symbol: list(ends) for symbol, ends in plan.space.composition.items()},
        "objectives": {objective.name: as_plain(objective) for objective in plan.objectives},
        "workers": plan.config.workers,
        "stop": {"evaluations": stop.evaluations, "minutes": stop.minutes},
        **found,
        "warnings": [s.removeprefix("warning: ") for s in said if s.startswith("warning: ")],
        "pictures": [s.removeprefix("drawn: ") for s in said if s.startswith("drawn: ")],
    }


def fit_values(result: Fitted | Sequence[Explained]) -> dict[str, Any]:
    """The fit of one structure, or of each of a folder, best first."""
    if isinstance(result, Fitted):
        costs = {name: score.cost for name, score in result.scores.items()}
        return {"costs": costs, "parameters": result.parameters, "trials": len(result.trials)}
    return {
        "structures": [
            {
                "name": entry.name,
                "atoms": entry.atoms,
                "cost": entry.cost,
                "told_from_first": not entry.rival,
                "parameters": entry.parameters,
            }
            for entry in result
        ]
    }
