"""Propose index by index, as every generator does whose candidates know nothing of each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from htinvert.core import Candidate


def for_each(indices: Iterable[int], propose: Callable[[int], Candidate | None]) -> list[Candidate]:
    """A candidate per index, but for those of which ``propose`` can make none and gives None."""
    candidates = (propose(index) for index in indices)
    return [candidate for candidate in candidates if candidate is not None]
