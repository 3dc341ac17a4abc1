"""Lennard-Jones clusters, the touchstone of global optimization, minimized without an engine.

Jones, Proc. R. Soc. A 106, 463 (1924); known minima: Wales et al., the Cambridge Cluster Database.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import EvaluationFailed, Relaxation, UserError
from htinvert.declaration.declared import Parameter
from htinvert.energy.accuracy import POTENTIAL, Accuracy
from htinvert.energy.offer import SinglePoint
from htinvert.geometry.roles import frozen_mask, rigid_bodies

MEMORY = 8  # steps that the minimizer remembers
WORST_RISE = 1e-10  # by which a step may raise the energy, relative

Field = Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]]


@dataclass(frozen=True)
class LennardJones:
    """Minimize the energy of a cluster of one kind of atom; the pairs are not cut off.

    The pair energy is ``4 epsilon ((sigma/r)^12 - (sigma/r)^6)``. A sigma of 0.891 times twice the
    covalent radius (2.5 Å for Xe) puts the minimum where that of the element's bonds is, so that
    the distances a search allows fit.

    Attributes:
        epsilon: depth of a pair [eV].
        sigma: where the energy of a pair is zero [Å].
        fmax: the minimization ends when no atom feels a larger force [eV/Å].
        steps: the minimization ends after this many steps.
        maximum_move: largest move of an atom in one step, in units of sigma.
    """

    sources: ClassVar[tuple[str, ...]] = (
        "J. E. Jones, Proc. R. Soc. A 106, 463 (1924), doi:10.1098/rspa.1924.0082.",
    )
    accuracy: ClassVar[Accuracy] = POTENTIAL

    epsilon: Annotated[float, Parameter("eV", 0.0)] = 1.0
    sigma: Annotated[float, Parameter("Å", 0.0)] = 2.5
    fmax: Annotated[float, Parameter("eV/Å", 0.0)] = 1e-3
    steps: Annotated[int, Parameter("1", 0)] = 1000
    maximum_move: Annotated[float, Parameter("1", 0.0)] = 0.15

    def __post_init__(self) -> None:
        if not (self.epsilon > 0 and self.sigma > 0):
            raise UserError("lennard_jones needs an epsilon and a sigma above zero")

    def check_elements(self, symbols: set[str] | tuple[str, ...]) -> None:
        """Raise :class:`UserError` where there is more than one element."""
        if len(symbols) > 1:
            raise UserError(
                f"lennard_jones knows one kind of atom but there are {', '.join(sorted(symbols))}; "
                "keep one of them or choose another energy"
            )

    def __call__(self, atoms: Atoms) -> Relaxation:
        """Relax a cluster; atoms held by ``FixAtoms`` stay."""
        if atoms.pbc.any() or rigid_bodies(atoms):
            raise EvaluationFailed(
                "lennard_jones: only clusters, without periodic images or grains"
            )
        mobile = ~frozen_mask(atoms)

        def field(positions: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            energy, forces = energy_and_forces(positions)
            return energy, forces * mobile[:, None]

        threshold = self.fmax * self.sigma / self.epsilon
        energy, positions, steps, force = minimize(
            field, atoms.positions / self.sigma, threshold, self.steps, self.maximum_move
        )
        relaxed = atoms.copy()
        relaxed.positions = positions * self.sigma
        return Relaxation(relaxed, self.epsilon * energy, force <= threshold, steps)

    def single_point(self, atoms: Atoms) -> SinglePoint:
        """Energy and forces of a cluster as it stands."""
        energy, forces = energy_and_forces(atoms.positions / self.sigma)
        return SinglePoint(self.epsilon * energy, self.epsilon / self.sigma * forces)


def energy_and_forces(
    positions: NDArray[np.float64],
) -> tuple[float, NDArray[np.float64]]:
    """Energy and forces, shape (n, 3), in units of epsilon and sigma; positions in sigma."""
    lengths = (positions * positions).sum(axis=1)
    square = lengths[:, None] + lengths - 2.0 * (positions @ positions.T)
    np.fill_diagonal(square, np.inf)
    sixth = 1.0 / np.maximum(square, 0.16) ** 3
    slope = 24.0 * sixth * (2.0 * sixth - 1.0) / square
    forces = slope.sum(axis=1)[:, None] * positions - slope @ positions
    return float(2.0 * (sixth * (sixth - 1.0)).sum()), forces


def minimize(
    field: Field, start: NDArray[np.float64], fmax: float, steps: int, longest: float
) -> tuple[float, NDArray[np.float64], int, float]:
    """Energy, positions, steps and largest force of a minimum near ``start``, shape (n, 3).

    L-BFGS with steps of at most ``longest`` per atom and halved where the energy rises: Liu &
    Nocedal, Math. Program. 45, 503 (1989), in the form of Wales' GMIN.
    """
    energy, forces = field(start)
    positions = start
    pairs: deque[tuple[NDArray[np.float64], NDArray[np.float64], float]] = deque(maxlen=MEMORY)
    for step in range(steps):
        largest = _longest(forces)
        if largest <= fmax:
            return energy, positions, step, largest
        move = _direction(forces.ravel(), pairs).reshape(-1, 3)
        move *= min(1.0, longest / _longest(move))
        for _ in range(10):
            new_energy, new_forces = field(positions + move)
            if new_energy <= energy + WORST_RISE * abs(energy):
                break
            move = 0.25 * move
        change = (forces - new_forces).ravel()
        product = float(move.ravel() @ change)
        if product:
            pairs.append((move.ravel(), change, product))
        positions, energy, forces = positions + move, new_energy, new_forces
    return energy, positions, steps, _longest(forces)


def _longest(vectors: NDArray[np.float64]) -> float:
    return float(np.sqrt((vectors**2).sum(axis=1).max(initial=0.0)))


def _direction(
    forces: NDArray[np.float64],
    pairs: deque[tuple[NDArray[np.float64], NDArray[np.float64], float]],
) -> NDArray[np.float64]:
    """The quasi-Newton step, downhill, of two loops over remembered moves; flat arrays."""
    step = forces.copy()
    weights = []
    for move, change, product in reversed(pairs):
        weights.append(float(move @ step) / product)
        step -= weights[-1] * change
    if pairs:
        _, change, product = pairs[-1]
        step *= abs(product) / float(change @ change)
    else:
        step *= 0.02 / max(float(np.abs(forces).max()), 1e-30)
    for (move, change, product), weight in zip(pairs, reversed(weights), strict=True):
        step += (weight - float(change @ step) / product) * move
    return step if step @ forces >= 0.0 else -step
