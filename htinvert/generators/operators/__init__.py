"""Operators: small functions that make a new structure of one or two known ones.

None of them knows an instrument or an energy. Each draws from the generator it is given, leaves
the host as its first parent has it, and raises :class:`htinvert.core.Infeasible`, naming the
constraint that blocks it, where it finds no legal child. The roles of atoms
(:mod:`htinvert.geometry.roles`) are the first parent's, and so is the place of a grain that moves
as one rigid body: only :func:`shift_grain` and a relaxation change it. The operators of ``ase-ga``
keep the composition fixed and know no window, so these are our own.
"""

from htinvert.generators.operators.cluster import relocate_surface, twist
from htinvert.generators.operators.composition import (
    add,
    add_or_remove,
    orderings,
    remove,
    reorder,
    transmute,
)
from htinvert.generators.operators.grain import GRAIN_SHIFT, change_density, shift_grain
from htinvert.generators.operators.legal import (
    composition_of,
    host_of,
    insert,
    is_free_cluster,
    is_valid,
    objection,
)
from htinvert.generators.operators.moves import mirror, permute, rattle, relocate, slide, strain
from htinvert.generators.operators.soft import soft_mutation
from htinvert.generators.operators.splice import cut_and_splice
from htinvert.generators.operators.start import random_structure

__all__ = [
    "GRAIN_SHIFT",
    "add",
    "add_or_remove",
    "change_density",
    "composition_of",
    "cut_and_splice",
    "host_of",
    "insert",
    "is_free_cluster",
    "is_valid",
    "mirror",
    "objection",
    "orderings",
    "permute",
    "random_structure",
    "rattle",
    "relocate",
    "relocate_surface",
    "remove",
    "reorder",
    "shift_grain",
    "slide",
    "soft_mutation",
    "strain",
    "transmute",
    "twist",
]
