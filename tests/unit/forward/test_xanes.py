"""Near-edge spectra: inputs and outputs of three programs, widths, edges of data, mistakes.

The recorded files are of runs on magnesium oxide: FEFF 10.0.0 without self-consistency, and
xspectra.x 6.7 (every fourth point) in a cell of eight atoms. FDMNES's heading is that of its
revision of January 2022.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from htinvert.core import EvaluationFailed, Signal, UserError
from htinvert.forward.xanes import absorber as asked
from htinvert.forward.xanes.absorber import Absorber
from htinvert.forward.xanes.fdmnes import Fdmnes, read_out
from htinvert.forward.xanes.feff import Feff, read_xmu
from htinvert.forward.xanes.model import Xanes
from htinvert.forward.xanes.unbroadened import Unbroadened, broadened
from htinvert.forward.xanes.xspectra import core_state, ld1_input

pytest.importorskip("xraydb", reason="pip install htinvert[xas]")

FOUND = importlib.util.find_spec
RECORDED = Path(__file__).parent / "recorded"
OXIDE = bulk("MgO", "rocksalt", a=4.212)
FDMNES = """# FDMNES program, Revision 20th of January 2022
 543.100    8  1  1     0.00000   -19.30749    -5.01332  1  1 = E_edge, Z, n_edge, j_edge, \
Abs_before_edge, VO_interstitial, E_Fermi, ninitl, ninit1
    Energy    <xanes>
"""


@pytest.fixture(autouse=True)
def own_memory(tmp_path, monkeypatch):
    """An empty folder and an empty memory of spectra, and no program but the test's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(asked, "_known", type(asked._known)())
    monkeypatch.setattr("importlib.util.find_spec", _without_feff10)
    for name in ("FEFF", "FDMNES", "PW", "LD1", "XSPECTRA"):
        monkeypatch.delenv(f"HTINVERT_{name}", raising=False)


def _without_feff10(name):
    return None if name == "feff10" else FOUND(name)


@pytest.fixture
def feff(tmp_path):
    """A program that counts its runs and writes what FEFF10 once wrote."""
    return script(
        tmp_path / "feff", f"echo run >> {tmp_path}/runs; cp {RECORDED}/mgo_feff10_xmu.dat xmu.dat"
    )


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def oxygen(atoms=OXIDE, above=40.0, index=1):
    (hood,) = asked_hoods(atoms)
    return Absorber(atoms, index, "K", hood, above)


def asked_hoods(atoms):
    from htinvert.forward.exafs.neighborhood import neighborhoods

    return neighborhoods(atoms, 8, 4.0)


def edge_data(*, at=540.0, slope=0.0, background=0.0, noise=0.0):
    """An edge at 540 eV with two peaks, on what lies before it."""
    energy = np.arange(480.0, 600.0, 0.25)
    step = 0.5 + np.arctan((energy - at) / 0.4) / np.pi
    peaks = np.exp(-(((energy - at - 3.0) / 1.0) ** 2)) + 0.6 * np.exp(
        -(((energy - at - 12.0) / 2.0) ** 2)
    )
    values = step * (1.0 + peaks) + background + slope * (energy - 480.0)
    values += noise * np.random.default_rng(1).normal(size=len(energy))
    return Signal.curve(energy, values, name="energy", unit="eV", quantity="mu")


def test_feff_is_read_from_the_fermi_level_on_and_its_own_width_is_known():
    found = read_xmu(RECORDED / "mgo_feff10_xmu.dat")
    lines = [line.split() for line in (RECORDED / "mgo_feff10_xmu.dat").read_text().splitlines()]
    rows = np.array([words for words in lines if not words[0].startswith("#")], dtype=float)
    edge = np.interp(0.0, rows[:, 2], rows[:, 0])
    assert found.width == pytest.approx(0.1559)  # eV, as its heading says
    assert found.energy[-1] == pytest.approx(rows[-1, 0] - edge)
    assert found.energy[np.argmax(found.values)] == pytest.approx(552.4 - edge, abs=0.6)
    assert found.values[found.energy > found.energy[-1] - 10.0].mean() == pytest.approx(1.0)


