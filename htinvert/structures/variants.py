"""Variants of a structure: vacancies, substitutions, adatoms, nudges; each up to symmetry once.

Every function returns names and structures, in an order that neither the order of the atoms nor
rounding decides. What is exchanged lies in the region (tag 1), or anywhere that is not frozen where
no atom has that tag.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import TypeVar

import numpy as np
from ase import Atom, Atoms
from ase.data import atomic_numbers
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray
from scipy.spatial import Delaunay, cKDTree

from htinvert.core import REGION_TAG, UserError
from htinvert.geometry.roles import frozen_mask, region_mask
from htinvert.structures.sanity import coordination_of
from htinvert.structures.symmetry import operations, permutations

SAME = 0.05  # Å: sites that differ less are one site
MOST_EXAMINED = 200_000  # choices of atoms; beyond it random structures are the better tool
SITES = ("top", "bridge", "hollow")
OFF_MIRRORS = math.radians(10.0)  # of a nudge: no low-index mirror plane contains it

Variant = tuple[str, Atoms]
T = TypeVar("T")


def vacancies(
    atoms: Atoms, *, elements: Sequence[str] = (), count: int = 1, limit: int = 200
) -> list[Variant]:
    """Leave out ``count`` atoms in every inequivalent way; of all elements, or of the named ones.

    Raises :class:`UserError` where there are no such atoms, or more than ``limit`` variants.
    """
    found = _choices(atoms, _sites(atoms, elements), count, limit)
    variants = []
    for chosen in found:
        kept = np.ones(len(atoms), dtype=bool)
        kept[list(chosen)] = False  # `del` would refuse where a grain is rigid
        variants.append(atoms[kept])
    return _named("vacancy", [atoms.symbols[list(chosen)] for chosen in found], variants)


def substitutions(
    atoms: Atoms, *, element: str, new: str, count: int = 1, limit: int = 200
) -> list[Variant]:
    """Replace ``count`` atoms of an element by another in every inequivalent way.

    Raises :class:`UserError` where there are no such atoms, or more than ``limit`` variants.
    """
    if not atomic_numbers.get(new):
        raise UserError(f"{new} is no element; give the symbol of one, such as Zn")
    variants = []
    for chosen in _choices(atoms, _sites(atoms, (element,)), count, limit):
        variant = atoms.copy()
        variant.symbols[list(chosen)] = new
        variants.append(variant)
    return [(f"{new}_on_{element}_{i}", variant) for i, variant in enumerate(variants, start=1)]


def adatoms(
    atoms: Atoms,
    *,
    element: str,
    height: float,
    sites: Sequence[str] = SITES,
    depth: float = 1.0,
    limit: int = 200,
) -> list[Variant]:
    """Add an atom on the upper surface of a slab, at each inequivalent top, bridge and hollow site.

    Of the atoms within ``depth`` [Å] of the highest, seen from above: *top* is over one of them,
    *hollow* as far from three or more as from any (a corner of the Voronoi cells), *bridge* halfway
    between two that no third is as close to (an edge of the Gabriel graph: Gabriel & Sokal, Syst.
    Zool. 18, 259 (1969)). The new atom, tag 1, lies ``height`` [Å] above the mean height of the
    atoms around its site. Raises :class:`UserError` for unknown sites, a height that is not
    positive, a cell whose first two vectors leave the xy plane, or more than ``limit`` variants.
    """
    _check_adatom(atoms, element, height, sites)
    surface = np.flatnonzero(atoms.positions[:, 2] > atoms.positions[:, 2].max() - depth)
    plane = atoms.cell.array[:2, :2]
    rotations, shifts = operations(atoms)
    upright = (rotations[:, 2] == (0, 0, 1)).all(axis=1) & (
        np.abs(shifts[:, 2] - np.round(shifts[:, 2])) < 1e-3
    )
    turns, moves = rotations[upright][:, :2, :2], shifts[upright][:, :2]
    variants: list[Variant] = []
    for kind in (site for site in SITES if site in sites):
        inside = _surface_sites(atoms.positions[surface, :2], plane)[kind]
        points = _unlike(inside, plane, turns, moves)
        found = [_with_adatom(atoms, element, point, surface, height) for point in points]
        found.sort(key=_surroundings)
        variants += [(f"{element}_{kind}_{i}", variant) for i, variant in enumerate(found, start=1)]
    return _bounded(variants, limit)


def nudges(atoms: Atoms, *, distance: float = 0.35) -> list[Variant]:
    """Push under-coordinated atoms sideways, so that a relaxation may leave their symmetry.

    An atom on an axis or a mirror plane feels no force off it, although the energy may fall there:
    the unsaturated copper of Cu2O(111) moves 0.5 Å aside and gains 0.1 eV. One variant per set of
    equivalent atoms with fewer neighbors than is the rule for their element; those in the lower
    half of the structure move the opposite way, which keeps inversion. ``distance`` in Å.
    """
    counts, orbits = coordination_of(atoms), permutations(atoms).min(axis=0)
    symbols = np.array(atoms.get_chemical_symbols())
    middle = atoms.positions[:, 2].mean()
    step = distance * np.array([math.cos(OFF_MIRRORS), math.sin(OFF_MIRRORS), 0.0])
    moved, variants = [], []
    for orbit in sorted(set(orbits.tolist()), key=lambda i: _place(atoms, i)):
        members = np.flatnonzero(orbits == orbit)
        usual = np.bincount(counts[symbols == symbols[orbit]]).argmax()
        if counts[orbit] >= usual or frozen_mask(atoms)[members].all():
            continue
        variant = atoms.copy()
        sides = np.where(atoms.positions[members, 2] > middle, 1.0, -1.0)
        moves = sides[:, None] * step
        moves[frozen_mask(atoms)[members]] = 0.0
        variant.positions[members] += moves
        moved.append(atoms.symbols[[orbit]])
        variants.append(variant)
    return _named("nudged", moved, variants)


def _sites(atoms: Atoms, elements: Sequence[str]) -> list[int]:
    """Atoms that may be exchanged, sorted by where they are."""
    free = region_mask(atoms) if region_mask(atoms).any() else ~frozen_mask(atoms)
    symbols = set(elements or atoms.get_chemical_symbols())
    sites = [i for i in np.flatnonzero(free).tolist() if atoms.symbols[i] in symbols]
    if not sites:
        raise UserError(
            f"the region of {atoms.get_chemical_formula()} has no {' or '.join(elements) or 'atom'}"
            " to exchange; name an element that it has, or widen the region"
        )
    return sorted(sites, key=lambda i: _place(atoms, i))


def _place(atoms: Atoms, index: int) -> tuple[str, float, float, float]:
    """Sort key of an atom: element, then from top to bottom, then in the plane."""
    x, y, z = (round(float(value), 2) for value in atoms.positions[index])
    return atoms.symbols[index], -z, y, x


def _choices(atoms: Atoms, sites: Sequence[int], count: int, limit: int) -> list[tuple[int, ...]]:
    """Inequivalent choices of ``count`` of the sites: the first of each orbit of the symmetry."""
    if not 1 <= count <= len(sites):
        raise UserError(f"count is {count} of {len(sites)} atoms; give a number between")
    total = math.comb(len(sites), count)
    if total > MOST_EXAMINED:
        raise UserError(
            f"{count} of {len(sites)} atoms can be chosen in {total} ways, more than "
            f"{MOST_EXAMINED}; lower count or narrow the region"
        )
    images = permutations(atoms)
    seen: set[tuple[int, ...]] = set()
    found: list[tuple[int, ...]] = []
    for chosen in combinations(sites, count):
        if tuple(sorted(chosen)) in seen:
            continue
        seen.update(map(tuple, np.sort(images[:, chosen], axis=1).tolist()))
        found.append(chosen)
    return _bounded(found, limit)


def _bounded(found: list[T], limit: int) -> list[T]:
    if len(found) > limit:
        raise UserError(
            f"there are {len(found)} inequivalent variants, more than limit {limit}; "
            "raise limit or narrow what may change"
        )
    return found


def _named(kind: str, symbols: Sequence[object], variants: Sequence[Atoms]) -> list[Variant]:
    """Name variants by kind, elements and number, counted per kind and elements."""
    names: list[Variant] = []
    counts: dict[str, int] = {}
    for symbol, variant in zip(symbols, variants, strict=True):
        stem = f"{kind}_{symbol}"
        counts[stem] = counts.get(stem, 0) + 1
        names.append((f"{stem}_{counts[stem]}", variant))
    return names


def _check_adatom(atoms: Atoms, element: str, height: float, sites: Sequence[str]) -> None:
    if not atomic_numbers.get(element):
        raise UserError(f"{element} is no element; give the symbol of one, such as Cu")
    if not 0.0 < height < math.inf:
        raise UserError(f"height is {height} Å; give a positive distance above the surface")
    unknown = [site for site in sites if site not in SITES]
    if unknown or not sites:
        raise UserError(f"site {', '.join(unknown) or 'none'} is unknown; give {', '.join(SITES)}")
    if np.abs(atoms.cell.array[:2, 2]).max() > 1e-6 or not len(atoms):
        raise UserError(
            "adatoms need a slab with atoms whose first two cell vectors lie in the xy plane; "
            "make one with structures.slab"
        )


def _surface_sites(
    points: NDArray[np.float64], plane: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Top, bridge and hollow sites [Å] of points in a periodic plane, each of shape (m, 2)."""
    heights = abs(np.linalg.det(plane)) / np.linalg.norm(plane, axis=1)[::-1]
    reach = np.ceil(2.0 * np.linalg.norm(plane, axis=1).max() / heights).astype(int)
    ranges = [np.arange(-n, n + 1) for n in reach]
    images = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 2)
    many = (points[None] + (images @ plane)[:, None]).reshape(-1, 2)
    corners = many[Delaunay(many).simplices]
    sides = corners[:, 1:] - corners[:, :1]
    flat = np.abs(np.linalg.det(sides)) > 1e-6
    squares = (sides[flat] ** 2).sum(axis=2) / 2  # circumcenter: equally far from all corners
    hollows = corners[flat, 0] + np.linalg.solve(sides[flat], squares[..., None])[..., 0]
    pairs = corners[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2, 2)
    middles = pairs.mean(axis=1)
    radius = np.linalg.norm(pairs[:, 0] - pairs[:, 1], axis=1) / 2
    around = cKDTree(many).query_ball_point(middles, radius + SAME, return_length=True)
    return {
        "top": _inside(points, plane),
        "bridge": _inside(middles[np.asarray(around) == 2], plane),
        "hollow": _inside(hollows, plane),
    }


