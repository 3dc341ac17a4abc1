"""G(r) of clusters and crystals against other programs and by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import read
from ase.neighborlist import neighbor_list
from periodictable.cromermann import fxrayatq

from htinvert.core import Axis, UserError
from htinvert.forward.pdf import pairs
from htinvert.forward.pdf.model import Pdf
from htinvert.metrics.rw import Rw

NICKEL = bulk("Ni", "fcc", a=3.524, cubic=True)
ZINC_SELENIDE = bulk("ZnSe", "zincblende", a=5.668, cubic=True)
STEP = 0.01
PER_B = 1 / (8 * np.pi**2)
CDSE = Path(__file__).parents[3].parent / "shared" / "data" / "cdse-pdf" / "CdSe.xyz"


def model(count=1000, first=1.0, **parameters):
    axes = (Axis("r", "Å", STEP, first),)
    return Pdf(axes=axes, shape=(count,), **{"qmin": 0.0, "qmax": 25.0} | parameters)


def values(signal, places):
    return np.array([signal.data[round((r - 1.0) / STEP)] for r in places])


def test_two_atoms_give_the_integral_by_hand():
    """F(Q) = sin(Qd)/d exp(-u Q^2): each of the two atoms has one neighbor (Debye 1915)."""
    pair = Atoms("Ni2", positions=[[0, 0, 0], [0, 0, 2.5]])
    found = model(qmin=1.0, qmax=20.0, u=0.01)(pair)
    q = np.linspace(1.0, 20.0, 20001)
    f = np.sin(2.5 * q) / 2.5 * np.exp(-0.01 * q**2)
    places = np.array([1.7, 2.5, 2.6, 4.0])
    exact = [2 / np.pi * np.trapezoid(f * np.sin(q * r), q) for r in places]
    assert values(found, places) == pytest.approx(exact, abs=2e-3)


def test_nickel_without_limits_is_that_of_pdffit2():
    found = model(qmax=70.0, u=0.005, radiation="neutron")(NICKEL)
    places = (2.00, 2.49, 3.00, 3.52, 4.32, 5.00, 7.05, 9.97)
    pdffit2 = [-2.2970, 16.3629, -3.4457, 2.7517, 17.1839, 3.7052, -4.6998, -6.3450]
    assert values(found, places) == pytest.approx(pdffit2, abs=1e-3)


@pytest.mark.parametrize(
    ("parameters", "known"),
    [
        ({"delta2": 2.0}, {2.49: 19.559, 4.32: 17.929, 9.97: -5.874}),
        ({"diameter": 20.0}, {2.49: 13.111, 4.32: 11.378, 9.97: -1.832}),
    ],
)
def test_motion_and_a_sphere_change_nickel_as_in_pdffit2(parameters, known):
    """Tolerance: pdffit2's own finite transform is good to 0.05."""
    found = model(u=0.005, qdamp=0.04, **parameters)(NICKEL)
    assert values(found, known) == pytest.approx(list(known.values()), abs=0.05)


@pytest.mark.parametrize(
    ("radiation", "known"),
    [("atomic number", (3.702, 7.141, 5.320, 6.974, 0.282)),
     ("neutron", (3.578, 7.365, 5.130, 7.229, 0.188))],
)  # fmt: skip
def test_zinc_selenide_is_that_of_pdffit2(radiation, known):
    """It weighs X-rays by atomic number."""
    found = model(qmax=20.0, u=0.008, qdamp=0.03, radiation=radiation)(ZINC_SELENIDE)
    assert values(found, (2.45, 4.00, 4.70, 6.94, 10.0)) == pytest.approx(known, abs=0.05)


def test_a_molecule_is_twice_that_of_debyecalculator():
    """Its version 1.1.1 counts each pair once; both agree to 0.35 % rms of G."""
    found = model(qmin=1.0, qmax=20.0, u=0.3 * PER_B, qdamp=0.06)(molecule("C60"))
    known = {1.43: 6.991, 2.46: 5.975, 3.56: 3.058, 4.30: -1.881, 5.00: -1.674}
    assert values(found, known) == pytest.approx(list(known.values()), abs=0.01)