def test_xspectra_is_read_and_scaled(tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    potential = (
        "<PP_R size='2'>\n0.1 0.2\n</PP_R><PP_GIPAW_CORE_ORBITAL.1 l='0'>\n1.0 0.5\n"
        "</PP_GIPAW_CORE_ORBITAL.1>"
    )
    (tmp_path / "upf").mkdir()
    (tmp_path / "upf" / "Mg.pz.UPF").write_text("magnesium")
    commands = {
        "ld1.x": script(
            folder / "ld1.x", f'for f in full hole; do echo "{potential}" > $f.UPF; done'
        ),
        "pw.x": script(folder / "pw.x", f"cat > {tmp_path}/pw.in; ls Mg.pz.UPF hole.UPF"),
        "xspectra.x": script(
            folder / "xspectra.x",
            f"cat > {tmp_path}/xs.in; cat core.wfc; cp {RECORDED}/mgo_xspectra_xanes.dat xanes.dat",
        ),
    }
    model = Xanes(
        absorber="O", program="xspectra", command=commands, pseudopotentials=tmp_path / "upf",
        xc="LDA", size=4.0,
    )  # fmt: skip
    found = model.unbroadened(OXIDE)
    peak = found.energy[np.argmax(found.values)]
    assert peak == pytest.approx(10.1, abs=0.2)  # eV above the highest occupied level
    written = (tmp_path / "pw.in").read_text()
    assert "nat = 16, ntyp = 3, tot_charge = 1.0" in written.replace("\n", " ")
    species = written[written.index("ATOMIC_SPECIES") :].splitlines()
    assert species[1].startswith("Oh 15.999 hole.UPF")
    assert written[written.index("ATOMIC_POSITIONS") :].splitlines()[1].startswith("Oh ")
    assert "xiabs = 1" in (tmp_path / "xs.in").read_text()


def test_fdmnes_is_read_above_its_fermi_level(tmp_path):
    energy = np.arange(-20.0, 60.0, 0.5)
    rows = "".join(f"{e:10.3f} {1e-2 * (2 + np.sin(e)):.7E}\n" for e in energy)
    (tmp_path / "out.txt").write_text(FDMNES + rows)
    found = read_out(tmp_path / "out.txt")
    assert found.energy[0] == pytest.approx(5.01332 - 5.0)
    inside = energy >= -5.0
    assert found.values / found.values.max() == pytest.approx(
        (2 + np.sin(energy[inside])) / (2 + np.sin(energy[inside])).max(), rel=1e-4
    )


def test_a_half_written_output_is_a_reason(tmp_path):
    (tmp_path / "xmu.dat").write_text("# nothing yet\n")
    for read, text, words in (
        (read_xmu, "# nothing yet\n", "no spectrum"),
        (read_out, "0 1\n1 1\n2 1\n3 2\n4 2\n5 2\n", "no heading"),
        (read_out, FDMNES + "0.0 NaN\n1 1\n2 1\n3 1\n4 1\n", "no numbers"),
    ):
        (tmp_path / "out").write_text(text)
        with pytest.raises(EvaluationFailed, match=words):
            read(tmp_path / "out")


def test_inputs_name_the_absorber_and_number_potentials_without_gaps():
    text = Feff(radius=3.0).written(oxygen())
    lines = text.splitlines()
    assert "EDGE K" in lines and "FMS 3.000 0" in lines
    potentials = lines[lines.index("POTENTIALS") + 1 : lines.index("ATOMS")]
    assert [line.split()[:2] for line in potentials] == [["0", "8"], ["1", "8"], ["2", "12"]]
    atoms = [line.split() for line in lines[lines.index("ATOMS") + 1 : -1]]
    assert [one[3] for one in atoms].count("0") == 1 and atoms[0][:3] == ["0.00000"] * 3
    card = next(line for line in lines if line.startswith("XANES"))
    assert float(card.split()[1]) ** 2 / 0.2625 == pytest.approx(40.0, rel=1e-3)  # eV
    assert "SCF 4.000 0 30 0.2 1" in Feff(3.0, consistent=4.0).written(oxygen())

    text = Fdmnes(radius=3.0).written(oxygen())
    assert "Absorber\n2\n" in text and "Crystal\n2.978" in text and "Green" in text
    assert "Green" not in Fdmnes(3.0, finite_differences=True).written(oxygen())
    molecule = Atoms("CO", positions=[[0, 0, 0], [0, 0, 1.13]])
    assert "Molecule\n1.0 1.0 1.0 90 90 90\n6 0.0" in Fdmnes(3.0).written(oxygen(molecule))

    hole, full = (ld1_input("O", electrons, "x.UPF", "LDA") for electrons in (1, 2))
    assert "config = '1s1 2s2 2p4 3s-1 3p-1'" in hole and "'1s2 2s2" in full


def test_a_core_state_is_what_the_potential_holds(tmp_path):
    (tmp_path / "x.UPF").write_text("<PP_R>1 2</PP_R>")
    with pytest.raises(UserError, match="no core states"):
        core_state(tmp_path / "x.UPF")


def test_a_program_runs_once_for_equal_neighborhoods_also_after_a_resume(feff, tmp_path):
    model = Xanes(absorber="O", command=feff, radius=3.0)
    first = model.unbroadened(OXIDE.repeat(2))
    assert (tmp_path / "runs").read_text().count("run") == 1
    asked._known.clear()  # as in another process
    turned = OXIDE.copy()
    turned.rotate(30, "x", rotate_cell=True)
    again = model.unbroadened(turned)
    assert (tmp_path / "runs").read_text().count("run") == 1
    assert again.values == pytest.approx(first.values)
    moved = OXIDE.repeat((2, 1, 1))
    moved.positions[0] += 0.1
    model.unbroadened(moved)
    assert (tmp_path / "runs").read_text().count("run") == 3  # two more different oxygen


def test_a_hang_and_a_crash_are_reasons(tmp_path):
    for text, reason in (
        ("sleep 60", "timed out: feff gave no answer within 1 s"),
        ("kill -SEGV $$", "crashed: feff ended with SIGSEGV"),
        ("echo no luck; exit 3", "exit status 3 .no luck."),
        ("true", "no spectrum"),
    ):
        model = Xanes(absorber="O", command=script(tmp_path / "feff", text), seconds=1.0)
        with pytest.raises(EvaluationFailed, match=reason):
            model.unbroadened(OXIDE)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ({"program": "feff"}, r"no feff; `pip install feff10-rs`, or set command or HTINVERT_FEFF"),
        ({"program": "fdmnes"}, r"no fdmnes; get it from https://fdmnes.neel.cnrs.fr"),
        ({"program": "xspectra"}, "no pw.x; `apt-get install quantum-espresso`"),
    ],
)
def test_a_missing_program_is_one_sentence(program, words, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    more = {"pseudopotentials": tmp_path} if program["program"] == "xspectra" else {}
    with pytest.raises(UserError, match=words):
        Xanes(absorber="O", **program, **more).check_reach(OXIDE)


def test_what_quantum_espresso_cannot_do_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path), os.environ["PATH"]]))
    for name in ("pw.x", "ld1.x", "xspectra.x"):
        script(tmp_path / name, "true")
    for atoms, keys, words in (
        (OXIDE, {"absorber": "Mg"}, "a core hole is made in B, C, N, O, F, not in Mg"),
        (OXIDE, {"absorber": "O"}, "has 0 UPF files of Mg"),
        (OXIDE, {"absorber": "O", "edge": "L3"}, "asked for K edges, not L3"),
        (Atoms("O"), {"absorber": "O"}, "needs a cell"),
    ):
        model = Xanes(program="xspectra", pseudopotentials=tmp_path, **keys)
        with pytest.raises(UserError, match=words):
            model.check_reach(atoms)


