"""Scans of patterns that stay in their file: memory, order of axes, defects, images of them."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import htinvert as ht
from htinvert.core import UserError
from htinvert.signals.disk import find_disk
from htinvert.signals.kind import kind_named
from htinvert.signals.scan import BLOCK
from tests.unit.signals.scans import PLACES, RADIUS, STEP, disk, scan

RING = [{"virtual": {"inner": 18, "outer": 27}}]
DISK = {"disk": RADIUS}


def image(path: Path, steps: list[dict[str, Any]] = RING, **patterns: Any) -> np.ndarray:
    return ht.read(path, sampling=0.3, patterns=DISK | patterns, prepare=steps).data


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, np.ndarray]:
    data, share = scan()
    np.save(tmp_path / "scan.npy", data)
    return tmp_path / "scan.npy", share


# ---------------------------------------------------------------- the disk


@pytest.mark.parametrize(
    ("middle", "radius"),
    [((64.0, 64.0), 20.0), ((30.3, 90.2), 25.4), ((64.0, 21.3), 30.0), ((107.0, 50.0), 32.0)],
)
def test_the_disk_is_found_to_a_third_of_a_pixel_also_where_it_is_cut_off(
    middle: tuple[float, float], radius: float
) -> None:
    found = find_disk(np.random.default_rng(1).poisson(20 * disk((128, 128), middle, radius) + 0.5))
    assert (found.row, found.column) == pytest.approx(middle, abs=0.35)
    assert found.radius == pytest.approx(radius, abs=0.35)


def test_the_disk_is_not_the_patch_of_those_that_overlap() -> None:
    around = ((20, 0), (-20, 0), (0, 20), (0, -20))
    pattern = disk((128, 128), (64, 64), 24.0)
    pattern += 0.6 * sum(disk((128, 128), (64 + y, 64 + x), 24.0) for y, x in around)
    assert find_disk(pattern).radius == pytest.approx(24.0, abs=0.35)
    assert np.sqrt((pattern > 0.3).sum() / np.pi) > 1.4 * 24.0


def test_the_measured_disk_of_srtio3_is_inside_of_the_bright_patch(shared_data: Path) -> None:
    """Both patterns are of one series, and their patch is some 1.35 times the aperture."""
    radii = []
    for file in sorted((shared_data / "sto-pacbed").glob("*.jpg")):
        pattern = ht.read(file, kind="pattern", sampling=1.0, unit="mrad").data
        found = find_disk(pattern)
        patch = np.sqrt((pattern > 0.2 * np.percentile(pattern, 99.9)).sum() / np.pi)
        assert 1.2 < patch / found.radius < 1.45
        radii.append(found.radius)
    assert radii[0] == pytest.approx(radii[1], rel=0.02)


def test_noise_has_no_disk() -> None:
    with pytest.raises(UserError, match="give sampling and unit in place of disk"):
        find_disk(np.random.default_rng(0).random((64, 64)))


# ---------------------------------------------------------------- images of a scan


def test_a_ring_shows_what_falls_on_it(made: tuple[Path, np.ndarray]) -> None:
    path, share = made
    found = image(path)
    assert found.shape == PLACES
    assert np.corrcoef(found.ravel(), share.ravel())[0, 1] > 0.999


def test_segments_of_a_ring_add_up_to_it(made: tuple[Path, np.ndarray]) -> None:
    path, _ = made
    ring = {"inner": 18, "outer": 27}
    quarters = [{**ring, "start": a, "stop": a + 90} for a in (-45, 45, 135, 225)]
    total = sum(image(path, [{"virtual": quarter}]) for quarter in quarters)
    np.testing.assert_allclose(total, image(path), rtol=1e-5)


def test_the_center_of_mass_is_how_far_a_pattern_is_shifted(tmp_path: Path) -> None:
    y, x = np.indices(PLACES)
    right, down = 2.0 * np.cos(x), -1.5 * np.sin(y + x)  # px
    patterns = [
        1000 * disk((64, 64), (31 + d, 33 + r), 12.0)
        for r, d in zip(right.ravel(), down.ravel(), strict=True)
    ]
    np.save(tmp_path / "a.npy", np.reshape(patterns, (*PLACES, 64, 64)).astype(np.float32))
    keys = {"sampling": STEP, "unit": "mrad", "prepare": [{"center": "mass"}]}
    for direction, shift in (("x", right), ("y", down)):
        found = ht.read(
            tmp_path / "a.npy", sampling=0.3, patterns=keys, prepare=[{"com": direction}]
        ).data
        expected = STEP * shift
        assert found - found.mean() == pytest.approx(expected - expected.mean(), abs=0.02)
    turned = ht.read(
        tmp_path / "a.npy", sampling=0.3, patterns=keys,
        prepare=[{"com": {"direction": "y", "rotation": 90}}],
    ).data  # fmt: skip
    assert np.corrcoef(turned.ravel(), -right.ravel())[0, 1] > 0.999


def test_the_integral_has_the_slopes_that_it_is_made_of() -> None:
    from htinvert.signals.virtual import integrated

    y, x = np.indices((40, 40)) * 0.2
    phase = np.exp(-((x - 3) ** 2 + (y - 5) ** 2) / 2)
    found = integrated(-(x - 3) * phase, -(y - 5) * phase, (0.2, 0.2))
    assert found == pytest.approx(phase - phase.mean(), abs=2e-3)


# ---------------------------------------------------------------- files and memory


def test_little_more_than_a_block_is_in_memory(tmp_path: Path) -> None:
    """0.24 GB as float32 in 0.16 GB; one of 8 GB in benchmarks/scans.py."""
    path = tmp_path / "large.npy"
    large = np.lib.format.open_memmap(path, "w+", np.uint8, (40, 40, 192, 192))
    large[0] = (100 * disk((192, 192), (96, 96), 60)).astype(np.uint8)
    large[1:, ::7] = large[0, 0]
    del large
    keys = {"sampling": 0.5, "unit": "mrad", "prepare": [{"center": "disk"}]}
    tracemalloc.start()
    try:
        found = ht.read(
            path, sampling=0.3, patterns=keys, prepare=[{"virtual": {"inner": 0, "outer": 28}}]
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.data.shape == (40, 40) and found.data[0, 0] > found.data[1, 1] == 0
    assert 4 * path.stat().st_size > 230e6 and peak < 10 * BLOCK


def test_a_scan_that_is_too_large_says_how_to_reduce_it(tmp_path: Path) -> None:
    path = tmp_path / "large.npy"
    np.lib.format.open_memmap(path, "w+", np.uint8, (128, 128, 256, 256)).flush()
    with pytest.raises(UserError, match=r"4\.3 GB, more than the 2 GB .* average, cells"):
        ht.read(path, kind="pattern", sampling=0.5, unit="mrad")


def test_frames_in_a_row_are_put_into_rows(made: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    path, _ = made
    np.save(tmp_path / "row.npy", np.load(path).reshape(-1, 128, 128))
    np.testing.assert_array_equal(image(tmp_path / "row.npy", places=PLACES), image(path))
    with pytest.raises(UserError, match="holds 120 frames, not 11 x 10"):
        image(tmp_path / "row.npy", places=(11, 10))
    with pytest.raises(UserError, match="give places, the rows and columns"):
        image(tmp_path / "row.npy")


def test_empads_raw_file_is_read_without_its_xml(tmp_path: Path) -> None:
    data, _ = scan(places=(9, 9))
    frames = np.zeros((9, 9, 130, 128), np.float32)
    frames[..., :128, :] = data
    frames.tofile(tmp_path / "a.raw")
    np.save(tmp_path / "a.npy", data)
    np.testing.assert_allclose(image(tmp_path / "a.raw"), image(tmp_path / "a.npy"), rtol=1e-6)
    frames[:8].tofile(tmp_path / "b.raw")
    with pytest.raises(UserError, match=r"72 frames in a row; .* places"):
        image(tmp_path / "b.raw")
    (tmp_path / "c.raw").write_bytes(bytes(1000))
    with pytest.raises(UserError, match="no whole number of frames|not a whole number of frames"):
        image(tmp_path / "c.raw")


def test_zarr_and_npz_say_their_axes(tmp_path: Path) -> None:
    data, _ = scan(places=(5, 5))
    said: dict[str, Any] = {"sampling": STEP, "unit": "mrad", "scan": 0.4}
    np.savez(tmp_path / "a.npz", pattern=data, **said)
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("pattern", data=data)
    group.attrs.update(said)
    for name in ("a.npz", "a.zarr"):
        found = ht.read(tmp_path / name, kind="pattern")
        assert found.sampling == pytest.approx((0.4, 0.4, STEP, STEP))
        assert found.axes[-1].unit == "mrad"
        assert ht.read(tmp_path / name, prepare=RING).sampling == pytest.approx((0.4, 0.4))


@pytest.mark.parametrize(("ending", "writer"), [("hspy", "hspy"), ("blo", "blockfile")])
def test_files_of_instruments_stay_where_they_are(
    made: tuple[Path, np.ndarray], tmp_path: Path, ending: str, writer: str
) -> None:
    import importlib

    path, _ = made
    data = np.load(path)
    data = (data // 2).astype(np.uint8)
    sizes = zip(("y", "x", "dy", "dx"), data.shape, (0.03, 0.03, 1.0, 1.0), strict=True)
    axes = [
        {"name": name, "size": size, "scale": scale, "offset": 0.0, "navigate": i < 2,
         "units": "nm" if i < 2 else "px", "index_in_array": i}
        for i, (name, size, scale) in enumerate(sizes)
    ]  # fmt: skip
    metadata = {"General": {"title": "a"}, "Signal": {"signal_type": ""}}
    signal = {"data": data, "axes": axes, "metadata": metadata, "original_metadata": {}}
    package = {"package": "", "package_version": ""}
    more: dict[str, Any] = {"attributes": {"_lazy": False}, "package_info": package}
    more |= {"learning_results": {}, "models": {}, "tmp_parameters": {}}
    importlib.import_module(f"rsciio.{writer}").file_writer(
        str(tmp_path / f"a.{ending}"), signal | more
    )
    np.save(tmp_path / "b.npy", data)
    np.testing.assert_allclose(
        image(tmp_path / f"a.{ending}"), image(tmp_path / "b.npy"), rtol=1e-6
    )


def test_empads_xml_and_merlins_mib_are_read_as_scans(tmp_path: Path) -> None:
    data, _ = scan(places=(6, 5))
    np.save(tmp_path / "a.npy", data)
    frames = np.zeros((6, 5, 130, 128), np.float32)
    frames[..., :128, :] = data
    frames.tofile(tmp_path / "b.raw")
    (tmp_path / "b.xml").write_text(
        '<root><raw_file filename="b.raw"/><pix_x>5</pix_x><pix_y>6</pix_y></root>'
    )
    expected = image(tmp_path / "a.npy")
    for name in ("b.xml", "b.raw"):
        np.testing.assert_allclose(image(tmp_path / name), expected, rtol=1e-6)
    head = "MQ1,{:06d},00384,01,0128,0128,U16,   1x1,01,2020-01-01T00:00:00.000000Z,1000000ns,0,12"
    with (tmp_path / "c.mib").open("wb") as file:
        for number, frame in enumerate(data.reshape(-1, 128, 128), 1):
            file.write(head.format(number).encode().ljust(384, b" "))
            file.write(frame[::-1].astype(">u2").tobytes())  # Merlin's rows count from below
    np.testing.assert_allclose(image(tmp_path / "c.mib", places=(6, 5)), expected, rtol=1e-6)


# ---------------------------------------------------------------- what detectors do


def test_exchanged_axes_are_seen_and_put_right(
    made: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    path, _ = made
    np.save(tmp_path / "x.npy", np.load(path).transpose(2, 3, 0, 1))
    with pytest.raises(UserError, match="seems to have the axes of the scan last.*exchanged: true"):
        image(tmp_path / "x.npy")
    np.testing.assert_array_equal(image(tmp_path / "x.npy", exchanged=True), image(path))


def test_without_calibration_the_disks_radius_is_asked_for(made: tuple[Path, np.ndarray]) -> None:
    path, _ = made
    with pytest.raises(UserError, match=r"disk, the radius of the bright disk \[mrad\]"):
        ht.read(path, sampling=0.3, prepare=RING)
    with pytest.raises(UserError, match="axes are in 1/Å and angles in mrad; set patterns: disk"):
        ht.read(path, sampling=0.3, patterns={"sampling": 0.02}, prepare=RING)
    found = ht.read(path, kind="pattern", disk=RADIUS)
    assert found.axes[-1].step == pytest.approx(STEP, rel=0.01)
    assert found.coordinates(-1)[64] == pytest.approx(0.0, abs=0.1)


def test_a_pattern_off_center_by_a_third_is_centered_and_its_ring_completed(
    made: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    path, _ = made
    data, _ = scan(middle=(64.0, 64.0 + 128 / 3))
    np.save(tmp_path / "off.npy", data)
    assert image(tmp_path / "off.npy") == pytest.approx(image(path), rel=0.04)
    with pytest.raises(UserError, match="center of mass would be that of a part"):
        image(tmp_path / "off.npy", [{"com": {"direction": "x", "outer": 18}}])
    with pytest.raises(UserError, match="bright at the frame's border"):
        image(tmp_path / "off.npy", [{"com": "x"}])
    with pytest.raises(UserError, match=r"beyond the frame above .* mrad; lower outer"):
        image(path, [{"virtual": {"inner": 18, "outer": 60}}])


def test_dead_and_hot_pixels_are_replaced_and_counted(
    made: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    path, _ = made
    data = np.load(path)
    data[:, :, 64, 106], data[:, :, 23, 64], data[:, :, 64, 70] = 0, 50_000, 0
    np.save(tmp_path / "bad.npy", data)
    assert image(tmp_path / "bad.npy") == pytest.approx(image(path), rel=2e-3)
    kind = kind_named("image")
    keys = kind.keys.model_validate({"sampling": 0.3, "patterns": DISK})
    said = kind.read(tmp_path / "bad.npy", keys, RING)[1]
    assert "pixels of the detector that are dead or hot: 3" in said
    steps = [{"repair": None}, {"average": None}]
    mean = ht.read(tmp_path / "bad.npy", kind="pattern", disk=RADIUS, prepare=steps).data
    assert np.isnan([mean[64, 106], mean[23, 64], mean[64, 70]]).all()
    assert np.isnan(mean).sum() == 3


def test_saturated_pixels_count_for_nothing(made: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    path, _ = made
    data = np.minimum(np.load(path), 255)  # the disk is above
    np.save(tmp_path / "full.npy", data)
    assert image(tmp_path / "full.npy") == pytest.approx(image(path), rel=1e-5)
    with pytest.raises(UserError, match="was not measured .* saturated; give other angles"):
        image(tmp_path / "full.npy", [{"virtual": {"outer": 16}}])
    with pytest.raises(UserError, match="count for the center of mass"):
        image(tmp_path / "full.npy", [{"com": "x"}])


def test_a_beam_stop_is_found_and_the_rest_of_each_ring_stands_for_it(
    made: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    path, _ = made
    data = np.load(path)
    data[:, :, 60:68, 68:] = 0  # from the right border into the disk
    np.save(tmp_path / "stop.npy", data)
    assert image(tmp_path / "stop.npy").mean() < 0.98 * image(path).mean()
    mended = image(tmp_path / "stop.npy", prepare=[{"beam_stop": None}])
    assert mended == pytest.approx(image(path), rel=0.01)
    with pytest.raises(UserError, match="finds no shadow"):
        image(path, prepare=[{"beam_stop": None}])


# ---------------------------------------------------------------- patterns of a scan


def test_cells_have_a_mean_pattern_each(made: tuple[Path, np.ndarray]) -> None:
    path, _ = made
    data = np.load(path).astype(float)
    steps = [{"cells": {"a": [5, 0], "b": [0, 4], "origin": [0, 0]}}]
    found = ht.read(path, kind="pattern", disk=RADIUS, scan=0.3, prepare=steps)
    assert found.data.shape == (3, 2, 128, 128)
    assert found.sampling[:2] == pytest.approx((1.2, 1.5))
    np.testing.assert_allclose(found.data[1, 1], data[4:8, 5:10].mean(axis=(0, 1)), rtol=1e-5)
    oblique = [{"cells": {"a": [5, 0], "b": [2, 4]}}]
    assert ht.read(path, kind="pattern", disk=RADIUS, prepare=oblique).data.shape[:2] == (2, 1)
    with pytest.raises(UserError, match="not one of the cells is wholly in the scan"):
        ht.read(
            path, kind="pattern", disk=RADIUS, prepare=[{"cells": {"a": [30, 0], "b": [0, 30]}}]
        )


def test_steps_of_patterns_come_before_the_image(made: tuple[Path, np.ndarray]) -> None:
    path, _ = made
    binned = image(path, prepare=[{"bin": 2}])
    assert binned == pytest.approx(image(path), rel=0.05)
    with pytest.raises(UserError, match="only the first step of prepare can be one"):
        image(path, [{"crop": [0, 4, 0, 4]}, *RING])
    with pytest.raises(UserError, match="prepare must begin with a step that makes an image"):
        image(path, [{"crop": [0, 4, 0, 4]}])
    with pytest.raises(UserError, match="virtual: {inner: 60, outer: 200}"):
        ht.read(path, sampling=0.3)


# ---------------------------------------------------------------- a campaign, the command


def test_an_experiment_of_a_campaign_may_be_an_image_of_a_scan(
    made: tuple[Path, np.ndarray],
) -> None:
    from pydantic import ValidationError

    from htinvert.campaign.channels import make_described
    from htinvert.config.experiment import of_its_kind

    path, share = made
    block: dict[str, Any] = {
        "data": path.name,
        "sampling": 0.3,
        "patterns": {"disk": RADIUS, "prepare": [{"repair": None}]},
        "prepare": [*RING, {"crop": [1, 11, 1, 9]}],
        "forward": {"use": "stem_convolution", "inner": 18, "outer": 27},
        "metrics": {"registration": None},
    }
    channel, said = make_described("haadf", of_its_kind(block), folder=path.parent)
    assert channel.observed.data.shape == (10, 8) and channel.forward.sampling == 0.3
    assert np.corrcoef(channel.observed.data.ravel(), share[1:11, 1:9].ravel())[0, 1] > 0.999
    assert "12 x 10 places of 0.3 x 0.3 Å" in said
    with pytest.raises(ValidationError, match="beamstop is no step"):
        of_its_kind(block | {"patterns": {"prepare": [{"beamstop": None}]}})
    with pytest.raises(ValidationError, match="outer"):
        of_its_kind(block | {"prepare": [{"virtual": {"inner": 3}}]})


def test_the_command_draws_and_writes_every_image(
    made: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    from typer.testing import CliRunner

    from htinvert.cli import app

    path, share = made
    told = ["--disk", "16", "--step", "0.3", "--energy", "200e3", "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(app, ["scan", str(path), *told])
    assert done.exit_code == 0, done.output
    assert "12 x 10 places of 0.3 x 0.3 Å" in done.output
    assert (tmp_path / "out" / "scan.png").stat().st_size > 10_000
    with np.load(tmp_path / "out" / "scan-images.npz") as found:
        assert {"pattern", "bright", "annular", "com_x", "com_y", "idpc"} <= set(found.files)
        assert np.corrcoef(found["annular"].ravel(), share.ravel())[0, 1] > 0.999
    read = ht.read(tmp_path / "out" / "scan-images.npz", signal="annular")
    assert read.sampling == pytest.approx((0.3, 0.3))


def test_places_that_were_not_measured_are_named_and_may_be_cropped(
    made: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    path, share = made
    data = np.load(path).astype(np.float32)
    data[0, 0] = np.nan
    np.save(tmp_path / "lost.npy", data)
    with pytest.raises(UserError, match="not finite numbers"):
        image(tmp_path / "lost.npy")
    found = image(tmp_path / "lost.npy", [*RING, {"crop": [1, 0, 0, 0]}])
    assert np.corrcoef(found.ravel(), share[1:].ravel())[0, 1] > 0.999
