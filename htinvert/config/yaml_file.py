"""Read a YAML file strictly; a campaign may extend another one and say only what differs.

``extends: screen.yaml`` takes everything from that file, then mappings are merged key by key. A
block whose ``use`` differs replaces the other whole, for its parameters are other ones.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from htinvert.core import UserError
from htinvert.declaration.wording import shortened, shown

LARGEST_FILE = 1_000_000  # bytes
DEEPEST = 40  # blocks inside of blocks; a campaign has six
NUMBER = re.compile(r"[-+]?(\d[\d_]*(\.[\d_]*)?|\.\d[\d_]*)[eE][-+]?\d+$")
EXTENDS = "extends"
TOO_DEEP = f"blocks are nested more than {DEEPEST} deep; check its brackets and indentation"
WORDS = ("use", "name")  # keys whose value is no path, should a file be called the same
FOLDERS = ("path", "potcars", "pseudopotentials")  # keys whose value may be that of a folder
OTHERS = {  # files that are taken for a campaign, and the option of `init` that wants them
    "structure": ("poscar", "contcar", ".vasp", ".poscar", ".cif", ".xyz", ".extxyz"),
    "image": (".dm3", ".dm4", ".emd", ".tif", ".tiff", ".png", ".mrc"),
    "curve": (".gr", ".xmu", ".xdi", ".chi", ".msa"),
}


def read_yaml(path: Path, *, extended_by: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read a YAML file, and what it extends, into plain objects.

    Aliases and duplicate keys are refused. Raises :class:`UserError` with the file's name.
    """
    if path.is_dir():
        files = sorted(path.glob("*.yaml"))
        named = f"such as {files[0]}" if files else "it holds no .yaml"
        raise UserError(shortened(f"{path} is a folder; name a campaign's file, {named}"))
    if not is_there(path):
        raise UserError(
            shortened(f"there is no campaign file {path}; `htinvert check --help` shows an example")
        )
    for what, endings in OTHERS.items():
        if path.name.lower().endswith(endings):
            raise UserError(
                f"{path.name} is a file of {'an' if what == 'image' else 'a'} {what}, not a "
                f"campaign; `htinvert init NAME --{what} {path.name}` writes one"
            )
    if path.stat().st_size > LARGEST_FILE:
        raise UserError(f"{path} is larger than 1 MB; a campaign file is a page of text")
    try:
        raw = yaml.load(_text(path), Loader=StrictLoader)  # noqa: S506
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{path.name} is not valid YAML: {_reason(error)}") from error
    if not isinstance(raw, dict):
        raise UserError(f"{path.name} is not a campaign; it must be a mapping of keys to values")
    if EXTENDS not in raw:
        return raw
    base = raw.pop(EXTENDS)
    if not isinstance(base, str):
        raise UserError(f"{path.name}: extends is {shown(base)}; give the path of a campaign file")
    base_path = path.parent / base
    chain = (*extended_by, path.resolve())
    if base_path.resolve() in chain:
        raise UserError(f"{path.name} extends {base}, which extends it; end the circle")
    below = read_yaml(base_path, extended_by=chain)
    merged: dict[str, Any] = merge(seen_from(path.parent, below, base_path.parent), raw)
    return merged


def _text(path: Path) -> str:
    """The text of a file in UTF-8. Raises :class:`UserError` where it is in another code."""
    content = path.read_bytes()
    utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    if b"\0" in content and not utf16:
        raise UserError(
            f"{path.name} is no text but data; give a file of YAML, and check whether two files "
            "were swapped"
        )
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        code = "UTF-16" if utf16 else "another code"
        line = "" if utf16 else f", line {content[: error.start].count(10) + 1}"
        raise UserError(
            f"{path.name} is text in {code}, not in UTF-8{line}; save it as UTF-8"
        ) from error


def _reason(error: Exception) -> str:
    """What is wrong in a file of YAML; of a tab, what to write in its place."""
    mark = getattr(error, "problem_mark", None)
    if mark is not None and "'\\t'" in str(error):
        return f"line {mark.line + 1} has a tab where it begins; indent with spaces"
    return shortened(" ".join(str(error).split()), 250)


def is_there(path: Path, key: str = "") -> bool:
    """Whether there is such a file, or a folder where ``key`` may name one.

    Never of a text that is no name, as one of a page's length.
    """
    try:
        return path.is_file() or (key in FOLDERS and path.is_dir())
    except (OSError, ValueError):
        return False


