"""Interactions of two species on a lattice, in kT, from which species sits where.

Maximum pseudolikelihood (J. Besag, J. R. Stat. Soc. B 36, 192 (1974)): each site against its
neighbors, E / kT = - sum of J_k s s' - h s, s = ±1, so that no sum over states is needed. Only
sites whose neighbors are all in the image are judged: edges and masks need no guess. Where columns
may be misclassified, the true occupations are hidden; what the pseudolikelihood's derivative is on
average over them, given the data, is made zero, with averages by a heat bath (expectation
conditional maximization: G. Celeux, F. Forbes & N. Peyrard, Pattern Recognit. 36, 131 (2003)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from htinvert.core import Floats, UserError
from htinvert.statistics.ising import Spins, heat_bath, neighbor_sums
from htinvert.statistics.lattice import CERTAIN, Occupations, shells

PER_PARAMETER = 40  # judged sites, without misclassification
FEWEST_MINORITY = 10  # sites of the rarer species
BLOCK = 8  # sites along a block of which covariances are summed
NEAR = 3  # sites to either side whose derivatives may be correlated
ROUNDS = 30  # steps of the hidden fit; the last half is averaged
SAMPLES, LAST = 24, 240  # heat-bath samples of a step, and of the errors
SETTLE = 20  # sweeps before the first step
LARGEST_STEP = 0.2  # of a parameter
AMPLIFIED = 2.0  # times what is uncorrected: beyond, weak ones come with too small errors
WORST = 0.45  # an error rate beyond which an occupation says nothing


@dataclass(frozen=True, eq=False)
class Hamiltonian:
    """Interactions and fields with standard errors, in kT.

    Attributes:
        lattice: ``square`` or ``hexagonal``.
        couplings: J of each shell; positive ones favor like neighbors. Shape (k,).
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
    rates: tuple[float, float] | None = (0.0, 0.0),
    scales: Sequence[float] | None = None,
    seed: int = 0,
) -> Hamiltonian:
    """Fit one set of pair interactions to all images, and one field to each.

    Args:
        images: of one lattice; compositions may differ.
        count: shells of neighbors.
        rates: how often a first species is taken for a second, and a second for a first; None: the
            images hold probabilities.
        scales: what J is multiplied with in each image, such as T0 / T of its temperature.
        seed: of the heat bath; the same gives the same.

    Raises:
        UserError: where there are too few sites, only one species, or rates that say nothing.
    """
    if len({image.lattice for image in images}) != 1:
        raise UserError("images are on different lattices; fit them one by one")
    offsets = shells(images[0].lattice, count)
    rates = _checked(images, rates)
    factors = [1.0] * len(images) if scales is None else list(scales)
    views = [
        _View(image, offsets, rates, float(factor))
        for image, factor in zip(images, factors, strict=True)
    ]
    _require_enough(images, views, count, rates)
    rng = np.random.default_rng(seed)
    plain, _ = _plain(views, count)
    if rates == (0.0, 0.0):
        point, covariance = _plain(views, count)
    else:
        point, covariance = _hidden(views, plain, count, rng)
    errors = np.sqrt(covariance.diagonal())
    return Hamiltonian(
        images[0].lattice,
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
    views: Sequence[_View],
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


class _View:
    """One image with a margin of unseen sites around it, and what the data say of each site."""

    def __init__(
        self,
        image: Occupations,
        offsets: Sequence[NDArray[np.int_]],
        rates: tuple[float, float] | None,
        factor: float,
    ) -> None:
        self.offsets, self.factor = offsets, factor
        self.margin = max(int(np.abs(shell).max()) for shell in offsets)
        self.pad = 3 * self.margin  # two of sites that are not seen, one of none
        seen = np.pad(image.seen, self.pad)
        self.spins: Spins = np.pad(image.spins, self.pad)
        complete = neighbor_sums(seen.astype(np.int8), offsets).sum(axis=0)
        self.judged = seen & (complete == sum(map(len, offsets)))
        self.evidence = np.pad(_evidence(image, rates), self.pad)
        self.state = self.spins.copy()

    def inside(self, grid: Spins) -> Spins:
        """A grid without the margin; what is not seen is 0."""
        part = (slice(self.pad, -self.pad),) * 2
        return np.asarray(np.where(self.spins[part] != 0, grid[part], 0), dtype=np.int8)

    def scatter_unseen(self, rng: np.random.Generator) -> None:
        """Give every site but the outermost a spin; those in the image keep the likelier one."""
        random = rng.choice(np.array([-1, 1], dtype=np.int8), self.spins.shape)
        self.state = np.where(self.spins != 0, self.spins, random).astype(np.int8)
        for edge in (slice(None, self.margin), slice(-self.margin, None)):
            self.state[edge] = 0
            self.state[:, edge] = 0

    def design(self, spins: Spins, index: int, images: int) -> NDArray[np.float32]:
        """What each parameter multiplies at each site, shape (p, i, j)."""
        sums = np.float32(self.factor) * neighbor_sums(spins, self.offsets)
        ones = np.zeros((images, *spins.shape), dtype=np.float32)
        ones[index] = 1.0
        return np.concatenate([sums, ones])


def _evidence(image: Occupations, rates: tuple[float, float] | None) -> Floats:
    """Half the log of how much likelier the data are of the second species; 0 where unseen."""
    if rates is None:
        p = np.clip(np.where(image.seen, image.probability, 0.5), CERTAIN, 1.0 - CERTAIN)
        prior = float(np.clip(image.probability[image.seen].mean(), 0.01, 0.99))
        known = 0.5 * (np.log(p / (1.0 - p)) - np.log(prior / (1.0 - prior)))
    else:
        first, second = np.clip(rates, 1e-12, None)
        up = 0.5 * np.log((1.0 - second) / first)
        down = 0.5 * np.log(second / (1.0 - first))
        known = np.where(image.spins > 0, up, down)
    return np.where(image.seen, known, 0.0)


def _plain(views: Sequence[_View], count: int) -> tuple[Floats, Floats]:
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
        near = scores + _neighbors(scores, view.offsets)
        meat += np.tensordot(scores, near, axes=([1, 2], [1, 2]))
    inverse = np.linalg.inv(bread)
    return point, _symmetric(inverse @ meat @ inverse)


def _neighbors(scores: Floats, offsets: Sequence[NDArray[np.int_]]) -> Floats:
    """Sum over neighbors: derivatives of sites that are none of each other's are uncorrelated."""
    total = np.zeros_like(scores)
    for shell in offsets:
        for i, j in shell:
            total += np.roll(scores, (int(i), int(j)), axis=(1, 2))  # the margin is 0
    return total


def _symmetric(matrix: Floats) -> Floats:
    return np.asarray(0.5 * (matrix + matrix.T))


@dataclass(frozen=True, eq=False)
class _Average:
    """Over samples of the hidden occupations.

    The derivative's mean, shape (p,), and at each site of each image; how it follows the
    parameters, shape (p, p); and that with the hidden occupations held.
    """

    score: Floats
    sites: list[Floats]
    slope: Floats
    held: Floats


def _hidden(
    views: Sequence[_View], plain: Floats, count: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Parameters and their covariance where occupations are hidden behind the data."""
    for view in views:
        view.scatter_unseen(rng)
    point = plain.copy()
    _advance(views, point, count, SETTLE, rng)
    trail = []
    for turn in range(ROUNDS):
        found = _average(views, point, count, SAMPLES, rng)
        gain = 1.0 if turn < ROUNDS // 2 else 2.0 / (2.0 + turn - ROUNDS // 2)
        point = point + gain * np.clip(_step(found), -LARGEST_STEP, LARGEST_STEP)
        trail.append(point)
    point = np.mean(trail[ROUNDS // 2 :], axis=0)
    found = _average(views, point, count, LAST, rng)
    point = point + np.clip(_step(found), -0.5 * LARGEST_STEP, 0.5 * LARGEST_STEP)
    covariance = _sandwich(found)
    if (np.abs(point[:count]) > AMPLIFIED * np.abs(plain[:count])).any():
        kept = [view.state.copy() for view in views]
        errors = np.sqrt(covariance.diagonal()[:count])  # they grow with the interactions
        farther = point.copy()
        farther[:count] += np.sign(point[:count]) * np.minimum(errors, 0.5 * LARGEST_STEP)
        _advance(views, farther, count, SETTLE, rng)
        other = np.sqrt(_sandwich(_average(views, farther, count, LAST, rng)).diagonal()[:count])
        wider = np.r_[np.sqrt(np.maximum(other / errors, 1.0)), np.ones(len(views))]
        covariance = covariance * np.outer(wider, wider)
        for view, state in zip(views, kept, strict=True):
            view.state = state
    return point, covariance


def _sandwich(found: _Average) -> Floats:
    """Covariance of the parameters by the derivatives' own, at each site."""
    parts = [np.tensordot(one, _box(one), axes=([1, 2], [1, 2])) for one in found.sites]
    meat, inverse = np.sum(parts, axis=0), np.linalg.inv(found.slope)
    return _symmetric(inverse @ _positive(_symmetric(meat)) @ inverse.T)


def _step(found: _Average) -> Floats:
    """Newton's step; where samples make the slope useless, that of expectation maximization."""
    usable = np.linalg.eigvals(np.linalg.solve(found.held, found.slope)).real.min() > 0.02
    return np.asarray(np.linalg.solve(found.slope if usable else found.held, found.score))


def _positive(matrix: Floats) -> Floats:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.maximum(values, 1e-3 * values[-1])) @ vectors.T)


