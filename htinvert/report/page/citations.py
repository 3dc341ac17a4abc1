"""What a report cites: the method behind every component that a run has used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from htinvert import plugins
from htinvert.config.components import components
from htinvert.core import UserError
from htinvert.declaration.declared import sources_of

SOURCES = {  # of what is no component
    "htinvert": "htinvert: from one atomically resolved micrograph to ranked atomic structures.",
    "confidence": "How sure: P. R. Hansen, A. Lunde and J. M. Nason, The model confidence set, "
    "Econometrica 79, 453 (2011), doi:10.3982/ECTA5771; J. C. Hsu, Ann. Stat. 12, 1136 (1984).",
    "screen": "Screening: M. K. Bisbo and B. Hammer, Phys. Rev. Lett. 124, 086102 (2020), "
    "doi:10.1103/PhysRevLett.124.086102.",
    "ase": "A. H. Larsen et al., The atomic simulation environment, J. Phys.: Condens. Matter 29, "
    "273002 (2017), doi:10.1088/1361-648X/aa680e.",
    "page": "This page: N. Rego and D. Koes, 3Dmol.js, Bioinformatics 31, 1322 (2015), "
    "doi:10.1093/bioinformatics/btu829.",
}


def citations(config: Mapping[str, Any]) -> list[str]:
    """Sources of the components of a configuration, as plain values, in reading order.

    A component that is not installed here is left out.
    """
    return list(dict.fromkeys(_used(config)))


def _used(config: Mapping[str, Any]) -> Iterator[str]:
    yield SOURCES["htinvert"]
    yield SOURCES["ase"]
    named = list(components(config))
    first = [part for part in named if not part.place.startswith("search.")]
    generators = [part for part in named if part.kind == "generator"]
    yield from _of(first)
    yield from _of(generators)
    if config["search"].get("screen"):
        yield SOURCES["screen"]
        yield from _of(part for part in named if part.place.startswith("search.screen."))
    yield SOURCES["confidence"]
    yield SOURCES["page"]


def _of(parts: Iterable[plugins.Named]) -> Iterator[str]:
    """What components declare, by what was given for them."""
    for part in parts:
        with suppress(UserError):
            yield from sources_of(plugins.find(part.kind, part.use), part.given)


def potential(config: Mapping[str, Any]) -> str:
    """Engine and potential in one phrase, such as ``lammps, potential CdTe.sw``."""
    rest = (f"{key} {value}" for key, value in config["energy"].items() if key != "use")
    return ", ".join([str(config["energy"]["use"]), *rest])
