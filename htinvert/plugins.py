"""Find components by name and make them from their parameters.

A component is named by ``use: name``, registered under one of the entry-point groups below by
htinvert itself or by any installed package, or by ``use: "module:attribute"``. It is a dataclass,
or a function, whose annotated parameters are checked by pydantic before it is called.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from htinvert.core import UserError

GROUPS = ("structure", "generator", "energy", "forward", "metric")
CONTEXT = frozenset({"space", "objectives", "seed"})  # what a campaign hands to its generators


def names(kind: str) -> list[str]:
    """Names registered for a kind of component, sorted."""
    return sorted({point.name for point in entry_points(group=f"htinvert.{kind}")})


def suggest(word: str, known: list[str]) -> str:
    """A tail for an error message: the known word that was probably meant, or all of them."""
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(known) or 'none'}"


def find(kind: str, use: str) -> Callable[..., Any]:
    """Load a component. Raises :class:`UserError` where there is none of that name."""
    if ":" in use:
        module, _, attribute = use.partition(":")
        try:
            component = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise UserError(
                f"{kind} {use} cannot be imported ({error}); give an importable module:attribute"
            ) from error
    else:
        points = [p for p in entry_points(group=f"htinvert.{kind}") if p.name == use]
        if not points:
            raise UserError(f"{kind} {use} is unknown; {suggest(use, names(kind))}")
        component = points[0].load()
    if not callable(component):
        raise UserError(f"{kind} {use} is not a class or function")
    return component


def parameters(component: Callable[..., Any]) -> type[BaseModel]:
    """A pydantic model of a component's parameters, those of the campaign's context left out."""
    hints = get_type_hints(component if inspect.isfunction(component) else component.__init__)
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(component).parameters.items():
        if name in CONTEXT:
            continue
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        if default.__class__.__name__ == "_HAS_DEFAULT_FACTORY_CLASS":
            default = None  # the dataclass makes its own
            hints[name] = hints[name] | None
        fields[name] = (hints.get(name, Any), default)
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, protected_namespaces=())
    return create_model("Parameters", __config__=config, **fields)


def validate(
    component: Callable[..., Any], given: Mapping[str, Any], *, folder: Path
) -> dict[str, Any]:
    """Check parameters; paths are taken relative to ``folder`` where they exist there.

    Raises pydantic's ``ValidationError``, for the caller to word.
    """
    checked = parameters(component).model_validate(dict(given))
    values = {name: getattr(checked, name) for name in checked.model_fields_set}
    return {
        name: resolve(value, folder) if isinstance(value, Path) else value
        for name, value in values.items()
    }


def resolve(path: Path, folder: Path) -> Path:
    """A path as seen from ``folder``; a bare name that is no file there stays a bare name."""
    path = path.expanduser()
    nearby = folder / path
    return nearby if nearby.exists() or path.parent != Path() else path


__all__ = [
    "CONTEXT",
    "GROUPS",
    "ValidationError",
    "find",
    "names",
    "parameters",
    "resolve",
    "suggest",
    "validate",
]
