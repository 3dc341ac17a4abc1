"""Whether a fit means anything: a structure that an image hardly shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from htinvert.forward.stm import Stm

LEAST = 0.2  # correlation below which two images of many pixels have next to nothing in common


def hardly_seen(detail: Mapping[str, float], forward: Any) -> str:
    """What is wrong where a score's correlation means nothing; empty where it has none or more."""
    correlation = detail.get("ncc")
    if correlation is None or correlation >= LEAST:
        return ""
    text = f"the image shows nothing of this structure: their correlation is {correlation:.2f}, so "
    text += "what was fitted means nothing; "
    if isinstance(forward, Stm):
        return (
            text + "give a density that means something (forward.density: {use: gpaw}, or a file), "
            "another bias or isovalue, or the right turn (rotation, mirror)"
        )
    return text + "check the structure, its turn (beam, up, rotation), the pixel size and the crop"
