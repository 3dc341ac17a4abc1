"""Structures read off an experiment: columns of the residual, each with what it likely holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from ase import Atoms

from htinvert.core import (
    Candidate,
    Evaluation,
    Exhausted,
    Infeasible,
    Objective,
    Space,
    UserError,
)
from htinvert.declaration.declared import Parameter
from htinvert.generators.operators.column_contents import built, chances_of, likeliest
from htinvert.generators.operators.columns import find_columns
from htinvert.generators.operators.legal import host_of, is_valid

OPERATOR = "columns"


@dataclass
class FromColumns:
    """Propose what the columns that the start structure's region lacks may be, the likeliest first.

    Elements by intensity, heights by the crystal; see
    :mod:`htinvert.generators.operators.column_contents`. Then nothing more is proposed, so that
    other generators of a campaign go on from there.

    Attributes:
        residuals: what compares a structure with the experiments; the campaign gives it.
        most: proposals.
    """

    sources: ClassVar[tuple[str, ...]] = (
        "S. Geman & D. Geman, IEEE Trans. Pattern Anal. Mach. Intell. 6, 721 (1984).",
    )

    space: Space
    objectives: tuple[Objective, ...]
    seed: int
    residuals: Any
    most: Annotated[int, Parameter("1", 1)] = 20

    def __post_init__(self) -> None:
        if not self.residuals:
            raise UserError(
                "columns follows images but the campaign has no experiment whose forward model "
                "shows where a position appears; add one, such as stem_convolution, or leave "
                "columns out of search.generators"
            )
        if not self.space.puts_atoms:
            raise UserError(
                "columns has no atoms to propose; give composition, or leave columns out of "
                "search.generators"
            )
        self._told: set[str] = set()
        self._left: Iterator[Atoms] | None = None

    def ask(self, indices: Sequence[int]) -> list[Candidate]:
        """Propose the next structures; raises :class:`Exhausted` when there are no more."""
        if self._left is None:
            self._left = self._structures()
        found = []
        for index in indices:
            atoms = next(self._left, None)
            if atoms is None:
                break
            found.append(Candidate(index, atoms, OPERATOR))
        if indices and not found:
            raise Exhausted
        return found

    def tell(self, evaluations: Iterable[Evaluation]) -> None:
        """Remember what was evaluated, so that a resumed campaign goes on after it."""
        mine = (one.candidate.atoms for one in evaluations if one.candidate.operator == OPERATOR)
        self._told.update(map(_key, mine))

    def state(self) -> list[str]:
        """What was evaluated, for :meth:`restore`."""
        return sorted(self._told)

    def restore(self, state: Sequence[str]) -> None:
        """Go on after what a :meth:`state` says was evaluated."""
        self._told = set(state)

    def _structures(self) -> Iterator[Atoms]:
        """Every structure that was not evaluated and is allowed."""
        host = host_of(self.space.template)
        if not len(host):  # whose crystal and place in the image are what all begins from
            return
        look = self.residuals({})
        try:
            columns = find_columns(look, self.space, host)
        except Infeasible:
            return
        guide = look(host)
        symbols = [s for s, (_, most) in self.space.composition.items() if most]
        numbers = [int(n) for n in Atoms(symbols).numbers]
        worth = dict(zip(symbols, map(float, guide.worth(numbers)), strict=True))
        chances = chances_of(columns, self.space, host, worth=worth)
        proposed = 0
        for _, held in likeliest(chances, self.space, rng=np.random.default_rng([self.seed, 41])):
            if proposed >= self.most:
                return
            atoms = built(columns, [chances.contents[number] for number in held], host)
            if not is_valid(atoms, self.space):
                continue
            proposed += 1
            if _key(atoms) not in self._told:
                yield atoms


def _key(atoms: Atoms) -> str:
    """What tells structures apart, to 1e-4 Å."""
    digest = hashlib.sha256(atoms.numbers.tobytes() + np.round(atoms.positions, 4).tobytes())
    return digest.hexdigest()[:32]
