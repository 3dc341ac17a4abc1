"""What a schema refuses is said in words of people, never in those of the library that checks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from htinvert import plugins
from htinvert.config.campaign import parse
from htinvert.core import UserError
from htinvert.declaration.schema_words import either

RAW: dict[str, Any] = {
    "name": "x",
    "structure": {"use": "file", "path": "start.vasp"},
    "energy": {"use": "lennard_jones"},
    "experiments": {
        "haadf": {
            "data": "image.tif",
            "forward": {"use": "stem_convolution"},
            "metrics": {"registration": None},
        }
    },
}
LIBRARY = re.compile(
    r"valid|input should|dictionary|tuple|unable to parse|instance of|Part\b", re.I
)


def said(place: str, value: object) -> str:
    """What is said of a campaign in which a value stands at a place."""
    raw = plain = {**RAW, "experiments": {"haadf": dict(RAW["experiments"]["haadf"])}}
    *above, last = place.split(".")
    for key in above:
        plain = plain.setdefault(key, {})
    plain[last] = value
    with pytest.raises(UserError) as mistake:
        parse(raw)
    return str(mistake.value)


@pytest.mark.parametrize("value", [object(), "some", [["x"]], {"q": [{}]}], ids=type)
@pytest.mark.parametrize(
    "place",
    [
        *("structure", "region", "composition", "energy", "objectives", "stop", "workers", "seed"),
        *("search", "search.generators", "search.min_distance", "stop.target", "stop.evaluations"),
        *("experiments", "experiments.haadf", "experiments.haadf.free", "experiments.haadf.crop"),
        *("experiments.haadf.prepare", "experiments.haadf.sampling", "experiments.haadf.metrics"),
        *("experiments.haadf.forward.shape", "energy.epsilon", "chemical_potentials", "in_flight"),
    ],
)
def test_no_word_of_the_library_reaches_a_person(place: str, value: object) -> None:
    try:
        lines = said(place, value).splitlines()
    except TypeError:  # an object is nothing that a file may hold
        return
    for line in lines:
        words = line.partition("(given:")[0]
        assert not LIBRARY.search(words), line


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        ("energy", "lammps", "energy: give a block with its name, such as {use: lammps} (given:"),
        ("composition", {"Cd": "a"}, "composition.Cd: give [fewest, most] (given: 'a')"),
        (
            "experiments.haadf.sampling",
            "small",
            "sampling: give a number, or two pixel sizes, such as [0.26, 0.26] (given: 'small')",
        ),
        ("experiments.haadf.crop", [1, 2], "crop: give four edges in px, [TOP, BOTTOM, LEFT"),
        ("region", {"axis": "q", "lower": 1, "upper": 2}, "axis: give x, y or z (given: 'q')"),
        ("workers", 100_000, "workers: give 50000 or less (given: 100000)"),
    ],
)
def test_a_sentence_says_what_to_give(place: str, value: object, sentence: str) -> None:
    assert sentence in said(place, value)


def test_of_two_sentences_on_one_list_that_on_its_entry_stays() -> None:
    both = ["a: give a number (given: [1, 'x'])", "a.1: give a number (given: 'x')"]
    assert either(both) == both[1:]


def test_a_component_that_is_made_late_says_it_as_well() -> None:
    """`register --intensity "own extremes"` answered with a page of pydantic's."""
    with pytest.raises(UserError) as mistake:
        plugins.build("metric", {"use": "registration", "intensity": "own extremes"}, Path())
    assert str(mistake.value).endswith("intensity: give own or matched (given: 'own extremes')")
