"""Structures read off an experiment: columns of the residual, each with what it likely holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from ase import Atoms

from htinvert.core import Infeasible, Objective, Space, UserError
from htinvert.declaration.declared import Parameter
from htinvert.generators.listed import Listed, require_atoms
from htinvert.generators.operators.column_contents import built, chances_of, likeliest
from htinvert.generators.operators.columns import find_columns
from htinvert.generators.operators.legal import host_of, is_valid


@dataclass
class FromColumns(Listed):
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

    operator: ClassVar[str] = "columns"

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
        require_atoms(self.space, self.operator)

    def structures(self) -> Iterator[Atoms]:
        """The likeliest that are allowed."""
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
            yield atoms
