"""Images of a scan of diffraction patterns: virtual detectors, center of mass, its integral.

Each is a first step of ``prepare`` for an image whose file holds patterns. Angles are in mrad.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage

from htinvert.core import Signal, UserError
from htinvert.image.units import RECIPROCAL
from htinvert.signals.defects import find_defects
from htinvert.signals.scan import PatternScan
from htinvert.signals.scan_steps import hidden

Angle = Annotated[float, Field(ge=0)]
Values = NDArray[np.float64]
REACH = 3  # px from a bad pixel in which others stand for it
COVERED = 0.5  # share of each pixel-wide ring of a detector that must have been measured
ANGLES = 720  # of a circle, to see how much of it is on the frame
CUT = 0.1  # of what is bright: intensity at the frame's border from which a pattern is cut off


def virtual(
    scan: PatternScan,
    outer: Annotated[float, Field(gt=0)],
    inner: Angle = 0.0,
    start: float | None = None,
    stop: float | None = None,
) -> Signal:
    """What a detector from ``inner`` to ``outer`` [mrad] counts at each place: (y, x).

    A pixel counts whose middle is at ``inner`` or farther and nearer than ``outer``. ``start`` and
    ``stop`` [degrees, counter-clockwise from the right] cut a segment. Dead and hot pixels are
    replaced by the mean of those around; where a part of a ring was not measured or lies beyond the
    frame, the rest of that ring stands for it.

    Raises:
        UserError: where more than half of a ring was not measured or is beyond the frame.
    """
    radius, angle = _polar(scan)
    every = np.arange(ANGLES) * 360.0 / ANGLES
    chosen = np.ones(ANGLES, dtype=bool)
    wanted = (radius >= inner) & (radius < outer)
    if not inner < outer:
        raise UserError(f"outer is {outer:g} mrad but must exceed inner, {inner:g} mrad")
    if (start is None) != (stop is None):
        raise UserError("a segment has both start and stop [degrees]; give the other, too")
    if start is not None and stop is not None:
        wanted &= (angle - start) % 360.0 < (stop - start)
        chosen = (every - start) % 360.0 < (stop - start)
    if not wanted.any():
        raise UserError(
            f"no pixel of the frame is between {inner:g} and {outer:g} mrad, its farthest corner "
            f"is at {radius.max():.4g} mrad; give other angles, or check disk and sampling"
        )
    scan, weights = _weights(scan, wanted.astype(float)[None], rings=radius)
    weights = weights / _on_frame(scan, radius, every[chosen], inner, outer)
    return _image(_sums(scan, weights)[..., 0], scan)


def com(
    scan: PatternScan,
    direction: Literal["x", "y"],
    outer: Annotated[float, Field(gt=0)] | None = None,
    rotation: float = 0.0,
) -> Signal:
    """Center of mass [mrad] of each pattern, to the right (``x``) or down (``y``): (y, x).

    ``outer`` [mrad] is how far it counts, ``rotation`` [degrees] by how much the detector's axes
    are turned counter-clockwise against the scan's.

    Raises:
        UserError: where a part was not measured that is more than single pixels.
    """
    return _image(_moments(scan, outer, rotation)[..., "xy".index(direction)], scan)


def idpc(
    scan: PatternScan,
    beam_energy: Annotated[float, Field(gt=0)],
    outer: Annotated[float, Field(gt=0)] | None = None,
    rotation: float = 0.0,
    highpass: Annotated[float, Field(gt=0)] | None = None,
    edges: Literal["mirrored", "periodic"] = "mirrored",
) -> Signal:
    """Integral of the center of mass, the phase [rad] that a thin specimen gives the wave: (y, x).

    Args:
        scan: the patterns.
        beam_energy: of the electrons [eV], for their wavelength.
        outer: how far the center of mass counts [mrad].
        rotation: of the detector's axes, counter-clockwise against the scan's [degrees].
        highpass: longest period that is kept [Å]; None: all.
        edges: how the scan goes on beyond them: mirrored, so that it need not be periodic, or
            periodic, for a simulated one of whole cells.

    Integrated in Fourier space (I. Lazić, E. G. T. Bosch and S. Lazar, Ultramicroscopy 160, 265
    (2016), eq. 12). The mean is 0.
    """
    from htinvert.forward.cross_section import wavelength

    moments = _moments(scan, outer, rotation) * 2e-3 * np.pi / wavelength(beam_energy)
    steps, slopes = (scan.axes[0].step, scan.axes[1].step), (moments[..., 0], moments[..., 1])
    return _image(integrated(*slopes, steps, highpass=highpass, edges=edges), scan)


def integrated(
    along_x: Values,
    along_y: Values,
    steps: tuple[float, float],
    *,
    highpass: float | None = None,
    edges: str = "mirrored",
) -> Values:
    """The function whose slopes (ny, nx) are nearest to these, of mean 0.

    Args:
        along_x: slope to the right [1/Å times its unit].
        along_y: slope downward.
        steps: of the grid (y, x) [Å].
        highpass: longest period that is kept [Å]; None: all.
        edges: ``mirrored`` or ``periodic``.
    """
    x, y = along_x, along_y
    if edges == "mirrored":
        x = np.block([[along_x, -along_x[:, ::-1]], [along_x[::-1], -along_x[::-1, ::-1]]])
        y = np.block([[along_y, along_y[:, ::-1]], [-along_y[::-1], -along_y[::-1, ::-1]]])
    ky, kx = (np.fft.fftfreq(n, step) for n, step in zip(x.shape, steps, strict=True))
    squared = ky[:, None] ** 2 + kx[None] ** 2
    squared[0, 0] = 1.0  # whose term is left out: the mean is not known
    series = (kx[None] * np.fft.fft2(x) + ky[:, None] * np.fft.fft2(y)) / (2j * np.pi * squared)
    series[0, 0] = 0.0
    if highpass is not None:
        series[squared < highpass**-2] = 0.0
    found = np.fft.ifft2(series).real[: along_x.shape[0], : along_x.shape[1]]
    return np.asarray(found - found.mean())


REDUCTIONS: Mapping[str, Callable[..., Signal]] = {"virtual": virtual, "com": com, "idpc": idpc}


def _polar(scan: PatternScan) -> tuple[Values, Values]:
    """Distance [mrad] of each pixel from the center, and its angle [degrees], up being positive."""
    _need_scan(scan)
    one = scan.pattern
    y, x = one.coordinates(0)[:, None], one.coordinates(1)[None]
    return np.hypot(y, x), np.degrees(np.arctan2(-y, x + 0.0 * y))


def reach(scan: PatternScan) -> float:
    """Largest angle [mrad] at which half of the circle is on the frame."""
    radius, _ = _polar(scan)
    at = np.linspace(0.0, float(radius.max()), 400)
    share = _share_on_frame(scan, at, np.arange(ANGLES) * 360.0 / ANGLES)
    return float(at[np.flatnonzero(share >= COVERED)[-1]])


def _on_frame(
    scan: PatternScan, radius: Values, angles: Values, inner: float, outer: float
) -> Values:
    """Share of each pixel's circle, at some ``angles`` [degrees], that lies on the frame."""
    along = np.linspace(inner, min(outer, float(radius.max())), 400)
    share = _share_on_frame(scan, along, angles)
    if outer > radius.max() or (share < COVERED).any():
        last = float(along[np.flatnonzero(share >= COVERED)[-1]]) if (share >= COVERED).any() else 0
        raise UserError(
            f"more than half of the detector is beyond the frame above {last:.4g} mrad; lower "
            "outer to that, as that of the forward model"
        )
    return np.asarray(np.interp(radius, along, share))


