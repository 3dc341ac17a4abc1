"""Numbers that are none: no key of any file of ours means something by ``.nan`` or ``.inf``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def with_numbers(problems: Iterable[str], value: Any, place: str = "") -> list[str]:
    """Sentences on all that is infinite or no number in plain values, then the other problems.

    What else is said of the same places is left out; each problem begins with its place. ``place``
    is that of the values.
    """
    said = dict(_not_finite(value, place))
    same = tuple(f"{known}{end}" for known in said for end in (":", ".", " "))
    return [*said.values(), *(text for text in problems if not text.startswith(same))]


def _not_finite(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Places, at any depth, and what is said of each."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _not_finite(part, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from _not_finite(part, f"{place}.{number}" if place else str(number))
    elif isinstance(value, float) and not math.isfinite(value):
        yield place, f"{place} is {value}; give a finite number, or leave it out"
