"""Relaxation of an ASE calculator with one of ASE's optimizers; rigid bodies count as particles.

Larsen et al., J. Phys.: Condens. Matter 29, 273002 (2017).
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
from ase import Atoms
from ase.filters import Filter
from ase.optimize import FIRE, LBFGS
from numpy.typing import NDArray

from htinvert.core import EvaluationFailed, Relaxation, UserError
from htinvert.energy.offer import SinglePoint
from htinvert.geometry.roles import rigid_bodies, rigid_mask

OPTIMIZERS = {"lbfgs": LBFGS, "fire": FIRE}
VACUUM = 12.0  # Å between periodic images for plane waves, along a vector that is not periodic


class Particles(Filter):
    """A structure as an optimizer shall see it: every rigid body is one particle, behind the atoms.

    A body's place is that of its first atom, its force the sum over its atoms [eV/Å]. Without this
    an optimizer sees a large body's force divided by its number of atoms, and ends too early.
    """

    def __init__(self, atoms: Atoms) -> None:
        Filter.__init__(self, atoms, mask=~rigid_mask(atoms))
        self.bodies = rigid_bodies(atoms)

    def __len__(self) -> int:
        return int(self.index.sum()) + len(self.bodies)

    def get_positions(self) -> NDArray[np.float64]:
        """Positions [Å] of the single atoms and of each body's first atom, shape (particles, 3)."""
        positions = self.atoms.positions
        return np.array([*positions[self.index], *(positions[b.index[0]] for b in self.bodies)])

    def set_positions(self, positions: NDArray[np.float64], **_: Any) -> None:
        """Move the atoms, and every body as a whole, shape (particles, 3) [Å]."""
        moved = self.atoms.get_positions()
        singles = len(self) - len(self.bodies)
        moved[self.index] = positions[:singles]
        for body, place in zip(self.bodies, positions[singles:], strict=True):
            moved[body.index] += place - moved[body.index[0]]
        self.atoms.set_positions(moved)

    def get_forces(self, **_: Any) -> NDArray[np.float64]:
        """Force [eV/Å] on the single atoms and on each body, shape (particles, 3)."""
        forces = self.atoms.get_forces()
        return np.array([*forces[self.index], *(forces[b.index].sum(axis=0) for b in self.bodies)])


def check_optimizer(name: str) -> None:
    """Raise :class:`UserError` for an optimizer that is not in :data:`OPTIMIZERS`."""
    if name not in OPTIMIZERS:
        raise UserError(f"optimizer {name} is unknown; choose lbfgs or fire")


def relax(
    atoms: Atoms,
    calculator: Any,
    *,
    engine: str,
    fmax: float,
    steps: int,
    optimizer: str,
    gap: float | None = None,
) -> Relaxation:
    """Relax a copy of a structure; its constraints are honored, its cell is fixed.

    The relaxation ends when no atom and no rigid body feels more than ``fmax`` [eV/Å], or after
    ``steps``. With ``gap`` [Å] the calculator sees the structure :func:`enclosed`. Raises
    :class:`EvaluationFailed`, with the engine's name, where the calculator does.
    """
    relaxed = atoms.copy()
    if gap is not None:
        relaxed = enclosed(atoms, gap=gap)
        relaxed.set_constraint(atoms.constraints)
    shift = relaxed.positions - atoms.positions
    relaxed.calc = calculator
    target = Particles(relaxed) if rigid_bodies(relaxed) else relaxed
    try:
        with contextlib.closing(OPTIMIZERS[optimizer](target, logfile=None)) as descent:
            converged = descent.run(fmax=fmax, steps=steps)
            taken = descent.get_number_of_steps()
        energy = float(relaxed.get_potential_energy())
        force = float(np.linalg.norm(target.get_forces(), axis=1).max(initial=0.0))
    except Exception as error:  # calculators raise anything from ValueError to RuntimeError
        raise EvaluationFailed(f"{engine}: {' '.join(str(error).split())}") from error
    found = atoms.copy()
    found.positions = relaxed.positions - shift
    return Relaxation(found, energy, bool(converged), int(taken), force)


def single_point(
    atoms: Atoms, calculator: Any, *, engine: str, stress: bool = False
) -> SinglePoint:
    """Energy, forces and, where asked for, stress of a structure as it stands.

    Raises :class:`EvaluationFailed`, with the engine's name, where the calculator does.
    """
    bare = atoms.copy()
    bare.set_constraint()
    bare.calc = calculator
    try:
        return SinglePoint(
            float(bare.get_potential_energy()),
            np.array(bare.get_forces(), dtype=float),
            np.array(bare.get_stress(), dtype=float) if stress else None,
        )
    except Exception as error:  # see relax
        raise EvaluationFailed(f"{engine}: {' '.join(str(error).split())}") from error


def enclosed(atoms: Atoms, *, gap: float) -> Atoms:
    """A copy that is periodic along all three cell vectors, for engines that know nothing else.

    Along a vector that was not periodic the images are ``gap`` [Å] apart.
    """
    whole = atoms.copy()
    whole.set_constraint()
    free = np.flatnonzero(~whole.pbc)
    if free.size:
        whole.center(vacuum=0.5 * gap, axis=free.tolist())
        whole.pbc = True
    return whole
