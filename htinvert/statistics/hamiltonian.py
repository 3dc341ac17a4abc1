"""Interactions of two species on a lattice, in kT, from which species sits where.

Maximum pseudolikelihood (J. Besag, J. R. Stat. Soc. B 36, 192 (1974)): each site against its
neighbors, E / kT = - sum of J times the product of a cluster's s - h s, s = ±1, so that no sum over
states is needed. Only sites whose neighbors are all in the image are judged: edges and masks need
no guess. Where columns may be misclassified, see :mod:`htinvert.statistics.hidden`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from htinvert.core import Floats, UserError
from htinvert.statistics.clusters import Cluster, clusters, neighbors
from htinvert.statistics.hidden import fit_hidden, symmetric
from htinvert.statistics.ising import Spins
from htinvert.statistics.lattice import Occupations
from htinvert.statistics.lattice_image import LatticeImage

PER_PARAMETER = 40  # judged sites, without misclassification
FEWEST_MINORITY = 10  # sites of the rarer species
WORST = 0.45  # an error rate beyond which an occupation says nothing


@dataclass(frozen=True, eq=False)
class Hamiltonian:
    """Interactions and fields with standard errors, in kT.

    Attributes:
        lattice: ``square`` or ``hexagonal``.
        clusters: names of what interacts: ``shell 1`` and so on, then larger clusters.
        couplings: J of each; positive ones of shells favor like neighbors. Shape (k,).
        errors: their standard errors.
        covariance: of all parameters: couplings, then one field per image.
        fields: h of each image; field_errors: their standard errors.
        uncorrected: J as if no column were misclassified.
        sites: judged sites, in all images.
        rates: of misclassification, first for second species and second for first; None where
            each site has its own probability.
        hidden: a draw of each image's true occupations, as the fit sees them.
    """

    lattice: str
    clusters: tuple[str, ...]
    couplings: Floats
    errors: Floats
    covariance: Floats
    fields: Floats
    field_errors: Floats
    uncorrected: Floats
    sites: int
    rates: tuple[float, float] | None
    hidden: tuple[Spins, ...]


def hamiltonian(
    images: Sequence[Occupations],
    *,
    count: int = 2,
    larger: Sequence[str] = (),
    rates: tuple[float, float] | None = (0.0, 0.0),
    scales: Sequence[float] | None = None,
    seed: int = 0,
) -> Hamiltonian:
    """Fit one set of interactions to all images, and one field to each.

    Args:
        images: of one lattice; compositions may differ.
        count: shells of neighbors.
        larger: names of clusters of more than two sites, of ``clusters.MEMBERS``.
        rates: how often a first species is taken for a second, and a second for a first; None: the
            images hold probabilities.
        scales: what J is multiplied with in each image, such as T0 / T of its temperature.
        seed: of the heat bath; the same gives the same.

    Raises:
        UserError: where there are too few sites, only one species, or rates that say nothing.
    """
    if len({image.lattice for image in images}) != 1:
        raise UserError("images are on different lattices; fit them one by one")
    interacting = clusters(images[0].lattice, count, larger)
    names = (*[f"shell {k + 1}" for k in range(count)], *larger)
    count = len(names)
    rates = _checked(images, rates)
    factors = [1.0] * len(images) if scales is None else list(scales)
    views = [
        LatticeImage(image, interacting, rates, float(factor))
        for image, factor in zip(images, factors, strict=True)
    ]
    _require_enough(images, views, count, rates)
    rng = np.random.default_rng(seed)
    plain, covariance = _plain(views, count)
    point = plain
    if rates != (0.0, 0.0):
        point, covariance = fit_hidden(views, plain, count, rng)
    errors = np.sqrt(covariance.diagonal())
    return Hamiltonian(
        images[0].lattice,
        names,
        point[:count],
        errors[:count],
        covariance,
        point[count:],
        errors[count:],
        plain[:count],
        sum(int(view.judged.sum()) for view in views),
        rates,
        tuple(view.inside(view.state) for view in views),
    )


def _checked(
    images: Sequence[Occupations], rates: tuple[float, float] | None
) -> tuple[float, float] | None:
    """Rates that make sense; none where there are probabilities."""
    certain = all(image.certain for image in images)
    if not certain:
        if rates not in (None, (0.0, 0.0)):
            raise UserError("probabilities hold the doubt already; leave the error rate out")
        return None
    if rates is None:
        return (0.0, 0.0)
    if not (min(rates) >= 0.0 and max(rates) <= WORST):
        raise UserError(f"error rate {max(rates):g} is not between 0 and {WORST}")
    return (float(rates[0]), float(rates[1]))


def _require_enough(
    images: Sequence[Occupations],
    views: Sequence[LatticeImage],
    count: int,
    rates: tuple[float, float] | None,
) -> None:
    """Raise :class:`UserError` with how many sites are needed."""
    judged = sum(int(view.judged.sum()) for view in views)
    doubt = 0.0 if rates is None else sum(rates)
    needed = int(np.ceil(PER_PARAMETER * (count + len(views)) / (1.0 - doubt) ** 4))
    if judged < needed:
        rim = int(np.sqrt(needed)) + 2 * views[0].margin + 1
        raise UserError(
            f"only {judged} sites have all their neighbors in the image, too few for {count} "
            f"interactions; at least {needed} are needed, as in one image of {rim} x {rim} sites"
        )
    for image in images:
        spins = image.spins[image.seen]
        rarer = int(min((spins == 1).sum(), (spins == -1).sum()))
        if rarer < FEWEST_MINORITY:
            raise UserError(
                f"{image.name} has {rarer} sites of its rarer species; at least {FEWEST_MINORITY} "
                "are needed to see whom they have for neighbors"
            )


def _plain(views: Sequence[LatticeImage], count: int) -> tuple[Floats, Floats]:
    """Parameters and their covariance as if the likelier species were the true ones (Newton)."""
    size = count + len(views)
    designs = [view.design(view.spins, i, len(views)) for i, view in enumerate(views)]
    point = np.zeros(size)
    for _ in range(50):
        score, bread = np.zeros(size), np.zeros((size, size))
        for view, design in zip(views, designs, strict=True):
            x = design[:, view.judged].astype(float)
            mean = np.tanh(point @ x)
            score += x @ (view.spins[view.judged] - mean)
            bread += (x * (1.0 - mean**2)) @ x.T
        step = np.linalg.solve(bread + 1e-9 * np.eye(size), score)
        point = point + np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < 1e-9:
            break
    meat = np.zeros((size, size))
    for view, design in zip(views, designs, strict=True):
        left = view.spins - np.tanh(np.tensordot(point, design, 1))
        scores = design * left * view.judged
        near = scores + _of_neighbors(scores, view.interacting)
        meat += np.tensordot(scores, near, axes=([1, 2], [1, 2]))
    inverse = np.linalg.inv(bread)
    return point, symmetric(inverse @ meat @ inverse)


def _of_neighbors(scores: Floats, interacting: Sequence[Cluster]) -> Floats:
    """Sum over neighbors: derivatives of sites that are none of each other's are uncorrelated."""
    total = np.zeros_like(scores)
    for i, j in neighbors(interacting):
        total += np.roll(scores, (int(i), int(j)), axis=(1, 2))  # the margin is 0
    return total
