"""Optical transfer function of an incoherent STEM probe: round aperture, aberrations, source size.

The Fourier transform of the probe's intensity, after E. J. Kirkland, *Advanced Computing in
Electron Microscopy*, 2nd ed., Springer 2010, sections 3.5 and 5.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.interpolate import CubicSpline

from htinvert.core import Floats
from htinvert.declaration.declared import Parameter
from htinvert.forward.cross_section import wavelength

AnyFloats = TypeVar("AnyFloats", NDArray[np.float32], NDArray[np.float64])

_NEGLIGIBLE = 1e-9  # part of the transfer function that may be left out


@dataclass(frozen=True, kw_only=True)
class Beam:
    """What every electron beam has: an energy, and a lens that is not perfect.

    Args:
        beam_energy: kinetic energy [eV], 1e4 to 3e6.
        defocus: defocus [Å], positive is underfocus, -1e4 to 1e4.
        spherical_aberration: third-order coefficient Cs [Å] (1 mm = 1e7 Å), -1e8 to 1e8.
        defocus_spread: full width at half maximum of a Gaussian spread of defocus [Å], 0 to 1e3.
    """

    beam_energy: float = 200e3
    defocus: float = 0.0
    spherical_aberration: float = 0.0
    defocus_spread: float = 0.0


BEAM = {
    "beam_energy": Parameter("eV", 1e4, 3e6),
    "defocus": Parameter("Å", -1e4, 1e4),
    "spherical_aberration": Parameter("Å", -1e8, 1e8),
    "defocus_spread": Parameter("Å", 0.0, 1e3),
}


@dataclass(frozen=True, kw_only=True)
class Probe(Beam):
    """A beam that is focused to a spot.

    Args:
        semiangle: convergence semiangle [mrad], 0.1 to 200.
        source_size: full width at half maximum of the Gaussian source image [Å], 0 to 10.
    """

    semiangle: float = 30.0
    source_size: float = 1.0

    @property
    def optics(self) -> Optics:
        """The aberration function's coefficients."""
        length = wavelength(self.beam_energy)
        width = self.defocus_spread / (2 * np.sqrt(np.log(2)))
        return Optics(
            self.semiangle * 1e-3 / length,
            np.pi * length * self.defocus,
            np.pi * length**3 * self.spherical_aberration / 2,
            np.pi * length * width,
        )

    @property
    def band_limit(self) -> float:
        """Highest frequency [1/Å] that the probe and its source size pass."""
        limit = 2 * self.optics.cutoff
        if self.source_size > 0:
            exponent = -np.log(_NEGLIGIBLE) * np.log(2)
            limit = min(limit, float(np.sqrt(exponent)) / (np.pi * self.source_size / 2))
        return limit

    @property
    def guard(self) -> float:
        """Distance [Å] beyond which an atom's tail is below 1e-4 of its peak."""
        angle = self.semiangle * 1e-3
        blur = abs(self.defocus) * angle + abs(self.spherical_aberration) * angle**3
        return 6.0 + 2 * self.source_size + blur + 3 * self.defocus_spread * angle

    @property
    def margin(self) -> float:
        """Distance [Å] beyond which an atom's tail is below 1e-5 of its peak."""
        return self.guard + 6.0


PROBE = {
    **BEAM,
    "semiangle": Parameter("mrad", 0.1, 200.0),
    "source_size": Parameter("Å", 0.0, 10.0),
}


@dataclass(frozen=True)
class Optics:
    """``chi = quartic k^4 - quadratic k^2`` [rad] below ``cutoff`` [1/Å]; spread of quadratic."""

    cutoff: float
    quadratic: float
    quartic: float
    spread: float

    @property
    def ideal(self) -> bool:
        """True without aberrations."""
        return self.quadratic == self.quartic == self.spread == 0


def transfer(probe: Probe, frequency: Floats) -> Floats:
    """Transfer function [1], 1 at frequency 0; ``frequency`` [1/Å] of any shape."""
    optics = probe.optics
    fraction = np.minimum(frequency / (2 * optics.cutoff), 1.0)
    return aperture_transfer(optics, fraction) * source_transfer(
        probe.source_size, squared=frequency**2
    )


def source_transfer(source_size: float, *, squared: AnyFloats) -> AnyFloats:
    """Transfer function [1] of a Gaussian source image of FWHM ``source_size`` [Å].

    Takes ``squared`` frequencies [1/Å²] and keeps their precision.
    """
    return np.exp(-float((np.pi * source_size / 2) ** 2 / np.log(2)) * squared)


