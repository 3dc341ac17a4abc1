"""A paired comparison: what windows share cancels, few windows or a wide spread give no verdict."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from htinvert.core import Channel, EvaluationFailed, Signal, UserError
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.image.compare import (
    Comparison,
    Contender,
    Difference,
    compare,
    in_place,
    some,
    windows_of,
)
from htinvert.image.surface import SurfaceWindow
from htinvert.metrics.registration import Registration

CRYSTAL = Atoms("TeCd", positions=[[0, 0, 0], [0, 2.0, 2.3]], cell=[4.0, 4.0, 4.6], pbc=True)


def contenders(count):
    return tuple(Contender(f"c{index}", Atoms(), None) for index in range(count))


def test_the_difference_within_windows_is_seen_where_their_spread_would_hide_it():
    rng = np.random.default_rng(5)
    windows = tuple(SurfaceWindow(0, 10 * k, 10, 10) for k in range(12))
    shared = rng.normal(0.3, 0.05, 12)  # what windows differ by
    apart = rng.normal(0.01, 0.003, 12)
    found = Comparison(contenders(2), windows, np.array([shared, shared + apart])).differences()
    assert [entry.verdict for entry in found] == ["the reference", "worse"]
    assert found[1].mean == pytest.approx(apart.mean())
    assert found[1].error == pytest.approx(apart.std(ddof=1) / np.sqrt(12))
    assert found[1].mean < shared.std(ddof=1) / np.sqrt(12)  # unpaired, nothing would be seen


@pytest.mark.parametrize(
    ("mean", "error", "windows", "verdict"),
    [
        (0.01, 0.003, 12, "worse"),
        (-0.01, 0.003, 12, "better"),
        (0.009, 0.003, 12, "not separated"),
        (0.1, 0.003, 9, "no verdict from less than 10 windows"),
    ],
)
def test_a_verdict_takes_three_standard_errors_and_ten_windows(mean, error, windows, verdict):
    assert Difference("x", "candidate", 0.2, mean, error, 0, windows).verdict == verdict


def test_a_contender_that_fails_somewhere_is_compared_where_it_did_not():
    costs = np.full((2, 11), 0.2)
    costs[1] += 0.01 + 0.001 * np.arange(11)
    costs[1, 3] = np.nan
    windows = tuple(SurfaceWindow(0, 10 * k, 10, 10) for k in range(11))
    found = Comparison(contenders(2), windows, costs).differences("c0")
    assert found[1].windows == 10


def test_a_failure_leaves_a_gap_and_is_no_crash():
    def refit(contender, observed, window):
        if contender.name == "c1":
            raise EvaluationFailed("no isovalue")
        return 0.5, {}

    image = Signal.image(np.zeros((20, 60)), 1.0)
    found = compare(image, contenders(2), windows_of((20, 60), (20, 20)), refit=refit)
    assert np.isnan(found.row("c1")).all()
    assert found.best == "c0"
    with pytest.raises(UserError, match="c7 is not among"):
        found.row("c7")


def test_windows_share_no_pixel_and_stay_inside():
    windows = windows_of((512, 500), (79, 79))
    assert len(windows) == 36
    assert min(w.top for w in windows) >= 0
    assert max(w.bottom for w in windows) <= 512
    compare(Signal.image(np.zeros((512, 500)), 1.0), (), windows, refit=lambda *_: (0.0, {}))
    spread = some(windows, 13)
    assert len(set(spread)) == 13
    with pytest.raises(UserError, match="overlap; give windows that share no pixel"):
        compare(
            Signal.image(np.zeros((99, 99)), 1.0),
            (),
            [SurfaceWindow(0, 0, 50, 50), SurfaceWindow(49, 49, 50, 50)],
            refit=lambda *_: (0.0, {}),
        )
    with pytest.raises(UserError, match="no room for a window of 79 x 79"):
        windows_of((60, 500), (79, 79))


def test_a_stem_image_tells_the_planted_crystal_from_one_with_a_moved_column():
    forward = StemConvolution(sampling=0.2, shape=(200, 240))
    clean = forward(CRYSTAL).data
    noise = 0.5 * clean.std() * np.random.default_rng(2).standard_normal(clean.shape)
    observed = Signal.image(clean + noise.astype(np.float32), 0.2)
    channel = Channel("haadf", observed, forward, {"registration": Registration()})
    moved = CRYSTAL.copy()
    moved.positions[1, 2] += 0.3
    found = compare(
        observed,
        [Contender("planted", CRYSTAL, forward), Contender("moved", moved, forward)],
        windows_of((200, 240), (50, 60)),
        refit=in_place(channel),
    )
    assert found.best == "planted"
    assert found.differences()[1].verdict == "worse"
