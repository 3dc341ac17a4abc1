"""What a campaign's objectives may be worth: a weight by hand, or a likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from htinvert import plugins
from htinvert.config.experiment import Experiment
from htinvert.declaration.abilities import HasMisfit
from htinvert.signals.kind import Part

WORD = "likelihood"


class LikelihoodPart(Part):
    """The numbers of a likelihood, where others than those that the data say are wanted.

    Of an experiment ``points``, how many of its points are independent, ``floor``, the relative
    root mean square residual that the model errs by, and ``misfit``, how that follows from the
    cost; of an energy ``kT`` [eV].
    """

    points: float | None = Field(default=None, gt=0)
    floor: float | None = Field(default=None, gt=0, le=1)
    misfit: Literal["cost", "correlation"] | None = None
    kT: float | None = Field(default=None, gt=0)  # noqa: N815  (the field's own symbol)


def _worded(value: Any) -> Any:
    """The word alone is a likelihood with the numbers that the data say."""
    if isinstance(value, str) and value != WORD:
        raise ValueError(
            f"{value!r} is neither a weight nor the word {WORD}; give a number, {WORD}, or its "
            "numbers such as {points: 80, floor: 0.1} or {kT: 0.5}"
        )
    return {} if value == WORD else value


def _which(value: Any) -> str:
    return WORD if isinstance(value, dict | LikelihoodPart) else "weight"


Worth = Annotated[
    Annotated[float, Tag("weight")] | Annotated[LikelihoodPart, Tag(WORD)],
    Discriminator(_which),
    BeforeValidator(_worded, json_schema_input_type=float | Literal["likelihood"] | LikelihoodPart),
]


def named_objectives(
    given: Mapping[str, float | LikelihoodPart], experiments: Mapping[str, Experiment]
) -> tuple[dict[str, float | LikelihoodPart], list[str]]:
    """Objectives by their full names, for a likelihood may name an experiment alone; and mistakes.

    It is of the first of its metrics that has one.
    """
    found, problems = {}, []
    for name, worth in given.items():
        full = name
        if isinstance(worth, LikelihoodPart) and name in experiments:
            metric = _with_misfit(experiments[name])
            full = f"{name}.{metric}"
            if not metric:
                problems.append(
                    f"objectives.{name}: none of its metrics is a residual of least squares, which "
                    f"a likelihood is of; add one to experiments.{name}.metrics, such as "
                    "correlation for an image or rw for a curve"
                )
        found[full] = worth
    return found, problems


def _with_misfit(experiment: Experiment) -> str:
    """The name of an experiment's first metric that has a likelihood; empty where none has."""
    for metric, given in experiment.metrics.items():
        if isinstance(plugins.find("metric", (given or {}).get("use", metric)), HasMisfit):
            return plugins.short(metric)
    return ""