def test_widths_broaden_as_they_say():
    """A line of Lorentz and Gauss widths has their full widths at half maximum."""
    energy = np.arange(-5.0, 60.0, 0.05)
    line = Unbroadened(energy, np.exp(-(((energy - 20.0) / 0.05) ** 2)))
    at = np.arange(0.0, 40.0, 0.02)
    for keys, width in (
        ({"lifetime": 2.0, "growth": 0.0, "resolution": 0.0}, 2.0),
        ({"lifetime": 0.0, "growth": 0.0, "resolution": 2.0}, 2.0),
        ({"lifetime": 1.0, "growth": 0.1, "resolution": 0.0}, 3.0),
    ):
        values = broadened(line, at, **keys)
        inside = at[values > values.max() / 2]
        assert inside[-1] - inside[0] == pytest.approx(width, rel=0.1)
        assert at[np.argmax(values)] == pytest.approx(20.0, abs=0.6)


def test_what_a_program_has_broadened_is_not_broadened_again():
    step = np.ones(200)
    already = Unbroadened(np.arange(200) * 0.25, step, width=1.5)
    at = np.arange(-5.0, 20.0, 0.25)
    bare = Unbroadened(already.energy, step)
    keys = {"growth": 0.0, "resolution": 0.0}
    assert broadened(already, at, lifetime=2.0, **keys) == pytest.approx(
        broadened(bare, at, lifetime=0.5, **keys)
    )


