"""What a campaign takes where its file is silent, by what its data can tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from htinvert.config.campaign import Config
from htinvert.core import Channel, Space
from htinvert.evaluation.misfits import is_quick
from htinvert.generators.operators.legal import is_free_cluster
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
GRAINS: dict[str, Any] = {"use": "grains", "share": 1.0}
"""Besides, where the region lies between two grains: contents that an image hardly tells (which
element, at which height along the beam) the crystals know (benchmarks/results.md)."""
MOTIFS: dict[str, Any] = {"use": "motifs", "share": 3.0}
"""Three of four at first, for a free cluster of one element with data quick to simulate: planted
LJ38 and Cu55 were met as candidates 1 to 5, ten seeds each (benchmarks/results.md)."""


def with_generators(config: Config, channels: Sequence[Channel], space: Space) -> Config:
    """A configuration whose generators follow the data, where it names none and these can guide."""
    search = config.search
    if "generators" in search.model_fields_set:
        return config
    if Residuals(tuple(channels)):
        generators = [*_placing(space), *GUIDED]
    elif _quick(channels) and is_free_cluster(space) and len(space.composition) == 1:
        generators = [MOTIFS, *type(search)().generators]
    else:
        return config
    guided = search.model_copy(update={"generators": generators})
    return config.model_copy(update={"search": guided})


def _placing(space: Space) -> list[dict[str, Any]]:
    """Generators that propose a few structures, each once."""
    if not space.puts_atoms:
        return []
    return [COLUMNS] if space.region is None or space.region.box else [GRAINS, COLUMNS]


def _quick(channels: Sequence[Channel]) -> list[str]:
    """Names of the experiments by which structures may be tried before they are relaxed."""
    return [channel.name for channel in channels if is_quick(channel)]


def why(config: Config, channels: Sequence[Channel]) -> str:
    """Why a campaign has these generators, in words; empty where its file names them."""
    few = [block for block in config.search.generators if block not in (GRAINS, COLUMNS)]
    if few == GUIDED and (found := Residuals(tuple(channels))):
        return f"{', '.join(c.name for c in found.channels)} can show where atoms are missing"
    default = type(config.search)().generators
    if config.search.generators == [MOTIFS, *default] and (quick := _quick(channels)):
        return f"{', '.join(quick)} can tell motifs of clusters apart before they are relaxed"
    if config.search.generators == default:
        return (
            "no experiment shows where atoms are missing" if channels else "only an energy counts"
        )
    return ""
