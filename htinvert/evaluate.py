"""Evaluate one candidate: relax, simulate, adjust, score. Pure: no files, no randomness."""

from __future__ import annotations

from time import perf_counter

import numpy as np
from ase import Atoms
from ase.geometry import find_mic
from scipy.sparse.csgraph import minimum_spanning_tree

from htinvert.core import (
    Candidate,
    Evaluation,
    EvaluationFailed,
    Recipe,
    Relaxation,
    Score,
)
from htinvert.fit import fit
from htinvert.geometry import shortest_ratio

LONGEST_MOVE = 4.0  # Å: an atom that relaxes further was flung away
SHORTEST_RATIO = 0.5  # of the covalent sum: closer atoms have fused
WIDEST_GAP = 2.5  # of its typical distance between neighbors: a cluster with a wider one fell apart
FITS = 25  # signals simulated per parameter that is fitted for every candidate


def evaluate(candidate: Candidate, recipe: Recipe) -> Evaluation:
    """Relax, image and score a candidate; never raises, a failure comes back with its reason."""
    start = perf_counter()
    try:
        check_distances(candidate.atoms, "proposed")
        relaxation = recipe.energy(candidate.atoms)
        check_relaxation(candidate.atoms, relaxation)
        return _image(candidate, relaxation, recipe, start)
    except EvaluationFailed as failure:
        reason = str(failure)
    except Exception as error:  # a third party's component may raise anything; record and go on
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return Evaluation(candidate, error=reason, seconds=perf_counter() - start)


def check_relaxation(proposed: Atoms, relaxation: Relaxation) -> None:
    """Raise :class:`EvaluationFailed` where a relaxed structure is not finite or fell apart."""
    relaxed = relaxation.atoms
    if not np.isfinite(relaxation.energy):
        raise EvaluationFailed("the energy is not finite")
    check_distances(relaxed, "relaxed")
    if not relaxed.pbc.any() and not relaxed.constraints:
        check_in_one_piece(relaxed)  # a free cluster may turn or roll up as it likes
        return
    _, moved = find_mic(relaxed.positions - proposed.positions, proposed.cell, proposed.pbc)
    furthest = int(np.argmax(moved))
    if moved[furthest] > LONGEST_MOVE:
        raise EvaluationFailed(
            f"atom {furthest} ({relaxed[furthest].symbol}) moved {moved[furthest]:.1f} Å "
            f"in the relaxation, more than {LONGEST_MOVE} Å"
        )


def check_distances(atoms: Atoms, which: str) -> None:
    """Raise :class:`EvaluationFailed` where atoms have fused; an engine may hang on such a one."""
    if not np.isfinite(atoms.positions).all():
        raise EvaluationFailed(f"a {which} position is not finite")
    ratio = shortest_ratio(atoms)
    if ratio < SHORTEST_RATIO:
        raise EvaluationFailed(
            f"two {which} atoms are {ratio:.2f} of their covalent distance apart, "
            f"less than {SHORTEST_RATIO}"
        )


def check_in_one_piece(cluster: Atoms) -> None:
    """Raise :class:`EvaluationFailed` where a cluster without periodic images fell apart.

    The atoms are linked by the shortest tree (Kruskal, Proc. Am. Math. Soc. 7, 48 (1956)); one link
    that is much longer than most tells pieces apart on any scale of length.
    """
    if len(cluster) < 3:
        return
    links = minimum_spanning_tree(cluster.get_all_distances()).data
    typical, gap = float(np.median(links)), float(links.max())
    if gap > WIDEST_GAP * typical:
        raise EvaluationFailed(
            f"the cluster fell apart: {gap:.1f} Å between its pieces, "
            f"where neighbors are {typical:.1f} Å apart"
        )


def energy_objective(relaxation: Relaxation, recipe: Recipe) -> float:
    """Energy [eV] less the chemical potentials of the atoms it took, for the whole cell."""
    symbols = relaxation.atoms.get_chemical_symbols()
    return relaxation.energy - sum(recipe.chemical_potentials.get(s, 0.0) for s in symbols)


def _image(
    candidate: Candidate, relaxation: Relaxation, recipe: Recipe, start: float
) -> Evaluation:
    objectives = {"energy": energy_objective(relaxation, recipe)}
    scores: dict[str, Score] = {}
    parameters: dict[str, dict[str, float]] = {}
    for channel in recipe.channels:
        fitted = fit(
            channel,
            relaxation.atoms,
            start=candidate.start.get(channel.name, {}),
            max_evaluations=FITS * len(channel.free),
        )
        parameters[channel.name] = fitted.parameters
        for metric, score in fitted.scores.items():
            if not np.isfinite(score.cost):
                raise EvaluationFailed(f"{channel.name}.{metric} is not finite")
            scores[f"{channel.name}.{metric}"] = score
            objectives[f"{channel.name}.{metric}"] = score.cost
    return Evaluation(
        candidate,
        relaxation,
        scores=scores,
        objectives=objectives,
        parameters=parameters,
        seconds=perf_counter() - start,
    )
