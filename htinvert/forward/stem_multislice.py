"""STEM image of a structure by multislice with frozen phonons, for the short list of a search.

Cowley & Moodie, Acta Cryst. 10, 609 (1957); Loane, Xu & Silcox, Acta Cryst. A 47, 267 (1991);
center of mass and its integral: Lazić, Bosch & Lazar, Ultramicroscopy 160, 265 (2016).
The probe stops once per Nyquist step over one lateral unit; pixels are read from the Fourier series
(:mod:`htinvert.forward.scan`). Parameters that do not change the scan (source size, pixels, shift,
distortion) cost nothing after the first image, so that a fit of them costs one scan.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.special import ndtri

from htinvert.core import Signal, UserError
from htinvert.declaration.declared import Estimate, KnownAnswer, Parameter, check_bounds
from htinvert.forward import multislice
from htinvert.forward.cross_section import wavelength
from htinvert.forward.memo import fingerprint, remember
from htinvert.forward.multislice import Device, Supercell
from htinvert.forward.probe import Probe, source_transfer
from htinvert.forward.scan import (
    Grid,
    ScanTile,
    fourier_series,
    frequencies,
    needed,
    scan_grid,
    scan_tiles,
)
from htinvert.forward.scene import Window, check_scene
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
from htinvert.forward.stem import STEM, Stem, check_ring
from htinvert.forward.stem_convolution import (
    Lattice,
    StemConvolution,
    sum_series,
)

Complexes = NDArray[np.complex128]
Values = NDArray[np.float64]

_TILE = 4.0  # Å; smaller ones waste transmission functions, larger ones pixels
_FWHM = 2 * np.sqrt(2 * np.log(2))  # in standard deviations
_REMEMBERED = 64  # scans
_scans: OrderedDict[bytes, Values] = OrderedDict()


@dataclass(frozen=True, kw_only=True)
class StemMultislice(Stem):
    """Simulate a STEM image by multislice with frozen phonons, as a fraction of the beam current.

    View, pixels, probe and detector are those of :class:`~htinvert.forward.stem.Stem`, and images
    overlay those of :class:`~htinvert.forward.stem_convolution.StemConvolution` pixel by pixel.

    Args:
        thickness: of the specimen along the beam [Å], > 0 to 2e3, rounded to whole repeats;
            without meaning where the structure is not periodic along the beam.
        detector: "annular" collects from inner to outer (HAADF, MAADF, ABF and BF by their
            angles); "com_x" and "com_y" are the center of mass [mrad] of what falls there, to the
            right and down; "idpc" its integral, the phase [rad] that a thin specimen gives a wave.
        phonons: frozen-phonon configurations, 1 to 1000.
        rms_displacement: of thermal motion per direction [Å], > 0 to 1, one number or one per
            element.
        seed: of the displacements, >= 0.
        scan_step: largest distance between probes [Å]; None: the Nyquist limit, lambda /
            (4 alpha). A coarser one is taken where the source size blurs what it misses.
        padding: distance from a probe to the edge of its box [Å], 2 to 50.
        slice_thickness: largest [Å]; None: 2 lambda / outer^2, from 0.5 to 5 Å. Slices are whole
            fractions of the repeat.
        potential_sampling: pixel size of the wave [Å/px]; None: what holds outer + semiangle.
        potential: "exact", or "abtem": atoms spread over four pixels as by abTEM itself, whose
            high angles depend on where in its pixel an atom is; for comparison with it.
        memory: of the process [GB], > 0.
        device: "cpu" or "gpu" (needs cupy).

    The beam runs against ``beam``, from the viewer into the specimen, and enters in the widest gap
    between layers. A spread of defocus is sampled with the phonons, one defocus per configuration.

    Raises:
        ValueError: for a parameter out of bounds.
        UserError: for a static lattice, or a detector beyond the simulated angle.
    """

    sources: ClassVar[tuple[str, ...]] = (
        "J. Madsen and T. Susi, The abTEM code, Open Res. Europe 1, 24 (2021), "
        "doi:10.12688/openreseurope.13015.2; frozen phonons: R. F. Loane, P. Xu and J. "
        "Silcox, Acta Cryst. A 47, 267 (1991).",
    )
    declares: ClassVar[Mapping[str, Parameter]]
    packages: ClassVar[tuple[str, ...]] = ("abtem",)
    model_error: ClassVar[float] = 0.1
    model_error_source: ClassVar[str] = (
        "four phonon configurations against others, correlation 0.99"
    )

    thickness: float = 50.0
    detector: Literal["annular", "com_x", "com_y", "idpc"] = "annular"
    phonons: int = 4
    rms_displacement: float | dict[str, float] = 0.09
    seed: int = 0
    scan_step: float | None = None
    padding: float = 4.0
    slice_thickness: float | None = None
    potential_sampling: float | None = None
    potential: Literal["exact", "abtem"] = "exact"
    memory: float = 2.0
    device: Device = "cpu"

    def __post_init__(self) -> None:
        check_bounds(self, PARAMETERS)
        check_scene(self)
        check_ring(self)
        if self.detector not in ("annular", "com_x", "com_y", "idpc"):
            raise ValueError(
                f'detector is "{self.detector}" but must be annular, com_x, com_y or idpc'
            )
        if self.potential not in ("exact", "abtem"):
            raise ValueError(f'potential is "{self.potential}" but must be exact or abtem')
        check_motion(self.phonons, self.rms_displacement)
        angle = multislice.largest_angle(self.beam_energy, self.wave_sampling)
        if self.outer > angle:
            raise UserError(
                f"outer is {self.outer:g} mrad but potential_sampling of {self.wave_sampling:g} Å "
                f"simulates up to {angle:.0f} mrad; leave potential_sampling out or lower outer"
            )

    @property
    def convolution(self) -> StemConvolution:
        """The incoherent model of the same microscope and view."""
        return StemConvolution(**{name: getattr(self, name) for name in Stem.__dataclass_fields__})

    @property
    def version(self) -> str:
        """Name and version of the engine and its phonons; images compare only within one."""
        return f"{multislice.version()}, {MOTION}"

    def estimate(self, atoms: Atoms) -> Estimate:
        """What one image of ``atoms`` costs; raises as an image does."""
        plan = self.plan(atoms)
        boxes = [(tile.size, int(use.sum())) for tile, use in _parts(self, plan, plan.mask)]
        probes = sum(count for _, count in boxes)
        largest = max((size for size, _ in boxes), key=lambda size: float(np.prod(size)))
        pixels = multislice.pixels_of(largest, self.wave_sampling)
        batch = multislice.probes_at_once(pixels, plan.slices, self.memory)
        seconds = multislice.seconds(pixels, plan.slices, probes=probes, boxes=len(boxes))
        work = (
            f"{probes} probes x {self.phonons} configurations x {plan.slices} slices "
            f"of {pixels[0]} x {pixels[1]} px"
        )
        memory = multislice.memory_of(pixels, plan.slices, batch)
        return Estimate(multislice.version(), work, seconds * self.phonons, memory)

    @property
    def wave_sampling(self) -> float:
        """Pixel size of the wave [Å/px]."""
        if self.potential_sampling is not None:
            return self.potential_sampling
        return multislice.finest(self.beam_energy, self.outer + self.semiangle)

    def __call__(self, atoms: Atoms) -> Signal:
        """Image of ``atoms``, repeated along its periodic directions, shape (ny, nx), float32.

        Raises:
            UserError: where sampling or shape is not set, no repeat vector runs along the beam,
                an element's displacement is not given, or memory does not suffice.
        """
        plan = self.plan(atoms)
        values = _scan(self, plan)
        lattice = Lattice(plan.grid.basis, {})
        series = _series(self, values, plan.grid)
        return Signal.image(sum_series(series, lattice, plan.window), self.pixel)

    def plan(self, atoms: Atoms) -> ScanPlan:
        """What is to be computed for an image of ``atoms``; raises as an image does."""
        multislice.check_engine(self.device)
        atoms = self.specimen(atoms)
        window = self.window_on(atoms)
        slab = cut_slab(atoms, beam=self.beam, up=self.up, thickness=self.thickness)
        displacements(slab.numbers, self.rms_displacement)
        step = self.scan_step or wavelength(self.beam_energy) / (4e-3 * self.semiangle)
        grid = scan_grid(slab, window, step)
        margin = 1.3 * self.source_size + 2 * grid.step
        mask = needed(grid, window, margin)
        if self.detector == "idpc":  # an integral needs all of it
            mask = np.ones_like(mask)
        thickest = self.slice_thickness or multislice.thickest(self.beam_energy, self.outer)
        return ScanPlan(window, slab, grid, mask, slices_through(slab, thickest))


PARAMETERS = {
    **STEM,
    "thickness": Parameter("Å", 1e-3, 2e3),
    "phonons": Parameter("1", 0, 1000),
    "seed": Parameter("1", 0, 2**32),
    "scan_step": Parameter("Å", 1e-2, 2.0),
    "padding": Parameter("Å", 2.0, 50.0),
    "slice_thickness": Parameter("Å", 0.1, 20.0),
    "potential_sampling": Parameter("Å", 5e-3, 0.2),
    "memory": Parameter("GB", 1e-3, 1e6),
}
StemMultislice.declares = PARAMETERS


KNOWN_ANSWERS = (
    KnownAnswer(
        "integral over one Te atom, whose wave meets it at once",
        "the Molière cross-section [Å²] at 80 to 200 mrad by incostem (Kirkland)",
        {
            **{"sampling": 0.25, "shape": (32, 32), "semiangle": 5.0, "source_size": 0.0},
            **{"inner": 80.0, "outer": 200.0, "phonons": 1, "rms_displacement": 1e-3},
        },
        lambda: Atoms("Te", positions=[[1.0, 3.03, 4.01]], cell=[2, 8, 8], pbc=(False, True, True)),
        lambda image: float(image.data.sum(dtype=float)) * 0.25**2,
        4.90363e-3,
        0.02 * 4.90363e-3,  # the grid's part; 0.5 % is the convergent beam's
    ),
    KnownAnswer(
        "mean bright-field signal of vacuum: all of the beam",
        "conservation of electrons",
        {
            **{"sampling": 0.5, "shape": (8, 8), "inner": 0.0, "outer": 40.0, "phonons": 1},
            **{"semiangle": 20.0, "center": (4.0, 4.0)},
        },
        lambda: Atoms("H", positions=[[1.0, 0.0, 0.0]], cell=[2, 16, 16], pbc=(False, True, True)),
        lambda image: float(image.data.mean()),
        1.0,
        1e-3,
    ),
)


@dataclass(frozen=True, eq=False)
class ScanPlan:
    """What is to be computed for one image: where probes stop (``mask``), through what."""

    window: Window
    slab: Slab
    grid: Grid
    mask: NDArray[np.bool_]
    slices: int


# ---------------------------------------------------------------- the scan


def _scan(model: StemMultislice, plan: ScanPlan) -> Values:
    """What the detector records at the grid's points, shape (n1, n2, 1 or 3); nan elsewhere.

    A point's value does not depend on which others are asked for, so what is known is kept.
    """
    key = _key(model, plan)
    known = _scans.get(key)
    channels = 1 if model.detector == "annular" else 3
    values = np.full((*plan.grid.counts, channels), np.nan) if known is None else known
    missing = plan.mask & np.isnan(values[..., 0])
    if missing.any():
        fresh = _record(model, plan, missing)
        values = np.where(missing[..., None], fresh, values)
    return remember(_scans, key, values, most=_REMEMBERED)


def _key(model: StemMultislice, plan: ScanPlan) -> bytes:
    """Names everything that a point's value depends on."""
    parameters = {name: value for name, value in vars(model).items() if name not in _FREE}
    grid, slab = plan.grid, plan.slab
    parameters |= {"grid": (grid.counts, grid.periodic, grid.first), "slices": plan.slices}
    arrays = (grid.basis, slab.numbers, slab.positions, slab.across)
    return fingerprint(parameters, *arrays)


