"""Whether a structure that was fitted into an image is there at all, or the fit means nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
from ase import Atoms

from htinvert.core import Channel, EvaluationFailed, Signal, UserError
from htinvert.evaluation.placed import Placed
from htinvert.forward.stem import Stem
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.forward.stm import Stm
from htinvert.image.plausible import shows_atoms
from htinvert.matching.chance import Chance, decoy_poses
from htinvert.matching.pose import Pose, place, refine
from htinvert.matching.sighting import moved_half, search, sides
from htinvert.matching.target import COARSE
from htinvert.matching.whole import around, part, squares
from htinvert.metrics.correlation import normalized_cross_correlation

SURE = 0.8  # correlation beyond which nobody asks
GOOD = 0.5  # correlation beyond which a fit is not called nothing
BETTER = 0.15  # of correlation by which another pose must fit better
TURNED = 6.0  # degrees that a fit may turn a structure by itself
FIELD = 300.0  # Å: side of the largest part that is looked at
SLIPS = (0.1, 10.0)  # of a pixel size: nm for Å
USUAL = 3.0  # standard deviations above the decoys' mean that many of them reach
LEAST = 8  # px in coarse pixels of the smallest region
POOR = 0.5  # of a curve's variance: a fit that explains less is said to be poor
LEAST_CORRELATION = 0.2  # below which two images of many pixels have next to nothing in common


@dataclass(frozen=True)
class FitWorth:
    """How well a fitted structure correlates with an image, and how well decoys do in its place."""

    correlation: float
    chance: Chance

    @property
    def sure(self) -> bool:
        """Whether nobody has to ask."""
        return self.correlation > max(self.chance.level, SURE)

    @property
    def nothing(self) -> bool:
        """Whether it is as good as a decoy's."""
        usual = self.chance.mean + USUAL * max(self.chance.spread, 0.02)
        return self.correlation < min(usual, GOOD)


def convolution(forward: Any) -> StemConvolution:
    """The quick model of a STEM image with the view, beam and detector of another.

    Raises :class:`UserError` for the model of another instrument.
    """
    if not isinstance(forward, Stem):
        raise UserError(
            f"{type(forward).__name__} is no model of a STEM image, and only in such a one is a "
            "structure's place found; prepare the image by hand"
        )
    shared = {f.name for f in fields(Stem)} & {f.name for f in fields(StemConvolution)}
    return StemConvolution(**{name: getattr(forward, name) for name in shared})


@dataclass(frozen=True)
class Judgment:
    """What became of a fit that was judged: by what, and a sentence on what to doubt, if anything.

    ``by`` is empty where there was nothing to judge it by yet.
    """

    by: Literal["search", "correlation", ""] = ""
    doubt: str = ""


def judge(channel: Channel, atoms: Atoms, detail: Mapping[str, float] | None = None) -> Judgment:
    """Judge once whether a fitted structure is in an image; the only place where that is done.

    ``channel`` has its forward model as fitted. Where the structure can be looked for, it is: far
    better elsewhere, or as good as a decoy and not found at all, it is refused; hardly better than
    a decoy and not found, it is doubted. Where it cannot, as in the image of another instrument,
    the correlation in the ``detail`` of its score counts, which only makes doubts.

    Raises:
        UserError: where the structure is not in the image, or lies otherwise.
    """
    seen = seen_in(channel, atoms)
    if seen is not None:
        try:
            there = seen.sure or _is_there(channel, atoms, seen)
        except UserError as error:
            raise UserError(f"{error}{_slip(channel, atoms)}") from error
        level = seen.chance.level
        doubt = "" if there else _hardly_seen(seen.correlation, channel.forward, chance=level)
        return Judgment("search", f"{doubt}{_slip(channel, atoms)}" if doubt else "")
    if detail is None or "ncc" not in detail:
        return Judgment()
    doubt = _hardly_seen(detail["ncc"], channel.forward)
    return Judgment("correlation", f"{doubt}{_slip(channel, atoms)}" if doubt else "")


def poorly_fitted(placed: Placed) -> str:
    """What is wrong where a fitted curve is hardly that of the structure; empty where it is."""
    if placed.simulated.data.ndim != 1 or placed.explained >= POOR:
        return ""
    return (
        f"the fit explains only {100 * max(placed.explained, 0.0):.0f} % of the curve's variance: "
        "check the structure and its elements, the axis and its unit, and what is free"
    )


def _hardly_seen(correlation: float, forward: Any, *, chance: float = 0.0) -> str:
    """What is wrong where a correlation means nothing, by itself or beside what chance may reach.

    Empty where it means something.
    """
    if correlation >= max(LEAST_CORRELATION, chance):
        return ""
    text = f"the image shows nothing of this structure: their correlation is {correlation:.2f}, "
    text += f"and chance may reach {chance:.2f}, " if chance else ""
    text += "so what was fitted means nothing; "
    if isinstance(forward, Stm):
        return (
            text + "give a density that means something (forward.density: {use: gpaw}, or a file), "
            "another bias or isovalue, or the right turn (rotation, mirror)"
        )
    return text + "check the structure, its turn (beam, up, rotation), the pixel size and the crop"


