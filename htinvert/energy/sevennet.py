"""SevenNet: an equivariant machine-learned potential; a second opinion beside CHGNet.

Park et al., J. Chem. Theory Comput. 20, 4857 (2024), trained on the same relaxations of the
Materials Project as CHGNet; its weights are in its wheel. torch is loaded in the worker, at the
first structure.
"""

from __future__ import annotations

import functools
import os
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from htinvert.core import EvaluationFailed, Relaxation
from htinvert.declaration.declared import Parameter
from htinvert.energy.accuracy import MACHINE_LEARNED, Accuracy
from htinvert.energy.chgnet import ELEMENTS
from htinvert.energy.descent import check_optimizer, relax, single_point
from htinvert.energy.offer import Offer, SinglePoint, check_covered, check_installed

CUTOFF = 5.0  # Å, reach of its graph
MEMORY = {"7net-0": 1.2, "7net-l3i5": 1.8}  # GB, measured with 200 atoms


@dataclass(frozen=True)
class SevenNet:
    """Relax with SevenNet; constraints of the structure are honored, the cell is fixed.

    One model per process, on one thread: workers, not threads, share the cores.

    Attributes:
        model: one of those in the wheel: ``7net-0``, or ``7net-l3i5``, which is more accurate and
            takes two and a half times as long.
        fmax: the relaxation ends when no atom and no rigid body feels a larger force [eV/Å].
        steps: the relaxation ends after so many steps.
        optimizer: ``lbfgs`` or ``fire``.
        device: ``cpu``, or ``cuda`` where torch was built for it.
    """

    sources: ClassVar[tuple[str, ...]] = (
        "Y. Park et al., SevenNet, J. Chem. Theory Comput. 20, 4857 (2024), "
        "doi:10.1021/acs.jctc.4c00190.",
    )
    accuracy: ClassVar[Accuracy] = MACHINE_LEARNED
    packages: ClassVar[tuple[str, ...]] = ("sevenn", "torch")

    model: Literal["7net-0", "7net-l3i5"] = "7net-0"
    fmax: Annotated[float, Parameter("eV/Å", 0.0)] = 0.05
    steps: Annotated[int, Parameter("1", 0)] = 300
    optimizer: str = "lbfgs"
    device: Literal["cpu", "cuda"] = "cpu"

    def __post_init__(self) -> None:
        check_optimizer(self.optimizer)
        check_installed("SevenNet", ("torch", "sevenn"), "mlip")

    @property
    def offer(self) -> Offer:
        """What SevenNet can do, and the versions that decide its energies."""
        return Offer(
            f"SevenNet {self.model} (sevenn {version('sevenn')})",
            elements=ELEMENTS,
            properties=("energy", "forces", "stress"),
            memory=MEMORY[self.model],
            cost="mlip",
            lowest=-16.0,  # as of CHGNet: the same training set
        )

    def load(self) -> None:
        """Load torch and the weights."""
        _calculator(self.model, self.device)

    def check_elements(self, symbols: set[str] | tuple[str, ...]) -> None:
        """Raise :class:`UserError` for elements that were not in the training set."""
        check_covered("SevenNet", ELEMENTS, symbols)

    def __call__(self, atoms: Atoms) -> Relaxation:
        """Relax a structure. Raises :class:`EvaluationFailed` where SevenNet gives up."""
        _check_bonded(atoms)
        found = relax(
            atoms,
            _calculator(self.model, self.device),
            engine="SevenNet",
            fmax=self.fmax,
            steps=self.steps,
            optimizer=self.optimizer,
        )
        _check_bonded(found.atoms)
        return found

    def single_point(self, atoms: Atoms) -> SinglePoint:
        """Price a structure as it stands. Raises as a relaxation does."""
        _check_bonded(atoms)
        calculator = _calculator(self.model, self.device)
        return single_point(atoms, calculator, engine="SevenNet", stress=bool(atoms.pbc.all()))


def _check_bonded(atoms: Atoms) -> None:
    """Refuse an atom alone: it gets a number from SevenNet, but one that nothing has trained."""
    lone = np.setdiff1d(np.arange(len(atoms)), neighbor_list("i", atoms, CUTOFF))
    if lone.size:
        raise EvaluationFailed(f"SevenNet: atom {lone[0]} has nothing within {CUTOFF:g} Å")


@functools.lru_cache(maxsize=2)
def _calculator(model: str, device: str) -> Any:
    """Load the weights once per process."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # read when torch is imported
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's renamed parts, and that there is no GPU
        import torch
        from sevenn.calculator import SevenNetCalculator

        torch.set_num_threads(1)
        return SevenNetCalculator(model, device=device)
