"""How what a component takes is annotated, whichever module wrote the annotation."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any, get_type_hints


def hints_of(component: Callable[..., Any]) -> dict[str, Any]:
    """Annotations of a function's or class's parameters by name, with ``Annotated`` kept.

    A dataclass's inherited fields are annotated in the words of the module that has them, which
    need not be imported where it is inherited: a class's own signature would not find them.
    """
    return dict(_of_class(component)) if isinstance(component, type) else _read(component)


@functools.cache
def _of_class(component: type) -> dict[str, Any]:
    """Read once: a fit makes a model anew at each of its steps, which checks its bounds by them."""
    return _read(component)


def _read(component: Callable[..., Any]) -> dict[str, Any]:
    named = inspect.isfunction(component) or is_dataclass(component)
    return get_type_hints(component if named else component.__init__, include_extras=True)
