"""Whether a class or function can be a component of its kind, as far as that shows before a call.

What no package registers must say so itself: a structure is a function annotated ``-> Atoms``; all
others are classes with ``__call__``, generators such with ``ask`` and ``tell``, or functions whose
annotation says what class they make.
"""

from __future__ import annotations

import inspect
from typing import Any

from ase import Atoms

from htinvert.core import UserError
from htinvert.declaration.hints import hints_of


def check_role(kind: str, use: str, component: Any) -> None:
    """Raise :class:`UserError` for what cannot be a component of a kind; calls nothing."""
    makes = _made_by(component)
    if kind == "structure":
        fits, wanted = makes is Atoms, "a function annotated `-> Atoms`"
    else:
        methods = ("ask", "tell") if kind == "generator" else ("__call__",)
        fits = makes is not None or (inspect.isclass(component) and _has(component, methods))
        wanted = f"a class with {' and '.join(methods)}, or a function that says what it makes"
    if not fits:
        raise UserError(f"{kind} {use} is no {kind}, which is {wanted}; name or write another")


def _has(component: type, methods: tuple[str, ...]) -> bool:
    return all(any(name in vars(part) for part in component.__mro__[:-1]) for name in methods)


def _made_by(component: Any) -> Any:
    """What a function says that it returns; None for others, and for text, numbers and nothing."""
    if not inspect.isfunction(component):
        return None
    try:
        made = hints_of(component).get("return")
    except (NameError, TypeError, AttributeError):
        return None
    return None if getattr(made, "__module__", "") == "builtins" else made
