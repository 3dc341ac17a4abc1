"""Any ASE calculator as an energy model, by its ASE name, relaxed with an ASE optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ase import Atoms, __version__
from ase.calculators.calculator import get_calculator_class

from htinvert.core import Relaxation, UserError
from htinvert.energy.descent import check_optimizer, relax, single_point
from htinvert.energy.offer import Offer, SinglePoint


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
        check_optimizer(self.optimizer)
        try:
            get_calculator_class(self.name)
        except (KeyError, ImportError) as error:
            raise UserError(
                f"ASE has no calculator {self.name} here ({error}); "
                "`ase info --calculators` lists those that are installed"
            ) from error

    @property
    def offer(self) -> Offer:
        """What ASE says of the calculator; which elements it knows, only a trial tells."""
        known = tuple(get_calculator_class(self.name).implemented_properties)
        offered = tuple(name for name in ("energy", "forces", "stress") if name in known)
        return Offer(f"{self.name} (ase {__version__})", properties=offered)

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
        return relax(
            atoms,
            self._calculator(),
            engine=self.name,
            fmax=self.fmax,
            steps=self.steps,
            optimizer=self.optimizer,
        )

    def single_point(self, atoms: Atoms) -> SinglePoint:
        """Price a structure as it stands. Raises as a relaxation does."""
        stress = "stress" in self.offer.properties and bool(atoms.pbc.all())
        return single_point(atoms, self._calculator(), engine=self.name, stress=stress)

    def _calculator(self) -> Any:
        return get_calculator_class(self.name)(**self.parameters)
