"""Any ASE calculator as an energy model, by its ASE name, relaxed with an ASE optimizer.

Larsen et al., J. Phys.: Condens. Matter 29, 273002 (2017).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import get_calculator_class
from ase.filters import Filter
from ase.optimize import FIRE, LBFGS
from numpy.typing import NDArray

from htinvert.core import EvaluationFailed, Relaxation, UserError
from htinvert.roles import rigid_bodies, rigid_mask

OPTIMIZERS = {"lbfgs": LBFGS, "fire": FIRE}


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


@dataclass(frozen=True)
class AseCalculator:
    """Relax with an ASE calculator; constraints of the structure are honored, the cell is fixed.

    A rigid body (:class:`htinvert.roles.RigidBody`) is one particle to the optimizer, so that its
    total force is what ``fmax`` limits.

    Attributes:
        name: ASE's name of the calculator, such as ``emt`` or ``lj``.
        parameters: keyword arguments of the calculator.
        fmax: the relaxation ends when no atom and no rigid body feels a larger force [eV/Å].
        steps: the relaxation ends after so many steps.
        optimizer: ``lbfgs`` or ``fire``.
    """

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    fmax: float = 0.05
    steps: int = 300
    optimizer: str = "lbfgs"

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise UserError(f"optimizer {self.optimizer} is unknown; choose lbfgs or fire")
        try:
            get_calculator_class(self.name)
        except (KeyError, ImportError) as error:
            raise UserError(
                f"ASE has no calculator {self.name} here ({error}); "
                "`ase info --calculators` lists those that are installed"
            ) from error

    def check_elements(self, symbols: set[str] | tuple[str, ...]) -> None:
        """Raise :class:`UserError` where the calculator refuses one of the elements."""
        for symbol in sorted(symbols):
            pair = Atoms([symbol, symbol], positions=[[0, 0, 0], [0, 0, 2.5]])
            pair.calc = self._calculator()
            try:
                pair.get_potential_energy()
            except Exception as error:  # every calculator has its own way to say no
                raise UserError(
                    f"calculator {self.name} does not know {symbol} ({error}); "
                    "choose another calculator or leave the element out"
                ) from error

    def __call__(self, atoms: Atoms) -> Relaxation:
        """Relax a structure. Raises :class:`EvaluationFailed` where the calculator gives up."""
        relaxed = atoms.copy()
        relaxed.calc = self._calculator()
        target = Particles(relaxed) if rigid_bodies(relaxed) else relaxed
        try:
            with contextlib.closing(OPTIMIZERS[self.optimizer](target, logfile=None)) as optimizer:
                converged = optimizer.run(fmax=self.fmax, steps=self.steps)
                steps = optimizer.get_number_of_steps()
            energy = float(relaxed.get_potential_energy())
        except Exception as error:  # calculators raise anything from ValueError to RuntimeError
            raise EvaluationFailed(f"{self.name}: {' '.join(str(error).split())}") from error
        if not np.isfinite(energy):
            raise EvaluationFailed(f"{self.name}: the energy is not finite")
        relaxed.calc = None
        return Relaxation(relaxed, energy, bool(converged), int(steps))

    def _calculator(self) -> Any:
        return get_calculator_class(self.name)(**self.parameters)
