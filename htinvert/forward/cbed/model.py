"""Position-averaged convergent-beam pattern (PACBED) of a crystal.

LeBeau, Findlay, Allen & Stemmer, Ultramicroscopy 110, 118 (2010). A plain sum over plane waves, see
:mod:`htinvert.forward.cbed.table`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar

import numpy as np
from ase import Atoms

from htinvert.core import Axis, Floats, Signal, UserError
from htinvert.declaration.declared import Estimate, KnownAnswer, Parameter, check_bounds, declared
from htinvert.forward.cbed.cell import Cell, make_cell
from htinvert.forward.cbed.detector import HALOS, DetectorGeometry, angles, brought, copies
from htinvert.forward.cbed.kept import Directions, density
from htinvert.forward.cross_section import wavelength
from htinvert.forward.memo import fingerprint, remember
from htinvert.forward.view import Direction

FINEST = 24  # grid steps of directions per semiangle, where no step is given
_REMEMBERED = 16
_cells: OrderedDict[bytes, Cell] = OrderedDict()


@dataclass(frozen=True, kw_only=True)
class Cbed:
    """Simulate the average of convergent-beam patterns over whole cells of a crystal.

    Args:
        thickness: of the crystal [Å].
        semiangle: of the illumination [mrad].
        beam_energy: of the electrons [eV].
        tilt_x: of the beam against the crystal, to the image's right [mrad].
        tilt_y: the same downward [mrad].
        beam: direction in the crystal that points toward the viewer.
        up: direction in the crystal that is up in the pattern.
        rms_displacement: of atoms per direction [Å], one number or one per element.
        rotation: of the detector against the crystal's right and down [degrees].
        center_x: of the bright disk beside the zero of the axis kx [mrad].
        center_y: the same along ky [mrad].
        scale: true angle per stated one [1].
        ellipticity: half of the difference of the scales along kx and ky [1].
        blur: standard deviation of the sharpest part of a pixel's response [mrad].
        halo: whether broader copies and a constant are solved for where data are known.
        step: between directions that are simulated [mrad]; a 24th of the semiangle where None.
        band: highest angle that waves hold inside of the crystal [mrad].
        slice_thickness: most that a slice holds [Å].
        axes: of the pattern (ky, kx) in mrad or 1/Å; the experiment's where None.
        shape: pixels along them; the experiment's where None.
        observed: pattern that halo and constant are solved for; the experiment's where None.

    Raises:
        ValueError: for a parameter out of bounds.
    """

    kind: ClassVar[str] = "pattern"
    sources: ClassVar[tuple[str, ...]] = (
        "J. M. LeBeau, S. D. Findlay, L. J. Allen and S. Stemmer, Ultramicroscopy 110, 118 (2010), "
        "doi:10.1016/j.ultramic.2009.10.001.",
        "E. J. Kirkland, Advanced Computing in Electron Microscopy, 2nd ed., Springer (2010).",
    )

    thickness: Annotated[float, Parameter("Å", 0.0, 5000.0)] = 200.0
    semiangle: Annotated[float, Parameter("mrad", 0.5, 60.0)] = 15.0
    beam_energy: Annotated[float, Parameter("eV", 1e4, 1e6)] = 2e5
    tilt_x: Annotated[float, Parameter("mrad", -30.0, 30.0)] = 0.0
    tilt_y: Annotated[float, Parameter("mrad", -30.0, 30.0)] = 0.0
    beam: Direction = "z"
    up: Direction = "y"
    rms_displacement: Annotated[float | dict[str, float], Parameter("Å", 0.0, 0.5)] = 0.08
    rotation: Annotated[float, Parameter("degrees", -360.0, 360.0)] = 0.0
    center_x: Annotated[float, Parameter("mrad", -100.0, 100.0)] = 0.0
    center_y: Annotated[float, Parameter("mrad", -100.0, 100.0)] = 0.0
    scale: Annotated[float, Parameter("1", 0.2, 5.0)] = 1.0
    ellipticity: Annotated[float, Parameter("1", -0.1, 0.1)] = 0.0
    blur: Annotated[float, Parameter("mrad", 0.0, 20.0)] = 0.3
    halo: bool = True
    step: Annotated[float | None, Parameter("mrad", 0.05, 10.0)] = None
    band: Annotated[float, Parameter("mrad", 20.0, 200.0)] = 52.0
    slice_thickness: Annotated[float, Parameter("Å", 0.2, 10.0)] = 2.0
    axes: tuple[Axis, ...] | None = None
    shape: tuple[int, ...] | None = None
    observed: Signal | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_bounds(self, declared(type(self)))

    def reduced(self, observed: Signal) -> tuple[Cbed, Signal]:
        """The model on these data, and them as they are.

        Raises :class:`UserError` for a scan of patterns.
        """
        if observed.data.ndim != 2:
            raise UserError(
                f"cbed simulates one pattern but the data have {observed.data.ndim} axes; average "
                "the scan in prepare"
            )
        return replace(self, observed=observed), observed

    def __call__(self, atoms: Atoms) -> Signal:
        """The pattern, shape (ky, kx), float32; of 1 in all directions, or as bright as the data.

        Raises:
            UserError: where axes are not set, or the structure has no rectangular unit across the
                beam.
        """
        columns = self.columns(atoms)
        values = columns[0]
        if self.halo and self.observed is not None:
            values = brought(columns, self.observed.data.astype(float))[0]
        axes = self._axes()[0]
        return Signal(values.astype(np.float32), axes, "intensity")

    def columns(self, atoms: Atoms) -> Floats:
        """The sharp pattern and broader copies, shape (copies, ky, kx): intensity per pixel [1]."""
        x, y = self.pixels()
        directions = self.geometry.directions(*np.meshgrid(x, y))
        corner = np.hypot(*directions).max()
        whole, step = self.density(atoms, float(corner))
        turn = np.radians(self.cell(atoms).turn)
        right, down = directions
        right, down = right + self.tilt_x, down + self.tilt_y
        turned = (
            np.cos(turn) * right + np.sin(turn) * down,
            np.cos(turn) * down - np.sin(turn) * right,
        )
        widths = np.multiply(HALOS, self.semiangle) if self.halo and self.observed else ()
        area = np.ptp(x) / (len(x) - 1) * np.ptp(y) / (len(y) - 1) * self.scale**2
        seen = copies(whole, step, turned, blur=self.blur, widths=tuple(widths))
        return np.maximum(seen, 0.0) * area / (step[0] * step[1])

    @property
    def geometry(self) -> DetectorGeometry:
        """Where the detector's pixels lie."""
        return DetectorGeometry(
            rotation=self.rotation,
            center=(self.center_x, self.center_y),
            scale=self.scale,
            ellipticity=self.ellipticity,
            blur=self.blur,
        )

    def pixels(self) -> tuple[Floats, Floats]:
        """Stated angles [mrad] of columns and rows. Raises UserError where axes are not set."""
        (ky, kx), (ny, nx) = self._axes()
        return angles(kx, nx, self.beam_energy), angles(ky, ny, self.beam_energy)

    def cell(self, atoms: Atoms) -> Cell:
        """Slices of one period of the crystal; from memory where they were made before."""
        parameters = {
            name: getattr(self, name)
            for name in (
                *("beam", "up", "beam_energy", "rms_displacement", "band", "slice_thickness"),
            )
        }
        shared = atoms.info.get("occupancy")
        arrays = [atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc]
        if shared:
            arrays.append(atoms.arrays["spacegroup_kinds"])
        key = fingerprint({**parameters, "occupancy": shared}, *arrays)
        if key in _cells:
            return _cells[key]
        cell = make_cell(
            atoms,
            beam=self.beam,
            up=self.up,
            beam_energy=self.beam_energy,
            rms_displacement=self.rms_displacement,
            outer=self.band,
            slice_thickness=self.slice_thickness,
        )
        return remember(_cells, key, cell, most=_REMEMBERED)

    def density(self, atoms: Atoms, outer: float) -> tuple[Floats, tuple[float, float]]:
        """Intensity over directions up to ``outer`` [mrad] in the crystal's own frame.

        See :func:`htinvert.forward.cbed.kept.density`.
        """
        cell = self.cell(atoms)
        turn = np.radians(cell.turn)
        tilt = (
            float(np.cos(turn) * self.tilt_x + np.sin(turn) * self.tilt_y),
            float(np.cos(turn) * self.tilt_y - np.sin(turn) * self.tilt_x),
        )
        step = self.step or self.semiangle / FINEST
        reach = np.ceil((self.semiangle + np.hypot(*tilt) + step) / 4.0) * 4.0
        outer = min(np.ceil((outer + 2.0 * self.blur) / 8.0) * 8.0, self.band)
        wanted = Directions(step, float(reach), float(outer))
        return density(cell, wanted, thickness=self.thickness, semiangle=self.semiangle, tilt=tilt)

    def estimate(self, atoms: Atoms) -> Estimate:
        """What a pattern costs: the table of a crystal, once for all that is fitted."""
        cell = self.cell(atoms)
        mrad = wavelength(self.beam_energy) * 1e3
        beams = np.pi * cell.limit**2 * cell.size[0] * cell.size[1]
        step = self.step or self.semiangle / FINEST
        count = mrad**2 / (cell.size[0] * cell.size[1]) / step**2 / len(cell.symmetries)
        steps = max(np.log2(max(self.thickness / cell.period, 2.0)), 4.0) + len(cell.slices)
        seconds = max(count * steps * 8 * beams**3 / 2e10, 1e-3)
        work = f"{beams:.0f} beams, {count:.0f} directions in the first zone"
        return Estimate("table of plane waves", work, float(seconds), 0.5)

    def _axes(self) -> tuple[tuple[Axis, Axis], tuple[int, int]]:
        if self.axes is None or self.shape is None:
            raise UserError(
                "cbed has no axes; give it those of a pattern (ky, kx), or an experiment"
            )
        (ky, kx), (ny, nx) = self.axes[-2:], self.shape[-2:]
        return (ky, kx), (ny, nx)


def _empty_disk(signal: Signal) -> float:
    """Part of the intensity within 15 mrad and the width of an edge."""
    y, x = (signal.coordinates(axis) for axis in (0, 1))
    return float(signal.data[np.hypot(y[:, None], x) <= 16.5].sum() / signal.data.sum())


def _strontium_titanate() -> Atoms:
    places = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    return Atoms("SrTiO3", scaled_positions=places, cell=[3.905] * 3, pbc=True)


_AXES: Mapping[str, object] = {
    "axes": (Axis("ky", "mrad", 0.5, -20.0), Axis("kx", "mrad", 0.5, -20.0)),
    "shape": (81, 81),
}

KNOWN_ANSWERS = (
    KnownAnswer(
        "part of the beam within its own disk, no crystal",
        "all of an unscattered beam",
        {"thickness": 0.0, "blur": 0.2, **_AXES},
        _strontium_titanate,
        _empty_disk,
        1.0,
        1e-3,
    ),
)