def _share_on_frame(scan: PatternScan, radii: Values, angles: Values) -> Values:
    """Share of circles of these ``radii`` [mrad], at some ``angles`` [degrees], on the frame."""
    y, x = (scan.pattern.coordinates(i) for i in (0, 1))
    half = 0.5 * np.array([y[1] - y[0], x[1] - x[0]])
    down = -radii[:, None] * np.sin(np.radians(angles))
    right = radii[:, None] * np.cos(np.radians(angles))
    on = (down >= y[0] - half[0]) & (down <= y[-1] + half[0])
    on &= (right >= x[0] - half[1]) & (right <= x[-1] + half[1])
    return np.asarray(on.mean(axis=1))


def _check_whole(scan: PatternScan, outer: float | None) -> None:
    """Raise :class:`UserError` where a center of mass would be that of a part of the pattern."""
    one = scan.pattern
    y, x = one.coordinates(0), one.coordinates(1)
    nearest = float(min(-y[0], y[-1], -x[0], x[-1]))
    if outer is not None and outer > nearest:
        raise UserError(
            f"outer is {outer:g} mrad but the frame ends at {nearest:.4g} mrad from the center, so "
            "that a center of mass would be that of a part of the pattern; lower outer"
        )
    if outer is None:
        mean = ndimage.gaussian_filter(np.nan_to_num(scan.sample().data.mean(axis=0)), 1.0)
        border = max(part.max() for part in (mean[0], mean[-1], mean[:, 0], mean[:, -1]))
        if border > CUT * np.percentile(mean, 99.0):
            raise UserError(
                "the pattern is bright at the frame's border, so that its center of mass is that "
                "of a part of it; give outer, such as a little more than the bright disk's radius"
            )


