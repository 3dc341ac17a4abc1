"""Pre-processing declared in the YAML: each step takes a signal and returns one with right axes.

A step is a function; its parameters after the signal are what the YAML may say. A value that is no
mapping is the first of them: ``rotate: 66`` is ``rotate: {angle: 66}``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import numpy as np
from pydantic import ValidationError

from htinvert import plugins
from htinvert.core import Signal, UserError

Steps = Mapping[str, Callable[..., Signal]]


def apply_steps(
    signal: Signal,
    steps: Iterable[Mapping[str, Any]],
    known: Steps,
    *,
    placing: Collection[str],
) -> Signal:
    """Apply steps in order; those in ``placing`` may meet values that are no finite numbers.

    Raises :class:`UserError` naming the step that is wrong or unfit.
    """
    for number, step in enumerate(steps, 1):
        name, given = parse_step(step, known)
        try:
            if name not in placing and not np.isfinite(signal.data).all():
                first = " or ".join(sorted(set(placing) & {"crop", "mask", "range"}))
                raise UserError(f"there are values that are not finite numbers; {first} first")
            signal = known[name](signal, **given)
        except UserError as error:
            raise UserError(f"prepare, step {number}: {error}") from error
    return signal


def parse_step(step: Mapping[str, Any], known: Steps) -> tuple[str, dict[str, Any]]:
    """Name and checked parameters of a step. Raises :class:`UserError` with what was meant."""
    if len(step) != 1:
        raise UserError(f"a step is a mapping with one key, like rotate: 66 (given: {dict(step)})")
    ((name, given),) = step.items()
    if name not in known:
        raise UserError(f"{name} is no step; {plugins.suggest(str(name), sorted(known))}")
    first = next(iter(inspect.signature(known[name]).parameters))
    model = plugins.parameters(known[name], skip=(first,))
    if given is None:
        given = {}
    elif not isinstance(given, Mapping):
        given = {next(iter(model.model_fields)): given}
    try:
        checked = model.model_validate(dict(given))
    except ValidationError as failure:
        raise UserError("; ".join(plugins.words(failure, model, (name,)))) from None
    return name, {key: getattr(checked, key) for key in checked.model_fields_set}
