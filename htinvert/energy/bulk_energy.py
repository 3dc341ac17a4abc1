"""The energy of a crystal at the size that an engine gives it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar

from htinvert.core import EnergyModel, EvaluationFailed, UserError
from htinvert.energy.offer import offer_of

SCALES = np.log([0.85, 0.9, 0.94, 0.97, 1.0, 1.03, 1.06, 1.1, 1.15])
SHORTEST = 8.0  # Å: of a cell's vectors, for potentials whose reach must fit in
CLOSE, ROUGH = 1e-4, 2e-3  # of a length, to which it is relaxed; of DFT, whose energies are costly
NEAR = 0.05  # eV per atom: crystals that begin no higher above the best are relaxed as far as it
UNBOUND = 1e6  # eV, of a size that cannot be priced


def bulk_energy(engine: EnergyModel, options: Sequence[Atoms], *, name: str) -> tuple[Atoms, float]:
    """Relax crystals and their cells' lengths; returns the best, and its energy per atom [eV].

    A cell has one length where all of its vectors are alike, else two, that of the third apart. A
    molecule, which has vacuum to all sides, keeps its box. Raises :class:`UserError` where the
    engine can price none at any size.
    """
    offer = offer_of(engine)
    costly = offer is not None and offer.cost == "dft"
    sized = [_Sized(engine, atoms if costly else _repeated(atoms)) for atoms in options]
    coarse = [one.coarse() for one in sized]
    best = min(coarse)
    if best >= UNBOUND:
        raise UserError(
            f"the engine cannot price {name}: {sized[0].failure}; give another structure of it"
        )
    close = ROUGH if costly else CLOSE
    ends = [
        (one.relaxed(close), one)
        for one, energy in zip(sized, coarse, strict=True)
        if energy <= best + NEAR
    ]
    energy, found = min(ends, key=lambda end: end[0])
    return found.at(found.width), energy


@dataclass
class _Sized:
    """A crystal at some size: logarithms ``width`` of the factors of its lengths."""

    engine: EnergyModel
    atoms: Atoms
    width: NDArray[np.float64] | None = None
    failure: str = ""

    def at(self, width: NDArray[np.float64] | None) -> Atoms:
        """The crystal at a size."""
        if width is None:
            return self.atoms
        changed = self.atoms.copy()
        factors = np.exp([width[0], width[0], width[1]])
        changed.set_cell(self.atoms.cell.array * factors[:, None], scale_atoms=True)
        return changed

    def energy(self, width: NDArray[np.float64] | None) -> float:
        """Energy per atom [eV], atoms relaxed."""
        try:
            return float(self.engine(self.at(width)).energy) / len(self.atoms)
        except EvaluationFailed as failure:
            self.failure = str(failure)
            return UNBOUND

    def coarse(self) -> float:
        """The lowest energy at a few sizes, which becomes its size."""
        if _is_molecule(self.atoms):
            return self.energy(None)
        energies = [self.energy(np.array([scale, scale])) for scale in SCALES]
        self.width = np.full(2, SCALES[int(np.argmin(energies))])
        return min(energies)

    def relaxed(self, close: float) -> float:
        """The energy at the best size, to ``close`` of a length, which becomes its size."""
        if self.width is None:
            return self.energy(None)
        alike = minimize_scalar(
            lambda scale: self.energy(np.array([scale, scale])),
            bounds=(self.width[0] - 0.05, self.width[0] + 0.05),
            method="bounded",
            options={"xatol": close},
        )
        self.width = np.full(2, float(alike.x))
        lengths = self.atoms.cell.lengths()
        if np.ptp(lengths) > 1e-3 * lengths.max():
            self.width = _simplex(self.energy, self.width, close)
        return self.energy(self.width)


def _simplex(
    energy: Callable[[NDArray[np.float64]], float], start: NDArray[np.float64], close: float
) -> NDArray[np.float64]:
    simplex = start + np.array([[0.0, 0.0], [0.03, 0.0], [0.0, 0.03]])
    options = {"xatol": close, "fatol": 1e-6, "initial_simplex": simplex, "maxfev": 80}
    return np.asarray(minimize(energy, start, method="Nelder-Mead", options=options).x)


def _repeated(atoms: Atoms) -> Atoms:
    """So often that every vector is long enough."""
    counts = [max(1, int(np.ceil(SHORTEST / length))) for length in atoms.cell.lengths()]
    return atoms.repeat(counts)


def _is_molecule(atoms: Atoms) -> bool:
    """Whether two atoms have a wide box for themselves."""
    return len(atoms) == 2 and bool((atoms.cell.lengths() > 10.0).all())