_FREE = (
    *("sampling", "shape", "center", "source_size", "shift_x", "shift_y", "shear_x", "shear_y"),
    *("stretch_x", "stretch_y", "rotation", "interface_width", "interface_shift", "interface"),
    *("memory", "device"),
)  # these change no point's value, or change the slab, which is named anyway


def _parts(
    model: StemMultislice, plan: ScanPlan, mask: NDArray[np.bool_]
) -> list[tuple[ScanTile, NDArray[np.bool_]]]:
    """Tiles that hold points of ``mask``, and which."""
    every = scan_tiles(plan.grid, tile=_TILE, padding=model.padding, sampling=model.wave_sampling)
    return [(tile, tile.mask & mask) for tile in every if (tile.mask & mask).any()]


def _record(model: StemMultislice, plan: ScanPlan, mask: NDArray[np.bool_]) -> Values:
    """Mean over the configurations at the points of ``mask``, shape (n1, n2, 1 or 3)."""
    parts = _parts(model, plan, mask)
    channels = 1 if model.detector == "annular" else 3
    total = np.zeros((*plan.grid.counts, channels))
    moved = configurations(
        plan.slab, rms_displacement=model.rms_displacement, seed=model.seed, count=model.phonons
    )
    for number, slab in enumerate(moved):
        offset = model.defocus_spread / _FWHM * float(ndtri((number + 0.5) / model.phonons))
        beam = Probe(
            beam_energy=model.beam_energy,
            semiangle=model.semiangle,
            defocus=model.defocus + offset,
            spherical_aberration=model.spherical_aberration,
        )
        for tile, wanted in parts:
            total[wanted] += _tile_values(model, replace(plan, slab=slab), tile, wanted, beam)
    return np.where(mask[..., None], total / model.phonons, np.nan)


