"""A boundary finds its own shift and gap, and the roles of its atoms outlive every stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

from htinvert.campaign.loop import run
from htinvert.campaign.plan import Plan, make_plan
from htinvert.config.campaign import parse
from htinvert.core import Evaluation
from htinvert.energy.lammps import Lammps
from htinvert.geometry.roles import rigid_mask, roles
from htinvert.store import RunStore
from htinvert.structures.write import read_structure, write_structure

pytest.importorskip("lammps", reason="the LAMMPS wheel is not installed")

SHIFT = np.array([1.4, 0.9, 0.6])  # Å


def perfect() -> Atoms:
    crystal = bulk("CdTe", "zincblende", a=6.48, cubic=True).repeat((1, 1, 4))
    crystal.cell[2, 2] += 10.0
    return crystal


def plan(folder: Path, **changes: Any) -> Plan:
    """Zinc blende whose upper half was shifted; only that half's place is searched."""
    atoms = perfect()
    atoms.positions[atoms.positions[:, 2] > 12.0] += SHIFT
    write(folder / "shifted.xyz", atoms)
    raw = {
        "name": "shifted",
        "structure": {"use": "file", "path": "shifted.xyz"},
        "region": {"lower": 11.5, "upper": 13.0, "margin": 3.0, "above": "rigid"},
        "energy": {"use": "lammps", "potential": "CdTe.sw", "fmax": 0.01},
        "search": {
            "generators": [
                {"use": "genetic", "random": 8, "operators": {"shift_grain": 1.0}, "share": 0.5},
                {"use": "basin_hopping", "moves": {"shift_grain": 1.0}, "share": 0.5},
            ]
        },
        "stop": {"evaluations": 40},
        "workers": 0,
    }
    return make_plan(parse(raw | changes), folder=folder)


def evaluations(folder: Path) -> list[Evaluation]:
    with RunStore.open(folder) as store:
        return [e for e in store.evaluations() if e.ok]


def test_a_shifted_grain_finds_back_to_the_perfect_crystal(tmp_path: Path) -> None:
    made = plan(tmp_path)
    run(made, tmp_path / "run")
    best = min(evaluations(tmp_path / "run"), key=lambda e: e.objectives["energy"])
    target = perfect()
    target.set_constraint(made.space.template.constraints)
    assert best.objectives["energy"] == pytest.approx(  # eV
        Lammps(Path("CdTe.sw"), fmax=1e-3)(target).energy, abs=5e-3
    )


def test_roles_outlive_operators_engine_store_resume_and_export(tmp_path: Path) -> None:
    made = plan(tmp_path, stop={"evaluations": 8})
    run(made, tmp_path / "run")
    made = plan(tmp_path, stop={"evaluations": 16})
    run(made, tmp_path / "run")
    start = made.space.template
    body = rigid_mask(start)
    found = evaluations(tmp_path / "run")
    assert len(found) >= 15
    for evaluation in found:
        for atoms in (evaluation.candidate.atoms, evaluation.atoms):
            assert roles(atoms) == roles(start)
            moved = (atoms.positions - start.positions)[body]
            assert np.ptp(moved, axis=0).max() < 2e-6  # Å, the grid of the start's positions
    best = found[-1].atoms
    write_structure(tmp_path / "best.xyz", best)
    assert roles(read_structure(tmp_path / "best.xyz")) == roles(best)


@pytest.mark.parametrize("workers", [1])
def test_a_rigid_grain_travels_to_workers(tmp_path: Path, workers: int) -> None:
    run(plan(tmp_path, workers=workers, stop={"evaluations": 4}), tmp_path / "run")
    assert all(rigid_mask(e.atoms).any() for e in evaluations(tmp_path / "run"))
