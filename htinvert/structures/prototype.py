"""Textbook crystals by name and lattice constant, without a network."""

from __future__ import annotations

from ase import Atoms
from ase.build import bulk

from htinvert.core import UserError

CRYSTALS = (
    "fcc",
    "bcc",
    "hcp",
    "diamond",
    "zincblende",
    "rocksalt",
    "cesiumchloride",
    "wurtzite",
    "fluorite",
)

CUBIC = ("fcc", "bcc", "diamond", "zincblende", "rocksalt", "cesiumchloride", "fluorite")


def prototype(
    formula: str,
    *,
    crystal: str,
    a: float,
    c: float | None = None,
    cubic: bool = False,
    repeat: tuple[int, int, int] = (1, 1, 1),
) -> Atoms:
    """Build a crystal: ``formula`` such as Si or CdTe, lattice constants ``a`` and ``c`` [Å].

    ``cubic`` asks for the conventional cell of a cubic crystal. Raises :class:`UserError` for an
    unknown crystal or a formula that does not fit it.
    """
    if crystal not in CRYSTALS:
        raise UserError(f"crystal {crystal} is unknown; choose one of {', '.join(CRYSTALS)}")
    try:
        atoms = bulk(formula, crystal, a=a, c=c, cubic=cubic)
    except (RuntimeError, ValueError, KeyError) as error:
        raise UserError(f"{formula} cannot be built as {crystal}: {error}") from error
    return atoms.repeat(repeat)
