"""Files of microscopes as rosettasciio reads them, which is GPL-3 and loaded only then."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htinvert.image.record import FileAxis, Record, upright
from htinvert.image.units import known_unit


class Lazy:
    """Values of a reader that leaves them in the file, taken part by part in this thread."""

    def __init__(self, values: Any) -> None:
        self.values, self.shape, self.dtype = values, tuple(values.shape), values.dtype
        self.ndim = len(self.shape)

    def __getitem__(self, part: Any) -> NDArray[Any]:
        found = self.values[part]
        compute = getattr(found, "compute", None)  # of Dask, which might use a cluster's workers
        return np.asarray(found if compute is None else compute(scheduler="synchronous"))


def read_instrument(path: Path, reader: str, *, lazy: bool = False, **options: Any) -> list[Record]:
    """One record per signal of two dimensions or more that is no spectrum, or map of them.

    With ``lazy`` its values are :class:`Lazy`, colors apart.
    """
    records: list[Record] = []
    given = {**options, "lazy": True} if lazy else options
    for found in importlib.import_module(f"rsciio.{reader}").file_reader(str(path), **given):
        record = _record(found, {record.name for record in records}, lazy=lazy)
        records += [record] if record is not None else []
    return records


def jeol_axes(path: Path) -> tuple[FileAxis, FileAxis] | None:
    """Rows and columns of a TIFF of JEOL's, worked out of its magnification or camera length."""
    axes = importlib.import_module("rsciio.tiff").file_reader(str(path))[0]["axes"]
    by_name = {axis["name"]: axis for axis in axes}
    if not {"height", "width"} <= by_name.keys() or not by_name["height"]["units"]:
        return None
    y, x = (
        FileAxis(name, float(by_name[long]["scale"]), by_name[long]["units"])
        for name, long in (("y", "height"), ("x", "width"))
    )
    return y, x


def _record(found: Mapping[str, Any], names: set[str], *, lazy: bool = False) -> Record | None:
    data = found["data"]
    colors = bool(data.dtype.names)
    if colors or not lazy:
        data = np.asarray(data)
    if colors:  # colors as a structure
        data = np.stack([data[name] for name in data.dtype.names], axis=-1)
    dimensions = data.ndim - colors
    parts = _in_order(found["axes"])
    pair = _pair(parts, dimensions)
    if pair is None:
        return None
    axes = [FileAxis(_text(part, "name"), _step(part), _text(part, "units")) for part in parts]
    axes += [FileAxis()] * (dimensions - len(axes))
    if any((known_unit(axes[i].unit) or ("",))[0] == "eV" for i in pair):
        return None
    data, ordered = upright(data, axes[:dimensions], pair, colors=colors)
    title = str(found["metadata"].get("General", {}).get("title") or "image")
    title = title if title not in names else f"{title}#{len(names) + 1}"
    kind = str(found["metadata"].get("Signal", {}).get("signal_type") or "")
    return Record(
        title,
        Lazy(data) if lazy and not colors else data,
        ordered,
        colors,
        _detector(found),
        diffraction="diffraction" in kind.lower(),
    )


def _in_order(axes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Axes in the order of the array's dimensions."""
    if all("index_in_array" in axis for axis in axes):
        return sorted(axes, key=lambda axis: int(axis["index_in_array"]))
    return list(axes)


def _pair(axes: Sequence[Mapping[str, Any]], dimensions: int) -> tuple[int, int] | None:
    """Which two dimensions are those of an image; None for spectra."""
    if dimensions < 2:
        return None
    signal = [i for i, axis in enumerate(axes) if not axis.get("navigate")][-2:]
    if len(signal) == 2:
        return signal[0], signal[1]
    if len(signal) == 1 and dimensions > 2:
        return None  # spectra at every place
    return dimensions - 2, dimensions - 1


def _text(axis: Mapping[str, Any], key: str) -> str:
    """A text of an axis; empty where a reader marks it as undefined."""
    value = axis.get(key)
    return value.strip() if isinstance(value, str) else ""


def _step(axis: Mapping[str, Any]) -> float:
    """Step of an axis, also of one that is listed point by point; 0 where it has none."""
    if "scale" in axis:
        return float(axis["scale"])
    places = np.asarray(axis.get("axis", ()), dtype=float)
    steps = np.diff(places)
    even = len(steps) > 0 and np.allclose(steps, steps.mean(), rtol=1e-3)
    return float(steps.mean()) if even else 0.0


def _detector(found: Mapping[str, Any]) -> str:
    """The detector's name where the metadata has one in a place that we know."""
    tem = found["metadata"].get("Acquisition_instrument", {}).get("TEM", {})
    detector = tem.get("Detector") or tem.get("detector") or ""
    return detector if isinstance(detector, str) else ", ".join(map(str, detector))
