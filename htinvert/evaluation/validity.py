"""Whether a relaxed structure is one to be ranked, or why not."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from ase import Atoms
from ase.geometry import find_mic
from scipy.cluster.hierarchy import single
from scipy.spatial.distance import pdist

from htinvert.core import EnergyModel, EvaluationFailed, Recipe, Region, Relaxation
from htinvert.declaration.wording import shown
from htinvert.energy.offer import offer_of
from htinvert.evaluation.objectives import energies
from htinvert.geometry.distances import distance_outside, shortest_ratio
from htinvert.geometry.once import Once
from htinvert.geometry.roles import frozen_mask, region_mask, rigid_mask

STATUSES = (
    "not converged", "exploded", "fused", "left the region", "in a grain", "not finite",
    "implausible energy", "garbage", "timed out", "crashed", "out of memory", "out of disk",
)  # fmt: skip

LONGEST_MOVE = 4.0  # Å: an atom that relaxes further was flung away

SHORTEST_RATIO = 0.5  # of the covalent sum: closer atoms have fused

WIDEST_GAP = 2.5  # of its typical distance between neighbors: a cluster with a wider one fell apart

STRAYED = 2.0  # Å out of the region, about an interatomic distance less the scatter of a layer

# eV/Å. At a stiffness of 10 eV/Å² less than 50 meV is then left to gain on that atom. Bond-order
# potentials often end at a third of it, in a kink of their energy.
LARGEST_FORCE = 1.0

# eV/atom; among the strongest compounds, CaF2 has -4.2 (-1228 kJ/mol, CRC Handbook).
LOWEST_FORMATION = -6.0

# eV/atom, where the engine declares none: -0.7687 Z^(7/3) hartree, what Thomas and Fermi have for
# an atom with all its electrons, are -1.4e6 eV for element 118.
LOWEST_ENERGY = -2e6

MOST_STEPS = 2**31  # of one relaxation


def check_relaxation(proposed: Atoms, relaxation: Relaxation, recipe: Recipe) -> None:
    """Raise :class:`EvaluationFailed` where a relaxed structure is not to be ranked.

    The message begins with one of the :data:`STATUSES`, its numbers follow.
    """
    check_answer(proposed, relaxation)
    relaxed = relaxation.atoms
    check_distances(relaxed, "relaxed")
    if relaxed.pbc.any() or relaxed.constraints:
        check_moves(proposed, relaxed, recipe.region)
    else:
        check_in_one_piece(relaxed)  # a free cluster may turn or roll up as it likes
    force = relaxation.force
    if not relaxation.converged and relaxation.steps and force and force > LARGEST_FORCE:
        raise EvaluationFailed(
            f"not converged: a force of {force:.2g} eV/Å is left after {relaxation.steps} steps, "
            f"more than {LARGEST_FORCE:g}"
        )
    check_energy(relaxation, recipe)


def check_answer(proposed: Atoms, answer: Any) -> None:
    """Raise :class:`EvaluationFailed` where an engine's answer is no relaxation of the proposed."""
    if not isinstance(answer, Relaxation):
        kind = type(answer).__name__
        raise EvaluationFailed(f"garbage: the engine returned a {kind} instead of a relaxation")
    energy: Any = answer.energy
    relaxed: Any = answer.atoms
    if not is_number(energy) or not isinstance(relaxed, Atoms):
        raise EvaluationFailed("garbage: the engine returned no number or no atoms")
    if not np.array_equal(relaxed.numbers, proposed.numbers):
        raise EvaluationFailed(
            f"garbage: the engine made {relaxed.get_chemical_formula()} of "
            f"{proposed.get_chemical_formula()}, or changed the order of the atoms"
        )
    if not np.isfinite(float(energy)):
        raise EvaluationFailed("not finite: the energy is not finite")
    if relaxed.positions.shape != (len(proposed), 3) or relaxed.positions.dtype.kind != "f":
        raise EvaluationFailed("garbage: the engine returned positions that are none")
    if not np.isfinite(relaxed.cell.array).all():
        raise EvaluationFailed("not finite: a cell vector is not finite")
    check_account(answer)


def check_account(answer: Relaxation) -> None:
    """Raise :class:`EvaluationFailed` where steps, force or converged are not what they are."""
    steps: Any = answer.steps
    force: Any = answer.force
    converged: Any = answer.converged
    whole = is_number(steps) and isinstance(steps, Integral)
    if not whole or not 0 <= steps < MOST_STEPS:
        raise EvaluationFailed(
            f"garbage: the engine took {shown(steps)} steps; that is to be a whole number from 0 on"
        )
    if force is not None and not (is_number(force) and 0.0 <= force < np.inf):
        raise EvaluationFailed(
            f"garbage: the engine leaves a force of {shown(force)}; that is to be a finite number "
            "of eV/Å from 0 on, or None"
        )
    if not isinstance(converged, bool | np.bool_):
        raise EvaluationFailed(f"garbage: converged is {shown(converged)}; say True or False")


