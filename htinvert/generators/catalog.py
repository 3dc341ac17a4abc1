"""Operators by name, with how many parents each takes and its share of the proposals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ase import Atoms

from htinvert.core import Space
from htinvert.generators import operators
from htinvert.roles import rigid_bodies


def _always(space: Space) -> bool:  # noqa: ARG001  (the form of a condition)
    return True


def _has_rigid_grain(space: Space) -> bool:
    return bool(rigid_bodies(space.template))


@dataclass(frozen=True)
class Operator:
    """A way to make a child: ``apply(parent, [parent,] space=, rng=)`` or ``Infeasible``.

    Attributes:
        apply: the operator itself.
        share: relative rate of proposals where the campaign gives none.
        parents: one or two.
        suits: whether it can do anything in a space.
    """

    apply: Callable[..., Atoms]
    share: float
    parents: int = 1
    suits: Callable[[Space], bool] = _always


CATALOG: Mapping[str, Operator] = {
    "cut_and_splice": Operator(operators.cut_and_splice, 0.35, parents=2),
    "rattle": Operator(operators.rattle, 0.2),
    "slide": Operator(operators.slide, 0.1),
    "relocate": Operator(operators.relocate, 0.15),
    "permute": Operator(operators.permute, 0.1),
    "add_or_remove": Operator(operators.add_or_remove, 0.1),
    "shift_grain": Operator(operators.shift_grain, 0.2, suits=_has_rigid_grain),
}
