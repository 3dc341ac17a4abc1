"""Pixel size, shear and rotation of an image from a crystal in it whose lattice is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import Floats, Signal, UserError
from htinvert.image.calibration.grains import ALL, ENOUGH, explained_by, misorientation, two_grains
from htinvert.image.calibration.lattice import Match, SpotLimits, decompose, match_pattern
from htinvert.image.calibration.spots import Spots, find_spots
from htinvert.image.calibration.zone import (
    SpotPattern,
    Zone,
    axis_name,
    low_index_patterns,
    pattern,
)

TOLERANCE = 0.1  # of the header's pixel size
HIGHEST = 2  # index of the zone axes that are tried instead
_FITS = 0.5  # least share and agreement, most looseness: an explanation explains at least half
_CLEARLY = 0.1  # lead in score of a better explanation
_EQUAL = 0.05  # lead in score that decides nothing


@dataclass(frozen=True)
class SpotResidual:
    """How far one spot is from its place in the calibrated lattice.

    Attributes:
        indices: Miller indices hkl; of a spot that is not explained, those nearest to it.
        frequency: measured place (x right, y down) [1/px].
        spacing: measured spacing with the calibrated pixel size [Å].
        ideal: the crystal's spacing [Å].
        pixels: distance in pixels of the spectrum of the image's size.
        distance: distance [1/Å].
        share: of the intensity of all spots.
        explained: near enough to belong to the lattice.
        used: part of the least-squares fit.
        second: not explained but by the second grain.
    """

    indices: tuple[int, int, int]
    frequency: tuple[float, float]
    spacing: float
    ideal: float
    pixels: float
    distance: float
    share: float
    explained: bool
    used: bool
    second: bool


@dataclass(frozen=True, eq=False)
class Calibration:
    """What an image's spots say about its pixels, with standard uncertainties.

    Attributes:
        sampling: pixel size (y, x) [Å/px]; x is the step along a row, y the distance of the rows.
        sampling_sigma: its uncertainty (y, x) [Å/px].
        shear_x: shift to the right per distance downward [1].
        shear_sigma: its uncertainty [1].
        rotation: counter-clockwise turn of the crystal from ``up`` at the top [degrees], the
            smallest of those that the crystal's symmetry makes equal; half a turn is never seen.
        rotation_sigma: its uncertainty [degrees].
        match: the crystal laid over the spots; ``match.pattern`` has ``beam`` and ``up``.
        spots: what was found in the spectrum.
        header: pixel size (y, x) [Å/px] before.
        tolerance: how far from the header a pixel size was believed, None for any.
        ambiguous: other explanations that are as good, at whatever pixel size.
        second: the same crystal in another orientation, where the image shows two grains;
            ``match``, by which the image is calibrated, is the stronger one.
    """

    sampling: tuple[float, float]
    sampling_sigma: tuple[float, float]
    shear_x: float
    shear_sigma: float
    rotation: float
    rotation_sigma: float
    match: Match
    spots: Spots
    header: tuple[float, float]
    tolerance: float | None
    ambiguous: tuple[Match, ...] = ()
    second: Match | None = None

    @property
    def parameters(self) -> dict[str, float | tuple[float, ...]]:
        """What a ``StemConvolution`` of the crystal is given to show it as in the image."""
        return {
            "sampling": self.sampling,
            "shear_x": self.shear_x,
            "rotation": self.rotation,
            "beam": tuple(map(float, self.match.pattern.beam)),
            "up": tuple(map(float, self.match.pattern.up)),
        }

    @property
    def stretch(self) -> tuple[float, float]:
        """The model's ``stretch_y`` and ``stretch_x`` where the header's pixel size is kept [1]."""
        y, x = (old / new - 1 for old, new in zip(self.header, self.sampling, strict=True))
        return y, x

    @property
    def residuals(self) -> tuple[SpotResidual, ...]:
        """One per spot, strongest first."""
        found, spots = self.match, self.spots
        back = np.linalg.inv(found.matrix)
        measured = spots.frequency @ back.T
        ideal = measured - found.residual @ back.T
        nearest = np.linalg.norm(ideal[:, None] - found.pattern.vectors, axis=2).argmin(axis=1)
        others = self.second.assigned >= 0 if self.second else np.zeros(len(nearest), dtype=bool)
        return tuple(
            SpotResidual(
                _triple(found.pattern.indices[nearest[i]]),
                (float(spots.frequency[i, 0]), float(spots.frequency[i, 1])),
                float(1 / np.linalg.norm(measured[i])),
                float(1 / found.pattern.lengths[nearest[i]]),
                float(np.linalg.norm(found.residual[i] * spots.bins)),
                float(np.linalg.norm(measured[i] - ideal[i])),
                float(spots.power[i] / spots.power.sum()),
                bool(found.assigned[i] >= 0),
                bool(found.used[i]),
                bool(found.assigned[i] < 0 and others[i]),
            )
            for i in range(len(spots.power))
        )

    @property
    def sentence(self) -> str:
        """What was changed against the header, and how sure that is."""
        (y, x), (dy, dx), old = self.sampling, self.sampling_sigma, self.header
        text = f"pixel size {_uncertain(x, dx)} Å/px along x and {_uncertain(y, dy)} Å/px along y; "
        if self.tolerance is None:
            text += "the header was not used"
        else:
            same = f"{old[1]:.4g}" if old[0] == old[1] else f"{old[1]:.4g} and {old[0]:.4g}"
            text += f"the header's {same} was {_change(old[1] / x)} along x, "
            text += f"{_change(old[0] / y)} along y"
        return (
            f"{text}; shear_x {_uncertain(self.shear_x, self.shear_sigma)}, "
            f"rotation {_uncertain(self.rotation, self.rotation_sigma)} degrees"
        )

    @property
    def evidence(self) -> str:
        """How much of the spectrum the crystal explains, and what else would."""
        found = self.match
        count = int((found.assigned >= 0).sum())
        text = (
            f"{found.pattern.name} explains {found.share:.0%} of the spots' intensity "
            f"({count} of {len(self.spots.power)} spots, rms residual {found.rms:.2f} px of the "
            "spectrum)"
        )
        if self.second is not None:
            angle = misorientation(found, self.second)
            both = explained_by((found, self.second), self.spots)
            text += f"; with a second grain, {angle:.1f} degrees from the first, {both:.0%}"
        if self.ambiguous:
            others = " and ".join(f"{m.pattern.name} at {m.scale:.4g} Å/px" for m in self.ambiguous)
            text += f"; as good is {others}: only a pixel size known beforehand can decide"
        return text


def calibrate(
    image: Signal,
    phase: Atoms,
    *,
    zone: Zone,
    name: str | None = None,
    others: Mapping[str, Atoms] | None = None,
    tolerance: float | None = TOLERANCE,
    region: tuple[int, int, int, int] | None = None,
) -> Calibration:
    """Calibrate an image (y, x) by a crystal in it.

    Args:
        image: with the pixel size [Å/px] of its header.
        phase: the ideal crystal; its lattice constants are the ruler.
        zone: zone axis [uvw] in the cell of ``phase``.
        name: what to call the phase; its formula where None.
        others: further phases that the spots may belong to, by name.
        tolerance: how far the mean pixel size may be from the header's, relative; None: any.
        region: top, bottom, left, right [px] of the part to use, such as one grain.

    Raises:
        UserError: where the spots do not fit the claimed crystal and zone axis; the sentence names
            the explanation that fits better. Also for fewer than three spots.
    """
    y, x = image.sampling
    name = name or phase.get_chemical_formula(empirical=True)
    claimed = pattern(phase, zone, name=name)
    spots = find_spots(_cropped(image.data, region))
    if len(spots.power) < 3 or np.linalg.matrix_rank(spots.frequency, tol=1e-3) < 2:
        raise UserError(
            f"the spectrum shows {len(spots.power)} spots, too few for a lattice; "
            "give a larger or sharper region of one crystal"
        )
    limits = SpotLimits((x, y), tolerance)
    found = match_pattern(spots, claimed, limits)
    pair = _pair(spots, found, limits)
    rivals = _rivals(claimed, phase, others or {})
    matches = _matches(spots, rivals, limits)
    if pair:  # what the claim may, its rivals may as well
        found = pair[0]
        matches = [(_pair(spots, rival, limits) or (rival,))[0] for rival in matches]
    anywhere = matches if tolerance is None else _matches(spots, rivals, SpotLimits((x, y), None))
    if found is None or _is_refuted(found, matches, explained=pair is not None):
        far = [*anywhere, *_matches(spots, [claimed], SpotLimits((x, y), None))]
        far.sort(key=lambda m: -m.score)
        raise UserError(_refusal(found, claimed, matches, far, tolerance))
    equal = tuple(m for m in anywhere if _explains(m) and m.score > found.score - _EQUAL)
    return _calibration(found, spots, limits, equal, pair[1] if pair else None)


def _pair(spots: Spots, found: Match | None, limits: SpotLimits) -> tuple[Match, Match] | None:
    """Two grains that explain the spots together, where one leaves much unexplained."""
    if found is None or found.share >= ALL:
        return None
    pair = two_grains(spots, found, limits)
    if pair is None or explained_by(pair, spots) < ENOUGH:
        return None
    good = all(min(grain.agreement, 1 - grain.looseness) >= _FITS for grain in pair)
    return pair if good else None


def _cropped(
    data: NDArray[np.float32], region: tuple[int, int, int, int] | None
) -> NDArray[np.float64]:
    if region is None:
        return data.astype(np.float64)
    top, bottom, left, right = region
    if not (0 <= top < bottom <= data.shape[0] and 0 <= left < right <= data.shape[1]):
        raise UserError(
            f"region {list(region)} does not fit the image, {data.shape[0]} x {data.shape[1]} px; "
            "give top, bottom, left, right"
        )
    return data[top:bottom, left:right].astype(np.float64)


def _rivals(claimed: SpotPattern, phase: Atoms, others: Mapping[str, Atoms]) -> list[SpotPattern]:
    """Other zone axes of the phase, and all of the other phases."""
    found = [
        rival
        for rival in low_index_patterns(phase, name=claimed.phase, highest=HIGHEST)
        if rival.signature != claimed.signature
    ]
    for name, other in others.items():
        found += low_index_patterns(other, name=name, highest=HIGHEST)
    return found


def _matches(spots: Spots, patterns: Sequence[SpotPattern], limits: SpotLimits) -> list[Match]:
    """Those that can be laid over the spots, best first."""
    found = [m for rival in patterns if (m := match_pattern(spots, rival, limits)) is not None]
    return sorted(found, key=lambda m: -m.score)


def _is_refuted(found: Match, rivals: Sequence[Match], *, explained: bool) -> bool:
    """Whether a claim explains little, unless known to, or a rival clearly more."""
    better = any(_explains(rival) and rival.score > found.score + _CLEARLY for rival in rivals)
    return better or not (explained or _explains(found))


def _refusal(
    found: Match | None,
    claimed: SpotPattern,
    rivals: Sequence[Match],
    anywhere: Sequence[Match],
    tolerance: float | None,
) -> str:
    """One sentence: why the claim is refused, and what fits better."""
    within = "" if tolerance is None else f" within {tolerance:.0%} of the header's"
    why = f"no pixel size{within} brings them together"
    if found is not None:
        why = f"{found.share:.0%} of their intensity is explained, agreement {found.agreement:.2f}"
        why += f", rms residual {found.rms:.2f} px of the spectrum"
    text = f"the spots do not fit {claimed.name}: {why}; "
    if better := _simplest(rivals, found):
        return (
            f"{text}{better.pattern.name} fits better, with {better.share:.0%} and "
            f"agreement {better.agreement:.2f} at {better.scale:.4g} Å/px"
            f"{_likewise(better, rivals)}; check phase, lattice constant and zone axis"
        )
    text += f"no other zone axis up to {axis_name((HIGHEST,) * 3)} or phase given fits"
    text += f" with a pixel size{within}; " if within else "; "
    if far := _simplest(anywhere, found):
        text += f"{far.pattern.name} would at {far.scale:.4g} Å/px; "
    return f"{text}check the pixel size, use a region of one crystal, or give other phases"


def _simplest(rivals: Sequence[Match], found: Match | None) -> Match | None:
    """The rival that beats the claim; of those not clearly worse the one of lowest indices."""
    floor = 0.0 if found is None else found.score
    good = [rival for rival in rivals if _explains(rival) and rival.score > floor]
    if not good:
        return None
    near = [rival for rival in good if rival.score > good[0].score - _CLEARLY]
    return min(near, key=lambda rival: sum(map(abs, rival.pattern.zone)))


def _likewise(better: Match, rivals: Sequence[Match]) -> str:
    """Up to three more rivals that agree as well, whatever distortion they ask for."""
    names = [
        rival.pattern.name
        for rival in rivals
        if rival is not better and rival.agreement > better.agreement - _EQUAL
    ]
    return f" (and so do {', '.join(names[:3])})" if names else ""


def _explains(found: Match) -> bool:
    return min(found.share, found.agreement, 1 - found.looseness) >= _FITS


def _calibration(
    found: Match,
    spots: Spots,
    limits: SpotLimits,
    ambiguous: tuple[Match, ...],
    second: Match | None,
) -> Calibration:
    px, py, shear, rotation = map(float, decompose(found.matrix))
    jacobian = _jacobian(found.matrix)
    sigma = np.sqrt(np.diag(jacobian @ found.covariance @ jacobian.T))
    return Calibration(
        sampling=(py, px),
        sampling_sigma=(float(sigma[1]), float(sigma[0])),
        shear_x=shear,
        shear_sigma=float(sigma[2]),
        rotation=rotation,
        rotation_sigma=float(sigma[3]),
        match=found,
        spots=spots,
        header=limits.header[::-1],
        tolerance=limits.tolerance,
        ambiguous=ambiguous,
        second=second,
    )


def _triple(indices: NDArray[np.int_]) -> tuple[int, int, int]:
    h, k, l = map(int, indices)  # noqa: E741 - Miller's own letters
    return h, k, l


def _jacobian(matrix: Floats) -> Floats:
    """Derivatives of pixel sizes, shear and rotation by the elements of M, shape (4, 4)."""
    step = 1e-6 * float(np.abs(matrix).max())
    columns = []
    for index in range(4):
        change = np.zeros(4)
        change[index] = step
        shifted = [decompose(matrix + sign * change.reshape(2, 2)) for sign in (1, -1)]
        difference = shifted[0] - shifted[1]
        difference[3] = (difference[3] + 180) % 360 - 180
        columns.append(difference / (2 * step))
    return np.stack(columns, axis=1)


def _uncertain(value: float, sigma: float) -> str:
    """Value and uncertainty, the latter to one or two digits: 0.1348 ± 0.0001."""
    if not np.isfinite(sigma) or sigma <= 0:
        return f"{value:.4g}"
    digits = max(int(np.ceil(-np.log10(sigma))) + (f"{sigma:e}"[0] == "1"), 0)
    return f"{value:.{digits}f} ± {sigma:.{digits}f}"


def _change(ratio: float) -> str:
    """How far a header's value over the true one is from 1, in words."""
    if abs(ratio - 1) < 5e-4:
        return "right"
    return f"{abs(ratio - 1):.1%} too {'large' if ratio > 1 else 'small'}"
