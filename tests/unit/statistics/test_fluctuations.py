"""Relaxation times of series with a known answer, and series that have none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from htinvert.cli import app
from htinvert.core import UserError
from htinvert.statistics.autocovariance import autocovariance, lags
from htinvert.statistics.fluctuations import BOLTZMANN, Uncertain, arrhenius, fluctuations
from htinvert.statistics.kohlrausch import decay, expected, finite
from htinvert.statistics.series import make_series, read_series


def markov(frames: int, side: int, tau: float, seed: int = 0) -> NDArray[np.float64]:
    """Speckles of a pixel each whose field is a Markov chain: beta is 1, by no code of ours."""
    rng = np.random.default_rng(seed)
    kept = np.exp(-1.0 / tau)
    field = rng.normal(size=(2, side, side))
    series = np.empty((frames, side, side))
    for frame in series:
        frame[:] = (field**2).sum(axis=0)
        field = kept * field + np.sqrt(1.0 - kept**2) * rng.normal(size=field.shape)
    return series


def test_the_expected_sums_are_those_of_the_covariance_matrix() -> None:
    """E[x' M x] = trace(M C), with M the projection on what is left without the mean."""
    c = decay(9, 3.0, 0.7, 0.0)
    matrix = c[np.abs(np.subtract.outer(np.arange(9), np.arange(9)))]
    centered = np.eye(9) - 1.0 / 9.0
    about_mean = centered @ matrix @ centered
    exact = [np.trace(about_mean, offset=lag) for lag in range(9)]
    np.testing.assert_allclose(finite(c), exact, atol=1e-12)


def test_noise_of_counting_changes_nothing_that_is_expected() -> None:
    """A variance at lag 0 alone, however large, is taken off by the series' own lag 0."""
    bins = lags(40)
    c = decay(40, 5.0, 0.8, 1.0)
    noisy = c + np.where(np.arange(40) == 0, 7.0, 0.0)
    sums = finite(noisy)
    freed = bins.pooled(sums) + sums[0] / 40 / 39
    np.testing.assert_allclose(freed, expected(bins, 5.0, 0.8, 1.0), atol=1e-12)


def test_the_autocovariance_by_fft_is_the_sum_of_products() -> None:
    frames = markov(50, 2, 4.0)
    found = autocovariance(make_series(frames))
    x = frames[:, 1, 0] - frames[:, 1, 0].mean()
    products = [x[: 50 - k] @ x[k:] for k in range(26)]
    means = [products[k] / (50 - k) for k in range(1, 16)]
    np.testing.assert_allclose(found.bins[1, 0, :15], means, rtol=1e-4, atol=1e-4)
    pooled = (products[16] + products[17] + products[18] + products[19]) / (34 + 33 + 32 + 31)
    np.testing.assert_allclose(found.bins[1, 0, 15], pooled, rtol=1e-4)
    np.testing.assert_allclose(found.variance[1, 0], products[0] / 50, rtol=1e-5)


def test_a_short_series_gives_the_right_time_where_the_usual_fit_does_not() -> None:
    """Ten relaxation times long; tau 10 and beta 1 are what the chain was made with."""
    found = fluctuations(markov(100, 20, 10.0), exposure=0.0)
    assert found.tau.low < 10.0 < found.tau.high
    assert found.beta.low < 1.0 < found.beta.high
    assert abs(found.tau.value - 10.0) < 1.0
    assert found.uncorrected[0] < 8.5
    assert 0.85 < found.contrast < 1.15  # one mode: the variance of an exponential law is its mean²


def test_the_map_tells_two_halves_apart() -> None:
    both = np.concatenate([markov(300, 10, 4.0), markov(300, 10, 16.0, seed=1)], axis=2)
    found = fluctuations(both, average=3, exposure=0.0, hold_beta=True)
    left, right = (np.nanmedian(found.map.tau[:, part]) for part in (slice(8), slice(12, 20)))
    assert 2.8 < left < 5.6
    assert 11.0 < right < 32.0  # held is the exponent of the mixture, which no half has


def test_arrhenius_returns_the_barrier_that_was_put_in() -> None:
    kelvin = np.array([600.0, 650.0, 700.0])
    tau = 1e-9 * np.exp(1.2 / (BOLTZMANN * kelvin))
    law = arrhenius(kelvin, [Uncertain(t, 0.1 * t, 0.8 * t, 1.2 * t) for t in tau])
    assert law.barrier == pytest.approx(1.2)
    assert law.log_prefactor == pytest.approx(np.log(1e-9))


def test_what_has_no_relaxation_time_is_refused() -> None:
    with pytest.raises(UserError, match="every frame is the same"):
        fluctuations(np.ones((40, 8, 8)))
    noise = np.random.default_rng(0).normal(10, 1, (60, 8, 8))
    with pytest.raises(UserError, match="are not correlated"):
        fluctuations(noise)
    with pytest.raises(UserError, match="at least 20"):
        fluctuations(noise[:10])
    broken = noise.copy()
    broken[3, 2, 2] = np.nan
    with pytest.raises(UserError, match="not finite"):
        fluctuations(broken)
    late = np.arange(60.0)
    late[30:] += 2
    with pytest.raises(UserError, match="from frame 29 to 30 3 s, else 1 s"):
        make_series(noise, times=late)


@pytest.mark.parametrize("kind", ["npy", "zarr", "tif", "mrc", "folder"])
def test_every_kind_of_file_gives_the_same_frames(kind: str, tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 100, (24, 6, 5)).astype(np.int16)
    path = tmp_path / ("frames" if kind == "folder" else f"series.{kind}")
    if kind == "npy":
        np.save(path, frames)
    elif kind == "zarr":
        import zarr

        zarr.save_array(path, frames)
    elif kind == "tif":
        import tifffile

        tifffile.imwrite(path, frames, photometric="minisblack")
    elif kind == "mrc":
        head = np.zeros(256, "<i4")
        head[:4] = (5, 6, 24, 1)
        head[16:19] = (1, 2, 3)
        path.write_bytes(head.tobytes() + frames.tobytes())
    else:
        path.mkdir()
        for number, frame in enumerate(frames):
            np.save(path / f"{number:03d}.npy", frame)
    series = read_series(path, interval=0.5)
    read = np.concatenate([values for _, values in series.blocks(24 * 5 * 4 * 2)], axis=1)
    np.testing.assert_array_equal(read, frames)
    assert (series.interval, series.unit) == (0.5, "s")


def test_frames_of_different_size_are_refused(tmp_path: Path) -> None:
    for number in range(30):
        np.save(tmp_path / f"{number:03d}.npy", np.ones((4, 5 + (number > 20))))
    with pytest.raises(UserError, match=r"021.npy is 4 x 6 px, but 000.npy 4 x 5"):
        read_series(tmp_path)


def test_the_command_writes_figure_values_and_maps(tmp_path: Path) -> None:
    for name, tau in (("cold", 9.0), ("hot", 4.0)):
        np.save(tmp_path / f"{name}.npy", markov(100, 12, tau).astype(np.float32))
    out = tmp_path / "out"
    files = [str(tmp_path / f"{name}.npy") for name in ("cold", "hot")]
    kelvin = ["--temperature", "600", "--temperature", "650"]
    done = CliRunner().invoke(app, ["fluctuations", *files, "-o", str(out), *kelvin])
    assert done.exit_code == 0, done.output
    assert "barrier" in done.stdout
    written = {path.name for path in out.iterdir()}
    assert {"cold.png", "hot.json", "hot-maps.npz", "arrhenius.png"} <= written