def test_a_fullerene_has_three_neighbors():
    cage = molecule("C60")
    found = model(qmax=40.0, u=0.003)(cage)
    r = found.coordinates()
    first = (r > 1.0) & (r < 2.0)
    assert np.sum(r[first] * found.data[first]) * STEP == pytest.approx(3.0, abs=0.02)


@pytest.mark.parametrize("change", ["turned", "mirrored", "reordered", "renamed"])
def test_g_does_not_see_the_frame(change):
    atoms = molecule("C60")
    atoms.rattle(0.1, seed=2)
    other = atoms.copy()
    if change == "turned":
        other.rotate(33.0, (1, 2, 3))
    elif change == "mirrored":
        other.positions[:, 0] *= -1.0
    elif change == "reordered":
        other = other[::-1]
    else:
        other.set_chemical_symbols(["Si"] * 60)  # of one element, f(Q) cancels
    simulate = model(qmin=1.0)
    assert simulate(other).data == pytest.approx(simulate(atoms).data, abs=2e-4)


def test_a_supercell_is_the_crystal():
    simulate = model(qmax=20.0)
    once, more = simulate(ZINC_SELENIDE), simulate(ZINC_SELENIDE * (2, 1, 3))
    assert more.data == pytest.approx(once.data, abs=1e-4)


def test_a_slab_of_a_primitive_cell_counts_all_images():
    """12 nearest neighbors, 6 and 24 more of fcc (Kittel, chapter 1)."""
    counted = pairs.histogram(bulk("Ni", "fcc", a=3.524), 4.5)[0]
    shells = [counted[lower:upper].sum() for lower, upper in ((230, 300), (330, 380), (410, 450))]
    assert shells == pytest.approx([12, 6, 24])


def test_cell_lists_count_what_all_pairs_give():
    rng = np.random.default_rng(3)
    atoms = Atoms("Ni300Zn100", positions=rng.uniform(0, 30, (400, 3)))
    counted = pairs.histogram(atoms, 9.0)
    distances = atoms.get_all_distances()
    below = (distances < 9.0).sum() - 400
    assert counted.sum() == pytest.approx(below, abs=1e-6 * below)
    r = pairs.BIN * np.arange(counted.shape[1])
    near = distances[(distances < 9.0) & (distances > 0)]
    assert (counted.sum(axis=0) @ r**3) == pytest.approx((near**3).sum(), rel=1e-9)


def test_a_crystal_of_two_elements_counts_what_a_neighbor_list_finds():
    """ASE's list of neighbors, to a reach of several cells of a skewed lattice."""
    atoms = bulk("ZnSe", "zincblende", a=5.668)
    atoms.rattle(0.1, seed=1)
    counted = pairs.histogram(atoms, 11.0)
    first, second, apart = neighbor_list("ijd", atoms, 11.0)
    table, r = pairs.rows(2), pairs.BIN * np.arange(counted.shape[1])
    for a, b in ((0, 0), (0, 1), (1, 1)):
        _, kinds = pairs.kinds_of(atoms)
        of = table[kinds[first], kinds[second]] == table[a, b]
        found = counted[table[a, b]]
        assert (found @ r, found @ r**3) == pytest.approx(
            (apart[of].sum(), (apart[of] ** 3).sum()), rel=1e-9
        )


def test_bins_and_ffts_give_the_sum_over_pairs():
    """Debye's sum and its transform by quadrature, with another step of r: 0.03 % of the peak."""
    atoms = bulk("Cu", "fcc", a=3.6, cubic=True) * (2, 2, 2)
    atoms.pbc = False
    atoms.rattle(0.1, seed=1)
    found = Pdf(axes=(Axis("r", "Å", 0.05, 1.5),), shape=(200,), qmin=1.0, qmax=20.0, u=0.003)(
        atoms
    )
    q = np.linspace(1.0, 20.0, 4001)
    apart = atoms.get_all_distances()[np.triu_indices(32, 1)]
    f = 2 / 32 * (np.sin(np.outer(q, apart)) / apart).sum(axis=1) * np.exp(-0.003 * q**2)
    exact = 2 / np.pi * np.trapezoid(f * np.sin(np.outer(found.coordinates(), q)), q, axis=1)
    assert found.data == pytest.approx(exact, abs=1e-3 * exact.max())


