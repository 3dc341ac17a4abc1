"""What the header of a text file says: lines ``key = value`` before the numbers, of any program."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PAIR = re.compile(r"^[#%!\s]*([A-Za-z_][\w.]*)\s*[=:]\s*(\S.*?)\s*$")
MOST_LINES = 500
WORDS = {"xray": "x-ray", "x-ray": "x-ray", "sas": "x-ray", "neutron": "neutron"}
"""How programs call radiation: PDFgetX3, xPDFsuite, PDFgetN3."""


def header_of(path: Path) -> dict[str, Any]:
    """Keys in small letters and their values, numbers where they are; the last of equal keys.

    Empty for files that are no text.
    """
    found: dict[str, Any] = {}
    with path.open("rb") as file:
        lines = [file.readline(2000) for _ in range(MOST_LINES)]
    if any(b"\0" in line for line in lines):
        return {}
    for raw in lines:
        match = PAIR.match(raw.decode("utf-8", errors="replace"))
        if match:
            found[match[1].lower()] = _value(match[2])
    return found


def _value(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return WORDS.get(text.lower(), text)
