"""Diffraction patterns and scans of them as detectors write them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htinvert.core import Axis, Signal, UserError
from htinvert.image.files import READERS, read_records
from htinvert.image.parsing import parsing
from htinvert.image.record import LOST, Record
from htinvert.image.sizes import check_size, load_arrays
from htinvert.image.units import RECIPROCAL, angstrom, known_unit

ARRAYS = (".npy", ".npz")
LARGEST = 2_000_000_000  # bytes of values that are held at once


@dataclass(frozen=True, eq=False)
class _Record:
    """Values (..., ny, nx), step per detector pixel and its unit, steps of the scan [Å]."""

    data: NDArray[Any]
    steps: tuple[float, float] | None = None
    unit: str = ""
    scan: tuple[float, ...] = ()


def read_pattern(
    path: Path,
    *,
    sampling: float | tuple[float, float] | None = None,
    unit: str | None = None,
    scan: float | None = None,
) -> tuple[Signal, str]:
    """Read a pattern (ky, kx), or a scan of them (y, x, ky, kx), and say what the file holds.

    Args:
        path: what rosettasciio reads of diffraction data, a picture, ``.npy`` or ``.npz``.
        sampling: step per pixel (y, x) in ``unit``; replaces what the file says.
        unit: ``1/Å`` or ``mrad``; files in 1/nm are converted.
        scan: step of the scan [Å]; 1 where nobody says.

    The zero of both axes is the middle pixel, n // 2, until a step centers it.

    Raises:
        UserError: where the file is missing, of another kind, or has no step.
    """
    record = _record(path)
    steps = record.steps if sampling is None else sampling
    if steps is None:
        raise UserError(
            f"{path.name} has no step per pixel; set the experiment's sampling, such as 0.02, and "
            "its unit, 1/Å or mrad"
        )
    chosen = unit or (record.unit if sampling is None else "") or RECIPROCAL[0]
    known = known_unit(chosen)
    if known is None or known[0] not in RECIPROCAL:
        raise UserError(f"{path.name} has axes in {chosen}; a pattern has them in 1/Å or mrad")
    pair = (steps, steps) if isinstance(steps, int | float) else steps
    pair = (pair[0] * known[1], pair[1] * known[1])
    if not all(0.0 < step < np.inf for step in pair):
        raise UserError(f"{path.name} has steps of {pair[0]:g} and {pair[1]:g}; give them above 0")
    before = record.data.ndim - 2
    across = (float(scan),) * before if scan else record.scan or (1.0,) * before
    pattern = pattern_signal(record.data, pair, unit=known[0], scan=across)
    return pattern, f"{path.name}: {words(pattern)}"


def pattern_signal(
    data: NDArray[Any],
    sampling: float | tuple[float, float],
    *,
    unit: str = "1/Å",
    scan: tuple[float, ...] = (),
) -> Signal:
    """A pattern (ky, kx), or a scan of them (y, x, ky, kx), from its values.

    ``sampling`` is in ``unit`` per pixel, one number or (ky, kx); ``scan`` the step of each axis
    before the last two [Å]. The zero of both axes is the middle pixel, index n // 2.
    """
    steps = (sampling, sampling) if isinstance(sampling, int | float) else sampling
    names = "yx"[2 - len(scan) :]
    axes = [Axis(name, "Å", float(step)) for name, step in zip(names, scan, strict=True)]
    for name, step, size in zip(("ky", "kx"), steps, data.shape[-2:], strict=True):
        axes.append(Axis(name, unit, float(step), -float(step) * (size // 2)))
    return Signal(np.ascontiguousarray(data, dtype=np.float32), tuple(axes))


def words(pattern: Signal) -> str:
    """Pixels, their size, and the scan, as ``256 x 256 px of 0.5 x 0.5 mrad, 8 x 8 places``."""
    (ny, nx), axes = pattern.data.shape[-2:], pattern.axes
    text = f"{ny} x {nx} px of {axes[-2].step:.4g} x {axes[-1].step:.4g} {axes[-1].unit}"
    if before := pattern.data.shape[:-2]:
        steps = " x ".join(f"{axis.step:.4g}" for axis in axes[:-2])
        text += f", {' x '.join(map(str, before))} places of {steps} Å"
    return text


def _record(path: Path) -> _Record:
    """What a file holds, by its ending."""
    if path.is_dir():
        raise UserError(f"{path.name} is a folder; give a file, such as the patterns as .npy")
    if not path.is_file():
        raise UserError(f"there is no file {path}; check the experiment's data")
    ending = path.suffix.lower()
    if ending not in (*READERS, *ARRAYS):
        known = ", ".join((*READERS, *ARRAYS))
        raise UserError(f"{path.name} is of a kind that is not read as a pattern; known: {known}")
    if path.stat().st_size > LARGEST:
        raise UserError(
            f"{path.name} has {path.stat().st_size / 1e9:.1f} GB, more than the "
            f"{LARGEST / 1e9:.0f} GB that are read; average or bin it outside"
        )
    with parsing(path, "a pattern", "it may be truncated, copy it again or export it as npy"):
        check_size(path)
        record = _read(path, ending)
    data = record.data
    if data.ndim < 2 or data.ndim > 4 or min(data.shape[-2:]) < 2 or data.dtype.kind not in "biuf":
        raise UserError(
            f"{path.name} holds {data.dtype} of shape {data.shape}; give one pattern, a row or a "
            "scan of them"
        )
    return record


def _read(path: Path, ending: str) -> _Record:
    if ending in ARRAYS:
        return _of_arrays(path, load_arrays(path))
    records = read_records(path)
    if not records:
        raise UserError(f"{path.name} holds no pattern, only spectra or numbers")
    return _of_instrument(records[0])


def _of_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> _Record:
    """The only array of numpy's file that could be a pattern, or the one of that name."""
    names = [name for name, data in arrays.items() if data.ndim >= 2]
    if not names:
        shapes = ", ".join(str(data.shape) for data in arrays.values()) or "nothing"
        raise UserError(f"{path.name} holds {shapes}; give one pattern, a row or a scan of them")
    if len(names) != 1 and "pattern" not in names:
        raise UserError(f"{path.name} holds {', '.join(arrays)}; name the one to take pattern")
    data = arrays["pattern" if "pattern" in names else names[0]]
    if "sampling" not in arrays:
        return _Record(data)
    step = arrays["sampling"].ravel().astype(float)
    return _Record(data, (float(step[0]), float(step[-1])))


def _of_instrument(found: Record) -> _Record:
    """A reader's record: detector axes last, the scan's before; colors averaged to gray."""
    data = found.data[..., :3].mean(axis=-1) if found.colors else found.data
    if found.reciprocal == LOST:
        y, x = (abs(axis.step) * angstrom(axis.unit) for axis in found.axes[-2:])
        return _Record(data, (y * 1e-20, x * 1e-20), "1/Å")  # 1/m that were taken for m
    units = [known_unit(axis.unit) for axis in found.axes]
    scales = [abs(axis.step) for axis in found.axes]
    if not all(unit is not None and unit[0] in RECIPROCAL for unit in units[-2:]):
        return _Record(data)
    (unit, factor), (_, other) = (pair or ("", 1.0) for pair in units[-2:])
    scan = tuple(
        scale * pair[1] if scale and pair is not None and pair[0] == "Å" else 1.0
        for scale, pair in zip(scales[:-2], units[:-2], strict=True)
    )
    return _Record(data, (scales[-2] * factor, scales[-1] * other), unit, scan)
