"""Where the atoms of very many structures are, to some 1e-5 Å and in three bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.geometry.near import larger
from htinvert.geometry.roles import motion, region_mask, rigid_mask

FINE = 256  # of two bytes and one
STEP = 1e-3 / FINE  # Å, what positions are rounded to
MOST = 32767 * FINE  # steps from the frame's own place
OFF = 4 * STEP  # more than rounding may change a displacement: twice sqrt(3)/2 steps, for distances
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
    coarse: NDArray[np.int16]
    fine: NDArray[np.uint8]
    count: int = 0

    def put(self, moves: NDArray[np.int32]) -> int:
        """Remember where the atoms of one more are, in steps; returns its row."""
        if self.count == len(self.fine):
            room = 2 * self.count
            self.coarse = larger(self.coarse, room, self.count)
            self.fine = larger(self.fine, room, self.count)
        self.coarse[self.count], self.fine[self.count] = np.divmod(moves, FINE)
        self.count += 1
        return self.count - 1

    def structure(self, row: int) -> Atoms:
        """One of them, right in the atoms that are told apart."""
        found = self.atoms.copy()
        found.positions[self.used] += STEP * (
            FINE * self.coarse[row].astype(float) + self.fine[row]
        )
        return found


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
        which, row = self._where[number].tolist() if self.asked(number) else (UNKNOWN, 0)
        if which < 0:
            return None
        return self._frames[which].structure(row)

    def _put(self, atoms: Atoms, key: bytes) -> tuple[int, int]:
        """Frame and row of a structure that is new."""
        if key not in self._numbers:
            if len(self._frames) >= FRAMES:
                return NONE, 0
            used = np.flatnonzero(region_mask(atoms) | rigid_mask(atoms))
            self._numbers[key] = len(self._frames)
            shape = (16, len(used), 3)
            coarse, fine = np.empty(shape, np.int16), np.empty(shape, np.uint8)
            self._frames.append(_Frame(atoms.copy(), used, coarse, fine))
        which = self._numbers[key]
        frame = self._frames[which]
        moves = np.rint((atoms.positions - frame.atoms.positions)[frame.used] / STEP)
        if not (np.abs(moves) <= MOST).all() or (atoms.cell.array != frame.atoms.cell.array).any():
            return NONE, 0
        return which, frame.put(moves.astype(np.int32))
