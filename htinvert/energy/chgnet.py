"""CHGNet: a machine-learned potential for most of the periodic table; its weights are in its wheel.

Deng et al., Nature Machine Intelligence 5, 1031 (2023), trained on relaxations of the Materials
Project (GGA and GGA+U with its corrections).
"""

from __future__ import annotations

import contextlib
import functools
import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.neighborlist import neighbor_list
from ase.stress import full_3x3_to_voigt_6_stress
from ase.units import GPa
from numpy.typing import NDArray

from htinvert.core import EvaluationFailed
from htinvert.energy.descent import enclosed
from htinvert.energy.network import LOWEST, Device, Force, NetworkEngine, Steps, on_one_thread
from htinvert.energy.offer import SinglePoint

CUTOFF = 6.0  # Å, reach of its atom graph
ANGLES = 3.0  # Å, reach of bonds between which it counts angles
BATCH = 16  # structures at once


@dataclass(frozen=True)
class Chgnet(NetworkEngine):
    """Relax with CHGNet; constraints of the structure are honored, the cell is fixed.

    Attributes:
        model: one of those in the wheel: ``0.3.0``, ``0.2.0`` or ``r2scan``.
        fmax: the relaxation ends when no atom and no rigid body feels a larger force [eV/Å].
        steps: the relaxation ends after this many steps.
        optimizer: ``lbfgs`` or ``fire``.
        device: ``cpu``, or ``cuda`` where torch was built for it.
    """

    sources: ClassVar[tuple[str, ...]] = (
        "B. Deng et al., CHGNet, Nat. Mach. Intell. 5, 1031 (2023), "
        "doi:10.1038/s42256-023-00716-3.",
    )
    packages: ClassVar[tuple[str, ...]] = ("chgnet", "torch")

    name = "CHGNet"
    module = "chgnet"
    batch = True
    encloses = True

    model: Literal["0.3.0", "0.2.0", "r2scan"] = "0.3.0"
    fmax: Force = 0.05
    steps: Steps = 300
    optimizer: str = "lbfgs"
    device: Device = "cpu"

    @property
    def memory(self) -> float:
        """Memory of one worker [GB]: that of 200 atoms of CdTe."""
        return 1.1

    def memory_for(self, atoms: Atoms) -> float:
        """Memory of a worker [GB] while it prices ``atoms``, by pairs and angles of its graph.

        Measured with 128 to 768 atoms of CdTe, Ni and MgO: within 10 %.
        """
        pairs = len(neighbor_list("i", atoms, CUTOFF))
        bonds = np.bincount(neighbor_list("i", atoms, ANGLES)).astype(float)
        return 0.5 + 76e-6 * pairs + 90e-6 * float((bonds * (bonds - 1)).sum())

    @property
    def lowest(self) -> float:
        """Energy [eV/atom] below which nothing real lies; r2SCAN's zero is another one."""
        return -np.inf if self.model == "r2scan" else LOWEST

    def calculator(self) -> Any:
        """A calculator of our own."""
        return GraphCalculator(_network(self.model, self.device))

    def single_points(self, structures: Sequence[Atoms]) -> list[SinglePoint]:
        """Price structures in batches. On a CPU this pays for cells of some ten atoms only."""
        network = _network(self.model, self.device)
        try:
            graphs = [_graph(network, atoms) for atoms in structures]
            found = _predict(network, graphs)
        except Exception as error:  # torch and chgnet raise what they like
            raise EvaluationFailed(f"CHGNet: {' '.join(str(error).split())}") from error
        found = found if isinstance(found, list) else [found]
        return [SinglePoint(*_plain(one, len(a))) for one, a in zip(found, structures, strict=True)]


class GraphCalculator(Calculator):
    """CHGNet for ASE's optimizers; unlike its own, it takes rigid bodies and prints nothing."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012  (ase's)

    def __init__(self, network: Any) -> None:
        Calculator.__init__(self)
        self.network = network

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Energy [eV], forces (n, 3) [eV/Å] and stress (6,) [eV/Å³] of a structure."""
        Calculator.calculate(self, atoms, properties, system_changes)
        structure: Any = self.atoms
        found = _predict(self.network, _graph(self.network, structure))
        energy, forces, stress = _plain(found, len(structure))
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": forces,
            "stress": stress,
        }


@functools.lru_cache(maxsize=2)
@on_one_thread
def _network(model: str, device: str) -> Any:
    """Load the weights once per process."""
    from chgnet.model.model import CHGNet

    with contextlib.redirect_stdout(io.StringIO()):  # it announces itself
        network = CHGNet.load(model_name=model, use_device=device, verbose=False)
    network.graph_converter.set_isolated_atom_response("error")
    return network


def _predict(network: Any, graphs: Any) -> Any:
    """CHGNet's answer for a graph or a list of them."""
    with warnings.catch_warnings():
        # The volume, a number to CHGNet, is strained when stress is asked for; that is on purpose.
        warnings.filterwarnings("ignore", "Converting a tensor with requires_grad", UserWarning)
        return network.predict_graph(graphs, task="efs", batch_size=BATCH)


def _graph(network: Any, atoms: Atoms) -> Any:
    """The graph of atoms and bonds; an atom alone within 6 Å is an error, for it has no energy."""
    from pymatgen.core.lattice import Lattice
    from pymatgen.core.structure import Structure

    whole = enclosed(atoms, gap=2 * CUTOFF)
    structure = Structure(
        Lattice(whole.cell.array), whole.numbers.tolist(), whole.get_scaled_positions()
    )
    return network.graph_converter(structure).to(_device(network))


def _device(network: Any) -> Any:
    """Where the weights of a network lie."""
    return next(network.parameters()).device


def _plain(found: Mapping[str, Any], count: int) -> tuple[float, NDArray[Any], NDArray[Any]]:
    """Energy [eV], forces (n, 3) [eV/Å] and stress (6,) [eV/Å³] of CHGNet's answer in GPa."""
    stress = full_3x3_to_voigt_6_stress(np.array(found["s"], dtype=float) * GPa)
    return float(found["e"]) * count, np.array(found["f"], dtype=float), stress
