"""Incoherent HAADF-STEM image of a structure: atoms' cross-sections convolved with the probe.

``I(r) = sum_j sigma_j P(r - r_j)``, P the probe's intensity with its source size (Kirkland,
*Advanced Computing in Electron Microscopy*, 2nd ed., section 5.4). P is band limited, so a periodic
structure's image is a finite Fourier series over the projected reciprocal lattice. For small cells
it is summed at the pixels, exactly; for large ones :mod:`htinvert.forward.mesh` is quicker. Nothing
is tiled or resampled, and every distortion acts on coordinates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal, Protocol

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import Floats, Signal
from htinvert.declaration.declared import KnownAnswer, Parameter, check_bounds
from htinvert.declaration.measurement import Measurement
from htinvert.forward.cross_section import cross_section
from htinvert.forward.fourier import interpolate, sum_rows, waves
from htinvert.forward.mesh import mesh_image, mesh_points
from htinvert.forward.probe import sampled_transfer, transfer
from htinvert.forward.scene import Window, check_scene
from htinvert.forward.stem import STEM, Stem, check_ring
from htinvert.forward.view import Direction, sides, view_frame

Complexes = NDArray[np.complex128]

PIXEL = 0.25  # Å, of an image that nobody has taken yet
BESIDE, WIDEST = 3.0, 60.0  # Å of it beside the atoms, and in all
DOSE = 1e4  # electrons per Å²

_SAME = 1e-4  # Å: atoms in projection no farther apart are one column
_PATIENCE = 1.5  # times as long as a mesh that the exact series may take


@dataclass(frozen=True, kw_only=True)
class StemConvolution(Stem):
    """Simulate a HAADF-STEM image as a fraction of the beam current, for thin specimens.

    ``simulate = StemConvolution(sampling=0.2, shape=(256, 256)); image = simulate(atoms)``.
    A column's atoms add up; channeling, absorption and thermal diffuse background are left out.
    Pixel values are point samples. ``sum(image) * pixel area = sum(cross-sections)`` for a window
    that covers the cell. View, pixels, probe and detector are those of
    :class:`~htinvert.forward.stem.Stem`.

    Args:
        aperture: "continuous", or "cell": sampled on the cell's reciprocal lattice as by
            Kirkland's incostem, exact only for large cells; for comparison with that program.

    Raises:
        ValueError: for a parameter out of bounds.
    """

    sources: ClassVar[tuple[str, ...]] = (
        "E. J. Kirkland, Advanced Computing in Electron Microscopy, 2nd ed. (2010), section "
        "5.4, doi:10.1007/978-1-4419-6533-2.",
    )
    declares: ClassVar[Mapping[str, Parameter]]
    model_error: ClassVar[float] = 0.15
    model_error_source: ClassVar[str] = "multislice, correlation 0.99 at 18 to 37 Å"

    aperture: Literal["continuous", "cell"] = "continuous"

    def __post_init__(self) -> None:
        check_bounds(self, PARAMETERS)
        check_scene(self)
        check_ring(self)
        if self.aperture not in ("continuous", "cell"):
            raise ValueError(f'aperture is "{self.aperture}" but must be "continuous" or "cell"')

    @classmethod
    def usual(
        cls,
        atoms: Atoms,
        folder: Path,  # noqa: ARG003  (other models leave a file there)
    ) -> list[Measurement]:
        """An image from each side."""
        found = []
        for name, beam, up in sides(atoms):
            frame = view_frame(beam, up)
            reach = np.ptp(atoms.positions @ frame[:2].T, axis=0) + 2 * BESIDE
            nx, ny = np.ceil(np.minimum(reach, WIDEST) / PIXEL).astype(int).tolist()
            forward = cls(
                beam=beam, up=up, sampling=PIXEL, shape=(ny, nx), semiangle=22.0, inner=60.0
            )
            found.append(
                Measurement(
                    f"HAADF {name}",
                    forward,
                    "correlation",
                    "1e4 e/Å²",
                    counts=DOSE * PIXEL**2,
                    said=f"electrons counted, {forward.beam_energy / 1e3:g} kV, "
                    f"{forward.semiangle:g} mrad, {forward.inner:g} to {forward.outer:g} mrad",
                    free={"shift_x": (-1.0, 1.0), "shift_y": (-1.0, 1.0)},
                )
            )
        return found

    def __call__(self, atoms: Atoms) -> Signal:
        """Image of ``atoms``, repeated along its periodic directions, shape (ny, nx), float32.

        Raises:
            UserError: where sampling or shape is not set.
        """
        atoms = self.specimen(atoms)
        window = self.window_on(atoms)
        lattice = projected_lattice(self, atoms, window)
        positions = atoms.positions @ view_frame(self.beam, self.up).T
        if _prefers_series(self, lattice, window, len(atoms)):
            series = _series(self, lattice, positions, atoms.numbers)
            return Signal.image(sum_series(series, lattice, window), self.pixel)
        places, weights = columns_of(positions[:, :2], _cross_sections(self, atoms.numbers))
        image = mesh_image(
            places,
            weights,
            repeats=lattice.repeats,
            origin=window.origin,
            per_pixel=window.per_pixel,
            shape=window.shape,
            probe=self,
        )
        return Signal.image(image, self.pixel)


PARAMETERS = {
    **STEM,
    "source_size": replace(
        STEM["source_size"], takes_up="thermal motion, channeling and the scan's tremor"
    ),
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

    @property
    def reciprocal(self) -> Floats:
        """Reciprocal vectors [1/Å], one per row, shape (2, 2)."""
        return np.asarray(np.linalg.inv(self.basis), dtype=np.float64)

    @property
    def area(self) -> float:
        """Of the cell [Å²]."""
        return float(abs(np.linalg.det(self.basis)))

    def shown(self, positions: Floats) -> NDArray[np.bool_]:
        """Which of positions, shape (n, 2) [Å], are not left out."""
        inside = np.ones(len(positions), dtype=bool)
        for index, (lower, upper) in self.limits.items():
            along = positions @ (self.basis[:, index] / np.linalg.norm(self.basis[:, index]))
            inside &= (lower <= along) & (along < upper)
        return inside

    def orders(self, band: float) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
        """Orders of a series up to a spatial frequency [1/Å]: -H..H and 0..L.

        Negative orders along the second basis vector are the complex conjugates.
        """
        h, k = (int(band * np.linalg.norm(vector)) for vector in self.basis.T)
        return np.arange(-h, h + 1), np.arange(k + 1)


class Bordered(Protocol):
    """A model of images of which atoms in a margin around the window show."""

    @property
    def beam(self) -> Direction:
        """From where the specimen is seen."""
        ...

    @property
    def up(self) -> Direction:
        """What is up in the image."""
        ...

    @property
    def margin(self) -> float:
        """Distance [Å] beyond which an atom's tail does not show."""
        ...