def _slip(channel: Channel, atoms: Atoms) -> str:
    """A tail on the pixel size at which a structure is found, where a power of ten got lost."""
    observed, own = channel.observed, getattr(channel.forward, "sampling", None)
    for factor in SLIPS:
        steps = tuple(factor * step for step in observed.sampling)
        if not all(map(shows_atoms, steps)):
            continue
        forward: Any = channel.forward
        if own is not None:
            scaled = tuple(factor * s for s in own) if isinstance(own, tuple) else factor * own
            forward = replace(forward, sampling=scaled)
        image = Signal.image(observed.data, (steps[0], steps[1]))
        other = seen_in(replace(channel, observed=image, forward=forward), atoms)
        if other is not None and other.correlation > max(other.chance.level, GOOD):
            return (
                f"; with a pixel size of {steps[0]:.3g} instead of {observed.sampling[0]:.3g} Å/px "
                f"it is found (correlation {other.correlation:.2f}): check the unit, Å"
            )
    return ""


def _lies(rotation: float, *, mirrored: bool) -> str:
    """How a structure lies that was compared upright, turned by an angle in degrees.

    >>> _lies(-179.6, mirrored=True)
    'mirrored top to bottom'
    """
    if mirrored and abs(rotation) < TURNED:
        return "mirrored left to right"
    if mirrored and abs(rotation) > 180.0 - TURNED:
        return "mirrored top to bottom"
    tail = ", mirrored left to right" if mirrored else ""
    return f"turned by {rotation:.0f} degrees counter-clockwise{tail}"


def _is_there(channel: Channel, atoms: Atoms, seen: FitWorth) -> bool:
    """Whether a structure whose fit is not good beyond doubt is found where it was fitted.

    Raises :class:`UserError` where the fit is none, or the structure fits far better elsewhere.
    """
    forward: Any = channel.forward
    try:
        found = search(channel.observed, atoms, forward=convolution(forward))
    except (UserError, EvaluationFailed, ValueError):
        found = None  # too small an image to look around in
    if found is not None and found.found:
        best = found.best
        turned = best.rotation - forward.rotation
        other = best.mirrored or abs((turned + 180) % 360 - 180) > TURNED
        here = max(seen.correlation, _fitted_here(channel.observed, atoms, forward))
        if other and best.correlation > here + BETTER:
            raise UserError(
                "the structure was not found in the image where it is compared (correlation "
                f"{seen.correlation:.2f}); it lies {_lies(best.rotation, mirrored=best.mirrored)} "
                f"(correlation {best.correlation:.2f}): write place: auto into the experiment's "
                "block, or see htinvert locate"
            )
        return True
    if seen.nothing:
        raise UserError(
            "the structure was not found in the image: the correlation is "
            f"{seen.correlation:.2f}, and chance alone reaches {seen.chance.largest:.2f}; check "
            "the pixel size, beam, up and prepare, and whether the image shows it (htinvert "
            "locate looks for it in the raw image)"
        )
    return False


def _fitted_here(image: Signal, atoms: Atoms, forward: Stem) -> float:
    """Correlation of a structure at the turn it has, its distortion and place fitted as elsewhere.

    What fits better in another pose only because more of it was fitted there lies here.
    """
    candidate = sides(atoms, convolution(forward))[0]
    coarse = squares(image, COARSE)
    half = moved_half(candidate, coarse)
    pose = Pose.turned(forward.rotation, 1.0)
    found = 0.0
    for placed in place(candidate, pose, coarse, half=half, count=4):
        turned = placed.pose.matrix[:, 0] @ pose.matrix[:, 0]
        if turned > 0:  # not the half turn
            fitted = refine(candidate, placed.pose, coarse, half=half, iterations=10)
            found = max(found, fitted.correlation)
    return found


def seen_in(channel: Channel, atoms: Atoms) -> FitWorth | None:
    """Judge a channel whose forward model is as fitted; None where that cannot be judged.

    Images of other instruments than a scanning electron microscope are not.
    """
    if not isinstance(channel.forward, Stem) or not len(atoms) or channel.observed.data.ndim != 2:
        return None
    middle = np.array(channel.observed.data.shape) / 2
    observed = part(channel.observed, around(channel.observed, middle, FIELD))
    coarse = squares(observed, COARSE)
    step = coarse.sampling[0]
    model = convolution(channel.forward)
    pixel = zip(channel.forward.shape or observed.data.shape, model.pixel, strict=True)
    wanted = [int(count * own / step) for count, own in pixel]
    shape = [min(n, most) for n, most in zip(wanted, coarse.data.shape, strict=True)]
    if min(shape) < LEAST or np.ptp(coarse.data) == 0:
        return None
    model = replace(model, sampling=step, shape=(shape[0], shape[1]))
    try:
        own = _best(model, atoms, coarse)
        null = Chance.of([_best(_distorted(model, pose), atoms, coarse) for pose in decoy_poses()])
    except (EvaluationFailed, ValueError):
        return None
    return FitWorth(own, null)


def _best(model: StemConvolution, atoms: Atoms, observed: Signal) -> float:
    return float(normalized_cross_correlation(model(atoms).data, observed.data).max())


def _distorted(model: StemConvolution, pose: Any) -> StemConvolution:
    names = ("rotation", "stretch_x", "stretch_y", "shear_x")
    return replace(model, **{name: pose.parameters[name] for name in names})