def _box(scores: Floats) -> Floats:
    """Sum over a square of sites around each."""
    from scipy.ndimage import uniform_filter

    side = 2 * NEAR + 1
    return np.asarray(uniform_filter(scores, size=(1, side, side), mode="constant") * side**2)


def _advance(
    views: Sequence[_View], point: Floats, count: int, sweeps: int, rng: np.random.Generator
) -> None:
    for index, view in enumerate(views):
        field = view.evidence + point[count + index]
        strengths = view.factor * point[:count]
        heat_bath(view.state, field, view.offsets, strengths, sweeps=sweeps, rng=rng)


def _average(
    views: Sequence[_View], point: Floats, count: int, samples: int, rng: np.random.Generator
) -> _Average:
    """Average over a heat bath's samples, one sweep apart.

    The slope is - d(mean derivative) / d(parameters): what it is with occupations held, less the
    covariance of the derivative with that of the joint likelihood, summed over near blocks.
    """
    size = len(point)
    held, together = np.zeros((size, size)), np.zeros((size, size))
    sites: list[Floats] = []
    for index, view in enumerate(views):
        total = np.zeros((size, *view.spins.shape), dtype=np.float32)
        sums = _Sums()
        for _ in range(samples):
            field = view.evidence + point[count + index]
            strengths = view.factor * point[:count]
            heat_bath(view.state, field, view.offsets, strengths, sweeps=1, rng=rng)
            design = view.design(view.state, index, len(views))
            mean = np.tanh(np.tensordot(point.astype(np.float32), design, 1))
            score = design * ((view.state - mean) * view.judged)
            weight = ((1.0 - mean**2) * view.judged)[view.judged]
            judged = design[:, view.judged]
            held += ((judged * weight) @ judged.T) / samples
            joint = design * view.state
            joint[:count] *= 0.5
            total += score
            sums.add(_blocks(score), _surroundings(_blocks(joint)))
        together += sums.covariance(samples)
        sites.append(total / samples)
    score = np.sum([part.sum(axis=(1, 2), dtype=float) for part in sites], axis=0)
    return _Average(score, sites, held - together, held)


