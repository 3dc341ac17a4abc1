"""The frames of a series: which there are, and how far each has moved."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk

from htinvert.campaign.frames import (
    frames_of,
    image_shift,
    nearest_repeat,
    repeats_of,
    require_equal_size,
    series_experiment,
)
from htinvert.core import Signal, UserError
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.testing.planted_series import record_series

STEM: dict[str, Any] = {"image": "stack.npy", "forward": {"use": "stem_convolution"}}
PDF: dict[str, Any] = {"data": "a.gr", "forward": {"use": "pdf"}}
SCANS = Path(__file__).parents[2] / "physics" / "planted" / "series" / "scans.npz"


def test_frames_are_those_of_a_stack_or_the_files_of_a_folder(tmp_path: Path) -> None:
    raw = {"experiments": {"haadf": STEM}}
    np.save(tmp_path / "stack.npy", np.ones((5, 8, 9)))
    found = frames_of(raw, "haadf", folder=tmp_path, chosen=slice(1, 4))
    assert [block["channel"] for block in found] == [1, 2, 3]
    assert found[0]["image"] == str((tmp_path / "stack.npy").resolve())
    several = tmp_path / "several"
    several.mkdir()
    for name in ("b", "a"):
        np.save(several / f"{name}.npy", np.ones((8, 9)))
    (several / "notes.md").write_text("no frame")
    found = frames_of(raw, "haadf", folder=tmp_path, frames=several)
    assert [Path(block["image"]).name for block in found] == ["a.npy", "b.npy"]


def test_one_frame_is_no_series(tmp_path: Path) -> None:
    np.save(tmp_path / "stack.npy", np.ones((8, 9)))
    with pytest.raises(UserError, match="gives 1 frames and a series needs two; give a stack"):
        frames_of({"experiments": {"haadf": STEM}}, "haadf", folder=tmp_path)


def test_the_experiment_is_the_only_image_or_the_one_named() -> None:
    assert series_experiment({"experiments": {"pdf": PDF, "haadf": STEM}}, None) == "haadf"
    assert series_experiment({"experiments": {"a": STEM, "b": STEM}}, "b") == "b"
    with pytest.raises(UserError, match="2 experiments with an image; say which"):
        series_experiment({"experiments": {"a": STEM, "b": STEM}}, None)
    with pytest.raises(UserError, match="has no experiment c; it has a"):
        series_experiment({"experiments": {"a": STEM}}, "c")


def test_a_frame_of_another_size_is_refused() -> None:
    small, large = (Signal.image(np.ones(shape), 0.2) for shape in ((8, 9), (8, 10)))
    with pytest.raises(UserError, match="frame 3 is 8 x 10 px, but the first one 8 x 9"):
        require_equal_size(small, large, 3)


def test_a_jump_by_a_repeat_of_the_lattice_is_taken_back() -> None:
    vectors = [np.array([0.0, 36.0]), np.array([20.0, 5.0]), np.array([0.1, 0.0])]
    step = np.array([1.0, -0.5]) + vectors[0] - 2 * vectors[1]
    assert nearest_repeat(step, np.array([1.4, 0.2]), vectors) == pytest.approx([1.0, -0.5])


def test_so_is_one_by_a_repeat_within_the_cell() -> None:
    """Two layers of a face-centered host: half the cell's diagonal is a translation of it."""
    host = bulk("Cu", cubic=True).repeat((1, 1, 4))
    host.pbc = (True, True, False)
    model = StemConvolution(sampling=0.25, shape=(40, 40), beam="z", up="y")
    vectors, others = repeats_of(host, host, model)
    half = 0.5 * 3.61 / 0.25
    jumped = np.array([0.3 + half, 0.2 - half])
    assert nearest_repeat(jumped, np.zeros(2), vectors, others) == pytest.approx([0.3, 0.2])


def test_planted_frames_drift_as_is_told() -> None:
    """To 0.5 px, the jitter of rows and counting noise of two frames."""
    frames, drift = record_series(dict(np.load(SCANS)), states=["before"] * 4, seed=1)
    images = [Signal.image(frame, 0.22) for frame in frames]
    for k in range(1, 4):
        moved = (drift[k] - drift[k - 1]) / 0.22
        assert image_shift(images[k - 1], images[k]) == pytest.approx(moved, abs=0.5)
