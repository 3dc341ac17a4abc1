"""Patterns and scans of them: axes, steps, what was not measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import htinvert as ht
from htinvert.core import UserError
from htinvert.metrics.cosine import Cosine
from htinvert.signals.kind import kind_named
from htinvert.signals.pattern_file import pattern_signal
from htinvert.store.record import pack_signal, unpack_pixels


def disk(shape: tuple[int, int], middle: tuple[float, float], radius: float) -> np.ndarray:
    """A bright disk on a dim ground."""
    y, x = np.indices(shape)
    inside = np.hypot(y - middle[0], x - middle[1]) <= radius
    return np.where(inside, 100.0, 1.0).astype(np.float32)


def test_the_zero_is_the_middle_pixel_until_it_is_centered(tmp_path: Path) -> None:
    np.save(tmp_path / "disk.npy", disk((40, 48), (17.0, 26.0), 8.0))
    raw = ht.read(tmp_path / "disk.npy", kind="pattern", sampling=0.5, unit="mrad")
    assert raw.coordinates(0)[20] == 0.0 and raw.coordinates(1)[24] == 0.0
    for by in ("mass", "symmetry"):
        found = ht.read(
            tmp_path / "disk.npy", kind="pattern", sampling=0.5, unit="mrad",
            prepare=[{"center": by}],
        )  # fmt: skip
        assert found.coordinates(0)[17] == pytest.approx(0.0, abs=0.1)
        assert found.coordinates(1)[26] == pytest.approx(0.0, abs=0.1)


def test_inverse_nanometers_become_inverse_angstroms(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", disk((16, 16), (8.0, 8.0), 3.0))
    found = ht.read(tmp_path / "a.npy", kind="pattern", sampling=0.2, unit="1/nm")
    assert found.axes[1].unit == "1/Å" and found.axes[1].step == pytest.approx(0.02)


def test_crop_and_bin_keep_where_the_zero_is(tmp_path: Path) -> None:
    data = np.random.default_rng(2).random((40, 40)).astype(np.float32)
    np.save(tmp_path / "a.npy", data)
    steps = [{"crop": [4, 36, 8, 40]}, {"bin": 4}]
    found = ht.read(tmp_path / "a.npy", kind="pattern", sampling=1.0, prepare=steps)
    assert found.data.shape == (8, 8)
    assert found.data[0, 0] == pytest.approx(data[4:8, 8:12].sum(), rel=1e-5)
    assert found.coordinates(0)[0] == pytest.approx(np.mean([4, 5, 6, 7]) - 20)
    assert found.coordinates(1)[0] == pytest.approx(np.mean([8, 9, 10, 11]) - 20)


def test_what_is_masked_was_not_measured_and_costs_nothing(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", disk((32, 32), (16.0, 16.0), 5.0))
    seen = ht.read(
        tmp_path / "a.npy", kind="pattern", sampling=1.0, prepare=[{"mask": {"inner": 4.0}}]
    )
    assert np.isnan(seen.data[16, 16]) and np.isfinite(seen.data[16, 21])
    other = disk((32, 32), (16.0, 16.0), 5.0)
    other[14:19, 14:19] = 7e5  # within the mask
    simulated = pattern_signal(other, 1.0)
    assert Cosine()(simulated, seen).cost == pytest.approx(0.0, abs=1e-6)


def test_a_scan_has_its_axes_and_a_mean(tmp_path: Path) -> None:
    one = disk((16, 20), (8.0, 10.0), 4.0)
    scan = np.stack([k * one for k in range(1, 7)]).reshape(2, 3, 16, 20)
    np.savez(tmp_path / "scan.npz", pattern=scan)
    found = ht.read(tmp_path / "scan.npz", kind="pattern", sampling=0.1, scan=4.0)
    assert [axis.name for axis in found.axes] == ["y", "x", "ky", "kx"]
    assert kind_named("pattern").words(found).endswith("2 x 3 places of 4 x 4 Å")
    mean = ht.read(
        tmp_path / "scan.npz", kind="pattern", sampling=0.1, prepare=[{"average": [0, 1, 0, 2]}]
    )
    np.testing.assert_allclose(mean.data, 1.5 * scan[0, 0], rtol=1e-5)
    with pytest.raises(UserError, match="average needs a scan"):
        ht.read(
            tmp_path / "scan.npz", kind="pattern", sampling=0.1,
            prepare=[{"average": None}, {"average": None}],
        )  # fmt: skip


def test_a_pattern_needs_a_step(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", disk((16, 16), (8.0, 8.0), 3.0))
    with pytest.raises(UserError, match="has no step per pixel; set the experiment's sampling"):
        ht.read(tmp_path / "a.npy", kind="pattern")
    np.save(tmp_path / "b.npy", np.zeros(5))
    with pytest.raises(UserError, match="give one pattern, a row or a scan"):
        ht.read(tmp_path / "b.npy", kind="pattern", sampling=1.0)


def test_twelve_bits_keep_weak_disks_beside_a_strong_one() -> None:
    """Even levels would round all below 1/8190 of the central disk to nothing; roots do not."""
    data = np.geomspace(1.0, 1e6, 4096).reshape(64, 64).astype(np.float32)
    kept = unpack_pixels(*pack_signal(pattern_signal(data, 0.1))).signal()
    error = np.abs(kept.data - data)
    bound = 1e6 / 8190 * (2 * np.sqrt(data / 1e6) + 1 / 8190)
    assert (error <= 1.01 * bound).all()
    assert np.median(error[data < 1000] / np.sqrt(data[data < 1000])) < 0.2  # below shot noise
    image = ht.Signal.image(data, 0.1)
    assert unpack_pixels(*pack_signal(image)).code == ""
    np.testing.assert_allclose(unpack_pixels(*pack_signal(image)).signal().data, data, atol=130)


def test_measured_patterns_are_read(shared_data: Path) -> None:
    found = ht.read(
        shared_data / "cbed-demo" / "case-1-00.npy", kind="pattern", sampling=1.6, unit="mrad",
        scan=3.905,
    )  # fmt: skip
    assert found.data.shape == (5, 48, 48) and found.axes[0].step == pytest.approx(3.905)
