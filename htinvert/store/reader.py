"""What anybody may ask of a run on disk, also while it is being written."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import Candidate, Evaluation, Signal, UserError
from htinvert.store import rows
from htinvert.store.journal import Journal
from htinvert.store.marks import Marks
from htinvert.store.rows import Ancestor, Rows

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Counts:
    """How many candidates are where; ``refused`` counts per reason, before any evaluation."""

    ok: int
    failed: int
    pending: int
    refused: Mapping[str, int]
    refused_by: Mapping[tuple[str, str], int]
    """The same per (operator, reason)."""


class Reader:
    """The reading half of :class:`htinvert.store.RunStore`."""

    def __init__(self, path: Path, journal: Journal) -> None:
        self.path = path
        self._journal = journal
        self._marks = Marks(path)
        self._rows = Rows(path, journal, self._marks)
        self._refused: dict[tuple[str, str], int] = {}
        self._next = journal.next_index()

    @property
    def recipe(self) -> dict[str, Any]:
        """The recipe that the run was made with."""
        found: dict[str, Any] = json.loads(self._journal.meta("recipe"))
        return found

    @property
    def run_id(self) -> str:
        """A name of this run that no other has."""
        return self._journal.meta("run_id")

    @property
    def next_index(self) -> int:
        """The lowest index above all proposed and refused ones."""
        return max(self._next, self._journal.next_index())

    def evaluations(
        self, start: int = 0, *, only: Collection[int] | None = None, signals: bool = False
    ) -> Iterator[Evaluation]:
        """Everything committed, ok and failed, in commit order from number ``start`` on.

        With ``only`` those of these numbers. Signals are read only on request; ``evaluation`` reads
        those of one candidate.
        """
        if only is not None:
            rows = self._rows.some(only, signals=signals)
        else:
            rows = self._rows.between(start, signals=signals)
        return (row.evaluation for row in rows)

    def evaluation(self, index: int, *, signals: bool = True) -> Evaluation:
        """The evaluation of the candidate ``index`` with the signals that were kept of it.

        Raises:
            UserError: it has none.
        """
        return self._rows.one(self._number(index), signals=signals).evaluation

    def structures(self, numbers: Sequence[int], *, proposed: bool = False) -> list[Atoms]:
        """Structures of the evaluations with these numbers in commit order, as relaxed or not."""
        return self._rows.structures(numbers, proposed=proposed)

    def proposal(self, index: int) -> Candidate:
        """A proposal that has no result yet.

        Raises:
            UserError: there is none of this index.
        """
        found = self._journal.proposal(index)
        if found is None:
            raise UserError(f"{self.path} has no proposal {index}; name one that is pending")
        return found

    def has_result(self, index: int) -> bool:
        """Whether a candidate has been committed, ok or failed."""
        return self.number(index) is not None

    def number(self, index: int) -> int | None:
        """How many results were committed before that of a candidate, None where it has none."""
        return self._journal.number(index)

    def _number(self, index: int) -> int:
        number = self._journal.number(index)
        if number is None:
            raise UserError(f"{self.path} has no result of candidate {index}; name one it has")
        return number

    def atoms(self, index: int) -> Atoms:
        """The relaxed structure of a candidate, or as proposed where it was not relaxed."""
        return self._rows.one(self._number(index), signals=False).evaluation.atoms

    def parameters(self, index: int) -> Mapping[str, Mapping[str, float]]:
        """What was fitted for a candidate, by channel and name."""
        return self._rows.one(self._number(index), signals=False).evaluation.parameters

    def signal(self, index: int, channel: str | None = None) -> Signal:
        """The simulated signal that was kept of a candidate, in 12 bits; never rank by it.

        Raises:
            UserError: none was kept; those of the best and of a sample are.
        """
        found = self._rows.signals(self._number(index))
        if not found or (channel is not None and channel not in found):
            raise UserError(
                f"{self.path} keeps no signal of candidate {index}, only of the best and of a "
                "sample; simulate it from Run.atoms and Run.parameters"
            )
        return found[channel] if channel is not None else next(iter(found.values()))

    def lineage(self, index: int) -> list[Ancestor]:
        """A candidate and its ancestors, the nearest first."""
        return rows.lineage(self._rows, index)

    def pending(self) -> list[Candidate]:
        """Candidates proposed but without a result, to be sent out again on resume, by index."""
        return self._journal.pending()

    def attempts(self, index: int) -> int:
        """How many tries of a candidate came to nothing, see :meth:`attempt`."""
        return self._journal.attempts(index)

    def known(self, key: bytes) -> bool:
        """Whether a structure of this key was proposed before."""
        return self._journal.known(key)

    def keys(self) -> set[bytes]:
        """All keys proposed (32 bytes each)."""
        return self._journal.keys()

    def counts(self) -> Counts:
        """How many candidates are ok, failed, pending and refused."""
        ok, failed, pending = self._journal.tally()
        refused = self._journal.refused()
        for which, count in self._refused.items():
            refused[which] = refused.get(which, 0) + count
        by_reason: dict[str, int] = {}
        for (_, reason), count in refused.items():
            by_reason[reason] = by_reason.get(reason, 0) + count
        return Counts(ok, failed, pending, by_reason, refused)

    def table(self) -> pd.DataFrame:
        """Numbers of all evaluations, one row each in commit order, NaN if absent.

        Columns: index, operator, ok, energy [eV], converged, steps, force [eV/Å], seconds,
        attempts, time [s], error, natoms, ``objectives.<name>``, ``scores.<name>``,
        ``details.<score>.<name>`` and ``parameters.<channel>.<name>``; ``attrs`` of the table has
        their units and descriptions.
        """
        return rows.table(self._rows)

    def columns(self, paths: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Columns of the archive with one entry per evaluation, such as ``objectives/energy``."""
        return self._rows.columns(paths)
