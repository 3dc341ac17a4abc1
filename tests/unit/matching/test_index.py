"""The cache of descriptors: kept, reused, never trusted where it is damaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from htinvert.matching import index as module
from htinvert.matching.index import build_index
from htinvert.matching.library import LibraryView, entries


def test_a_second_call_describes_nothing(folder: Path, tmp_path: Path) -> None:
    first = build_index(entries(folder), LibraryView(), tmp_path / "c")
    again = build_index(entries(folder), LibraryView(), tmp_path / "c")
    assert (first.reused, again.reused) == (0, 4)
    np.testing.assert_array_equal(first.signatures, again.signatures)
    np.testing.assert_array_equal(first.maps([2])[2], again.maps([2])[2])
    assert [path.name for path in tmp_path.iterdir()] == ["c"]  # nothing half-written is left


def test_only_what_is_new_is_described(folder: Path, tmp_path: Path) -> None:
    made = tmp_path / "library"
    shutil.copytree(folder, made)
    build_index(entries(made), LibraryView(), tmp_path / "c")
    shutil.copy(made / "tilt8.xyz", made / "copy.xyz")
    more = build_index(entries(made), LibraryView(), tmp_path / "c")
    assert more.reused == 4
    row = {entry.name: number for number, entry in enumerate(more.entries)}
    same = more.signatures[row["copy.xyz"]] @ more.signatures[row["tilt8.xyz"]]
    assert same == pytest.approx(1.0, abs=1e-4)  # single precision


def test_other_settings_are_another_index(folder: Path, tmp_path: Path) -> None:
    build_index(entries(folder), LibraryView(), tmp_path / "c")
    assert build_index(entries(folder), LibraryView(sampling=0.3), tmp_path / "c").reused == 0


def test_a_flipped_bit_is_noticed_and_described_anew(folder: Path, tmp_path: Path) -> None:
    first = build_index(entries(folder), LibraryView(), tmp_path / "c")
    chunk = next(path for path in (tmp_path / "c" / "signature" / "c").rglob("*") if path.is_file())
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(bytes(content))
    again = build_index(entries(folder), LibraryView(), tmp_path / "c")
    assert again.reused == 0
    np.testing.assert_allclose(again.signatures, first.signatures, atol=1e-6)


def test_a_failed_build_leaves_the_old_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_index(entries(folder), LibraryView(), tmp_path / "c")
    original = module.described_members
    monkeypatch.setattr(module, "described_members", _interrupt)
    with pytest.raises(KeyboardInterrupt):
        build_index(entries(folder), LibraryView(sampling=0.3), tmp_path / "c")
    monkeypatch.setattr(module, "described_members", original)
    assert build_index(entries(folder), LibraryView(), tmp_path / "c").reused == 4
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
