"""Where to begin: scale, rotation and thickness of a pattern from its inner structure.

A bright patch is wider than the aperture where disks overlap, so nothing is taken from an edge: the
inside of the disk is compared on polar axes, at every scale of a list, every thickness of a table
and, by Fourier transforms, every rotation. After Pollock et al., Ultramicroscopy 181, 86 (2017) and
Xu & LeBeau, Ultramicroscopy 188, 59 (2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from htinvert.core import Floats, Signal, UserError
from htinvert.forward.cbed.detector import angles
from htinvert.forward.cbed.model import Cbed

RADII, TURNS = 24, 128
INSIDE = 0.94  # of the semiangle, that is compared
SCALES = tuple(np.geomspace(0.75, 1.33, 25))  # about the stated one
WIDER = 1.1  # times the aperture's radius, a patch above half of its brightness
SMOOTH = 0.03  # of the semiangle, standard deviation


@dataclass(frozen=True, eq=False)
class Surveyed:
    """Correlation [1] for each thickness, at the best of scale, semiangle and rotation for it.

    Attributes:
        thicknesses: [Å], shape (t,).
        correlation: shape (t,).
        models: with scale, semiangle and rotation, one for each.
    """

    thicknesses: Floats
    correlation: Floats
    models: tuple[Cbed, ...]

    @property
    def best(self) -> int:
        """Index of the thickness that correlates best."""
        return int(np.argmax(self.correlation))


def survey(
    model: Cbed,
    atoms: Atoms,
    observed: Signal,
    *,
    thicknesses: Floats,
    semiangles: Sequence[float] = (),
    scales: Sequence[float] = SCALES,
) -> Surveyed:
    """Compare an observed pattern with every thickness, semiangle, scale and rotation.

    Args:
        model: with beam, crystal and axes; its center is kept, its rotation is found.
        atoms: one cell of the crystal.
        observed: pattern (ky, kx), NaN where nothing was measured.
        thicknesses: [Å], rising.
        semiangles: [mrad]; the model's own where none is given.
        scales: that are tried, besides the model's own.

    Raises:
        UserError: where the disk does not lie within the pattern at any scale.
    """
    semiangles = tuple(semiangles) or (model.semiangle,)
    best = np.full(len(thicknesses), -np.inf)
    models: list[Cbed] = [model] * len(thicknesses)
    for semiangle in semiangles:
        simulated = np.stack(
            [
                _simulated(replace(model, semiangle=semiangle, thickness=float(t)), atoms)
                for t in thicknesses
            ]
        )
        for scale in scales:
            tried = replace(model, semiangle=semiangle, scale=model.scale * float(scale))
            seen = _observed(tried, observed)
            if seen is None:
                continue
            value, turn = _correlated(simulated, seen)
            for place in np.flatnonzero(value > best):
                best[place] = value[place]
                models[place] = replace(
                    tried, thickness=float(thicknesses[place]), rotation=float(turn[place])
                )
    if not np.isfinite(best).any():
        raise UserError(
            "the bright disk does not lie within the pattern at any scale that is tried; check the "
            "center, the sampling [mrad per px] and the semiangle"
        )
    return Surveyed(np.asarray(thicknesses, float), best, tuple(models))


def guessed_sampling(data: NDArray[np.floating], semiangle: float) -> float:
    """Step [mrad per px] of a pattern (ny, nx) of which nothing is known but the semiangle [mrad].

    From the bright patch's area, which overlapping disks widen; good to a fifth, which a survey's
    scales cover.
    """
    bright = data > 0.5 * np.nanpercentile(data, 99.9)
    return float(semiangle * WIDER / np.sqrt(bright.sum() / np.pi))


def _polar(semiangle: float) -> tuple[Floats, Floats]:
    """Directions (right, down) [mrad] of polar nodes inside of a disk, shape (radii, turns)."""
    radius = INSIDE * semiangle * (np.arange(RADII) + 0.5) / RADII
    turn = 2.0 * np.pi * np.arange(TURNS) / TURNS
    return radius[:, None] * np.cos(turn), radius[:, None] * np.sin(turn)


def _simulated(model: Cbed, atoms: Atoms) -> Floats:
    """The pattern at polar nodes, shape (radii, turns)."""
    whole, step = model.density(atoms, model.semiangle)
    sigma = np.divide(SMOOTH * model.semiangle, step)
    right, down = _polar(model.semiangle)
    turn = np.radians(model.cell(atoms).turn)
    x, y = right + model.tilt_x, down + model.tilt_y
    x, y = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    at = [y / step[0] + (whole.shape[0] - 1) / 2, x / step[1] + (whole.shape[1] - 1) / 2]
    return np.asarray(map_coordinates(gaussian_filter(whole, sigma), at, order=1))


def _observed(model: Cbed, observed: Signal) -> Floats | None:
    """An observation at polar nodes of the model's scale; None where it does not reach them."""
    ky, kx = (
        angles(axis, n, model.beam_energy)
        for axis, n in zip(observed.axes, observed.data.shape, strict=True)
    )
    right, down = _polar(model.semiangle)
    steps = (np.ptp(ky) / (len(ky) - 1), np.ptp(kx) / (len(kx) - 1))
    rows = (down / model.scale + model.center_y - ky[0]) / steps[0]
    columns = (right / model.scale + model.center_x - kx[0]) / steps[1]
    if min(rows.min(), columns.min()) < 0.0:
        return None
    if rows.max() > len(ky) - 1 or columns.max() > len(kx) - 1:
        return None
    data = observed.data.astype(float)
    data = np.where(np.isfinite(data), data, np.nanmax(data))
    sigma = np.divide(SMOOTH * model.semiangle / model.scale, steps)
    return np.asarray(map_coordinates(gaussian_filter(data, sigma), [rows, columns], order=1))


def _correlated(simulated: Floats, observed: Floats) -> tuple[Floats, Floats]:
    """Highest correlation over rotations, and that rotation [degrees], shape (t,) each.

    Nodes count by their area; a constant and a slope with the radius squared, which halos make, are
    taken out of both.
    """
    weight = np.sqrt(np.arange(RADII) + 0.5)[:, None] * np.ones(TURNS)
    square = ((np.arange(RADII) + 0.5) / RADII)[:, None] ** 2 * np.ones(TURNS)
    basis = np.linalg.qr(np.column_stack([weight.ravel(), (weight * square).ravel()]))[0]

    def cleaned(values: Floats) -> NDArray[np.float64]:
        flat = (values * weight).reshape(-1, weight.size)
        flat = flat - flat @ basis @ basis.T
        return np.asarray(
            (flat / np.linalg.norm(flat, axis=1, keepdims=True)).reshape(-1, *weight.shape)
        )

    ours, theirs = np.fft.rfft(cleaned(simulated)), np.fft.rfft(cleaned(observed[None]))
    value = np.fft.irfft((np.conj(ours) * theirs).sum(axis=1), n=TURNS)
    turn = value.argmax(axis=1)
    return value.max(axis=1), 360.0 * turn / TURNS
