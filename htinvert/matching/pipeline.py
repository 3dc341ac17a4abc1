"""Find the members of a library that an image shows, whatever its turn, place and magnification.

From cheap to dear: (1) the invariant of every member's spectrum, one matrix product; (2) the
log-polar map of the likely ones, which gives turn and magnification; (3) correlation over all
places in both half turns, a short fit, and the same again; (4) the best are imaged anew in their
pose and fitted until nothing improves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from htinvert.core import EvaluationFailed
from htinvert.matching.pose import (
    APART,
    FittedPose,
    PlacedPose,
    Pose,
    PosedPatch,
    Renderer,
    place,
    refine,
    slipped,
)
from htinvert.matching.target import Tile
from htinvert.matching.verdict import Verdict, best_part, judge
from htinvert.metrics.log_polar import Singles, Turn, prepare_map, turns

TURNS = 2  # for each tile: a crystal's spectrum looks alike in several
LEADS = 6  # for each member
STARTS = 2  # of these, how many are fitted shortly
LOOKS = 6  # the later ones where the best does not fit evenly: while it moves, from the third on
LEADING = 2  # members of which there is a third look
SHORT, ENDS = 8, 2  # places that a later look fits shortly in fine pixels, and to the end
SLIP = 20.0  # Å: how far a pose is moved
FAR = 40.0  # Å: the same by the later looks, for boundaries nearly repeat
SEEN = 0.8  # of the region's pixels that must be left in the image there: a strip fits anything
SLIPS, MORE_SLIPS = 8, 24  # places of the whole region that are fitted, by the first look and later
GRAIN = 24.0  # Å: side of the part of one grain that says how the image is distorted
LEAST_HALF = 12.0  # Å: half the side of the smallest region that is compared


@dataclass(frozen=True)
class Effort:
    """How far the search goes at each stage.

    Attributes:
        mapped: pairs of a tile and a member whose log-polar maps are compared, the likeliest by
            their invariants.
        placed: members that are looked for in the image.
        places: where each of them is tried.
        fitted: members that are fitted to the end.
        tolerance: how far the pixel size may be off, relative.
    """

    mapped: int = 400
    placed: int = 20
    places: int = 4
    fitted: int = 6
    tolerance: float = 0.1

    @property
    def magnification(self) -> tuple[float, float]:
        """Lower and upper bound of the magnification."""
        return 1 / (1 + self.tolerance), 1 + self.tolerance


@dataclass(frozen=True, eq=False)
class Lead:
    """A member that may be shown: where, how turned, and how alike the spectra are."""

    member: int
    tile: Tile
    turn: Turn


@dataclass(frozen=True, eq=False)
class Hit:
    """A member in its place: ``correlation``, 0 to 1, is the fit's; ``lead`` is how it began."""

    member: int
    tile: Tile
    fitted: FittedPose
    lead: Lead

    @property
    def correlation(self) -> float:
        """Of the fitted image with the region compared, background taken out."""
        return self.fitted.correlation

    @property
    def pixel_size(self) -> float:
        """What the image's pixels measure if this member is the right one [Å], geometric mean."""
        y, x = self.tile.guess
        return float((y * x) ** 0.5 / self.fitted.pose.magnification)


@dataclass(frozen=True, eq=False)
class Matches:
    """The members that fit best, the best first, and those that were looked at on the way.

    ``leads`` are ordered by the spectra's likeness; ``failed`` says why a member was given up.
    """

    hits: tuple[Hit, ...]
    leads: tuple[Lead, ...]
    half: float
    failed: Mapping[int, str] = field(default_factory=dict)

    @property
    def margin(self) -> float:
        """Correlation of the first less that of the second; 1 where there is no second."""
        return self.hits[0].correlation - self.hits[1].correlation if len(self.hits) > 1 else 1.0


