"""What a run holds, by its columns: structures are read of the best only, however long it is.

Counts, sums and records of a million rows are numbers in columns. What families are made of, and
so what is read whole, are the evaluations with the lowest weighted sums and the Pareto front.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from htinvert.core import Evaluation, Objective, UserError
from htinvert.generators.walks import START
from htinvert.ranking.rank import Yield, operator_yields, pareto_front
from htinvert.store import RunStore
from htinvert.store.columns import OK, escaped

KEPT = 2000  # evaluations with the lowest sums, of which families are made
FRONT = 200  # more of the Pareto front, whatever their sums
PLAIN = ("index", "operator", "parents", "relaxed", "converged", "seconds", "error", "status")


@dataclass(frozen=True)
class Step:
    """A new best: after how many evaluations, its weighted sum, which candidate, whence."""

    after: int
    total: float
    candidate: int
    lineage: str


@dataclass
class Survey:
    """A run by its columns, as of the last :meth:`read`; read again, it reads what is new.

    ``totals`` are weighted sums, infinite for what failed; ``numbers`` the rows that are held, in
    commit order.

    Attributes:
        objectives: what the weighted sum is made of.
        kept: how many of the lowest sums are held.
    """

    objectives: Sequence[Objective]
    kept: int = KEPT
    good: int = 0
    failed: int = 0
    unconverged: int = 0
    seconds: float = 0.0
    totals: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    numbers: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    _columns: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    _held: dict[int, Evaluation] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, objectives: Sequence[Objective]) -> Survey:
        """The survey of a run in a folder. Raises as :meth:`read` does."""
        found = cls(objectives)
        with RunStore.open(folder) as store:
            found.read(store)
        return found

    def read(self, store: RunStore) -> None:
        """Read the run's columns, and the rows that are held and were not before.

        Raises :class:`UserError` where an objective was never evaluated.
        """
        paths = [f"candidates/{name}" for name in PLAIN]
        wanted = [f"objectives/{escaped(o.name)}" for o in self.objectives]
        found = store.columns([*paths, *wanted])
        self._columns = {name: found[path] for name, path in zip(PLAIN, paths, strict=True)}
        ok = found["candidates/status"] == OK
        values = np.array([found[path] for path in wanted]).T.reshape(len(ok), len(wanted))
        for objective, given in zip(self.objectives, values[ok].T, strict=True):
            if np.isnan(given).any():
                raise UserError(
                    f"{store.path} has no {objective.name}, because it was made without; "
                    "rank without it"
                )
        sums = np.zeros(len(ok))
        for objective, given in zip(self.objectives, values.T, strict=True):
            sums = sums + objective.worth(given)  # in the order of weighted_sum, to the last bit
        self.totals = np.where(ok, sums, np.inf)
        self.good, self.failed = int(ok.sum()), int((~ok).sum())
        self.unconverged = int((ok & self._bools("relaxed") & ~self._bools("converged")).sum())
        self.seconds = float(np.sum(found["candidates/seconds"]))
        self.numbers = self._chosen(values)
        self._hold(store)

    def best(self) -> list[Evaluation]:
        """The evaluations held, in the order they were committed."""
        return [self._held[number] for number in self.numbers.tolist()]

    def steps(self) -> list[Step]:
        """Every improvement of the best sum, the first one first."""
        records = np.minimum.accumulate(self.totals)
        before = np.concatenate([[np.inf], records[:-1]])
        return [
            Step(number + 1, float(self.totals[number]), self._index(number), self._lineage(number))
            for number in np.flatnonzero(self.totals < before).tolist()
        ]

    def failures(self) -> tuple[Counter[str], dict[str, str]]:
        """How many failed of what, and a whole reason of each kind."""
        counts, examples = Counter[str](), dict[str, str]()
        for reason in self._columns["error"][np.isinf(self.totals)].tolist():
            kind = reason.partition(":")[0]
            counts[kind] += 1
            examples.setdefault(kind, reason)
        return counts, examples

    def yields(self, refused: Mapping[tuple[str, str], int]) -> list[Yield]:
        """What each operator brought; families and duplicates among the evaluations held.

        ``refused`` counts per (operator, reason).
        """
        known = {entry.operator: entry for entry in operator_yields(self.best(), refused, ())}
        names, which = np.unique(self._columns["operator"], return_inverse=True)
        new = np.zeros(len(which))
        new[[step.after - 1 for step in self.steps()]] = 1
        parts = (None, np.isinf(self.totals), new, self._columns["seconds"])
        sums = [np.bincount(which, part, len(names)) for part in parts]
        for name, evaluated, failed, improved, seconds in zip(names.tolist(), *sums, strict=True):
            entry = known.setdefault(name, Yield(name))
            entry.evaluated, entry.failed = int(evaluated), int(failed)
            entry.improvements, entry.seconds = int(improved), float(seconds)
        return sorted(known.values(), key=lambda entry: (-entry.evaluated, entry.operator))

    def number_of(self, index: int) -> int:
        """After how many evaluations a candidate was committed; 0 where it was not."""
        found = np.flatnonzero(self._columns["index"] == index)
        return int(found[0]) + 1 if len(found) else 0

    def _chosen(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """Numbers of the rows to hold, of ``values`` (rows, objectives); the start's among them."""
        order = np.argsort(self.totals, kind="stable")[: self.good]
        front = order[pareto_front(values[order])][:FRONT]
        start = np.flatnonzero((self._columns["operator"] == START) & np.isfinite(self.totals))
        return np.union1d(np.union1d(order[: self.kept], front), start).astype(np.int64)

    def _hold(self, store: RunStore) -> None:
        """Read the rows that are wanted and not held, and let go of those not wanted any more."""
        held = {n: self._held[n] for n in self.numbers.tolist() if n in self._held}
        missing = [n for n in self.numbers.tolist() if n not in held]
        held |= zip(missing, store.evaluations(only=missing), strict=True)
        self._held = held

    def _bools(self, name: str) -> NDArray[np.bool_]:
        return self._columns[name].astype(bool)

    def _index(self, number: int) -> int:
        return int(self._columns["index"][number])

    def _lineage(self, number: int) -> str:
        """Operator and parents in one phrase, as :func:`htinvert.report.summary.lineage`."""
        parents = self._columns["parents"][number].tolist()
        named = ", ".join(f"#{parent}" for parent in parents if parent >= 0)
        operator = str(self._columns["operator"][number])
        return f"{operator} of {named}" if named else operator
