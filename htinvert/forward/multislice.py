"""Electron waves through a box of atoms: the one file that adapts abTEM.

Madsen & Susi, "The abTEM code: transmission electron microscopy from first principles", Open Res.
Europe 1, 24 (2021). Kirkland's parametrization, infinite projections. Everything runs at once in
the calling thread, so it is at home in a Dask worker.
"""

from __future__ import annotations

import importlib.util
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from math import ceil
from typing import Any, Literal

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy import fft

from htinvert.core import Floats, UserError
from htinvert.forward.cross_section import (
    BORN,
    interaction_parameter,
    scattering_factor,
    wavelength,
)
from htinvert.forward.probe import Probe

Device = Literal["cpu", "gpu"]

COARSEST = 0.1  # Å/px of the wave, however small the detector
_THINNEST, _THICKEST = 0.5, 5.0  # Å, of a slice
_FINER = 3  # of the grid on which a slice's transmission function is formed
_SAFETY = 0.98  # of the angle that the sampling could just hold
_LOADED = 0.35  # GB, of a process with abTEM loaded
_PER_PROBE = 60  # bytes per pixel: wave, its spectrum, scratch
_SCRATCH = 40  # bytes per fine pixel, while a slice is made
_PER_PAIR = 1.0  # time of a probe through a slice, in pairs of Fourier transforms
_PER_SLICE = 2.0  # time to make a slice, likewise on the fine grid


@dataclass(frozen=True, eq=False)
class Supercell:
    """A periodic box of atoms: ``size`` (right, down, depth) [Å], pixels (nx, ny), slices.

    ``exact`` slices are of our own making, others abTEM's; see :func:`transmission_slices`.
    """

    numbers: NDArray[np.int_]
    positions: Floats
    size: tuple[float, float, float]
    pixels: tuple[int, int]
    slices: int
    exact: bool = True


def finest(beam_energy: float, outer: float) -> float:
    """Pixel size of the wave [Å/px] that holds angles up to ``outer`` [mrad].

    Products of wave and transmission function need a third of the band as a guard (Kirkland,
    section 6.8), so the largest angle is ``wavelength / (3 sampling)``.
    """
    return min(_SAFETY * wavelength(beam_energy) / (3e-3 * outer), COARSEST)


def largest_angle(beam_energy: float, sampling: float) -> float:
    """Largest angle [mrad] that a wave of this ``sampling`` [Å/px] holds."""
    return wavelength(beam_energy) / (3e-3 * sampling)


def thickest(beam_energy: float, outer: float) -> float:
    """Thickest slice [Å]: ``2 wavelength / outer^2``, twice the depth of focus at that angle.

    From 0.5 to 5 Å; ``outer`` [mrad].
    """
    depth = 2 * wavelength(beam_energy) / (1e-3 * outer) ** 2
    return min(max(depth, _THINNEST), _THICKEST)


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
    least, each = (memory_of(pixels, slices, count) for count in (0, 1))
    count = int((memory - least) / (each - least))
    if count < 1:
        raise UserError(
            f"multislice needs {each:.2g} GB for one probe in a box of {pixels[0]} x {pixels[1]} "
            f"px and {slices} slices but memory is {memory:g} GB; raise it or lower thickness, "
            "padding or outer"
        )
    return min(count, 16)


def memory_of(pixels: tuple[int, int], slices: int, batch: int) -> float:
    """Memory of a process [GB] with ``batch`` probes in a box: abTEM, slices, scratch, waves."""
    size = pixels[0] * pixels[1]
    return _LOADED + (8 * slices + _SCRATCH * _FINER**2 + _PER_PROBE * batch) * size / 1e9


def seconds(pixels: tuple[int, int], slices: int, *, probes: int, boxes: int) -> float:
    """Time of one configuration [s of one core], from transforms of this size timed now."""
    wave = np.ones((4, *pixels), dtype=np.complex64)
    taken = []
    for _ in range(4):
        start = time.perf_counter()
        fft.ifft2(fft.fft2(wave))
        taken.append(time.perf_counter() - start)
    each = slices * min(taken) / 4
    return each * (_PER_PAIR * probes + _FINER**2 * _PER_SLICE * boxes)


