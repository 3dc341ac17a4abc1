"""Operators that change how many atoms of each element there are, or which site holds which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import product
from math import factorial, prod

import numpy as np
from ase import Atoms

from htinvert.core import Infeasible, Space
from htinvert.generators.operators.legal import (
    attempt,
    composition_of,
    free_indices,
    insert,
    objection,
    without,
)
from htinvert.geometry.fingerprint import Fingerprints, fingerprint
from htinvert.geometry.roles import region_mask

MOST_ORDERINGS = 500  # arrangements of elements over sites that are looked at one by one
SAME_ORDERING = 1e-6  # difference of fingerprints: equivalent by symmetry
VACANT = ""


def add(atoms: Atoms, *, space: Space, rng: np.random.Generator) -> Atoms:
    """Add an atom of an element that the composition allows more of, at random in the region."""
    counts = composition_of(atoms)
    symbols = [s for s, (_, high) in space.composition.items() if counts[s] < high]
    if not symbols:
        raise Infeasible("the composition, which allows no more atoms")

    def make() -> Atoms:
        return insert(atoms, [symbols[int(rng.integers(len(symbols)))]], space=space, rng=rng)

    return attempt(make, space, what="add", tries=3)


def remove(atoms: Atoms, *, space: Space, rng: np.random.Generator) -> Atoms:
    """Take away an atom of an element that the composition allows fewer of."""
    counts = composition_of(atoms)
    fewer = {s for s, (low, _) in space.composition.items() if counts[s] > low}
    chosen = [i for i in np.flatnonzero(region_mask(atoms)) if atoms[i].symbol in fewer]
    if not chosen:
        raise Infeasible("the composition, which allows no fewer atoms")
    return without(atoms, int(rng.choice(chosen)))


def add_or_remove(atoms: Atoms, *, space: Space, rng: np.random.Generator) -> Atoms:
    """Add an atom to the region or take one away, whichever the composition allows.

    A step in composition space, as in grand-canonical searches: Christiansen & Hammer, J. Chem.
    Phys. 157, 054701 (2022).
    """
    counts = composition_of(atoms)
    moves = [add] * sum(counts[s] < high for s, (_, high) in space.composition.items())
    moves += [remove] * sum(counts[s] > low for s, (low, _) in space.composition.items())
    if not moves:
        raise Infeasible("the composition is fixed")
    return moves[int(rng.integers(len(moves)))](atoms, space=space, rng=rng)


def transmute(atoms: Atoms, *, space: Space, rng: np.random.Generator) -> Atoms:
    """Turn an atom of the region into another element that the composition allows more of.

    Transmutation of USPEX: Glass, Oganov & Hansen, Comput. Phys. Commun. 175, 713 (2006).
    """
    counts = composition_of(atoms)
    ranges = space.composition
    pairs = [
        (i, symbol)
        for i in np.flatnonzero(region_mask(atoms))
        for symbol, (_, high) in ranges.items()
        if symbol != (old := atoms[i].symbol) and counts[symbol] < high
        if counts[old] > ranges.get(old, (0, 0))[0]
    ]
    if not pairs:
        raise Infeasible("the composition, which allows no exchange of one element for another")

    def make() -> Atoms:
        index, symbol = pairs[int(rng.integers(len(pairs)))]
        child = atoms.copy()
        child.symbols[int(index)] = symbol
        return child

    return attempt(make, space, what="transmute")


def reorder(atoms: Atoms, *, space: Space, rng: np.random.Generator) -> Atoms:
    """Draw one of the unlike ways to put elements and vacancies on the region's sites.

    Enumeration of derivative structures after Hart & Forcade, Phys. Rev. B 77, 224115 (2008); where
    there are more than :data:`MOST_ORDERINGS` ways, a random one of them.
    """
    chosen = free_indices(atoms)
    compositions = _allowed(space.composition, len(chosen))
    if sum(_ways(counts, len(chosen)) for counts in compositions) <= MOST_ORDERINGS:
        known = list(orderings(atoms, space=space))
        if not known:
            raise Infeasible("the sites of the region allow no other ordering of its elements")
        return known[int(rng.integers(len(known)))]
    rates = np.array([_ways(counts, len(chosen)) for counts in compositions], dtype=float)

    def make() -> Atoms:
        counts = compositions[int(rng.choice(len(compositions), p=rates / rates.sum()))]
        return _filled(atoms, list(rng.permutation(_letters(counts, len(chosen)))))

    return attempt(make, space, what="reorder", push=False)


def orderings(atoms: Atoms, *, space: Space, most: int = MOST_ORDERINGS) -> Iterator[Atoms]:
    """Every legal, unlike way to put elements and vacancies on the region's sites, but its own.

    Looks at ``most`` ways at the most; those that a symmetry maps onto one another come once.
    """
    seen = {atoms.get_chemical_formula(): Fingerprints()}  # which do not tell a part from a whole
    seen[atoms.get_chemical_formula()].add(fingerprint(atoms))
    chosen = free_indices(atoms)
    looked = 0
    for counts in _allowed(space.composition, len(chosen)):
        for letters in _permutations(counts, len(chosen)):
            if looked == most:
                return
            looked += 1
            child = _filled(atoms, letters)
            if objection(child, space):
                continue
            known = seen.setdefault(child.get_chemical_formula(), Fingerprints())
            vector = fingerprint(child)
            if known.first_like(vector, within=SAME_ORDERING) is None:
                known.add(vector)
                yield child


def _allowed(ranges: Mapping[str, tuple[int, int]], sites: int) -> list[dict[str, int]]:
    """Compositions within their ranges that some sites can hold."""
    numbers = product(*(range(low, min(high, sites) + 1) for low, high in ranges.values()))
    return [
        dict(zip(ranges, counts, strict=True)) for counts in numbers if 0 < sum(counts) <= sites
    ]


def _ways(counts: Mapping[str, int], sites: int) -> int:
    """How many ways there are to put given numbers of atoms of each element on the sites."""
    empty = sites - sum(counts.values())
    return factorial(sites) // prod(map(factorial, (*counts.values(), empty)))


def _letters(counts: Mapping[str, int], sites: int) -> list[str]:
    letters = [symbol for symbol, count in counts.items() for _ in range(count)]
    return letters + [VACANT] * (sites - len(letters))


def _permutations(counts: Mapping[str, int], sites: int) -> Iterator[list[str]]:
    """Distinct arrangements, in lexicographic order."""
    left = Counter(_letters(counts, sites))

    def place(prefix: list[str]) -> Iterator[list[str]]:
        if len(prefix) == sites:
            yield prefix
            return
        for letter in sorted(left):
            if left[letter]:
                left[letter] -= 1
                yield from place([*prefix, letter])
                left[letter] += 1

    return place([])


def _filled(atoms: Atoms, letters: list[str]) -> Atoms:
    """The structure with these elements on the region's sites; vacant ones are left out."""
    child = atoms.copy()
    chosen = np.flatnonzero(region_mask(atoms))
    for index, letter in zip(chosen, letters, strict=True):
        if letter:
            child.symbols[int(index)] = str(letter)
    return without(child, *(int(i) for i, s in zip(chosen, letters, strict=True) if not s))
