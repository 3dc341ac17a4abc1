"""The structures that a campaign knows, and how the next driver comes to know them at once.

To be told a million evaluations again takes hours, for each structure needs its fingerprint. So a
driver keeps, beside the results, a sketch of every fingerprint (see
:mod:`htinvert.store.checkpoint`); who resumes reads those, and fetches a structure only where a
sketch says that it may be near a new one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.geometry import find_mic
from numpy.typing import NDArray

from htinvert.core import Evaluation
from htinvert.geometry.duplicates import Known
from htinvert.geometry.fingerprint import SKETCH, Sketches, fingerprint, sketch
from htinvert.store import RunStore

COARSE = 16  # numbers of the sketch of a proposal, of which only its very like is looked for
ROW = np.dtype(
    [
        ("length", "<u2"),  # of both fingerprints, for a relaxation keeps the atoms
        ("proposed", "u1", COARSE),
        ("relaxed", "u1", SKETCH),
        ("kind", "u1"),
    ]
)
"""What is kept of an evaluation; rows follow the order of commits."""
STILL = 1e-3  # Å: where no atom has moved as far, nothing was relaxed
FAILED, REPEAT, FIRST = range(3)  # kinds: not evaluated, of a known family, the first of one

Parameters = Mapping[str, Mapping[str, float]]


class KnownStructures:
    """The structures that a campaign knows, and what its fits have ended with.

    Args:
        store: where those are read that an earlier driver knew.
        apart: see :class:`htinvert.geometry.duplicates.Known`.
        novelty: rms distance [Å] to a relaxed structure below which a proposal is nothing new.
        refits: whether fits of candidates start from what those of their parents ended with.
    """

    def __init__(self, store: RunStore, *, apart: bool, novelty: float, refits: bool) -> None:
        self.proposed = Known.proposals(apart=apart)
        self.relaxed = Known.basins(within=novelty, apart=apart)
        self.families = Known.families()
        self._store, self._refits = store, refits
        self._fitted: dict[int, Parameters] = {}
        self._added: list[tuple[Any, ...]] = []  # rows that are not saved yet
        self._relaxes = False  # whether any evaluation has moved an atom
        self._restored = 0  # rows that an earlier driver has saved

    @property
    def unsaved(self) -> int:
        """How many evaluations were taken in since the last were saved."""
        return len(self._added)

    def take(self, evaluation: Evaluation) -> bool:
        """Remember an evaluation; returns whether it relaxed into a family that is known.

        Its proposal is remembered elsewhere, when it is sent.
        """
        vector = fingerprint(evaluation.candidate.atoms)
        proposed = (len(vector), sketch(vector, COARSE))
        if not evaluation.ok:
            self._added.append((*proposed, np.zeros(SKETCH), FAILED))
            return False
        self._relaxes = self._relaxes or _moved(evaluation)
        self.relaxed.add(evaluation.atoms)
        first = self.families.find(evaluation.atoms) is None
        if first:
            self.families.add(evaluation.atoms)
        if self._refits:
            self._fitted[evaluation.candidate.index] = evaluation.parameters
        relaxed = sketch(fingerprint(evaluation.atoms))
        self._added.append((*proposed, relaxed, FIRST if first else REPEAT))
        return not first

    def leads_to_known(self, atoms: Atoms) -> bool:
        """Whether a proposal lies so near to a relaxed structure that it would relax into it again.

        Never where nothing relaxes: there each structure has an energy of its own.
        """
        return self._relaxes and self.relaxed.find(atoms) is not None

    def fitted(self, index: int) -> Parameters | None:
        """What the fits of a candidate ended with, None where nothing is known of it."""
        if not self._refits:
            return None
        if index not in self._fitted:
            number = self._store.number(index)
            if number is None or number >= self._restored:
                return None
            evaluation = self._store.evaluation(index, signals=False)
            if not evaluation.ok:
                return None
            self._fitted[index] = evaluation.parameters
        return self._fitted[index]

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
        self._restored, self._relaxes = len(rows), state[3]
        good = np.flatnonzero(rows["kind"] != FAILED)
        first = np.flatnonzero(rows["kind"] == FIRST)
        self._know(self.proposed, state[0], rows, np.arange(len(rows)), "proposed")
        self._know(self.relaxed, state[1], rows, good, "relaxed")
        self._know(self.families, state[2], rows, first, "relaxed")

    def _know(
        self, known: Known, state: Any, rows: NDArray[Any], chosen: NDArray[np.intp], which: str
    ) -> None:
        def read(numbers: Sequence[int]) -> list[Atoms]:
            wanted = chosen[list(numbers)].tolist()
            return self._store.structures(wanted, proposed=which == "proposed")

        sketches = Sketches(rows["length"][chosen], rows[which][chosen])
        known.restore(state, len(chosen), sketches, read)


def _moved(evaluation: Evaluation) -> bool:
    """Whether any atom was relaxed to another place."""
    before, after = evaluation.candidate.atoms, evaluation.atoms
    moves = find_mic(after.positions - before.positions, before.cell, before.pbc)[1]
    return bool(moves.max(initial=0.0) > STILL)
