"""What happens in a series of frames: columns that are gained, lost, moved or changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise, product

import numpy as np
from ase import Atoms
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.optimize import linear_sum_assignment

from htinvert.core import Floats
from htinvert.geometry.roles import frozen_mask
from htinvert.statistics.change_point import change_point, steadiest

TOGETHER = 0.4  # Å: atoms that are nearer in projection are one column
SAME = 1.2  # Å: how far a column may move and be the same one
MOVED = 0.35  # Å: a shorter way is a relaxation, not an event
OTHER = 0.6  # Å, that another formula counts in the pairing
SURE = 0.9  # from which probability on a change is an event
SETTLED = 6.0  # of the noise, that a change of the answer must gain in all frames after it


@dataclass(frozen=True)
class Event:
    """A change of one column from one frame to the next.

    Attributes:
        frame: the first that shows it, counted from 0.
        earliest: of the frames that hold the change with 95 %.
        latest: of the same.
        sure: probability that the fits change there, see :mod:`htinvert.statistics.change_point`.
        kind: ``gained``, ``lost``, ``moved`` or ``changed``.
        what: the column's formula per repeat; of a change both, as ``Te to Se``.
        place: position [Å], after the change where there is one.
        by: how far it moved across the beam [Å].
        gain: what the weighted sum gains by the change, after it.
    """

    frame: int
    earliest: int
    latest: int
    sure: float
    kind: str
    what: str
    place: tuple[float, float, float]
    by: float = 0.0
    gain: float = 0.0

    @property
    def is_sure(self) -> bool:
        """Whether the change is more than a possibility."""
        return self.sure >= SURE

    def __str__(self) -> str:
        where = ", ".join(f"{value:.1f}" for value in self.place)
        when = f"frame {self.frame}"
        if self.latest > self.earliest:
            when += f" ({self.earliest} to {self.latest})"
        how = f" by {self.by:.2f} Å" if self.kind == "moved" else ""
        return f"{when}: column {self.what} {self.kind}{how} at {where} Å, {100 * self.sure:.1f} %"


@dataclass(frozen=True, eq=False)
class AtomColumn:
    """Atoms behind each other: formula, mean position [Å]."""

    formula: str
    place: Floats


def events_of(
    totals: Floats, structures: Sequence[Atoms], across: Floats
) -> tuple[list[int], list[Event]]:
    """Which structure each frame shows, and what changes between them.

    Args:
        totals: weighted sums of each structure in each frame, shape (structures, frames).
        structures: with one host.
        across: two unit vectors across the beam, shape (2, 3).
    """
    path = steadiest(totals, noise=noise_of(totals), penalty=SETTLED)
    starts = [0, *(k for k in range(1, len(path)) if path[k] != path[k - 1]), len(path)]
    found: list[Event] = []
    for number, (begin, change) in enumerate(pairwise(starts[:-1])):
        end = starts[number + 2]
        before, after = path[begin], path[change]
        step = change_point(totals[before, begin:end] - totals[after, begin:end])
        gain = float((totals[before] - totals[after])[change:end].mean())
        common = Event(
            change, begin + step.earliest, begin + step.latest, step.sure, "", "", (0, 0, 0),
            gain=gain,
        )  # fmt: skip
        found += [
            replace(common, kind=kind, what=what, place=place, by=by)
            for kind, what, place, by in differences(structures[before], structures[after], across)
        ]
    return path, found


def noise_of(totals: Floats) -> float:
    """What the differences of weighted sums scatter by from frame to frame, robustly.

    The least of a row that hardly scatters is a thousandth of what the sums span.
    """
    least = 1e-3 * max(float(np.ptp(totals)), 1e-9)
    steps = [np.diff(a - b) for a, b in combinations(totals, 2)]
    if not steps or totals.shape[1] < 3:
        return least
    middle = float(np.median(np.abs(np.concatenate(steps))))
    return max(1.4826 * middle / np.sqrt(2.0), least)


def atom_columns(atoms: Atoms, across: Floats) -> list[AtomColumn]:
    """Columns of those atoms of a structure that are not frozen; ``across`` as :func:`events_of`.

    Periodic images along the beam fall into one column; a column at the cell's edge is where its
    first atom is.
    """
    free = np.flatnonzero(~frozen_mask(atoms))
    if not len(free):
        return []
    if len(free) == 1:
        label = np.array([1])
    else:
        gaps = _flat_gaps(atoms.positions[free], atoms.positions[free], atoms, across)[0]
        label = fcluster(linkage(gaps[np.triu_indices(len(free), 1)]), TOGETHER, "distance")
    found = []
    for number in dict.fromkeys(label.tolist()):
        mine = free[label == number]
        counts = Counter(atoms.symbols[i] for i in mine)
        formula = "".join(f"{s}{n if n > 1 else ''}" for s, n in sorted(counts.items()))
        first = atoms.positions[mine[0]]
        ways = _flat_gaps(first[None], atoms.positions[mine], atoms, across)[1][0]
        found.append(AtomColumn(formula, first + ways.mean(axis=0)))
    return found


def differences(
    before: Atoms, after: Atoms, across: Floats
) -> list[tuple[str, str, tuple[float, float, float], float]]:
    """Kind, formula, place [Å] and way [Å] of every column in which two structures differ."""
    old, new = atom_columns(before, across), atom_columns(after, across)
    found = []
    paired: list[tuple[int, int]] = []
    if old and new:
        gaps, _ = _flat_gaps(
            np.array([c.place for c in old]), np.array([c.place for c in new]), after, across
        )
        unlike = np.array([[a.formula != b.formula for b in new] for a in old])
        costs = np.where(gaps <= SAME, gaps + OTHER * unlike, 1e3)
        pairs = zip(*linear_sum_assignment(costs), strict=True)
        paired = [(int(i), int(j)) for i, j in pairs if costs[i, j] < 1e3]
        for i, j in paired:
            if unlike[i, j]:
                found.append(("changed", f"{old[i].formula} to {new[j].formula}", new[j], 0.0))
            elif gaps[i, j] > MOVED:
                found.append(("moved", new[j].formula, new[j], float(gaps[i, j])))
    kept = {i for i, _ in paired}, {j for _, j in paired}
    found += [("lost", c.formula, c, 0.0) for i, c in enumerate(old) if i not in kept[0]]
    found += [("gained", c.formula, c, 0.0) for j, c in enumerate(new) if j not in kept[1]]
    return [
        (kind, what, (float(c.place[0]), float(c.place[1]), float(c.place[2])), by)
        for kind, what, c, by in found
    ]


def _flat_gaps(
    first: Floats, second: Floats, atoms: Atoms, across: Floats
) -> tuple[Floats, Floats]:
    """Distances [Å] across the beam to nearest images, shape (m, n), and the ways, (m, n, 3)."""
    turns = [range(-1, 2) if periodic else range(1) for periodic in atoms.pbc]
    shifts = np.array(list(product(*turns))) @ np.asarray(atoms.cell)
    ways = second[None, :, None] - first[:, None, None] + shifts
    flat = np.linalg.norm(ways @ across.T, axis=-1)
    along = np.linalg.norm(ways, axis=-1)
    best = np.argmin(flat + 1e-6 * along, axis=-1)[..., None]
    chosen = np.take_along_axis(ways, best[..., None], axis=2)[:, :, 0]
    return np.take_along_axis(flat, best, axis=2)[..., 0], chosen
