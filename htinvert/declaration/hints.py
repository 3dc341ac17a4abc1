"""How what a component takes is annotated, whichever module wrote the annotation."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any, get_type_hints


def hints_of(component: Callable[..., Any]) -> dict[str, Any]:
    """Annotations of a function's or class's parameters by name, with ``Annotated`` kept.

    A dataclass's inherited fields are annotated in the words of the module that has them, which
    need not be imported where it is inherited: a class's own signature would not find them.
    """
    named = inspect.isfunction(component) or is_dataclass(component)
    return get_type_hints(component if named else component.__init__, include_extras=True)
