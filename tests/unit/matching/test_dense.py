"""Dense nets of one element: where a boundary lies, and whether it is the right one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from htinvert.core import Signal
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.matching.member import Structure
from htinvert.matching.pipeline import Effort, Hit, Lead, finish, judged, settle
from htinvert.matching.pose import FittedPose, Pose, refine, slipped
from htinvert.matching.target import FINE, noise_density, resampled, tiles
from htinvert.matching.verdict import judge
from htinvert.metrics.log_polar import Turn
from htinvert.testing.matching_trials import NETS, Spoiled, tilt_boundary

SPOILED = Spoiled(
    rotation=0.0, magnification=1.0, stretch=(0.0, 0.0), shear=0.0, shift=(1.0, -2.0),
    source_size=1.1, jitter=0.3, drift=(0.2, -0.2), peak=4.0,
)  # fmt: skip
TRUE = replace(Pose.turned(0.0, 1.0), shift=np.array(SPOILED.shift))


def structure(net: str, slide: float = 0.0) -> Structure:
    return Structure(tilt_boundary(30.0, side=110.0, slide=slide, net=net), StemConvolution())


def image(net: str, peak: float) -> Signal:
    rng = np.random.default_rng(2)
    return replace(SPOILED, peak=peak).take(structure(net).atoms, sampling=0.2, size=300, rng=rng)


def fitted(candidate: Structure, fine: Signal) -> FittedPose:
    return refine(candidate, TRUE, fine, half=30.0, iterations=5)


def test_a_boundary_one_column_off_is_moved_to_where_both_grains_fit() -> None:
    """2.24 and 1.58 Å apart are tungsten's columns along [110]; 0.4 Å is far from either."""
    fine = resampled(image("bcc [110]", 20.0), FINE)
    candidate = structure("bcc [110]")
    for off in ((0.0, 1.58), (2.24, 0.0)):
        pose = replace(TRUE, shift=TRUE.shift + np.array(off))
        moved = slipped(candidate, pose, fine, half=30.0, reach=20.0, count=4)
        assert min(np.hypot(*(found.shift - TRUE.shift)) for found in moved) < 0.4


def test_a_source_too_broad_by_half_does_not_stop_a_fit() -> None:
    """Rows 1.3 Å apart are blurred away by it: a whole step of least squares goes too far."""
    taken = replace(SPOILED, magnification=0.82, source_size=0.9, peak=20.0)
    candidate = structure("bcc [110]")
    raw = taken.take(candidate.atoms, sampling=0.2, size=300, rng=np.random.default_rng(2))
    fine = resampled(raw, FINE)
    true = replace(Pose.turned(0.0, 0.82), shift=TRUE.shift, source_size=0.9)
    best, found = (
        refine(candidate, replace(true, source_size=width), fine, half=30.0, iterations=10)
        for width in (0.9, 1.34)
    )
    assert found.correlation == pytest.approx(best.correlation, abs=1e-3)


def test_a_boundary_that_bent_the_pose_is_found_by_what_one_grain_says() -> None:
    """Silicon [111], columns 1.8 Å apart as imaged: 1.9 Å off, both grains fit halfway."""
    spoiled = Spoiled(
        rotation=138.9, magnification=0.83, stretch=(-0.0215, 0.012), shear=-0.005,
        shift=(-3.2, 1.9), source_size=1.14, jitter=0.5, drift=(-1.0, -0.1), peak=20.0,
    )  # fmt: skip
    boundary = tilt_boundary(39.0, side=130.0, slide=0.8, net="Si [111]")
    raw = spoiled.take(boundary, sampling=0.16, size=512, rng=np.random.default_rng(2))
    (tile,) = tiles(raw)
    candidate = Structure(boundary, StemConvolution())
    distorted = np.diag([0.812, 0.840]) @ np.array([[1.0, -0.005], [0.0, 1.0]])
    matrix = distorted @ Pose.turned(138.5, 1.0).matrix
    off = Pose(matrix, np.add(spoiled.shift, (-1.17, 1.46)), spoiled.source_size)
    bent = refine(candidate, off, tile.fine, half=45.0)
    lead = Lead(0, tile, Turn(138.5, 0.83, 0.8))
    found = finish(candidate, Hit(0, tile, bent, lead), Effort(tolerance=0.25), 45.0, again=True)
    assert bent.correlation < 0.8
    assert np.hypot(*(found.fitted.pose.shift - spoiled.shift)) < 0.2
    assert not judged(found).none_of_these


