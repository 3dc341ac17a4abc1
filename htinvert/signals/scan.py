"""A scan of diffraction patterns that stays in its file, of which a block is held at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from htinvert.core import Axis, Signal, UserError

BLOCK = 16_000_000  # bytes of a block's values, as float32
LARGEST = 2_000_000_000  # bytes of values that are held at once
SAMPLED = 16  # places along each axis of a scan that stand for all of it, at most

Each = Callable[[Signal], Signal]
"""What is done to every pattern of a block alike."""


class InParts(Protocol):
    """Values in memory or in a file, of which a part is taken by slices."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all values."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values."""
        ...

    @property
    def ndim(self) -> int:
        """Number of axes."""
        ...

    def __getitem__(self, part: Any) -> Any: ...


@dataclass(frozen=True, eq=False)
class Flat:
    """Plain numbers in a file, mapped anew for every part, so that no page of it stays in memory.

    ``order`` is that of the file's own axes.
    """

    path: Path
    dtype: np.dtype[Any]
    inside: tuple[int, ...]
    offset: int = 0
    order: tuple[int, ...] = ()
    fortran: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the values as they are asked for."""
        return tuple(self.inside[i] for i in self.order) if self.order else self.inside

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.inside)

    def __getitem__(self, part: Any) -> NDArray[Any]:
        whole: NDArray[Any] = np.memmap(
            self.path,
            dtype=self.dtype,
            mode="r",
            offset=self.offset,
            shape=self.inside,
            order="F" if self.fortran else "C",
        )
        return np.array(whole.transpose(self.order)[part] if self.order else whole[part])


