"""Look a micrograph up in a library: describe its members, match, judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from htinvert.core import Signal
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.image.outliers import cleaned
from htinvert.matching.index import build_index, on_dask
from htinvert.matching.library import LibraryView, entries
from htinvert.matching.match import Answer, match
from htinvert.matching.pipeline import Effort

FORWARD = StemConvolution()


@dataclass(frozen=True)
class Searching:
    """How far a search is: what it does, and how many of ``total`` members are described.

    ``known`` is how many of them the ``cache`` had.
    """

    doing: str
    done: int = 0
    total: int | None = None
    known: int = 0
    cache: Path = Path()


def match_library(
    observed: Signal,
    library: str | Path,
    *,
    forward: StemConvolution = FORWARD,
    scale_known: bool = True,
    tolerance: float = 0.1,
    placed: int = 20,
    top: int = 6,
    workers: int = 0,
    cache: str | Path | None = None,
    observer: Callable[[Searching], None] = lambda _: None,
) -> Answer:
    """Find which members of a library an image shows, whatever their orientation, or none.

    Args:
        observed: the micrograph, shape (ny, nx).
        library: a folder of structures or images, a file of several structures, or a run.
        forward: images structures, by its ``beam`` and ``up``.
        scale_known: whether the image's pixel size is right within ``tolerance``.
        tolerance: how far the pixel size may be off, relative.
        placed: members that are looked for in the image.
        top: of these, how many are fitted to the end.
        workers: processes that describe members; 0 is this process.
        cache: where descriptors are kept; ``LIBRARY.descriptors.zarr`` unless it is given.
        observer: told how far the search is.

    The answer has ``hits``, the best first, their ``names``, and a ``verdict`` in a sentence.
    Raises :class:`~htinvert.core.UserError` for an image or a library that cannot be used.
    """
    place = Path(library)
    kept = Path(cache) if cache else place.with_name(f"{place.resolve().name}.descriptors.zarr")
    view = LibraryView(forward, observed.sampling[0] if scale_known else None)
    observed = cleaned(observed)
    members, done = entries(place), 0

    def described(count: int) -> None:
        nonlocal done
        done += count
        observer(Searching("describing the library", done, len(members)))

    described(0)
    mapper = on_dask(view, workers) if workers else None
    index = build_index(members, view, kept, mapper=mapper, progress=described)

    def say(what: str) -> None:
        observer(Searching(what, len(members), None, index.reused, kept))

    say("matching")
    effort = Effort(placed=max(placed, top), fitted=top, tolerance=tolerance)
    return match(observed, index, view, effort=effort, scale_known=scale_known, progress=say)
