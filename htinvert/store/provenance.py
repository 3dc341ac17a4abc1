"""What ``provenance.json`` says of how a run was begun, also where it is lost or damaged.

``log.jsonl`` has a copy. What neither tells is written again when the run goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from htinvert.store.archive import write_durably
from htinvert.store.marks import sync

NAME, LOG = "provenance.json", "log.jsonl"
REPAIRED = {"repaired": True}
"""Stands for a provenance that is not known, until the run goes on."""


def read_provenance(folder: Path) -> dict[str, Any]:
    """Versions, machine and imaging parameters that a run was begun with; empty if not known."""
    held = own_provenance(folder)
    if held is not None:
        return held
    told = (event.get("provenance") for event in read_log(folder))
    return next((text for text in told if isinstance(text, dict) and text != REPAIRED), {})


def begun_at(provenance: Mapping[str, Any]) -> dict[str, dict[str, float]] | None:
    """Imaging parameters that a run was begun with, by channel; None where none are recorded.

    What nothing had fitted by then, as an EXAFS' widths from an empty box, is left out.
    """
    told = provenance.get("calibration")
    if not isinstance(told, dict):
        return None
    return {
        name: {key: value for key, value in values.items() if value is not None}
        for name, values in told.items()
        if values
    }


def own_provenance(folder: Path) -> dict[str, Any] | None:
    """The same from its own file, None where that is lost, no JSON, or a stand-in."""
    try:
        found = json.loads((folder / NAME).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found != REPAIRED else None


def write_provenance(folder: Path, provenance: Mapping[str, Any]) -> None:
    """Keep a provenance durably."""
    text = json.dumps(provenance, indent=1, default=str, ensure_ascii=False)
    write_durably(folder / NAME, text.encode())
    sync(folder)


def read_log(folder: Path) -> Iterator[dict[str, Any]]:
    """Events of ``log.jsonl`` in their order; a line that is torn or damaged is left out."""
    try:
        lines = (folder / LOG).read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue  # it was being written when the run was killed
        if isinstance(event, dict):
            yield event
