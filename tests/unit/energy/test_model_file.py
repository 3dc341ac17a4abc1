"""A calculator of anyone's, named module:class, with a model file of its own; MACE among them."""

from __future__ import annotations

import importlib.util
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from htinvert.core import UserError
from htinvert.energy.ase_calculator import AseCalculator

SPRING = '''
"""A bond of zero length: E = k r^2 / 2, k from a file."""
import numpy as np
from ase.calculators.calculator import Calculator, all_changes

class Spring(Calculator):
    implemented_properties = ["energy", "forces"]
    loads = 0

    def __init__(self, weights, scale=1.0):
        super().__init__()
        Spring.loads += 1
        self.k = scale * float(open(weights).read())

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        if "Og" in atoms.get_chemical_symbols():
            raise ValueError("Og was not trained")
        bond = atoms.positions[1] - atoms.positions[0]
        force = self.k * bond
        self.results = {"energy": 0.5 * self.k * bond @ bond, "forces": np.array([force, -force])}
'''


@pytest.fixture
def spring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AseCalculator:
    (tmp_path / "spring_of_a_user.py").write_text(SPRING)
    (tmp_path / "k.txt").write_text("2.0")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "spring_of_a_user", raising=False)
    return AseCalculator(
        "spring_of_a_user:Spring", model=tmp_path / "k.txt", model_argument="weights"
    )


def pair(length: float) -> Atoms:
    return Atoms("H2", positions=[[0, 0, 0], [0, 0, length]])


def test_a_calculator_takes_its_model_from_a_file(spring: AseCalculator) -> None:
    assert spring.single_point(pair(3.0)).energy == pytest.approx(9.0)  # 2 * 3^2 / 2
    double = replace(spring, parameters={"scale": 2.0})
    assert double.single_point(pair(3.0)).energy == pytest.approx(18.0)
    assert spring(pair(3.0)).atoms.get_distance(0, 1) == pytest.approx(0.0, abs=0.03)
    assert pickle.loads(pickle.dumps(spring)) == spring  # noqa: S301  (our own)


def test_the_file_is_loaded_once_and_again_when_it_has_changed(spring: AseCalculator) -> None:
    for _ in range(3):
        spring.single_point(pair(3.0))
    assert sys.modules["spring_of_a_user"].Spring.loads == 1
    before = spring.offer
    spring.model.write_text("4.0")  # type: ignore[union-attr]
    os.utime(spring.model, ns=(1, 1))  # type: ignore[arg-type]
    assert spring.single_point(pair(3.0)).energy == pytest.approx(18.0)
    assert spring.offer.model != before.model, "the content is part of the identity"
    assert "k.txt" in before.model
    assert before.cost == "mlip"


def test_mistakes_get_a_sentence(spring: AseCalculator) -> None:
    with pytest.raises(UserError, match="does not know Og .Og was not trained"):
        spring.check_elements({"H", "Og"})
    with pytest.raises(UserError, match="there is no model file nowhere.pt; give the path"):
        replace(spring, model=Path("nowhere.pt"))
    with pytest.raises(UserError, match="no calculator nowhere:Class here .*install its package"):
        AseCalculator("nowhere:Class")
    with pytest.raises(UserError, match="no calculator math:Class here"):
        AseCalculator("math:Class")


TINY_MACE = """
import sys, numpy as np, torch
import mace  # before e3nn: it lets torch load e3nn's own tables
from e3nn import o3
from mace import modules
torch.manual_seed(0)
block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
model = modules.ScaleShiftMACE(
    r_max=5.0, num_bessel=4, num_polynomial_cutoff=5, max_ell=1, interaction_cls=block,
    interaction_cls_first=block, num_interactions=2, num_elements=2,
    hidden_irreps=o3.Irreps("4x0e"), MLP_irreps=o3.Irreps("4x0e"),
    gate=torch.nn.functional.silu, atomic_energies=np.array([[-1.0, -2.0]]),
    avg_num_neighbors=12.0, atomic_numbers=[48, 52], correlation=2,
    atomic_inter_scale=1.0, atomic_inter_shift=0.0,
)
torch.save(model, sys.argv[1])
"""


@pytest.mark.skipif(importlib.util.find_spec("mace") is None, reason="the extra mace is missing")
def test_mace_runs_from_a_local_file(tmp_path: Path) -> None:
    """Weights at random, so what counts is that forces are the slopes of the energy."""
    path = tmp_path / "tiny.model"
    subprocess.run([sys.executable, "-c", TINY_MACE, str(path)], check=True, capture_output=True)
    engine = AseCalculator(
        "mace.calculators:MACECalculator",
        {"device": "cpu", "default_dtype": "float64"},
        model=path,
        model_argument="model_paths",
    )
    assert "mace-torch" in engine.offer.model
    atoms, energies = bulk("CdTe", "zincblende", a=6.5, cubic=True), []
    atoms.rattle(0.1, seed=1)
    point = engine.single_point(atoms)
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[0, 0] += sign * 1e-3
        energies.append(engine.single_point(moved).energy)
    slope = (energies[0] - energies[1]) / 2e-3
    assert np.abs(point.forces).max() > 1e-3  # eV/Å
    assert point.forces[0, 0] == pytest.approx(-slope, abs=1e-6)  # eV/Å
    assert engine(atoms).energy <= point.energy
    with pytest.raises(UserError, match="does not know Og"):
        engine.check_elements({"Cd", "Og"})
