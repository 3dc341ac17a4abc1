"""`htinvert fit` with EXAFS: the measured copper foil, data of every format, mistakes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write

from htinvert.campaign.channels import make_channel
from htinvert.config.experiment import of_its_kind
from htinvert.core import UserError

from .conftest import fit as run
from .conftest import mistake as said

pytest.importorskip("larch", reason="pip install htinvert[xas]")

COPPER = ("--set", "absorber=Cu", "--set", "kmax=17", "--set", "rmin=1.5", "--set", "rmax=5.2")


@pytest.fixture
def crystal(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "Cu.cif"
    write(path, bulk("Cu", "fcc", a=3.615, cubic=True))
    return path


def test_the_lattice_of_measured_copper_is_found(crystal, shared_data, tmp_path):
    """10 K: a = 3.603 Å; R-factor over 1.5 to 5.2 Å as larch's own fit reaches, 0.010."""
    data = shared_data / "cu-exafs" / "cu_10k.xmu"
    result = run(crystal, data, "--model", "exafs", *COPPER, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    table = json.loads((tmp_path / "out" / "parameters.json").read_text())
    assert table["costs"]["rw"] ** 2 <= 0.010
    assert 3.615 * table["parameters"]["zoom"]["value"] == pytest.approx(3.603, abs=0.003)
    assert 0.7 < table["detail"]["scale"] < 1.05
    assert (tmp_path / "out" / "fit.png").stat().st_size > 10_000


@pytest.fixture
def measured(shared_data):
    """Energies and mu of the foil."""
    return np.loadtxt(shared_data / "cu-exafs" / "cu_10k.xmu").T


def test_what_is_no_absorption_of_this_edge_is_one_sentence(crystal, measured, tmp_path):
    energy, mu = measured
    data = tmp_path / "data.xmu"
    gap = np.where(np.arange(len(mu)) == 300, np.nan, mu)
    for columns, options, sentence in (
        ((energy / 1000, mu), (), "axis: energy [keV]"),
        ((np.arange(len(mu)), mu), (), "channels"),
        ((energy, -mu), (), "does not rise at the K edge of Cu"),
        ((energy, mu), ("--set", "absorber=Zn"), "but at 8979 eV"),
        ((energy, mu), ("--set", "edge=L3"), "the L3 edge of Cu lies at 933 eV"),
        ((energy, mu), ("--set", "kmax=19.9", "--range", "8780:10300"), "kmax is 19.9"),
        ((energy, gap), (), "no numbers"),
        ((energy, mu), ("--range", "9100:11000"), "the K edge of Cu lies at 8979 eV"),
    ):
        np.savetxt(data, np.transpose(columns))
        text = said(run(crystal, data, "--model", "exafs", *COPPER, *options))
        assert sentence in text, text


XDI = (
    "# XDI/1.0\n# Element.symbol: Cu\n# Element.edge: K\n# Column.1: energy keV\n"
    "# Column.2: i0\n# Column.3: itrans\n#-----\n# energy i0 itrans\n"
)


def observed(folder, name, **keys):
    """What is compared of a file, in a channel as a campaign makes it."""
    forward = {"use": "exafs", "kmax": 16.0, **keys.pop("forward", {})}
    block = {"data": folder / name, "forward": forward, "metrics": {"rw": None}, **keys}
    return make_channel("copper", of_its_kind(block), folder=folder).observed


def test_every_format_says_the_same(measured, tmp_path):
    """mu(E) as columns, as intensities of an XDI file in keV that names the edge, and chi(k)."""
    energy, mu = measured
    copper = {"absorber": "Cu"}
    np.savetxt(tmp_path / "cu.xmu", np.transpose([energy, mu]))
    counts = 1e5 * np.exp(-mu)
    with (tmp_path / "cu.xdi").open("w") as file:
        file.write(XDI)
        np.savetxt(file, np.transpose([energy / 1000, np.full_like(mu, 1e5), counts]))
    whole = observed(tmp_path, "cu.xmu", forward=copper)
    ratio = observed(tmp_path, "cu.xdi", columns=["energy", "ln(i0/itrans)"])
    assert ratio.axes == whole.axes
    assert ratio.data == pytest.approx(whole.data, abs=1e-3)
    limits = {"compare": "k", "weight": 0, "kmin": 0.1, "kmax": 18.0}
    plain = observed(tmp_path, "cu.xmu", forward={**copper, **limits})
    chi = np.transpose([plain.coordinates(), plain.data])
    np.savetxt(tmp_path / "cu.chi", chi, header="k chi")
    again = observed(tmp_path, "cu.chi")
    assert again.data == pytest.approx(whole.data, abs=1e-3)


def test_a_column_of_a_formula_that_is_not_there_is_one_sentence(measured, tmp_path):
    (tmp_path / "cu.xdi").write_text(XDI + "9.0 1 2\n9.1 2 3\n9.2 3 5\n9.3 3 5\n")
    with pytest.raises(UserError, match="no column i1; it has 1 energy, 2 i0, 3 itrans"):
        observed(tmp_path, "cu.xdi", columns=["energy", "ln(i0/i1)"])


def test_a_background_that_is_declared_changes_what_is_compared(measured, tmp_path):
    np.savetxt(tmp_path / "cu.xmu", np.transpose(measured))
    one, two = (
        observed(tmp_path, "cu.xmu", forward={"absorber": "Cu", "rbkg": rbkg, "rmin": 0.2})
        for rbkg in (0.8, 1.4)
    )
    assert np.abs(one.data - two.data).max() > 0.1
