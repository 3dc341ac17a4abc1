"""The block of one experiment: what every kind of data may say, and what its own kind adds."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BeforeValidator,
    Field,
    SerializeAsAny,
    field_validator,
    model_validator,
)

from htinvert import plugins
from htinvert.core import UserError
from htinvert.declaration.wording import shown
from htinvert.evaluation.optimize import LEAST_SQUARES, METHODS
from htinvert.evaluation.steps import parse_step
from htinvert.signals.kind import DEFAULT, Part, kind_named

PART = r"[A-Za-z0-9_-]{1,80}"  # of an objective's name, whose two parts a dot keeps apart
Bounds = tuple[float, float]
Component = dict[str, Any]


class Experiment(Part):
    """One experiment, how to simulate it, how to compare, and what may be adjusted.

    ``data`` is the file (``image`` is its old spelling); what else says how it is read is the
    kind's, see docs/experiment.md. ``prepare`` are steps on it, in order. ``credit`` is shown under
    every figure. ``free`` parameters of the forward model are fitted to the start structure by
    ``method``; those named in ``refit`` (or all, where it is true) again for each candidate, from
    its parent's values. ``keep`` says which simulated signals stay in the run: ``best`` those of
    the best and of a sample, in 12 bits; ``exact`` all, bit for bit, so that a fork under other
    metrics need not simulate them again; ``auto`` is exact for one that takes a second or more.
    """

    kind: ClassVar[str] = DEFAULT
    """Name of the kind of its data."""

    data: Path
    prepare: tuple[dict[str, Any], ...] = ()
    forward: Component
    metrics: dict[str, Component | None] = Field(min_length=1)
    credit: str = ""
    free: dict[str, Bounds] = Field(default={})
    refit: bool | tuple[str, ...] = False
    method: str = "powell"
    keep: Literal["auto", "exact", "best"] = "auto"

    @property
    def refitted(self) -> tuple[str, ...]:
        """Names of the parameters that every candidate fits."""
        if isinstance(self.refit, bool):
            return tuple(self.free) if self.refit else ()
        return self.refit

    @model_validator(mode="before")
    @classmethod
    def _image_is_data(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping) or "image" not in raw:
            return raw
        if "data" in raw:
            raise ValueError("data and image are two words for one file; leave image out")
        return {"data" if key == "image" else key: value for key, value in raw.items()}

    @field_validator("metrics")
    @classmethod
    def _metrics_have_names(
        cls, metrics: dict[str, Component | None]
    ) -> dict[str, Component | None]:
        for name in metrics:
            if not re.fullmatch(PART, plugins.short(name)):
                raise ValueError(
                    f"{shown(name)} is no name for a metric; use up to 80 letters, digits, _ and -"
                )
        return metrics

    @field_validator("method")
    @classmethod
    def _method_is_known(cls, method: str) -> str:
        known = METHODS if cls.kind == DEFAULT else (*METHODS, LEAST_SQUARES)
        if method.lower() not in known:
            raise ValueError(plugins.suggest(method, list(known)))
        return method.lower()

    @model_validator(mode="after")
    def _refitted_are_free(self) -> Experiment:
        for name in self.refitted:
            if name not in self.free:
                raise ValueError(
                    f"refit names {name}, which is not free; "
                    + plugins.suggest(name, list(self.free))
                )
        return self

    @field_validator("prepare")
    @classmethod
    def _steps_are_known(cls, steps: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        for number, step in enumerate(steps, 1):
            try:
                parse_step(step, kind_named(cls.kind).steps)
            except UserError as error:
                raise ValueError(f"step {number}: {error}") from error
        return steps


def experiment_model(raw: Any) -> type[Experiment]:
    """What an experiment's block may say, by the kind of its forward model's signals.

    An image's, where the block does not tell.
    """
    forward = raw.get("forward") if isinstance(raw, Mapping) else None
    use = forward.get("use") if isinstance(forward, Mapping) else None
    try:
        component = plugins.find("forward", use) if isinstance(use, str) else None
        return model_of(getattr(component, "kind", DEFAULT))
    except UserError:  # which is reported where the component is checked
        return model_of(DEFAULT)


@functools.cache
def model_of(kind: str) -> type[Experiment]:
    """What the block of an experiment of a kind may say. Raises :class:`UserError` if unknown."""
    keys = kind_named(kind).keys
    members = {
        "__module__": __name__,
        "__doc__": Experiment.__doc__,
        "__annotations__": {"kind": ClassVar[str]},
        "kind": kind,
    }
    return type(f"{kind.capitalize()}Experiment", (Experiment, keys), members)


def of_its_kind(raw: Any) -> Experiment:
    """A checked experiment. Raises pydantic's ValidationError, for the caller to word."""
    return raw if isinstance(raw, Experiment) else experiment_model(raw).model_validate(raw)


AnyExperiment = Annotated[SerializeAsAny[Experiment], BeforeValidator(of_its_kind)]
