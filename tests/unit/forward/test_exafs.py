"""EXAFS: the published sum of paths, what is kept, what is compared, what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.cluster import Octahedron
from ase.io import write

from htinvert.core import EvaluationFailed, Signal, UserError
from htinvert.forward import kept_files
from htinvert.forward.exafs import feff, kept, multiple, tables
from htinvert.forward.exafs.model import Exafs
from htinvert.forward.exafs.neighborhood import neighborhoods
from htinvert.forward.exafs.paths import chi
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


@pytest.fixture(scope="module")
def copper(tmp_path_factory):
    """FEFF's 14 paths of copper up to 5.2 Å by its own default criteria."""
    (hood,) = neighborhoods(COPPER, 29, 7.5)
    folder = tmp_path_factory.mktemp("copper")
    text = feff._input(hood, feff.Settings(reach=5.2, criterion=0.0), (29,), "1 1 1 0")
    (folder / "feff.inp").write_text(text.replace("CRITERIA 0 0", "CRITERIA 4 2.5", 1))
    feff.run(folder, 60.0)
    return feff.read_paths(sorted(folder.glob("feff0*.dat")))


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
    multiple._table.cache_clear()
    return counted


def model(**parameters):
    return Exafs(**{"kmin": 3.0, "kmax": 14.0, "rmax": 4.2, "sigma2": 0.005} | parameters)


def test_the_sum_over_copper_is_the_published_table(copper):
    """xraylarch 2026.3.1: ff2chi of these 14 paths, sigma2 0.003, and of the first alone."""
    k = np.array([3, 4, 5, 6, 8, 10, 12, 14])
    every = [-0.00911, -0.03307, 0.04021, 0.04138, 0.00101, -0.01721, -0.00955, -0.00745]
    first = [-0.01182, -0.06481, 0.02820, 0.07691, -0.01873, -0.00348, 0.00617, -0.00409]
    places = np.round(k / 0.05).astype(int) - 1
    found = chi(copper, GRID, sigma2=np.full(14, 0.003))
    assert found[places] == pytest.approx(every, abs=2e-5)
    one = replace(copper, degeneracy=copper.degeneracy * (np.arange(14) == 0))
    assert chi(one, GRID, sigma2=np.full(14, 0.003))[places] == pytest.approx(first, abs=2e-5)


def test_feff_never_runs_twice_for_one_neighborhood_also_in_another_process(runs):
    cluster = Octahedron("Cu", 3, 1)
    first = model()(cluster)
    assert len(runs) == 2
    turned = cluster.copy()
    turned.rotate(31.0, (1, 2, 3))
    model(e0=3.0)(turned[::-1])
    assert len(runs) == 2
    kept._known.clear()  # as in a process that resumes
    again = model()(cluster[::-1])
    assert len(runs) == 2
    assert again.data == pytest.approx(first.data, abs=1e-3)


def test_tables_agree_with_all_of_feffs_paths_and_are_made_once(runs, monkeypatch, tmp_path):
    """Three in a row and one above, off the tables' places: beyond 2.8 Å most is multiple."""
    write(tmp_path / "Cu.cif", COPPER)
    cluster = Atoms("Cu4", [(0, 0, 0), (2.59, 0.11, 0), (5.11, 0, 0), (1.33, 2.21, 0)])
    asked = []

    def counting(routes, *arguments, **keys):
        asked.append(len(routes))
        return feff.routed(routes, *arguments, **keys)

    monkeypatch.setattr(kept, "routed", counting)
    by = {"reference": tmp_path / "Cu.cif", "rmin": 2.8, "rmax": 5.0, "reach": 5.3}
    full, ours, single = (
        model(scattering=one, criterion=0.5, **by)(cluster).data.astype(float)
        for one in ("full", "tables", "single")
    )
    assert ((ours - full) ** 2).sum() < 0.01 * (full**2).sum()
    assert ((single - full) ** 2).sum() > (full**2).sum()
    before = (len(runs), sum(asked))
    multiple._table.cache_clear()  # as in a process that resumes
    cluster.rotate(31.0, (1, 2, 3))
    again = model(scattering="tables", **by)(cluster)
    assert (len(runs), sum(asked)) == before
    assert again.data == pytest.approx(ours, abs=1e-4)


def test_a_damaged_file_is_made_anew(runs, tmp_path):
    model()(COPPER)
    (file,) = (tmp_path / "cache").rglob("*.npz")
    file.write_bytes(file.read_bytes()[:100])
    kept._known.clear()
    structure = COPPER.repeat((2, 1, 1))
    model()(structure)
    assert len(runs) == 2


def test_the_folder_stays_below_its_bound(tmp_path):
    folder = tmp_path / "cache" / "htinvert" / "feff"
    for a in (3.5, 3.6, 3.7):
        model()(bulk("Cu", "fcc", a=a))
    files = list(folder.glob("*/*.npz"))
    assert len(files) == 3
    kept_files.bound(folder, sum(file.stat().st_size for file in files) - 1)
    assert len(list(folder.glob("*/*.npz"))) == 2


def test_a_mirror_image_is_the_same_neighborhood_and_another_element_is_not():
    atoms = SULFIDE.repeat(2)
    atoms.rattle(0.1, seed=2)
    mirrored = atoms.copy()
    mirrored.positions[:, 0] *= -1
    mirrored.set_cell(atoms.cell.array * [-1, 1, 1])
    keys = [[hood.key for hood in neighborhoods(one, 30, 4.0)] for one in (atoms, mirrored)]
    assert keys[0] == keys[1]
    atoms.numbers[1] = 34
    assert [hood.key for hood in neighborhoods(atoms, 30, 4.0)] != keys[0]


