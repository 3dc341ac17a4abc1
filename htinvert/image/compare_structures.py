"""Compare structures in pairs over windows of one image, whatever instrument made it.

STM surfaces are fitted anew in each window, beside null models and the data's floor; with any other
forward model each structure is fitted to the whole image once, and the windows are parts of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ase import Atoms

from htinvert.core import Channel, Metric, Signal, UserError
from htinvert.forward.stm import Stm
from htinvert.image.compare import Comparison, Contender, compare, in_place, some, windows_of
from htinvert.image.compare_surfaces import Study, SurfaceVerdict, compare_surfaces, settle_domains
from htinvert.image.outliers import cleaned
from htinvert.image.surface import SurfaceWindow, best_window
from htinvert.metrics.registration import Registration

SIZE = 79  # px: two windows of the structural similarity, and what the peer compared
MOST = 13  # windows, in which a difference of three standard errors is no accident
METRIC = Registration()

Observer = Callable[[int, int], None]


def compare_structures(
    structures: Mapping[str, Atoms],
    observed: Signal,
    *,
    forward: Any,
    metric: Metric = METRIC,
    free: Mapping[str, tuple[float, float]] | None = None,
    size: int = SIZE,
    most: int = MOST,
    observer: Observer | None = None,
) -> Comparison:
    """Say which of two or more structures an image shows: difference, standard error, verdict.

    Args:
        structures: what is compared, by name.
        observed: the image, shape (ny, nx); hot and dead pixels are replaced, with a warning.
        forward: the forward model that shows them; its shape becomes the image's.
        metric: what compares; lower is better.
        free: lower and upper bound of each parameter of ``forward`` that is fitted.
        size: rows and columns of a window [px].
        most: windows at most, spread over the image; they share no pixel.
        observer: told how many of how many costs are known.

    Raises :class:`UserError` for less than two structures and an image too small for a window,
    :class:`~htinvert.core.EvaluationFailed` where no structure could be fitted.
    """
    if len(structures) < 2:
        raise UserError("a comparison takes two structures; name one more")
    name = type(metric).__name__.lower()
    observed = cleaned(observed)
    channel = Channel("image", observed, forward, {name: metric}, dict(free or {}))
    if isinstance(forward, Stm):
        verdict = compare_stm(
            structures, channel, observed, size=size, most=most, observer=observer
        )
        return verdict.comparison
    return compare_in_place(structures, channel, size=size, most=most, observer=observer)


def compare_stm(
    structures: Mapping[str, Atoms],
    channel: Channel,
    whole: Signal,
    *,
    size: int,
    most: int,
    observer: Observer | None = None,
) -> SurfaceVerdict:
    """Compare surfaces: the first window is where the first structure fits best in the crop.

    ``whole`` is the image that the windows are parts of, of which the channel has a crop.
    """
    forward: Any = channel.forward
    metric = next(iter(channel.metrics.values()))
    ny, nx = channel.observed.data.shape
    start = SurfaceWindow((ny - size) // 2, (nx - size) // 2, size, size)
    distortion = max((abs(b) for b in channel.free.get("shear_x", ())), default=0.3)
    study = Study(channel.observed, start, metric, distortion)
    first = next(iter(structures.values()))
    fitted = settle_domains(study, first, forward)
    chosen = best_window(fitted, first, channel.observed, metric=metric, size=size)
    return compare_surfaces(
        replace(study, window=chosen),
        {name: (surface, forward) for name, surface in structures.items()},
        whole,
        some(windows_of((whole.data.shape[0], whole.data.shape[1]), (size, size)), most),
        measure=measure_of(metric, size),
        observer=observer,
    )


def compare_in_place(
    structures: Mapping[str, Atoms],
    channel: Channel,
    *,
    size: int,
    most: int,
    observer: Observer | None = None,
) -> Comparison:
    """Compare structures by one fit of the whole image each."""
    metric = next(iter(channel.metrics.values()))
    shape = channel.observed.data.shape
    forward: Any = replace(channel.forward, shape=shape)  # type: ignore[type-var]
    return compare(
        channel.observed,
        [Contender(name, structure, forward) for name, structure in structures.items()],
        some(windows_of((shape[0], shape[1]), (size, size)), most),
        refit=in_place(channel),
        measure=measure_of(metric, size),
        observer=observer,
    )


def measure_of(metric: Metric, size: int) -> str:
    """What a cost is, in words, with its window."""
    name = type(metric).__name__.lower()
    if isinstance(metric, Registration):
        name = f"figure of merit (SSIM {metric.ssim}, intensity {metric.intensity})"
    return f"{name} in windows of {size} x {size} px"
