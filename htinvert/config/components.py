"""The one walk over the components that a campaign names, wherever they stand in its YAML.

What checks them, makes them, tells one campaign from another and cites them takes them from here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from htinvert.plugins import Named, named, short


def components(raw: Mapping[str, Any]) -> Iterator[Named]:
    """Every component of a campaign as plain values, and those that these are made of.

    What has not the form of a block is passed over: the schema says what is wrong with it.
    """
    for component in _outermost(raw):
        yield from component.walk()


def component_problems(raw: Mapping[str, Any]) -> list[str]:
    """What is wrong with the components' names and parameters, a sentence each."""
    problems = [problem for component in components(raw) for problem in component.problems()]
    return problems + _namesakes(raw)


def _namesakes(raw: Mapping[str, Any]) -> list[str]:
    """Metrics of one experiment whose objectives would have one name."""
    problems = []
    for channel, experiment in _mapping(raw.get("experiments")).items():
        first: dict[str, str] = {}
        for metric in map(str, _mapping(_mapping(experiment).get("metrics"))):
            name = short(metric)
            if (other := first.setdefault(name, metric)) != metric:
                problems.append(
                    f"experiments.{channel}.metrics.{metric} would be called {channel}.{name} "
                    f"like {other}; give it a name of its own, such as "
                    f'{name}_2: {{use: "{metric}"}}'
                )
    return problems


def _outermost(raw: Mapping[str, Any]) -> Iterator[Named]:
    for kind in ("structure", "energy"):
        yield from _block(kind, raw.get(kind), kind)
    for channel, experiment in _mapping(raw.get("experiments")).items():
        block, place = _mapping(experiment), f"experiments.{channel}"
        phase = _mapping(block.get("calibrate")).get("phase")
        yield from _block("structure", phase, f"{place}.calibrate.phase")
        yield from _block("forward", block.get("forward"), f"{place}.forward")
        for metric, given in _mapping(block.get("metrics")).items():
            if given is None or isinstance(given, dict):
                use = (given or {}).get("use", metric)
                yield Named("metric", f"{place}.metrics.{metric}", use, given)
    phases = _mapping(raw.get("chemical_potentials")).get("phases")
    for number, given in enumerate(phases if isinstance(phases, list) else ()):
        yield from _block("structure", given, f"chemical_potentials.phases.{number}")
    search = _mapping(raw.get("search"))
    cheap = _mapping(search.get("screen")).get("energy")
    yield from _block("energy", cheap, "search.screen.energy")
    generators = search.get("generators")
    for number, given in enumerate(generators if isinstance(generators, list) else ()):
        yield from _block("generator", given, f"search.generators.{number}")


def _block(kind: str, value: Any, place: str) -> Iterator[Named]:
    if isinstance(value, dict):
        yield named(kind, value, place)


def _mapping(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}
