"""EXAFS beside larch and FEFF: sums, motion, averages over absorbers, tables of a reference."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.cluster import Decahedron, Octahedron
from ase.io import write
from ase.optimize import BFGS

from htinvert.forward.exafs import feff, kept, tables
from htinvert.forward.exafs.model import AROUND, Exafs
from htinvert.forward.exafs.motion import debye
from htinvert.forward.exafs.neighborhood import neighborhoods
from htinvert.forward.exafs.paths import Paths, chi
from htinvert.forward.exafs.transform import STEP, Reduction, taper

pytest.importorskip("larch", reason="pip install htinvert[xas]")

COPPER = bulk("Cu", "fcc", a=3.61)
SULFIDE = bulk("ZnS", "zincblende", a=5.41)
GRID = (0.05, 0.05, 400)


@pytest.fixture(autouse=True)
def own_memory(tmp_path, monkeypatch):
    """An empty folder and an empty memory of paths."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(kept, "_known", type(kept._known)())
    monkeypatch.setattr("htinvert.forward.exafs.model._merged", type(kept._known)())


@pytest.fixture
def runs(monkeypatch):
    """How often FEFF ran."""
    counted = []

    def counting(*arguments, **keys):
        counted.append(arguments)
        return feff.scattering_paths(*arguments, **keys)

    monkeypatch.setattr(kept, "scattering_paths", counting)
    tables._reference.cache_clear()
    tables._tables.cache_clear()
    return counted


def model(**parameters):
    return Exafs(**{"kmin": 3.0, "kmax": 14.0, "rmax": 4.2, "sigma2": 0.005} | parameters)


@pytest.fixture
def sulfide(tmp_path):
    write(tmp_path / "ZnS.cif", SULFIDE)
    return tmp_path / "ZnS.cif"


def r_factor(found, expected):
    scale = (found @ expected) / (found @ found)
    return float(((scale * found - expected) ** 2).sum() / (expected**2).sum())


def test_the_sum_with_all_parameters_is_that_of_larch(tmp_path):
    from larch.xafs import feffpath, ff2chi

    (hood,) = neighborhoods(SULFIDE, 30, 7.0)
    (tmp_path / "feff.inp").write_text(
        feff._input(hood, feff.Settings(reach=4.6), feff.elements_of(hood), "1 1 1 0")
    )
    feff.run(tmp_path, 60.0)
    files = sorted(tmp_path.glob("feff0*.dat"))
    theirs = [feffpath(str(file)) for file in files]
    for path in theirs:
        path.s02, path.e0, path.sigma2, path.deltar = 1.0, 3.0, 0.006, 0.01 * path.reff
        path.third = 1e-4
    k = GRID[0] + GRID[1] * np.arange(GRID[2])
    expected = ff2chi(theirs, k=k).chi
    paths = feff.read_paths(files)
    found = chi(paths, GRID, sigma2=np.full(len(paths), 0.006), e0=3.0, zoom=1.01,
                third=np.full(len(paths), 1e-4))  # fmt: skip
    assert found[40:] == pytest.approx(expected[40:], abs=2e-5)


@pytest.mark.parametrize(("theta", "temperature"), [(315.0, 10.0), (200.0, 300.0), (900.0, 0.01)])
@pytest.mark.parametrize("atoms", [COPPER, SULFIDE], ids=str)
def test_debye_is_that_of_feff(atoms, theta, temperature):
    from ase.data import atomic_masses
    from larch.xafs.sigma2_models import sigma2_correldebye

    hood = neighborhoods(atoms, atoms.numbers[0], 7.0)[0]
    paths = feff.scattering_paths(hood, feff.Settings(reach=4.6))[0]
    expected = []
    for n, places, numbers in zip(paths.legs, paths.places, paths.numbers, strict=True):
        x, masses = places[:n].T, atomic_masses[numbers[:n]]
        expected.append(sigma2_correldebye(int(n), temperature, theta, paths.norman[0], *x, masses))
    assert debye(paths, theta, temperature) == pytest.approx(expected, rel=2e-4)