def likely_pairs(
    tiles: Sequence[Tile], signatures: NDArray[np.floating], *, count: int
) -> list[tuple[int, int]]:
    """Pairs of tile and member that are most alike by their invariants, the likeliest first.

    ``signatures`` has one row per member, in the space of the tiles' invariants. Every tile's best
    member is among them.
    """
    scores = np.stack([signatures @ tile.invariant for tile in tiles])
    kept = min(count, scores.size)
    flat = np.argpartition(-scores.ravel(), kept - 1)[:kept]
    flat = np.union1d(flat, np.arange(len(tiles)) * scores.shape[1] + scores.argmax(axis=1))
    order = flat[np.argsort(-scores.ravel()[flat], kind="stable")]
    return [(int(pair // scores.shape[1]), int(pair % scores.shape[1])) for pair in order]


def leads(
    tiles: Sequence[Tile],
    pairs: Sequence[tuple[int, int]],
    maps: Mapping[int, Singles],
    *,
    magnification: tuple[float, float],
) -> list[Lead]:
    """How each member of the pairs (tile, member) would have to be turned.

    The likeliest member first; of each up to ``LEADS``, for a lattice may look alike in several
    turns and tiles.
    """
    prepared = {tile: prepare_map(tiles[tile].spectrum) for tile in {tile for tile, _ in pairs}}
    own: dict[int, list[Lead]] = {}
    for tile, member in pairs:
        found = turns(prepared[tile], maps[member], magnification=magnification, count=TURNS)
        own.setdefault(member, []).extend(Lead(member, tiles[tile], turn) for turn in found)
    for found_leads in own.values():
        found_leads.sort(key=lambda lead: -lead.turn.correlation)
    ordered = sorted(own.values(), key=lambda found: -found[0].turn.correlation)
    return [lead for found in ordered for lead in found[:LEADS]]


def settle(
    found: Sequence[Lead],
    renderer: Callable[[int], Renderer],
    effort: Effort,
    *,
    half: float | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Matches:
    """Place and fit the members that the leads name.

    A member that cannot be read or imaged is left out and named in ``failed``. ``half`` is half the
    side [Å] of the region to compare; None: what all of the members have in common.
    """
    order = list(dict.fromkeys(lead.member for lead in found))[: effort.placed]
    candidates: dict[int, Renderer] = {}
    failed: dict[int, str] = {}
    for member in order:
        try:
            candidates[member] = renderer(member)
        except Exception as error:  # readers raise whatever their parsers raise
            failed[member] = " ".join(str(error).split()) or type(error).__name__
    half = half or region_half(list(candidates.values()))
    hits: list[Hit] = []
    for member, candidate in candidates.items():
        progress(f"placing {len(hits) + 1} of {len(candidates)}")
        own = [lead for lead in found if lead.member == member]
        try:
            hits.append(_locate(candidate, own, effort, half))
        except EvaluationFailed as reason:
            failed[member] = str(reason)
    hits.sort(key=lambda hit: -hit.correlation)
    final = hits[: effort.fitted]
    for look in range(LOOKS):
        before = tuple(final)
        for number, hit in enumerate(final[: LEADING if look > 1 else None]):
            progress(f"fitting {number + 1} of {len(final)}")
            final[number] = finish(candidates[hit.member], hit, effort, half, again=look > 0)
        final.sort(key=lambda hit: -hit.correlation)
        if not final or judged(final[0]).even or (look > 1 and final[0] in before):
            break
        if not look:
            final = _taught(hits, final, candidates, effort, half)
    return Matches(tuple(final), tuple(found), half, failed)


def region_half(candidates: Sequence[Renderer]) -> float:
    """Half the side [Å] of the region that all candidates are compared in, however turned."""
    reach = min((candidate.radius for candidate in candidates), default=LEAST_HALF)
    return max(reach / 2**0.5, LEAST_HALF)


def _locate(candidate: Renderer, own: Sequence[Lead], effort: Effort, half: float) -> Hit:
    """The best place of a member, by correlation and short fits in coarse pixels."""
    starts: list[tuple[PlacedPose, Lead]] = []
    for lead in own:
        pose = Pose.turned(lead.turn.rotation, lead.turn.magnification)
        placed = place(candidate, pose, lead.tile.coarse, half=_window(lead.tile, half))
        starts.append((placed[0], lead))
    starts.sort(key=lambda start: -start[0].correlation)
    first: list[Hit] = []
    for placed_at, lead in starts[:STARTS]:
        window = _window(lead.tile, half)
        fitted = refine(
            candidate, placed_at.pose, lead.tile.coarse, half=0.8 * window, iterations=5
        )
        first.append(Hit(lead.member, lead.tile, fitted, lead))
    best = max(first, key=lambda hit: hit.correlation)
    return _relocate(candidate, best, effort, half)


def _relocate(candidate: Renderer, hit: Hit, effort: Effort, half: float) -> Hit:
    """Look for better places in a pose that is known well; also keeps the one there is."""
    image, window = hit.tile.coarse, _window(hit.tile, half)
    known = hit.fitted.pose
    starts = [
        placed.pose for placed in place(candidate, known, image, half=window, count=effort.places)
    ]
    fits = [refine(candidate, pose, image, half=half, iterations=3) for pose in (known, *starts)]
    return Hit(hit.member, hit.tile, max(fits, key=lambda fit: fit.correlation), hit.lead)


def _taught(
    hits: Sequence[Hit],
    final: Sequence[Hit],
    candidates: Mapping[int, Renderer],
    effort: Effort,
    half: float,
) -> list[Hit]:
    """The best hits after the members left out were looked for in the pose of the best one.

    What a scan does to an image it does to all members alike, and a member is lost where its
    spectrum, of a crystal that is turned and bent otherwise, told its pose too badly.
    """
    best, known = final[0], {hit.member for hit in final}
    found = []
    for hit in hits:
        if hit.member not in known:
            candidate = candidates[hit.member]
            own = Hit(hit.member, best.tile, best.fitted, hit.lead)
            with suppress(EvaluationFailed):  # it shows nothing in that pose
                placed = _relocate(candidate, own, effort, half)
                if placed.correlation > hit.correlation:
                    found.append(finish(candidate, placed, effort, half, again=False))
    return sorted([*final, *found], key=lambda hit: -hit.correlation)[: effort.fitted]


def finish(candidate: Renderer, hit: Hit, effort: Effort, half: float, *, again: bool) -> Hit:
    """Fit to the end in fine pixels, after a look for a better place of the whole region.

    ``again`` is for a hit that was fitted to the end before: it is kept where nothing is better.
    """
    known, low, high = hit.fitted.pose, *effort.magnification
    reach, count = (FAR, MORE_SLIPS) if again else (SLIP, SLIPS)
    poses = (known, _of_one_grain(candidate, hit)) if again else (known,)
    starts = [
        slip
        for pose in poses
        for slip in slipped(candidate, pose, hit.tile.fine, half=half, reach=reach, count=count)
        if _seen(slip, hit.tile, half) >= SEEN * _seen(known, hit.tile, half)
    ]
    fits = {
        pose: refine(candidate, pose, hit.tile.coarse, half=half, iterations=2)
        for pose in (known, *starts)
    }
    order = sorted(fits, key=lambda pose: -fits[pose].correlation)
    first = [fits[order[0]].pose]
    if again:  # coarse pixels hardly tell the places of a dense net apart, and broaden the source
        short = [
            refine(candidate, pose, hit.tile.fine, half=half, iterations=2)
            for pose in _elsewhere(order)[:SHORT]
        ]
        short.sort(key=lambda fit: -fit.correlation)
        first = [fit.pose for fit in short[:ENDS]]
    ended = [
        refine(
            candidate,
            pose,
            hit.tile.fine,
            half=half,
            iterations=10,
            magnification=(low / 1.03, high * 1.03),
        )
        for pose in first
    ]
    fitted = max(ended, key=lambda fit: fit.correlation)
    if again and fitted.correlation <= hit.correlation:
        return hit
    return Hit(hit.member, hit.tile, fitted, hit.lead)


def _seen(pose: Pose, tile: Tile, half: float) -> int:
    """Pixels of the region that is compared at a pose; fewer where the image ends."""
    return PosedPatch.around(pose.shift, tile.fine, half=half).of(tile.fine).size


def _elsewhere(poses: Sequence[Pose]) -> list[Pose]:
    """The poses, best first, that no better one is at the place of."""
    found: list[Pose] = []
    for pose in poses:
        if all(np.hypot(*(pose.shift - other.shift)) > APART for other in found):
            found.append(pose)
    return found


def _of_one_grain(candidate: Renderer, hit: Hit) -> Pose:
    """The pose that the best explained part of the region has by itself.

    A boundary one column off bends the pose until both grains fit halfway; a scan distorts both
    alike, so one grain that fits says how, and then the boundary is found where both do.
    """
    image = hit.tile.fine
    middle = best_part(hit.fitted, image.sampling[0], side=GRAIN)
    found = refine(candidate, hit.fitted.pose, image, half=GRAIN / 2, middle=middle)
    return found.pose


def judged(best: Hit) -> Verdict:
    """Whether the best member is what the image shows."""
    return judge(best.fitted, best.tile.fine.sampling[0], noise=best.tile.noise)


def _window(tile: Tile, half: float) -> float:
    """Half the side [Å] of what is moved over a tile: at most 0.3 of the tile's."""
    smallest = min(tile.coarse.data.shape) * tile.coarse.sampling[0]
    return min(half, 0.3 * smallest)
