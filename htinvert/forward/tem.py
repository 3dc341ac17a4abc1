"""Phase-contrast TEM image: a plane wave by multislice, then the objective lens.

Quasi-coherent imaging, ``I = |FT^-1[ psi(k) exp(-i chi(k)) Et(k) Es(k) ]|^2``, averaged over frozen
phonons: Frank, Optik 38, 519 (1973); Kirkland, *Advanced Computing in Electron Microscopy*, 2nd
ed., sections 3.1 and 3.2. The waves are kept, so that a defocus series, or a fit of defocus,
aberration, envelopes, pixels, shift or distortion, costs one multislice.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import ClassVar, Literal

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy import fft

from htinvert.core import Axis, Floats, Signal, UserError
from htinvert.declaration.declared import Estimate, KnownAnswer, Parameter, check_bounds
from htinvert.forward import multislice
from htinvert.forward.cross_section import wavelength
from htinvert.forward.memo import fingerprint, remember
from htinvert.forward.multislice import Device, Supercell
from htinvert.forward.probe import BEAM, Beam, source_transfer
from htinvert.forward.scan import fourier_series, frequencies
from htinvert.forward.scene import SCENE, Scene, Window, check_scene
from htinvert.forward.slab import (
    MOTION,
    Slab,
    check_motion,
    configurations,
    crop,
    cut_slab,
    displacements,
    slices_through,
)
from htinvert.forward.stem_convolution import Lattice, sum_series

Complexes = NDArray[np.complex64]

_FWHM = 2 * np.sqrt(2 * np.log(2))  # in standard deviations
_REMEMBERED = 16  # specimens
_waves: OrderedDict[bytes, list[Complexes]] = OrderedDict()


@dataclass(frozen=True, kw_only=True)
class Tem(Beam, Scene):
    """Simulate a phase-contrast TEM image, 1 where there is no specimen.

    View and pixels are those of :class:`~htinvert.forward.scene.Scene`, the lens that of
    :class:`~htinvert.forward.probe.Beam`; thickness, phonons, slices, memory and device are as in
    :class:`~htinvert.forward.stem_multislice.StemMultislice`.

    Args:
        defocus: defocus [Å], positive is underfocus, -1e5 to 1e5.
        illumination: standard deviation of the directions of the illumination [mrad], 0 to 10.
        aperture: semiangle of the objective aperture [mrad]; None: what is simulated passes.
        blur: full width at half maximum of vibration and detector [Å], 0 to 10.
        images: pictures of a defocus series, 1 to 1000; from 2 on the signal has the axes
            (defocus, y, x).
        defocus_step: between the pictures of a series [Å].
        padding: around the window where the specimen does not repeat along the image's axes [Å].

    Raises:
        ValueError: for a parameter out of bounds.
        UserError: for a static lattice, or an aperture beyond the simulated angle.
    """

    sources: ClassVar[tuple[str, ...]] = (
        "J. Madsen and T. Susi, The abTEM code, Open Res. Europe 1, 24 (2021), "
        "doi:10.12688/openreseurope.13015.2; partial coherence: J. Frank, Optik 38, 519 "
        "(1973).",
    )
    declares: ClassVar[Mapping[str, Parameter]]
    packages: ClassVar[tuple[str, ...]] = ("abtem",)

    defocus: float = 500.0
    spherical_aberration: float = 1e7
    defocus_spread: float = 60.0
    illumination: float = 0.1
    aperture: float | None = None
    blur: float = 0.0
    images: int = 1
    defocus_step: float = 50.0
    thickness: float = 50.0
    phonons: int = 4
    rms_displacement: float | dict[str, float] = 0.09
    seed: int = 0
    padding: float = 8.0
    slice_thickness: float | None = None
    potential_sampling: float = 0.1
    potential: Literal["exact", "abtem"] = "exact"
    memory: float = 2.0
    device: Device = "cpu"

    def __post_init__(self) -> None:
        check_bounds(self, PARAMETERS)
        check_scene(self)
        if self.potential not in ("exact", "abtem"):
            raise ValueError(f'potential is "{self.potential}" but must be exact or abtem')
        check_motion(self.phonons, self.rms_displacement)
        if (self.aperture or 0.0) > self.largest_angle:
            raise UserError(
                f"aperture is {self.aperture:g} mrad but potential_sampling of "
                f"{self.potential_sampling:g} Å simulates up to {self.largest_angle:.0f} mrad; "
                "lower one of them"
            )

    @property
    def largest_angle(self) -> float:
        """Largest angle that is simulated [mrad]."""
        return multislice.largest_angle(self.beam_energy, self.potential_sampling)

    def __call__(self, atoms: Atoms) -> Signal:
        """Image, shape (ny, nx), or defocus series, (images, ny, nx), of ``atoms``, float32.

        Raises:
            UserError: where sampling or shape is not set, no repeat vector runs along the beam,
                an element's displacement is not given, or memory does not suffice.
        """
        plan = self._plan(atoms)
        waves = [fft.fft2(wave) for wave in _exit_waves(self, plan)]
        defoci = [self.defocus + index * self.defocus_step for index in range(self.images)]
        stack = [_image(replace(self, defocus=value), plan, waves) for value in defoci]
        first = Signal.image(stack[0], self.pixel)
        if self.images == 1:
            return first
        series = Axis("defocus", "Å", self.defocus_step, self.defocus)
        return Signal(np.stack(stack).astype(np.float32), (series, *first.axes))

    @property
    def version(self) -> str:
        """Name and version of the engine and its phonons; images compare only within one."""
        return f"{multislice.version()}, {MOTION}"

    def estimate(self, atoms: Atoms) -> Estimate:
        """What one image of ``atoms`` costs; raises as an image does."""
        plan = self._plan(atoms)
        nx, ny = plan.pixels
        seconds = multislice.seconds(plan.pixels, plan.slices, probes=1, boxes=1) * self.phonons
        work = f"{self.phonons} configurations x {plan.slices} slices of {nx} x {ny} px"
        memory = multislice.memory_of(plan.pixels, plan.slices, 1)
        return Estimate(multislice.version(), work, seconds, memory)

    def _plan(self, atoms: Atoms) -> _Plan:
        """What is to be computed for an image of ``atoms``."""
        multislice.check_engine(self.device)
        atoms = self.specimen(atoms)
        window = self.window_on(atoms)
        slab = cut_slab(atoms, beam=self.beam, up=self.up, thickness=self.thickness)
        displacements(slab.numbers, self.rms_displacement)
        corner, size = _box(slab, window, self.padding)
        pixels = multislice.pixels_of(size, self.potential_sampling)
        thickest = self.slice_thickness or multislice.thickest(self.beam_energy, _SLICED)
        slices = slices_through(slab, thickest)
        multislice.probes_at_once(pixels, slices, self.memory)
        return _Plan(window, slab, corner, size, pixels, slices)


_SLICED = 100.0  # mrad: slices are thin against the depth of focus there, 5 Å at 200 kV

PARAMETERS = {
    **SCENE,
    **BEAM,
    "defocus": Parameter("Å", -1e5, 1e5),
    "illumination": Parameter("mrad", 0.0, 10.0),
    "aperture": Parameter("mrad", 0.1, 200.0),
    "blur": Parameter("Å", 0.0, 10.0),
    "images": Parameter("1", 1, 1000),
    "defocus_step": Parameter("Å", -1e4, 1e4),
    "thickness": Parameter("Å", 1e-3, 2e3),
    "phonons": Parameter("1", 0, 1000),
    "seed": Parameter("1", 0, 2**32),
    "padding": Parameter("Å", 2.0, 50.0),
    "slice_thickness": Parameter("Å", 0.1, 20.0),
    "potential_sampling": Parameter("Å", 5e-3, 0.2),
    "memory": Parameter("GB", 1e-3, 1e6),
}
Tem.declares = PARAMETERS


def _first_zero(image: Signal) -> float:
    """What the lens passes of a lone atom at its first zero, as a fraction of that before it."""
    orders = np.abs(fft.fft(image.data.sum(axis=0, dtype=float)))
    return float(orders[6] / orders[4])


KNOWN_ANSWERS = (
    KnownAnswer(
        "contrast at 1 / sqrt(wavelength defocus), where sin chi is 0",
        "the transfer function of a weak phase object (Kirkland, eq. 3.42)",
        {
            **{"sampling": 0.1, "shape": (190, 190), "beam": "z", "up": "y", "phonons": 1},
            **{"defocus": (19.0 / 6) ** 2 / wavelength(200e3), "spherical_aberration": 0.0},
            **{"defocus_spread": 0.0, "illumination": 0.0, "rms_displacement": 1e-3},
        },
        lambda: Atoms("H", positions=[[9.5, 9.5, 0.0]], cell=[19, 19, 2], pbc=(True, True, False)),
        _first_zero,
        0.0,
        0.02,  # what is scattered twice
    ),
    KnownAnswer(
        "mean of an image that loses no electron",
        "conservation of electrons",
        {"sampling": 0.25, "shape": (16, 20), "phonons": 1, "thickness": 10.0},
        lambda: Atoms("Si", positions=[[1.0, 2.0, 3.0]], cell=[5, 5, 4], pbc=True),
        lambda image: float(image.data.mean()),
        1.0,
        0.01,  # what leaves the simulated angles, and the envelopes take
    ),
)


@dataclass(frozen=True, eq=False)
class _Plan:
    """The box that is simulated: corner and size (right, down) [Å], pixels (nx, ny), slices."""

    window: Window
    slab: Slab
    corner: Floats
    size: Floats
    pixels: tuple[int, int]
    slices: int


def _box(slab: Slab, window: Window, padding: float) -> tuple[Floats, Floats]:
    """One unit where the specimen repeats along the image's axes, else the window with padding."""
    corners = window.corners()
    corner = corners.min(axis=0) - padding
    size = np.ptp(corners, axis=0) + 2 * padding
    unit = np.abs(np.diag(slab.across))
    if len(unit) == 2 and np.abs(slab.across).sum() - unit.sum() < 1e-6:
        return np.zeros(2), unit * [ceil(_SMALLEST / length) for length in unit]
    return corner, size


