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
from ase.optimize import FIRE, LBFGS

from htinvert.core import EvaluationFailed, Relaxation, UserError

OPTIMIZERS = {"lbfgs": LBFGS, "fire": FIRE}


@dataclass(frozen=True)
class AseCalculator:
    """Relax with an ASE calculator; constraints of the structure are honored, the cell is fixed.

    Attributes:
        name: ASE's name of the calculator, such as ``emt`` or ``lj``.
        parameters: keyword arguments of the calculator.
        fmax: the relaxation ends when no atom feels a larger force [eV/Å].
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
        try:
            with contextlib.closing(OPTIMIZERS[self.optimizer](relaxed, logfile=None)) as optimizer:
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
