"""`htinvert fit` with core losses: measured SrTiO3, planted compositions, mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.io import write
from typer.testing import CliRunner

from htinvert.campaign.channels import make_channel
from htinvert.cli.app import app
from htinvert.config.curve_block import block_of
from htinvert.config.experiment import of_its_kind
from htinvert.core import Signal
from htinvert.forward.eels.cross_section import Illumination, differential
from htinvert.forward.eels.edges import edge_named
from htinvert.forward.eels.model import Eels

from .conftest import fit as run
from .conftest import mistake as said

BEAM = ("--set", "beam_energy=200000", "--set", "semiangle=10", "--set", "collection=30")
KNOWN = {"beam_energy": 2e5, "semiangle": 10.0, "collection": 30.0}
OXIDE = Atoms(
    "SrTiO3", positions=1.95 * np.array([[0, 0, 0], [1, 1, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]])
)


def planted(numbers, *, low, high, exponent=2.8, seed=1):
    """Edges of so many atoms on a power law, with noise of counting; energies and counts."""
    energy = np.arange(low, high, 0.5)
    counts = 2e5 * (energy / low) ** -exponent
    for name, number in numbers.items():
        edge = edge_named(name)
        atom = differential(
            edge, energy, Illumination(2e5, 10.0, 30.0), onset=edge.onset, model="photoabsorption"
        )
        counts += 600.0 * number * atom
    return energy, np.random.default_rng(seed).poisson(counts).astype(float)


def composition(atoms, energy, counts, **keys):
    signal = Signal.curve(energy, counts, name="energy loss", unit="eV")
    return Eels(**KNOWN | keys).reduced(signal)[0].composition(atoms)


@pytest.fixture
def crystal(tmp_path):
    path = tmp_path / "oxide.xyz"
    write(path, OXIDE)
    return path


def test_measured_strontium_titanate_has_three_oxygen_per_titanium(crystal, shared_data, tmp_path):
    """Within 20 %, and the interval holds 3; the angles are assumed, for the file has none."""
    data = shared_data / "sto-eels" / "EELS_STO.dm3"
    result = run(crystal, data, "--model", "eels", *BEAM, "-o", tmp_path / "out")
    assert result.exit_code == 0, (result.output, result.exception)
    line = next(line for line in result.output.splitlines() if line.startswith("O/Ti"))
    ratio, low, high = (float(line.split()[place].strip(",")) for place in (1, 5, 7))
    assert ratio == pytest.approx(3.0, rel=0.2)
    assert low < 3.0 < high
    block = yaml.safe_load((tmp_path / "out" / "composition.yaml").read_text())["composition"]
    assert block["Ti"] == [1, 1] and block["O"][0] <= 3 <= block["O"][1]
    assert (tmp_path / "out" / "fit.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("numbers", "limits", "formula"),
    [
        ({"Ti L": 1, "O K": 2}, (350.0, 800.0), "TiO2"),
        ({"B K": 1, "N K": 1}, (140.0, 620.0), "BN"),
        ({"Fe L": 2, "O K": 3}, (400.0, 1000.0), "Fe2O3"),
    ],
)
def test_planted_compositions_come_back(numbers, limits, formula):
    """Of the same cross-sections, to 5 %: overlapping edges, and ones with own backgrounds."""
    found = composition(Atoms(formula), *planted(numbers, low=limits[0], high=limits[1]))
    (one, first), (other, second) = numbers.items()
    ratio, low, high = found.ratio(one.split()[0], other.split()[0])
    assert ratio == pytest.approx(first / second, rel=0.05)
    assert low < first / second < high


def test_unknown_angles_widen_the_interval():
    energy, counts = planted({"C K": 1, "O K": 1}, low=220.0, high=750.0)
    _, low, high = composition(Atoms("CO"), energy, counts).ratio("O", "C")
    dark = {"beam_energy": None, "semiangle": None, "collection": None}
    _, least, most = composition(Atoms("CO"), energy, counts, **dark).ratio("O", "C")
    assert most / least > 1.1 * high / low


def test_a_candidate_of_the_right_composition_fits_best():
    energy, counts = planted({"Ti L": 1, "O K": 2}, low=350.0, high=800.0)
    signal = Signal.curve(energy, counts, name="energy loss", unit="eV")
    model, observed = Eels(elements=("Ti", "O"), **KNOWN).reduced(signal)
    rest = {
        formula: np.linalg.norm(model(Atoms(formula)).data - observed.data)
        for formula in ("TiO", "TiO2", "TiO3", "Ti2O3")
    }
    assert min(rest, key=rest.get) == "TiO2"


def test_what_is_no_spectrum_of_these_elements_is_one_sentence(crystal, tmp_path):
    energy, counts = planted({"Ti L": 1, "O K": 3}, low=350.0, high=800.0)
    data = tmp_path / "data.txt"
    gap = np.where(np.arange(len(counts)) == 300, np.nan, counts)
    channels = np.arange(1024.0)
    for columns, options, sentence in (
        ((energy / 1000, counts), (), "say axis: energy loss [keV]"),
        ((channels, np.interp(channels, energy - 350, counts)), (), "which are channels"),
        ((energy + 40, counts), (), "it rises most at 49"),
        ((energy, np.minimum(counts, 9e4)), (), "saturated at 90000"),
        ((energy, gap), (), "no numbers"),
        ((energy[:300], counts[:300]), (), "a composition needs two elements"),
        ((energy, counts), ("--range", "435:800"), "a composition needs two elements"),
        ((energy, counts), ("--set", "collection=900"), "collection"),
    ):
        np.savetxt(data, np.transpose(columns), header="energy[eV] counts")
        arguments = ("--axis", "energy loss [eV]", *BEAM, *options, "-o", tmp_path / "out")
        result = run(crystal, data, "--model", "eels", *arguments)
        assert result.exception, sentence
        text = said(result)
        assert sentence in text, text


def test_init_writes_the_block_of_a_spectrum(shared_data):
    path = str(shared_data / "sto-eels" / "EELS_STO.dm3")
    lines = block_of(path, "eels", atoms=OXIDE, symbols={"Sr", "Ti", "O"}).lines()
    block = yaml.safe_load("\n".join(lines))["eels"]
    assert block["forward"]["elements"] == ["O", "Ti"]
    channel = make_channel("eels", of_its_kind(block), folder=Path())
    assert channel.metrics["rw"](channel.forward(OXIDE), channel.observed).cost < 0.02


def test_edges_are_found_and_named_without_a_structure(shared_data, tmp_path):
    """Those of measured SrTiO3: titanium's white lines and oxygen's fine structure are no more."""
    data = shared_data / "sto-eels" / "EELS_STO.dm3"
    arguments = ["edges", str(data), "-o", str(tmp_path / "edges.png"), "--json"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    found = json.loads(result.output)
    assert next(iter(found[0]["edges"])) == "Ti L"
    assert len(found) == 2 and found[1]["edges"]["O K"] == 532.0
    assert [rise["energy"] for rise in found] == pytest.approx([455.0, 528.0], abs=6.0)
    assert (tmp_path / "edges.png").stat().st_size > 10_000


def test_a_spectrum_without_edges_has_none(tmp_path):
    energy, counts = planted({}, low=350.0, high=800.0)
    np.savetxt(tmp_path / "flat.txt", np.transpose([energy, counts]), header="energy_loss[eV] n")
    result = CliRunner().invoke(app, ["edges", str(tmp_path / "flat.txt")])
    assert "flat.txt rises nowhere as at an edge" in said(result)


def thick(numbers, *, low, high, thickness, zero):
    """A spectrum after any number of plasmons at 22 eV, and its low loss, ``zero`` [eV] off.

    Plasmons follow Poisson's law (Egerton 2011, equation 4.9), summed by Fourier transform.
    """
    step, before = 0.5, 40
    energy = np.arange(0.0, high, step)
    counts = np.zeros(len(energy))
    for name, number in numbers.items():
        edge = edge_named(name)
        beam = Illumination(2e5, 10.0, 30.0)
        atom = differential(edge, energy, beam, onset=edge.onset, model="photoabsorption")
        counts += 600.0 * number * atom
    loss = step * np.arange(512)
    plasmon = loss / ((loss**2 - 22.0**2) ** 2 + (4.0 * loss) ** 2 + 1e-9)
    spectrum = np.exp(thickness * (np.fft.fft(plasmon / plasmon.sum()) - 1.0))
    around = step * (np.arange(512) - before)
    peak = np.exp(-0.5 * (around / 0.6) ** 2)
    shares = np.real(np.fft.ifft(np.fft.fft(peak / peak.sum()) * spectrum))
    counts = np.convolve(counts, shares)[before : before + len(energy)]
    inside = energy >= low
    counts = counts[inside] + 2e5 * (energy[inside] / low) ** -2.8
    rng = np.random.default_rng(1)
    data = (rng.poisson(some).astype(float) for some in (counts, np.maximum(1e7 * shares, 0.0)))
    core, loss_counts = data
    return (energy[inside] + zero, core), (around + zero, loss_counts)


def test_a_low_loss_corrects_a_thick_specimen(tmp_path):
    """One mean free path, axis 3 eV off: 2 %, where it is 15 % without."""
    core, low = thick({"B K": 1, "N K": 1}, low=140.0, high=620.0, thickness=1.0, zero=3.0)
    for name, columns in (("core.txt", core), ("low.txt", low)):
        np.savetxt(tmp_path / name, np.transpose(columns), header="energy_loss[eV] counts")
    write(tmp_path / "bn.xyz", Atoms("BN", positions=[[0, 0, 0], [1.4, 0, 0]]))
    ratios = {}
    for options in ((), ("--set", f"low_loss={tmp_path / 'low.txt'}")):
        arguments = ("--model", "eels", *BEAM, *options, "-o", tmp_path / "out")
        result = run(tmp_path / "bn.xyz", tmp_path / "core.txt", *arguments)
        assert result.exit_code == 0, (result.output, result.exception)
        line = next(line for line in result.output.splitlines() if line.startswith("B/N"))
        ratios[bool(options)] = float(line.split()[1].strip(","))
    assert ratios[True] == pytest.approx(1.0, abs=0.02)
    assert ratios[False] < 0.87
    assert "low loss: 1.00 mean free paths thick, zero-loss peak at 3.00 eV" in result.output


def test_what_is_no_low_loss_is_one_sentence(crystal, tmp_path):
    energy, counts = planted({"Ti L": 1, "O K": 3}, low=350.0, high=800.0)
    _, (around, low) = thick({}, low=140.0, high=620.0, thickness=0.5, zero=0.0)
    np.savetxt(tmp_path / "core.txt", np.transpose([energy, counts]), header="energy_loss[eV] n")
    for columns, sentence in (
        ((energy, counts), "no zero-loss peak"),
        ((around[around > 5.0], low[around > 5.0]), "no zero-loss peak"),
        ((around, np.minimum(low, 2e5)), "saturated at 200000"),
    ):
        np.savetxt(tmp_path / "low.txt", np.transpose(columns), header="energy_loss[eV] n")
        options = (*BEAM, "--set", f"low_loss={tmp_path / 'low.txt'}", "-o", tmp_path / "out")
        text = said(run(crystal, tmp_path / "core.txt", "--model", "eels", *options))
        assert text.startswith("low.txt: ") and sentence in text


def test_an_axis_that_is_off_is_shifted(crystal, tmp_path):
    energy, counts = planted({"Ti L": 1, "O K": 3}, low=350.0, high=800.0)
    spectrum = np.transpose([energy + 40, counts])
    np.savetxt(tmp_path / "core.txt", spectrum, header="energy_loss[eV] n")
    options = (*BEAM, "--set", "shift=-40", "-o", tmp_path / "out")
    result = run(crystal, tmp_path / "core.txt", "--model", "eels", *options)
    line = next(line for line in result.output.splitlines() if line.startswith("O/Ti"))
    assert float(line.split()[1].strip(",")) == pytest.approx(3.0, rel=0.05)
