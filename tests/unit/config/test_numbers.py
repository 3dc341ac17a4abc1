"""Numbers of a campaign that are none: each is a sentence before anything begins."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from htinvert.campaign.load import changed, load
from htinvert.campaign.plan import Plan
from htinvert.config.campaign import Config, load_experiment, load_structure, parse
from htinvert.config.numbers import with_numbers
from htinvert.config.vary import read_enumeration
from htinvert.config.yaml_file import read_yaml
from htinvert.core import UserError
from htinvert.signals.kind import Part

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
CAMPAIGNS = [
    path
    for path in sorted(CONFIGS.rglob("*.yaml"))
    if {"name", "structure", "energy"} <= set(read_yaml(path))
]
Place = tuple[str | int, ...]

EVERYTHING: dict[str, Any] = {
    "name": "all",
    "seed": 1,
    "structure": {
        "use": "prototype",
        "formula": "Ar",
        "crystal": "fcc",
        "a": 9.0,
        "cubic": True,
        "repeat": [1, 1, 3],
    },
    "region": {"axis": "z", "lower": 4.0, "upper": 12.0, "margin": 2.0, "box": {"x": [2.0, 9.0]}},
    "composition": {"Ar": [2, 4]},
    "energy": {
        "use": "lennard_jones",
        "fmax": 0.05,
        "limits": {"seconds": 60.0, "memory": 2.0},
    },
    "chemical_potentials": {"Ar": -0.1},
    "objectives": {"energy": 1.0},
    "search": {
        "generators": [{"use": "genetic", "share": 0.6}, {"use": "basin_hopping", "kT": 0.5}],
        "min_distance": {"Ar-Ar": 3.0},
        "novelty": 0.3,
        "screen": {
            "energy": {"use": "lennard_jones"},
            "tries": 8,
            "kappa": 1.0,
            "repeat": 0.002,
            "capture": 0.5,
        },
    },
    "stop": {
        "evaluations": 10,
        "minutes": 1.0,
        "core_seconds": 100.0,
        "patience": 10,
        "target": {"energy": -100.0},
    },
    "workers": 0,
    "in_flight": 1,
}
"""A campaign that gives every number that any campaign may give, but for those of experiments."""

HARMLESS = {  # where 0, or -1, is as good a number as any other
    0: {"seed", "region.lower", "region.margin", "region.box.x.0", "composition.Ar.0"}
    | {"chemical_potentials.Ar", "search.novelty", "search.screen.kappa", "workers"}
    | {"search.screen.repeat", "search.screen.capture", "stop.target.energy", "energy.fmax"}
    | {"search.generators.1.kT"},
    -1: {"region.lower", "region.box.x.0", "chemical_potentials.Ar", "stop.target.energy"},
}


def numbers(value: Any, place: Place = ()) -> Iterator[Place]:
    """Where plain values hold a number."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from numbers(part, (*place, key))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from numbers(part, (*place, number))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield place


def put(value: Any, place: Place, number: float) -> Any:
    """The same with another number at a place."""
    if not place:
        return number
    made = copy.copy(value)
    made[place[0]] = put(value[place[0]], place[1:], number)
    return made


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("path", CAMPAIGNS, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_every_number_of_every_campaign_must_be_finite(path: Path, number: float) -> None:
    raw = wrong = read_yaml(path)
    places = [".".join(map(str, place)) for place in numbers(raw)]
    for place in numbers(raw):
        wrong = put(wrong, place, number)
    with pytest.raises(UserError) as error:
        parse(wrong)
    told = [line.partition(": ")[2] for line in str(error.value).splitlines()]
    for place in places:
        sentence = f"{place} is {number}; give a finite number, or leave it out"
        assert told.count(sentence) == 1, place
        assert sum(line.startswith(f"{place}:") for line in told) == 0, "said twice"


@pytest.mark.parametrize("read", [load_experiment, load_structure, read_enumeration])
def test_files_of_one_block_are_read_by_the_same_rule(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "block.yaml"
    path.write_text("use: box\nsize: .inf\nvary: {size: [.nan]}\n")
    with pytest.raises(UserError, match="is (inf|nan); give a finite number"):
        read(path)


def test_no_part_of_a_campaign_takes_what_is_no_number() -> None:
    """What a script gives passes no file."""
    parts = [Part]
    for part in parts:
        parts += part.__subclasses__()
        assert part.model_config["allow_inf_nan"] is False, part
    assert Config in parts


@pytest.fixture(scope="module")
def plan() -> Plan:
    return load(EVERYTHING)


@pytest.mark.parametrize("number", [math.nan, math.inf, -1.0, 0.0])
def test_a_script_s_minutes_are_checked_as_well(number: float, plan: Plan) -> None:
    with pytest.raises(UserError, match=r"stop\.minutes"):
        changed(plan, stop={"minutes": number})


@pytest.mark.parametrize("number", [0, -1])
@pytest.mark.parametrize(
    "place", [*numbers(EVERYTHING)], ids=lambda place: ".".join(map(str, place))
)
def test_a_number_that_means_nothing_is_a_sentence(place: Place, number: int) -> None:
    name = ".".join(map(str, place))
    raw = put(EVERYTHING, place, number)
    if name in HARMLESS[number]:
        assert isinstance(load(raw), Plan)
        return
    with pytest.raises(UserError) as error:
        load(raw)
    lines = str(error.value).splitlines()
    assert all(len(line) <= 400 and line.count("\n") == 0 for line in lines)
    assert any(str(part) in str(error.value) for part in place if isinstance(part, str))


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ({"energy": -1.0}, "energy weighs -1, which looks for the worst; give one a weight above"),
        ({"energy": 0.0}, "nothing ranks if all weights are 0; give one a weight above 0"),
        ({}, "nothing ranks if all weights are 0"),
    ],
)
def test_weights_must_rank(weights: dict[str, float], says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)):
        parse(EVERYTHING | {"objectives": weights})


def test_what_is_finite_is_passed_over() -> None:
    raw = yaml.safe_load("{a: [1, 2.5, {b: .nan}], c: text, d: true}")
    others = ["a.2.b: give a whole number", "a.2: unknown"]
    assert with_numbers(others, raw) == [
        "a.2.b is nan; give a finite number, or leave it out",
        "a.2: unknown",
    ]