def test_merged_paths_add_up_to_the_same():
    """A relaxed cluster's 38 absorbers: the R-factor between both sums is below 1e-4."""
    cluster = Octahedron("Cu", 4, 1)
    cluster.rattle(0.05, seed=1)
    hoods = neighborhoods(cluster, 29, 6.0)[:6]
    parts = [feff.scattering_paths(hood, feff.Settings(reach=4.2))[0] for hood in hoods]
    whole = Paths.stacked(parts, [1 / 6] * 6)
    merged = whole.merged()
    assert len(merged) < len(whole) / 2
    k = GRID[0] + GRID[1] * np.arange(GRID[2])
    both = [
        chi(paths, GRID, sigma2=np.full(len(paths), 0.004), e0=4.0, zoom=1.01) * k**2
        for paths in (whole, merged)
    ]
    seen = (k > 3) & (k < 17)
    off = ((both[1] - both[0])[seen] ** 2).sum() / (both[0][seen] ** 2).sum()
    assert off < 1e-4


@pytest.mark.parametrize("motion", [{"sigma2": 0.004}, {"theta": 315.0, "temperature": 80.0}])
def test_absorbers_with_potentials_of_their_own_add_up_to_the_same(motion):
    """Their electrons get unequally far, and what comes back to one atom moves otherwise."""
    cluster = Decahedron("Cu", 2, 4, 0)
    cluster.calc = EMT()
    BFGS(cluster, logfile=None).run(fmax=0.01)
    one = model(**motion, kmin=1.0, compare="k", weight=0, e0=3.0)
    k, apart = one(cluster).coordinates(), 0.0
    for hood in neighborhoods(cluster, 29, one._settings().reach + AROUND):
        paths = feff.scattering_paths(hood, one._settings())[0]
        apart += chi(paths, (1.0, STEP, len(k)), sigma2=one._sigma2(paths), e0=3.0) / len(cluster)
    seen = k > 3.0
    assert r_factor((one(cluster).data * k**2)[seen], (apart * k**2)[seen]) < 0.008**2


def test_an_average_is_that_of_all_absorbers_by_hand():
    cluster = Octahedron("Cu", 3, 1)  # 13 atoms: the central one and twelve that are alike
    hoods = neighborhoods(cluster, 29, 4.2 + 3.3)
    assert len({hood.key for hood in hoods}) == 2
    ours = model(compare="k")
    each = [feff.scattering_paths(hood, ours._settings())[0] for hood in hoods]
    k = (3.0, 0.05, 221)
    expected = sum(chi(paths, k, sigma2=np.full(len(paths), 0.005)) for paths in each) / 13
    expected *= (k[0] + k[1] * np.arange(k[2])) ** 2
    off = ((ours(cluster).data - expected) ** 2).sum() / (expected**2).sum()
    assert off < 2e-4  # the R-factor between them


def test_equal_neighborhoods_have_equal_paths_however_they_are_turned():
    """FEFF takes an element's potential from the first of its atoms in the list."""
    cluster = Octahedron("Cu", 3, 1)
    hoods = neighborhoods(cluster, 29, 6.0)
    norms = {hood.key: set() for hood in hoods}
    for hood in hoods:
        paths = feff.scattering_paths(hood, feff.Settings(reach=4.2))[0]
        norms[hood.key].add((len(paths), float(paths.norman[0])))
    assert all(len(found) == 1 for found in norms.values())


def test_a_sample_of_absorbers_is_near_the_average_of_all(runs):
    cluster = Octahedron("Cu", 3, 1)
    cluster.rattle(0.02, seed=1)
    whole = model(rmax=3.2, legs=2)(cluster).data
    assert len(runs) == 13
    part = model(rmax=3.2, legs=2, absorbers=5)(cluster).data
    assert len(runs) == 13  # all of them were known
    assert 0 < np.abs(part - whole).max() < 0.5 * np.abs(whole).max()


@pytest.fixture
def calculated(monkeypatch):
    """How many paths FEFF calculated in each run."""
    counted, every = [], feff.routed

    def counting(routes, *arguments, **keys):
        counted.append(len(routes))
        return every(routes, *arguments, **keys)

    monkeypatch.setattr(feff, "routed", counting)
    return counted


@pytest.mark.parametrize(("atoms", "absorber"), [(COPPER, "Cu"), (SULFIDE, "Zn")])
def test_a_signal_does_not_jump_where_a_structure_becomes_symmetric(atoms, absorber, calculated):
    """Rw below 0.01 for 0.002 Å, where paths that were equal differ and each is weak."""
    atoms = atoms.repeat(3)
    ours = model(absorber=absorber, absorbers=2, rmax=4.5)
    symmetric = ours(atoms).data.astype(float)
    (few,) = calculated
    atoms.rattle(0.002, seed=1)
    assert r_factor(ours(atoms).data.astype(float), symmetric) < 1e-4
    assert max(calculated) < 2 * few


