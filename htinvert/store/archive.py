"""Committed rows as columns in Zarr: what ranking, colleagues and other programs read.

Row ``i`` of every array outside ``atoms``, ``proposed`` and ``signals`` is the ``i``-th evaluation
committed. Everything is compressed with zstd and checksummed with CRC-32C, and every chunk has a
file, so that neither a flipped bit nor a lost file reads as data. Each array says its name, unit
and meaning in its attributes. A score that was not computed, and one that is NaN, both read NaN.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from htinvert.store.columns import LAST, Column, columns, length_needed, restore
from htinvert.store.record import Row

if TYPE_CHECKING:
    import zarr

PAGE = 4096  # rows that are decoded at once


class Damaged(Exception):
    """The archive does not hold what was folded into it; it can be made again from the journal."""


def fold(root: Path, start: int, rows: Sequence[Row], attributes: Mapping[str, Any]) -> None:
    """Write rows as numbers ``start`` and up, over what may be there, read them back and sync.

    Raises:
        Damaged: what is read is not what was written, or the rows before ``start`` are unreadable.
        OSError: the disk is full or failing.
    """
    if start == 0 and root.exists():
        _set_aside(root)
    before = _files(root)
    with _opened(root, "a") as group, _damage(root):
        group.update_attributes(dict(attributes))
        found = columns(_arrays(group), start, rows)
        for column in sorted(found, key=lambda column: column.path == LAST):
            _write(group, column)
    wrong = differences(root, start, rows)
    if wrong:
        raise Damaged(f"{root}: {wrong[0]} could not be read back as written")
    _sync(root, before)


def _set_aside(root: Path) -> None:
    """Make place for folding anew; until that is done the old archive may be of use to somebody."""
    aside = root.with_name(root.name + ".damaged")
    if aside.exists():
        shutil.rmtree(root)
    else:
        root.rename(aside)


def discard_damaged(root: Path) -> None:
    """Remove what :func:`fold` set aside, once everything is folded anew."""
    shutil.rmtree(root.with_name(root.name + ".damaged"), ignore_errors=True)


def differences(root: Path, start: int, rows: Sequence[Row]) -> list[str]:
    """Paths of the arrays which do not hold these rows from ``start`` on; empty if all do.

    Raises:
        Damaged: the archive cannot be read at all.
    """
    wrong = []
    with _opened(root, "r") as group, _damage(root):
        arrays = _arrays(group)
        for column in columns(arrays, start, rows):
            try:
                found = arrays[column.path][column.start : column.start + len(column.values)]
                same = _equal(np.asarray(found), column.values)
            except Exception:  # zarr and its codecs raise many kinds: each means unreadable
                same = False
            if not same:
                wrong.append(column.path)
    return wrong


def is_whole(root: Path, rows: int, keys: bytes, attributes: Mapping[str, Any]) -> bool:
    """A quick look at the first ``rows``: right run, no chunk lost, last keys (32 bytes each)."""
    if rows == 0:
        return True
    try:
        with _opened(root, "r") as group, _damage(root):
            first = rows - len(keys) // 32
            mine = all(group.attrs.get(name) == value for name, value in attributes.items())
            arrays = _arrays(group)
            found = np.asarray(arrays["candidates/key"][first:rows]).tobytes()
            return (
                mine
                and found == keys
                and all(
                    _has_files(root / path, array, length_needed(arrays, path, rows))
                    for path, array in arrays.items()
                )
            )
    except (Damaged, OSError):
        return False


def read(root: Path, *, signals: bool = False) -> Iterator[Row]:
    """Everything in an archive, in commit order, with nothing but the archive.

    Raises:
        Damaged: the archive cannot be read.
    """
    with _opened(root, "r") as group, _damage(root):
        arrays = _arrays(group)
        total = arrays[LAST].shape[0]
        for start in range(0, total, PAGE):
            yield from restore(arrays, start, min(start + PAGE, total), signals=signals)


@contextmanager
def _opened(root: Path, mode: Any) -> Iterator[Any]:
    import zarr

    with zarr.config.set({"array.write_empty_chunks": True}):  # an absent file is a lost one
        try:
            group = zarr.open_group(root, mode=mode)
        except (KeyError, ValueError, FileNotFoundError) as error:
            raise Damaged(f"{root} cannot be read: {error}") from error
        yield group


@contextmanager
def _damage(root: Path) -> Iterator[None]:
    """Call what zarr and its codecs raise, in many kinds, by one name; a disk's errors pass."""
    try:
        yield
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise Damaged(f"{root}: {error}") from error
        raise
    except Exception as error:
        raise Damaged(f"{root}: {error}") from error


def _arrays(group: zarr.Group) -> dict[str, Any]:
    return {path: node for path, node in group.members(max_depth=None) if hasattr(node, "shape")}


def _has_files(folder: Path, array: Any, length: int) -> bool:
    rest = ["0"] * (array.ndim - 1)
    count = -(-length // (array.shards or array.chunks)[0])
    files = (folder.joinpath("c", str(i), *rest) for i in range(count))
    return array.shape[0] >= length and all(path.is_file() for path in files)


def _equal(found: NDArray[Any], expected: NDArray[Any]) -> bool:
    return np.array_equal(found, expected, equal_nan=expected.dtype.kind == "f")


def _write(group: zarr.Group, column: Column) -> None:
    values, start = column.values, column.start
    array: Any = group[column.path] if column.path in group else _create(group, column)
    if any(array.attrs.get(name) != value for name, value in column.attributes.items()):
        array.update_attributes(dict(column.attributes))
    length = array.shape[0]
    if length < start:  # a column that is new in this block
        array.resize((start, *values.shape[1:]))
        array[length:start] = array.fill_value
    array.resize((start + len(values), *values.shape[1:]))
    if len(values):
        array[start:] = values


def _create(group: zarr.Group, column: Column) -> Any:
    from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

    kind, trailing = column.values.dtype.kind, column.values.shape[1:]
    image = column.path.startswith("signals/")
    codec = BloscCodec(cname="zstd", shuffle="shuffle") if image else ZstdCodec(level=1)
    fill: Any = {"f": np.nan, "T": "", "i": -1}.get(kind, 0)
    return group.create_array(
        column.path,
        shape=(0, *trailing),
        dtype=str if kind == "T" else column.values.dtype,
        chunks=(column.chunk, *trailing),
        shards=None if column.file is None else (column.file, *trailing),
        compressors=[codec, Crc32cCodec()],
        fill_value=fill,
        attributes={
            "name": column.path.split("/")[-1],
            "unit": column.unit,
            "description": column.description,
            **column.attributes,
        },
    )


def _files(root: Path) -> dict[Path, tuple[int, int, int]]:
    """What tells a file from a rewritten one, per file: inode, size, modification time [ns]."""
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            if name.endswith(".partial"):  # left by a killed writer; readers never look at it
                path.unlink()
                continue
            info = path.stat()
            found[path] = (info.st_ino, info.st_size, info.st_mtime_ns)
    return found


def _sync(root: Path, before: Mapping[Path, tuple[int, int, int]]) -> None:
    """Bring to the disk what was written since ``before``: zarr itself never does."""
    changed = [path for path, info in _files(root).items() if before.get(path) != info]
    folders = {
        parent for path in changed for parent in path.parents if root in (parent, *parent.parents)
    }
    for path in (*changed, *folders, root.parent):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
