"""SevenNet: an equivariant machine-learned potential; a second opinion beside CHGNet.

Park et al., J. Chem. Theory Comput. 20, 4857 (2024), trained on the same relaxations of the
Materials Project as CHGNet; its weights are in its wheel.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from htinvert.core import EvaluationFailed
from htinvert.energy.network import Device, Force, NetworkEngine, Steps, on_one_thread

CUTOFF = 5.0  # Å, reach of its graph
PER_PAIR = {"7net-0": 1.5e-4, "7net-l3i5": 3.1e-4}  # GB
MEMORY = {"7net-0": 1.2, "7net-l3i5": 1.8}  # GB, measured with 200 atoms


@dataclass(frozen=True)
class SevenNet(NetworkEngine):
    """Relax with SevenNet; constraints of the structure are honored, the cell is fixed.

    Attributes:
        model: one of those in the wheel: ``7net-0``, or ``7net-l3i5``, which is more accurate and
            takes two and a half times as long.
        fmax: the relaxation ends when no atom and no rigid body feels a larger force [eV/Å].
        steps: the relaxation ends after this many steps.
        optimizer: ``lbfgs`` or ``fire``.
        device: ``cpu``, or ``cuda`` where torch was built for it.
    """

    sources: ClassVar[tuple[str, ...]] = (
        "Y. Park et al., SevenNet, J. Chem. Theory Comput. 20, 4857 (2024), "
        "doi:10.1021/acs.jctc.4c00190.",
    )
    packages: ClassVar[tuple[str, ...]] = ("sevenn", "torch")

    name = "SevenNet"
    module = "sevenn"

    model: Literal["7net-0", "7net-l3i5"] = "7net-0"
    fmax: Force = 0.05
    steps: Steps = 300
    optimizer: str = "lbfgs"
    device: Device = "cpu"

    @property
    def memory(self) -> float:
        """Memory of one worker [GB]."""
        return MEMORY[self.model]

    def memory_for(self, atoms: Atoms) -> float:
        """Memory of a worker [GB] while it prices ``atoms``, by the pairs of its graph.

        Measured with 128 to 384 atoms of CdTe and Ni: within 15 %.
        """
        return 0.6 + PER_PAIR[self.model] * len(neighbor_list("i", atoms, CUTOFF))

    def check_structure(self, atoms: Atoms) -> None:
        """Refuse an atom alone: it gets a number, but one that nothing has trained."""
        lone = np.setdiff1d(np.arange(len(atoms)), neighbor_list("i", atoms, CUTOFF))
        if lone.size:
            raise EvaluationFailed(f"SevenNet: atom {lone[0]} has nothing within {CUTOFF:g} Å")

    def calculator(self) -> Any:
        """SevenNet's own calculator."""
        return _calculator(self.model, self.device)


@functools.lru_cache(maxsize=2)
@on_one_thread
def _calculator(model: str, device: str) -> Any:
    """Load the weights once per process."""
    from sevenn.calculator import SevenNetCalculator

    return SevenNetCalculator(model, device=device)
