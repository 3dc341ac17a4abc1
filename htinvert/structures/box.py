"""An empty box, where the search of a free cluster begins."""

from __future__ import annotations

from ase import Atoms

from htinvert.core import UserError


def box(size: float) -> Atoms:
    """Make an empty cubic box without periodic images; ``composition`` says what goes into it.

    ``size`` is its edge [Å], which no cluster's diameter may exceed. Raises :class:`UserError` for
    an edge that is not positive.
    """
    if not size > 0:
        raise UserError(f"the box has an edge of {size:g} Å; give size a positive number")
    return Atoms(cell=[size] * 3, pbc=False)
