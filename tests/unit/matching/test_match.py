"""A member is found at whatever orientation; what cannot be matched is said so."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from htinvert.core import Signal, UserError
from htinvert.matching.index import Index, build_index
from htinvert.matching.library import LibraryView, entries
from htinvert.matching.match import match
from htinvert.matching.pipeline import Effort
from htinvert.structures.write import write_structure
from htinvert.testing.matching_trials import tilt_boundary

QUICK = Effort(placed=2, places=3, fitted=2)
FIRST = Effort(placed=2, places=3, fitted=1)  # a fit of what is not the image takes longest
Picture = Callable[[float], Signal]


def test_the_right_member_comes_first_in_the_pose_it_was_imaged_in(
    index: Index, picture: Picture
) -> None:
    answer = match(picture(30.0), index, LibraryView(), effort=QUICK)
    assert answer.names[0] == "tilt30.xyz"
    found = answer.hits[0].fitted.pose.parameters
    assert found["rotation"] % 360 == pytest.approx(237.0, abs=0.3)  # degrees; the scan drifts
    assert answer.hits[0].pixel_size == pytest.approx(0.2 / 1.06, rel=0.005)
    assert found["shift_x"] == pytest.approx(3.0, abs=0.5)  # Å; less than half a column apart
    assert not answer.judgment.none_of_these


def test_without_the_right_member_none_of_these_is_said(
    folder: Path, picture: Picture, tmp_path: Path
) -> None:
    rest = [entry for entry in entries(folder) if entry.name != "tilt30.xyz"]
    index = build_index(rest, LibraryView(), tmp_path / "c")
    answer = match(picture(30.0), index, LibraryView(), effort=replace(FIRST, placed=1))
    assert answer.judgment.none_of_these
    assert answer.verdict.startswith("none of these")


def test_an_image_without_scale_is_matched_with_a_note(index: Index, picture: Picture) -> None:
    seen = Signal.image(picture(18.0).data, 1.0)  # what counts is that 1.0 is not used
    answer = match(seen, index, LibraryView(), effort=FIRST, scale_known=False)
    assert answer.names[0] == "tilt18.xyz"
    assert answer.hits[0].pixel_size == pytest.approx(0.2 / 1.06, rel=0.01)
    assert "scale was free" in answer.notes[0]


def test_a_library_of_images_is_warped_instead(tmp_path: Path, picture: Picture) -> None:
    for angle in (8.0, 30.0):
        view = LibraryView().member
        write_structure(tmp_path / "one.xyz", tilt_boundary(angle, side=110.0))
        member = view(entries(tmp_path / "one.xyz")[0])
        image = member.view(0.2)
        (tmp_path / "images").mkdir(exist_ok=True)
        np.savez(tmp_path / "images" / f"{angle:.0f}.npz", image=image.data, sampling=[0.2])
    index = build_index(entries(tmp_path / "images"), LibraryView(), tmp_path / "c")
    answer = match(picture(30.0), index, LibraryView(), effort=QUICK)
    assert answer.names[0] == "30.npz"


def test_unreadable_members_are_named_and_skipped(folder: Path, tmp_path: Path) -> None:
    made = tmp_path / "library"
    made.mkdir()
    shutil.copy(folder / "tilt8.xyz", made)
    (made / "broken.cif").write_text("not a structure", encoding="utf-8")
    np.save(made / "flat.npy", np.ones((64, 64)))
    index = build_index(entries(made), LibraryView(sampling=0.2), tmp_path / "c")
    assert set(index.failed) == {"broken.cif", "flat.npy"}
    assert "flat.npy is the same everywhere" in index.failed["flat.npy"]


def test_an_empty_library_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is empty.*build --library"):
        entries(tmp_path)
    with pytest.raises(UserError, match="there is no library"):
        entries(tmp_path / "missing")


def test_a_library_in_which_nothing_can_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.cif").write_text("not a structure", encoding="utf-8")
    with pytest.raises(UserError, match="no member of the library could be described"):
        build_index(entries(tmp_path), LibraryView(), tmp_path / "c.zarr")
    assert not list(tmp_path.glob("*.zarr*"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.ones((300, 300)), "the same everywhere"),
        (np.full((300, 300), np.nan), "not finite"),
        (np.eye(50), "matching needs 20"),
    ],
)
def test_an_image_that_cannot_be_matched_is_refused(
    index: Index, data: np.ndarray, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        match(Signal.image(data, 0.2), index, LibraryView(), effort=QUICK)