def over_q(quantity, atoms, **parameters):
    axes, shape = (Axis("Q", "1/Å", 0.05, 0.0),), (400,)
    found = Pdf(quantity=quantity, axes=axes, shape=shape, **parameters)(atoms)
    assert found.quantity.startswith(quantity)
    return found.coordinates(), found.data


def test_two_atoms_give_f_s_and_i_by_hand():
    """Debye (1915): I per atom is f^2 (1 + sin(Qd)/(Qd) exp(-u Q^2)), f = Z here."""
    pair = Atoms("Ni2", positions=[[0, 0, 0], [0, 0, 2.5]])
    settings = {"u": 0.01, "radiation": "atomic number"}
    q, f = over_q("F", pair, **settings)
    beyond = np.sinc(2.5 * q / np.pi) * np.exp(-0.01 * q**2)  # 1 at Q = 0
    assert f == pytest.approx(q * beyond, abs=1e-5)
    assert over_q("S", pair, **settings)[1] == pytest.approx(1 + beyond, abs=1e-5)
    assert over_q("I", pair, **settings)[1] == pytest.approx(28**2 * (1 + beyond), abs=1e-2)


def test_intensity_is_debyes_sum_over_all_pairs_of_two_elements():
    """Sum over i and j of f_i f_j sin(Q r)/(Q r) exp(-(u_i + u_j) Q^2 / 2), f by periodictable."""
    cluster = bulk("ZnSe", "zincblende", a=5.668, cubic=True) * (2, 1, 1)
    cluster.pbc = False
    cluster.rattle(0.05, seed=1)
    q, found = over_q("I", cluster, u={"Zn": 0.01, "Se": 0.02})
    f = np.array([fxrayatq(symbol, q) for symbol in cluster.get_chemical_symbols()])
    u = np.where(cluster.numbers == 30, 0.01, 0.02)
    exact = (f**2).sum(axis=0)
    for i, j in zip(*np.triu_indices(len(cluster), 1), strict=True):
        wave = np.sinc(q * cluster.get_distance(i, j) / np.pi)
        exact += 2 * f[i] * f[j] * wave * np.exp(-(u[i] + u[j]) * q**2 / 2)
    assert found == pytest.approx(exact / len(cluster), abs=1e-4 * exact.max() / len(cluster))


def test_a_molecules_f_is_twice_that_of_debyecalculator():
    """Version 1.1.1 counts each pair once; the figures agree to 0.2 % rms."""
    q, f = over_q("F", molecule("C60"), u=0.3 * PER_B)
    assert (f[160], f[240]) == pytest.approx((-2.261, -2.785), abs=0.01)
    assert (q[160], q[240]) == pytest.approx((8.0, 12.0))


@pytest.mark.skipif(not CDSE.is_file(), reason="needs ../shared/data")
def test_a_particle_of_two_elements_is_twice_that_of_debyecalculator():
    """Version 1.1.1, the published 91 atoms at B = 0.5 Å²; figures agree to 0.35 % rms of G."""
    atoms = read(CDSE)
    atoms.pbc = False
    found = model(qmin=1.0, qmax=20.0, u=0.5 * PER_B, qdamp=0.06)(atoms)
    assert values(found, (2.63, 4.30, 5.00)) == pytest.approx((2.893, 4.972, 1.845), abs=0.02)
    q, f = over_q("F", atoms, u=0.5 * PER_B)
    assert (q[70], q[100]) == pytest.approx((3.5, 5.0))
    assert (f[70], f[100]) == pytest.approx((1.465, 1.697), abs=0.02)


def test_a_crystals_s_peaks_where_bragg_says():
    """Fcc: 2 pi/a sqrt(3), sqrt(4), sqrt(8) and nothing between (Kittel, chapter 2)."""
    q, s = over_q("S", NICKEL, u=0.005, qdamp=0.05)
    peaks = [k for k in range(1, 110) if s[k] > max(s[k - 1], s[k + 1], 4.0)]
    bragg = 2 * np.pi / 3.524 * np.sqrt([3, 4, 8])
    assert q[peaks] == pytest.approx(bragg, abs=0.03)


