"""Match one image against an indexed library, and say how far the answer can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from htinvert.core import Signal, UserError
from htinvert.matching.index import Index
from htinvert.matching.library import LibraryView
from htinvert.matching.pipeline import (
    Effort,
    Hit,
    Lead,
    Matches,
    judged,
    leads,
    likely_pairs,
    settle,
)
from htinvert.matching.pose import Renderer
from htinvert.matching.target import tiles
from htinvert.matching.verdict import Verdict

FREE_TOLERANCE = 0.14  # of a pixel size that was guessed: half the way to the next guess
CLOSE = 0.05  # of a pixel size that a first fit has found
LIKE = 1e-3  # of correlation: members whose images differ less cannot be told apart


@dataclass(frozen=True, eq=False)
class Answer:
    """What an image shows of a library, best first.

    Attributes:
        hits: members in their places.
        names: of the hits.
        half: half the side [Å] of the region that was compared.
        scale_known: whether the image's pixel size was used.
        judgment: whether the first is the right one, or none is.
        failed: members that were left out, with the reason.
        notes: sentences on what to beware.
    """

    hits: tuple[Hit, ...]
    names: tuple[str, ...]
    half: float
    scale_known: bool
    judgment: Verdict
    failed: Mapping[str, str]
    notes: tuple[str, ...] = ()

    @property
    def margin(self) -> float:
        """Correlation of the first less that of the second; 1 where there is no second."""
        return self.hits[0].correlation - self.hits[1].correlation if len(self.hits) > 1 else 1.0

    @property
    def verdict(self) -> str:
        """The answer in a sentence."""
        best = f"{self.names[0]} (correlation {self.hits[0].correlation:.3f}"
        best += f", {self.margin:.3f} ahead of the next)"
        if self.judgment.none_of_these:
            return f"none of these: {self.judgment.reason}; the nearest is {best}"
        alike = [
            name
            for name, hit in zip(self.names[1:], self.hits[1:], strict=True)
            if self.hits[0].correlation - hit.correlation < LIKE
        ]
        also = f"; not told apart from {', '.join(alike)}" if alike else ""
        return f"the image shows {best}{also}"


def match(
    image: Signal,
    index: Index,
    view: LibraryView,
    *,
    effort: Effort = Effort(),  # noqa: B008  (frozen)
    scale_known: bool = True,
    progress: Callable[[str], None] = lambda _: None,
) -> Answer:
    """Find the members of a library that an image shows.

    Args:
        image: the micrograph, shape (ny, nx); its pixel size counts only if ``scale_known``.
        index: the library.
        view: how the library's members are imaged.
        effort: how far to search.
        scale_known: whether the pixel size is right within ``effort.tolerance``; if not, pixel
            sizes from 0.04 to 0.6 Å are tried.
        progress: told what is going on.

    Raises :class:`htinvert.core.UserError` for an image that is constant or too small, and where no
    member could be placed.
    """
    if not scale_known:
        effort = replace(effort, tolerance=FREE_TOLERANCE)

    @lru_cache(maxsize=4 * effort.placed)
    def renderer(member: int) -> Renderer:
        return view.member(index.entries[member])

    progress("comparing spectra")
    found = likely_leads(image, index, effort=effort, scale_known=scale_known)
    matches = settle(found, renderer, effort, progress=progress)
    if not scale_known:
        progress("fitting at the scale that was found")
        matches = _rescaled(image, index, matches, renderer, effort)
    failed = index.failed | {index.entries[i].name: why for i, why in matches.failed.items()}
    if not matches.hits:
        why = next(iter(failed.values()), "none is like the image")
        raise UserError(f"no member of the library could be placed in the image: {why}")
    notes = []
    if not scale_known:
        notes.append(
            "the image has no pixel size, so the scale was free: a crystal of another lattice "
            "constant fits as well; give --sampling to tell them apart"
        )
    names = tuple(index.entries[hit.member].name for hit in matches.hits)
    judgment = judged(matches.hits[0])
    return Answer(matches.hits, names, matches.half, scale_known, judgment, failed, tuple(notes))


def likely_leads(
    image: Signal, index: Index, *, effort: Effort, scale_known: bool = True
) -> list[Lead]:
    """How the likely members would have to be turned, by spectra alone, the likeliest first."""
    parts = tiles(image, scale_known=scale_known)
    projected = [replace(tile, invariant=index.project(tile.invariant)) for tile in parts]
    pairs = likely_pairs(projected, index.signatures, count=effort.mapped)
    pairs = [(tile, member) for tile, member in pairs if not index.reasons[member]]
    maps = index.maps([member for _, member in pairs])
    return leads(parts, pairs, maps, magnification=effort.magnification)


def _rescaled(
    image: Signal,
    index: Index,
    matches: Matches,
    renderer: Callable[[int], Renderer],
    effort: Effort,
) -> Matches:
    """Place each hit anew with tiles cut at the pixel size that it was found with."""
    close = replace(effort, tolerance=CLOSE)
    hits: list[Hit] = []
    failed = dict(matches.failed)
    for hit in matches.hits:
        ratio = image.sampling[1] / image.sampling[0]
        size = hit.pixel_size / ratio**0.5
        parts = tiles(Signal.image(image.data, (size, size * ratio)))
        pairs = [(number, hit.member) for number in range(len(parts))]
        found = leads(parts, pairs, index.maps([hit.member]), magnification=close.magnification)
        again = settle(found, renderer, close, half=matches.half)
        hits += again.hits
        failed |= again.failed
    hits.sort(key=lambda hit: -hit.correlation)
    return Matches(tuple(hits), matches.leads, matches.half, failed)