def scan_box(
    box: Supercell,
    points: Floats,
    *,
    beam: Probe,
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
        through = _specimen(abtem, box, beam.beam_energy, device)
        probe = abtem.Probe(
            energy=beam.beam_energy,
            semiangle_cutoff=beam.semiangle,
            aberrations={"C10": -beam.defocus, "C30": beam.spherical_aberration},
            device=device,
            extent=box.size[:2],
            gpts=box.pixels,
        )
        if annular:
            detector = abtem.AnnularDetector(inner=inner, outer=outer)
        else:
            detector = abtem.PixelatedDetector(max_angle=outer)
        recorded = []
        for first in range(0, len(points), batch):
            scan = abtem.CustomScan(points[first : first + batch])
            waves = through(probe.build(scan=scan, lazy=False))
            measured = detector.detect(waves).to_cpu()
            if annular:
                recorded.append(np.asarray(measured.array)[:, None])
            else:
                recorded.append(_moments(measured, inner, outer))
    return np.concatenate(recorded).astype(np.float32)


def exit_wave(
    box: Supercell, *, beam_energy: float, device: Device = "cpu"
) -> NDArray[np.complex64]:
    """A plane wave after the box, shape (nx, ny), of mean intensity 1 where nothing is lost."""
    with _abtem(device) as abtem:
        through = _specimen(abtem, box, beam_energy, device)
        wave = abtem.PlaneWave(
            energy=beam_energy, device=device, extent=box.size[:2], gpts=box.pixels
        )
        return np.asarray(through(wave.build(lazy=False)).to_cpu().array, dtype=np.complex64)


def version() -> str:
    """Name and version of the engine. Raises :class:`UserError` where it is not installed."""
    check_engine("cpu")
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


def _specimen(
    abtem: Any, box: Supercell, beam_energy: float, device: Device
) -> Callable[[Any], Any]:
    """The way of waves through a box, by exact slices or by abTEM's own potential."""
    depth = box.size[2] / box.slices
    if not box.exact:
        atoms = Atoms(box.numbers, box.positions, cell=box.size, pbc=True)
        potential = abtem.Potential(
            atoms,
            gpts=box.pixels,
            slice_thickness=(depth,) * box.slices,
            projection="infinite",
            parametrization="kirkland",
            device=device,
        ).build(lazy=False)
        return lambda waves: waves.multislice(potential)
    from abtem.antialias import AntialiasAperture
    from abtem.multislice import FresnelPropagator, conventional_multislice_step
    from abtem.potentials.iam import TransmissionFunction

    slices = [
        TransmissionFunction(
            array[None], slice_thickness=(depth,), extent=box.size[:2], energy=beam_energy
        ).copy_to_device(device)
        for array in transmission_slices(box, beam_energy)
    ]
    propagator, aperture = FresnelPropagator(), AntialiasAperture()

    def through(waves: Any) -> Any:
        waves = waves.ensure_real_space()
        for piece in slices:
            waves = conventional_multislice_step(waves, piece, propagator, aperture)
        return waves

    return through


def transmission_slices(
    box: Supercell,
    beam_energy: float,
    phase_of: Callable[[int, Floats], NDArray[Any]] | None = None,
) -> NDArray[np.complex64]:
    """What each slice does to a wave, ``exp(i s V)``, shape (slices, nx, ny), band limited.

    ``phase_of`` is the Fourier transform [rad Å²] of what one atom of a number adds to the phase,
    by squared frequencies [1/Å²]; complex where it absorbs. Without it, that of Kirkland's atoms.

    The potential V is summed in Fourier space, with every atom in its exact position, and the
    exponential is taken on a grid ``_FINER`` times as fine, where the steep potential of a nucleus
    does not depend on its place in a pixel. abTEM itself spreads an atom over four pixels, which at
    the largest angle takes up to half of its amplitude.
    """
    (nx, ny), (width, height, depth) = box.pixels, box.size
    fine = (_FINER * nx, _FINER * ny)
    kx, ky = fft.fftfreq(fine[0], width / fine[0]), fft.rfftfreq(fine[1], height / fine[1])
    squared = kx[:, None] ** 2 + ky**2
    scale = fine[0] * fine[1] / (width * height)
    born = interaction_parameter(beam_energy) * BORN
    phase_of = phase_of or (lambda z, squared: born * scattering_factor(z, squared))
    factors = {int(z): scale * phase_of(int(z), squared) for z in np.unique(box.numbers)}
    level = np.clip(box.positions[:, 2] / depth * box.slices, 0, box.slices - 1).astype(int)
    rows, columns = (fft.fftfreq(n, 1 / n).astype(int) for n in (nx, ny))
    passed = np.hypot(rows[:, None] / width, columns / height) <= min(nx / width, ny / height) / 3
    array = np.empty((box.slices, nx, ny), dtype=np.complex64)
    for index in range(box.slices):
        spectra = np.zeros((2, *squared.shape), dtype=np.complex64)  # of phase and absorption
        for number, factor in factors.items():
            x, y, _ = box.positions[(level == index) & (box.numbers == number)].T
            across, down = (np.exp(-2j * np.pi * np.outer(k, r)) for k, r in ((kx, x), (ky, y)))
            places = across.astype(np.complex64) @ down.astype(np.complex64).T
            spectra[0] += factor.real.astype(np.float32) * places
            if np.iscomplexobj(factor):
                spectra[1] += factor.imag.astype(np.float32) * places
        phase = fft.irfft2(spectra[0], s=fine)
        if spectra[1].any():
            phase = phase + np.complex64(1j) * fft.irfft2(spectra[1], s=fine)
        wave = fft.fft2(np.exp(np.complex64(1j) * phase))[np.ix_(rows, columns)]
        array[index] = fft.ifft2(wave * passed) / _FINER**2
    return array


def _moments(patterns: Any, inner: float, outer: float) -> Floats:
    """First moments (right, down) [mrad] and sum of diffraction patterns between two angles."""
    kx, ky = (np.asarray(axis) for axis in patterns.angular_coordinates)
    radius = np.hypot(kx[:, None], ky)
    weight = np.asarray(patterns.array, dtype=float) * ((radius >= inner) & (radius <= outer))
    moments = [np.einsum("nij,i->n", weight, kx), np.einsum("nij,j->n", weight, ky)]
    return np.stack([*moments, weight.sum(axis=(1, 2))], axis=1)
