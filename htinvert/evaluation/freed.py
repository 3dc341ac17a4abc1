"""What is fitted of a structure: what an experiment frees or what is usual, and what is asked for.

``shift`` stands for every coordinate that the symmetry of a crystal leaves free.
"""

from __future__ import annotations

from collections.abc import Mapping

from ase import Atoms

from htinvert.core import Channel, UserError
from htinvert.declaration.abilities import ChoosesFree
from htinvert.declaration.crystal_abilities import Shifts
from htinvert.evaluation.fit import adjusted

Bounds = Mapping[str, tuple[float, float]]
ALL = "shift"


def freed(channel: Channel, atoms: Atoms, also: Bounds) -> dict[str, tuple[float, float]]:
    """Bounds of what is to be fitted of ``atoms``, by name; ``also`` are asked for besides.

    Raises:
        UserError: where coordinates are asked for and ``atoms`` have none, or too many, and where
            the forward model does not allow a bound that is asked for.
    """
    for name, bounds in also.items():
        if name != ALL:
            _check(channel, name, bounds)
    usual: Bounds = channel.free
    if not usual and isinstance(channel.forward, ChoosesFree):
        usual = channel.forward.free_of(atoms)
    free = {**usual, **also}
    if ALL in free and isinstance(channel.forward, Shifts):
        bounds = free.pop(ALL)
        each = {f"{ALL}.{name}": bounds for name in channel.forward.shifts(atoms)}
        for name in each:
            _check(channel, name, bounds)
        free = {**each, **free}
    return free


def _check(channel: Channel, name: str, bounds: tuple[float, float]) -> None:
    """Raise :class:`UserError` for a bound that the forward model refuses as a value."""
    if not hasattr(channel.forward, name.partition(".")[0]):
        raise UserError(f"{channel.name} has no parameter {name}; take it out of free")
    for value in bounds:
        try:
            adjusted(channel.forward, {name: value})
        except ValueError as error:
            raise UserError(f"free {name}={bounds[0]:g}:{bounds[1]:g}: {error}") from error
