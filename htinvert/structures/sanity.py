"""Doubts about a crystal, in sentences: is it the phase that its name promises?

Each check is cheap and each has caught a real mistake: a database query by formula and "Fm-3m" gave
fcc silicon, 12 neighbors at 2.73 Å where diamond has 4 at 2.35 Å, and nothing noticed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_names, atomic_numbers, covalent_radii, reference_states
from ase.neighborlist import neighbor_list
from ase.units import _amu
from numpy.typing import NDArray

from htinvert.core import UserError
from htinvert.structures.symmetry import space_group as found_group

SHELL = 1.15  # of the nearest distance: first and second shell of bcc are 1 and 1.155
LOOSE = 0.1  # Å: a relaxed or measured structure may miss its symmetry by this much
TOO_CLOSE, TOO_FAR = 0.7, 1.5  # of the covalent sum
NOBLE = frozenset({2, 10, 18, 36, 54, 86})  # gases that are bonded by next to nothing
VOLUME = 0.15  # an element's volume per atom at rest, experiments against experiments
COMPOUND = (0.5, 1.7)  # a compound's volume in units of that of its elements
DENSITY = 0.05
# Nine of ten compounds that were ever made are closer to the hull [eV/atom].
METASTABLE = 0.067

# Space group, neighbors and nearest distance over a of the elements' reference structures.
REFERENCES = {
    "fcc": ("Fm-3m", 12, math.sqrt(1 / 2)),
    "bcc": ("Im-3m", 8, math.sqrt(3 / 4)),
    "hcp": ("P6_3/mmc", 12, 1.0),
    "diamond": ("Fd-3m", 4, math.sqrt(3 / 16)),
}


def check(
    atoms: Atoms,
    *,
    space_group: str | int | None = None,
    density: float | None = None,
    coordination: int | Mapping[str, int] | None = None,
    energy_above_hull: float | None = None,
) -> list[str]:
    """Sentences about what is doubtful in a bulk crystal; an empty list where nothing is.

    Compares with what is claimed, where it is: space group (symbol or number), ``density`` [g/cm³],
    ``coordination`` (neighbors of every atom, or by element) and ``energy_above_hull`` [eV/atom];
    and always with the elements: closest distance against covalent radii (Cordero et al., Dalton
    Trans. 2832 (2008)), volume and structure against the elements' own. Raises :class:`UserError`
    for a structure without a cell.
    """
    name = atoms.get_chemical_formula(mode="metal", empirical=True)
    exact, loose = found_group(atoms), found_group(atoms, tolerance=LOOSE)
    return [
        *_group(name, exact, loose, space_group),
        *_element(atoms, exact, loose),
        *_distances(atoms, name),
        *_volume(atoms, name),
        *_density(atoms, name, density),
        *_coordination(atoms, name, coordination),
        *_hull(name, energy_above_hull),
    ]


def density_of(atoms: Atoms) -> float:
    """Mass per volume of the cell [g/cm³]."""
    return float(atoms.get_masses().sum() * _amu * 1e3 / (atoms.cell.volume * 1e-24))


def bonds(
    atoms: Atoms,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Neighbors in the first shell: indices i and j, and vectors from i to j [Å], shape (m, 3).

    Two atoms are bonded where their distance is at most 1.15 times the nearest distance of one of
    them, so that metals, ions and molecules need no table; both directions are listed. Raises
    :class:`UserError` where an atom has no other within 20 Å.
    """
    cutoff = 4.0
    while True:
        first, second, length, vectors = neighbor_list("ijdD", atoms, cutoff)
        nearest = np.full(len(atoms), np.inf)
        np.minimum.at(nearest, first, length)
        if SHELL * nearest.max(initial=0.0) <= cutoff:
            break
        if cutoff > 20.0:
            raise UserError(
                f"an atom of {atoms.get_chemical_formula()} has no neighbor within 20 Å; "
                "check that the cell is in Å"
            )
        cutoff *= 1.6
    near = length <= SHELL * np.maximum(nearest[first], nearest[second])
    return first[near], second[near], vectors[near]


def coordination_of(atoms: Atoms) -> NDArray[np.int64]:
    """How many neighbors each atom has in its first shell (see `bonds`), shape (n,)."""
    return np.bincount(bonds(atoms)[0], minlength=len(atoms))


def same_group(claimed: str | int, symbol: str, number: int) -> bool:
    """Whether a claim, a symbol in any spelling or a number, names this space group."""
    text = _plain(str(claimed))
    return text in (_plain(symbol), str(number))


def _plain(symbol: str) -> str:
    return "".join(letter for letter in symbol if letter not in " _'\"").lower()


def _group(
    name: str, exact: tuple[str, int], loose: tuple[str, int], claimed: str | int | None
) -> list[str]:
    if claimed is None or same_group(claimed, *exact) or same_group(claimed, *loose):
        return []
    return [
        f"{name} is given as space group {claimed}, but its atoms have {exact[0]} ({exact[1]}); "
        "check the file or the query"
    ]


