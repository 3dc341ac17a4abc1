"""How sure a ranking is: which families the data and the energies cannot tell from the best.

The weighted sums of two families are compared paired, window by window of the image, so that what
both have wrong (blur, drift, noise) cancels. The set that is claimed is that of multiple
comparisons with the best (Hsu, Ann. Stat. 12, 1136 (1984)) with the largest studentized difference
under a bootstrap, as in the model confidence set of Hansen, Lunde & Nason, Econometrica 79, 453
(2011). Sums that are log-likelihoods say how probable each family is, and the set is the smallest
that holds enough of it, in the mean over bootstraps (Huggins & Miller, Bayesian Anal. 18, 79
(2023)), which forgives a likelihood that is somewhat wrong. There windows are weighted by a random
share each (Rubin, Ann. Stat. 9, 130 (1981)): what a family has wrong may lie in one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert import plugins
from htinvert.core import ENERGIES, Floats, Objective, UserError
from htinvert.energy.accuracy import UNKNOWN, Accuracy, accuracy_of
from htinvert.ranking.positions import Misplaced
from htinvert.ranking.rank import Ranked

LEVEL = 0.9
DRAWS = 2000
SPREAD = 3.0  # by which factor a weight is varied, up and down


@dataclass(frozen=True, eq=False)
class Evidence:
    """What speaks for n families, the best first, in units of the weighted sum.

    Attributes:
        totals: weighted sums, shape (n,).
        windows: per objective of an experiment its costs in each window, shape (n, windows); their
            mean over the windows is the family's.
        engine: errors that the engine is to blame for, by kind (``energy``, ``position``), each of
            shape (k, n): a row is what one standard normal number adds to every family. What
            families share cancels. None in nats, where kT and the floors hold these errors.
        objectives: by name, what a cost is worth in the sum; 1 where it is not named.
        nats: whether sums are minus logarithms of likelihoods.
        misplaced: what errors of positions make of each likelihood's floor, by name.
    """

    totals: Floats
    windows: Mapping[str, Floats]
    engine: Mapping[str, Floats]
    objectives: Mapping[str, Objective] = field(default_factory=dict)
    nats: bool = False
    misplaced: Mapping[str, Misplaced] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Claim:
    """A set of families that holds the right one with a probability of at least ``level``.

    Attributes:
        level: the claimed probability, if the right family is among those that were compared.
        inside: which of the families are in the set, shape (n,).
        p_values: of each family being as good as the best, shape (n,); of log-likelihoods how
            probable it and all that are less so are; the set holds those above ``1 - level``.
        by_image: share of bootstraps of the image's windows in which each is the first, (n,).
        by_engine: the same under errors of the engine's energies and positions, shape (n,).
        by_both: the same under both, shape (n,).
        errors: standard error of each family's sum less the best's, shape (n,).
    """

    level: float
    inside: NDArray[np.bool_]
    p_values: Floats
    by_image: Floats
    by_engine: Floats
    by_both: Floats
    errors: Floats


def declared_accuracy(spec: Mapping[str, Any]) -> Accuracy:
    """What the engine of a campaign's ``energy`` block declares, installed here or not.

    :data:`~htinvert.energy.accuracy.UNKNOWN` where it declares nothing or cannot be found.
    """
    try:
        engine = plugins.find("energy", str(spec["use"]))
    except UserError:
        return UNKNOWN
    return accuracy_of(engine, spec)


def stated(
    declared: Accuracy, *, energy: float | None = None, position: float | None = None
) -> Accuracy:
    """An engine's errors: those given in energy [eV/atom] and position [Å], else as declared.

    Raises :class:`UserError` where a number is negative, infinite or none.
    """
    if not all(0.0 <= given < np.inf for given in (energy or 0.0, position or 0.0)):
        raise UserError("an engine's error must be finite and not negative; give 0 or more")
    return Accuracy(
        declared.name if energy is None else "given",
        declared.energy if energy is None else energy,
        declared.position if position is None else position,
    )


def energy_weight(
    objectives: Sequence[Objective], atoms: Atoms, found: Mapping[str, float]
) -> float:
    """By how much the weighted sum grows where the energy grows by 1 eV [1/eV]."""
    return sum(
        o.weight
        * (1.0 if o.name in ("energy", "total_energy") else _per_energy(o.name, atoms, found))
        for o in objectives
        if o.name in ENERGIES
    )


def _per_energy(name: str, atoms: Atoms, found: Mapping[str, float]) -> float:
    """What an energy per atom or area gains per eV of the cell."""
    if name == "formation_energy":
        return 1.0 / max(len(atoms), 1)
    return found[name] / found["energy"] if found.get("energy") else 0.0


def claim(evidence: Evidence, *, level: float = LEVEL, draws: int = DRAWS, seed: int = 1) -> Claim:
    """Which families cannot be told from the best at a level; the rest are worse, significantly.

    Windows are drawn with replacement, or in nats weighted at random, the same for all families;
    the engine's errors are normal. A family is out where its sum exceeds another's by more than the
    differences of all pairs scatter, jointly, in all but ``1 - level`` of the draws; where sums are
    in nats, where likelier ones are probable enough without it.
    """
    rng = np.random.default_rng(seed)
    images = _image_scatter(evidence, draws, rng)
    engines = np.zeros_like(images)
    for factors in evidence.engine.values():
        engines += rng.normal(size=(draws, len(factors))) @ factors
    scatter = images + engines
    if evidence.nats:
        p_values = _tails(evidence.totals + images)
    else:
        p_values = _p_values(evidence.totals, scatter)
    return Claim(
        level=level,
        inside=p_values > 1.0 - level,
        p_values=p_values,
        by_image=_first(evidence.totals + images),
        by_engine=_first(evidence.totals + engines),
        by_both=_first(evidence.totals + scatter),
        errors=(scatter - scatter[:, [int(np.argmin(evidence.totals))]]).std(axis=0),
    )


def _image_scatter(evidence: Evidence, draws: int, rng: np.random.Generator) -> Floats:
    """Weighted costs in bootstraps less their means, shape (draws, n)."""
    found = np.zeros((draws, len(evidence.totals)))
    for name, costs in evidence.windows.items():
        worth = evidence.objectives.get(name, Objective(name, 1.0)).worth
        count = costs.shape[1]
        if evidence.nats:  # weighted at random: left out, the one that tells may not be
            shares = rng.dirichlet(np.ones(count), size=draws)
        else:
            shares = rng.multinomial(count, np.full(count, 1.0 / count), size=draws) / count
        found += worth(shares @ costs.T) - worth(costs.mean(axis=1))
    return found


def _p_values(totals: Floats, scatter: Floats) -> Floats:
    """Probability, if a family is the best, that its largest studentized excess is as large.

    ``scatter`` of all sums has shape (draws, n).
    """
    found = np.ones(len(totals))
    for i in range(len(totals)):
        others = np.arange(len(totals)) != i
        if not others.any():
            break
        apart = scatter[:, [i]] - scatter[:, others]
        spread = np.maximum(apart.std(axis=0), 1e-9 * max(float(np.ptp(totals)), 1e-9))
        excess = float(((totals[i] - totals[others]) / spread).max())
        found[i] = float(((apart / spread).max(axis=1) >= excess).mean()) if excess > 0 else 1.0
    return found


def _tails(sums: Floats) -> Floats:
    """Probability of each family and all less probable ones, from sums [nats], (draws, n)."""
    likely = np.exp(sums.min(axis=1, keepdims=True) - sums)
    chances = (likely / likely.sum(axis=1, keepdims=True)).mean(axis=0)
    return np.asarray((chances <= chances[:, None] + 1e-12) @ chances)


def _first(sums: Floats) -> Floats:
    """Share of draws in which each is the lowest, from sums of shape (draws, n)."""
    return np.bincount(sums.argmin(axis=1), minlength=sums.shape[1]) / len(sums)


def by_weights(
    ranked: Sequence[Ranked],
    objectives: Sequence[Objective],
    *,
    spread: float = SPREAD,
    draws: int = DRAWS,
    seed: int = 1,
) -> Floats:
    """Share of weights in which each family is the first, shape (n,).

    Each weight is multiplied by a factor between ``1 / spread`` and ``spread``, evenly in its
    logarithm and independent of the others.
    """
    values = np.array([[r.evaluation.objectives[o.name] for o in objectives] for r in ranked])
    rng = np.random.default_rng(seed)
    factors = np.exp(rng.uniform(-1, 1, size=(draws, len(objectives))) * np.log(spread))
    worths = [o.worth(column) for o, column in zip(objectives, values.T, strict=True)]
    return _first(factors @ np.array(worths))


def weight_range(
    ranked: Sequence[Ranked], objectives: Sequence[Objective], name: str
) -> tuple[float, float]:
    """Factors of one objective's weight between which the first family stays the first.

    From 0 to infinity where it always does; exact, for a sum is linear in each weight.
    """
    chosen = next(o for o in objectives if o.name == name)
    lower, upper = 0.0, float("inf")
    best = ranked[0]
    for entry in ranked[1:]:
        gap = entry.total - best.total
        worths = [chosen.worth(e.evaluation.objectives[name]) for e in (entry, best)]
        slope = worths[0] - worths[1]
        if slope < 0:
            upper = min(upper, 1.0 - gap / slope)
        elif slope > 0:
            lower = max(lower, 1.0 - gap / slope)
    return max(lower, 0.0), upper