@dataclass(frozen=True, eq=False)
class Section:
    """A part of values: bounded slices along their first axes, all there is along the others."""

    inside: InParts
    part: tuple[slice, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values."""
        return self.inside.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.inside.ndim

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the part."""
        return (*(p.stop - p.start for p in self.part), *self.inside.shape[len(self.part) :])

    def __getitem__(self, part: Any) -> NDArray[Any]:
        asked = (*part, *(slice(None) for _ in self.part[len(part) :]))
        moved = []
        for own, wanted in zip(self.part, asked, strict=False):
            first, last, _ = wanted.indices(own.stop - own.start)
            moved.append(slice(own.start + first, own.start + last))
        return np.asarray(self.inside[(*moved, *asked[len(moved) :])])


@dataclass(frozen=True, eq=False)
class Reordered:
    """Other values with their axes in another order or number; parts are taken of what is inside.

    ``places`` cuts the first axis, frames in a row, into rows of a scan; ``exchanged`` puts the
    last two axes first.
    """

    inside: InParts
    places: tuple[int, int] | None = None
    exchanged: bool = False

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values."""
        return self.inside.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the values as they are asked for."""
        shape = tuple(self.inside.shape)
        if self.places is not None:
            shape = (*self.places, *shape[-2:])
        return shape[2:] + shape[:2] if self.exchanged else shape

    def __getitem__(self, part: Any) -> NDArray[Any]:
        rows, columns = part
        if self.exchanged:
            return np.asarray(self.inside[:, :, rows, columns]).transpose(2, 3, 0, 1)
        wide = self.shape[1]
        first, last, _ = rows.indices(self.shape[0])
        left, right, _ = columns.indices(wide)
        if (left, right) == (0, wide):
            found = np.asarray(self.inside[first * wide : last * wide])
            return found.reshape(last - first, wide, *found.shape[1:])
        each = [self.inside[row * wide + left : row * wide + right] for row in range(first, last)]
        return np.stack(each)


@dataclass(frozen=True, eq=False)
class PatternScan:
    """Patterns (..., ky, kx) in a file, and what is to be done to each of them.

    ``axes`` are those of the file; ``each`` is applied to every block that is read, in order.
    ``name`` is the file's, ``kept`` what was read of it to be used again.
    """

    data: InParts
    axes: tuple[Axis, ...]
    name: str = ""
    each: tuple[Each, ...] = ()
    kept: dict[str, NDArray[np.float32]] = field(default_factory=dict, repr=False)

    @property
    def places(self) -> tuple[int, ...]:
        """Number of patterns along each axis of the scan; empty for one pattern."""
        return tuple(self.data.shape[:-2])

    @property
    def pattern(self) -> Signal:
        """A pattern of zeros with the shape and axes that patterns have after all steps."""
        zeros = np.zeros(self.data.shape[-2:], dtype=np.float32)
        return self._done(Signal(zeros, self.axes[-2:]))

    def then(self, step: Each) -> PatternScan:
        """The scan with one more step, which is tried on a pattern of zeros at once.

        Raises what the step raises.
        """
        more = replace(self, each=(*self.each, step))
        _ = more.pattern
        return more

    def region(self, box: Sequence[int] | None) -> PatternScan:
        """The part first to last along each axis of the scan (last out; 0 is the end).

        Raises :class:`UserError` where the box has other axes, or nothing is in it.
        """
        if box is None:
            return self
        count = len(self.places)
        if len(box) != 2 * count:
            raise UserError(f"a region is first and last of {count} axes; give {2 * count} numbers")
        part = [
            slice(*slice(first, last or None).indices(n)[:2])
            for first, last, n in zip(box[::2], box[1::2], self.places, strict=True)
        ]
        if any(p.stop <= p.start for p in part):
            raise UserError(f"region {list(box)} holds none of {self.places} patterns")
        axes = [
            replace(axis, origin=axis.origin + p.start * axis.step)
            for axis, p in zip(self.axes, part, strict=False)
        ]
        data = Section(self.data, tuple(part))
        return replace(self, data=data, axes=(*axes, *self.axes[-2:]), kept={})

    def blocks(self) -> Iterator[tuple[tuple[slice, ...], Signal]]:
        """Parts of the scan with the slices of the scan's axes that they are, in order."""
        ny, nx = self.data.shape[-2:]
        most = max(1, BLOCK // (4 * ny * nx))
        for part in _parts(self.places, most):
            yield part, self._read(part)

    def load(self) -> Signal:
        """All of it. Raises :class:`UserError` where that is more than 2 GB."""
        one = self.pattern
        size = 4 * prod(self.places) * one.data.size
        if size > LARGEST:
            raise UserError(
                f"its patterns take {size / 1e9:.1f} GB, more than the {LARGEST / 1e9:.0f} GB that "
                "are held at once; reduce them in prepare: average, cells, crop or bin, or make an "
                "image of them by virtual, com or idpc"
            )
        data = np.empty((*self.places, *one.data.shape), dtype=np.float32)
        axes = (*self.axes[:-2], *one.axes)
        for part, block in self.blocks():
            data[part] = block.data
            axes = block.axes if not self.places else axes
        return Signal(data, axes)

    def sample(self) -> Signal:
        """Patterns of at most 16 x 16 places, evenly spread, and at most 16 MB: (n, ny, nx).

        Patterns of nothing but NaN, of places that were not measured, are left out.
        """
        if not self.places:
            block = self._read(())
            return Signal(block.data[None], (Axis("x", "Å", 1.0), *block.axes))
        if "sample" not in self.kept:
            self.kept["sample"] = self._sample()
        axes = (Axis("x", "Å", 1.0), *self.axes[-2:])
        found = self._done(Signal(self.kept["sample"], axes))
        lost = ~np.isfinite(found.data).any(axis=(1, 2))  # whole patterns, which tell nothing
        return replace(found, data=found.data[~lost]) if lost.any() and not lost.all() else found

    def _sample(self) -> NDArray[np.float32]:
        """Values of evenly spread places as they are in the file: (n, ny, nx)."""
        shape = self.data.shape[-2:]
        room = BLOCK / (4 * prod(shape))
        count = max(2, int(min(SAMPLED**2, room) ** (1 / len(self.places)) + 1e-9))
        chosen = [np.unique(np.linspace(0, n - 1, count).round().astype(int)) for n in self.places]
        grid = np.stack(np.meshgrid(*chosen, indexing="ij"), axis=-1).reshape(-1, len(chosen))
        data = np.empty((len(grid), *shape), dtype=np.float32)
        for number, place in enumerate(grid):
            data[number] = self.data[tuple(slice(i, i + 1) for i in place)].reshape(shape)
        return data

    def mean(self) -> Signal:
        """The mean pattern over all places, in double precision.

        Patterns of nothing but NaN, of places that were not measured, do not count.
        """
        if not self.places:
            return self._read(())
        one, count = self.pattern, 0
        total = np.zeros(one.data.shape)
        for _, block in self.blocks():
            data = block.data.reshape(-1, *one.data.shape)
            seen = np.asarray(np.isfinite(data).any(axis=(1, 2)))
            total += data.sum(axis=0, dtype=np.float64, where=seen[:, None, None])
            count += int(seen.sum())
        return Signal(np.asarray(total / max(count, 1), dtype=np.float32), one.axes)

    def _read(self, part: tuple[slice, ...]) -> Signal:
        """A part with every step done."""
        values = np.asarray(self.data[part], dtype=np.float32)
        return self._done(Signal(values, self.axes))

    def _done(self, block: Signal) -> Signal:
        for step in self.each:
            block = step(block)
        return block


def _parts(places: tuple[int, ...], most: int) -> Iterator[tuple[slice, ...]]:
    """Slices of a scan's axes that hold at most ``most`` places each, or one."""
    if not places:
        yield ()
    elif len(places) == 1 or places[-1] >= most:
        for row in range(places[0]) if len(places) > 1 else (None,):
            for left in range(0, places[-1], most):
                columns = slice(left, min(left + most, places[-1]))
                yield (columns,) if row is None else (slice(row, row + 1), columns)
    else:
        rows = most // places[-1]
        for first in range(0, places[0], rows):
            yield slice(first, min(first + rows, places[0])), slice(0, places[-1])