def test_a_boundary_that_nearly_repeats_is_found_among_its_repeats() -> None:
    """Tungsten: seven places fit a bent pose better than the right one, which a fit shows."""
    spoiled = Spoiled(
        rotation=1.976, magnification=1.001, stretch=(0.0095, -0.0032), shear=-0.0155,
        shift=(5.01, -1.68), source_size=0.88, jitter=0.5, drift=(-0.15, 1.26), peak=20.0,
    )  # fmt: skip
    boundary = tilt_boundary(4 + 18 * 1.7, lift=0.8, net="bcc [110]")
    raw = spoiled.take(boundary, sampling=0.16, size=512, rng=np.random.default_rng(2))
    (tile,) = tiles(raw)
    candidate = Structure(boundary, StemConvolution())
    matrix = np.array([[1.0104, 0.0282], [-0.0344, 1.0001]])
    bent = refine(candidate, Pose(matrix, np.array([2.48, -2.33]), 0.9), tile.fine, half=60.0)
    lead = Lead(0, tile, Turn(2.0, 1.0, 0.8))
    found = finish(candidate, Hit(0, tile, bent, lead), Effort(tolerance=0.25), 60.0, again=True)
    assert judged(replace(found, fitted=bent)).none_of_these
    assert np.hypot(*(found.fitted.pose.shift - spoiled.shift)) < 0.2
    assert not judged(found).none_of_these


def test_a_member_whose_spectrum_misled_is_found_in_the_pose_of_the_best() -> None:
    (tile,) = tiles(image("bcc [110]", 20.0))
    members = [structure("bcc [110]"), structure("bcc [110]", slide=0.8)]
    leads = [Lead(0, tile, Turn(8.0, 1.0, 0.8)), Lead(1, tile, Turn(0.0, 1.0, 0.9))]
    (hit,) = settle(leads, members.__getitem__, Effort(fitted=1)).hits
    assert hit.member == 0
    assert not judged(hit).none_of_these


@pytest.mark.parametrize("net", NETS)
def test_noise_alone_is_no_reason_to_say_none_of_these(net: str) -> None:
    """Four counts in the brightest pixel: much is left unexplained, and none of it is wrong."""
    raw = image(net, 4.0)
    fine, noise = resampled(raw, FINE), noise_density(raw)
    right = fitted(structure(net), fine)
    assert judge(right, FINE, noise=0.0).good > 0.05  # what counting leaves
    verdict = judge(right, FINE, noise=noise)
    assert not verdict.none_of_these
    assert verdict.bad < 0.08
    assert judge(fitted(structure(net, slide=0.7), fine), FINE, noise=noise).none_of_these


def test_a_bad_place_in_a_noisy_image_is_seen_behind_its_noise() -> None:
    """Good places 15 % noise, a bad one 40 %: by shares alone that is less than three times."""
    rng = np.random.default_rng(1)
    y, x = np.indices((200, 200)) * 0.3
    shown = 10 + np.cos(2.5 * x) + np.cos(2.5 * y)
    observed = shown + rng.normal(scale=1.9, size=shown.shape)
    observed[:60, :60] += 0.7 * np.cos(1.7 * x + 0.9 * y)[:60, :60]
    pose = FittedPose(TRUE, 0.9, None, shown, observed)  # type: ignore[arg-type]
    without, knowing = judge(pose, 0.3, noise=0.0), judge(pose, 0.3, noise=1.9**2 * 0.3**2)
    assert not without.none_of_these
    assert knowing.none_of_these
