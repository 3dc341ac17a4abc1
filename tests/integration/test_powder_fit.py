"""`htinvert fit --model powder`: a planted pattern of another program's reflections."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write
from ase.spacegroup import crystal
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.io.ase import AseAtomsAdaptor

from htinvert.forward.pdf import sites

from .conftest import fit as run
from .conftest import mistake as said

BADDELEYITE = {
    "symbols": ["Zr", "O", "O"],
    "basis": [(0.2754, 0.0395, 0.2083), (0.0700, 0.3317, 0.3447), (0.4496, 0.7569, 0.4792)],
    "spacegroup": 14,
}  # C. J. Howard, R. J. Hill & B. E. Reichert, Acta Cryst. B 44, 116 (1988)
TRUE, SHIFT, WIDE = 5.6402, 0.04, 0.15  # Å, degrees, degrees


@pytest.fixture
def salt(tmp_path):
    """Rock salt by copper's K alpha 1, counted, on a slope; the file of a cell 0.7 % too long."""
    salt = AseAtomsAdaptor.get_structure(bulk("NaCl", "rocksalt", a=TRUE, cubic=True))
    known = XRDCalculator(wavelength=1.54059).get_pattern(salt, two_theta_range=(15, 100))
    x = np.arange(20.0, 95.0, 0.04)
    apart = (x[:, None] - known.x - SHIFT) / WIDE
    counts = 40.0 * np.exp(-4 * np.log(2) * apart**2) @ known.y + 120.0 - 0.6 * x
    counts = np.random.default_rng(2).poisson(counts)
    data = tmp_path / "salt.xy"
    data.write_text("\n".join(f"{a:.2f} {c}" for a, c in zip(x, counts, strict=True)))
    write(tmp_path / "salt.cif", bulk("NaCl", "rocksalt", a=5.68, cubic=True))
    return tmp_path


@pytest.mark.filterwarnings("ignore")
def test_a_planted_length_and_shift_are_found(salt):
    block = salt / "salt.yaml"
    block.write_text(
        "data: salt.xy\naxis: 2theta [degrees]\nforward: {use: powder, wavelength: 1.54059}\n"
        "metrics: {rw: {background: 1}}\n"
    )
    result = run(salt / "salt.cif", block, "-o", salt / "out")
    assert result.exit_code == 0, result.output
    found = json.loads((salt / "out" / "parameters.json").read_text())
    length, zero = found["derived"]["cell a"], found["parameters"]["zero"]
    assert abs(length["value"] - TRUE) < 4 * length["standard_error"] < 0.004
    assert abs(zero["value"] - SHIFT) < 4 * zero["standard_error"] < 0.02
    assert np.sqrt(found["parameters"]["width"]["value"]) == pytest.approx(WIDE, rel=0.1)
    assert found["costs"]["rw"] < 0.06  # counting noise


def counted(phases, path):
    """Patterns of pymatgen's reflections, weighed by parts of the volume, counted."""
    x = np.arange(20.0, 70.0, 0.05)
    total = np.zeros(len(x))
    for atoms, part in phases:
        structure = AseAtomsAdaptor.get_structure(atoms)
        calculator = XRDCalculator(wavelength=1.54059)
        known = calculator.get_pattern(structure, scaled=False, two_theta_range=(15, 75))
        apart = (x[:, None] - known.x) / WIDE
        peaks = np.exp(-4 * np.log(2) * apart**2) @ known.y
        total += part * peaks / atoms.get_volume() ** 2
    counts = np.random.default_rng(3).poisson(4000.0 * total / total.max() + 60.0)
    rows = "\n".join(f"{a:.2f} {c}" for a, c in zip(x, counts, strict=True))
    path.write_text(f"# 2theta counts\n{rows}\n")
    block = path.with_suffix(".yaml")
    block.write_text(
        f"data: {path.name}\naxis: 2theta [degrees]\nforward: {{use: powder, wavelength: 1.54059}}"
        "\nmetrics: {rw: {background: 0}}\n"
    )
    return block