def located(path: Path, problem: str, changes: Mapping[str, Any] | None = None) -> str:
    """A problem, which begins with its place such as ``search.stop``, behind file and line.

    The line is left out where the place is not in this file but in one that it extends, and the
    file, too, where the place is among the ``changes``, which stand in no file. No more is said
    than fits into 400 characters.
    """
    place = problem.partition(" ")[0].rstrip(":")
    if _holds(changes or {}, place.split(".")):
        return shortened(problem)
    try:
        node = _composed(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, OSError, ValueError):
        return shortened(f"{path.name}: {problem}")
    line = _line(node, place.split("."), None)
    return shortened(f"{path.name}:{line}: {problem}" if line else f"{path.name}: {problem}")


@lru_cache(maxsize=1)  # a file with one mistake often has more
def _composed(text: str) -> Any:
    return yaml.compose(text, Loader=StrictLoader)


def _line(node: Any, steps: list[str], known: int | None) -> int | None:
    """Line of the innermost key of a place that is there; a key may have dots of its own.

    A list may be shorter than the place says, where something is missing at its end.
    """
    if isinstance(node, yaml.SequenceNode):
        for number, inner in enumerate(node.value):
            if steps[:1] == [str(number)]:
                return _line(inner, steps[1:], inner.start_mark.line + 1)
    for count in range(len(steps), 0, -1):
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            if key.value == ".".join(steps[:count]):
                return _line(value, steps[count:], key.start_mark.line + 1)
    return known


def _holds(value: Any, steps: list[str]) -> bool:
    """Whether a place is inside of nested mappings; a key may have dots of its own."""
    if not isinstance(value, Mapping) or not steps:
        return True
    return any(
        _holds(value[key], steps[count:])
        for count in range(1, len(steps) + 1)
        if (key := ".".join(steps[:count])) in value
    )


def too_deep(value: Any) -> bool:
    """Whether blocks are nested deeper than any campaign's, so that walking them may not end."""
    level = [value]
    for _ in range(DEEPEST):
        level = [
            part
            for inner in level
            if isinstance(inner, dict | list | tuple)
            for part in (inner.values() if isinstance(inner, dict) else inner)
        ]
    return bool(level)


def merge(below: Any, above: Any) -> Any:
    """What is above in place of what is below, mappings key by key; see the module's docstring."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    if "use" in below and above.get("use", below["use"]) != below["use"]:
        return above
    return below | {
        key: merge(below[key], value) if key in below else value for key, value in above.items()
    }


def seen_from(folder: Path, value: Any, other: Path, *, key: str = "") -> Any:
    """Plain objects with paths of files that lie in the ``other`` folder as seen from this one.

    ``key`` is the one that the value stands under, for some name folders.
    """
    if isinstance(value, dict):
        return {
            name: part if name in WORDS else seen_from(folder, part, other, key=str(name))
            for name, part in value.items()
        }
    if isinstance(value, list):
        return [seen_from(folder, part, other) for part in value]
    if isinstance(value, str) and is_there(other / value, key):
        return way(other / value, folder)
    return value


def way(path: Path, folder: Path) -> str:
    """The relative path that leads from a folder to a file, also where a link lies between them.

    From a folder behind a link, ``..`` is where the link leads to, not where it lies.
    """
    return os.path.relpath(path.parent.resolve() / path.name, folder.resolve())


class StrictLoader(yaml.SafeLoader):
    """Plain YAML without aliases and duplicate keys; ``1e-6`` and ``200e3`` are numbers."""

    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse an alias, which can blow a page of text up to gigabytes, and endless nesting."""
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.constructor.ConstructorError(
                None, None, "aliases (*name) are not allowed; write the value out", event.start_mark
            )
        self._depth += 1
        if self._depth > DEEPEST:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.constructor.ConstructorError(None, None, TOO_DEEP, mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that is given twice, which YAML would take the last of."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for position, key in enumerate(keys):
            if key in keys[:position]:
                mark = node.value[position][0].start_mark
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key} is given twice; keep one of them", mark
                )
        return super().construct_mapping(node, deep)


StrictLoader.add_implicit_resolver("tag:yaml.org,2002:float", NUMBER, list("-+0123456789."))
