"""The structures that a campaign knows, and how the next driver comes to know them at once.

To be told a million evaluations again takes hours, for each structure needs its fingerprint. So a
driver keeps, beside the results, a code of every fingerprint (see
:mod:`htinvert.store.checkpoint`); who resumes reads those. A structure is fetched only where codes
say that it may be the same as a new one, in the first session, too: none holds more of it.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from ase import Atoms
from ase.geometry import find_mic
from numpy.typing import NDArray

from htinvert.core import Candidate, Evaluation
from htinvert.geometry.fingerprint import fingerprint
from htinvert.geometry.known import Known, Sketch
from htinvert.geometry.near import CODE, code
from htinvert.store import RunStore

ROW = np.dtype(
    [
        ("length", "<u2"),  # of both fingerprints, for a relaxation keeps the atoms
        ("proposed", "<i2", CODE),
        ("relaxed", "<i2", CODE),
        ("kind", "u1"),
    ]
)
"""What is kept of an evaluation; rows follow the order of commits."""
STILL = 1e-3  # Å: where no atom has moved as far, nothing was relaxed
FITTED = 4096  # candidates whose fits' ends are at hand
FAILED, REPEAT, FIRST = range(3)  # kinds: not evaluated, of a known family, the first of one

Parameters = Mapping[str, Mapping[str, float]]


class KnownStructures:
    """The structures that a campaign knows, and what its fits have ended with.

    Args:
        store: where those are read that an earlier driver knew.
        apart: see :class:`htinvert.geometry.duplicates.Known`.
        novelty: rms distance [Å] to a relaxed structure below which a proposal is nothing new.
        turn: the same.
        refits: whether fits of candidates start from what those of their parents ended with.
    """

    def __init__(
        self, store: RunStore, *, apart: bool, novelty: float, refits: bool, turn: bool = True
    ) -> None:
        self.proposed = Known.proposals(apart=apart, turn=turn)
        self.relaxed = Known.basins(within=novelty, apart=apart, turn=turn)
        self.families = Known.families()
        self._store, self._refits = store, refits
        self._indices = {name: array("q") for name in ("proposed", "relaxed", "families")}
        self._rows = {name: np.empty(0, np.intp) for name in self._indices}  # of restored ones
        for name in self._indices:
            getattr(self, name).keep_elsewhere(partial(self._read, name))
        self._fitted: dict[int, Parameters] = {}
        self._added: list[tuple[Any, ...]] = []  # rows that are not saved yet
        self._last: Sketch | None = None
        self._relaxes = False  # whether any evaluation has moved an atom

    @property
    def unsaved(self) -> int:
        """How many evaluations were taken in since the last were saved."""
        return len(self._added)

    def propose(self, candidate: Candidate) -> None:
        """Remember a proposal; :meth:`proposed_durably` says when all are in the store."""
        self.proposed.add(self._sketch(candidate.atoms))
        self._indices["proposed"].append(candidate.index)

    def proposed_durably(self) -> None:
        """Take note that the store has all that was proposed."""
        self.proposed.kept()

    def take(self, evaluation: Evaluation) -> bool:
        """Remember an evaluation; returns whether it relaxed into a family that is known.

        It is in the store, and its proposal is remembered elsewhere, when it is sent.
        """
        vector, index = fingerprint(evaluation.candidate.atoms), evaluation.candidate.index
        proposed = (len(vector), code(vector))
        if not evaluation.ok:
            self._added.append((*proposed, np.zeros(CODE), FAILED))
            return False
        self._relaxes = self._relaxes or _moved(evaluation)
        relaxed = Sketch.of(evaluation.atoms)
        first = not self.families.has(relaxed)
        for name in ("relaxed", "families") if first else ("relaxed",):
            known = getattr(self, name)
            known.add(relaxed)
            known.kept()
            self._indices[name].append(index)
        if self._refits:
            self._fit(index, evaluation.parameters)
        self._added.append((*proposed, relaxed.code, FIRST if first else REPEAT))
        return not first

    def leads_to_known(self, atoms: Atoms) -> bool:
        """Whether a proposal lies so near to a relaxed structure that it would relax into it again.

        Never where nothing relaxes: there each structure has an energy of its own.
        """
        return self._relaxes and self.relaxed.has(self._sketch(atoms))

    def was_proposed(self, atoms: Atoms) -> bool:
        """Whether a proposal is one that was made before."""
        return self.proposed.has(self._sketch(atoms))

    def _sketch(self, atoms: Atoms) -> Sketch:
        """Of a proposal, which is looked for and then remembered."""
        if self._last is None or self._last.atoms is not atoms:
            self._last = Sketch.of(atoms)
        return self._last

    def fitted(self, index: int) -> Parameters | None:
        """What the fits of a candidate ended with, None where nothing is known of it."""
        if not self._refits:
            return None
        if index not in self._fitted:
            if self._store.number(index) is None:
                return None
            evaluation = self._store.evaluation(index, signals=False)
            if not evaluation.ok:
                return None
            self._fit(index, evaluation.parameters)
        return self._fitted[index]

    def _fit(self, index: int, parameters: Parameters) -> None:
        """Have what the last few fits ended with at hand."""
        while len(self._fitted) >= FITTED:
            del self._fitted[next(iter(self._fitted))]
        self._fitted[index] = parameters

    def state(self) -> list[Any]:
        """What :meth:`restore` needs besides the rows, as plain values."""
        known = (self.proposed, self.relaxed, self.families)
        return [*(some.state() for some in known), self._relaxes]

    def rows(self) -> NDArray[Any]:
        """The rows that are not saved yet, of type :data:`ROW`."""
        return np.array(self._added, dtype=ROW)

    def saved(self) -> None:
        """Forget the rows that :meth:`rows` gave."""
        self._added = []

    def restore(self, state: Sequence[Any], rows: NDArray[Any]) -> None:
        """Know what the one knew whose :meth:`state` this is and who has saved these rows."""
        self._relaxes = state[3]
        good = np.flatnonzero(rows["kind"] != FAILED)
        first = np.flatnonzero(rows["kind"] == FIRST)
        self._know("proposed", state[0], rows, np.arange(len(rows)))
        self._know("relaxed", state[1], rows, good)
        self._know("families", state[2], rows, first)

    def _know(self, name: str, state: Any, rows: NDArray[Any], chosen: NDArray[np.intp]) -> None:
        self._rows[name] = chosen
        codes = rows["proposed" if name == "proposed" else "relaxed"][chosen]
        getattr(self, name).restore(state, rows["length"][chosen], codes)

    def _read(self, name: str, numbers: Sequence[int]) -> list[Atoms]:
        """Structures that are in the store, by their number among all of the name."""
        rows, indices = self._rows[name], self._indices[name]
        found: dict[int, Atoms] = {}
        where: dict[int, int] = {}
        for number in numbers:
            if number < len(rows):
                where[number] = int(rows[number])
                continue
            index = indices[number - len(rows)]
            row = self._store.number(index)
            if row is None:
                found[number] = self._store.proposal(index).atoms
            else:
                where[number] = row
        read = self._store.structures([*where.values()], proposed=name == "proposed")
        found |= zip(where, read, strict=True)
        return [found[number] for number in numbers]


def _moved(evaluation: Evaluation) -> bool:
    """Whether any atom was relaxed to another place."""
    before, after = evaluation.candidate.atoms, evaluation.atoms
    if np.array_equal(before.positions, after.positions):
        return False
    moves = find_mic(after.positions - before.positions, before.cell, before.pbc)[1]
    return bool(moves.max(initial=0.0) > STILL)
