"""The files that a run was made from, by their contents, so that its readers know them again.

A run keeps no copy of its image. Whoever reads it later compares what lies there now with what the
run's record says, for a picture of other data, or a claim from them, would be of another run.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from htinvert import plugins
from htinvert.config.yaml_file import WORDS, is_there, read_yaml
from htinvert.core import UserError
from htinvert.store.provenance import read_provenance

NO_INPUTS = (*WORDS, "cache", "run", "credit", "cluster", "unit")  # keys of what no file is read by
COMPANIONS = {".mib": ".hdr", ".rpl": ".raw", ".raw": ".rpl"}  # files that are one with another
WHOLE = 200_000_000  # bytes of a folder's files; of a larger one only names and sizes are compared
SHOWN = 12  # digits of a hash that are shown


def inputs(config: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    """Files and folders that a campaign's plain values name, by place; ``folder`` is theirs.

    A place is where a name stands, such as ``experiments.haadf.data``.
    """
    return dict(_named(config, folder, ""))


def record(config: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """A hash of every file that a campaign names, by place, for the run's record."""
    return {place: contents(path) for place, path in inputs(config, folder).items()}


def changed_inputs(
    folder: Path, config: Mapping[str, Any] | None = None, *, base: Path | None = None
) -> dict[str, str]:
    """What is not the file any more that a run was made with: a sentence each, by place.

    Args:
        folder: of the run.
        config: plain values in place of those that the run keeps.
        base: the folder that paths are relative to, the run's own unless it is given.

    What is not there, or cannot be read, is no other file; of a run without a record nothing can be
    said.
    """
    known = read_provenance(folder).get("inputs")
    if not isinstance(known, dict):
        return {}
    try:
        values = read_yaml(folder / "config.yaml") if config is None else config
    except UserError:
        return {}
    found = {}
    for place, path in inputs(values, folder if base is None else base).items():
        then, now = known.get(place), contents(path)
        if then and now and now != then:
            found[place] = (
                f"{place}: {path} is not what the run was made with (its hash is {now[:SHOWN]}, it "
                f"was {str(then)[:SHOWN]}); put that back"
            )
    return found


def contents(path: Path) -> str:
    """The SHA-256 of a file, or of all that is in a folder; empty where it cannot be read."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    if path.is_file() and (other := COMPANIONS.get(path.suffix.lower())):
        files += [p for p in (path.with_suffix(other),) if p.is_file()]
    try:
        stats = [file.stat() for file in files]
        if len(files) == 1 and files == [path]:
            return _of_file(path.resolve(), stats[0].st_size, stats[0].st_mtime_ns, stats[0].st_ino)
        whole = sum(stat.st_size for stat in stats) <= WHOLE
        digest = hashlib.sha256()
        for file, stat in zip(files, stats, strict=True):
            told = (file.resolve(), stat.st_size, stat.st_mtime_ns, stat.st_ino)
            name = file.relative_to(path) if file != path and path.is_dir() else file.suffix
            digest.update(f"{name}\0{_of_file(*told) if whole else stat.st_size}\n".encode())
        return digest.hexdigest()
    except OSError:
        return ""


@functools.lru_cache(maxsize=4096)
def _of_file(path: Path, size: int, changed: int, number: int) -> str:  # noqa: ARG001
    """The SHA-256 of a file, which is read once as long as nobody writes to it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _named(value: Any, folder: Path, place: str, key: str = "") -> Iterator[tuple[str, Path]]:
    """Places and paths of what is there, at any depth."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            if name not in NO_INPUTS:
                inside = f"{place}.{name}" if place else str(name)
                yield from _named(part, folder, inside, str(name))
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from _named(part, folder, f"{place}.{number}")
    elif isinstance(value, str) and value:
        with suppress(OSError, ValueError, RuntimeError):  # a text of a page's length is no name
            path = plugins.resolve(Path(value), folder)
            if is_there(path, key):
                yield place, path
