"""What a campaign takes where its file is silent, by what its data can tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from htinvert.config.campaign import Config
from htinvert.core import Channel, Space
from htinvert.image.residual import Residuals

GUIDED: list[dict[str, Any]] = [
    {"use": "guided", "share": 0.5},
    {"use": "genetic", "share": 0.3},
    {"use": "basin_hopping", "share": 0.2},
]
"""Where data show where atoms are missing; on a silicon boundary of 24 free atoms these met the
answer as candidate 44, genetic and basin hopping alone not within 1 500."""
COLUMNS: dict[str, Any] = {"use": "columns", "share": 1.0}
"""Besides, where atoms may be put: its few proposals met planted boundaries as candidates 1 to 4
(benchmarks/results.md)."""


def with_generators(config: Config, channels: Sequence[Channel], space: Space) -> Config:
    """A configuration whose generators are guided, where it names none and the data can guide."""
    search = config.search
    if "generators" in search.model_fields_set or not Residuals(tuple(channels)):
        return config
    generators = [COLUMNS, *GUIDED] if space.puts_atoms else GUIDED
    guided = search.model_copy(update={"generators": generators})
    return config.model_copy(update={"search": guided})


def why(config: Config, channels: Sequence[Channel]) -> str:
    """Why a campaign has these generators, in words; empty where its file names them."""
    if config.search.generators in (GUIDED, [COLUMNS, *GUIDED]) and (
        found := Residuals(tuple(channels))
    ):
        return f"{', '.join(c.name for c in found.channels)} can show where atoms are missing"
    default = type(config.search)().generators
    if config.search.generators == default:
        return (
            "no experiment shows where atoms are missing" if channels else "only an energy counts"
        )
    return ""
