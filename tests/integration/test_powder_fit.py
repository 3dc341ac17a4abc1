"""`htinvert fit --model powder`: a planted pattern of another program's reflections."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.io.ase import AseAtomsAdaptor

from .conftest import fit as run
from .conftest import mistake as said

TRUE, SHIFT, WIDE = 5.6402, 0.04, 0.15  # Å, degrees, degrees


@pytest.fixture
def salt(tmp_path):
    """Rock salt by copper's K alpha 1, counted, on a slope; the file of a cell 0.7 % too long."""
    crystal = AseAtomsAdaptor.get_structure(bulk("NaCl", "rocksalt", a=TRUE, cubic=True))
    known = XRDCalculator(wavelength=1.54059).get_pattern(crystal, two_theta_range=(15, 100))
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


def test_what_a_file_of_two_columns_does_not_say_is_asked_for(salt):
    for options, sentence in (
        ((), "name the axis, such as axis: 2theta [degrees]"),
        (("--axis", "2theta [degrees]"), "set it, such as wavelength=1.5406"),
        (("--axis", "Q [1/Å]", "--set", "wavelength=1.54"), "reaches 8.16"),
    ):
        text = said(run(salt / "salt.cif", salt / "salt.xy", "--model", "powder", *options))
        assert sentence in text, text
