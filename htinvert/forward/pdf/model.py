"""G(r), the pair distribution function of powder diffraction, of a free cluster or a crystal.

S(Q), F(Q) and I(Q), too, see :mod:`htinvert.forward.pdf.reciprocal`.

``G(r) = 2/pi int F(Q) sin(Qr) dQ`` between Qmin and Qmax, with ``F(Q) = 1/(N <f>^2) sum over
i != j of f_i f_j sin(Q r_ij) / r_ij exp(-sigma_ij^2 Q^2 / 2)`` of a cluster, every pair counted
twice; of a crystal ``R(r)/r - 4 pi r rho0`` passed through the same limits. T. Egami &
S. J. L. Billinge,
*Underneath the Bragg Peaks*, 2nd ed. (2012), chapter 3; P. Debye, Ann. Phys. 351, 809 (1915).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from ase import Atoms

from htinvert.core import Axis, Floats, Signal, UserError
from htinvert.declaration.declared import Parameter, check_bounds, check_choices, declared
from htinvert.forward.pdf import adjoint, known, lattice, pairs, reciprocal, sites, slab, transform
from htinvert.forward.pdf.data import check_g, check_limit, check_radiation
from htinvert.forward.pdf.symmetry import conventional
from htinvert.forward.pdf.usual import usual
from htinvert.forward.pdf.weights import RADIATIONS, mean_square, pair_weights, u_of

Radiation = Literal["x-ray", "neutron", "atomic number"]
Quantity = Literal["G", "F", "S", "I"]
QMIN = 1.0  # 1/Å, where neither the file nor the user says it
SMALL = 4.5  # standard deviations of damping, beyond which nothing is left: exp(-10)
Elements = tuple[tuple[str, ...], tuple[float, ...]]  # and their fractions


@dataclass(frozen=True, kw_only=True)
class Pdf:
    """Simulate G(r) [Å⁻²] over r [Å], or F(Q) [1/Å], S(Q) [1] or I(Q) over Q [1/Å].

    A structure without periodic directions is a free cluster, one that repeats in two a slab, in
    all three a crystal; a periodic cell with 8 Å of vacuum across does not repeat that way. The
    square of a pair's width is ``(u_i + u_j) (1 - delta1/r - delta2/r^2 + (qbroad
    r)^2)``. Q limits and radiation that are None are those that the header of the file says.

    Args:
        quantity: ``G``, ``F``, ``S`` or ``I``, which is the intensity per atom [electrons² or fm²];
            Q has no limits but those of the axis then.
        radiation: ``x-ray`` by f(Q), ``neutron``, or ``atomic number``: X-rays in the approximation
            that f(Q) of all elements are alike, as PDFgui makes it.
        qmin: lower limit of the transform [1/Å]; 1 where neither file nor user says it.
        qmax: upper limit of the transform [1/Å].
        u: mean squared displacement [Å²] along a direction, one number or one per element; ``*`` is
            any other element.
        delta1: correlated motion, classical [Å].
        delta2: correlated motion, at low temperature [Å²].
        qdamp: damping by the instrument, ``exp(-(qdamp r)^2 / 2)`` [1/Å].
        qbroad: broadening by the instrument [1/Å].
        zoom: factor on all distances [1]; of a crystal also one per vector of its cell, ``ab`` and
            ``c``.
        angle: of a crystal's cell [degrees], by name: ``alpha``, ``beta``, ``gamma``.
        shift: of a crystal's coordinates that symmetry leaves free [Å], by name, such as ``O1x``.
        diameter: of a sphere cut out of a crystal [Å]; None where the crystal is large.
        axes: of the signal; the experiment's where None.
        shape: number of its points; the experiment's where None.

    Raises:
        ValueError: for a parameter out of bounds.
    """

    kind: ClassVar[str] = "curve"
    sources: ClassVar[tuple[str, ...]] = (
        "T. Egami and S. J. L. Billinge, Underneath the Bragg Peaks, 2nd ed. (2012), chapter 3.",
        "X-ray factors: D. Waasmaier and A. Kirfel, Acta Cryst. A 51, 416 (1995), "
        "doi:10.1107/S0108767394013292; with neutron lengths by periodictable (P. Kienzle).",
    )
    packages: ClassVar[tuple[str, ...]] = ("periodictable", "numba")
    model_error: ClassVar[float] = 0.1
    model_error_source: ClassVar[str] = "published structures of particles, docs/pdf.md"
    usual = classmethod(usual)
    quick: ClassVar[bool] = True
    header: ClassVar[Mapping[str, str]] = {"qmin": "qmin", "qmax": "qmax", "radiation": "mode"}

    quantity: Quantity = "G"
    radiation: Radiation | None = None
    qmin: Annotated[float | None, Parameter("1/Å", 0.0, 20.0)] = None
    qmax: Annotated[float | None, Parameter("1/Å", 1.0, 75.0)] = None
    u: Annotated[float | dict[str, float], Parameter("Å²", 1e-5, 1.0)] = 0.005
    delta1: Annotated[float, Parameter("Å", 0.0, 20.0)] = 0.0
    delta2: Annotated[float, Parameter("Å²", 0.0, 50.0)] = 0.0
    qdamp: Annotated[float, Parameter("1/Å", 0.0, 0.5)] = 0.0
    qbroad: Annotated[float, Parameter("1/Å", 0.0, 0.5)] = 0.0
    zoom: Annotated[float | dict[str, float], Parameter("1", 0.5, 2.0)] = 1.0
    angle: Annotated[dict[str, float] | None, Parameter("degrees", 20.0, 160.0)] = None
    shift: Annotated[dict[str, float] | None, Parameter("Å", -3.0, 3.0)] = None
    diameter: Annotated[float | None, Parameter("Å", 2.0, 1e5)] = None
    axes: tuple[Axis, ...] | None = None
    shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        check_bounds(self, declared(type(self)))
        check_choices(
            quantity=(self.quantity, reciprocal.QUANTITIES),
            radiation=(RADIATIONS[0] if self.radiation is None else self.radiation, RADIATIONS),
        )
        lattice.check_names(self.zoom, self.angle, self.shift)
        if self.qmin is not None and self.qmax is not None and not self.qmin < self.qmax:
            raise ValueError(f"qmin is {self.qmin} but must be below qmax, {self.qmax}")

    def __call__(self, atoms: Atoms) -> Signal:
        """G(r) of ``atoms``, or what ``quantity`` says, shape (n,), float32.

        Raises:
            UserError: where axes, shape or qmax are not set, the axis is another one, the
                structure repeats in one direction only, or an element is not in the tables.
        """
        if self._changes():
            return self._plain()(lattice.changed(atoms, self.zoom, self.angle, self.shift))
        atoms = slab.freed(atoms)
        axis, count = self._axis()
        grid, reach, repeats = self._extent(atoms, axis, count)
        counted = pairs.known(atoms, reach)
        elements = pairs.composition(atoms)
        layers = self._layers(atoms) if repeats == 2 else None
        far = reach if repeats else None
        values = self._values(atoms, counted, grid, far, elements=elements, layers=layers)
        if self.quantity == "G":
            found = self._g(values, grid, elements, layers)
        else:
            found = self._over_q(values, grid, axis, elements)
        name = reciprocal.QUANTITIES[self.quantity][2]
        return Signal(found.astype(np.float32), (axis,), name)

    def gradient(self, atoms: Atoms, slope: Floats) -> Floats:
        """How a cost changes with positions [1/Å], shape (n, 3), of how it does with G(r).

        ``slope`` is the change per unit of G at each point, shape (points,).
        Images move with their atoms.

        Raises:
            UserError: as the simulation does, and where ``quantity`` is not G.
        """
        if self.quantity != "G":
            raise UserError("atoms are refined by G(r) only; leave refine out")
        if self._changes():
            moved = lattice.changed(atoms, self.zoom, self.angle, self.shift)
            turn = np.linalg.solve(atoms.cell.array, moved.cell.array)
            return np.asarray(self._plain().gradient(moved, slope) @ turn.T)
        axis, count = self._axis()
        atoms = slab.freed(atoms)
        grid, reach, crystal = self._extent(atoms, axis, count)
        if crystal == 2:
            raise UserError("atoms of a slab are not refined by G(r); leave refine out")
        symbols, _ = elements = pairs.composition(atoms)
        window, weights = self._window(grid, elements)
        r = np.asarray(grid.step * np.arange(grid.size // 2, dtype=float))
        shown = grid.origin + grid.step * grid.every * np.arange(count, dtype=float)
        by_f = adjoint.from_r(slope * self._damping(shown), grid, len(window)) * window * weights
        by_values = adjoint.from_q(by_f, grid) / len(atoms)
        if crystal:
            whole = transform.fade(r, reach * self._factor()) * transform.sphere(r, self.diameter)
            by_values = by_values * whole / np.maximum(r, 1e-9)
        bins = pairs.bins_of(reach)
        motion = (self.delta1, self.delta2, self.qbroad)
        by_bin = np.stack(
            [
                adjoint.from_values(row, variance, motion, self._factor(), grid, bins=bins)
                for row, variance in zip(by_values, self._variances(symbols), strict=True)
            ]
        )
        if not crystal:
            by_bin /= self._lengths(bins)
        return adjoint.by_position(atoms, by_bin, reach)

    def _changes(self) -> bool:
        """Whether a crystal is another one before its pairs are counted."""
        return isinstance(self.zoom, Mapping) or bool(self.angle) or bool(self.shift)

    def _plain(self) -> Pdf:
        return replace(self, zoom=1.0, angle=None, shift=None)

    def _extent(self, atoms: Atoms, axis: Axis, count: int) -> tuple[transform.Radial, float, int]:
        """Grid, farthest distance [Å] counted, and in how many directions the structure repeats."""
        repeats = self._repeats(atoms)
        if self.quantity != "G":
            last = self._resolved() if repeats else 0.0
        else:
            last = axis.origin + axis.step * count + transform.REACH
        reach = last / self._factor() if repeats else pairs.bound(atoms)
        make = transform.grid_for if self.quantity == "G" else reciprocal.grid_for
        return make(axis, count, reach * self._factor() + transform.REACH), reach, repeats

    def _variances(self, symbols: tuple[str, ...]) -> list[float]:
        """Of the distance of each two elements, where motion is not correlated [Å²]."""
        u = [u_of(self.u, symbol) for symbol in symbols]
        return [u[a] + u[b] for a, b in pairs.couples(len(symbols))]

    def _layers(self, atoms: Atoms) -> slab.Layers:
        if self.quantity != "G":
            raise UserError(f"{self.quantity}(Q) of a slab is not simulated; compare its G(r)")
        return slab.Layers(atoms, self._factor())

    def _window(self, grid: transform.Radial, elements: Elements) -> tuple[Floats, Floats]:
        """Limits of Q, and what each two elements scatter within."""
        upper = self._qmax()
        window = transform.window(grid, QMIN if self.qmin is None else self.qmin, upper)
        radiation = self.radiation or "x-ray"
        return window, pair_weights(*elements, radiation, upper, grid.q_step, len(window))

    def _lengths(self, bins: int) -> Floats:
        """Distance [Å] of each bin, zoomed, the first not zero."""
        return np.maximum(self._factor() * pairs.BIN * np.arange(bins, dtype=float), pairs.BIN)

    def _g(
        self,
        values: Floats,
        grid: transform.Radial,
        elements: Elements,
        layers: slab.Layers | None,
    ) -> Floats:
        """G(r) within the limits of Q, of a function of r per two elements."""
        window, weights = self._window(grid, elements)
        by_pair = transform.to_q(values, grid, len(window))
        if layers is not None:
            variances = self._variances(elements[0])
            q = grid.q(len(window))
            by_pair += np.stack([layers.over_q(q, row, v) for row, v in enumerate(variances)])
        f = (by_pair * weights).sum(axis=0) * window
        r: Floats = grid.origin + grid.step * grid.every * np.arange(grid.shown, dtype=float)
        return transform.to_r(f, grid) * self._damping(r)

    def _over_q(
        self, values: Floats, grid: transform.Radial, axis: Axis, elements: Elements
    ) -> Floats:
        """F, S or I at the points of an axis of Q, smeared by the resolution ``qdamp``."""
        r: Floats = np.asarray(grid.step * np.arange(values.shape[-1], dtype=float))
        ratio = reciprocal.per_q(values * self._damping(r), grid)
        radiation = self.radiation or "x-ray"
        return reciprocal.quantity_of(
            ratio, self.quantity, axis, elements=elements, radiation=radiation
        )

    def _damping(self, r: Floats) -> Floats:
        return np.asarray(np.exp(-((self.qdamp * r) ** 2) / 2))

    def _resolved(self) -> float:
        """Farthest distance [Å] that a crystal's F(Q) shows."""
        if self.diameter is None and self.qdamp == 0.0:
            raise UserError(
                f"{self.quantity}(Q) of a crystal is peaks without a width; set qdamp, the "
                "instrument's resolution [1/Å], or the diameter of its particles"
            )
        damped = SMALL / self.qdamp if self.qdamp else np.inf
        return float(min(damped, self.diameter or np.inf)) + transform.TAPER

    def check_data(self, observed: Signal, whole: Signal, header: Mapping[str, object]) -> None:
        """Raise :class:`UserError` for a curve that cannot be a G(r) of these settings."""
        check_radiation(header, self.radiation)
        if self.quantity == "G":
            check_g(observed, whole)
            check_limit(self.qmax, whole, header)

    def independent_points(self, observed: Signal) -> tuple[float, str] | None:
        """Of G(r), ``dr qmax / pi`` (Farrow et al., Phys. Rev. B 84, 134105 (2011)); else None."""
        if self.quantity != "G" or self.qmax is None:
            return None
        length = observed.axes[0].step * (len(observed.data) - 1)
        return length * self.qmax / np.pi, f"by {length:.3g} Å of r times qmax / pi"

    def check_reach(self, atoms: Atoms) -> None:
        """Raise :class:`UserError` where more than half of the data lies beyond a cluster."""
        axis, count = self._axis()
        if self.quantity != "G":
            return
        self._qmax()  # to be asked for first
        atoms = slab.freed(atoms)
        if self._repeats(atoms):
            return
        last, longest = axis.origin + axis.step * (count - 1), pairs.longest(atoms)
        if last - axis.origin > 2 * max(longest - axis.origin, 0.0):
            raise UserError(
                f"the longest distance of the structure is {longest:.1f} Å but the data go to "
                f"{last:.1f} Å, most of them beyond it; let range end at {longest + 1:.0f}"
            )

    def free_of(self, atoms: Atoms) -> dict[str, tuple[float, float]]:
        """Bounds of what is usually fitted of ``atoms``: widths, correlation, size, damping.

        Of a cluster ``qmin``, too, where nobody says it: it decides the slope below the peaks.
        """
        symbols, _ = pairs.composition(atoms)
        nearest = pairs.shortest(atoms)
        free = {f"u.{symbol}": (5e-4, 0.1) for symbol in symbols}
        free |= {"delta2": (0.0, 0.95 * nearest**2)}
        free |= lattice.free_of(atoms, 0.05)
        if self.qdamp == 0.0:
            free["qdamp"] = (0.0, 0.15)
        if self.quantity == "G" and self.qmin is None and self._repeats(slab.freed(atoms)) < 3:
            free["qmin"] = (0.2, 3.0)
        return free

    def scattering(self, atoms: Atoms) -> float:
        """How strongly an atom scatters, ``<f>^2`` at Q = 0: what it weighs in a mixture's G(r)."""
        return mean_square(*pairs.composition(atoms), self.radiation or "x-ray")

    def reframed(self, atoms: Atoms) -> Atoms:
        """A crystal in its conventional cell, whose lengths a fit may change one by one."""
        return conventional(atoms)

    def shifts(self, atoms: Atoms) -> tuple[str, ...]:
        """Names of the coordinates that a crystal's symmetry leaves free."""
        return sites.names(atoms)

    def derived(
        self, atoms: Atoms, parameters: Mapping[str, float], errors: Mapping[str, float]
    ) -> dict[str, tuple[float, float | None, str]]:
        """Lengths and fractions that follow from fitted parameters, their errors and unit."""
        return lattice.derived(atoms, parameters, errors)

    def _values(
        self,
        atoms: Atoms,
        counted: Floats,
        grid: transform.Radial,
        reach: float | None,
        *,
        elements: Elements,
        layers: slab.Layers | None,
    ) -> Floats:
        """The function of r before the limits of Q, per two elements, shape (pairs, size // 2)."""
        symbols, shares = elements
        upper, variances = pairs.couples(len(symbols)), self._variances(symbols)
        motion = (self.delta1, self.delta2, self.qbroad)
        r: Floats = np.asarray(grid.step * np.arange(grid.size // 2, dtype=float))
        if reach is None or layers is not None:  # Debye's sum: 1 / r of the pair itself
            counted = counted / self._lengths(counted.shape[1])
        values = np.stack(
            [
                transform.broadened(row, variance, motion, self._factor(), grid)
                for row, variance in zip(counted, variances, strict=True)
            ]
        ) / len(atoms)  # fmt: skip
        if reach is None:
            return values
        if layers is not None:
            near = r < reach * self._factor()
            for row, variance in enumerate(variances):
                values[row, near] -= layers.over_r(r[near], row, variance)
            return values * transform.fade(r, reach * self._factor())
        density = len(atoms) / atoms.get_volume() / self._factor() ** 3
        portion = np.array([shares[a] * shares[b] * (1 if a == b else 2) for a, b in upper])
        values = values / np.maximum(r, 1e-9) - 4 * np.pi * density * r * portion[:, None]
        return (
            values * transform.fade(r, reach * self._factor()) * transform.sphere(r, self.diameter)
        )

    def _factor(self) -> float:
        return 1.0 if isinstance(self.zoom, Mapping) else self.zoom

    def _qmax(self) -> float:
        if self.qmax is None:
            raise UserError(
                "the file does not say up to which Q [1/Å] its G(r) was transformed; set qmax"
            )
        return self.qmax

    def _axis(self) -> tuple[Axis, int]:
        name, unit, _ = reciprocal.QUANTITIES[self.quantity]
        curve = f"{self.quantity}({name})"
        if self.axes is None or self.shape is None:
            raise UserError(f"{curve} needs axes and shape; they are those of an experiment")
        axis = self.axes[0]
        if len(self.axes) != 1 or axis.unit != unit:
            other = "quantity: F, S or I" if axis.unit == "1/Å" else "quantity: G"
            hint = f", or say {other}" if axis.unit in ("1/Å", "Å") else ""
            raise UserError(
                f"{curve} is simulated over {name} [{unit}] but the data are over {axis.name} "
                f"[{axis.unit}]; name the axis in the experiment, such as axis: {name} [{unit}]"
                f"{hint}"
            )
        if axis.origin < -1e-6:
            raise UserError(
                f"the data begin at {name} = {axis.origin:g} {unit}; give range, such as [1.5, 20]"
            )
        return axis, self.shape[0]

    def _repeats(self, atoms: Atoms) -> int:
        """In how many directions a structure repeats: 0, 2 or 3."""
        if len(atoms) < 2 and not atoms.pbc.any():
            raise UserError("one atom has no G(r); give a cluster or a crystal")
        if not atoms.pbc.all() and self.diameter is not None:
            raise UserError(
                "diameter cuts a sphere out of a crystal; leave it out for a cluster or slab"
            )
        return int(atoms.pbc.sum())


KNOWN_ANSWERS = known.ANSWERS
