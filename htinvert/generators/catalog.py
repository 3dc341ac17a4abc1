"""Operators by name, with how many parents each takes and its share of the proposals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ase import Atoms

from htinvert.core import Space
from htinvert.generators import operators
from htinvert.generators.operators import is_free_cluster
from htinvert.geometry.roles import rigid_bodies


def _always(space: Space) -> bool:  # noqa: ARG001  (the form of a condition)
    return True


def _has_rigid_grain(space: Space) -> bool:
    return bool(rigid_bodies(space.template))


def _is_bound(space: Space) -> bool:
    return not is_free_cluster(space)


def _is_region(space: Space) -> bool:
    return space.region is not None and not _is_fixed(space)


def _is_fixed(space: Space) -> bool:
    return all(low == high for low, high in space.composition.values())


def _varies(space: Space) -> bool:
    return not _is_fixed(space)


def _mixes(space: Space) -> bool:
    return sum(high > 0 for _, high in space.composition.values()) > 1


def _mixes_and_varies(space: Space) -> bool:
    return _mixes(space) and _varies(space)


@dataclass(frozen=True)
class Operator:
    """A way to make a child: ``apply(parent, [parent,] space=, rng=)`` or ``Infeasible``.

    Attributes:
        apply: the operator itself.
        share: relative rate of proposals where the campaign gives none.
        parents: one or two.
        suits: whether it can do anything in a space.
        hop: relative rate among the steps of a walk; 0 where it is none.
    """

    apply: Callable[..., Atoms]
    share: float
    parents: int = 1
    suits: Callable[[Space], bool] = _always
    hop: float = 0.0


CATALOG: Mapping[str, Operator] = {
    "cut_and_splice": Operator(operators.cut_and_splice, 0.35, parents=2),
    "rattle": Operator(operators.rattle, 0.2, hop=0.6),
    "slide": Operator(operators.slide, 0.1, suits=_is_bound),
    "relocate": Operator(operators.relocate, 0.15, suits=_is_bound, hop=0.2),
    "permute": Operator(operators.permute, 0.1, suits=_mixes, hop=0.2),
    "add_or_remove": Operator(operators.add_or_remove, 0.1, suits=_varies, hop=0.3),
    "transmute": Operator(operators.transmute, 0.05, suits=_mixes_and_varies, hop=0.1),
    "reorder": Operator(operators.reorder, 0.0, suits=_mixes),
    "mirror": Operator(operators.mirror, 0.05),
    "soft_mutation": Operator(operators.soft_mutation, 0.05),
    "shift_grain": Operator(operators.shift_grain, 0.2, suits=_has_rigid_grain, hop=0.3),
    "change_density": Operator(operators.change_density, 0.05, suits=_is_region),
    "relocate_surface": Operator(operators.relocate_surface, 0.4, suits=is_free_cluster, hop=1.6),
    "twist": Operator(operators.twist, 0.1, suits=is_free_cluster, hop=1.0),
    "strain": Operator(operators.strain, 0.05, suits=is_free_cluster),
}
