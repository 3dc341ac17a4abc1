"""The density of states of a slab by GPAW: the real engine on a sheet of one atom."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms

from htinvert.core import EvaluationFailed, UserError
from htinvert.density.grid import decay
from htinvert.forward.stm import Stm

pytest.importorskip("gpaw", reason="pip install htinvert[dft]")

from htinvert.energy.gpaw_density import GpawDensity


@pytest.fixture(scope="module")
def sheet():
    return Atoms("Na", positions=[[0, 0, 6.0]], cell=[3.7, 3.7, 14.0], pbc=True)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return GpawDensity(
        cutoff=150.0, kpoints=(2, 2), lowest=-6.0, highest=1.0, interval=1.0, empty_bands=12,
        xc="LDA", cache=tmp_path_factory.mktemp("densities") / "kept",
    )  # fmt: skip


def test_a_density_is_made_kept_and_found_again(sheet, source):
    density = source(sheet)
    assert density.kind == "window"
    assert density.edges == pytest.approx((-6, -5, -4, -3, -2, -1, 0, 1))
    assert "150 eV, 2 x 2 k-points" in density.method
    # At the bottom of the band is the one state of Gamma: two electrons, a quarter of the weight.
    electrons = density.between(-6.0, -2.0).mean() * sheet.cell.volume
    assert electrons == pytest.approx(0.5, abs=0.02)  # the smooth part holds nearly all of it
    rate, reach = decay(density.values.sum(axis=0), 6.0, 14.0)
    assert rate > 1.0
    assert reach > 3.0

    start = time.perf_counter()
    again = replace(source)(sheet)
    assert time.perf_counter() - start < 2.0
    assert np.array_equal(again.values, density.values)
    assert len(list(source.cache.iterdir())) == 1

    model = Stm(density=source, isovalue=1e-3, sampling=0.2, shape=(20, 20))
    height = float(model(sheet).data.mean())  # of a sheet that is almost flat
    profile = np.log(density.values.sum(axis=0).mean(axis=(0, 1), dtype=float))
    z = np.arange(len(profile)) * 14.0 / len(profile) - 6.0
    assert np.exp(np.interp(height, z, profile)) == pytest.approx(1e-3, rel=0.1)


def test_the_key_names_structure_and_settings_but_not_noise(sheet, source):
    moved, noisy = sheet.copy(), sheet.copy()
    moved.positions[0, 2] += 1e-3
    noisy.positions[0, 2] += 1e-9
    key = source.key(sheet)
    assert source.key(noisy) == key
    assert source.key(moved) != key
    assert replace(source, cutoff=160.0).key(sheet) != key
    assert replace(source, cache=None).key(sheet) == key


def test_energies_beyond_the_bands_fail_with_what_to_do(sheet, source):
    short = replace(source, highest=30.0, cache=None, kpoints=(1, 1))
    with pytest.raises(EvaluationFailed, match=r"the bands end .* raise empty_bands"):
        short(sheet)
    with pytest.raises(UserError, match="lowest must be below"):
        replace(source, highest=-7.0)