def is_number(value: object) -> bool:
    """Whether a value is a real number, which True is not."""
    return isinstance(value, Real) and not isinstance(value, bool)


def check_distances(atoms: Atoms, which: str) -> None:
    """Raise :class:`EvaluationFailed` where atoms have fused; an engine may hang on such a one."""
    if not np.isfinite(atoms.positions).all():
        raise EvaluationFailed(f"not finite: a {which} position is not finite")
    ratio = shortest_ratio(atoms)
    if ratio < SHORTEST_RATIO:
        raise EvaluationFailed(
            f"fused: two {which} atoms are {ratio:.2f} of their covalent distance apart, "
            f"less than {SHORTEST_RATIO}"
        )


def check_in_one_piece(cluster: Atoms) -> None:
    """Raise :class:`EvaluationFailed` where a cluster without periodic images fell apart.

    The atoms are linked by the shortest tree (Kruskal, Proc. Am. Math. Soc. 7, 48 (1956)), whose
    links are those of single linkage (Gower & Ross, Appl. Stat. 18, 54 (1969)); one that is much
    longer than most tells pieces apart on any scale of length.
    """
    if len(cluster) < 3:
        return
    links = single(pdist(cluster.positions))[:, 2]
    typical, gap = float(np.median(links)), float(links.max())
    if gap > WIDEST_GAP * typical:
        raise EvaluationFailed(
            f"the cluster fell apart: {gap:.1f} Å between its pieces, "
            f"where neighbors are {typical:.1f} Å apart"
        )


def check_moves(proposed: Atoms, relaxed: Atoms, region: Region | None) -> None:
    """Raise :class:`EvaluationFailed` where an atom was flung away, or left its region.

    A rigid grain takes the region's edge along, so what the grains moved is forgiven.
    """
    vectors, moved = find_mic(relaxed.positions - proposed.positions, proposed.cell, proposed.pbc)
    held = frozen_mask(proposed) | rigid_mask(proposed)
    free = np.flatnonzero(region_mask(proposed) & ~held)
    furthest = int(np.argmax(moved))
    if moved[furthest] > LONGEST_MOVE:
        raise EvaluationFailed(
            f"exploded: atom {furthest} ({relaxed[furthest].symbol}) moved "
            f"{moved[furthest]:.1f} Å in the relaxation, more than {LONGEST_MOVE} Å"
        )
    if region is None or not free.size:
        return
    before = distance_outside(proposed.positions[free], region, proposed)
    ends = distance_outside(proposed.positions[free] + vectors[free], region, proposed)
    outside = np.where(ends > before, ends, 0.0) - moved[held].max(initial=0.0)
    worst = int(np.argmax(outside))
    atom = f"atom {free[worst]} ({relaxed[int(free[worst])].symbol})"
    if held.any() and outside[worst] > max(region.margin, STRAYED / 2):
        raise EvaluationFailed(
            f"in a grain: {atom} went {outside[worst]:.1f} Å out of the region, among held atoms "
            f"that begin {region.margin:g} Å from it"
        )
    if outside[worst] > STRAYED:
        raise EvaluationFailed(
            f"left the region: {atom} went {outside[worst]:.1f} Å out of it, more than {STRAYED} Å"
        )


_lowest: Once[float] = Once(most=4)  # by engine; to ask one may read its files


def _lowest_of(engine: EnergyModel) -> float:
    """Energy [eV/atom] below which nothing real lies, as the engine says or for any."""
    offer = offer_of(engine)
    return LOWEST_ENERGY if offer is None else max(offer.lowest, LOWEST_ENERGY)


def check_energy(relaxation: Relaxation, recipe: Recipe) -> None:
    """Raise :class:`EvaluationFailed` where an energy is lower than anything real has."""
    count = max(len(relaxation.atoms), 1)
    lowest = _lowest.of(recipe.energy, lambda: _lowest_of(recipe.energy))
    if relaxation.energy < lowest * count:
        raise EvaluationFailed(
            f"implausible energy: {relaxation.energy / count:.1f} eV/atom, below {lowest:g}, which "
            "nothing real reaches"
        )
    formation = energies(relaxation, recipe)["formation_energy"]
    known = set(relaxation.atoms.get_chemical_symbols()) <= set(recipe.chemical_potentials)
    if known and formation < LOWEST_FORMATION:
        raise EvaluationFailed(
            f"implausible energy: {formation:.1f} eV/atom below its chemical potentials, and no "
            f"compound lies more than {-LOWEST_FORMATION:g} below its elements"
        )