def _element(atoms: Atoms, exact: tuple[str, int], loose: tuple[str, int]) -> list[str]:
    """An element in another structure than the one it has at rest."""
    numbers = set(atoms.numbers.tolist())
    if len(numbers) != 1:
        return []
    number = numbers.pop()
    reference = reference_states[number] or {}
    expected = REFERENCES.get(str(reference.get("symmetry")))
    if expected is None or _atomic_volume(number) is None or expected[0] in (exact[0], loose[0]):
        return []
    group, neighbors, ratio = expected
    nearest = reference["a"] * ratio
    if reference["symmetry"] == "hcp":
        nearest = min(nearest, reference["a"] * math.sqrt(1 / 3 + reference["c/a"] ** 2 / 4))
    name = next((f"as {k} " for k, v in REFERENCES.items() if v[0] == exact[0]), "")
    count, distance = _shell(atoms)
    return [
        f"{atoms.symbols[0]} is given {name}({exact[0]}, {count} neighbors at {distance:.2f} Å); "
        f"the reference structure of {atomic_names[number].lower()} is {reference['symmetry']} "
        f"({group}) with {neighbors} at {nearest:.2f} Å; did you mean that?"
    ]


def _shell(atoms: Atoms) -> tuple[int, float]:
    """Commonest number of neighbors and shortest distance [Å]."""
    counts = Counter(coordination_of(atoms).tolist())
    return counts.most_common(1)[0][0], float(np.linalg.norm(bonds(atoms)[2], axis=1).min())


def _atomic_volume(number: int) -> float | None:
    """Volume per atom [Å³] of the element at rest; None where ASE does not know it.

    Selenium and tellurium are listed as hcp, which they are not: their c/a gives them away.
    """
    reference: dict[str, Any] = reference_states[number] or {}
    a, ratio = reference.get("a", 0.0), reference.get("c/a", 0.0)
    per_atom = {
        "fcc": 1 / 4,
        "bcc": 1 / 2,
        "diamond": 1 / 8,
        "hcp": math.sqrt(3) / 4 * ratio if ratio > 1.5 else None,
    }.get(str(reference.get("symmetry")))
    return None if per_atom is None else float(a**3 * per_atom)


def _volume(atoms: Atoms, name: str) -> list[str]:
    volumes = [_atomic_volume(number) for number in atoms.numbers]
    known = [volume for volume in volumes if volume is not None]
    if len(known) < len(volumes):
        return []
    ratio = atoms.cell.volume / sum(known)
    pure = len(set(atoms.numbers.tolist())) == 1
    low, high = (1.0 - VOLUME, 1.0 + VOLUME) if pure else COMPOUND
    if low <= ratio <= high:
        return []
    return [
        f"{name} has {atoms.cell.volume / len(atoms):.1f} Å³ per atom where its element"
        f"{'' if pure else 's'} at rest {'has' if pure else 'have'} {sum(known) / len(known):.1f}; "
        "check the lattice constants and the phase"
    ]


def _distances(atoms: Atoms, name: str) -> list[str]:
    first, second, vectors = bonds(atoms)
    length = np.linalg.norm(vectors, axis=1)
    ratio = length / (covalent_radii[atoms.numbers[first]] + covalent_radii[atoms.numbers[second]])
    worst = int(ratio.argmin())
    loose = NOBLE.issuperset(atoms.numbers[[first[worst], second[worst]]].tolist())
    if ratio[worst] >= TOO_CLOSE and (ratio[worst] <= TOO_FAR or loose):
        return []
    pair = f"{atoms.symbols[first[worst]]}-{atoms.symbols[second[worst]]}"
    return [
        f"the closest atoms of {name} ({pair}) are {length[worst]:.2f} Å apart, {ratio[worst]:.2f} "
        "of the sum of their covalent radii; check the lattice constants and their unit, Å"
    ]


def _density(atoms: Atoms, name: str, claimed: float | None) -> list[str]:
    found = density_of(atoms)
    if claimed is None or abs(found / claimed - 1.0) <= DENSITY:
        return []
    return [
        f"{name} has a density of {found:.2f} g/cm³, not the {claimed:.2f} g/cm³ that is claimed; "
        "check the lattice constants and the number of atoms in the cell"
    ]


def _coordination(atoms: Atoms, name: str, claimed: int | Mapping[str, int] | None) -> list[str]:
    if claimed is None:
        return []
    symbols = sorted(set(atoms.get_chemical_symbols()))
    by_element = dict.fromkeys(symbols, claimed) if isinstance(claimed, int) else claimed
    unknown = sorted(element for element in by_element if not atomic_numbers.get(element))
    if unknown:
        raise UserError(f"coordination names {', '.join(unknown)}, which is no element; check it")
    found = coordination_of(atoms)
    sentences = []
    for element, wanted in by_element.items():
        counts = Counter(found[atoms.symbols == element].tolist())
        if set(counts) - {wanted}:
            text = ", ".join(f"{count} with {n}" for n, count in sorted(counts.items()))
            sentences.append(
                f"{element} in {name} should have {wanted} neighbors, but of its atoms there are "
                f"{text}; check the phase"
            )
    return sentences


def _hull(name: str, energy: float | None) -> list[str]:
    """Source: Sun et al., Sci. Adv. 2, e1600225 (2016)."""
    if energy is None or energy <= METASTABLE:
        return []
    return [
        f"{name} lies {energy:.3f} eV/atom above the convex hull, more than nine of ten compounds "
        f"that were ever made ({METASTABLE} eV/atom); check the phase"
    ]
