"""What packages register is read once, but never missed."""

import os
import sys
from pathlib import Path

import pytest

from htinvert import plugins


def install(folder: Path, name: str) -> None:
    """A package's metadata, as pip leaves them."""
    made = folder / f"{name}-1.0.dist-info"
    made.mkdir(parents=True)
    (made / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (made / "entry_points.txt").write_text(f"[htinvert.metric]\n{name} = json:dumps\n")


def test_a_package_that_is_installed_meanwhile_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = plugins.names("metric")
    install(tmp_path, "first")
    assert plugins.names("metric") == before, "its folder is none of Python's yet"
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    assert plugins.names("metric") == sorted([*before, "first"])
    install(tmp_path, "second")
    os.utime(tmp_path, (10**9, 10**9))  # a file system's clock may stand still meanwhile
    assert plugins.names("metric") == sorted([*before, "first", "second"])
    assert plugins.foreign("metric") == ["first", "second"]
