"""What engines share whose energies come from a neural network with weights in a wheel.

One network per process, on one thread: workers, not threads, share the cores. torch is loaded in
the worker, at the first structure.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import wraps
from importlib.metadata import version
from typing import Annotated, Any, ClassVar, Literal

from ase import Atoms
from ase.data import chemical_symbols

from htinvert.core import Relaxation
from htinvert.declaration.declared import Parameter
from htinvert.energy.accuracy import MACHINE_LEARNED, Accuracy
from htinvert.energy.descent import check_optimizer, relax, single_point
from htinvert.energy.offer import Offer, SinglePoint, check_covered, check_installed

# Relaxations of the Materials Project have 89 elements: the first 94 without these (Deng et al.,
# Nature Machine Intelligence 5, 1031 (2023), figure 2).
ELEMENTS = frozenset(chemical_symbols[1:95]) - {"Po", "At", "Rn", "Fr", "Ra"}
# Lowest energy of an element there [eV/atom], rounded down: W has -12.96.
LOWEST = -16.0

Device = Literal["cpu", "cuda"]
Force = Annotated[float, Parameter("eV/Å", 0.0)]
Steps = Annotated[int, Parameter("1", 0)]


class NetworkEngine:
    """An engine that relaxes with ASE's optimizers on the forces of a network.

    Its fields are those of a dataclass that derives from it, which also says how the network
    becomes a calculator.
    """

    name: ClassVar[str]  # in messages
    module: ClassVar[str]  # which the network comes in
    packages: ClassVar[tuple[str, ...]]  # the network's own first
    accuracy: ClassVar[Accuracy] = MACHINE_LEARNED
    batch: ClassVar[bool] = False
    encloses: ClassVar[bool] = False  # whether a cluster is put in a periodic cell, with a stress

    model: Any
    fmax: float
    steps: int
    optimizer: str
    device: Any

    def __post_init__(self) -> None:
        check_optimizer(self.optimizer)
        check_installed(self.name, ("torch", self.module), "mlip")

    @property
    def offer(self) -> Offer:
        """What the network can do, and the versions that decide its energies."""
        package = self.packages[0]
        return Offer(
            f"{self.name} {self.model} ({package} {version(package)})",
            elements=ELEMENTS,
            properties=("energy", "forces", "stress"),
            batch=self.batch,
            memory=self.memory,
            cost="mlip",
            lowest=self.lowest,
        )

    @property
    def memory(self) -> float:
        """Memory of one worker [GB]."""
        raise NotImplementedError

    @property
    def lowest(self) -> float:
        """Energy [eV/atom] below which nothing real lies."""
        return LOWEST

    def load(self) -> None:
        """Load torch and the weights."""
        self.calculator()

    def check_elements(self, symbols: set[str] | tuple[str, ...]) -> None:
        """Raise :class:`UserError` for elements that were not in the training set."""
        check_covered(self.name, ELEMENTS, symbols)

    def __call__(self, atoms: Atoms) -> Relaxation:
        """Relax a structure. Raises :class:`EvaluationFailed` where the network gives up."""
        self.check_structure(atoms)
        found = relax(
            atoms,
            self.calculator(),
            engine=self.name,
            fmax=self.fmax,
            steps=self.steps,
            optimizer=self.optimizer,
        )
        self.check_structure(found.atoms)
        return found

    def single_point(self, atoms: Atoms) -> SinglePoint:
        """Price a structure as it stands. Raises as a relaxation does."""
        self.check_structure(atoms)
        stress = self.encloses or bool(atoms.pbc.all())
        return single_point(atoms, self.calculator(), engine=self.name, stress=stress)

    def check_structure(self, atoms: Atoms) -> None:
        """Raise :class:`EvaluationFailed` where the network would extrapolate; for most nothing."""

    def calculator(self) -> Any:
        """ASE's calculator with the process's network."""
        raise NotImplementedError


def on_one_thread(load: Callable[..., Any]) -> Callable[..., Any]:
    """A function that loads a network, without torch's warnings and with one thread for it."""

    @wraps(load)
    def loaded(*which: Any) -> Any:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ.setdefault(name, "1")  # read when torch is imported
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's renamed parts, and that there is no GPU
            import torch

            torch.set_num_threads(1)
            return load(*which)

    return loaded
