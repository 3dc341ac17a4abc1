"""No run is written through a link, however deep it lies."""

from pathlib import Path

import pytest

from htinvert.core import UserError
from htinvert.store.links import require_no_links


@pytest.mark.parametrize("place", ["log.jsonl", "results.zarr/candidates/energy"])
@pytest.mark.parametrize("kind", ["file", "folder", "nothing"])
def test_a_link_is_refused_by_name(tmp_path: Path, place: str, kind: str) -> None:
    target = tmp_path / "target"
    if kind != "nothing":
        target.touch() if kind == "file" else target.mkdir()
    link = tmp_path / "run" / place
    link.parent.mkdir(parents=True)
    require_no_links(tmp_path / "run")
    link.symlink_to(target)
    with pytest.raises(UserError, match=f"{place} is a link"):
        require_no_links(tmp_path / "run")


def test_a_run_that_is_not_there_has_none(tmp_path: Path) -> None:
    require_no_links(tmp_path / "run")
