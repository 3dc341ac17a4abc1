"""Tags of DigitalMicrograph's files, walked before they are believed.

Rosettasciio's reader grows texts and structs item by item, which takes time by the square of the
length that a damaged file says, and makes as many items as it says without end.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from htinvert.core import UserError

MOST_FIELDS = 1_000  # of a struct; real ones have fewer than twenty
LONGEST_TEXT = 100_000  # characters


def check_tags(path: Path) -> None:
    """Refuse a dm3 or dm4 file whose tags say to be longer than can be. Raises `UserError`.

    Any other damage passes, for the reader to object to.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        try:
            _reader(file, path.name, size).parse_file()
        except UserError:
            raise
        except Exception:  # the reader will raise it again
            return


def _reader(file: Any, name: str, size: int) -> Any:
    """Rosettasciio's reader of tags, which looks at lengths before it follows them."""
    api = importlib.import_module("rsciio.digitalmicrograph._api")
    reader = api.DigitalMicrographReader(file)
    array, text = reader.read_array, reader.read_string

    def bounded(said: int, most: int) -> int:
        if said > most:
            raise UserError(
                f"{name} has a tag of {said:.3g} parts, more than the {most} that can be; it is "
                "damaged, copy it again"
            )
        return said

    def struct() -> tuple[int, ...]:
        reader.read_l_or_q(file, "big")  # length of its name
        fields = bounded(reader.read_l_or_q(file, "big"), MOST_FIELDS)
        pairs = [[reader.read_l_or_q(file, "big") for _ in range(2)] for _ in range(fields)]
        return tuple(kind for _, kind in pairs)

    reader.parse_struct_definition = struct
    reader.read_array = lambda size_said, *given, **more: array(
        bounded(size_said, size), *given, **more
    )
    reader.read_string = lambda length, *given, **more: text(
        bounded(length, LONGEST_TEXT), *given, **more
    )
    return reader
