"""Write figures and files beside a run, whose folder somebody else may have sent."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def save(figure: Any, path: Path, *, dpi: int = 150) -> None:
    """Write a figure of matplotlib, in place of what has this name."""
    drop_links(path)
    figure.savefig(path, dpi=dpi)


def drawn(path: Path, draw: Callable[[Path], object]) -> str:
    """Draw into a file, and say so; or why not, for of a run to be read only a picture is spare."""
    try:
        draw(path)
    except OSError as error:
        return f"not drawn: {path} cannot be written ({error.strerror or error})"
    return f"drawn: {path}"


def drop_links(place: Path) -> None:
    """Remove a link, and all links below a folder, so that nothing is written where they lead."""
    if place.is_symlink():
        place.unlink()
    for folder, folders, files in os.walk(place):
        for name in (*folders, *files):
            if (found := Path(folder, name)).is_symlink():
                found.unlink()