@pytest.mark.parametrize("step", [0.05, 0.2])
@pytest.mark.parametrize("periodic", [False, True])
def test_a_gradient_is_that_of_differences(periodic, step):
    """Of Rw by positions, by central differences of 1e-3 Å, to 1 % of the largest."""
    atoms = bulk("ZnSe", "zincblende", a=5.668, cubic=True)
    atoms.pbc = periodic
    atoms.rattle(0.1, seed=3)
    simulate = Pdf(
        axes=(Axis("r", "Å", step, 1.5),), shape=(round(8.0 / step),), qmin=1.0, qmax=14.0,
        u={"Zn": 0.01, "Se": 0.02}, delta2=2.0, zoom=1.01, qdamp=0.05, qbroad=0.01,
        diameter=25.0 if periodic else None,
    )  # fmt: skip
    observed = simulate(atoms)
    atoms.rattle(0.2, seed=4)
    metric = Rw()

    def cost(moved):
        return metric(simulate(moved), observed).cost

    found = simulate.gradient(atoms, metric.slope(simulate(atoms), observed))
    assert found.sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-9)  # nothing depends on place
    for i, axis in ((0, 0), (3, 1), (5, 2)):
        ends = []
        for change in (1e-3, -1e-3):
            moved = atoms.copy()
            moved.positions[i, axis] += change
            ends.append(cost(moved))
        expected = (ends[0] - ends[1]) / 2e-3
        assert found[i, axis] == pytest.approx(expected, abs=0.01 * np.abs(found).max())


def test_moving_an_atom_is_counting_anew():
    rng = np.random.default_rng(4)
    atoms = Atoms("Ni30Zn10", positions=rng.uniform(0, 12, (40, 3)))
    counted = pairs.histogram(atoms, 30.0)
    to = atoms.positions[7] + [0.3, -0.2, 0.5]
    pairs.move(counted, atoms, 7, to)
    atoms.positions[7] = to
    assert counted == pytest.approx(pairs.histogram(atoms, 30.0), abs=1e-9)


@pytest.mark.parametrize(
    ("atoms", "parameters", "said"),
    [
        (NICKEL, {"qmax": None}, "set qmax"),
        (Atoms("Ni2", cell=[5, 9, 9], pbc=(1, 0, 0)), {}, "one direction only"),
        (Atoms("Ni2", positions=[[0, 0, 0], [0, 0, 2]]), {"diameter": 9.0}, "leave it out"),
        (Atoms("Ni"), {}, "one atom"),
        (NICKEL, {"quantity": "F"}, "F.Q. is simulated over Q .* say quantity: G"),
        (NICKEL, {"u": {"Zn": 0.01}}, "give it for Ni"),
        (NICKEL, {"first": -1.0}, "begin at r = -1"),
        (Atoms("Po2", positions=[[0, 0, 0], [0, 0, 3]]), {"radiation": "neutron"}, "Po"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(atoms, parameters, said):
    with pytest.raises(UserError, match=said) as caught:
        model(**parameters)(atoms)
    assert "\n" not in str(caught.value)


def test_pdffit2_agrees_where_it_is_installed():
    """Both programs in one run, on a crystal of two elements; its transform is good to 0.3 %."""
    diffpy = pytest.importorskip("diffpy.pdffit2", reason="pip install diffpy.pdffit2==1.5.1")
    structure = pytest.importorskip("diffpy.structure")
    places = zip(
        ZINC_SELENIDE.get_chemical_symbols(), ZINC_SELENIDE.get_scaled_positions(), strict=True
    )
    cell = structure.Structure(
        [structure.Atom(symbol, place) for symbol, place in places],
        structure.Lattice(5.668, 5.668, 5.668, 90, 90, 90),
    )
    cell.Uisoequiv = 0.008
    engine = diffpy.PdfFit()
    engine.add_structure(cell)
    engine.alloc("N", 20.0, 0.03, 1.0, 10.99, 1000)
    engine.calc()
    theirs = np.array(engine.getpdf_fit())
    ours = model(qmax=20.0, u=0.008, qdamp=0.03, radiation="neutron")(ZINC_SELENIDE).data
    assert np.sqrt(np.mean((ours - theirs) ** 2) / np.mean(theirs**2)) < 0.01
