"""Electron waves through a box of atoms: the one file that adapts abTEM.

Madsen & Susi, "The abTEM code: transmission electron microscopy from first principles", Open Res.
Europe 1, 24 (2021). Kirkland's parametrization, infinite projections. Everything runs at once in
the calling thread, so it is at home in a Dask worker.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from math import ceil
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from htinvert.core import UserError
from htinvert.forward.cross_section import wavelength

Floats = NDArray[np.float64]
Device = Literal["cpu", "gpu"]

COARSEST = 0.1  # Å/px of the wave, however small the detector
_THINNEST, _THICKEST = 0.5, 5.0  # Å, of a slice
_SAFETY = 0.98  # of the angle that the sampling could just hold
_BYTES = 60  # per pixel and probe in flight, measured: wave, its spectrum, scratch


@dataclass(frozen=True)
class Beam:
    """The incoming wave: ``beam_energy`` [eV]; a probe's angle [mrad] and aberrations [Å]."""

    beam_energy: float
    semiangle: float = 0.0
    defocus: float = 0.0
    spherical_aberration: float = 0.0


@dataclass(frozen=True, eq=False)
class Box:
    """A periodic box of atoms: ``size`` (right, down, depth) [Å], pixels (nx, ny), slices."""

    numbers: NDArray[np.int_]
    positions: Floats
    size: tuple[float, float, float]
    pixels: tuple[int, int]
    slices: int


def finest(beam_energy: float, outer: float) -> float:
    """Pixel size of the wave [Å/px] that holds angles up to ``outer`` [mrad].

    Products of wave and transmission function need a third of the band as a guard (Kirkland,
    section 6.8), so the largest angle is ``wavelength / (3 sampling)``.
    """
    return min(_SAFETY * wavelength(beam_energy) / (3e-3 * outer), COARSEST)


def largest_angle(beam_energy: float, sampling: float) -> float:
    """Largest angle [mrad] that a wave of this ``sampling`` [Å/px] holds."""
    return wavelength(beam_energy) / (3e-3 * sampling)


def slices_of(period: float, *, beam_energy: float, outer: float) -> int:
    """Slices per repeat along the beam: thin against the depth of focus at the outer angle.

    A slice of ``2 wavelength / outer^2`` [Å], from 0.5 to 5 Å, is the thickest allowed.
    """
    thickest = 2 * wavelength(beam_energy) / (1e-3 * outer) ** 2
    return max(1, ceil(period / min(max(thickest, _THINNEST), _THICKEST) - 1e-6))


def pixels_of(size: Floats, sampling: float) -> tuple[int, int]:
    """Pixels (nx, ny) of a box of lateral ``size`` [Å], none coarser than ``sampling`` [Å]."""
    nx, ny = (int(fft.next_fast_len(ceil(length / sampling - 1e-9))) for length in size[:2])
    return nx, ny


