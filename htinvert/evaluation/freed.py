"""What is fitted of a structure: what an experiment frees or what is usual, and what is asked for.

``shift`` stands for every coordinate that the symmetry of a crystal leaves free.
"""

from __future__ import annotations

from collections.abc import Mapping

from ase import Atoms

from htinvert.core import Channel
from htinvert.declaration.abilities import ChoosesFree
from htinvert.declaration.crystal_abilities import Shifts

Bounds = Mapping[str, tuple[float, float]]
ALL = "shift"


def freed(channel: Channel, atoms: Atoms, also: Bounds) -> dict[str, tuple[float, float]]:
    """Bounds of what is to be fitted of ``atoms``, by name; ``also`` are asked for besides.

    Raises:
        UserError: where coordinates are asked for and ``atoms`` have none, or too many.
    """
    usual: Bounds = channel.free
    if not usual and isinstance(channel.forward, ChoosesFree):
        usual = channel.forward.free_of(atoms)
    free = {**usual, **also}
    if ALL in free and isinstance(channel.forward, Shifts):
        bounds = free.pop(ALL)
        each = {f"{ALL}.{name}": bounds for name in channel.forward.shifts(atoms)}
        free = {**each, **free}
    return free
