"""One of the variants of a structure, chosen by its row, with all of them listed."""

from __future__ import annotations

from typing import Annotated, Literal

from ase import Atoms

from htinvert.core import UserError
from htinvert.declaration.declared import Parameter
from htinvert.structures.variants import adatoms, nudges, substitutions, vacancies

Change = Literal["vacancies", "substitutions", "adatoms", "nudges"]


def variant(
    of: Atoms,
    *,
    change: Change,
    choice: Annotated[int, Parameter("1")] = 0,
    element: str | None = None,
    new: str | None = None,
    count: Annotated[int, Parameter("1")] = 1,
    height: Annotated[float, Parameter("Å")] = 2.0,
    sites: tuple[Literal["top", "bridge", "hollow"], ...] = ("top", "bridge", "hollow"),
    distance: Annotated[float, Parameter("Å")] = 0.35,
) -> Atoms:
    """Change a structure in one of the inequivalent ways; see :mod:`htinvert.structures.variants`.

    Args:
        of: the structure.
        change: vacancies (of ``element``, or of any), substitutions (of ``element`` by ``new``),
            adatoms (``element``, ``height`` [Å] over ``sites``) or nudges (by ``distance`` [Å]).
        choice: row of the list of variants, which ``info["explanation"]`` holds.
        element: symbol of what is taken out, replaced or put on top.
        new: symbol of what replaces it.
        count: how many atoms are taken out or replaced at once.
        height: of an adatom over the atoms around its site [Å].
        sites: where adatoms may go.
        distance: of a nudge [Å].

    Raises :class:`UserError` where an element is missing, nothing can be changed so, or there is no
    such row.
    """
    found = _all(of, change, element, new, count, height, sites, distance)
    if not 0 <= choice < len(found):
        raise UserError(
            f"choice is {choice}, but there are {len(found)} variants by {change} of "
            f"{of.get_chemical_formula()}; choose a row from 0"
        )
    name, atoms = found[choice]
    atoms.info["explanation"] = [
        *of.info.get("explanation", ()),
        *(
            f"row {i}: {other}, {part.get_chemical_formula()}"
            for i, (other, part) in enumerate(found)
        ),
        f"row {choice} is built: {name}",
    ]
    return atoms


def _all(
    of: Atoms,
    change: Change,
    element: str | None,
    new: str | None,
    count: int,
    height: float,
    sites: tuple[str, ...],
    distance: float,
) -> list[tuple[str, Atoms]]:
    if change == "vacancies":
        return vacancies(of, elements=(element,) if element else (), count=count)
    if change == "nudges":
        return nudges(of, distance=distance)
    if element is None:
        raise UserError(f"{change} need element, the symbol of an element; give it")
    if change == "adatoms":
        return adatoms(of, element=element, height=height, sites=sites)
    if new is None:
        raise UserError("substitutions need new, the symbol of what replaces element; give it")
    return substitutions(of, element=element, new=new, count=count)