@pytest.mark.filterwarnings("ignore")
def test_a_mixture_is_found_from_cells_that_peaks_do_not_meet(tmp_path):
    """60 % of the volume anatase, its lengths 0.4 and 1.8 % too long, those of rutile 1 and 0.6."""
    cells = {"anatase": ([3.785, 3.785, 9.514], (1.004, 1.004, 1.018)),
             "rutile": ([4.594, 4.594, 2.959], (1.01, 1.01, 1.006))}  # fmt: skip
    basis = {"anatase": (141, (0, 0, 0.2081)), "rutile": (136, (0.3053, 0.3053, 0))}
    true = {
        name: crystal(["Ti", "O"], [(0, 0, 0), place], spacegroup=group,
                      cellpar=[*cells[name][0], 90, 90, 90])
        for name, (group, place) in basis.items()
    }  # fmt: skip
    block = counted([(true["anatase"], 0.6), (true["rutile"], 0.4)], tmp_path / "mix.xy")
    (tmp_path / "phases").mkdir()
    for name, atoms in true.items():
        off = atoms.copy()
        off.set_cell(np.diag(cells[name][1]) @ off.cell, scale_atoms=True)
        write(tmp_path / "phases" / f"{name}.cif", off)
    result = run(tmp_path / "phases", block, "--mix", "--json", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    for name, (lengths, _) in cells.items():
        for vector, length in (("a", lengths[0]), ("c", lengths[2])):
            cell = found["derived"][f"{name}: cell {vector}"]
            assert abs(cell["value"] - length) < 4 * cell["standard_error"] < 0.02, name
    counts = [0.6 * 12 / true["anatase"].get_volume(), 0.4 * 6 / true["rutile"].get_volume()]
    (phase,) = (phase for phase in found["phases"] if phase["name"] == "anatase")
    assert phase["atoms"] == pytest.approx(counts[0] / sum(counts), abs=0.01)


@pytest.mark.filterwarnings("ignore")
def test_an_angle_and_places_of_a_monoclinic_cell_are_found(tmp_path):
    """Angle 0.7 degrees and zirconium 0.05 Å off, lengths 0.4 to 0.8 % off."""
    true = crystal(**BADDELEYITE, cellpar=[5.1505, 5.2116, 5.3173, 90, 99.23, 90])
    block = counted([(true, 1.0)], tmp_path / "zirconia.xy")
    off = sites.moved(true, {"Zr1x": 0.05, "Zr1y": -0.04, "Zr1z": 0.05})
    off.set_cell([5.19, 5.17, 5.34, 90, 98.5, 90], scale_atoms=True)
    write(tmp_path / "off.cif", off)
    result = run(tmp_path / "off.cif", block, "--free", "shift=-0.2:0.2", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "out" / "parameters.json").read_text())
    angle, derived = found["parameters"]["angle.beta"], found["derived"]
    assert abs(angle["value"] - 99.23) < 4 * angle["standard_error"] < 0.1
    for axis, place in zip("xyz", (0.2754, 0.0395, 0.2083), strict=True):
        x = derived[f"Zr1 {axis}"]
        assert abs(x["value"] - place) < 4 * x["standard_error"] < 0.01, axis


def test_what_a_file_of_two_columns_does_not_say_is_asked_for(salt):
    for options, sentence in (
        ((), "name the axis, such as axis: 2theta [degrees]"),
        (("--axis", "2theta [degrees]"), "set it, such as wavelength=1.5406"),
        (("--axis", "Q [1/Å]", "--set", "wavelength=1.54"), "reaches 8.16"),
        (("--axis", "2theta [degrees]", "--set", "wavelength=0.154"), "go to Q = 60 1/Å, beyond"),
    ):
        text = said(run(salt / "salt.cif", salt / "salt.xy", "--model", "powder", *options))
        assert sentence in text, text
    rows = (line.split() for line in (salt / "salt.xy").read_text().splitlines())
    (salt / "salt.xy").write_text("\n".join(f"{x} {-float(count)}" for x, count in rows))
    options = ("--model", "powder", "--axis", "2theta [degrees]", "--set", "wavelength=1.54")
    text = said(run(salt / "salt.cif", salt / "salt.xy", *options))
    assert "100% of the values are below 0" in text
