"""GPAW: density functional theory with plane waves and the projector augmented-wave method.

Mortensen et al., J. Chem. Phys. 160, 092503 (2024). For references and the few best structures:
a cell of ten atoms takes minutes. It is loaded in the worker, at the first structure.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, ClassVar

from ase import Atoms
from pydantic import PositiveFloat

from htinvert.core import EvaluationFailed, Relaxation
from htinvert.declaration.declared import Parameter
from htinvert.energy.accuracy import DFT, Accuracy
from htinvert.energy.descent import VACUUM, check_optimizer, enclosed, relax, single_point
from htinvert.energy.offer import Offer, SinglePoint, check_covered, check_installed

SHARP = {"energy": 1e-6, "forces": 1e-3}  # eV per electron, eV/Å
# A few meV per cell of some hundred electrons: the energy is of second order in the density.
PRICED = {"energy": 1e-5, "density": 1e-3, "eigenstates": 1e-5}


@dataclass(frozen=True)
class Gpaw:
    """Relax with GPAW; constraints of the structure are honored, the cell is fixed.

    The crystal's symmetry is used where no atom is held and no grain is rigid, for forces then keep
    it; a relaxation that breaks it all the same is repeated without. With spin where the structure
    has initial magnetic moments or ``magnetic_moments`` gives some.

    Attributes:
        cutoff: kinetic energy up to which plane waves are taken [eV].
        kpoint_density: points of the Brillouin zone per 1/Å, times 2 pi.
        gamma: whether Gamma is among them; else the mesh is half a step off along every axis, and
            time reversal leaves half of it (Monkhorst & Pack, Phys. Rev. B 13, 5188 (1976)).
        xc: exchange-correlation functional, ``PBE`` or ``LDA``.
        width: of the Fermi-Dirac distribution [eV].
        magnetic_moments: initial moment by element [Bohr magnetons], in place of the structure's.
        fmax: the relaxation ends when no atom and no rigid body feels a larger force [eV/Å].
        steps: the relaxation ends after this many steps; with 0 a structure is only priced, and the
            iterations end at 1e-5 eV per electron instead of 1e-6.
        optimizer: ``lbfgs`` or ``fire``.
    """

    sources: ClassVar[tuple[str, ...]] = (
        "J. J. Mortensen et al., GPAW, J. Chem. Phys. 160, 092503 (2024), doi:10.1063/5.0182685.",
    )
    accuracy: ClassVar[Accuracy] = DFT
    packages: ClassVar[tuple[str, ...]] = ("gpaw", "gpaw-data")

    cutoff: Annotated[PositiveFloat, Parameter("eV")] = 400.0
    kpoint_density: Annotated[PositiveFloat, Parameter("Å")] = 3.5
    gamma: bool = True
    xc: str = "PBE"
    width: Annotated[PositiveFloat, Parameter("eV")] = 0.05
    magnetic_moments: Mapping[str, float] = field(default_factory=dict)
    fmax: Annotated[float, Parameter("eV/Å", 0.0)] = 0.05
    steps: Annotated[int, Parameter("1", 0)] = 100
    optimizer: str = "lbfgs"

    def __post_init__(self) -> None:
        check_optimizer(self.optimizer)
        check_installed("GPAW", ("gpaw", "gpaw_data"), "dft")

    @property
    def offer(self) -> Offer:
        """What GPAW can do; its zero is that of spherical free atoms without spin."""
        return Offer(
            f"GPAW {version('gpaw')} (gpaw-data {version('gpaw-data')})",
            elements=datasets(self.xc),
            properties=("energy", "forces", "stress"),
            memory=2.0,
            cost="dft",
            lowest=-20.0,
        )

    def load(self) -> None:
        """Load GPAW."""
        _gpaw()

    def check_elements(self, symbols: set[str] | tuple[str, ...]) -> None:
        """Raise :class:`UserError` for elements without a dataset of this functional."""
        check_covered(f"GPAW with {self.xc}", datasets(self.xc), symbols)

    def __call__(self, atoms: Atoms) -> Relaxation:
        """Relax a structure. Raises :class:`EvaluationFailed` where GPAW gives up."""
        try:
            return self._relax(atoms, symmetric=not atoms.constraints)
        except EvaluationFailed as error:
            if atoms.constraints or "symmetry" not in str(error).lower():
                raise
            return self._relax(atoms, symmetric=False)

    def single_point(self, atoms: Atoms) -> SinglePoint:
        """Price a structure as it stands. Raises as a relaxation does."""
        whole = enclosed(self._polarized(atoms), gap=VACUUM)
        return single_point(whole, self._calculator(symmetric=True), engine="GPAW", stress=True)

    def _relax(self, atoms: Atoms, *, symmetric: bool) -> Relaxation:
        found = relax(
            self._polarized(atoms),
            self._calculator(symmetric=symmetric, convergence=SHARP if self.steps else PRICED),
            engine="GPAW",
            fmax=self.fmax,
            steps=self.steps,
            optimizer=self.optimizer,
            gap=VACUUM,
        )
        relaxed = atoms.copy()  # without the moments it was started with
        relaxed.positions = found.atoms.positions
        return replace(found, atoms=relaxed)

    def _polarized(self, atoms: Atoms) -> Atoms:
        """The structure with the initial magnetic moments that are asked for."""
        if not self.magnetic_moments:
            return atoms
        polarized = atoms.copy()
        moments = [self.magnetic_moments.get(atom.symbol, 0.0) for atom in atoms]
        polarized.set_initial_magnetic_moments(moments)
        return polarized

    def _calculator(self, *, symmetric: bool, convergence: Mapping[str, float] = SHARP) -> Any:
        gpaw = _gpaw()
        return gpaw.GPAW(
            mode=gpaw.PW(self.cutoff),
            xc=self.xc,
            kpts={"density": self.kpoint_density, "gamma": self.gamma},
            occupations={"name": "fermi-dirac", "width": self.width},
            convergence=dict(convergence),
            symmetry={} if symmetric else {"point_group": False},
            txt=None,
        )


@functools.lru_cache(maxsize=4)
def datasets(xc: str) -> frozenset[str]:
    """Elements that gpaw-data has a dataset of, for a functional."""
    found = importlib.util.find_spec("gpaw_data")
    places = found.submodule_search_locations if found else None
    files = (path for place in places or () for path in Path(place).glob(f"setups/*.{xc}.gz"))
    return frozenset(path.name.partition(".")[0] for path in files)


@functools.lru_cache(maxsize=1)
def _gpaw() -> Any:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when its libraries are loaded
    import gpaw

    return gpaw
