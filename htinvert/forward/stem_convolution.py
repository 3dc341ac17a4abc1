"""Incoherent HAADF-STEM image of a structure: atoms' cross-sections convolved with the probe.

``I(r) = sum_j sigma_j P(r - r_j)``, P the probe's intensity with its source size (Kirkland,
*Advanced Computing in Electron Microscopy*, 2nd ed., section 5.4). P is band limited, so a periodic
structure's image is a finite Fourier series over the projected reciprocal lattice. For small cells
it is summed at the pixels, exactly; for large ones :mod:`htinvert.forward.mesh` is quicker. Nothing
is tiled or resampled, and every distortion acts on coordinates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import Floats, Signal, UserError
from htinvert.declaration.declared import KnownAnswer, Parameter, check_bounds
from htinvert.forward.cross_section import cross_section
from htinvert.forward.fourier import interpolate, sum_rows, waves
from htinvert.forward.interface import move_grain
from htinvert.forward.mesh import mesh_image, mesh_points
from htinvert.forward.probe import Probe, sampled_transfer, transfer
from htinvert.forward.view import Direction, View, view_frame

Complexes = NDArray[np.complex128]

_PATIENCE = 1.5  # times as long as a mesh that the exact series may take


@dataclass(frozen=True)
class StemConvolution:
    """Simulate a HAADF-STEM image as a fraction of the beam current, for thin specimens.

    ``simulate = StemConvolution(sampling=0.2, shape=(256, 256)); image = simulate(atoms)``.
    A column's atoms add up; channeling, absorption and thermal diffuse background are left out.
    Pixel values are point samples. ``sum(image) * pixel area = sum(cross-sections)`` for a window
    that covers the cell. In the image x points right and y down; row 0 is the top.

    Args:
        sampling: pixel size [Å/px], one number or (y, x), > 0; None: the observed image's.
        shape: pixels (ny, nx); None: the observed image's.
        beam: zone axis, from the specimen toward the viewer: "x", "-z" or a Cartesian vector.
        up: direction of the image's top; its part along the beam is dropped.
        center: Cartesian position [Å] along (up, right) that the window's center shows; None:
            the middle of the cell.
        beam_energy: kinetic energy [eV], 1e4 to 3e6.
        semiangle: convergence semiangle [mrad], > 0 to 200.
        inner: inner detector angle [mrad], >= 0.
        outer: outer detector angle [mrad], > inner.
        source_size: full width at half maximum of the Gaussian source image [Å], 0 to 10.
        defocus: defocus [Å], positive is underfocus, -1e4 to 1e4.
        spherical_aberration: third-order coefficient Cs [Å] (1 mm = 1e7 Å), -1e8 to 1e8.
        defocus_spread: full width at half maximum of a Gaussian spread of defocus [Å], 0 to 1e3.
        shift_x: the specimen's shift to the right in the image [Å].
        shift_y: the specimen's shift downward [Å].
        shear_x: shift to the right per distance downward [1], -0.5 to 0.5.
        shear_y: shift downward per distance to the right [1], -0.5 to 0.5.
        stretch_x: relative widening [1], -0.5 to 1.
        stretch_y: relative heightening [1], -0.5 to 1.
        rotation: counter-clockwise turn of the specimen in the image [degrees].
        interface_width: how much farther apart the grains beside a boundary are [Å], -5 to 20.
        interface_shift: how far the upper grain is moved to the right [Å].
        interface: the boundary's position along ``up`` [Å]; None: the middle of the cell.
        aperture: "continuous", or "cell": sampled on the cell's reciprocal lattice as by
            Kirkland's incostem, exact only for large cells; for comparison with that program.

    The order is: rotate, shear, stretch about the window's center, then shift. A scan's distortion
    carries the probe with it.

    Raises:
        ValueError: for a parameter out of bounds.
    """

    sources: ClassVar[tuple[str, ...]] = (
        "E. J. Kirkland, Advanced Computing in Electron Microscopy, 2nd ed. (2010), section "
        "5.4, doi:10.1007/978-1-4419-6533-2.",
    )
    declares: ClassVar[Mapping[str, Parameter]]

    sampling: float | tuple[float, float] | None = None
    shape: tuple[int, int] | None = None
    beam: Direction = "x"
    up: Direction = "z"
    center: tuple[float, float] | None = None
    beam_energy: float = 200e3
    semiangle: float = 30.0
    inner: float = 100.0
    outer: float = 150.0
    source_size: float = 1.0
    defocus: float = 0.0
    spherical_aberration: float = 0.0
    defocus_spread: float = 0.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    shear_x: float = 0.0
    shear_y: float = 0.0
    stretch_x: float = 0.0
    stretch_y: float = 0.0
    rotation: float = 0.0
    interface_width: float = 0.0
    interface_shift: float = 0.0
    interface: float | None = None
    aperture: Literal["continuous", "cell"] = "continuous"

    def __post_init__(self) -> None:
        check_bounds(self, PARAMETERS)
        if self.outer <= self.inner:
            raise ValueError(f"outer is {self.outer} mrad but must exceed inner, {self.inner} mrad")
        if self.sampling is not None and min(self.pixel) <= 0:
            raise ValueError(f"sampling is {self.sampling} Å/px but must be positive")
        if self.shape is not None and (len(self.shape) != 2 or min(self.shape) < 1):
            raise ValueError(f"shape is {self.shape} but must be two positive numbers, (ny, nx)")
        if self.aperture not in ("continuous", "cell"):
            raise ValueError(f'aperture is "{self.aperture}" but must be "continuous" or "cell"')
        view_frame(self.beam, self.up)

    @property
    def pixel(self) -> tuple[float, float]:
        """Pixel size (y, x) [Å]. Raises :class:`~htinvert.core.UserError` where it is not set."""
        if self.sampling is None:
            raise UserError("sampling is not set; give it in Å/px or load an image that has one")
        if isinstance(self.sampling, int | float):
            return float(self.sampling), float(self.sampling)
        y, x = self.sampling
        return float(y), float(x)

    @property
    def probe(self) -> Probe:
        """The part of the parameters that shapes the probe."""
        return Probe(
            self.beam_energy,
            self.semiangle,
            self.source_size,
            self.defocus,
            self.spherical_aberration,
            self.defocus_spread,
        )

    def specimen(self, atoms: Atoms) -> Atoms:
        """The structure that is imaged: the given one with its upper grain moved."""
        right, down, _ = view_frame(self.beam, self.up)
        shift, width = self.interface_shift * right, self.interface_width
        return move_grain(atoms, normal=-down, width=width, along=shift, height=self.interface)

    def __call__(self, atoms: Atoms) -> Signal:
        """Image of ``atoms``, repeated along its periodic directions, shape (ny, nx), float32.

        Raises:
            UserError: where sampling or shape is not set.
        """
        if self.shape is None:
            raise UserError("shape is not set; give (ny, nx) or load an image that has one")
        atoms = self.specimen(atoms)
        window = place_window(self, atoms, self.shape)
        lattice = projected_lattice(self, atoms, window)
        positions = atoms.positions @ view_frame(self.beam, self.up).T
        if _prefers_series(self, lattice, window, len(atoms)):
            series = _series(self, lattice, positions, atoms.numbers)
            return Signal.image(sum_series(series, lattice, window), self.pixel)
        image = mesh_image(
            positions[:, :2],
            _cross_sections(self, atoms.numbers),
            repeats=lattice.repeats,
            origin=window.origin,
            per_pixel=window.per_pixel,
            shape=self.shape,
            probe=self.probe,
        )
        return Signal.image(image, self.pixel)

    def view(self, atoms: Atoms) -> View:
        """Where in the image of ``atoms`` positions appear, and which lines its pixels show.

        Raises:
            UserError: where sampling or shape is not set.
        """
        if self.shape is None:
            raise UserError("shape is not set; give (ny, nx) or load an image that has one")
        frame, height = view_frame(self.beam, self.up), self.interface
        if height is None:
            height = float(atoms.cell.sum(axis=0) @ -frame[1]) / 2
        window = place_window(self, self.specimen(atoms), self.shape)
        moves = self.interface_width, self.interface_shift
        return View(frame, window.origin, window.per_pixel, height, *moves)


PARAMETERS = {
    "beam_energy": Parameter("eV", 1e4, 3e6),
    "semiangle": Parameter("mrad", 1e-3, 200.0),
    "inner": Parameter("mrad", 0.0, 1e3),
    "outer": Parameter("mrad", 0.0, 1e3),
    "source_size": Parameter("Å", 0.0, 10.0),
    "defocus": Parameter("Å", -1e4, 1e4),
    "spherical_aberration": Parameter("Å", -1e8, 1e8),
    "defocus_spread": Parameter("Å", 0.0, 1e3),
    "shift_x": Parameter("Å", -np.inf, np.inf),
    "shift_y": Parameter("Å", -np.inf, np.inf),
    "shear_x": Parameter("1", -0.5, 0.5),
    "shear_y": Parameter("1", -0.5, 0.5),
    "stretch_x": Parameter("1", -0.5, 1.0),
    "stretch_y": Parameter("1", -0.5, 1.0),
    "rotation": Parameter("degrees", -np.inf, np.inf),
    "interface_width": Parameter("Å", -5.0, 20.0),
    "interface_shift": Parameter("Å", -np.inf, np.inf),
    "interface": Parameter("Å", -np.inf, np.inf),
}
StemConvolution.declares = PARAMETERS

KNOWN_ANSWERS = (
    KnownAnswer(
        "peak of one Cd atom at 200 kV",
        "incostem (Kirkland), whose cross-section scatters by 2e-4",
        {"sampling": 0.0625, "shape": (160, 128), "beam": "z", "up": "y", "aperture": "cell"},
        lambda: Atoms("Cd", positions=[[3.96875, 5.03125, 1.0]], cell=[8, 10, 5], pbc=True),
        lambda image: float(image.data[79, 63]),
        1.267707e-3,
        2e-4 * 1.267707e-3,
    ),
    KnownAnswer(
        "integral over one Te atom",
        "incostem's cross-section [Å²] at 80 to 200 mrad",
        {"sampling": 0.25, "shape": (40, 40), "inner": 80.0, "outer": 200.0},
        lambda: Atoms("Te", positions=[[1.0, 3.0, 4.0]], cell=[5, 10, 10], pbc=True),
        lambda image: float(image.data.sum(dtype=float)) * 0.25**2,
        4.90363e-3,
        2e-4 * 4.90363e-3,
    ),
)


# ---------------------------------------------------------------- geometry, in (right, down) [Å]


@dataclass(frozen=True, eq=False)
class Window:
    """Where pixels lie, (right, down) [Å]: ``origin + per_pixel @ (column, row)``."""

    origin: Floats
    per_pixel: Floats
    shape: tuple[int, int]

    def corners(self) -> Floats:
        """Positions of the four corner pixels [Å], shape (4, 2)."""
        ny, nx = self.shape
        indices = np.array([[0, 0], [nx - 1, 0], [0, ny - 1], [nx - 1, ny - 1]])
        return np.asarray(self.origin + indices @ self.per_pixel.T)


@dataclass(frozen=True, eq=False)
class Lattice:
    """Projected periodicity: columns of ``basis`` [Å]; atoms beyond ``limits`` [Å] are left out.

    ``limits`` maps a non-periodic basis vector to the lowest and highest position along it.
    """

    basis: Floats
    limits: dict[int, tuple[float, float]]

    @property
    def repeats(self) -> Floats:
        """The repeat vectors, without margins that stand in for one, shape (0 to 2, 2)."""
        return self.basis.T[[index for index in (0, 1) if index not in self.limits]]


def place_window(model: StemConvolution, atoms: Atoms, shape: tuple[int, int]) -> Window:
    """Positions of the pixels before distortion: the inverse affine map of the pixel grid."""
    frame = view_frame(model.beam, model.up)[:2]
    middle = frame @ atoms.cell.sum(axis=0) / 2
    if model.center is not None:
        middle = np.array([model.center[1], -model.center[0]])
    inverse: Floats = np.linalg.inv(_distortion(model)).astype(np.float64)
    ny, nx = shape
    dy, dx = model.pixel
    first = np.array([-(nx - 1) / 2 * dx - model.shift_x, -(ny - 1) / 2 * dy - model.shift_y])
    return Window(middle + inverse @ first, inverse @ np.diag([dx, dy]), shape)


def _distortion(model: StemConvolution) -> Floats:
    """Matrix that takes specimen to image coordinates (right, down), shape (2, 2)."""
    angle = np.radians(model.rotation)  # y points down: counter-clockwise is -angle
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    shear = np.array([[1.0, model.shear_x], [model.shear_y, 1.0]])
    return np.asarray(np.diag([1 + model.stretch_x, 1 + model.stretch_y]) @ shear @ turn)


def projected_lattice(model: StemConvolution, atoms: Atoms, window: Window) -> Lattice:
    """Repeat vectors of the projection; an empty margin stands in for a missing one."""
    frame = view_frame(model.beam, model.up)
    periodic = [v for v, pbc in zip(atoms.cell, atoms.pbc, strict=True) if pbc and v.any()]
    periodic.sort(key=lambda vector: abs(frame[2] @ vector) / np.linalg.norm(vector))
    across = [frame[:2] @ v for v in periodic[:2] if np.linalg.norm(frame[:2] @ v) > 1e-3]
    if len(across) == 2 and abs(np.linalg.det(np.array(across))) < 1e-3:
        raise ValueError("two repeat vectors of the cell coincide in projection; turn the beam")
    limits = {}
    margin = model.probe.margin
    for index in range(len(across), 2):
        normal = np.array([-across[0][1], across[0][0]]) if across else np.eye(2)[0]
        normal = normal / np.linalg.norm(normal)
        reach = window.corners() @ normal
        lower, upper = reach.min() - margin, reach.max() + margin
        across.append(normal * (upper - lower))
        limits[index] = (lower, upper)
    if abs(across[0][0]) < abs(across[1][0]):  # put the more horizontal one first
        across.reverse()
        limits = {1 - index: limit for index, limit in limits.items()}
    return Lattice(np.array(across).T, limits)


# ---------------------------------------------------------------- the image's Fourier series


def _prefers_series(model: StemConvolution, lattice: Lattice, window: Window, count: int) -> bool:
    """Whether the exact series takes little longer than a mesh, by rough estimates [ns]."""
    if model.aperture == "cell":
        return True
    band = 2 * model.probe.optics.cutoff
    terms = 2 * band**2 * np.prod(np.linalg.norm(lattice.basis, axis=0))
    ny, nx = window.shape
    series = 0.2 * terms * (count + ny) + (0 if _is_aligned(lattice, window) else 120 * nx * ny)
    mesh = 3e5 + 12 * mesh_points(model.probe, window.per_pixel, window.shape)
    return bool(series <= _PATIENCE * mesh)


def _is_aligned(lattice: Lattice, window: Window) -> bool:
    """Whether the second fractional coordinate does not change along a row."""
    step = np.linalg.inv(lattice.basis) @ window.per_pixel
    return bool(abs(step[1, 0]) < 1e-9 / max(window.shape))


def _series(
    model: StemConvolution, lattice: Lattice, positions: Floats, numbers: NDArray[np.int_]
) -> Complexes:
    """Coefficients [1], shape (2 H + 1, L + 1), of the image's series.

    Orders -H..H along the first basis vector, 0..L along the second; negative orders of the latter
    are the complex conjugates.
    """
    inside = np.ones(len(positions), dtype=bool)
    for index, (lower, upper) in lattice.limits.items():
        normal = lattice.basis[:, index] / np.linalg.norm(lattice.basis[:, index])
        along = positions[:, :2] @ normal
        inside &= (lower <= along) & (along < upper)
    fractional = np.linalg.solve(lattice.basis, positions[inside, :2].T)
    reciprocal: Floats = np.linalg.inv(lattice.basis).astype(np.float64)  # one vector per row
    band = model.probe.band_limit
    h_max, l_max = (int(band * np.linalg.norm(vector)) for vector in lattice.basis.T)
    h, k = np.arange(-h_max, h_max + 1), np.arange(l_max + 1)
    weights = _cross_sections(model, numbers[inside])
    structure_factor = (waves(h, -fractional[0]) * weights) @ waves(k, -fractional[1]).T
    if model.aperture == "cell":
        passed = sampled_transfer(model.probe, reciprocal, structure_factor.shape)
    else:
        vectors = h[:, None, None] * reciprocal[0] + k[:, None] * reciprocal[1]
        passed = transfer(model.probe, np.hypot(vectors[..., 0], vectors[..., 1]))
    return np.asarray(structure_factor * passed / abs(np.linalg.det(lattice.basis)))


def _cross_sections(model: StemConvolution, numbers: NDArray[np.int_]) -> Floats:
    """Partial cross-section of each atom [Å²], shape (n,)."""
    kinds, which = np.unique(numbers, return_inverse=True)
    detector = {"beam_energy": model.beam_energy, "inner": model.inner, "outer": model.outer}
    return np.array([cross_section(int(kind), **detector) for kind in kinds])[which]


def sum_series(series: Complexes, lattice: Lattice, window: Window) -> Floats:
    """Value of the series at each pixel, shape (ny, nx)."""
    reciprocal = np.linalg.inv(lattice.basis)
    origin, step = reciprocal @ window.origin, reciprocal @ window.per_pixel
    if _is_aligned(lattice, window):
        return sum_rows(series, origin, step, window.shape)
    return interpolate(series, origin, step, window.shape)
