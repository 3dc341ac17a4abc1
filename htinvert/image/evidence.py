"""What an image says of a structure, beyond one number: costs by window, null models, the floor.

A figure of merit has no zero and no end of its own. Beside it stand what structures score that
know nothing (atoms put at random, the start structure as given) and what a perfect structure would
score in an image with this noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy import fft

from htinvert.core import (
    Channel,
    EvaluationFailed,
    Floats,
    Metric,
    Region,
    Signal,
    Space,
    region_mask,
)
from htinvert.declaration.abilities import Structural
from htinvert.evaluation.fit import adjusted, compare
from htinvert.generators.random import Random
from htinvert.geometry.distances import covalent_distances
from htinvert.metrics.correlation import normalized_cross_correlation
from htinvert.metrics.ssim import ssim_map

WINDOW = 3.0  # Å, about the distance of atomic columns; never below two windows of SSIM

WINDOW_PIXELS = 14

SCRAMBLES = 12

NOISES = 8

CLOSEST_REPEAT = 2.0  # Å


@dataclass(frozen=True, eq=False)
class Picture:
    """A family's image in its place: simulation, and row and column [px] in the observed one."""

    channel: Channel
    atoms: Atoms
    forward: Any
    simulated: Signal
    row: int
    column: int

    @property
    def patch(self) -> Floats:
        """The part of the observed image that the simulation covers."""
        ny, nx = self.simulated.data.shape
        part = self.channel.observed.data[self.row : self.row + ny, self.column : self.column + nx]
        return part.astype(float)


@dataclass(frozen=True)
class Bounds:
    """What a metric's cost is to be read between, each with its standard deviation.

    Attributes:
        floor: of a perfect structure under the image's white noise; lower than anything real.
        repeat: of the image against its own nearest lattice repeat, None where it has none.
        start: of the start structure as given, two perfect grains as a rule; None where unknown.
        scrambled: of the same atoms at random places in the region; empty where there is no room.
        noise: standard deviation of the white noise, relative to the image's.
    """

    floor: tuple[float, float]
    repeat: float | None
    start: float | None
    scrambled: tuple[float, ...]
    noise: float


def picture(channel: Channel, atoms: Atoms, parameters: dict[str, float]) -> Picture:
    """Image a structure with its recorded parameters and find its place again.

    Raises :class:`~htinvert.core.EvaluationFailed` where that is not possible.
    """
    forward = adjusted(channel.forward, parameters)
    simulated = forward(atoms)
    detail = next(iter(compare(channel, simulated).values())).detail
    place = int(detail.get("row", 0)), int(detail.get("column", 0))
    return Picture(channel, atoms, forward, simulated, *place)