@pytest.mark.parametrize(("atoms", "absorber"), [(COPPER, "Cu"), (SULFIDE, "S")])
def test_like_paths_that_share_an_amplitude_make_the_signal_of_all(atoms, absorber, calculated):
    atoms = atoms.repeat(3)
    atoms.rattle(0.06, seed=1)
    limits = {"absorber": absorber, "absorbers": 2, "rmax": 4.5}
    all_of_them = model(**limits, criterion=0.0)(atoms).data.astype(float)
    found = model(**limits)(atoms).data.astype(float)
    assert 0 < r_factor(found, all_of_them) < 1e-3
    assert sum(calculated[2:]) < 0.25 * sum(calculated[:2])


@pytest.mark.parametrize("absorber", ["Zn", "S"])
def test_tables_of_single_scattering_are_feffs_own_paths(sulfide, absorber):
    """With the same phase shifts, in a crystal that is smaller and out of order."""
    atoms = bulk("ZnS", "zincblende", a=5.3, cubic=True)
    atoms.rattle(0.05, seed=1)
    shared = {"absorber": absorber, "reference": sulfide, "rmax": 3.5}
    exact = model(**shared, legs=2, criterion=0.0)(atoms).data
    assert r_factor(model(**shared, scattering="single")(atoms).data, exact) < 1e-3


def test_after_the_tables_no_structure_needs_feff(sulfide, runs):
    fast = model(absorber="Zn", reference=sulfide, rmax=3.5, scattering="single")
    first = fast(SULFIDE)
    ran = len(runs)
    assert ran == 3  # phase shifts, tables of zinc and of sulfur
    strained = bulk("ZnS", "zincblende", a=5.5)
    assert np.abs(fast(strained).data - first.data).max() > 0.1
    kept._known.clear()
    fast(SULFIDE.repeat(2))
    assert len(runs) == ran


def test_phase_shifts_of_a_reference_change_the_signal_little(tmp_path):
    """R-factor below 0.005 to FEFF with every neighborhood's own, in a cluster out of order."""
    cluster = Octahedron("Cu", 3, 1)
    atoms = Atoms(cluster.get_chemical_symbols(), positions=cluster.positions)
    write(tmp_path / "perfect.xyz", atoms)
    atoms.rattle(0.08, seed=2)
    own = model(rmax=3.5)(atoms).data
    shared = model(rmax=3.5, reference=tmp_path / "perfect.xyz")(atoms).data
    assert 0 < r_factor(shared, own) < 0.005


@pytest.mark.parametrize("window", ["hanning", "parzen", "welch"])
def test_windows_and_the_transform_are_those_of_larch(window):
    from larch import Group
    from larch.xafs import ftwindow, xftf

    k = STEP * np.arange(0, 360)
    theirs = ftwindow(k, xmin=3.0, xmax=16.0, dx=2.0, dx2=2.0, window=window)
    assert taper(k, (3.0, 16.0), 2.0, window) == pytest.approx(theirs, abs=1e-6)
    values = np.sin(5 * k) / np.maximum(k, 0.1) ** 2
    group = Group()
    xftf(k, values, group=group, kmin=3, kmax=16, dk=2, window=window, kweight=2, kstep=STEP)
    reduction = Reduction("R", (3.0, 16.0), 2, 2.0, window, (1.0, 5.0))
    start, step, found = reduction.compared(STEP, values[1:])
    places = np.round((start + step * np.arange(len(found))) / step).astype(int)
    assert found == pytest.approx(group.chir_re[places], abs=1e-6)


def test_an_element_that_no_path_reaches_may_be_missing_from_the_reference(sulfide):
    corners = 2.34 / np.sqrt(3) * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    molecule = Atoms("ZnS4", positions=[[0, 0, 0], *corners])
    ours = model(absorber="Zn", reference=sulfide, rmax=3.5)
    alone = ours(molecule).data
    with_oxygen = molecule + Atoms("O", positions=[[5.5, 0, 0]])
    assert ours(with_oxygen).data == pytest.approx(alone, abs=1e-6)
