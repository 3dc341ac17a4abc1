"""Chemical potentials from phases that the campaign's own engine prices."""

from pathlib import Path
from typing import Any

import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

from htinvert.campaign.load import load
from htinvert.campaign.loop import run
from htinvert.campaign.plan import Plan
from htinvert.campaign.references import References, likely_phases, strays
from htinvert.config.campaign import parse
from htinvert.core import UserError
from htinvert.energy.bulk_energy import bulk_energy
from htinvert.energy.lammps import Lammps
from htinvert.geometry.own_bulk import own_bulk
from htinvert.report.potentials import potentials_of, references_of
from htinvert.structures.phases import phases_of

SW = Lammps(Path("CdTe.sw"))


def grains() -> Atoms:
    crystal = bulk("CdTe", "zincblende", a=6.48, cubic=True).repeat((1, 1, 5))
    crystal.center(vacuum=4.0, axis=2)
    return crystal


def plan(folder: Path, **changes: Any) -> Plan:
    write(folder / "start.vasp", grains(), format="vasp")
    raw: dict[str, Any] = {
        "name": "phases",
        "structure": {"use": "file", "path": "start.vasp"},
        "region": {"axis": "z", "lower": 19.0, "upper": 23.0, "margin": 2.0},
        "composition": {"Cd": [1, 6], "Te": [1, 6]},
        "energy": {"use": "lammps", "potential": "CdTe.sw"},
        "chemical_potentials": {"phases": ["CdTe", "Cd", "Te"]},
        "stop": {"evaluations": 3},
        "workers": 0,
    }
    return load(raw | changes, folder=folder)


def test_the_engine_finds_the_crystal_of_a_compound_and_its_size() -> None:
    """Zinc blende; the potential's authors fitted 6.48 Å: Wang et al., Phys. Rev. B 39, 10541."""
    found, energy = bulk_energy(SW, phases_of("CdTe"), name="CdTe")
    assert found.get_volume() / len(found) == pytest.approx(6.48**3 / 8, rel=0.02)
    assert energy == pytest.approx(-2.06, abs=0.005)  # the demo's -1.619 - 2.50, halved
    assert phases_of("TiO2")[0].get_chemical_formula() == "O2Ti"


def test_a_gas_is_priced_as_its_molecule() -> None:
    [molecule] = phases_of("O")
    assert molecule.get_chemical_formula() == "O2"
    assert min(molecule.cell.lengths()) > 10.0


@pytest.mark.parametrize("formula", ["Xy", "B", "Fe3Mo7W2"])
def test_what_has_no_known_crystal_asks_for_a_file(formula: str) -> None:
    with pytest.raises(UserError, match=r"write it like CdTe|give a file"):
        phases_of(formula)


def test_a_grain_shows_its_own_crystal() -> None:
    start = grains()
    z = start.positions[:, 2]
    found = own_bulk(start, axis=2, lower=float(z.min()), upper=float(z.max()))
    assert found.get_chemical_formula(empirical=True) == "CdTe"
    assert found.get_volume() / len(found) == pytest.approx(6.48**3 / 8, rel=1e-3)


def test_nothing_repeats_in_a_random_heap() -> None:
    heap = grains()
    heap.rattle(0.8, seed=1)
    z = heap.positions[:, 2]
    with pytest.raises(UserError, match="no crystal repeats"):
        own_bulk(heap, axis=2, lower=float(z.min()), upper=float(z.max()))


def test_a_run_prices_its_phases_once_and_keeps_them(tmp_path: Path) -> None:
    made = plan(tmp_path)
    run(made, tmp_path / "run")
    found = references_of(tmp_path / "run")
    assert found is not None
    low, high = found.limits.ranges["Te"]
    assert low < potentials_of(tmp_path / "run")["Te"] < high
    again = made.priced(found.state())
    assert again.recipe.chemical_potentials == found.limits.potentials
    assert References.restored(found.state()) == found
    scan = found.scan()
    assert scan is not None
    assert (scan.element, scan.lower, scan.upper, list(scan.tied)) == ("Te", low, high, ["CdTe"])


def test_the_own_crystal_is_a_phase_by_the_word_structure(tmp_path: Path) -> None:
    named = plan(tmp_path, chemical_potentials={"phases": ["structure", "Cd", "Te"]}).priced()
    by_name = plan(tmp_path).priced()
    ours, theirs = named.recipe.chemical_potentials, by_name.recipe.chemical_potentials
    assert ours == pytest.approx(theirs, abs=2e-3)


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ({"phases": []}, "chemical_potentials.phases"),
        ({"phases": ["CdTe"], "att": {}}, "chemical_potentials.att is unknown; did you mean at?"),
        ({"phases": ["CdTe"], "at": {"Te": 2}}, "chemical_potentials.at.Te"),
        ({"Cd": "low"}, "chemical_potentials.Cd"),
        ({"phases": [{"use": "prototipe"}]}, "chemical_potentials.phases.0.use"),
    ],
)
def test_mistakes_are_named_with_their_place(said: dict[str, Any], wrong: str) -> None:
    raw = {"name": "a", "structure": {"use": "box", "size": 20}, "energy": {"use": "lennard_jones"}}
    with pytest.raises(UserError) as told:
        parse(raw | {"chemical_potentials": said})
    assert wrong in str(told.value)


def test_phases_that_leave_an_element_out_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no phase holds Te, whose number may change"):
        plan(tmp_path, chemical_potentials={"phases": ["Cd"]}).priced()


def test_numbers_outside_of_the_range_are_warned_of(tmp_path: Path) -> None:
    made = plan(tmp_path)
    assert likely_phases(made.space) is not None
    inside = {"Te": -2.50, "Cd": -1.619}  # the demo's
    assert strays(inside, SW, made.space, tmp_path) == ""
    halves = {"Te": -2.06, "Cd": -2.06}  # of CdTe: tellurium itself lies at -2.097 eV
    warning = strays(halves, SW, made.space, tmp_path)
    assert "Te would precipitate, by 0.037 eV per formula" in warning
    assert "{phases: [structure, Cd, Te]}" in warning
