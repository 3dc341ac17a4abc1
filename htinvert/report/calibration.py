"""Show a calibration: sentences, residual of every spot, and the lattice drawn on the image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import Floats, Signal
from htinvert.image.calibration.calibrate import TOLERANCE, Calibration, calibrate
from htinvert.image.calibration.spots import power_spectrum
from htinvert.image.calibration.zone import Zone
from htinvert.image.draw import ACCENT, scale_bar
from htinvert.report.figures import FRONT, PALE, pyplot
from htinvert.report.save import save

_SHOWN_PERIODS = 9  # lattice planes across the shown part of the image
_SHOWN_RESIDUALS = 24
_BRIGHT = "#ffd166"  # of lines on gray
_SECOND = "#6cc5ff"  # the same, of a second grain


def report(
    image: Signal,
    phase: Atoms,
    *,
    zone: Zone,
    picture: Path,
    console: Any,
    name: str | None = None,
    others: Mapping[str, Atoms] | None = None,
    tolerance: float | None = TOLERANCE,
    region: tuple[int, int, int, int] | None = None,
) -> Calibration:
    """Calibrate, print what was found and draw it.

    Raises :class:`~htinvert.core.UserError` as
    :func:`~htinvert.image.calibration.calibrate.calibrate`.
    """
    found = calibrate(
        image,
        phase,
        zone=zone,
        name=name,
        others=others,
        tolerance=tolerance,
        region=region,
    )
    console.print(spot_table(found))
    console.print(found.evidence)
    console.print(found.sentence)
    y, x = found.sampling
    use = f"to use it, write into the experiment's block: sampling: [{y:.5g}, {x:.5g}]"
    console.print(use)
    draw_calibration(picture, image, found, region=region)
    console.print(f"drawn: {picture}")
    return found


def spot_table(calibration: Calibration) -> Any:
    """Residual of every spot, strongest first."""
    from rich.table import Table

    view = Table(title=f"spots of {calibration.match.pattern.name}", title_justify="left")
    view.add_column("hkl")
    for column in ("share", "measured [Å]", "ideal [Å]", "residual [px]", "residual [1/Å]"):
        view.add_column(column, justify="right")
    for spot in calibration.residuals:
        ideal = f"{spot.ideal:.4f}" if spot.explained else "-"
        other = "second grain" if spot.second else "not explained"
        view.add_row(
            _indices(spot.indices) if spot.explained else other,
            f"{spot.share:.1%}",
            f"{spot.spacing:.4f}",
            ideal,
            f"{spot.pixels:.3f}",
            f"{spot.distance:.5f}",
        )
    return view


def draw_calibration(
    path: Path,
    image: Signal,
    calibration: Calibration,
    *,
    region: tuple[int, int, int, int] | None = None,
) -> None:
    """Draw the lattice on spectrum and image, and the spots' residuals, as a PNG."""
    plt = pyplot()
    top, bottom, left, right = region or (0, image.data.shape[0], 0, image.data.shape[1])
    pixels = image.data[top:bottom, left:right].astype(float)
    figure, axes = plt.subplots(
        1, 3, figsize=(14.2, 6.0), layout="constrained", width_ratios=(1, 1, 0.62)
    )
    _draw_spectrum(axes[0], pixels, calibration)
    _draw_lattice(axes[1], pixels, calibration)
    _draw_residuals(axes[2], calibration)
    figure.suptitle("\n".join(wrap(calibration.evidence, 150)), fontsize=11)
    sentence = "\n".join(wrap(calibration.sentence, 130))
    figure.supxlabel(sentence, fontsize=10, color="#333333")
    save(figure, path)
    plt.close(figure)