_SMALLEST = 4.0  # Å: a unit of less has two atoms of one column beside one another move as one


def _exit_waves(model: Tem, plan: _Plan) -> list[Complexes]:
    """The wave below the specimen for each phonon configuration, shape (nx, ny) each."""
    names = ("beam_energy", "phonons", "rms_displacement", "seed", "potential")
    parameters = {name: getattr(model, name) for name in names}
    slab = plan.slab
    parameters |= {"pixels": plan.pixels, "slices": plan.slices}
    arrays = (plan.corner, plan.size, slab.numbers, slab.positions, slab.across)
    key = fingerprint(parameters, *arrays)
    if key in _waves:
        return _waves[key]
    waves = []
    for moved in configurations(
        slab, rms_displacement=model.rms_displacement, seed=model.seed, count=model.phonons
    ):
        numbers, positions = crop(moved, plan.corner, plan.size)
        size = (float(plan.size[0]), float(plan.size[1]), slab.depth)
        box = Supercell(
            numbers, positions, size, plan.pixels, plan.slices, model.potential == "exact"
        )
        waves.append(multislice.exit_wave(box, beam_energy=model.beam_energy, device=model.device))
    return remember(_waves, key, waves, most=_REMEMBERED)


def _image(model: Tem, plan: _Plan, waves: list[Complexes]) -> Floats:
    """The image of exit waves, given as Fourier transforms, at the window's pixels."""
    (nx, ny), size = plan.pixels, plan.size
    kx, ky = fft.fftfreq(nx, size[0] / nx), fft.fftfreq(ny, size[1] / ny)
    passed = lens(model, np.hypot(kx[:, None], ky))
    rows, columns = (fft.fftfreq(n, 1 / n).astype(int) for n in (nx, ny))
    intensity = np.zeros((2 * nx, 2 * ny))
    for wave in waves:  # an intensity has twice the band of its wave
        spectrum = np.zeros(intensity.shape, dtype=np.complex128)
        spectrum[np.ix_(rows, columns)] = wave * passed
        intensity += np.abs(4 * fft.ifft2(spectrum)) ** 2
    series = fourier_series(intensity / len(waves))
    basis = np.diag(size)
    squared = (frequencies(series, basis) ** 2).sum(axis=-1)
    blurred = series * source_transfer(model.blur, squared=squared)
    window = replace(plan.window, origin=plan.window.origin - plan.corner)
    return sum_series(blurred, Lattice(basis, {}), window)


def lens(model: Tem, frequency: Floats) -> NDArray[np.complex128]:
    """The objective lens' transfer function [1] at ``frequency`` [1/Å], aperture and envelopes in.

    ``chi = pi lambda k^2 (Cs lambda^2 k^2 / 2 - defocus)``; the spread of defocus damps by
    ``exp(-(pi lambda k^2 sigma)^2 / 2)``, that of directions by ``exp(-(grad chi sigma)^2 / 2)``.
    """
    length = wavelength(model.beam_energy)
    angle = length * frequency
    aberration, defocus = model.spherical_aberration, model.defocus
    chi = np.pi / length * angle**2 * (aberration * angle**2 / 2 - defocus)
    slope = 2 * np.pi / length * (aberration * angle**3 - defocus * angle)  # by angle
    temporal = np.pi / length * angle**2 * model.defocus_spread / _FWHM
    spatial = slope * model.illumination * 1e-3
    passed = np.exp(-1j * chi - (temporal**2 + spatial**2) / 2)
    limit = model.largest_angle if model.aperture is None else model.aperture
    return np.asarray(np.where(angle <= limit * 1e-3, passed, 0.0))