def _inside(points: NDArray[np.float64], plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points in fractions of the cell, those outside of it left out, each kept once."""
    fractions = points @ np.linalg.inv(plane)
    inside = ((fractions > -1.0) & (fractions < 2.0)).all(axis=1)
    wrapped = (fractions[inside] + 1e-4) % 1.0 - 1e-4
    order = np.lexsort(np.round(wrapped.T, 3))
    return np.asarray(wrapped[order])


def _unlike(
    fractions: NDArray[np.float64],
    plane: NDArray[np.float64],
    turns: NDArray[np.int64],
    moves: NDArray[np.float64],
) -> list[NDArray[np.float64]]:
    """One of each set of sites that the operations exchange, in fractions of the cell."""
    kept: list[NDArray[np.float64]] = []
    images = np.zeros((0, 2))
    for point in fractions:
        offset = images - point
        offset -= np.round(offset)
        if (np.linalg.norm(offset @ plane, axis=1) < SAME).any():
            continue
        kept.append(point)
        images = np.vstack([images, point[None], turns @ point + moves])
    return kept


def _with_adatom(
    atoms: Atoms,
    element: str,
    point: NDArray[np.float64],
    surface: NDArray[np.int64],
    height: float,
) -> Atoms:
    """Add an atom above the mean of the surface atoms around a point [fractions of the cell]."""
    offset = atoms.cell.scaled_positions(atoms.positions[surface])[:, :2] - point
    offset -= np.round(offset)
    ranges = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), axis=-1).reshape(-1, 2)
    images = (offset[:, None] + ranges) @ atoms.cell.array[:2, :2]
    lateral = np.linalg.norm(images, axis=2)
    near = lateral < lateral.min() + SAME
    weights = near.sum(axis=1)
    base = float(weights @ atoms.positions[surface, 2] / weights.sum())
    place = point @ atoms.cell.array[:2, :2]
    variant = atoms.copy()
    variant.append(Atom(element, (place[0], place[1], base + height), tag=REGION_TAG))
    return variant


def _surroundings(atoms: Atoms) -> tuple[tuple[float, int], ...]:
    """Sort key of an adatom: distances [Å] and elements of its twelve nearest atoms."""
    first, second, length = neighbor_list("ijd", atoms, 8.0)
    own = first == len(atoms) - 1
    pairs = zip(np.round(length[own], 2).tolist(), atoms.numbers[second[own]].tolist(), strict=True)
    nearest = sorted(pairs)
    return tuple(nearest[:12])
