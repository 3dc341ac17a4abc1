"""Powder diffraction of a crystal over the angle 2 theta, or Q: X-rays or neutrons.

Every reflection of the lattice is a peak of the area ``|F|^2`` times the Lorentz and polarization
factors, F the sum over the cell's atoms with their Debye-Waller factors; the peak is a pseudo-Voigt
function. B. E. Warren, *X-Ray Diffraction* (1990); R. A. Young (ed.), *The Rietveld Method* (1993).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from ase import Atoms
from ase.build import bulk

from htinvert.core import Axis, EvaluationFailed, Floats, Signal, UserError
from htinvert.declaration.declared import (
    KnownAnswer,
    Parameter,
    check_bounds,
    check_choices,
    declared,
)
from htinvert.forward.pdf import lattice, sites
from htinvert.forward.pdf.pairs import kinds_of
from htinvert.forward.pdf.symmetry import conventional
from htinvert.forward.pdf.weights import factors, u_of
from htinvert.forward.powder import peaks

GRID = 0.005  # 1/Å, steps at which scattering factors are looked up
SPARE = 0.5  # 1/Å, by steps of which reflections are looked for, so that a fit keeps them
COARSE = (0.015, 0.006, 0.002)  # of Q, full widths that a fit from afar begins with
NEGATIVE = 0.2  # of a pattern's power: no noise about a background taken off leaves so much
FARTHEST = 50.0  # 1/Å, beyond what powders are measured to
WIDEST = 4.0  # degrees², of what is added to a squared width per tan(theta)²
AXES = {"degrees": "2theta [degrees]", "1/Å": "Q [1/Å]"}


@dataclass(frozen=True, kw_only=True)
class Powder:
    """Simulate a powder pattern over 2 theta [degrees] or Q [1/Å], per volume of the crystal.

    Left out are absorption, preferred orientation and anomalous scattering.

    Args:
        wavelength: of the radiation [Å].
        second: wavelength of a second line [Å], such as copper's K alpha 2; None where there is
            none.
        ratio: intensity of the second line over that of the first [1].
        radiation: ``x-ray`` or ``neutron``.
        polarization: of X-rays [1]: 1 not polarized, cos² of twice the angle of a monochromator
            behind it, 0 where a synchrotron's beam is scattered in the vertical plane.
        u: mean squared displacement [Å²] along a direction, one number or one per element; ``*`` is
            any other element.
        zoom: factor on all lengths [1], or one per vector of the cell, ``ab`` and ``c``.
        angle: of the cell [degrees], by name: ``alpha``, ``beta``, ``gamma``.
        shift: of coordinates that symmetry leaves free [Å], by name, such as ``O1x``.
        zero: shift of 2 theta [degrees].
        width: square of a Gaussian full width [degrees²], the same at all angles.
        width_tan: what is added to it per tan(theta) [degrees²].
        width_tan2: what is added to it per tan(theta)² [degrees²].
        lorentz: Lorentzian full width times cos(theta) [degrees], as small crystallites have it.
        strain: root mean square change of distances between planes [1].
        axes: of the signal; the experiment's where None.
        shape: number of its points; the experiment's where None.

    Raises:
        ValueError: for a parameter out of bounds.
    """

    kind: ClassVar[str] = "curve"
    sources: ClassVar[tuple[str, ...]] = (
        "B. E. Warren, X-Ray Diffraction (1990).",
        "P. Thompson, D. E. Cox and J. B. Hastings, J. Appl. Cryst. 20, 79 (1987), "
        "doi:10.1107/S0021889887087090.",
        "X-ray factors: D. Waasmaier and A. Kirfel, Acta Cryst. A 51, 416 (1995), "
        "doi:10.1107/S0108767394013292; with neutron lengths by periodictable (P. Kienzle).",
    )
    packages: ClassVar[tuple[str, ...]] = ("periodictable", "numba")
    header: ClassVar[Mapping[str, str]] = {"wavelength": "wavelength"}

    wavelength: Annotated[float | None, Parameter("Å", 0.05, 10.0)] = None
    second: Annotated[float | None, Parameter("Å", 0.05, 10.0)] = None
    ratio: Annotated[float, Parameter("1", 0.0, 1.0)] = 0.5
    radiation: Literal["x-ray", "neutron"] = "x-ray"
    polarization: Annotated[float, Parameter("1", 0.0, 1.0)] = 1.0
    u: Annotated[float | dict[str, float], Parameter("Å²", 1e-5, 1.0)] = 0.008
    zoom: Annotated[float | dict[str, float], Parameter("1", 0.5, 2.0)] = 1.0
    angle: Annotated[dict[str, float] | None, Parameter("degrees", 20.0, 160.0)] = None
    shift: Annotated[dict[str, float] | None, Parameter("Å", -3.0, 3.0)] = None
    zero: Annotated[float, Parameter("degrees", -2.0, 2.0)] = 0.0
    width: Annotated[float, Parameter("degrees²", 1e-6, 4.0)] = 0.04
    width_tan: Annotated[float, Parameter("degrees²", -2.0, 2.0)] = 0.0
    width_tan2: Annotated[float, Parameter("degrees²", 0.0, WIDEST)] = 0.0
    lorentz: Annotated[float, Parameter("degrees", 0.0, 10.0)] = 0.0
    strain: Annotated[float, Parameter("1", 0.0, 0.1)] = 0.0
    axes: tuple[Axis, ...] | None = None
    shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        check_bounds(self, declared(type(self)))
        check_choices(radiation=(self.radiation, ("x-ray", "neutron")))
        lattice.check_names(self.zoom, self.angle, self.shift)

    def __call__(self, atoms: Atoms) -> Signal:
        """The pattern of ``atoms`` [electrons² or fm², per Å⁶ and degree], shape (n,), float32.

        Raises:
            UserError: where axes, shape or wavelength are not set, the structure is no crystal, or
                an element is not in the tables.
        """
        axis, angles = self._angles()
        if not atoms.pbc.all():
            raise UserError(
                "the structure does not repeat in all directions, so it has no reflections; give "
                "a crystal, or simulate a cluster by pdf with quantity I"
            )
        cell = lattice.new_cell(atoms, self.zoom, self.angle)
        if self.shift:
            atoms = sites.moved(atoms, self.shift)
        wavelength = self._wavelength()
        found = self._peaks(atoms, cell, angles, wavelength)
        if self.second is not None:
            found = found + self.ratio * self._peaks(atoms, cell, angles, self.second)
        if not found.any():
            raise EvaluationFailed("the crystal has no reflection within the pattern")
        return Signal(found.astype(np.float32), (axis,), "intensity")

    def check_data(
        self,
        observed: Signal,
        whole: Signal,  # noqa: ARG002
        header: Mapping[str, object],
    ) -> None:
        """Raise :class:`UserError` for a curve that cannot be a pattern of these settings."""
        values = observed.data[np.isfinite(observed.data)].astype(float)
        if (values[values < 0.0] ** 2).sum() > NEGATIVE * (values**2).sum():
            raise UserError(
                f"{np.mean(values < 0.0):.0%} of the values are below 0, where a powder pattern "
                "counts; check the columns, or simulate a G(r) by pdf"
            )
        said = self.wavelength or header.get("wavelength")
        end = observed.axes[0].origin + observed.axes[0].step * (len(observed.data) - 1)
        if observed.axes[0].unit == "degrees" and isinstance(said, float):
            last = 4 * np.pi / said * np.sin(np.radians(end / 2))
            if last > FARTHEST:
                raise UserError(
                    f"by a wavelength of {said:g} Å the data go to Q = {last:.0f} 1/Å, beyond "
                    f"{FARTHEST:g}, where no crystal shows peaks; give the wavelength in Å, or "
                    "range"
                )

    def free_of(self, atoms: Atoms) -> dict[str, tuple[float, float]]:
        """Bounds of what is usually fitted: lengths, displacement, shift and widths of peaks."""
        free = lattice.free_of(atoms, 0.02)
        return free | {
            "u": (5e-4, 0.06),
            "zero": (-0.3, 0.3),
            "width": (1e-4, 1.0),
            "lorentz": (0.0, 1.0),
            "strain": (0.0, 0.02),
        }

    def coarser(self, observed: Signal) -> Iterator[tuple[Powder, Signal]]:
        """Model and data with peaks that are wider by the same part of their Q, the widest first.

        Only then do peaks of a cell that is off by more than their width meet those measured.
        """
        _, angles = self._angles()
        for part in COARSE:
            wider = min(self.width_tan2 + np.degrees(2.0 * part) ** 2, WIDEST)
            data = peaks.blurred(angles, observed.data.astype(float), part).astype(np.float32)
            yield replace(self, width_tan2=wider), replace(observed, data=data)

    def reframed(self, atoms: Atoms) -> Atoms:
        """A crystal in its conventional cell, whose lengths a fit may change one by one."""
        return conventional(atoms)

    def shifts(self, atoms: Atoms) -> tuple[str, ...]:
        """Names of the coordinates that a crystal's symmetry leaves free."""
        return sites.names(atoms)

    def derived(
        self, atoms: Atoms, parameters: Mapping[str, float], errors: Mapping[str, float]
    ) -> dict[str, tuple[float, float | None, str]]:
        """Lengths, fractions, least size of crystallites (Scherrer, 0.9), with errors and units."""
        found = lattice.derived(atoms, parameters, errors)
        lorentz, error = parameters.get("lorentz", 0.0), errors.get("lorentz", 0.0)
        if lorentz > 2.0 * error:  # else there is no size to be told
            size = peaks.SCHERRER * self._wavelength() / np.radians(lorentz)
            spread = size * error / lorentz
            found["size, at least"] = (float(size), float(spread), "Å")
        return found

    def scattering(self, atoms: Atoms) -> float:
        """Volume [Å³] that an atom takes, for patterns are per volume and shares are of atoms."""
        cell = lattice.new_cell(atoms, self.zoom, self.angle)
        return float(abs(np.linalg.det(cell)) / len(atoms))

    def _peaks(self, atoms: Atoms, cell: Floats, angles: Floats, wavelength: float) -> Floats:
        """Intensity at the points of 2 theta [degrees] by one wavelength, shape (points,)."""
        end = 4 * np.pi / wavelength * np.sin(np.radians(min(angles[-1] + 5.0, 180.0) / 2))
        most = float(np.linalg.norm(np.linalg.solve(atoms.cell.array, cell), 2)) * end
        lines = peaks.reflections(atoms, SPARE * np.ceil(most / SPARE))
        q = 2 * np.pi * np.linalg.norm(lines.indices @ np.linalg.inv(cell).T, axis=1)
        seen = q < end * (1 - 1e-9)
        q, sums = q[seen], lines.sums[:, seen]
        amplitude = np.zeros(len(q), dtype=complex)
        for symbol, waves in zip(kinds_of(atoms)[0], sums, strict=True):
            amplitude += (
                waves * self._factor(symbol, q, end) * np.exp(-u_of(self.u, symbol) * q**2 / 2)
            )
        theta = np.arcsin(q * wavelength / (4 * np.pi))
        polarized = self.polarization if self.radiation == "x-ray" else None
        areas = np.abs(amplitude) ** 2 * peaks.lorentz_polarization(theta, polarized)
        areas *= 2.0 / np.linalg.det(cell) ** 2
        gauss = self.width + self.width_tan * np.tan(theta) + self.width_tan2 * np.tan(theta) ** 2
        lorentz = np.degrees(4 * self.strain * np.tan(theta)) + self.lorentz / np.cos(theta)
        width, share = peaks.pseudo_voigt(np.sqrt(np.maximum(gauss, peaks.LEAST**2)), lorentz)
        centers = np.degrees(2 * theta) + self.zero
        return peaks.pattern(angles, centers, areas, width, share)

    def _factor(self, symbol: str, q: Floats, last: float) -> Floats:
        """Scattering factor of an element at each Q, from a table."""
        count = int(last / GRID) + 2
        table = factors(symbol, self.radiation, GRID * count, GRID, count)
        return np.interp(q, GRID * np.arange(count), table)

    def _wavelength(self) -> float:
        if self.wavelength is None:
            raise UserError(
                "the file does not say its wavelength [Å]; set it, such as wavelength=1.5406 of "
                "copper's K alpha 1"
            )
        return self.wavelength

    def _angles(self) -> tuple[Axis, Floats]:
        """The axis, and 2 theta [degrees] of its points."""
        if self.axes is None or self.shape is None:
            raise UserError("a powder pattern needs axes and shape; they are an experiment's")
        axis, count = self.axes[0], self.shape[0]
        if len(self.axes) != 1 or axis.unit not in AXES:
            raise UserError(
                f"a powder pattern is over 2 theta or Q but the data are over {axis.name} "
                f"[{axis.unit}]; name the axis, such as axis: {AXES['degrees']}"
            )
        x = axis.origin + axis.step * np.arange(count, dtype=float)
        if axis.unit == "1/Å":
            wave = x * self._wavelength() / (4 * np.pi)
            if wave[-1] >= 1.0:
                raise UserError(
                    f"the data go to Q = {x[-1]:.3g} 1/Å but a wavelength of {self.wavelength:g} Å "
                    f"reaches {4 * np.pi / self._wavelength():.3g}; check wavelength and axis"
                )
            x = np.degrees(2 * np.arcsin(wave))
        if x[0] < 0.0 or x[-1] > 180.0:
            raise UserError(
                f"2 theta goes from {x[0]:.3g} to {x[-1]:.3g} degrees, where it can be from 0 to "
                "180; check axis and columns, or give range"
            )
        return axis, x