def _need_scan(scan: PatternScan) -> None:
    if len(scan.places) != 2:
        raise UserError(
            "this makes an image of a scan of patterns, and the file holds "
            + ("a row of patterns" if scan.places else "one pattern")
            + "; give places, the rows and columns of the scan, or a file with four axes"
        )
    unit = scan.pattern.axes[-1].unit
    if unit == RECIPROCAL[0]:
        raise UserError(
            "the detector's axes are in 1/Å and angles in mrad; set patterns: disk, the radius of "
            "the bright disk [mrad], or sampling and unit: mrad"
        )


def _moments(scan: PatternScan, outer: float | None, rotation: float) -> Values:
    """Center of mass (right, down) [mrad] in the scan's axes: (y, x, 2)."""
    radius, _ = _polar(scan)
    _check_whole(scan, outer)
    one = scan.pattern
    wanted = radius < (np.inf if outer is None else outer)
    y, x = np.broadcast_arrays(one.coordinates(0)[:, None], one.coordinates(1)[None])
    scan, weights = _weights(scan, np.stack([wanted, wanted * x, wanted * y]).astype(float))
    sums = _sums(scan, weights)
    if not (sums[..., 0] > 0.0).all():
        raise UserError("some patterns have no intensity, and no center of mass; crop the scan")
    right, down = sums[..., 1] / sums[..., 0], sums[..., 2] / sums[..., 0]
    cosine, sine = np.cos(np.radians(rotation)), np.sin(np.radians(rotation))
    return np.stack([cosine * right + sine * down, -sine * right + cosine * down], axis=-1)


def _weights(
    scan: PatternScan, wanted: Values, *, rings: Values | None = None
) -> tuple[PatternScan, Values]:
    """The scan with what is not measured set to nothing, and weights of the pixels that are.

    A bad pixel's weight goes to those around it. What is left, as under a beam stop, is made up for
    by the rest of its ring, and cannot be where there are no rings.
    """
    defects = find_defects(scan.sample())
    scan = hidden(scan, defects.every)
    lost = ~np.isfinite(scan.sample().data).all(axis=0)
    if not lost.any():
        return scan, wanted
    good = (~lost).astype(float)
    weights, left = wanted * good, np.stack([lost & (part != 0.0) for part in wanted])
    for reach in range(1, REACH):
        box = np.ones((2 * reach + 1,) * 2)
        around = ndimage.convolve(good, box, mode="constant")
        near = lost & (around >= 0.5 * (box.size - 1))
        share = np.where(near, 1.0 / np.maximum(around, 1.0), 0.0)
        for part, own, still in zip(weights, wanted, left, strict=True):
            moved = np.where(still, own * share, 0.0)
            part += good * ndimage.convolve(moved, box, mode="constant")
            still &= ~near
    if not left.any():
        return scan, weights
    if rings is None:
        raise UserError(
            f"{int(left.any(axis=0).sum())} pixels were not measured that count for the center of "
            "mass, as under a beam stop or where the detector is saturated; lower outer, or take a "
            "virtual detector beside them"
        )
    return scan, _made_up(weights, wanted, left, rings)


def _made_up(weights: Values, wanted: Values, left: NDArray[np.bool_], rings: Values) -> Values:
    """Weights raised ring by ring, of a pixel's width, for what was not measured of it."""
    width = float(np.abs(np.diff(rings[rings.shape[0] // 2])).max())
    number = np.floor(rings / width).astype(int).ravel()
    whole = np.bincount(number, wanted[0].ravel())
    lost = np.bincount(number, (wanted[0] * left[0]).ravel())
    short = lost > (1.0 - COVERED) * whole
    if short.any():
        first = float(np.flatnonzero(short)[0] * width)
        raise UserError(
            f"more than half of the detector was not measured at {first:.4g} mrad, as under a beam "
            "stop or where it is saturated; give other angles"
        )
    factor = whole / np.maximum(whole - lost, 1e-30)
    return np.asarray(weights * factor[number].reshape(rings.shape))


def _sums(scan: PatternScan, weights: Values) -> Values:
    """Weighted sums of every pattern: (y, x, number of weights)."""
    found = np.zeros((*scan.places, len(weights)))
    matrix = weights.reshape(len(weights), -1)
    used = np.flatnonzero((matrix != 0.0).any(axis=0))
    matrix = matrix[:, used].T.astype(np.float32)
    for part, block in scan.blocks():
        values = block.data.reshape(-1, weights[0].size)[:, used]
        found[part] = (values @ matrix).reshape(*block.data.shape[:-2], -1)
    return found


def _image(values: Any, scan: PatternScan) -> Signal:
    return Signal.image(values, (scan.axes[0].step, scan.axes[1].step))
