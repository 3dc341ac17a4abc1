"""Occupations on a lattice, seen in an image: a grid of probabilities, and shells of neighbors.

A hexagonal lattice (the columns of one kind in a layer MX2) is a grid in axial coordinates: row i
lies half a spacing to the right of row i - 1, so that neighbors of (i, j) are (i, j ± 1),
(i ± 1, j), (i + 1, j - 1) and (i - 1, j + 1).
"""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from htinvert.core import Floats, UserError
from htinvert.image.parsing import parsing
from htinvert.image.sizes import load_arrays
from htinvert.plugins import suggest

LATTICES = {"square": ((1.0, 0.0), (0.0, 1.0)), "hexagonal": ((1.0, 0.0), (0.5, 3**0.5 / 2))}
REACH, FARTHEST = 6, 4.1  # spacings that are searched for shells, and within which all are found
OFF = 0.3  # of a spacing: how far a site may be from the lattice
TOLD = ("occupation", "probability", "p")  # names of a column of numbers
CERTAIN = 1e-9  # probabilities are kept this far from 0 and 1


@dataclass(frozen=True, eq=False)
class Occupations:
    """Which of two species sits on each site of a grid.

    Attributes:
        name: of the file.
        lattice: ``square`` or ``hexagonal``.
        probability: of the second species, shape (i, j); nan where no site is seen.
        species: names of the first and the second.
        weighed: whether somebody has weighed the doubt about each site already.
    """

    name: str
    lattice: str
    probability: Floats
    species: tuple[str, str] = ("0", "1")
    weighed: bool = False

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Sites that are in the image."""
        return np.asarray(np.isfinite(self.probability))

    @property
    def certain(self) -> bool:
        """Whether no site has a probability between 0 and 1."""
        known = self.probability[self.seen]
        return bool(((known == 0.0) | (known == 1.0)).all())

    @property
    def spins(self) -> NDArray[np.int8]:
        """The likelier species of each site: -1 the first, 1 the second, 0 where none is seen."""
        likely = np.where(np.nan_to_num(self.probability) >= 0.5, 1, -1)
        return np.where(self.seen, likely, 0).astype(np.int8)


def shells(lattice: str, count: int) -> list[NDArray[np.int_]]:
    """Offsets (i, j) of the first shells of neighbors, both directions of each, shape (z, 2)."""
    if lattice not in LATTICES:
        raise UserError(f"lattice {lattice} is unknown; {suggest(lattice, list(LATTICES))}")
    basis = np.array(LATTICES[lattice])
    steps = np.array([(i, j) for i in range(-REACH, REACH + 1) for j in range(-REACH, REACH + 1)])
    lengths = np.round(np.linalg.norm(steps[:, ::-1] @ basis, axis=1), 6)
    known = np.unique(lengths[(lengths > 0) & (lengths <= FARTHEST)])
    if not 1 <= count <= len(known):
        raise UserError(f"{count} shells are asked for; give 1 to {len(known)}")
    return [steps[lengths == length] for length in known[:count]]


def make_occupations(
    values: NDArray[np.floating], lattice: str, *, name: str = "occupations"
) -> Occupations:
    """Occupations of an array (i, j): 0 and 1, probabilities between, nan or -1 where none is seen.

    Raises:
        UserError: where values are outside of 0 and 1, or the lattice is unknown.
    """
    shells(lattice, 1)
    grid = np.asarray(values, dtype=float)
    if grid.ndim != 2:
        raise UserError(f"{name} has shape {grid.shape}; give one array (i, j) of occupations")
    grid = np.where(grid == -1.0, np.nan, grid)
    known = grid[np.isfinite(grid)]
    if len(known) and (known.min() < 0.0 or known.max() > 1.0):
        wrong = known.min() if known.min() < 0.0 else known.max()
        raise UserError(
            f"{name} has an occupation of {wrong:g}; give 0 or 1, a probability between, or nan "
            "for no site"
        )
    return Occupations(name, lattice, grid)


def read_occupations(path: Path, lattice: str) -> Occupations:
    """Occupations of an ``.npy`` (i, j), or of a ``.csv`` with columns x, y and species.

    Instead of ``species``, two names, the table may have ``probability``, 0 to 1. Sites of a table
    are put on the lattice; lengths may be in any unit.

    Raises:
        UserError: where there is no such file, or sites do not lie on the lattice.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}; give occupations as .csv or .npy")
    if path.suffix in (".npy", ".npz"):
        arrays = load_arrays(path)
        if len(arrays) != 1:
            raise UserError(f"{path.name} holds {', '.join(arrays)}; give one array (i, j)")
        return make_occupations(next(iter(arrays.values())), lattice, name=path.name)
    if path.suffix.lower() != ".csv":
        raise UserError(f"{path.name} is neither .csv nor .npy; columns writes a .csv")
    with parsing(path, "a table of sites", "give columns x, y and species"):
        return _of_table(path, lattice)


