"""Measurements that a user could make, declared in a small YAML file of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, ValidationError

from htinvert import plugins
from htinvert.config.experiment import Bounds
from htinvert.config.yaml_file import read_yaml
from htinvert.core import Axis, Channel, UserError
from htinvert.declaration.abilities import HasMisfit, OnAxes
from htinvert.declaration.measurement import Measurement
from htinvert.evaluation.fit import adjusted
from htinvert.signals.kind import Part


class FurtherPart(Part):
    """A measurement: a forward model, or one ``like`` an experiment's with other parameters.

    ``range`` is first, last and step of a curve's axis, in the unit that its model has; ``noise``
    is relative to the signal after one unit of exposure, which ``per`` names.
    """

    like: str | None = None
    forward: dict[str, Any] = Field(default={})
    range: tuple[float, float, float] | None = None
    metric: str | None = None
    free: dict[str, Bounds] | None = None
    method: str | None = None
    noise: float = Field(gt=0)
    per: str = Field(default="h", min_length=1)


def declared_further(path: Path, channels: Sequence[Channel]) -> list[Measurement]:
    """The measurements of a file, by their names; ``channels`` are the run's.

    Raises :class:`UserError` for what is no measurement, in a sentence.
    """
    given, found = read_yaml(path), []
    for name, block in given.items():
        try:
            part = FurtherPart.model_validate(block)
        except ValidationError as error:
            words = plugins.words(error, FurtherPart, (str(name),))
            raise UserError(f"{path.name}: " + "\n".join(words)) from error
        found.append(_measurement(str(name), part, {c.name: c for c in channels}, path))
    if not found:
        raise UserError(f"{path.name} names no measurement; give a name and its block")
    return found


def _measurement(
    name: str, part: FurtherPart, known: Mapping[str, Channel], path: Path
) -> Measurement:
    place = f"{path.name}: {name}"
    metric, method = part.metric, part.method
    free: Mapping[str, Bounds] = part.free or {}
    if part.like is None:
        forward = plugins.build("forward", part.forward, path.parent, f"{name}.forward")
    else:
        if part.like not in known:
            hint = plugins.suggest(part.like, list(known))
            raise UserError(f"{place}.like is {part.like}, no experiment of the run; {hint}")
        channel = known[part.like]
        try:
            forward = adjusted(channel.forward, part.forward)
        except (TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{place}.forward: {error}; correct it") from error
        metric = metric or next(
            (n for n, m in channel.metrics.items() if isinstance(m, HasMisfit)), None
        )
        free = channel.free if part.free is None else part.free
        method = method or channel.method
    if part.range is not None:
        forward = _on(forward, part.range, place)
    curve = getattr(forward, "kind", "image") == "curve"
    return Measurement(
        name,
        forward,
        metric or ("rw" if curve else "correlation"),
        part.per,
        part.noise,
        said=f"noise {part.noise:g} of the signal per {part.per}, as given",
        free=free,
        method=method or "powell",
    )


def _on(forward: Any, span: tuple[float, float, float], place: str) -> Any:
    """A curve's model on an axis. Raises :class:`UserError` where it has none, or none so."""
    first, last, step = span
    if not (first < last and step > 0):
        raise UserError(f"{place}.range is {list(span)}; give first, last and step, rising")
    if not isinstance(forward, OnAxes):
        raise UserError(f"{place}.range: {type(forward).__name__} takes no axis; leave it out")
    name, unit = ("Q", "1/Å") if getattr(forward, "quantity", "G") != "G" else ("r", "Å")
    count = int(np.floor((last - first) / step + 1e-6)) + 1
    model: Any = forward
    return replace(model, axes=(Axis(name, unit, step, first),), shape=(count,))