def projected_lattice(model: Bordered, atoms: Atoms, window: Window) -> Lattice:
    """Repeat vectors of the projection; an empty margin stands in for a missing one."""
    frame = view_frame(model.beam, model.up)
    periodic = [v for v, pbc in zip(atoms.cell, atoms.pbc, strict=True) if pbc and v.any()]
    periodic.sort(key=lambda vector: abs(frame[2] @ vector) / np.linalg.norm(vector))
    across = [frame[:2] @ v for v in periodic[:2] if np.linalg.norm(frame[:2] @ v) > 1e-3]
    if len(across) == 2 and abs(np.linalg.det(np.array(across))) < 1e-3:
        raise ValueError("two repeat vectors of the cell coincide in projection; turn the beam")
    limits = {}
    margin = model.margin
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
    band = 2 * model.optics.cutoff
    terms = 2 * band**2 * np.prod(np.linalg.norm(lattice.basis, axis=0))
    ny, nx = window.shape
    series = 0.2 * terms * (count + ny) + (0 if _is_aligned(lattice, window) else 120 * nx * ny)
    mesh = 3e5 + 12 * mesh_points(model, window.per_pixel, window.shape)
    return bool(series <= _PATIENCE * mesh)


def _is_aligned(lattice: Lattice, window: Window) -> bool:
    """Whether the second fractional coordinate does not change along a row."""
    step = np.linalg.inv(lattice.basis) @ window.per_pixel
    return bool(abs(step[1, 0]) < 1e-9 / max(window.shape))


def _series(
    model: StemConvolution, lattice: Lattice, positions: Floats, numbers: NDArray[np.int_]
) -> Complexes:
    """Coefficients [1] of the image's series, shape (2 H + 1, L + 1): see Lattice.orders."""
    inside = lattice.shown(positions[:, :2])
    fractional = np.linalg.solve(lattice.basis, positions[inside, :2].T)
    reciprocal, (h, k) = lattice.reciprocal, lattice.orders(model.band_limit)
    weights = _cross_sections(model, numbers[inside])
    structure_factor = (waves(h, -fractional[0]) * weights) @ waves(k, -fractional[1]).T
    if model.aperture == "cell":
        passed = sampled_transfer(model, reciprocal, structure_factor.shape)
    else:
        vectors = h[:, None, None] * reciprocal[0] + k[:, None] * reciprocal[1]
        passed = transfer(model, np.hypot(vectors[..., 0], vectors[..., 1]))
    return np.asarray(structure_factor * passed / lattice.area)


def _cross_sections(model: StemConvolution, numbers: NDArray[np.int_]) -> Floats:
    """Partial cross-section of each atom [Å²], shape (n,)."""
    kinds, which = np.unique(numbers, return_inverse=True)
    detector = {"beam_energy": model.beam_energy, "inner": model.inner, "outer": model.outer}
    return np.array([cross_section(int(kind), **detector) for kind in kinds])[which]


def columns_of(positions: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Atoms that the beam meets one behind the other as one, at the place of the first.

    Args:
        positions: (right, down) [Å], shape (n, 2); up to 1e-4 Å apart is the same place.
        weights: what each scatters, shape (n,).
    """
    steps = np.round(positions / _SAME).astype(np.int64)
    keys = (steps[:, 0] << 32) + steps[:, 1]
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    if len(first) == len(keys):
        return positions, weights
    return positions[first], np.asarray(np.bincount(which, weights), dtype=float)


def sum_series(series: Complexes, lattice: Lattice, window: Window) -> Floats:
    """Value of the series at each pixel, shape (ny, nx)."""
    reciprocal = lattice.reciprocal
    origin, step = reciprocal @ window.origin, reciprocal @ window.per_pixel
    if _is_aligned(lattice, window):
        return sum_rows(series, origin, step, window.shape)
    return interpolate(series, origin, step, window.shape)
