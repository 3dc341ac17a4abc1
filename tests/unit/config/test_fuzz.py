"""Campaign files with anything wrong: a sentence for each mistake, never another exception.

300 variants in a plain run, all with ``HTINVERT_TORTURE=full``; a variant is known by its number.
"""

from __future__ import annotations

import functools
import os
import random
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from htinvert.config.campaign import load, load_experiment, load_structure, parse
from htinvert.config.yaml_file import StrictLoader, read_yaml
from htinvert.core import UserError

ROOT = Path(__file__).resolve().parents[3]
LOADERS: dict[str, Callable[[Path], Any]] = {
    "experiments": load_experiment,
    "structures": load_structure,
}
SOURCES = sorted([*(ROOT / "configs").rglob("*.yaml"), *(ROOT / "htinvert/data").rglob("*.yaml")])
VARIANTS = 2100 if os.environ.get("HTINVERT_TORTURE") == "full" else 300
PORTION = 50  # of variants to a test
LONGEST_LINE = 400  # characters of one mistake

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 3.7, -2.5, 10**30, 10**400, -(10**400), 2**63, 1e308, 1e-308),
    *(float("nan"), float("inf"), float("-inf"), "", " ", "nan", "1e999", ".inf", "0x1F", "~"),
    *("x" * 5000, "ä" * 700, "\U0001f9ea", "a\nb", "a\0b", "[eV]", "a.b.c", "../..", "/", "{}"),
    *(":", ":x", "x:", "::", ".a:b", "a..b:c", "no_such_module:x", "os:no_such", "json:dumps"),
    *("builtins:dict", "math:pi", "math:hypot", "http://a/b", "%s", "$HOME", "-", "\u202e", "\x85"),
    *([], {}, [[]], [{}], [None], {"": None}, {"use": None}, {"use": ""}, {"use": ":x"}, [1, 2, 3]),
    *({"use": {}}, {"use": "file"}, {"a": {"b": {"c": {}}}}, list(range(3000)), date(2020, 1, 1)),
    *(
        {1: 2},
        {None: 1},
        {True: "x"},
        {2.5: "x"},
        {"k" * 3000: 1},
        b"bytes",
        {"x" * 900: "y" * 900},
    ),
)
KEYS: tuple[Any, ...] = (
    *("", " ", "use", "data", "name", "x" * 3000, "ü", "a.b", "a b", "0", "[key]", "a\nb", ":x"),
    *(0, 1, -5, None, True, 2.5, "__class__", "_x", "self", "cls", "model_config", "extends"),
)


class _Plain(yaml.SafeDumper):
    """Writes every value out, for aliases are refused."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container and key of nested values."""
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(entries):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(inner) for key, inner in value.items()}
    return [_copy(inner) for inner in value] if isinstance(value, list) else value


def _mutate(raw: Any, rng: random.Random) -> None:
    """One mistake somewhere."""
    container, key = rng.choice(list(_places(raw)) or [(raw, "name")])
    value = container[key] if not isinstance(container, dict) else container.get(key)
    change = rng.choice(
        ("drop", "value", "value", "rename", "nest", "list", "text", "graft", "add")
    )
    if change == "drop":
        del container[key]
    elif change == "value":
        container[key] = _copy(rng.choice(VALUES))
    elif change == "rename" and isinstance(container, dict):
        container[rng.choice(KEYS)] = container.pop(key, None)
    elif change == "nest":
        for _ in range(rng.choice((1, 2, 8, 200))):
            value = {"a": value} if rng.random() < 0.5 else [value]
        container[key] = value
    elif change == "list":
        container[key] = list(value.values()) if isinstance(value, dict) else [value] * 3
    elif change == "text":
        container[key] = str(value) * rng.choice((1, 2, 50))
    elif change == "graft":
        other, place = rng.choice(list(_places(raw)))
        container[key] = _copy(other[place])
    elif isinstance(container, dict):
        container[rng.choice(KEYS)] = _copy(rng.choice(VALUES))
    else:
        container.insert(rng.randrange(len(container) + 1), _copy(rng.choice(VALUES)))


def _scribble(text: str, rng: random.Random) -> bytes:
    """The text of a file with letters, lines or bytes changed."""
    data = bytearray(text.encode())
    lines = text.splitlines(keepends=True)
    change = rng.choice(("cut", "byte", "insert", "line", "swap", "deep"))
    place = rng.randrange(len(data))
    if change == "cut":
        return bytes(data[:place])
    if change == "byte":
        data[place] = rng.randrange(256)
    elif change == "insert":
        odd = (
            b"\t",
            b"\0",
            b"\xff\xfe",
            b": ",
            b"- ",
            b"&a ",
            b"*a ",
            b"!!set ",
            b"---\n",
            b"{",
            b"|",
        )
        data[place:place] = rng.choice((*odd, b"? ", b"9" * 6000, b"<<: ", b'"\\ud800"', b"!!x"))
    elif change == "deep":
        data += b"deep: " + rng.choice((b"[", b"{a: ")) * rng.choice((40, 3000))
    else:
        first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
        lines[first] = lines[second] if change == "line" else lines[first][rng.randrange(4) :]
        return "".join(lines).encode()
    return bytes(data)


@functools.cache
def _values(source: Path, *, whole: bool) -> Any:
    """What a file says, with what it extends or without."""
    text = source.read_text(encoding="utf-8")
    return read_yaml(source) if whole else yaml.load(text, Loader=StrictLoader)  # noqa: S506


def _variant(number: int) -> tuple[Path, bytes, Any]:
    """The file that a variant is made of, its bytes, and its values where it has any."""
    rng = random.Random(number)  # noqa: S311  a test's dice
    source = SOURCES[number % len(SOURCES)]
    text = source.read_text(encoding="utf-8")
    if rng.random() < 0.25:
        return source, _scribble(text, rng), None
    raw = _copy(_values(source, whole=rng.random() < 0.8))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        _mutate(raw, rng)
    written = yaml.dump(raw, Dumper=_Plain, allow_unicode=True, sort_keys=False)
    return source, written.encode("utf-8", errors="surrogatepass"), raw


def _check_words(error: UserError, number: int) -> None:
    for line in str(error).split("\n"):
        assert len(line) <= LONGEST_LINE, f"variant {number}: {len(line)} characters: {line}"
        assert line.strip(), f"variant {number}: an empty line"
        line.encode()


@pytest.mark.parametrize("first", range(0, VARIANTS, PORTION))
def test_a_mistake_earns_a_sentence(tmp_path: Path, first: int) -> None:
    for number in range(first, min(first + PORTION, VARIANTS)):
        source, written, raw = _variant(number)
        path = tmp_path / f"variant_{number}.yaml"
        path.write_bytes(written)
        reader = LOADERS.get(source.parent.name, load)
        reads = [lambda path=path, reader=reader: reader(path)]
        if number % 4 == 0 and raw is not None:  # as a mapping in Python, which no file limits
            reads.append(lambda path=path, raw=raw: parse(raw, source=path))
        for read in reads:
            try:
                read()
            except UserError as error:
                _check_words(error, number)
            except Exception as error:
                error.add_note(f"variant {number} of {source}: {written[:2000]!r}")
                raise
