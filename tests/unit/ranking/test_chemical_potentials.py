"""Scans of a chemical potential: families of other compositions take turns where lines cross."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from htinvert.core import Candidate, Evaluation, Objective, Relaxation, UserError
from htinvert.ranking.chemical_potentials import read_scan, reigns, totals
from htinvert.ranking.rank import Ranked

FIXED = {"Cd": -2.0, "Te": -2.5}


def family(rank: int, formula: str, total: float, cost: float = 0.0) -> Ranked:
    """A family with a total energy [eV]; its energy is less the fixed potentials."""
    atoms = Atoms(formula, cell=[4, 5, 30], pbc=True)
    energy = total - sum(FIXED[symbol] for symbol in atoms.get_chemical_symbols())
    objectives = {
        "energy": energy,
        "total_energy": total,
        "interface_energy": energy / 20.0,
        "formation_energy": energy / len(atoms),
        "haadf.registration": cost,
    }
    relaxation = Relaxation(atoms, total, True, 1)
    evaluation = Evaluation(Candidate(rank, atoms, "random"), relaxation, objectives=objectives)
    return Ranked(rank, evaluation, energy, 0.0, 1, rank, True)


PAIR = [family(1, "Cd2Te2", -8.0), family(2, "Cd2Te3", -10.2)]  # equal where Te is -2.2 eV


def test_the_turn_comes_where_the_added_atoms_pay() -> None:
    scan = read_scan("Te=-3:-1", [], FIXED)
    found = reigns(scan, PAIR, [Objective("energy", 1.0)])
    assert [reign.entry.rank for reign in found] == [1, 2]
    assert found[0].upper == found[1].lower == pytest.approx(-2.2, abs=1.1 * 2 / 400)
    assert (found[0].lower, found[1].upper) == (-3.0, -1.0)


def test_a_compound_ties_the_other_element() -> None:
    scan = read_scan("Te=-3:-1", ["CdTe=-4.5"], FIXED)
    assert scan.at(np.array([-2.0, -3.0]))["Cd"] == pytest.approx([-2.5, -1.5])
    scan = read_scan("Te=-3:-1", ["CdTe2=-6.5"], FIXED)
    assert scan.at(np.array([-2.0]))["Cd"] == pytest.approx([-2.5])


@pytest.mark.parametrize("name", ["energy", "interface_energy", "formation_energy"])
def test_at_the_runs_own_potential_the_sums_are_the_runs_own(name: str) -> None:
    objectives = [Objective(name, 3.0), Objective("haadf.registration", 20.0)]
    ranked = [family(1, "Cd2Te2", -8.0, 0.2), family(2, "Cd2Te3", -10.2, 0.1)]
    values, table = totals(read_scan("Te=-2.5:-2.1", [], FIXED), ranked, objectives)
    assert values[0] == FIXED["Te"]
    for entry, row in zip(ranked, table, strict=True):
        own = entry.evaluation.objectives
        assert row[0] == pytest.approx(3.0 * own[name] + 20.0 * own["haadf.registration"])
        atoms = entry.evaluation.atoms
        size = {"energy": 1.0, "interface_energy": 20.0, "formation_energy": len(atoms)}[name]
        tellurium = atoms.symbols.formula.count()["Te"]
        assert row[-1] - row[0] == pytest.approx(-3.0 * 0.4 * tellurium / size)


@pytest.mark.parametrize(
    ("scanned", "ties", "message"),
    [
        ("Te", [], "Te is no range; write it like Te=-2.6:-2.1"),
        ("Se=-3:-2", [], "Se has no chemical potential in this run; it has Cd, Te"),
        ("Te=-1:-2", [], "give the lower one first"),
        ("Te=-3:-2", ["CdTe"], "CdTe is no compound's energy"),
        ("Te=-3:-2", ["Te2=-5"], "Te2 does not tie Te to one other element"),
    ],
)
def test_a_wrong_scan_says_what_to_write(scanned: str, ties: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_scan(scanned, ties, FIXED)
