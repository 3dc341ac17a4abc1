"""Signals that were kept, as columns: 12-bit levels with their range to look at, or exact values.

Where the layout of a folder says ``exact``, data are the values as they were simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htinvert.core import Axis
from htinvert.store.columns import Column, escaped
from htinvert.store.record import PackedSignal

PER_FILE = 256
Read = Callable[[str, int, int], NDArray[Any]]
Spans = Callable[[str, int, int], tuple[int, int | None]]


_TEXTS = {
    "row": ("1", "row in candidates/* of each signal, -1 none"),
    "range": ("1", "lowest and highest value; value = lowest + data / 4095 (highest - lowest)"),
    "axes": ("as in 'layout'", "step and origin of each axis"),
    "data": ("1", "levels 0 to 4095 of the range, 65535 not finite; axes in 'layout'"),
    "root": (
        "1",
        "levels 0 to 4095, 65535 not finite; value = lowest + (data / 4095)^2 (highest - lowest)",
    ),
    "exact": ("as the forward model says", "values as simulated; axes in 'layout'"),
}


def signal_columns(
    kept: Iterable[tuple[int, Mapping[str, PackedSignal]]],
    layouts: Mapping[str, Any],
    ends: Mapping[str, int],
) -> Iterator[list[Column]]:
    """Columns of one block's signals, some 256 images at a time.

    Signals of one channel that differ in shape go to ``<channel>.2`` and so on.

    Args:
        kept: (row, signals by channel), in the order of rows.
        layouts: what the archive says each of its folders below ``signals/`` holds.
        ends: entries that the blocks before have in each folder.
    """
    folders = dict(layouts)
    waiting: dict[str, list[tuple[int, PackedSignal]]] = {}
    starts = {name: -(-end // PER_FILE) * PER_FILE for name, end in ends.items()}
    for row, signals in kept:
        for channel, pixels in signals.items():
            name = _folder(channel, pixels, folders)
            waiting.setdefault(name, []).append((row, pixels))
            if len(waiting[name]) == PER_FILE:
                start = starts.get(name, 0)
                yield _columns(name, start, waiting.pop(name), folders[name])
                starts[name] = start + PER_FILE
    for name, entries in waiting.items():
        yield _columns(name, starts.get(name, 0), entries, folders[name])


def _folder(channel: str, pixels: PackedSignal, folders: dict[str, Any]) -> str:
    axes = [[axis.name, axis.unit] for axis in pixels.axes]
    layout = {"channel": channel, "shape": list(pixels.levels.shape), "axes": axes}
    if pixels.code:
        layout |= {"code": pixels.code}
    if pixels.exact:
        layout |= {"exact": pixels.exact, "type": pixels.levels.dtype.str}
    found = next((name for name, known in folders.items() if known == layout), None)
    if found is None:
        others = sum(known["channel"] == channel for known in folders.values())
        found = escaped(channel) + (f".{others + 1}" if others else "")
        folders[found] = layout
    return found


def _columns(
    name: str, start: int, entries: list[tuple[int, PackedSignal]], layout: Any
) -> list[Column]:
    axes = [[[axis.step, axis.origin] for axis in pixels.axes] for _, pixels in entries]
    values = {
        "row": np.array([row for row, _ in entries], "<i8"),
        "range": np.array([[pixels.low, pixels.high] for _, pixels in entries]),
        "axes": np.array(axes, float).reshape(len(entries), -1, 2),
        "data": np.stack([pixels.levels for _, pixels in entries]),
    }
    return [
        Column(
            f"signals/{name}/{part}",
            array,
            start,
            1 if part == "data" else PER_FILE,
            PER_FILE,
            {"name": part, "unit": unit, "description": text, "layout": layout},
        )
        for part, array in values.items()
        for unit, text in [_TEXTS[_text(layout) if part == "data" else part]]
    ]


def _text(layout: Any) -> str:
    """Which of the texts says what the data of a folder are."""
    return "exact" if "exact" in layout else layout.get("code", "data")


def layouts_of(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """What each folder below ``signals/`` holds."""
    return {
        path.split("/")[1]: array.attrs["layout"]
        for path, array in arrays.items()
        if path.startswith("signals/") and path.endswith("/row")
    }


def rows_of(column: Read, arrays: Mapping[str, Any]) -> NDArray[np.int64]:
    """Rows of which there is a signal, ascending; ``column`` reads safely."""
    rows = [_entries(column, arrays, name) for name in layouts_of(arrays)]
    found = np.unique(np.concatenate([np.empty(0, np.int64), *rows]))
    return found[found >= 0]


def _entries(
    column: Read, arrays: Mapping[str, Any], name: str, first: int = 0, end: int | None = None
) -> NDArray[Any]:
    """The row that each entry of a folder, from the first to the end, belongs to, -1 of none."""
    path = f"signals/{name}/row"
    stop = arrays[path].shape[0] if end is None else end
    return column(path, first, stop) if stop > first else np.empty(0, np.int64)


def pixels_of(
    column: Read, arrays: Mapping[str, Any], start: int, stop: int, spans: Spans
) -> dict[int, dict[str, PackedSignal]]:
    """Signals of the rows from start to stop, by row and channel; ``column`` reads safely.

    ``spans`` says among which entries of a folder they are, so that no other block is read.
    """
    found: dict[int, dict[str, PackedSignal]] = {}
    for name, layout in layouts_of(arrays).items():
        before, end = spans(name, start, stop)
        first = -(-before // PER_FILE) * PER_FILE  # every block begins a new file
        rows = _entries(column, arrays, name, first, end)
        for entry in map(int, first + np.flatnonzero((rows >= start) & (rows < stop))):
            here = (entry, entry + 1)
            ((low, high),) = column(f"signals/{name}/range", *here).tolist()
            axes = tuple(
                Axis(label[0], label[1], float(step), float(origin))
                for label, (step, origin) in zip(
                    layout["axes"], column(f"signals/{name}/axes", *here)[0], strict=True
                )
            )
            levels = column(f"signals/{name}/data", *here)[0]
            kept = layout.get("exact", ""), layout.get("code", "")
            pixels = PackedSignal(levels, low, high, axes, *kept)
            found.setdefault(int(rows[entry - first]), {})[layout["channel"]] = pixels
    return found