def _draw_spectrum(axis: Any, pixels: Floats, calibration: Calibration) -> None:
    """Log power with measured spots and calibrated lattice, in 1/Å of the calibrated pixels."""
    ny, nx = pixels.shape
    spots, found = calibration.spots, calibration.match
    py, px = calibration.sampling
    power = np.log10(power_spectrum(pixels) + 1e-30)
    extent = np.array([-(nx // 2) - 0.5, -(nx // 2) + nx - 0.5]) / nx / px
    height = np.array([-(ny // 2) - 0.5, -(ny // 2) + ny - 0.5]) / ny / py
    per = 1 / np.array([px, py])
    explained = found.assigned >= 0
    reach = 1.2 * float(np.abs(spots.frequency[explained] * per).max())
    low = float(np.median(power))
    bright = low + 0.8 * (float(np.log10(spots.power.max())) - low)
    axis.imshow(
        power,
        cmap="gray",
        extent=(extent[0], extent[1], height[1], height[0]),
        vmin=low,
        vmax=bright,
        interpolation="nearest",
    )
    expected = found.pattern.vectors @ found.matrix.T * per
    size = 20 + 110 * found.pattern.amplitude
    style = {"facecolors": "none", "linewidths": 0.9, "clip_on": True}
    label = f"{found.pattern.name}, calibrated"
    axis.scatter(*expected.T, s=size, edgecolors=_BRIGHT, label=label, **style)
    for sign in (1, -1):
        _label_spots(axis, sign * spots.frequency * per, explained, calibration, sign)
    second = np.zeros_like(explained)
    if calibration.second is not None:
        second = calibration.second.assigned >= 0
        turned = calibration.second.pattern.vectors @ calibration.second.matrix.T * per
        axis.scatter(*turned.T, s=size, edgecolors=_SECOND, label="second grain", **style)
    others = (spots.frequency * per)[~explained & ~second]
    if len(others):
        both = np.concatenate([others, -others])
        axis.scatter(*both.T, s=26, marker="x", color=ACCENT, lw=1.2, label="not explained")
    axis.set_xlim(-reach, reach)
    axis.set_ylim(reach, -reach)
    axis.set_aspect("equal")
    axis.set_xlabel("spatial frequency to the right [1/Å]", fontsize=9)
    axis.set_ylabel("downward [1/Å]", fontsize=9)
    axis.tick_params(labelsize=8)
    axis.legend(loc="lower right", fontsize=8, framealpha=0.9, markerscale=0.8)
    axis.set_title("spectrum and calibrated lattice", fontsize=10)


def _label_spots(
    axis: Any, places: Floats, explained: NDArray[np.bool_], calibration: Calibration, sign: int
) -> None:
    """Write the indices of the six strongest explained spots and their opposites."""
    residuals = calibration.residuals
    for i in np.flatnonzero(explained)[:6]:
        hkl = residuals[i].indices
        label = _indices((sign * hkl[0], sign * hkl[1], sign * hkl[2]))
        axis.annotate(
            label,
            places[i],
            xytext=(0, 9),
            textcoords="offset points",
            color="w",
            fontsize=8,
            ha="center",
        )


def _draw_lattice(axis: Any, pixels: Floats, calibration: Calibration) -> None:
    """A clear part of the image with the planes of two strong spots, as their phases place them."""
    waves = _two_waves(calibration)
    period = 1 / np.linalg.norm(waves, axis=1).min()
    size = min(int(_SHOWN_PERIODS * period), *pixels.shape)
    y0, x0 = _clearest(waves, pixels, size)
    part = pixels[y0 : y0 + size, x0 : x0 + size]
    low, high = np.percentile(part, (0.5, 99.5))
    axis.imshow(part, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    for wave in waves:
        for segment in _planes(wave, pixels, (y0, x0), size):
            axis.plot(*segment.T, color=_BRIGHT, lw=0.9, alpha=0.85)
    axis.set_xlim(-0.5, size - 0.5)
    axis.set_ylim(size - 0.5, -0.5)
    axis.set_xticks([])
    axis.set_yticks([])
    scale_bar(axis, Signal.image(part, calibration.sampling))
    axis.set_title("lattice planes on a clear part of the image", fontsize=10)


def _two_waves(calibration: Calibration) -> Floats:
    """Frequencies [1/px] of the two shortest explained spots in unlike directions, shape (2, 2)."""
    found = calibration.match
    index = found.assigned[found.assigned >= 0]
    fade = np.exp(-(found.pattern.lengths[index] ** 2) / 0.15)
    index = index[np.argsort(-np.round(found.pattern.amplitude[index] * fade, 6), kind="stable")]
    first = found.pattern.vectors[index[0]]
    for other in found.pattern.vectors[index[1:]]:
        sine = first[0] * other[1] - first[1] * other[0]
        if abs(sine) > 0.3 * np.linalg.norm(first) * np.linalg.norm(other):
            return np.stack([first, other]) @ found.matrix.T
    return np.stack([first, found.pattern.vectors[index[-1]]]) @ found.matrix.T


def _clearest(waves: Floats, pixels: Floats, size: int) -> tuple[int, int]:
    """Top and left of the square that shows both waves best, of 7 x 7 tried."""
    rows, columns = (np.linspace(0, n - size, 7).astype(int) for n in pixels.shape)
    corners = [(int(top), int(left)) for top in np.unique(rows) for left in np.unique(columns)]

    def clarity(corner: tuple[int, int]) -> float:
        return min(abs(_wave_sum(wave, pixels, corner, size)) for wave in waves)

    return max(corners, key=clarity)


def _wave_sum(wave: Floats, pixels: Floats, corner: tuple[int, int], size: int) -> complex:
    """Fourier sum of a square part at a frequency, with phases from its corner."""
    y0, x0 = corner
    part = pixels[y0 : y0 + size, x0 : x0 + size]
    window = np.hanning(size)
    right, down = (window * np.exp(-2j * np.pi * f * np.arange(size)) for f in wave)
    return complex(down @ (part - part.mean()) @ right)


def _planes(wave: Floats, pixels: Floats, corner: tuple[int, int], size: int) -> list[Floats]:
    """Lines through the maxima of a wave, in pixels of the shown square, each shape (2, 2)."""
    phase = float(np.angle(_wave_sum(wave, pixels, corner, size)) / (2 * np.pi))
    normal = wave / np.linalg.norm(wave)
    along = np.array([-normal[1], normal[0]])
    reach = wave @ (np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * size).T + phase
    return [
        normal * (n - phase) / np.linalg.norm(wave) + np.outer([-2 * size, 2 * size], along)
        for n in range(int(np.ceil(reach.min())), int(np.floor(reach.max())) + 1)
    ]


def _draw_residuals(axis: Any, calibration: Calibration) -> None:
    """A bar per explained spot: distance from the lattice in pixels of the spectrum."""
    spots = [spot for spot in calibration.residuals if spot.explained][:_SHOWN_RESIDUALS]
    places = np.arange(len(spots))
    colors = [FRONT if spot.used else PALE for spot in spots]
    axis.barh(places, [spot.pixels for spot in spots], color=colors, height=0.62)
    axis.set_yticks(places, [_indices(spot.indices) for spot in spots], fontsize=8)
    axis.invert_yaxis()
    longest = max(spot.pixels for spot in spots)
    for place, spot in zip(places, spots, strict=True):
        axis.text(
            spot.pixels + 0.02 * longest,
            place,
            f"{spot.distance:.1e}",
            fontsize=7,
            va="center",
            color="#555555",
        )
    axis.set_xlim(0, 1.3 * longest)
    axis.set_xlabel("distance [px of the spectrum]; at the bar [1/Å]", fontsize=9)
    axis.tick_params(axis="x", labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    left_out = "" if all(spot.used for spot in spots) else " (pale: not fitted)"
    axis.set_title(f"residual of each spot{left_out}", fontsize=10)


def _indices(indices: tuple[int, int, int]) -> str:
    """Miller indices with bars above negative ones, as in a textbook."""
    return " ".join(f"{abs(i)}\u0305" if i < 0 else str(i) for i in indices)