def _area(around: float) -> Callable[[Signal], float]:
    """Measure: area within a degree of a 2 theta."""

    def area(signal: Signal) -> float:
        near = np.abs(signal.coordinates() - around) < 1.0
        return float(signal.data[near].sum())

    return area


def _pymatgen(
    name: str, make: Callable[[], Atoms], weak: float, strong: float, value: float
) -> Any:
    return KnownAnswer(
        f"intensity of {name} at {weak} over that at {strong} degrees, in percent",
        "pymatgen 2026.10.16, XRDCalculator, whose scattering factors are others",
        {
            **{"wavelength": 1.54059, "width": 0.01, "u": 1e-5},
            **{"axes": (Axis("2theta", "degrees", 0.01, 15.0),), "shape": (10500,)},
        },
        make,
        lambda signal: 100.0 * _area(weak)(signal) / _area(strong)(signal),
        value,
        0.4,
    )


KNOWN_ANSWERS = (
    _pymatgen("NaCl", lambda: bulk("NaCl", "rocksalt", a=5.6402), 27.366, 31.703, 8.08),
    _pymatgen("NaCl", lambda: bulk("NaCl", "rocksalt", a=5.6402), 45.447, 31.703, 65.64),
    _pymatgen("silicon", lambda: bulk("Si", "diamond", a=5.431), 88.028, 28.442, 23.49),
    _pymatgen("nickel", lambda: bulk("Ni", "fcc", a=3.524, cubic=True), 51.847, 44.494, 46.38),
)