@pytest.mark.parametrize("slope", [0.0, 0.004])
def test_the_edge_is_found_and_what_lies_before_it_taken_off(slope):
    model, kept = Xanes(absorber="O").reduced(edge_data(slope=slope, background=0.7, noise=0.005))
    assert model.edge_energy == pytest.approx(540.0, abs=1.0)
    pure = edge_data()
    x = kept.coordinates()
    expected = np.interp(x, pure.coordinates(), pure.data)
    assert kept.data == pytest.approx(expected, abs=0.06)
    assert x[0] == pytest.approx(model.edge_energy - 10.0, abs=0.3)


def test_an_edge_of_energy_loss_stands_on_a_power_law():
    pure = edge_data()
    energy = pure.coordinates()
    counts = 1e4 * pure.data + 5e4 * (energy / 480.0) ** -3.0
    lossy = Signal.curve(energy, counts, name="energy loss", unit="eV", quantity="counts")
    _, kept = Xanes(absorber="O").reduced(lossy)
    expected = np.interp(kept.coordinates(), energy, 1e4 * pure.data)
    assert kept.data == pytest.approx(expected, abs=300.0)  # counts; the step's tail is 60 before


def test_a_planted_shift_and_width_are_found_in_simulated_values(feff):
    """Least squares over the two, by the model's own values at others."""
    data = edge_data()
    told, _ = Xanes(absorber="O", command=feff).reduced(data)
    truth = replace(told, shift=2.0, resolution=1.5)(OXIDE).data
    costs = {
        (shift, width): float(
            ((replace(told, shift=shift, resolution=width)(OXIDE).data - truth) ** 2).sum()
        )
        for shift in (0.0, 1.0, 2.0, 3.0)
        for width in (0.5, 1.5, 3.0)
    }
    assert min(costs, key=costs.__getitem__) == (2.0, 1.5)


@pytest.mark.parametrize(
    ("data", "keys", "words"),
    [
        (edge_data(), {"absorber": "N"}, "the data go from 480 to 599.75 eV but the K edge of N"),
        (edge_data(at=590.0), {"absorber": "O"}, "do not rise at the K edge of O, 543 eV"),
        (edge_data(), {"absorber": "O", "edge_energy": 599.0}, "too near to the edge"),
        (edge_data(), {"absorber": "O", "edge_energy": 483.0}, "0 points in 40 eV before"),
        (edge_data(), {}, "name the absorber"),
        (
            Signal.curve(np.arange(9.0), np.arange(9.0), name="k", unit="1/Å"),
            {"absorber": "O"},
            "is over energy .eV. but the data are over k",
        ),
    ],
)
def test_data_that_show_no_such_edge_are_refused(data, keys, words):
    with pytest.raises(UserError, match=words):
        Xanes(**keys).reduced(data)


def test_parameters_that_mean_nothing_are_refused():
    for keys, words in (
        ({"program": "vasp"}, "program"),
        ({"program": "xspectra"}, "needs pseudopotentials"),
        ({"absorber": "Xx"}, "must be an element"),
        ({"shift": 100.0}, "shift is 100"),
        ({"command": {"pw.x": "pw"}}, "command is one text"),
    ):
        with pytest.raises(ValueError, match=words):
            Xanes(**keys)


def test_absorbers_are_averaged_by_how_many_there_are(tmp_path):
    """Of four oxygen atoms two are alike: a line of one's own counts a quarter."""
    rows = "".join(f"{e} 0 {e} 1\\n" for e in (-1, 0, 1, 2, 30, 35, 40))
    text = f"""printf -- '{rows}' > xmu.dat; echo run >> {tmp_path}/runs
[ $(wc -l < {tmp_path}/runs) = 2 ] && echo 10 0 10 9 >> xmu.dat
true"""
    atoms = Atoms("MgO4", positions=[[0, 0, 0], [2, 0, 0], [-2, 0, 0], [0, 2.1, 0], [0, 0, 2.2]])
    program = script(tmp_path / "feff", text)
    found = Xanes(absorber="O", command=program, radius=2.5).unbroadened(atoms)
    assert (tmp_path / "runs").read_text().count("run") == 3
    height = float(np.interp(10.0, found.energy, found.values))
    assert min(abs(height - 1.0 - 8.0 * share) for share in (0.25, 0.5)) < 0.02