def window_costs(metric: Metric, found: Picture, cost: float) -> Floats:
    """A cost shared out over square windows of the image, shape (windows,); its mean is the cost.

    Shared by the local similarity where the metric is one of SSIM (of 7 px, whatever its own
    window, for a wide one leaves too few), else by the squared residual of normalized images. What
    is no window's, such as ``d_trans``, all windows have alike.
    """
    local = local_costs(metric, found.simulated.data, found.patch)
    side = max(WINDOW_PIXELS, round(WINDOW / min(found.channel.observed.sampling)))
    rows, columns = (max(n // side, 1) for n in local.shape)
    costs = np.array(
        [
            part.mean()
            for band in np.array_split(local, rows, axis=0)
            for part in np.array_split(band, columns, axis=1)
        ]
    )
    return np.asarray(costs + (cost - costs.mean()))


def local_costs(metric: Metric, simulated: NDArray[np.floating], patch: Floats) -> Floats:
    """Cost of each pixel or window [1] of two images of one shape, at the place where they are."""
    image: Floats = np.asarray(simulated, dtype=np.float64)
    if isinstance(metric, Structural):
        if metric.intensity == "matched":
            image = _brought(image, patch)
        share = float(metric.beta)
        return share * (1.0 - np.asarray(ssim_map(image, patch), dtype=np.float64))
    return 0.5 * (_unit(image) - _unit(patch)) ** 2  # its mean is 1 less the correlation


def noise_level(image: NDArray[np.floating]) -> float:
    """Standard deviation of an image's white noise, from the corners of its spectrum.

    There, beyond 0.9 of the Nyquist frequency along both axes, hardly any probe passes anything.
    """
    data = np.asarray(image, dtype=float)
    window = np.outer(*(np.hanning(n + 2)[1:-1] for n in data.shape))
    power = np.abs(fft.fft2((data - data.mean()) * window)) ** 2 / (window**2).sum()
    far = [np.abs(fft.fftfreq(n)) > 0.45 for n in data.shape]
    corner = power[np.ix_(*far)]
    return float(np.sqrt(np.median(corner) / np.log(2.0))) if corner.size else 0.0


def bounds(
    metric: Metric,
    found: Picture,
    *,
    region: Region | None,
    start: Atoms | None = None,
    seed: int = 1,
) -> Bounds:
    """What a family's cost by a metric is to be read between."""
    observed = found.channel.observed
    noise = noise_level(observed.data)
    rng = np.random.default_rng(seed)
    clean = _brought(found.simulated.data.astype(float), found.patch)
    costs = []
    for _ in range(NOISES):
        noisy = clean + rng.normal(0.0, max(noise, 1e-12), clean.shape)
        costs.append(metric(_like(clean, observed), _like(noisy, observed)).cost)
    return Bounds(
        floor=(float(np.mean(costs)), float(np.std(costs))),
        repeat=repeat_cost(metric, observed),
        start=None if start is None else _cost(metric, found, start),
        scrambled=scrambled_costs(metric, found, region, seed=seed),
        noise=noise / max(float(observed.data.std()), 1e-12),
    )


def repeat_cost(metric: Metric, observed: Signal) -> float | None:
    """Cost of the image's middle against its own lattice repeat, both noisy; None without one.

    The repeat is the best correlated patch more than 2 Å away from where the middle was cut.
    """
    ny, nx = observed.data.shape
    height, width = ny // 2, nx // 2
    top, left = (ny - height) // 2, (nx - width) // 2
    middle = observed.data[top : top + height, left : left + width]
    ncc = normalized_cross_correlation(middle, observed.data).astype(float)
    row, column = np.indices(ncc.shape)
    away = np.hypot((row - top) * observed.sampling[0], (column - left) * observed.sampling[1])
    ncc[away < CLOSEST_REPEAT] = -2.0
    best = np.unravel_index(int(np.argmax(ncc)), ncc.shape)
    if ncc[best] < 0.3:
        return None
    other = observed.data[best[0] : best[0] + height, best[1] : best[1] + width]
    try:
        return float(local_costs(metric, middle, other.astype(float)).mean())
    except (EvaluationFailed, ValueError):
        return None


def scrambled_costs(
    metric: Metric, found: Picture, region: Region | None, *, seed: int = 1
) -> tuple[float, ...]:
    """Costs of structures with the same atoms at random places in the region."""
    atoms = found.atoms
    inside = atoms.symbols[region_mask(atoms)]
    counts = {symbol: int((inside == symbol).sum()) for symbol in sorted(set(inside))}
    space = Space(
        atoms,
        region,
        {symbol: (count, count) for symbol, count in counts.items()},
        covalent_distances(atoms.get_chemical_symbols()),
    )
    costs = []
    for candidate in Random(space, (), seed).ask(range(SCRAMBLES)):
        cost = _cost(metric, found, candidate.atoms)
        if cost is not None:
            costs.append(cost)
    return tuple(costs)


def _cost(metric: Metric, found: Picture, atoms: Atoms) -> float | None:
    """Cost of another structure with a picture's imaging, None where it cannot be imaged."""
    try:
        return float(metric(found.forward(atoms), found.channel.observed).cost)
    except EvaluationFailed:
        return None


def _like(data: NDArray[np.floating], observed: Signal) -> Signal:
    """Data as an image of the observed one's pixels."""
    return Signal(np.ascontiguousarray(data, dtype=np.float32), observed.axes)


def _brought(simulated: Floats, patch: Floats) -> Floats:
    """A simulation with the gain and offset of least squares."""
    centered = simulated - simulated.mean()
    gain = float((centered * patch).sum()) / max(float((centered**2).sum()), 1e-300)
    return gain * centered + patch.mean()


def _unit(data: Floats) -> Floats:
    """Zero mean and unit variance."""
    centered = data - data.mean()
    return np.asarray(centered / max(float(centered.std()), 1e-300))
