"""What engines share that run a program with the pseudopotential files of a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from ase import Atoms

from htinvert.core import Relaxation
from htinvert.energy.offer import Offer, SinglePoint
from htinvert.energy.program import price_with, program_version, relax_with
from htinvert.energy.pseudopotentials import by_element, choose, digest


class PlaneWaves:
    """An engine whose elements, and whose zero of energy, are those of its pseudopotentials.

    Its fields are those of a dataclass that derives from it.
    """

    name: ClassVar[str]
    endings: ClassVar[tuple[str, ...]]  # of pseudopotential files, in lower case
    version: ClassVar[tuple[str, str]]  # the option that asks for it, and what it answers

    command: str
    pseudopotentials: Path
    files: Mapping[str, str]
    xc: Any
    fmax: float
    steps: int
    optimizer: str

    @property
    def offer(self) -> Offer:
        """What the program can do; the zero of its energies is nuclei and valence electrons."""
        known = by_element(self.pseudopotentials, self.endings)
        single = {symbol for symbol, paths in known.items() if len(paths) == 1}
        content = digest(self.pseudopotentials, self.endings, self.files)
        version = program_version(self.command, *self.version)
        return Offer(
            f"{self.name} {version}, {self.xc} ({self.pseudopotentials.name} {content})",
            elements=frozenset(single | set(self.files)),
            properties=("energy", "forces", "stress"),
            memory=1.0,
            cost="dft",
        )

    def check_elements(self, symbols: set[str] | tuple[str, ...]) -> None:
        """Raise :class:`UserError` for elements without one pseudopotential of the functional."""
        self._chosen(symbols)

    def __call__(self, atoms: Atoms) -> Relaxation:
        """Relax a structure. Raises :class:`EvaluationFailed` where the program gives up."""
        return relax_with(self, atoms)

    def single_point(self, atoms: Atoms) -> SinglePoint:
        """Price a structure as it stands. Raises as a relaxation does."""
        return price_with(self, atoms)

    def calculator(self, atoms: Atoms, folder: Path) -> Any:
        """ASE's calculator for a structure, working in a folder."""
        raise NotImplementedError

    def _chosen(self, symbols: set[str] | tuple[str, ...]) -> dict[str, Path]:
        return choose(
            self.name,
            symbols,
            folder=self.pseudopotentials,
            endings=self.endings,
            named=self.files,
            xc=self.xc,
        )
