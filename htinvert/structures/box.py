"""An empty box, where the search of a free cluster begins."""

from __future__ import annotations

from typing import Annotated

from ase import Atoms

from htinvert.core import UserError
from htinvert.declaration.declared import Parameter


def box(size: Annotated[float, Parameter("Å", 0.0)]) -> Atoms:
    """Make an empty cubic box without periodic images; ``composition`` says what goes into it.

    ``size`` is its edge [Å], which no cluster's diameter may exceed. Raises :class:`UserError` for
    an edge that is not positive.
    """
    if not size > 0:
        raise UserError(f"the box has an edge of {size:g} Å; give size a positive number")
    return Atoms(cell=[size] * 3, pbc=False)
