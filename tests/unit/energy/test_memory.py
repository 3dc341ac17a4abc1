"""What a network takes of memory is known before it takes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ase import Atoms
from ase.build import bulk

from htinvert.core import UserError
from htinvert.plugins import build

# Peak resident memory [GB] of a process that prices the structure once, measured with chgnet 0.4.2,
# sevenn 0.13 and torch 2.13 on a CPU.
CDTE = bulk("CdTe", "zincblende", a=6.48, cubic=True)
MEASURED = [
    ("chgnet", CDTE.repeat((2, 2, 6)), 1.05),
    ("chgnet", CDTE.repeat((2, 2, 18)), 2.35),
    ("chgnet", bulk("Ni", "fcc", a=3.52, cubic=True).repeat((4, 4, 6)), 7.29),
    ("chgnet", bulk("MgO", "rocksalt", a=4.2, cubic=True).repeat((3, 3, 4)), 8.79),
    ("sevennet", CDTE.repeat((2, 2, 12)), 1.55),
    ("sevennet", bulk("Ni", "fcc", a=3.52, cubic=True).repeat((4, 4, 4)), 2.39),
]


@pytest.mark.parametrize(("engine", "atoms", "measured"), MEASURED)
def test_the_estimate_is_what_was_measured(engine: str, atoms: Atoms, measured: float) -> None:
    try:
        model = build("energy", {"use": engine}, Path(), "energy")
    except UserError as error:
        pytest.skip(str(error))
    atoms.rattle(0.02, seed=42)
    assert model.memory_for(atoms) == pytest.approx(measured, rel=0.2)
