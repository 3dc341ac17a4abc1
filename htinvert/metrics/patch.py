"""The part of an observed signal that a simulation covers."""

from __future__ import annotations

from collections.abc import Sequence


def window(start: Sequence[int], shape: Sequence[int]) -> tuple[slice, ...]:
    """Slices of ``shape`` that begin at ``start``, one per axis."""
    return tuple(slice(first, first + n) for first, n in zip(start, shape, strict=True))
