"""The columns of a structure in an image: which atoms lie behind each other, and where."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols
from ase.formula import Formula
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from htinvert.core import Floats, UserError
from htinvert.forward.cross_section import cross_section

TOGETHER = 0.4  # Å: atoms that are nearer in projection are one column
MOST_REPEATS = 400  # of a cell along either direction
VACANCY = "vacancy"


@dataclass(frozen=True, eq=False)
class ProjectedColumns:
    """Row and column of each [px], shape (n, 2); which of ``names`` (formulas) each is."""

    places: Floats
    kinds: NDArray[np.int_]
    names: tuple[str, ...]


def project_columns(atoms: Atoms, forward: Any, *, margin: float = 2.0) -> ProjectedColumns:
    """Columns of a structure, repeated along its periodic directions, that lie in an image.

    Args:
        atoms: the structure.
        forward: a forward model of images in its place, see :class:`htinvert.forward.scene.Scene`.
        margin: how far from the image's edge a column's middle must be [px].

    Raises:
        UserError: where the model has no view of positions, or no column is in the image.
    """
    if not hasattr(forward, "view"):
        raise UserError(f"{type(forward).__name__} does not say where atoms appear; choose another")
    view, shape = forward.view(atoms), np.array(forward.shape)
    pixel = float(np.mean(forward.pixel))
    points, numbers = [], []
    for shift in _repeats(atoms, view, shape):
        seen = view.pixels(atoms.positions + shift)
        inside = ((seen > -3 / pixel) & (seen < shape + 3 / pixel)).all(axis=1)
        points.append(seen[inside])
        numbers.append(atoms.numbers[inside])
    where, what = np.concatenate(points), np.concatenate(numbers)
    if not len(where):
        raise UserError("no atom of the structure lies in the image; check beam, up and the place")
    group = _groups(where, TOGETHER / pixel)
    count = int(group.max()) + 1
    weights = what.astype(float)
    total = np.bincount(group, weights, count)
    middle = np.stack([np.bincount(group, weights * p, count) / total for p in where.T], axis=1)
    labels = [_formula(what[np.flatnonzero(group == g)]) for g in _inside(middle, shape, margin)]
    names = tuple(sorted(set(labels)))
    kinds = np.array([names.index(label) for label in labels], dtype=int)
    return ProjectedColumns(middle[_inside(middle, shape, margin)], kinds, names)


def _inside(middle: Floats, shape: NDArray[np.int_], margin: float) -> NDArray[np.int_]:
    return np.flatnonzero(((middle >= margin) & (middle <= shape - 1 - margin)).all(axis=1))


def _repeats(atoms: Atoms, view: Any, shape: NDArray[np.int_]) -> list[Floats]:
    """Translations of the cell [Å] that may bring atoms into the image; none along the beam."""
    across = [
        vector
        for vector, periodic in zip(np.asarray(atoms.cell), atoms.pbc, strict=True)
        if periodic and np.linalg.norm(view.frame[:2] @ vector) > TOGETHER
    ]
    corners = np.array(list(product((0, shape[0] - 1), (0, shape[1] - 1))), dtype=float)
    reach = np.linalg.norm(np.ptp(view.lines(corners) @ view.frame[:2].T, axis=0))
    reach += np.linalg.norm(view.frame[:2] @ np.asarray(atoms.cell).sum(axis=0))
    counts = []
    for vector in across:
        many = int(np.ceil(reach / np.linalg.norm(view.frame[:2] @ vector))) + 1
        if many > MOST_REPEATS:
            raise UserError(f"the cell repeats {many} times across the image; check its pixel size")
        counts.append(range(-many, many + 1))
    return [
        np.sum([n * v for n, v in zip(turn, across, strict=True)] or [np.zeros(3)], axis=0)
        for turn in product(*counts)
    ]


def _groups(points: Floats, reach: float) -> NDArray[np.int_]:
    """Number of the column of each atom: chains of atoms nearer than ``reach``."""
    pairs = cKDTree(points).query_pairs(reach, output_type="ndarray")
    size = len(points)
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(size, size))
    return np.asarray(connected_components(links, directed=False)[1])


def _formula(numbers: NDArray[np.int_]) -> str:
    found = Counter(chemical_symbols[number] for number in numbers)
    return "".join(f"{s}{n if n > 1 else ''}" for s, n in sorted(found.items()))


def predicted_intensity(formula: str, forward: Any) -> float:
    """Cross-section of a column's atoms into the detector [Å²]; 0 for ``vacancy``.

    Raises:
        UserError: where the text is no formula.
    """
    if formula == VACANCY:
        return 0.0
    try:
        counts = Formula(formula).count()
        numbers = {atomic_numbers[symbol]: count for symbol, count in counts.items()}
    except (ValueError, KeyError) as error:
        raise UserError(
            f"{formula} is no formula of a column, such as Mo, S2 or vacancy"
        ) from error
    ring = {key: getattr(forward, key) for key in ("beam_energy", "inner", "outer")}
    return sum(n * cross_section(z, **ring) for z, n in numbers.items())
