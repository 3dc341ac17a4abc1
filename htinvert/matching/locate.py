"""Where a structure lies in a whole micrograph, and what an experiment has to say for it.

:mod:`htinvert.matching.sighting` looks for it, :mod:`htinvert.matching.upright` prepares the image;
here it is decided whether the structure was found at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms

from htinvert.core import Signal, UserError
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.matching.member import Structure
from htinvert.matching.sighting import Sighting, Sightings, differ, search, sides
from htinvert.matching.target import noise_density
from htinvert.matching.upright import Upright, room, upright
from htinvert.matching.verdict import judge

CLOSE = 0.06  # of correlation in coarse pixels: answers that are fitted in fine ones, too
MOST = 4  # of them
LIKE = 0.01  # of correlation: answers that differ less cannot be told apart
COLUMNS = 100.0  # that tell answers apart, each its residual
DISTORTION = 0.01  # usual difference of an image's two magnifications, relative
MIRRORED, TURNED = 3.0, 1.0  # log odds that an image is upright and shows the side that is meant
REPEATS = 3  # places of an answer that are fitted in fine pixels
REPEAT = 0.04  # of correlation that a place with more room around it may cost
HALF = 3.0  # standard deviations above the decoys' mean that each half must reach
UNEQUAL = 0.5  # of the better half's correlation: less in the other one is worth a word


@dataclass(frozen=True, eq=False)
class Located:
    """A structure in its place.

    Attributes:
        sighting: the pose in the whole image.
        upright: the image prepared for it.
        search: all that was tried, and how well chance does.
        alike: other poses that cannot be told from it.
        notes: sentences on what to beware.
    """

    sighting: Sighting
    upright: Upright
    search: Sightings
    alike: tuple[Sighting, ...]
    notes: tuple[str, ...]

    @property
    def correlation(self) -> float:
        """0 to 1, of the structure's image with the region compared."""
        return self.upright.fitted.correlation

    @property
    def sentence(self) -> str:
        """What was found, in a sentence."""
        seen = "mirrored left to right, " if self.sighting.mirrored else ""
        y, x = self.upright.sampling
        size = f"{y:.4g}" if np.isclose(y, x) else f"{y:.4g} x {x:.4g}"
        return (
            f"found {seen}turned by {self.sighting.rotation:.1f} degrees counter-clockwise, at "
            f"{size} Å/px: correlation {self.correlation:.2f}, by chance at most "
            f"{self.search.chance.level:.2f}"
        )

    def changes(self) -> dict[str, Any]:
        """What to set in the experiment's block: sampling, prepare, and forward's parameters."""
        y, x = self.upright.sampling
        return {
            "sampling": y if y == x else [y, x],
            "prepare": [dict(step) for step in self.upright.steps],
            "forward": {"shape": list(self.upright.shape), **self.upright.start},
        }


def locate(
    image: Signal,
    atoms: Atoms,
    *,
    forward: StemConvolution,
    tolerance: float = 0.1,
    progress: Callable[[str], None] = lambda _: None,
) -> Located:
    """Find a structure in a whole image: turn over 360 degrees, mirror, place, pixel size.

    Args:
        image: the micrograph as recorded, shape (ny, nx).
        atoms: the structure; a boundary is at the middle of its cell.
        forward: from where it is seen (``beam``, ``up``), by which beam and detector.
        tolerance: how far the image's pixel size may be off, relative.
        progress: told what is going on.

    The same input gives the same answer. Raises :class:`~htinvert.core.UserError` where the
    structure is not found, or too near to the image's edge.
    """
    found = search(image, atoms, forward=forward, tolerance=tolerance, progress=progress)
    if not found.found:
        progress("looking along another axis")
        beam = str(forward.beam).lstrip("-")
        others = seen_along(image, atoms, forward=forward, tolerance=tolerance, without=[beam])
        advice = "check the pixel size, beam and up, and whether the image shows it"
        if others:
            beam = max(others, key=lambda axis: others[axis])
            advice = f"seen along {beam} it is found: set beam: {beam}"
        raise UserError(
            f"the structure was not found in the image: its best correlation is "
            f"{found.best.correlation:.2f}, and chance alone reaches {found.chance.level:.2f}; "
            f"{advice}"
        )
    progress("standing it upright")
    structure = sides(atoms, forward)[0]
    tried = _upright(image, found, structure)
    tried.sort(key=lambda pair: _implausible(*pair))
    sighting, best = tried[0]
    alike: list[Sighting] = []
    for other, own in tried[1:]:
        near = best.fitted.correlation - own.fitted.correlation < LIKE
        if near and all(differ(other, known) for known in (sighting, *alike)):
            alike.append(other)
    return Located(sighting, best, found, tuple(alike), _notes(best, found, alike))