def _of_table(path: Path, lattice: str) -> Occupations:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = set(rows[0]) if rows else set()
    told = next((name for name in TOLD if name in names), None)
    if not {"x", "y"} <= names or (told is None and "species" not in names):
        raise UserError(
            f"{path.name} has columns {', '.join(sorted(names)) or 'none'}; give x, y and species, "
            "or x, y and probability"
        )
    points = np.array([(float(row["x"]), float(row["y"])) for row in rows])
    species = ("0", "1")
    if told is not None:
        values = np.array([float(row[told] or "nan") for row in rows])
        if "species" in names:
            species = _named([row["species"] for row in rows], values)
    else:
        kinds = sorted({row["species"] for row in rows})
        if len(kinds) != 2:
            raise UserError(
                f"{path.name} has species {', '.join(kinds)}; two are needed, leave out other sites"
            )
        species = (kinds[0], kinds[1])
        values = np.array([float(row["species"] == kinds[1]) for row in rows])
    grid = np.full(_extent(indices := lattice_indices(points, lattice, path.name)), np.nan)
    grid[tuple((indices - indices.min(axis=0)).T)] = values
    made = make_occupations(grid, lattice, name=path.name)
    return Occupations(made.name, lattice, made.probability, species, told is not None)


def _named(kinds: list[str], values: Floats) -> tuple[str, str]:
    """The commonest name of sites that are likelier the first species, and of the others."""
    names = []
    for number, side in enumerate((values < 0.5, values >= 0.5)):
        there = Counter(kind for kind, is_there in zip(kinds, side, strict=True) if is_there)
        names.append(there.most_common(1)[0][0] if there else str(number))
    return names[0], names[1]


def _extent(indices: NDArray[np.int_]) -> tuple[int, int]:
    low, high = indices.min(axis=0), indices.max(axis=0)
    return int(high[0] - low[0] + 1), int(high[1] - low[1] + 1)


def lattice_indices(points: Floats, lattice: str, name: str = "sites") -> NDArray[np.int_]:
    """Indices (i, j) of sites at (x, y), shape (n, 2), on a lattice that is fitted to them.

    From site to site, over nearest neighbors, so that slow distortions do no harm.

    Raises:
        UserError: where sites do not lie on such a lattice.
    """
    shells(lattice, 1)
    tree = cKDTree(points)
    distances, near = tree.query(points, k=min(9, len(points)))
    spacing = float(np.median(distances[:, 1])) if len(points) > 4 else 0.0
    if not spacing > 0.0:
        raise UserError(f"{name} holds {len(points)} sites; a lattice cannot be seen in so few")
    fold = 4 if lattice == "square" else 6
    bonds = (points[near[:, 1:]] - points[:, None]).reshape(-1, 2)
    length = np.linalg.norm(bonds, axis=1)
    bonds = bonds[(length > 0.8 * spacing) & (length < 1.2 * spacing)]
    angle = np.angle(np.mean(np.exp(1j * fold * np.arctan2(bonds[:, 1], bonds[:, 0])))) / fold
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    basis = spacing * np.array(LATTICES[lattice]) @ turn
    middle = int(((points - points.mean(axis=0)) ** 2).sum(axis=1).argmin())
    indices = np.full((len(points), 2), np.iinfo(np.int64).min)
    indices[middle] = 0
    known = np.zeros(len(points), dtype=bool)
    known[middle] = True
    front = [middle]
    while front:
        following = []
        for site in front:
            others = near[site, 1:][~known[near[site, 1:]]]
            steps = np.linalg.solve(basis.T, (points[others] - points[site]).T).T
            whole = np.rint(steps).astype(int)
            good = np.abs(steps - whole).max(axis=1, initial=0) < OFF
            good &= np.abs(whole).max(axis=1, initial=0) <= 1
            for other, step in zip(others[good], whole[good], strict=True):
                indices[other] = indices[site] + step[::-1]
                known[other] = True
                following.append(int(other))
        front = following
    placed = indices[known]
    alike = len(np.unique(placed, axis=0)) == len(placed)
    if known.mean() < 0.9 or not alike or _fitting(points[known], placed, lattice, spacing) < 0.8:
        raise UserError(
            f"{name}: its sites do not lie on a {lattice} lattice, one each; choose the other "
            "lattice, or give sites of one sublattice"
        )
    if not known.all():
        low, high = placed.min(axis=0), placed.max(axis=0)
        raise UserError(
            f"{name}: {int((~known).sum())} sites do not lie on the lattice of the others (indices "
            f"{low} to {high}); leave them out"
        )
    return indices


def _fitting(points: Floats, indices: NDArray[np.int_], lattice: str, spacing: float) -> float:
    """Share of the pairs of two shells that are as far apart as the lattice says, within 15 %."""
    low, high = indices.min(axis=0) - 2, indices.max(axis=0) + 3
    grid = np.full(high - low, -1)
    grid[tuple((indices - low).T)] = np.arange(len(points))
    ratios = []
    for shell in shells(lattice, 2):
        length = float(np.linalg.norm(shell[0][::-1] @ np.array(LATTICES[lattice]))) * spacing
        for step in shell:
            other = grid[tuple((indices - low + step).T)]
            there = other >= 0
            gap = np.linalg.norm(points[other[there]] - points[there], axis=1)
            ratios.append(gap / length)
    return float((np.abs(np.concatenate(ratios) - 1.0) < 0.15).mean())
