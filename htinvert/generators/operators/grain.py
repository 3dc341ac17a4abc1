"""The boundary's own degrees of freedom: a rigid grain's place, and the density of a plane."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import Infeasible, Space
from htinvert.generators.operators.legal import (
    TRIES,
    attempt,
    composition_of,
    free_indices,
    insert,
    without,
)
from htinvert.geometry.distances import clashes, distances
from htinvert.geometry.roles import RigidBody, frozen_mask, region_mask, rigid_bodies, rigid_mask

HOST_REACH = 6.0  # Å beyond the margin in which a host atom finds the grain that it belongs to
GRAIN_SHIFT = 1.5  # Å: half of the way to the next equivalent place, about


def shift_grain(
    atoms: Atoms, *, space: Space, rng: np.random.Generator, amplitude: float = GRAIN_SHIFT
) -> Atoms:
    """Shift a rigid grain, with the relaxing host on its side, against the rest.

    By up to ``amplitude`` [Å] along each direction in the plane of the boundary in which the grain
    may move, and a quarter of that across. Rigid shifts map the gamma surface (Vitek, Philos. Mag.
    18, 773 (1968)); boundaries are searched by them and by exchange of atoms, as here, in Zhu et
    al., Nat. Commun. 9, 467 (2018).
    """

    def make() -> Atoms:
        return shifted(atoms, amplitude, space=space, rng=rng)

    return attempt(make, space, what="shift_grain", push=False)


def change_density(
    atoms: Atoms, *, space: Space, rng: np.random.Generator, fraction: float = 0.5
) -> Atoms:
    """Take away, or add, up to a ``fraction`` of the atoms of one plane of the boundary.

    The planes are the clusters of the region's atoms along its normal. Boundaries whose plane holds
    a part of a bulk plane are often the stable ones and are reached by no shift: Zhu et al., Nat.
    Commun. 9, 467 (2018); Chen et al., Nat. Commun. 15, 7049 (2024) (GRIP).
    """
    if space.region is None:
        raise Infeasible("the density of a plane needs a region")
    axis = space.region.dimension
    counts = composition_of(atoms)

    def make() -> Atoms:
        plane = _plane(atoms, axis, rng)
        most = max(1, int(fraction * len(plane)))
        number = int(rng.integers(1, most + 1))
        if rng.random() < 0.5:
            return without(atoms, *rng.choice(plane, size=number, replace=False).tolist())
        symbols = [str(atoms[int(i)].symbol) for i in rng.choice(plane, size=number)]
        return insert(atoms, symbols, space=space, rng=rng)

    if all(counts[s] == low == high for s, (low, high) in space.composition.items()):
        raise Infeasible("the composition is fixed")
    return attempt(make, space, what="change_density")


def _plane(atoms: Atoms, axis: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices of the region's atoms in one plane: neighbors in height less than 0.5 Å apart."""
    chosen = free_indices(atoms)
    order = chosen[np.argsort(atoms.positions[chosen, axis])]
    gaps = np.flatnonzero(np.diff(atoms.positions[order, axis]) > 0.5)
    planes = np.split(order, gaps + 1)
    return np.asarray(planes[int(rng.integers(len(planes)))])


def shifted(atoms: Atoms, amplitude: float, *, space: Space, rng: np.random.Generator) -> Atoms:
    """Move one rigid grain by up to ``amplitude`` [Å] to where it meets no atom outside of it."""
    bodies = rigid_bodies(atoms)
    if not bodies:
        raise Infeasible("no grain is rigid, so none can shift")
    body = bodies[int(rng.integers(len(bodies)))]
    grain = _grain(atoms, body, space)
    scale = amplitude * body.allowed
    if space.region is not None:
        scale[space.region.dimension] *= 0.25  # along the boundary rather than across
    for _ in range(TRIES):
        child = atoms.copy()
        child.positions[grain] += scale * rng.uniform(-1.0, 1.0, size=3)
        if not clashes(child, grain, space.min_distance):
            return child
    raise Infeasible("min_distance, which leaves a rigid grain no room to shift")


def _grain(atoms: Atoms, body: RigidBody, space: Space) -> NDArray[np.bool_]:
    """Which atoms move with a body: its own, and the hosts nearer to it than to other held ones."""
    grain = np.zeros(len(atoms), dtype=bool)
    grain[body.index] = True
    others = (frozen_mask(atoms) | rigid_mask(atoms)) & ~grain
    hosts = np.flatnonzero(~(grain | others | region_mask(atoms)))
    reach = HOST_REACH + (space.region.margin if space.region else 0.0)
    own, other = (
        distances(atoms.positions[hosts], atoms[mask], cutoff=reach).min(
            axis=(1, 2), initial=np.inf
        )
        for mask in (grain, others)
    )
    grain[hosts[own < other]] = True
    return grain
