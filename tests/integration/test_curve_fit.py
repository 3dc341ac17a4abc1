"""`htinvert fit`: nuisance parameters of a structure from a measured curve; mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from ase.io import write

from htinvert.core import Axis
from htinvert.forward.pdf.model import Pdf

from .conftest import fit as run
from .conftest import mistake as said

DATA = Path(__file__).parents[2].parent / "shared" / "data"
DATA_SEEN = pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data")


@pytest.fixture
def planted(tmp_path):
    """C60 with u 0.004, zoom 1.01, qdamp 0.05, and a header that says the limits of Q."""
    cage = molecule("C60")
    axes = (Axis("r", "Å", 0.02, 1.0),)
    truth = Pdf(axes=axes, shape=(400,), qmin=1.0, qmax=20.0, u=0.004, zoom=1.01, qdamp=0.05)
    signal = truth(cage)
    rng = np.random.default_rng(1)
    values = 0.3 * (signal.data + 0.02 * rng.normal(size=400))
    rows = "\n".join(f"{r:.3f} {g:.6f}" for r, g in zip(signal.coordinates(), values, strict=True))
    data = tmp_path / "c60.gr"
    data.write_text(f"[DEFAULT]\nmode = xray\nqmin = 1.0\nqmax = 20.0\n#L r G\n{rows}\n")
    write(tmp_path / "c60.xyz", cage)
    return tmp_path / "c60.xyz", data, tmp_path / "out"


def found(folder):
    return json.loads((folder / "parameters.json").read_text())


def test_planted_nuisances_are_found_within_their_errors(planted):
    structure, data, output = planted
    result = run(structure, data, "--range", "1.2:8", "-o", output)
    assert result.exit_code == 0, result.output
    assert "Å²" in result.output
    parameters = found(output)["parameters"]
    for name, true in (("u.C", 0.004), ("zoom", 1.01), ("qdamp", 0.05)):
        value = parameters[name]
        assert abs(value["value"] - true) < 4 * value["standard_error"], name
    assert found(output)["detail"]["scale"] == pytest.approx(0.3, rel=0.02)
    assert "qmin" not in parameters  # the header says it
    assert (output / "fit.png").stat().st_size > 10_000
    assert len((output / "fit.csv").read_text().splitlines()) > 300


def test_a_fit_of_another_structure_is_called_poor(planted):
    """A cage that is larger by a fifth, and the scale of distances may change by 3 % only."""
    structure, data, output = planted
    cage = molecule("C60")
    cage.positions *= 1.2
    write(structure, cage)
    result = run(structure, data, "--range", "1.2:8", "-o", output)
    assert result.exit_code == 0, result.output
    assert "of the curve's variance: check the structure" in result.output


def test_a_nuisance_at_its_bound_is_said(planted):
    """The data have a zoom of 1.01, and at most 1.002 is allowed."""
    structure, data, output = planted
    result = run(structure, data, "--range", "1.2:8", "--free", "zoom=0.97:1.002", "-o", output)
    assert result.exit_code == 0, result.output
    (note,) = [note for note in found(output)["notes"] if note.startswith("zoom")]
    assert note.startswith("zoom (1.002) ends at its bound: widen its range")
    assert f"warning: {note}" in result.output
    assert found(output)["parameters"]["zoom"]["at_bound"]


@DATA_SEEN
@pytest.mark.parametrize(
    ("structure", "data", "options", "most", "expected"),
    [
        ("cdse-pdf/CdSe.xyz", "cdse-pdf/CdSe.gr", ("--range", "1.5:20", "--set", "qmax=20"), 0.10,
         ("zoom", 0.994)),
        ("pt-pdf/Pt.cif", "pt-pdf/Pt-nanoparticles.gr",
         ("--range", "1.5:50", "--set", "qdamp=0.0376", "--set", "qbroad=0.0166", "--free",
          "diameter=10:200"), 0.107, ("diameter", 35.5)),
    ],
)  # fmt: skip
def test_measured_data_are_fitted_as_well_as_published(
    tmp_path, structure, data, options, most, expected
):
    result = run(DATA / structure, DATA / data, *options, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    table = found(tmp_path / "out")
    name, published = expected
    value = table["parameters"][name]
    assert table["costs"]["rw"] <= most
    assert abs(value["value"] - published) < 2 * value["standard_error"]


def test_a_bad_number_or_name_is_one_sentence(planted):
    structure, data, output = planted
    for options, sentence in (
        (("--range", "1.5-8"), "LOWER:UPPER"),
        (("--range", "50:60"), "range"),
        (("--set", "qmax"), "NAME=VALUE"),
        (("--set", "qmax=900"), "qmax"),
        (("--set", "radiation=electron"), "radiation"),
        (("--free", "diameter=10:200"), "diameter"),
        (("--free", "delta9=0:1"), "delta9"),
        (("--free", "qdamp=1:0"), "must be from 0 to 0.5 1/Å"),
        (("--free", "qdamp=0.1:0"), "lower"),
        (("--free", "zoom.x=0.9:1.1"), "free zoom.x=0.9:1.1: zoom is given for *, x but must be"),
        (("--free", "angle=88:92"), "angle must be by name: angle.alpha"),
        (("--free", "angle.beta=88:92"), "need a crystal"),
        (("--free", "shift=-0.1:0.1"), "C60 is none; leave it out"),
        (("--model", "pdff"), "pdf"),
    ):
        text = said(run(structure, data, *options, "-o", output))
        assert sentence in text and "\n" not in text, (options, text)


def test_an_unsaid_limit_of_q_is_asked_for(planted):
    structure, data, output = planted
    data.write_text("\n".join(data.read_text().splitlines()[4:]))
    assert "set qmax, such as " in said(run(structure, data, "-o", output))


def test_an_image_is_sent_to_register(planted):
    structure, data, output = planted
    yaml = data.with_suffix(".yaml")
    yaml.write_text("data: a.tif\nforward: {use: stem_convolution}\nmetrics: {registration: }\n")
    assert "register" in said(run(structure, yaml, "-o", output))


def test_a_folder_is_ranked_and_what_cannot_be_read_is_named(planted, tmp_path):
    _, data, output = planted
    folder = tmp_path / "library"
    folder.mkdir()
    cage = molecule("C60")
    write(folder / "cage.xyz", cage)
    cage.rattle(0.01, seed=1)
    write(folder / "alike.xyz", cage)
    cage.rattle(0.3, seed=2)
    write(folder / "broken.xyz", cage)
    (folder / "notes.txt").write_text("no structure")
    result = run(folder, data, "--range", "1.2:8", "-o", output)
    assert result.exit_code == 0, result.output
    names = [line.split(",")[0] for line in (output / "ranking.csv").read_text().splitlines()[1:]]
    assert names[0] == "cage" and names[-1] == "broken"
    assert "left out: notes.txt" in result.output


def test_an_empty_folder_is_one_sentence(planted, tmp_path):
    (tmp_path / "none").mkdir()
    assert "it is empty" in said(run(tmp_path / "none", planted[1], "-o", tmp_path / "o"))


def test_f_of_q_is_fitted_where_the_file_holds_it(tmp_path):
    cage = molecule("C60")
    axes = (Axis("Q", "1/Å", 0.05, 1.0),)
    truth = Pdf(quantity="F", axes=axes, shape=(380,), u=0.004, zoom=1.01)(cage)
    noise = 0.02 * np.random.default_rng(0).normal(size=380)
    np.savetxt(tmp_path / "c60.fq", np.c_[truth.coordinates(), truth.data + noise])
    write(tmp_path / "c60.xyz", cage)
    data, output = (tmp_path / "c60.xyz", tmp_path / "c60.fq"), tmp_path / "out"
    result = run(*data, "--set", "quantity=F", "-o", output)
    assert result.exit_code == 0, result.output
    assert "380 points, Q from 1" in result.output
    zoom = found(output)["parameters"]["zoom"]
    assert abs(zoom["value"] - 1.01) < 4 * zoom["standard_error"] < 1e-3
    assert "say quantity: F, S or I" in said(run(*data, "-o", output))
