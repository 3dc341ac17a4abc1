"""Boundaries in which both grains go on as they are until they meet, at every height."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product
from typing import Annotated, Any, ClassVar

import numpy as np
from ase import Atoms

from htinvert.core import REGION_TAG, Floats, Infeasible, Objective, Space, UserError
from htinvert.declaration.declared import Parameter
from htinvert.generators.listed import Listed, require_atoms
from htinvert.generators.operators.legal import host_of, is_valid
from htinvert.geometry.continued import continuations, joined
from htinvert.geometry.heights import around_region

LAYER = 0.1  # Å: atoms of one layer differ less in height
NEAR, MOST_GONE = 3.0, 2  # Å from where grains meet: atoms that a compound may leave out, how many
OUTSIDE = 0.5  # Å: an atom that lies so far outside of the region is put at its end


@dataclass
class Continued(Listed):
    """Propose the region filled by both grains' crystals, which meet at one height after another.

    Where atoms of both come too near to each other, once those of the lower and once those of the
    upper grain stay; a compound that this leaves out of proportion also comes without one or two
    atoms more. Those that fit the images best come first, without an image those that meet
    nearest to the middle. Then nothing more is proposed, so that other generators go on from there.

    Attributes:
        residuals: what compares a structure with the experiments; the campaign gives it.
        most: proposals.
    """

    sources: ClassVar[tuple[str, ...]] = (
        "A. P. Sutton & R. W. Balluffi, Interfaces in Crystalline Materials (1995), chapter 1.",
    )

    operator: ClassVar[str] = "grains"

    space: Space
    objectives: tuple[Objective, ...]
    seed: int
    residuals: Any
    most: Annotated[int, Parameter("1", 1)] = 20

    def __post_init__(self) -> None:
        require_atoms(self.space, self.operator)

    def structures(self) -> Iterator[Atoms]:
        """Those that are allowed, the likeliest first."""
        host = host_of(self.space.template)
        made = [atoms for atoms in self._made(host) if is_valid(atoms, self.space)]
        yield from self._ordered(host, made)[: self.most]

    def _made(self, host: Atoms) -> Iterator[Atoms]:
        """The grains meeting at each height."""
        region = self.space.region
        if region is None or region.box:
            return
        axis, least = region.dimension, self.space.min_distance
        whole = Atoms(host.numbers, around_region(host, region), cell=host.cell, pbc=host.pbc)
        try:
            grains = continuations(whole, axis=axis, lower=region.lower, upper=region.upper)
        except UserError:
            return
        for part in grains:
            level = part.positions[:, axis]
            near = np.clip(level, region.lower, region.upper)
            part.positions[:, axis] = np.where(abs(level - near) < OUTSIDE, near, level)
            part.set_tags(REGION_TAG)
        known: set[bytes] = set()
        levels = np.concatenate([part.positions[:, axis] for part in grains])
        for at, keep in product(_between(levels), (0, 1)):
            made = joined(host, grains, axis=axis, at=at, least=least, keep=keep)
            away = abs(made.positions[:, axis] - at)
            away[: len(host)] = np.inf
            for one in (made, *_balanced(made, host, away)):
                rows = np.column_stack([one.numbers, one.positions.round(2)])
                key = rows[np.lexsort(rows.T)].tobytes()
                if key not in known:
                    known.add(key)
                    yield one

    def _ordered(self, host: Atoms, made: list[Atoms]) -> list[Atoms]:
        """By the images, if there are some."""
        if not made or not self.residuals:
            return made
        try:
            guide = self.residuals({})(host)
            left = [guide.again(atoms).rms for atoms in made]
        except Infeasible:
            return made
        return [made[i] for i in np.argsort(left, kind="stable")]


def _balanced(made: Atoms, host: Atoms, away: Floats) -> Iterator[Atoms]:
    """A compound in its host's proportions: without an atom or two near where the grains meet."""
    names, counts = np.unique(host.symbols, return_counts=True)
    own = np.array([(made.symbols == name).sum() for name in names]) - counts
    units = np.floor(np.min(own / counts) * np.gcd.reduce(counts) + 1e-6) / np.gcd.reduce(counts)
    excess = np.rint(own - units * counts).astype(int)
    if not 0 < excess.sum() <= MOST_GONE:
        return
    near = [np.flatnonzero((made.symbols == name) & (away < NEAR)) for name in names]
    for gone in product(*(combinations(some, n) for some, n in zip(near, excess, strict=True))):
        yield made[~np.isin(np.arange(len(made)), np.concatenate(gone))]


def _between(levels: Floats) -> list[float]:
    """Heights [Å] between layers, and below and above all; those in the middle first."""
    levels = np.sort(levels)
    steps = np.flatnonzero(np.diff(levels) > LAYER)
    found = 0.5 * (levels[steps] + levels[steps + 1])
    found = np.concatenate([levels[:1] - LAYER, found, levels[-1:] + LAYER])
    middle = 0.5 * (levels[:1] + levels[-1:])
    return [float(at) for at in found[np.argsort(abs(found - middle), kind="stable")]]