class _Sums:
    """What the covariance of two sets of sums, by blocks, is made of."""

    def __init__(self) -> None:
        self.mine: Floats = np.zeros(1)
        self.others: Floats = np.zeros(1)
        self.product: Floats = np.zeros(1)

    def add(self, mine: Floats, others: Floats) -> None:
        self.mine = self.mine + mine
        self.others = self.others + others
        self.product = self.product + mine[:, None] * others[None]

    def covariance(self, samples: int) -> Floats:
        """Summed over blocks, shape (p, p)."""
        means = (self.mine / samples)[:, None] * (self.others / samples)[None]
        found = (self.product / samples - means).sum(axis=(2, 3))
        return np.asarray(found * samples / (samples - 1))


def _blocks(values: NDArray[np.floating]) -> Floats:
    """Sums over blocks of a grid, shape (p, rows, columns)."""
    _, ny, nx = values.shape
    padded = np.pad(values, ((0, 0), (0, -ny % BLOCK), (0, -nx % BLOCK)))
    cut = padded.reshape(len(values), padded.shape[1] // BLOCK, BLOCK, -1, BLOCK)
    return np.asarray(cut.sum(axis=(2, 4), dtype=float))


def _surroundings(blocks: Floats) -> Floats:
    """Sums over each block and the eight around it."""
    padded = np.pad(blocks, ((0, 0), (1, 1), (1, 1)))
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    return np.asarray(rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:])
