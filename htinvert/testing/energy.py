"""What every energy model must keep: slopes, symmetries, what is held, and what it offers.

Each check takes the model, a structure that it knows, a crystal or a cluster, and how exact its
numbers are: ``rounding`` of its forces [eV/Å], and ``on_grid`` for one whose energies feel a grid
in space (egg-box error) or its plane waves, which is also too slow for the checks of large cells.
Slopes are checked where the model prices a structure as it stands
(:class:`~htinvert.declaration.abilities.PricesAsItStands`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import is_dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms
from ase.stress import voigt_6_to_full_3x3_stress

from htinvert.core import EnergyModel, EvaluationFailed, Relaxation, UserError
from htinvert.declaration.abilities import ChecksElements, HasOffer, PricesAsItStands
from htinvert.geometry.roles import RigidBody
from htinvert.testing.conformance import check_travels, require

Check = Callable[..., None]

_SINGLE = 2e-3  # eV/Å: forces rounded more than this are those of single precision or coarse tables
_GRID = 2e-2  # eV, eV/Å, eV/Å³: what a grid in space may add
_LOOSE = 0.2  # eV/Å, to which a structure is relaxed here


def check_energy(
    model: Any, atoms: Atoms, *, rounding: float = 2e-5, on_grid: bool = False
) -> None:
    """Run all of the checks. Raises :class:`~htinvert.testing.conformance.NotConforming`."""
    for check in CHECKS:
        check(model, atoms, rounding=rounding, on_grid=on_grid)


def check_offer(model: Any, atoms: Atoms, *, rounding: float = 2e-5, on_grid: bool = False) -> None:
    """It keeps the protocol, travels, and what it offers names a version and covers its atoms."""
    del rounding, on_grid
    require(isinstance(model, EnergyModel), "it cannot be called with a structure")
    check_travels(model)
    symbols = set(atoms.get_chemical_symbols())
    if isinstance(model, ChecksElements):
        model.check_elements(symbols)
    if not isinstance(model, HasOffer):
        return
    offer = model.offer
    require("energy" in offer.properties, "its offer's properties lack energy")
    named = any(digit in offer.model for digit in "0123456789")
    require(named, f"its offer's model, {offer.model!r}, names no version")
    require(offer.memory > 0, f"its offer's memory is {offer.memory:g} GB")
    require(hash(offer) == hash(model.offer), "its offer changes from one look to the next")
    if offer.elements is None:
        return
    require(symbols <= offer.elements, f"its offer lacks {sorted(symbols - offer.elements)}")
    if "Og" in offer.elements or not isinstance(model, ChecksElements):
        return
    try:
        model.check_elements({*symbols, "Og"})
    except UserError as error:
        require("Og" in str(error), f"it refuses Og without naming it: {error}")
    else:
        require(False, "check_elements lets Og pass, which its offer does not cover")


def check_relaxation(
    model: Any, atoms: Atoms, *, rounding: float = 2e-5, on_grid: bool = False
) -> None:
    """A relaxation lowers the energy, holds what is held, and leaves the given structure alone."""
    del rounding, on_grid
    atoms = rattled(atoms)
    atoms.set_constraint(FixAtoms([0]))
    before = atoms.copy()
    relaxation = _loose(model)(atoms)
    require(isinstance(relaxation, Relaxation), "its answer is no Relaxation")
    require(np.isfinite(relaxation.energy), f"its energy is {relaxation.energy}")
    untouched = np.array_equal(atoms.positions, before.positions)
    require(untouched, "it moves the atoms that it is given; work on a copy")
    after = relaxation.atoms
    kept = np.array_equal(after.numbers, before.numbers)
    require(kept, "its relaxed structure has other atoms, or in another order")
    moved = np.abs(after.positions[0] - before.positions[0]).max()
    require(moved < 1e-12, f"it moves an atom that FixAtoms holds by {moved:.2g} Å")
    require(after.calc is None, "its relaxed structure still has a calculator; copy the atoms")
    require(relaxation.converged, "it does not converge; give a structure nearer to a minimum")
    if relaxation.force is not None and _has_threshold(model):
        loosely = relaxation.force <= _LOOSE
        require(loosely, f"it calls {relaxation.force:.3g} eV/Å converged at fmax {_LOOSE:g}")
    if isinstance(model, PricesAsItStands):
        lower = relaxation.energy < model.single_point(before).energy
        require(lower, "relaxation does not lower the energy")


def check_slopes(
    model: Any, atoms: Atoms, *, rounding: float = 2e-5, on_grid: bool = False
) -> None:
    """Forces are the slopes of the energy."""
    del on_grid
    if not isinstance(model, PricesAsItStands):
        return
    atoms, coarse = rattled(atoms), rounding > _SINGLE
    step, tolerance = (
        (1e-2, 2e-2) if coarse else (1e-4, 1e-3)
    )  # Å, eV/Å; a coarse one sees curvature
    force = model.single_point(atoms).forces
    require(force.shape == (len(atoms), 3), f"its forces have the shape {force.shape}")
    for atom, axis in ((0, 0), (1, 2)):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * step
            energies.append(model.single_point(moved).energy)
        slope = (energies[0] - energies[1]) / (2 * step)
        require(
            abs(force[atom, axis] + slope) <= tolerance,
            f"its force on atom {atom} along {'xyz'[axis]} is {force[atom, axis]:.6g} eV/Å, but "
            f"the energy's slope says {-slope:.6g}",
        )


def check_symmetry(
    model: Any, atoms: Atoms, *, rounding: float = 2e-5, on_grid: bool = False
) -> None:
    """Energy and forces do not depend on origin, orientation, order or periodic image."""
    tolerance = _GRID if on_grid else max(rounding, 1e-4)
    if not isinstance(model, PricesAsItStands):
        _check_relaxed_symmetry(model, atoms)
        return
    atoms = rattled(atoms)
    order = np.arange(len(atoms))[::-1]
    before, after = model.single_point(atoms), model.single_point(_elsewhere(atoms, order))
    _require_equal(before.energy, after.energy, tolerance)
    turned = before.forces[order] @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    off = np.abs(after.forces - turned).max()
    require(off <= tolerance, f"its forces do not turn with the structure, by {off:.2g} eV/Å")


def _check_relaxed_symmetry(model: Any, atoms: Atoms) -> None:
    """The same for a model that only relaxes: a minimum stays one, wherever it lies."""
    relaxed = model(rattled(atoms)).atoms
    again = model(relaxed)
    elsewhere = model(_elsewhere(relaxed, np.arange(len(relaxed))[::-1]))
    _require_equal(again.energy, elsewhere.energy, 1e-3 * len(atoms))


def _require_equal(before: float, after: float, tolerance: float) -> None:
    require(
        abs(after - before) <= tolerance,
        f"its energy is {before:.6g} eV but {after:.6g} eV for the same structure shifted, turned "
        "and with its atoms in another order",
    )


def check_extensive(
    model: Any, atoms: Atoms, *, rounding: float = 2e-5, on_grid: bool = False
) -> None:
    """Twice the crystal has twice the energy."""
    if on_grid or not isinstance(model, PricesAsItStands) or not atoms.pbc[1]:
        return
    atoms = rattled(atoms)
    single = model.single_point(atoms).energy
    double = model.single_point(atoms.repeat((1, 2, 1))).energy
    require(
        abs(double - 2 * single) <= rounding,
        f"twice the crystal has {double:.6g} eV, not twice {single:.6g} eV",
    )


def check_stress(
    model: Any, atoms: Atoms, *, rounding: float = 2e-5, on_grid: bool = False
) -> None:
    """Where stress is offered, it is the slope with strain; elsewhere it is None."""
    if not isinstance(model, PricesAsItStands):
        return
    atoms, strain = rattled(atoms), 2e-3
    stress = model.single_point(atoms).stress
    if not isinstance(model, HasOffer) or "stress" not in model.offer.properties:
        require(stress is None, "it has a stress that its offer does not name")
        return
    energies = []
    for sign in (1, -1):
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array * [1 + sign * strain, 1, 1], scale_atoms=True)
        energies.append(model.single_point(strained).energy)
    slope = (energies[0] - energies[1]) / (2 * strain) / atoms.get_volume()
    # Plane waves change in number with the cell (Pulay), and ReaxFF's energies jump where bonds are
    # cut off, which a slope of energies feels.
    tolerance = _GRID if on_grid else max(1e-3, 0.5 * rounding)
    require(
        abs(stress[0] - slope) <= tolerance,
        f"its stress along x is {stress[0]:.6g} eV/Å³, but the energy's slope says {slope:.6g}",
    )


def check_turned_stress(
    model: Any, atoms: Atoms, *, rounding: float = 2e-5, on_grid: bool = False
) -> None:
    """Stress turns with the structure, in any orientation."""
    if on_grid or not isinstance(model, PricesAsItStands):
        return
    atoms = rattled(atoms)
    before = model.single_point(atoms).stress
    if before is None:
        return
    turned = atoms.copy()
    turned.rotate(73, (1, 2, 3), rotate_cell=True)
    frame = np.linalg.solve(atoms.cell.array, turned.cell.array)  # rows turn by this
    expected = frame.T @ voigt_6_to_full_3x3_stress(before) @ frame
    after = voigt_6_to_full_3x3_stress(model.single_point(turned).stress)
    off = np.abs(after - expected).max()
    require(off <= max(rounding, 1e-5), f"its stress does not turn along, by {off:.2g} eV/Å³")


def check_rigid_body(
    model: Any, atoms: Atoms, *, rounding: float = 2e-5, on_grid: bool = False
) -> None:
    """A rigid grain moves as a whole, and in its directions only; or the model says it cannot."""
    del rounding
    if on_grid or not isinstance(model, PricesAsItStands) or len(atoms) < 4:
        return
    atoms = atoms.copy()
    atoms.positions[2:4] += [0.1, 0.05, -0.1]
    atoms.set_constraint([FixAtoms([0]), RigidBody([2, 3], "xz")])
    try:
        relaxation = _with_threshold(model, 0.1)(atoms)
    except (EvaluationFailed, UserError):
        return  # it says that it cannot
    moved = relaxation.atoms.positions - atoms.positions
    apart = np.abs(moved[2] - moved[3]).max()
    require(apart <= 1e-10, f"atoms of a rigid body move apart by {apart:.2g} Å")
    require(abs(moved[2, 1]) < 1e-10, "a rigid body moves in a direction that it is not allowed")
    back = bool(np.linalg.norm(moved[2]) > 0.01)
    require(back, "a rigid body that is pushed aside does not move back")


CHECKS: tuple[Check, ...] = (
    *(check_offer, check_relaxation, check_slopes, check_symmetry),
    *(check_extensive, check_stress, check_turned_stress, check_rigid_body),
)


def rattled(atoms: Atoms) -> Atoms:
    """A copy off its equilibrium by some 0.08 Å."""
    atoms = atoms.copy()
    atoms.rattle(0.08, seed=1)
    return atoms


def _elsewhere(atoms: Atoms, order: Any) -> Atoms:
    """The structure with its atoms in another order, shifted and turned by 90 degrees about z."""
    other = atoms[order]
    other.translate([0.3, -1.1, 2.7])
    other.wrap()
    other.rotate(90, "z", rotate_cell=True)
    return other


def _has_threshold(model: Any) -> bool:
    return is_dataclass(model) and hasattr(model, "fmax")


def _loose(model: Any) -> Any:
    return _with_threshold(model, _LOOSE)


def _with_threshold(model: Any, fmax: float) -> Any:
    """The model with another threshold of force [eV/Å], where it has one."""
    return replace(model, fmax=fmax) if _has_threshold(model) else model