@pytest.fixture
def sulfide(tmp_path):
    write(tmp_path / "ZnS.cif", SULFIDE)
    return tmp_path / "ZnS.cif"


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"absorber": "Cu"}, "no Cu"),
        ({"absorber": "Zn", "atoms": "ZnO"}, "no O near its absorbers"),
        ({"absorber": "Zn", "reference": "absent.cif"}, "no reference"),
        ({"absorber": "Zn", "reference": "broken.cif"}, "not read"),
    ],
)
def test_a_reference_that_does_not_fit_is_said(sulfide, parameters, sentence):
    (sulfide.parent / "broken.cif").write_text("nothing")
    given = dict(parameters)
    reference = sulfide.with_name(given.pop("reference", sulfide.name))
    atoms = bulk(given.pop("atoms", "ZnS"), "zincblende", a=5.0)
    atoms.numbers[atoms.numbers == 16] = 29 if parameters["absorber"] == "Cu" else 16
    with pytest.raises(UserError, match=sentence):
        model(**given, reference=reference, scattering="single")(atoms)


def test_an_absorber_without_neighbors_is_a_reason():
    with pytest.raises(EvaluationFailed, match="no neighbor"):
        model()(Atoms("Cu"))


def test_a_hang_and_a_crash_of_feff_are_reasons(monkeypatch, tmp_path):
    program = tmp_path / "feff6l"
    monkeypatch.setattr(feff, "program", lambda: program)
    for script, reason in (
        ("sleep 60", "timed out"),
        ("kill -SEGV $$", "crashed: FEFF ended with SIGSEGV"),
        ("echo no luck", "no path: no luck"),
        ("echo nonsense > paths.dat", "garbage"),
    ):
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        with pytest.raises(EvaluationFailed, match=reason):
            model(seconds=1.0)(COPPER)


def test_without_xraylarch_the_extra_is_named(monkeypatch):
    feff.program.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install "htinvert\[xas\]"'):
        model()(COPPER)
    feff.program.cache_clear()


def curve(values, k=None):
    places = STEP * np.arange(1, len(values) + 1) if k is None else k
    return Signal.curve(places, values, name="k", unit="1/Å")


def test_a_filtered_curve_has_the_r_factor_of_the_complex_transform():
    """Parseval's theorem: of what lies within the limits of R both parts count."""
    rng = np.random.default_rng(1)
    k = STEP * np.arange(1, 360)
    smooth = np.sin(2 * 2.5 * k) + 0.4 * np.sin(2 * 4.1 * k + 1.0)
    noisy = smooth + 0.3 * np.sin(2 * 3.0 * k) + 0.05 * rng.normal(size=len(k))
    limits = {"k": (3.0, 16.0), "weight": 2, "dk": 2.0, "window": "hanning", "r": (1.5, 5.0)}
    filtered = [Reduction(compare="q", **limits).compared(STEP, v)[2] for v in (smooth, noisy)]
    found = ((filtered[1] - filtered[0]) ** 2).sum() / (filtered[0] ** 2).sum()
    r = np.pi / (0.05 * 2048) * np.arange(1024)
    inside = (r >= 1.5) & (r <= 5.0)
    windowed = [v * k**2 * taper(k, (3.0, 16.0), 2.0, "hanning") for v in (smooth, noisy)]
    whole = [np.fft.fft(np.concatenate([[0.0], v]), 2048)[:1024][inside] for v in windowed]
    expected = (abs(whole[1] - whole[0]) ** 2).sum() / (abs(whole[0]) ** 2).sum()
    assert found == pytest.approx(expected, rel=0.02)


def test_data_and_simulation_are_reduced_alike():
    truth = model(compare="k", weight=0, kmin=1.0, kmax=19.0, e0=2.0)(COPPER)
    k = truth.coordinates()
    for compare in ("k", "R", "q"):
        ours, observed = model(compare=compare, e0=2.0).reduced(curve(truth.data, k))
        simulated = ours(COPPER)
        assert simulated.axes == observed.axes
        assert simulated.data == pytest.approx(observed.data, abs=1e-3)


def test_without_kmax_the_data_say_how_far():
    ours, observed = model(kmax=None).reduced(curve(np.ones(300)))
    assert ours.kmax == pytest.approx(14.0)
    assert observed.coordinates()[-1] == pytest.approx(15.0)


@pytest.mark.parametrize(
    ("parameters", "atoms", "sentence"),
    [
        ({"absorber": "Fe"}, COPPER, "no Fe, the absorber"),
        ({}, SULFIDE, "name the absorber, one of S, Zn"),
        ({"kmax": None}, COPPER, "kmax"),
        ({"sigma2": {"Zn1": 0.004}}, COPPER, "give it for Cu1"),
    ],
)
def test_what_cannot_be_simulated_is_said(parameters, atoms, sentence):
    with pytest.raises(UserError, match=sentence):
        model(**parameters)(atoms)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"edge": "M1"}, "edge"),
        ({"window": "box"}, "hanning"),
        ({"compare": "r"}, "k, R, q"),
        ({"rmin": 5.0}, "rmax"),
        ({"kmin": 12.0}, "kmax"),
        ({"absorber": "Xx"}, "element"),
        ({"theta": 300.0}, "temperature"),
        ({"scattering": "single"}, "reference"),
        ({"scattering": "double"}, "full, tables, single"),
        ({"scattering": "tables", "reference": "cu.cif", "absorbers": 8}, "leave absorbers"),
        ({"sigma2": {"Cu": 1.0}}, r"sigma2\.Cu is 1.0 but"),
    ],
)
def test_a_wrong_parameter_is_refused(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        model(**wrong)