def seen_along(
    image: Signal,
    atoms: Atoms,
    *,
    forward: StemConvolution,
    tolerance: float = 0.1,
    without: Sequence[str] = (),
) -> dict[str, float]:
    """Correlation by axis of the cell across ``up``, if the structure is found, seen along it.

    Axes ``without``, and those along which a partly periodic structure ends, are not tried.
    """
    found = {}
    repeated = atoms.pbc if atoms.pbc.any() else np.ones(3, dtype=bool)
    axes = {axis for axis, periodic in zip("xyz", repeated, strict=True) if periodic}
    for axis in sorted(axes - {str(forward.up).lstrip("-"), *without}):
        turned = replace(forward, beam=axis)
        with suppress(UserError):  # nothing repeats along some axes
            looked = search(image, atoms, forward=turned, tolerance=tolerance)
            if looked.found:
                found[axis] = looked.best.correlation
    return found


def _upright(
    image: Signal, found: Sightings, structure: Structure
) -> list[tuple[Sighting, Upright]]:
    """The likely answers, each at its best places, with the image prepared."""
    made: list[tuple[Sighting, Upright]] = []
    trouble: UserError | None = None
    for answer in found.distinct[:MOST]:
        if answer.correlation < found.best.correlation - CLOSE:
            continue
        for chosen in _repeats(image, answer, found.sightings, structure):
            try:
                made.append((chosen, upright(image, chosen, structure)))
            except UserError as error:
                trouble = trouble or error
    if not made:
        raise trouble or UserError("the structure was not found in the image")
    return made


def _implausible(sighting: Sighting, own: Upright) -> float:
    """Minus the log probability of an answer: its residual, and what images are like.

    Grains without the boundary between them fit nearly as well upside down, mirrored, or elsewhere
    with a shear, in which case the answer that leaves the image as it was recorded is the likelier.
    """
    distortion = (own.fitted.pose.anisotropy - 1.0) / DISTORTION
    return (
        0.5 * COLUMNS * float(np.log(max(1.0 - own.fitted.correlation**2, 1e-6)))
        + 0.5 * distortion**2
        + MIRRORED * sighting.mirrored
        + TURNED * (abs((sighting.rotation + 180.0) % 360.0 - 180.0) > 90.0)
    )


def _repeats(
    image: Signal, answer: Sighting, sightings: Sequence[Sighting], structure: Structure
) -> list[Sighting]:
    """Of an answer's places along the boundary the best that have the most room around them."""
    repeats = [
        other
        for other in sightings
        if not differ(other, answer) and other.correlation > answer.correlation - REPEAT
    ]
    repeats.sort(key=lambda o: (-round(room(image, o, structure), 1), -o.correlation))
    return repeats[:REPEATS]


def _notes(best: Upright, found: Sightings, alike: Sequence[Sighting]) -> tuple[str, ...]:
    """What to beware of; raises :class:`UserError` where one side of the structure is missing."""
    notes = []
    upper, lower = best.halves
    least = found.chance.mean + HALF * max(found.chance.spread, 0.01)
    if best.two_sided and min(upper, lower) < least:
        seen, missing = ("upper", "lower") if upper > lower else ("lower", "upper")
        raise UserError(
            f"the structure was not found in the image: only its {seen} half fits (correlation "
            f"{max(upper, lower):.2f}), the {missing} half does not ({min(upper, lower):.2f}, by "
            f"chance up to {least:.2f}); check whether the image shows this boundary"
        )
    if best.two_sided and min(upper, lower) < UNEQUAL * max(upper, lower):
        notes.append(
            f"the two sides fit unequally well: correlation {upper:.2f} above the middle and "
            f"{lower:.2f} below"
        )
    verdict = judge(best.fitted, best.step, noise=noise_density(best.image))
    if verdict.none_of_these:
        notes.append(f"another structure may be shown: {verdict.reason.replace('the best', 'it')}")
    if alike:
        listed = "; ".join(
            f"{'mirrored, ' if other.mirrored else ''}turned by {other.rotation:.1f} degrees"
            for other in alike
        )
        notes.append(f"not told apart from {listed}")
    return tuple(notes)
