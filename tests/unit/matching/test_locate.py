"""A structure is found in a whole image at any turn, from either side, or said not to be there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.lattice.cubic import FaceCenteredCubic

from htinvert.core import Signal, UserError
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.image.prepare import prepare
from htinvert.matching.chance import Chance, decoy_poses
from htinvert.matching.locate import locate, seen_along
from htinvert.matching.whole import binned
from htinvert.metrics.correlation import normalized_cross_correlation
from htinvert.testing.columns import planted
from htinvert.testing.matching_trials import tilt_boundary

FORWARD = StemConvolution(beam="x", up="z", inner=80.0, outer=200.0)


@pytest.fixture(scope="module")
def boundary() -> Atoms:
    """Neither grain nor their slide is what its mirror image is."""
    return tilt_boundary(40.0, slide=0.8)


@pytest.mark.parametrize(
    ("rotation", "mirrored", "off", "seed"),
    [(113.0, False, 1.05, 1), (-37.5, True, 0.94, 2), (179.0, True, 1.0, 3)],
)
def test_turn_mirror_scale_and_place_are_found(
    boundary: Atoms, rotation: float, mirrored: bool, off: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    image = planted(
        boundary, rng=rng, rotation=rotation, mirrored=mirrored, shift=(5.0, -8.0), peak=10.0
    )
    image = Signal.image(image.data, 0.2 * off)  # what the header says
    found = locate(image, boundary, forward=FORWARD)
    assert found.sighting.mirrored is mirrored
    assert abs((found.sighting.rotation - rotation + 180) % 360 - 180) < 0.5  # degrees
    assert np.abs(found.sighting.pose.shift / off - [5.0, -8.0]).max() < 0.3  # Å
    assert found.upright.sampling[0] == pytest.approx(0.2, rel=0.005)


def test_the_block_stands_it_upright(boundary: Atoms) -> None:
    """The prepared image, and the forward model with the start values, agree without a fit."""
    image = planted(boundary, rng=np.random.default_rng(4), rotation=66.0, mirrored=True)
    found = locate(image, boundary, forward=FORWARD)
    changes = found.changes()
    prepared = prepare(Signal.image(image.data, changes["sampling"]), changes["prepare"])
    simulated = StemConvolution(
        beam="x", up="z", inner=80.0, outer=200.0, sampling=changes["sampling"],
        **{**changes["forward"], "shape": tuple(changes["forward"]["shape"])},
    )(boundary)  # fmt: skip
    ncc = normalized_cross_correlation(simulated.data, prepared.data)
    row, column = np.unravel_index(int(np.argmax(ncc)), ncc.shape)
    assert ncc.max() > 0.8  # counts and displaced rows are in every pixel here
    middle = (np.array(ncc.shape) - 1) / 2
    assert np.abs(np.array([row, column]) - middle).max() * 0.2 < 1.0  # Å


def test_what_the_image_does_not_show_is_not_found(boundary: Atoms) -> None:
    rng = np.random.default_rng(5)
    noise = Signal.image(rng.normal(size=(260, 260)), 0.2)
    with pytest.raises(UserError, match="was not found in the image"):
        locate(noise, boundary, forward=FORWARD)
    copper = bulk("Cu", cubic=True).repeat((1, 12, 12))
    other = planted(copper, rng=rng, rotation=20.0, size=(240, 240))
    with pytest.raises(UserError, match="was not found in the image"):
        locate(other, boundary, forward=FORWARD)


def test_the_axis_along_which_it_is_seen_is_named() -> None:
    """Zincblende with [111] up shows dumbbells along <110>, and other spacings along <112>."""
    axes = [[1, -1, 0], [1, 1, -2], [1, 1, 1]]
    fcc = FaceCenteredCubic("Cd", directions=axes, size=(2, 4, 6), latticeconstant=6.48)
    te = fcc.copy()
    te.symbols[:] = "Te"
    te.positions[:, 2] += 6.48 * np.sqrt(3) / 4
    crystal = fcc + te
    image = planted(crystal, rng=np.random.default_rng(7), rotation=15.0, size=(240, 240))
    found = seen_along(image, crystal, forward=replace(FORWARD, beam="y"))
    assert found["x"] > 0.9 > 0.7 > found.get("y", 0.0)  # layers of (111) show along both
    assert set(seen_along(image, crystal, forward=FORWARD, without=["x"])) <= {"y"}


def test_who_looks_along_the_wrong_axis_is_told_the_right_one() -> None:
    """Columns along x without any order show as columns from there alone."""
    rng = np.random.default_rng(8)
    size = np.array([24.0, 60.0])  # Å, along y and z
    places: list[np.ndarray] = []
    for place in rng.uniform(0, size, (4000, 2)):
        gaps = np.abs(np.array(places).reshape(-1, 2) - place)
        gaps[:, 0] = np.minimum(gaps[:, 0], size[0] - gaps[:, 0])
        if np.all(np.hypot(*gaps.T) > 2.4):
            places.append(place)
    flat = Atoms(
        f"Au{len(places)}", np.c_[np.zeros(len(places)), places], cell=[4.0, *size], pbc=True
    )
    columns = flat.repeat((6, 1, 1))
    image = planted(columns, rng=rng, rotation=15.0, size=(240, 240))
    with pytest.raises(UserError, match="seen along x it is found: set beam: x"):
        locate(image, columns, forward=replace(FORWARD, beam="y"))


def test_one_grain_alone_is_not_the_boundary(boundary: Atoms) -> None:
    grain = tilt_boundary(0.0)
    image = planted(grain, rng=np.random.default_rng(6), rotation=50.0)
    with pytest.raises(UserError, match="was not found in the image"):
        locate(image, boundary, forward=FORWARD)


def test_chance_needs_more_where_decoys_scatter() -> None:
    quiet = Chance.of([0.05, 0.06, 0.055, 0.06])
    scattered = Chance.of([0.02, 0.15, 0.05, 0.10])
    assert quiet.level < scattered.level <= 0.9
    assert quiet.level > 0.06
    ratios = [pose.anisotropy for pose in decoy_poses()]
    assert min(ratios) > 1.3  # no scan distorts so


def test_blocks_are_averaged_as_numpy_does() -> None:
    data = np.arange(7 * 9, dtype=np.float32).reshape(7, 9)
    small = binned(Signal.image(data, (0.1, 0.1)), 0.2)
    assert small.data == pytest.approx(data[:6, :8].reshape(3, 2, 4, 2).mean(axis=(1, 3)))
    assert small.sampling == pytest.approx((0.2, 0.2))
