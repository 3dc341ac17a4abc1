"""What a schema's checks say in pydantic's words, said in those of people who write the file.

A sentence names the place, what to give there and what was given: ``stop.evaluations: give a whole
number (given: 'many')``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

TAG = re.compile(
    r"(float|int|str|bool|none|path|function-.*|constrained-.*|[A-Z]\w*Part|"
    r"(tuple|list|dict|set|literal|lax-or-strict|is-instance)\[.*\])$"
)
"""What pydantic adds to a place where a value may be of several types."""

SENTENCE = re.compile(r"(?P<place>\S+): give (?P<what>.+) \(given: (?P<given>.*)\)$", re.DOTALL)

BLOCKS = {
    "composition": "elements with their fewest and most atoms, such as {Cd: [3, 5]}",
    "objectives": "names and weights, such as {energy: 1.0}",
    "region": "its axis and edges, such as {axis: z, lower: 18.5, upper: 24.5}",
    "stop": "rules, such as {evaluations: 600, minutes: 10}",
    "target": "names and values, such as {energy: 1.5}",
    "search": "what proposes, such as {generators: [{use: genetic}]}",
    "experiments": "a block for each name, such as {haadf: {data: FILE, forward: ...}}",
    "metrics": "names of metrics, such as {registration: }",
    "free": "names and bounds, such as {source_size: [0.5, 2.0]}",
    "min_distance": "pairs and distances in Å, such as {Cd-Te: 2.2}",
    "chemical_potentials": "elements and energies in eV, such as {Te: -2.15}, or {phases: [CdTe]}",
}
COMPONENTS = ("structure", "energy", "forward", "density", "top", "bottom", "phase")
LISTS = {
    "crop": "four edges in px, [TOP, BOTTOM, LEFT, RIGHT]",
    "shape": "rows and columns in px, such as [120, 110]",
    "sampling": "two pixel sizes, such as [0.26, 0.26]",
    "prepare": "a list of steps, such as [{rotate: 66}]",
    "generators": "a list, such as [{use: genetic}]",
}
WITHIN = {"free": "lower and upper bound, such as [0.5, 2.0]", "composition": "[fewest, most]"}
LIMITS = {
    "greater_than": ("gt", "a number above {}"),
    "greater_than_equal": ("ge", "{} or more"),
    "less_than": ("lt", "a number below {}"),
    "less_than_equal": ("le", "{} or less"),
    "string_too_long": ("max_length", "at most {} characters"),
    "too_short": ("min_length", "at least {} of them"),
    "too_long": ("max_length", "at most {} of them"),
}
PLAIN = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a text",
    "path_type": "the path of a file",
    "string_pattern_mismatch": "a name of letters, digits, . _ and -",
}


def place_of(error: Any) -> tuple[int | str, ...]:
    """Where in the file one of pydantic's errors is: keys and numbers, without names of types."""
    return tuple(part for part in error["loc"] if not TAG.match(str(part)))


def wanted(error: Any) -> str:
    """What to give in place of what one of pydantic's errors is about; empty where that is told."""
    kind, place = error["type"], place_of(error)
    key = str(place[-1]) if place else ""
    above = str(place[-2]) if len(place) > 1 else ""
    if kind in PLAIN:
        return PLAIN[kind]
    if kind in LIMITS:
        name, text = LIMITS[kind]
        return text.format(f"{error['ctx'][name]:g}")
    if kind == "literal_error":
        return str(error["ctx"]["expected"]).replace("'", "")
    if kind in ("tuple_type", "list_type"):
        return WITHIN.get(above) or LISTS.get(key, "a list, such as [1, 2]")
    if kind in ("dict_type", "mapping_type", "model_type", "model_attributes_type"):
        return _block(key, above, error["input"])
    return ""


def _block(key: str, above: str, given: Any) -> str:
    name = given if isinstance(given, str) and given.isidentifier() else "NAME"
    if key in COMPONENTS or above == "generators":
        return f"a block with its name, such as {{use: {name}}}"
    return BLOCKS.get(key, "keys and values, such as {key: value}")


def either(problems: Iterable[str]) -> list[str]:
    """The same sentences, where those on the alternatives of one value are one.

    >>> either(["a: give a number (given: 'x')", "a: give a list (given: 'x')", "b is missing"])
    ["a: give a number, or a list (given: 'x')", 'b is missing']
    """
    choices: dict[tuple[str, str], list[str]] = {}
    said: list[str | tuple[str, str]] = []
    for problem in problems:
        found = SENTENCE.match(problem)
        if found is None:
            said.append(problem)
            continue
        same = (found["place"], found["given"])
        if same not in choices:
            said.append(same)
        choices.setdefault(same, []).append(found["what"])
    deeper = {place.rpartition(".")[0] for place, _ in choices}
    return [
        text if isinstance(text, str) else _sentence(*text, choices[text])
        for text in said
        if isinstance(text, str) or text[0] not in deeper
    ]


def _sentence(place: str, given: str, choices: Iterable[str]) -> str:
    return f"{place}: give {', or '.join(dict.fromkeys(choices))} (given: {given})"
