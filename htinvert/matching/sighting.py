"""Look for one structure in a whole micrograph: turn, mirror, magnification and place.

As :mod:`htinvert.matching.match` finds the members of a library: the lattices in the spectra of
overlapping tiles give a few turns and magnifications; in each, seen from both sides, the structure
is moved over the image in coarse pixels and the best places are fitted. What that is worth, decoys
tell (:mod:`htinvert.matching.chance`). How an image is prepared so that the structure stands
upright in it: :mod:`htinvert.matching.upright`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms

from htinvert.core import EvaluationFailed, Floats, Signal, UserError
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.matching.chance import Chance, chance
from htinvert.matching.member import Structure
from htinvert.matching.pose import FittedPose, PlacedPose, Pose, Renderer, place, refine
from htinvert.matching.target import COARSE, FINE
from htinvert.matching.whole import (
    FIELD,
    Box,
    around,
    check_usable,
    part,
    squares,
    tile_boxes,
)
from htinvert.metrics.log_polar import Turn, prepare_map, spectrum_map, turns

TURNS = 4  # for each tile and side
LEADS = 8  # for each side
APART = (2.0, 0.03)  # degrees and magnification: leads that are closer are one
STARTS = 5  # poses that are fitted
PLACES = 6  # where the fitted ones are tried again
LARGEST_HALF = 25.0  # Å: half the side of the largest part of a structure that is moved about
DISTORTED = 1.15  # ratio of the two magnifications that no scan has
OTHER = (3.0, 6.0)  # degrees and Å by which another answer differs
DECOY_FIELD = 250.0  # Å: side of the part of an image that decoys are looked for in


@dataclass(frozen=True, eq=False)
class Sighting:
    """A pose in which a structure may be shown.

    Attributes:
        mirrored: whether the specimen is seen from its other side.
        pose: of the structure in the whole image, [Å] by the pixel size given.
        correlation: 0 to 1, of the fit.
    """

    mirrored: bool
    pose: Pose
    correlation: float

    @property
    def rotation(self) -> float:
        """Counter-clockwise turn in the image [degrees] of what lies to the structure's right.

        That is a boundary's inclination, whatever the distortion; mirrored first, where it is.
        """
        right = self.pose.matrix[:, 0]
        return float(np.degrees(np.arctan2(-right[1], right[0])))


@dataclass(frozen=True, eq=False)
class Sightings:
    """What was found of a structure in an image.

    Attributes:
        sightings: poses in which it may be shown, repeats along a boundary among them, the
            likeliest first.
        chance: how well decoys do.
        half: half the side [Å] of the part that was moved over the image.
        box: top, bottom, left, right [px] of the part of the image that was searched.
    """

    sightings: tuple[Sighting, ...]
    chance: Chance
    half: float
    box: Box

    @property
    def best(self) -> Sighting:
        """The likeliest."""
        return self.sightings[0]

    @property
    def found(self) -> bool:
        """Whether the best is more than chance."""
        return self.best.correlation > self.chance.level

    @property
    def distinct(self) -> tuple[Sighting, ...]:
        """The best, and those that differ from all before them by more than a repeat."""
        kept: list[Sighting] = []
        for sighting in self.sightings:
            if all(differ(sighting, other) for other in kept):
                kept.append(sighting)
        return tuple(kept)


def sides(atoms: Atoms, forward: StemConvolution) -> tuple[Structure, Structure]:
    """A structure as the forward model sees it, and from the other side: mirrored left to right."""
    plain = replace(
        forward,
        sampling=None,
        shape=None,
        shift_x=0.0,
        shift_y=0.0,
        shear_x=0.0,
        shear_y=0.0,
        stretch_x=0.0,
        stretch_y=0.0,
        rotation=0.0,
    )
    center = None if plain.center is None else (plain.center[0], -plain.center[1])
    shift = -plain.interface_shift
    other = replace(plain, beam=_opposite(plain.beam), center=center, interface_shift=shift)
    return Structure(atoms, plain), Structure(atoms, other)


def _opposite(beam: Any) -> Any:
    if isinstance(beam, str):
        return beam[1:] if beam.startswith("-") else f"-{beam}"
    return tuple(-float(part) for part in beam)


def search(
    image: Signal,
    atoms: Atoms,
    *,
    forward: StemConvolution,
    tolerance: float = 0.1,
    progress: Callable[[str], None] = lambda _: None,
) -> Sightings:
    """Look for a structure in an image: any turn, from either side, any place.

    Args:
        image: the micrograph, shape (ny, nx), of any size.
        atoms: the structure; what its middle shows is looked for.
        forward: from where it is seen, and with which detector.
        tolerance: how far the pixel size may be off, relative.
        progress: told what is going on.

    Raises :class:`UserError` for an image that is constant, not finite or too small, and for a
    structure that shows nothing.
    """
    check_usable(image)
    candidates = sides(atoms, forward)
    progress("comparing spectra")
    leads, likeliest = _leads(image, candidates, 1 + tolerance)
    box = around(image, likeliest, FIELD)
    coarse = squares(part(image, box), COARSE)
    half = moved_half(candidates[0], coarse)
    progress("trying every place")
    starts = _placed(candidates, leads, coarse, half)
    progress("fitting")
    limits = (1 / (1 + tolerance) / 1.03, (1 + tolerance) * 1.03)
    fits = _fitted(candidates, starts, coarse, half, limits)
    progress("asking how well chance does")
    middle = np.array(coarse.data.shape) / 2
    null = chance(candidates, part(coarse, around(coarse, middle, DECOY_FIELD)), half=half)
    offset = _offset(image, box)
    found = [
        Sighting(mirrored, replace(fit.pose, shift=fit.pose.shift + offset), fit.correlation)
        for mirrored, fit in fits
    ]
    return Sightings(tuple(found), null, half, box)


def moved_half(structure: Structure, image: Signal) -> float:
    """Half the side [Å] of the part of a structure that is moved over an image."""
    smallest = min(n * step for n, step in zip(image.data.shape, image.sampling, strict=True))
    return float(min(structure.radius / 2**0.5, LARGEST_HALF, 0.3 * smallest))


def _offset(image: Signal, box: Box) -> Floats:
    """Where a part's middle lies from the image's, (right, down) [Å]."""
    middle = np.array([box[2] + box[3], box[0] + box[1]]) / 2
    whole = np.array(image.data.shape[::-1]) / 2
    return np.asarray((middle - whole) * np.array(image.sampling[::-1]))


def _leads(
    image: Signal, candidates: Sequence[Structure], most: float
) -> tuple[list[tuple[int, Turn]], Floats]:
    """Turns and magnifications that spectra suggest, by candidate; (row, column) of the best."""
    try:
        maps = [spectrum_map(c.view(FINE).data, FINE) for c in candidates]
    except (EvaluationFailed, ValueError) as error:
        raise UserError(f"the structure cannot be imaged: {error}") from error
    if not any(found.any() for found in maps):
        raise UserError("the structure shows nothing along the beam; check beam and up")
    found: list[tuple[float, int, Turn, Box]] = []
    for box in tile_boxes(image):
        tile = squares(part(image, box), FINE)
        if np.ptp(tile.data) == 0:
            continue
        spectrum = prepare_map(spectrum_map(tile.data, tile.sampling[0]))
        for side, own in enumerate(maps):
            likely = turns(spectrum, own, magnification=(1 / most, most), count=TURNS)
            found.extend((turn.correlation, side, turn, box) for turn in likely)
    found.sort(key=lambda lead: -lead[0])
    kept: list[tuple[int, Turn]] = []
    for _, side, turn, _ in found:
        alike = any(side == own and _alike(turn, other) for own, other in kept)
        if not alike and sum(side == own for own, _ in kept) < LEADS:
            kept.append((side, turn))
    best = found[0][3]
    return kept, np.array([(best[0] + best[1]) / 2, (best[2] + best[3]) / 2])


def _alike(turn: Turn, other: Turn) -> bool:
    apart = abs((turn.rotation - other.rotation + 90) % 180 - 90)
    ratio = abs(np.log(turn.magnification / other.magnification))
    return bool(apart < APART[0] and ratio < APART[1])


def _placed(
    candidates: Sequence[Renderer],
    leads: Sequence[tuple[int, Turn]],
    image: Signal,
    half: float,
) -> list[tuple[int, PlacedPose]]:
    """The best place of each lead, the best first."""
    starts = []
    for side, turn in leads:
        pose = Pose.turned(turn.rotation, turn.magnification)
        starts.append((side, place(candidates[side], pose, image, half=half)[0]))
    return sorted(starts, key=lambda start: -start[1].correlation)


def _fitted(
    candidates: Sequence[Renderer],
    starts: Sequence[tuple[int, PlacedPose]],
    image: Signal,
    half: float,
    limits: tuple[float, float],
) -> list[tuple[bool, FittedPose]]:
    """The best starts, fitted, placed once more and fitted again; the best first."""
    found: list[tuple[bool, FittedPose]] = []
    for side, start in starts[:STARTS]:
        candidate = candidates[side]
        first = refine(
            candidate, start.pose, image, half=0.8 * half, iterations=5, magnification=limits
        )
        again = place(candidate, first.pose, image, half=half, count=PLACES)
        for pose in (first.pose, *(placed.pose for placed in again)):
            fit = refine(candidate, pose, image, half=half, iterations=5, magnification=limits)
            if fit.pose.anisotropy < DISTORTED:
                found.append((side == 1, fit))
            else:  # as good as one that a scan makes, and no more
                found.append(
                    (side == 1, refine(candidate, start.pose, image, half=half, iterations=1))
                )
    return sorted(found, key=lambda entry: -entry[1].correlation)


def differ(one: Sighting, other: Sighting) -> bool:
    """Whether two sightings are two answers: another side, turn, or height of the boundary."""
    turned = abs((one.rotation - other.rotation + 180) % 360 - 180)
    if one.mirrored != other.mirrored or turned > OTHER[0]:
        return True
    across = np.radians(other.rotation)  # a repeat along the boundary is no other answer
    upward = np.array([np.sin(across), np.cos(across)])
    return bool(abs((one.pose.shift - other.pose.shift) @ upward) > OTHER[1])
