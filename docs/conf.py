"""How Sphinx builds this folder: `make docs`; a warning is an error."""

from __future__ import annotations

import os
import re
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = {
    "README.md": "readme",
    "VISION.md": "vision",
    "CHANGELOG.md": "changelog",
    "LICENSE": "license",
    "benchmarks/README.md": "benchmarks",
    "benchmarks/results.md": "measurements",
    "deploy/README.md": "deployment",
}  # pages of the repository that are shown here, too

project = "htinvert"
author = "the htinvert developers"
copyright = author
release = version = version_of("htinvert")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"
html_theme = "furo"
html_title = f"htinvert {version}"


def copy_pages(app: Any) -> None:
    """Put pages of the repository beside the others, with links as seen from there."""
    folder = Path(app.srcdir) / "_pages"
    folder.mkdir(exist_ok=True)
    for path, name in OUTSIDE.items():
        text = (ROOT / path).read_text(encoding="utf-8")
        if not path.endswith(".md"):
            text = f"# License\n\n```text\n{text}\n```\n"
        text = re.sub(r"\]\((\.\./)?docs/", "](../", text)
        for other, page in OUTSIDE.items():
            link = os.path.relpath(other, Path(path).parent)
            text = re.sub(rf"\]\({re.escape(link)}(?=[)#])", f"]({page}.md", text)
        (folder / f"{name}.md").write_text(text, encoding="utf-8")


def show_inside(app: Any, name: str, source: list[str]) -> None:  # noqa: ARG001
    """Lead links that leave the folder to the pages that are shown here."""
    for path, page in OUTSIDE.items():
        source[0] = source[0].replace(f"](../{path}", f"](_pages/{page}.md")


def setup(app: Any) -> None:
    """Sphinx calls this."""
    app.connect("builder-inited", copy_pages)
    app.connect("source-read", show_inside)