def probes_at_once(pixels: tuple[int, int], slices: int, memory: float) -> int:
    """Probes that go through a box together within ``memory`` [GB], at most 16.

    More than that do not fit a processor's cache and are slower.

    Raises:
        UserError: where not even one does.
    """
    size = pixels[0] * pixels[1]
    left = memory * 1e9 - BASE_MEMORY * 1e9 - 12 * slices * size
    count = int(left // (_BYTES * size))
    if count < 1:
        needed = BASE_MEMORY + (12 * slices + _BYTES) * size / 1e9
        raise UserError(
            f"multislice needs {needed:.1f} GB for one probe in a box of {pixels[0]} x {pixels[1]} "
            f"px and {slices} slices but memory is {memory:g} GB; raise it or lower thickness, "
            "padding or outer"
        )
    return min(count, 16)


BASE_MEMORY = 0.25  # GB, of a process with abTEM loaded


def scan_box(
    box: Box,
    points: Floats,
    *,
    beam: Beam,
    annular: bool,
    inner: float,
    outer: float,
    batch: int,
    device: Device = "cpu",
) -> NDArray[np.float32]:
    """What a detector records with the probe at ``points`` (right, down) [Å], shape (n, 2).

    Returns:
        ``annular``: shape (n, 1), the fraction of the beam between ``inner`` and ``outer`` [mrad].
        Else (n, 3), its first moments (right, down) [mrad] and that fraction.
    """
    with _abtem(device) as abtem:
        potential = _potential(abtem, box)
        probe = abtem.Probe(
            energy=beam.beam_energy,
            semiangle_cutoff=beam.semiangle,
            aberrations={"C10": -beam.defocus, "C30": beam.spherical_aberration},
            device=device,
        )
        probe.grid.match(potential)
        if annular:
            detector = abtem.AnnularDetector(inner=inner, outer=outer)
        else:
            detector = abtem.PixelatedDetector(max_angle=outer)
        recorded = []
        for first in range(0, len(points), batch):
            scan = abtem.CustomScan(points[first : first + batch])
            waves = probe.build(scan=scan, lazy=False)
            measured = waves.multislice(potential, detectors=detector)
            if annular:
                recorded.append(np.asarray(measured.to_cpu().array)[:, None])
            else:
                recorded.append(_moments(measured.to_cpu(), inner, outer))
    return np.concatenate(recorded).astype(np.float32)


def exit_wave(box: Box, *, beam_energy: float, device: Device = "cpu") -> NDArray[np.complex64]:
    """A plane wave after the box, shape (nx, ny), of mean intensity 1 where nothing is lost."""
    with _abtem(device) as abtem:
        potential = _potential(abtem, box)
        wave = abtem.PlaneWave(energy=beam_energy, device=device)
        wave.grid.match(potential)
        passed = wave.build(lazy=False).multislice(potential)
        return np.asarray(passed.to_cpu().array, dtype=np.complex64)


def version() -> str:
    """Name and version of the engine."""
    return f"abTEM {metadata.version('abtem')}"


def check_engine(device: Device) -> None:
    """Raise :class:`UserError` where abTEM, or for the GPU cupy, is not installed."""
    if importlib.util.find_spec("abtem") is None:
        raise UserError('abtem is not installed; `pip install "htinvert[multislice]"`')
    if device == "gpu" and importlib.util.find_spec("cupy") is None:
        raise UserError("device is gpu but cupy is not installed; install cupy or choose cpu")


@contextmanager
def _abtem(device: Device) -> Iterator[Any]:
    """Lend abTEM without its own threads, progress bars and deprecation warnings."""
    check_engine(device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import abtem
        import dask

        settings = {"device": device, "local_diagnostics.progress_bar": False, "fftw.threads": 1}
        with abtem.config.set(settings), dask.config.set(scheduler="synchronous"):
            yield abtem


def _potential(abtem: Any, box: Box) -> Any:
    """The sliced projected potential of a box."""
    from ase import Atoms

    atoms = Atoms(box.numbers, box.positions, cell=box.size, pbc=True)
    potential = abtem.Potential(
        atoms,
        gpts=box.pixels,
        slice_thickness=(box.size[2] / box.slices,) * box.slices,
        projection="infinite",
        parametrization="kirkland",
    )
    return potential.build(lazy=False)


def _moments(patterns: Any, inner: float, outer: float) -> Floats:
    """First moments (right, down) [mrad] and sum of diffraction patterns between two angles."""
    kx, ky = (np.asarray(axis) for axis in patterns.angular_coordinates)
    radius = np.hypot(kx[:, None], ky)
    weight = np.asarray(patterns.array, dtype=float) * ((radius >= inner) & (radius <= outer))
    moments = [np.einsum("nij,i->n", weight, kx), np.einsum("nij,j->n", weight, ky)]
    return np.stack([*moments, weight.sum(axis=(1, 2))], axis=1)