def aperture_transfer(optics: Optics, fraction: Floats) -> Floats:
    """Transfer function at ``fraction`` (0 to 1) of its cutoff, twice the aperture's."""
    if optics.ideal:  # Goodman, Introduction to Fourier Optics, eq. 6-31
        root = np.sqrt(1 - fraction**2)
        return np.asarray(2 / np.pi * (np.arccos(fraction) - fraction * root))
    return np.asarray(_aberrated_transfer(optics)(fraction))


@lru_cache(maxsize=32)
def _aberrated_transfer(optics: Optics) -> CubicSpline:
    """Transfer function of a round aperture with aberrations, over 0 to 1 of its cutoff.

    The overlap of the aperture with itself shifted by k is integrated by Gauss-Legendre over one
    quarter; for round aberrations the phase difference chi(q + k/2) - chi(q - k/2) is
    ``2 qx k [2 quartic (q^2 + k^2/4) - quadratic]``, odd in qx. A Gaussian spread of defocus
    multiplies the integrand by ``exp(-(qx k spread)^2)``.
    """
    steepest = optics.cutoff**2 * (
        abs(optics.quadratic) + 2 * abs(optics.quartic) * optics.cutoff**2 + optics.spread
    )
    count = min(24 + int(steepest), 200)
    node, weight = np.polynomial.legendre.leggauss(count)
    fraction = np.linspace(0, 1, 257 + 8 * count)[:, None, None]
    k = 2 * optics.cutoff * fraction
    widest = np.arccos(fraction)
    angle = widest * (1 + node[:, None]) / 2
    qx = optics.cutoff * np.cos(angle) - k / 2
    top = optics.cutoff * np.sin(angle)
    qy = top * (1 + node) / 2
    slope = 2 * optics.quartic * (qx**2 + qy**2 + k**2 / 4) - optics.quadratic
    value = np.cos(2 * qx * k * slope) * np.exp(-((qx * k * optics.spread) ** 2))
    measure = weight * weight[:, None] * widest / 2 * top**2 / 2  # dqx = cutoff sin dangle
    total = 4 * (value * measure).sum(axis=(1, 2))
    return CubicSpline(fraction.ravel(), total / (np.pi * optics.cutoff**2))


def sampled_transfer(probe: Probe, reciprocal: Floats, shape: tuple[int, int]) -> Floats:
    """Transfer function [1] on a reciprocal lattice, its aperture sampled there too.

    The probe of Kirkland's incostem: its amplitude repeats with the cell. Defocus spread by
    Gauss-Hermite quadrature with nine points, as there.

    Args:
        probe: the probe.
        reciprocal: reciprocal lattice vectors [1/Å], one per row, shape (2, 2).
        shape: (2 H + 1, L + 1) for the orders -H..H and 0..L.
    """
    optics = probe.optics
    h_max, l_max = shape[0] // 2, shape[1] - 1
    lengths = np.linalg.norm(np.linalg.inv(reciprocal), axis=0)
    sizes = [2 * int(optics.cutoff * length) + 2 for length in lengths]
    n1, n2 = 2 * max(sizes[0], h_max) + 1, 2 * max(sizes[1], l_max) + 1
    squared = (_lattice_vectors(reciprocal, n1, n2) ** 2).sum(axis=2)
    open_ = squared <= optics.cutoff**2
    intensity = np.zeros((n1, n2))
    for node, weight in zip(*np.polynomial.hermite.hermgauss(9), strict=True):
        chi = optics.quartic * squared**2 - (optics.quadratic + node * optics.spread) * squared
        intensity += weight * np.abs(fft.ifft2(open_ * np.exp(-1j * chi))) ** 2
    spectrum = fft.fft2(intensity).real
    kept = spectrum[np.arange(-h_max, h_max + 1)][:, : l_max + 1] / spectrum[0, 0]
    orders = _lattice_vectors(reciprocal, 2 * h_max + 1, 2 * l_max + 1)
    squared = fft.fftshift((orders**2).sum(axis=2), axes=0)[:, : l_max + 1]
    return np.asarray(kept * source_transfer(probe.source_size, squared=squared))


def _lattice_vectors(reciprocal: Floats, n1: int, n2: int) -> Floats:
    """Vectors [1/Å] of all orders in the order of an FFT, shape (n1, n2, 2)."""
    h, k = fft.fftfreq(n1, 1 / n1), fft.fftfreq(n2, 1 / n2)
    return np.asarray(h[:, None, None] * reciprocal[0] + k[:, None] * reciprocal[1])
