"""Sealed blocks of rows as columns in Zarr: what ranking, colleagues and other programs read.

Row ``i`` of every array outside ``atoms``, ``proposed/position`` and ``signals`` is the ``i``-th
evaluation committed. Everything is compressed and checksummed with CRC-32C, and every block has
its own files, which are written once, synced, read back, and listed in the log with their checksum:
neither a flipped bit nor a lost file reads as data.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from htinvert.store.columns import Column
from htinvert.store.marks import Archived, Files, checksum, sync
from htinvert.store.trouble import Damaged

NAME = "results.zarr"
ASIDE = ".damaged"  # added to the name of what is kept until it is replaced
COPY = "columns.json"  # of all its zarr.json, from which a damaged one is written again


def fold(root: Path, groups: Iterable[Sequence[Column]], attributes: Mapping[str, Any]) -> Files:
    """Write columns, sync, read them back, and return the checksums of all files concerned.

    Args:
        root: the archive's folder, made where missing.
        groups: columns that are held in memory at once.
        attributes: of the archive itself.

    Raises:
        Damaged: what is read is not what was written.
        OSError: the disk is full or failing.
    """
    paths: list[Path] = []
    for columns in groups:
        with opened(root, "a") as group:
            if any(group.attrs.get(name) != value for name, value in attributes.items()):
                group.update_attributes(dict(attributes))
            for folder in sorted({parent for column in columns for parent in _parents(column)}):
                group.require_group(folder)  # a power cut may have left one without description
            known = members(group)
            new = [column for column in columns if column.path not in known]
            for column in new:
                write_durably(root / column.path / "zarr.json", _description(column))
            known = members(group) if new else known
            for column in columns:
                array = _grown(known[column.path], column)
                if len(column.values):
                    array[column.start :] = column.values
        paths += [path for column in columns for path in files_of(root, column)]
        wrong = differences(root, columns)
        if wrong:
            raise Damaged(f"{root}: {wrong[0]} could not be read back as written")
    described = sorted(root.rglob("zarr.json"))
    texts = {str(path.relative_to(root.parent)): path.read_text() for path in described}
    write_durably(root.parent / COPY, json.dumps(texts).encode())
    paths += [*described, root.parent / COPY]
    for path in (*_folders(root, paths), root.parent):
        sync(path)
    return {str(path.relative_to(root.parent)): checksum(path) for path in paths}


def differences(root: Path, columns: Sequence[Column]) -> list[str]:
    """Paths of the arrays which do not hold these columns."""
    wrong = []
    with opened(root, "r") as group:
        arrays = members(group)
        for column in columns:
            try:
                array = arrays[column.path]
                found = np.asarray(array[column.start : column.start + len(column.values)])
                same = _equal(found, column.values)
            except OSError as error:
                if not isinstance(error, FileNotFoundError):
                    raise
                same = False
            except Exception:  # zarr and its codecs raise many kinds: each means unreadable
                same = False
            if not same:
                wrong.append(column.path)
    return wrong


def extent(root: Path) -> tuple[str, int] | None:
    """Which run an archive says to be of, and how many rows; None where it cannot be read."""
    status = root / "candidates/status/zarr.json"
    try:
        name = json.loads((root / "zarr.json").read_bytes())["attributes"].get("run_id", "")
        rows = json.loads(status.read_bytes())["shape"][0] if status.exists() else 0
        return str(name), int(rows)
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return None


def discard(root: Path) -> None:
    """Set an archive aside, to be folded anew; until that is done it may be of use to somebody."""
    if root.exists():
        root.rename(free(root.with_name(root.name + ASIDE)))


def forget_damaged(root: Path, name: str, rows: int) -> None:
    """Remove what :func:`discard` set aside, once so many rows of the run ``name`` are folded anew.

    What says to be of another run, or to have more rows, stays.
    """
    for aside in root.parent.glob(f"{root.name}{ASIDE}*"):
        whose, held = extent(aside) or ("", 0)
        if whose in ("", name) and held <= rows:
            shutil.rmtree(aside, ignore_errors=True)


def free(path: Path) -> Path:
    """The path, with a number behind it where it is taken."""
    number, found = 2, path
    while found.exists():
        found, number = path.with_name(f"{path.name}.{number}"), number + 1
    return found


def restorable(folder: Path, state: Archived, bad: Iterable[str]) -> set[str]:
    """Those of the damaged files that are descriptions of which there is a whole copy."""
    copy = folder / COPY
    if not copy.is_file() or checksum(copy) != state.files.get(COPY):
        return set()
    return {name for name in bad if name.endswith("zarr.json")}


def restore_descriptions(folder: Path, state: Archived, bad: Iterable[str]) -> list[str]:
    """Write damaged ``zarr.json`` again from the copy; returns those that could be."""
    wanted = sorted(restorable(folder, state, bad))
    texts = json.loads((folder / COPY).read_text()) if wanted else {}
    for name in wanted:
        write_durably(folder / name, texts[name].encode())
    return wanted


def sound_rows(folder: Path, blocks: Iterable[tuple[int, Files]], start: int, stop: int) -> int:
    """How far the blocks from row start to stop are what was written, in every byte."""
    for end, files in blocks:
        if start < end <= stop:
            paths = {folder / name: entry for name, entry in files.items()}
            if not all(path.is_file() and checksum(path) == e for path, e in paths.items()):
                break
            start = end
    return start


def is_whole(folder: Path, state: Archived) -> bool:
    """A quick look: every file has its size, and every description its checksum."""
    for name, (size, crc) in state.files.items():
        path = folder / name
        described = name.endswith(".json")
        if not path.is_file():
            return False
        if described and state.unfinished:
            continue  # the next fold writes it
        if path.stat().st_size != size or (described and checksum(path) != (size, crc)):
            return False
    return True


def forget(folder: Path, names: Sequence[str]) -> None:
    """Remove a block's files, and what a killed writer has left."""
    for name in names:
        (folder / name).unlink(missing_ok=True)
    for path in (folder / NAME).rglob("*.partial"):
        path.unlink()


