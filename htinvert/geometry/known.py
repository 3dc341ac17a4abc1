"""Which of very many structures are known, without holding them: a few hundred bytes of each.

A structure is looked for among those of the nearest fingerprints, of which codes are at hand, and
is compared with them atom by atom at places that are rounded. Only where that does not exclude all
of them, exact structures are asked for: the last ones are at hand, others where they are kept. So
what is found is exactly what comparing with all would find.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.geometry.duplicates import (
    IDENTITY,
    SAME_BASIN,
    Operation,
    displacement,
    host_operations,
    is_free,
    other_order,
)
from htinvert.geometry.fingerprint import LIKE, fingerprint
from htinvert.geometry.near import Codes, Near, NearestFingerprints, code
from htinvert.geometry.places import OFF, Places, frame_key

TIES = 8  # of the nearest fingerprints that are matched atom by atom
REPEATED = 5e-4  # difference of fingerprints below which a proposal repeats a known structure
REPEATED_WITHIN = 0.1  # Å rms: and the same up to four times that difference
BASIN_REACH = 0.03  # difference of fingerprints that 0.3 Å rms may make
TURNED = 1e-4  # distance of fingerprints by rounded places: five times the most that was seen
AT_HAND = 16 * 2**20  # bytes of exact structures that are at hand, of those kept elsewhere
PAGE = 256  # structures that are asked for at once where one of them is needed

Read = Callable[[Sequence[int]], list[Atoms]]


@dataclass(frozen=True, eq=False)
class Sketch:
    """A structure with all that is compared first: its fingerprint, and the code of that.

    Whoever looks for one and then remembers it makes it once.
    """

    atoms: Atoms
    vector: NDArray[np.float64]
    code: Codes
    frame: bytes

    @classmethod
    def of(cls, atoms: Atoms) -> Self:
        """The sketch of a structure, which must not change after."""
        vector = fingerprint(atoms)
        return cls(atoms, vector, code(vector), frame_key(atoms))


@dataclass(frozen=True, eq=False)
class _Exact:
    """A structure as it is: what it shares with others, its own cell and positions."""

    frame: Atoms
    cell: NDArray[np.float64]
    positions: NDArray[np.float64]
    vector: NDArray[np.float64]

    @property
    def size(self) -> int:
        return self.positions.nbytes + self.vector.nbytes + 1000

    def atoms(self) -> Atoms:
        found = self.frame.copy()
        found.cell[:] = self.cell
        found.positions[:] = self.positions
        return found


class Known:
    """Structures in the order they were added, each found again when it comes once more.

    They are held as they are until :meth:`keep_elsewhere` says who can read them.

    Attributes:
        surely: difference of fingerprints below which two structures are the same.
        perhaps: difference above which they are not; in between, atoms are paired.
        within: rms displacement [Å] up to which paired structures are the same.
        apart: whether a symmetry of the host makes another structure of one, as an image sees it
            that shows where a mirrored or shifted copy lies. A fingerprint cannot tell, so every
            pair below ``perhaps`` is then matched atom by atom, just as it stands.
        turn: whether a free cluster that is turned or mirrored is the same, for no data shows it
            from one side.
    """

    @classmethod
    def proposals(cls, *, apart: bool, turn: bool = True) -> Self:
        """For structures about to be evaluated, which none should be twice."""
        limits = {"surely": REPEATED, "perhaps": 4 * REPEATED, "within": REPEATED_WITHIN}
        return cls(**limits, apart=apart, turn=turn)

    @classmethod
    def basins(cls, *, within: float = SAME_BASIN, apart: bool, turn: bool = True) -> Self:
        """For relaxed structures that a proposal ``within`` [Å] would only relax to again."""
        radius = max(within, REPEATED_WITHIN)
        return cls(surely=REPEATED, perhaps=BASIN_REACH, within=radius, apart=apart, turn=turn)

    @classmethod
    def families(cls) -> Self:
        """For relaxed structures: what relaxed into one minimum is one, mirror images included."""
        return cls(surely=0.25 * LIKE, perhaps=2.0 * LIKE, within=SAME_BASIN)

    def __init__(
        self,
        *,
        surely: float,
        perhaps: float,
        within: float,
        apart: bool = False,
        turn: bool = True,
    ) -> None:
        self.surely, self.perhaps, self.within, self.apart = surely, perhaps, within, apart
        self.turn = turn
        self._nearest = NearestFingerprints()
        self._places: Places | None = None
        self._frames: dict[bytes, Atoms] = {}  # all of a structure but cell and positions
        self._held: dict[int, _Exact] = {}  # that nobody else keeps
        self._at_hand: dict[int, _Exact] = {}  # that are kept elsewhere, too; asked for last at end
        self._size = 0  # bytes of those
        self._read: Read | None = None
        self._count = 0
        self._operations: list[Operation] | None = None

    def __len__(self) -> int:
        return self._count

    def add(self, atoms: Atoms | Sketch) -> None:
        """Remember a structure; its number is how many came before."""
        sketch = atoms if isinstance(atoms, Sketch) else Sketch.of(atoms)
        self._nearest.add_code(len(sketch.vector), sketch.code, self._count)
        if self._places is not None:
            self._places.add(self._count, sketch.atoms, key=sketch.frame)
        self._held[self._count] = self._exact(sketch)
        self._count += 1

    def keep_elsewhere(self, read: Read) -> None:
        """Hold no structure for good after the next :meth:`kept`: ``read`` fetches any by number.

        Before any is added.
        """
        self._read, self._places = read, Places()

    def kept(self) -> None:
        """Take note that all that was added can be read."""
        for number, exact in self._held.items():
            self._have_at_hand(number, exact)
        self._held.clear()

    def state(self) -> list[list[list[float]]] | None:
        """What :meth:`restore` needs besides the structures, as plain numbers: the operations."""
        if self._operations is None:
            return None
        return [[found.signs.tolist(), found.shift.tolist()] for found in self._operations]

    def restore(
        self,
        state: Sequence[Sequence[Sequence[float]]] | None,
        lengths: NDArray[np.integer],
        codes: Codes,
    ) -> None:
        """Know structures that are kept elsewhere, before any is added.

        By the lengths of their fingerprints, shape (n,), and the codes of these, (n, CODE).
        """
        self._count = len(lengths)
        self._nearest.add_codes(lengths, codes, np.arange(self._count))
        if state is not None:
            self._operations = [Operation(np.array(s), np.array(shift)) for s, shift in state]

    def has(self, atoms: Atoms | Sketch) -> bool:
        """Whether :meth:`find` finds one; what it is needs not be read where that is sure."""
        sketch = atoms if isinstance(atoms, Sketch) else Sketch.of(atoms)
        near = self._nearest.near(sketch.vector, within=self.perhaps, count=TIES)
        rounded = self._rounded(sketch.atoms, near)
        some = rounded if rounded and len(rounded) <= TIES else {}  # all of them are matched
        limit = self.within - OFF
        if any(apart <= limit and self._surely(number, sketch) for number, apart in some.items()):
            return True
        return self._match(sketch, near, rounded) is not None

    def _surely(self, number: int, sketch: Sketch) -> bool:
        """Whether a structure is a known one wherever in its rounding that may be."""
        place = self._places.atoms(number) if self._places is not None else None
        if place is None or self._apart(place, sketch.atoms, off=-OFF) > self.within - OFF:
            return False
        turned = np.linalg.norm(fingerprint(place) - sketch.vector) + TURNED
        return bool(0.5 * turned**2 < self.perhaps)

    def find(self, atoms: Atoms | Sketch) -> int | None:
        """Number of the nearest known structure that is the same, if any."""
        sketch = atoms if isinstance(atoms, Sketch) else Sketch.of(atoms)
        near = self._nearest.near(sketch.vector, within=self.perhaps, count=TIES)
        return self._match(sketch, near, self._rounded(sketch.atoms, near))

    def _match(self, sketch: Sketch, near: Near, rounded: Mapping[int, float] | None) -> int | None:
        """Number of the nearest of those near ones that is the same, by exact structures."""
        numbers = near.numbers.tolist()
        if rounded is not None:
            perhaps = [number for number in numbers if rounded[number] <= self.within + OFF]
            # Of more than are matched, which ones are is told by exact fingerprints only.
            numbers = perhaps if len(numbers) <= TIES or not perhaps else numbers
        if not numbers:
            return None
        exact = dict(zip(numbers, self._fetch(numbers), strict=True))
        apart = {n: max(0.0, 1.0 - float(exact[n].vector @ sketch.vector)) for n in numbers}
        close = (number for number in numbers if apart[number] < self.perhaps)
        for number in sorted(close, key=lambda n: (round(apart[n], 12), n))[:TIES]:
            known = exact[number].atoms()
            trusted = apart[number] < self.surely and not self.apart
            if trusted and not is_free(sketch.atoms) and not other_order(known, sketch.atoms):
                return number
            if self._apart(known, sketch.atoms) <= self.within:
                return number
        return None

    def _rounded(self, atoms: Atoms, near: Near) -> dict[int, float] | None:
        """How far a structure is from those that are near, by rounded places [Å].

        0 where one has no place, or where the fingerprint alone may tell; None where exact ones are
        at hand.
        """
        numbers = near.numbers.tolist()
        if all(number in self._held or number in self._at_hand for number in numbers):
            return None
        assert self._places is not None  # noqa: S101  (all are held otherwise)
        apart = dict.fromkeys(numbers, 0.0)
        trusted = not self.apart and not is_free(atoms)
        told = [n for n, low in zip(numbers, near.least, strict=True) if low >= self.surely]
        some = told if trusted else numbers
        self._place(some)
        for number in some:
            found = self._places.atoms(number)
            if found is not None:
                apart[number] = self._apart(found, atoms, off=OFF)
        return apart

    def _apart(self, known: Atoms, atoms: Atoms, *, off: float = 0.0) -> float:
        """How far two structures are from each other [Å rms], one of them rounded by ``off``."""
        return displacement(known, atoms, self._keep(atoms), turn=self.turn, off=off)

    def _place(self, numbers: list[int]) -> None:
        """Know the places of structures that were restored, and of those beside them."""
        assert self._places is not None and self._read is not None  # noqa: S101
        for number in numbers:
            if not self._places.asked(number):
                first = number - number % PAGE
                page = range(first, min(first + PAGE, self._count))
                some = [n for n in page if n not in self._held and not self._places.asked(n)]
                for each, atoms in zip(some, self._read(some), strict=True):
                    self._places.add(each, atoms)

    def _fetch(self, numbers: list[int]) -> list[_Exact]:
        """Structures by number, as they are."""
        at_hand = {n: self._held.get(n) or self._at_hand.get(n) for n in numbers}
        missing = [number for number, exact in at_hand.items() if exact is None]
        found = {number: exact for number, exact in at_hand.items() if exact is not None}
        if missing:
            assert self._read is not None  # noqa: S101
            for number, atoms in zip(missing, self._read(missing), strict=True):
                found[number] = self._exact(Sketch.of(atoms))
        for number in numbers:
            if number not in self._held:
                self._have_at_hand(number, found[number])
        return [found[number] for number in numbers]

    def _have_at_hand(self, number: int, exact: _Exact) -> None:
        """Have a structure at hand for a while; the one not asked for longest goes first."""
        if number in self._at_hand:
            self._size -= self._at_hand.pop(number).size
        self._at_hand[number] = exact
        self._size += exact.size
        while self._size > AT_HAND and len(self._at_hand) > TIES:
            self._size -= self._at_hand.pop(next(iter(self._at_hand))).size

    def _exact(self, sketch: Sketch) -> _Exact:
        """A structure without what it shares with others: an ``Atoms`` takes some kB."""
        atoms = sketch.atoms
        if sketch.frame not in self._frames:
            self._frames[sketch.frame] = atoms.copy()
        cell, positions = atoms.cell.array.copy(), atoms.positions.copy()
        return _Exact(self._frames[sketch.frame], cell, positions, sketch.vector)

    def _keep(self, atoms: Atoms) -> list[Operation]:
        """Operations that keep the host, which is the same for all."""
        if self._operations is None:
            self._operations = [IDENTITY] if self.apart else host_operations(atoms, mirrors=True)
        return self._operations
