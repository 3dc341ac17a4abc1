"""Where the atoms of very many structures are, to a few thousandths of an Å and in two bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.geometry.roles import motion, region_mask, rigid_mask

STEP = 1e-3  # Å, what positions are rounded to
MOST = 32767  # steps from the frame's own place
OFF = 4e-3  # Å, more than rounding may change a displacement: twice sqrt(3)/2 steps, for distances
FRAMES = 1024  # kinds of structures; of more there are no places

UNKNOWN, NONE = -2, -1  # frames: nobody has said yet, and there is no place


def frame_key(atoms: Atoms) -> bytes:
    """All of a structure but its cell and positions."""
    parts = (atoms.numbers, atoms.get_tags(), atoms.pbc, motion(atoms))
    return b"".join(part.tobytes() for part in parts)


@dataclass(eq=False)
class _Frame:
    """Structures that have all in common but the places of the atoms that are told apart."""

    atoms: Atoms
    used: NDArray[np.intp]
    steps: NDArray[np.int16]
    count: int = 0


class Places:
    """Rounded positions of structures by number: of the region and of rigid grains.

    What differs in its cell from the first of its kind, or lies far from it, has none.
    """

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._frames: list[_Frame] = []
        self._where = np.full((16, 2), UNKNOWN, np.int32)  # frame and row, by number

    def add(self, number: int, atoms: Atoms, *, key: bytes | None = None) -> None:
        """Remember where the atoms of a structure are; ``key`` is its :func:`frame_key`."""
        while number >= len(self._where):
            more = np.full((len(self._where), 2), UNKNOWN, np.int32)
            self._where = np.concatenate([self._where, more])
        self._where[number] = self._put(atoms, frame_key(atoms) if key is None else key)

    def asked(self, number: int) -> bool:
        """Whether a structure was added, though it may have no place."""
        return number < len(self._where) and bool(self._where[number, 0] != UNKNOWN)

    def atoms(self, number: int) -> Atoms | None:
        """A structure that is right in the atoms that are told apart, where it has a place."""
        which, row = self._where[number].tolist()
        if which < 0:
            return None
        frame = self._frames[which]
        found = frame.atoms.copy()
        found.positions[frame.used] += STEP * frame.steps[row]
        return found

    def _put(self, atoms: Atoms, key: bytes) -> tuple[int, int]:
        """Frame and row of a structure that is new."""
        if key not in self._numbers:
            if len(self._frames) >= FRAMES:
                return NONE, 0
            used = np.flatnonzero(region_mask(atoms) | rigid_mask(atoms))
            self._numbers[key] = len(self._frames)
            self._frames.append(_Frame(atoms.copy(), used, np.empty((16, len(used), 3), np.int16)))
        which = self._numbers[key]
        frame = self._frames[which]
        moves = np.rint((atoms.positions - frame.atoms.positions)[frame.used] / STEP)
        if not (np.abs(moves) <= MOST).all() or (atoms.cell.array != frame.atoms.cell.array).any():
            return NONE, 0
        if frame.count == len(frame.steps):
            larger = np.empty((2 * frame.count, *frame.steps.shape[1:]), np.int16)
            larger[: frame.count] = frame.steps
            frame.steps = larger
        frame.steps[frame.count] = moves
        frame.count += 1
        return which, frame.count - 1
