"""What a file holds before anybody makes an image or a pattern of it: values and their axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from htinvert.image.units import RECIPROCAL, angstrom, known_unit

ROWS, COLUMNS = ("y", "ky", "qy", "height"), ("x", "kx", "qx", "width")
DIFFRACTED = ("kx", "ky", "qx", "qy")
LOST = "1/m"  # what some readers take for m
FARTHEST = 1e10  # Å: a pixel of a meter is one in 1/m


class FileAxis(NamedTuple):
    """An axis as a file has it; a step of 0 is none."""

    name: str = ""
    step: float = 0.0
    unit: str = ""


@dataclass(frozen=True, eq=False)
class Record:
    """One signal of a file: values (..., ny, nx), or (..., ny, nx, n) with ``colors``.

    ``data`` is an array, or stays in the file until a part is taken of it. ``axes`` are those of
    the values, colors apart. ``diffraction`` says that the file calls it so.
    """

    name: str
    data: Any
    axes: tuple[FileAxis, ...]
    colors: bool = False
    detector: str = ""
    notes: tuple[str, ...] = ()
    diffraction: bool = False

    @property
    def reciprocal(self) -> str:
        """By what unit or name of its axes it is a diffraction pattern; empty if it is none."""
        for axis in self.axes[-2:]:
            known = known_unit(axis.unit)
            if known is not None and known[0] in (*RECIPROCAL, "degrees"):
                return axis.unit
            if abs(axis.step) * angstrom(axis.unit) > FARTHEST:
                return LOST
            if axis.name.lower() in DIFFRACTED:
                return axis.name
        return "1/nm" if self.diffraction else ""


def unnamed(data: NDArray[Any]) -> tuple[FileAxis, ...]:
    """Axes of which a file says nothing."""
    return (FileAxis(),) * data.ndim


def without_ones(record: Record) -> Record:
    """A record without the axes of one point, down to the two of an image."""
    data, axes = record.data, list(record.axes)
    for index in reversed(range(len(axes))):
        if len(axes) > 2 and data.shape[index] == 1:
            data = data.reshape(data.shape[:index] + data.shape[index + 1 :])
            del axes[index]
    return replace(record, data=data, axes=tuple(axes))


def upright(
    data: NDArray[Any], axes: Sequence[FileAxis], pair: tuple[int, int], *, colors: bool = False
) -> tuple[NDArray[Any], tuple[FileAxis, ...]]:
    """Values and axes with the ``pair`` of an image's last, rows before columns.

    Axes that are named x and y in this order are columns and rows.
    """
    first, second = (axes[i].name.strip().lower() for i in pair)
    ordered = pair[::-1] if first in COLUMNS and second in ROWS else pair
    rest = [i for i in range(len(axes)) if i not in pair]
    order = [*rest, *ordered]
    moved = np.transpose(data, [*order, data.ndim - 1] if colors else order)
    return moved, tuple(axes[i] for i in order)