def _tile_values(
    model: StemMultislice, plan: ScanPlan, tile: ScanTile, wanted: NDArray[np.bool_], beam: Probe
) -> NDArray[np.float32]:
    """What the detector records at the points of one tile, shape (n, 1 or 3)."""
    numbers, positions = crop(plan.slab, tile.corner, tile.size)
    pixels = multislice.pixels_of(tile.size, model.wave_sampling)
    size = (float(tile.size[0]), float(tile.size[1]), plan.slab.depth)
    exact = model.potential == "exact"
    box = Supercell(numbers, positions, size, pixels, plan.slices, exact)
    return multislice.scan_box(
        box,
        plan.grid.points(*np.nonzero(wanted)) - tile.corner,
        beam=beam,
        annular=model.detector == "annular",
        inner=model.inner,
        outer=model.outer,
        batch=multislice.probes_at_once(pixels, plan.slices, model.memory),
        device=model.device,
    )


# ---------------------------------------------------------------- from the scan to the image


def _series(model: StemMultislice, values: Values, grid: Grid) -> Complexes:
    """The image's Fourier series, blurred by the source."""
    if model.detector == "annular":
        series = fourier_series(values[..., 0])
    else:
        moments = [values[..., part] / values[..., 2] for part in (0, 1)]
        series = _from_moments(model, [fourier_series(moment) for moment in moments], grid)
    squared = (frequencies(series, grid.basis) ** 2).sum(axis=-1)
    return series * source_transfer(model.source_size, squared=squared)


def _from_moments(model: StemMultislice, moments: list[Complexes], grid: Grid) -> Complexes:
    """A component of the center of mass [mrad], or the phase [rad] whose gradient it is.

    A phase's gradient is ``2 pi`` times the center of mass in 1/Å (Lazić et al., eq. 12), so a
    coefficient of the phase is ``k . c / (i k^2)``; its mean is not known and set to 0.
    """
    if model.detector != "idpc":
        return moments["xy".index(model.detector[-1])]
    k = frequencies(moments[0], grid.basis)
    squared = (k**2).sum(axis=-1)
    squared[squared == 0] = np.inf
    per_length = 1e-3 / wavelength(model.beam_energy)
    along = (k[..., 0] * moments[0] + k[..., 1] * moments[1]) * per_length
    return np.asarray(-1j * along / squared)