def files_of(root: Path, column: Column) -> Iterator[Path]:
    """The files that hold a column's values."""
    first, stop = (
        column.start // column.file,
        -(-(column.start + len(column.values)) // column.file),
    )
    rest = ["0"] * (column.values.ndim - 1)
    for number in range(first, stop):
        yield root.joinpath(column.path, "c", str(number), *rest)


@contextmanager
def opened(root: Path, mode: Any) -> Iterator[Any]:
    """The archive's group; what zarr and its codecs raise, in many kinds, is called Damaged.

    Raises:
        Damaged: it cannot be read.
        OSError: the disk is full or failing.
    """
    import zarr

    store = _durable(root, read_only=mode == "r")
    # An absent file is to be a lost one.
    with damage(root), zarr.config.set({"array.write_empty_chunks": True}):
        yield zarr.open_group(store, mode=mode, zarr_format=3)


@contextmanager
def damage(root: Path) -> Iterator[None]:
    """Call what zarr and its codecs raise by one name; a disk's errors pass."""
    try:
        yield
    except FileNotFoundError as error:
        raise Damaged(f"{root}: {error}") from error
    except (OSError, Damaged):
        raise
    except Exception as error:
        raise Damaged(f"{root}: {error}") from error


def members(group: Any) -> dict[str, Any]:
    """All arrays of an archive by path."""
    return {path: node for path, node in group.members(max_depth=None) if hasattr(node, "shape")}


def _durable(root: Path, *, read_only: bool) -> Any:
    """A Zarr store that syncs each file before it takes its name; Zarr's own never does."""
    from zarr.storage import LocalStore

    class Durable(LocalStore):
        """Files in a folder; one after the other, for threads take longer than small files do."""

        async def _set(self, key: str, value: Any, exclusive: bool = False) -> None:  # noqa: ARG002
            write_durably(self.root / key, value.as_buffer_like())

        async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
            """The file ``key``, or a part of it; None where there is none."""
            return self.get_sync(key, prototype=prototype, byte_range=byte_range)

        async def exists(self, key: str) -> bool:
            """Whether there is a file ``key``."""
            return (self.root / key).is_file()

        def set_sync(self, key: str, value: Any) -> None:
            """Write the file ``key``."""
            write_durably(self.root / key, value.as_buffer_like())

    return Durable(root, read_only=read_only)


def write_durably(path: Path, data: Any) -> None:
    """Write a file that is whole or not there, and synced, when it has its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid4().hex}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _folders(root: Path, paths: Iterable[Path]) -> set[Path]:
    """The archive's folder and those in it that lead to files."""
    found: set[Path] = set()
    for path in paths:
        folder = path.parent
        while folder != root.parent and folder not in found:
            found.add(folder)
            folder = folder.parent
    return found


def _parents(column: Column) -> list[str]:
    parts = column.path.split("/")[:-1]
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _equal(found: NDArray[Any], expected: NDArray[Any]) -> bool:
    if found.shape != expected.shape:
        return False
    if expected.dtype.kind == "f":  # bit by bit, for there are two kinds of NaN
        return found.tobytes() == expected.astype(found.dtype).tobytes()
    return np.array_equal(found, expected)


def _grown(array: Any, column: Column) -> Any:
    """The column's array, long enough; what is between reads as no number."""
    stop = column.start + len(column.values)
    if array.shape[0] != stop:
        array.resize((stop, *column.values.shape[1:]))
    return array


def _description(column: Column) -> bytes:
    """The ``zarr.json`` of a column's array, as Zarr writes it."""
    values = column.values
    common = _described(values.dtype, values.shape[1:], column.chunk, column.file)
    length = column.start + len(values)
    changes = {"shape": [length, *values.shape[1:]], "attributes": dict(column.attributes)}
    return json.dumps({name: changes.get(name, common[name]) for name in common}, indent=2).encode()


@lru_cache(maxsize=256)
def _described(
    dtype: np.dtype[Any], trailing: tuple[int, ...], chunk: int, file: int
) -> Mapping[str, Any]:
    """What Zarr says of an empty array of a column's kind: a run has few kinds, many columns."""
    import zarr
    from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

    shuffled = dtype.kind in "fiu" and dtype.itemsize > 1
    codec: Any = (
        BloscCodec(cname="zstd", clevel=1, shuffle="shuffle") if shuffled else ZstdCodec(level=1)
    )
    fill: Any = {"f": np.nan, "T": "", "i": -1}.get(dtype.kind, 0)
    files: dict[str, Any] = {}
    zarr.create_array(
        zarr.storage.MemoryStore(files),
        shape=(0, *trailing),
        dtype=str if dtype.kind == "T" else dtype,
        chunks=(chunk, *trailing),
        shards=None if file == chunk else (file, *trailing),
        compressors=[codec, Crc32cCodec()],
        fill_value=fill,
        zarr_format=3,
    )
    found: Mapping[str, Any] = json.loads(files["zarr.json"].to_bytes())
    return found
