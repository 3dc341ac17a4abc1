"""The local density of states of a surface from GPAW, split by energy, kept in a folder by key.

The sum of ``2 w_k |psi|^2`` over the states of an interval of energy, with the smooth part of the
wave functions, which is the whole of them outside of the augmentation spheres: right in vacuum,
where a tip is, and wrong in the cores. Tersoff & Hamann, Phys. Rev. B 31, 805 (1985); Mortensen et
al., J. Chem. Phys. 160, 092503 (2024). Time reversal is the only symmetry that is used: a state and
its conjugate have one density, so weights are all that it takes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from pydantic import PositiveFloat, PositiveInt

from htinvert.core import EvaluationFailed, UserError
from htinvert.declaration.declared import Parameter
from htinvert.density.grid import Density, decay
from htinvert.density.stored import read_zarr, write_zarr
from htinvert.energy.gpaw import Gpaw, _gpaw, datasets
from htinvert.energy.offer import check_covered, check_installed

LEAST_DECAY = 0.5  # 1/Å: a work function of 0.24 eV
LEAST_REACH = 3.0  # Å over the topmost atom, where tips are
CONVERGED = 1e-8  # eV^2 per electron: so that tails in vacuum are no noise


@dataclass(frozen=True)
class GpawDensity:
    """Compute the density of states of a slab as it stands; periodic along all three vectors.

    Attributes:
        cutoff: kinetic energy up to which plane waves are taken [eV].
        kpoints: points of the Brillouin zone along the two vectors of the surface; Gamma is one.
        lowest: of the energies that are kept, from the Fermi level [eV].
        highest: of the energies that are kept, from the Fermi level [eV].
        interval: of energy [eV], one grid each.
        empty_bands: bands above the occupied ones; as many as ``highest`` needs.
        xc: exchange-correlation functional, ``PBE`` or ``LDA``.
        width: of the Fermi-Dirac distribution [eV].
        cache: folder in which densities are kept and found again; None keeps nothing.
    """

    sources: ClassVar[tuple[str, ...]] = Gpaw.sources
    packages: ClassVar[tuple[str, ...]] = Gpaw.packages

    cutoff: Annotated[PositiveFloat, Parameter("eV")] = 350.0
    kpoints: tuple[PositiveInt, PositiveInt] = (3, 3)
    lowest: Annotated[float, Parameter("eV")] = -1.0
    highest: Annotated[float, Parameter("eV")] = 1.0
    interval: Annotated[PositiveFloat, Parameter("eV")] = 0.5
    empty_bands: Annotated[PositiveInt, Parameter("1")] = 18
    xc: str = "PBE"
    width: Annotated[PositiveFloat, Parameter("eV")] = 0.1
    cache: Path | None = None

    def __post_init__(self) -> None:
        check_installed("GPAW", ("gpaw", "gpaw_data"), "dft")
        if not self.lowest < self.highest:
            raise UserError(
                f"energies go from {self.lowest:g} to {self.highest:g} eV; lowest must be below"
            )

    @property
    def method(self) -> str:
        """How it is computed, in words: engine, cutoff, points, intervals."""
        return (
            f"GPAW {version('gpaw')} (gpaw-data {version('gpaw-data')}), {self.xc}, "
            f"{self.cutoff:g} eV, {self.kpoints[0]} x {self.kpoints[1]} k-points with Gamma, "
            f"Fermi-Dirac {self.width:g} eV, smooth wave functions"
        )

    @property
    def edges(self) -> NDArray[np.float64]:
        """Borders of the intervals [eV]."""
        count = max(1, round((self.highest - self.lowest) / self.interval))
        return np.linspace(self.lowest, self.highest, count + 1)

    def key(self, atoms: Atoms) -> str:
        """A name for the density of this structure with these settings; 1e-6 Å make no other."""
        settings = {k: v for k, v in asdict(self).items() if k != "cache"}
        digest = sha256(repr((sorted(settings.items()), self.method)).encode())
        for array in (atoms.numbers, atoms.cell.array, atoms.positions):
            digest.update(np.round(np.asarray(array) * 1e6).astype(np.int64).tobytes())
        return digest.hexdigest()[:24]

    def __call__(self, atoms: Atoms) -> Density:
        """Compute the density of a slab, or find it in the cache.

        Raises:
            UserError: for an element without a dataset.
            EvaluationFailed: where GPAW gives up, or the bands end below ``highest``.
        """
        place = self.cache / f"{self.key(atoms)}.zarr" if self.cache else None
        if place is not None and place.exists():
            return read_zarr(place)
        check_covered(f"GPAW with {self.xc}", datasets(self.xc), set(atoms.symbols))
        density = self._compute(atoms)
        if place is not None:
            place.parent.mkdir(parents=True, exist_ok=True)
            write_zarr(density, place)
        return density

    def _compute(self, atoms: Atoms) -> Density:
        slab = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
        try:
            slab.calc = self._calculator()
            slab.get_potential_energy()
            values = self._sum(slab.calc)
        except EvaluationFailed:
            raise
        except Exception as error:  # GPAW raises anything from ValueError to its own
            raise EvaluationFailed(f"GPAW: {' '.join(str(error).split())}") from error
        bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
        top, length = float(bare.positions[:, 2].max()), float(bare.cell.array[2, 2])
        rate, reach = decay(values.sum(axis=0), top, length)
        if rate < LEAST_DECAY or reach < LEAST_REACH:
            raise EvaluationFailed(
                f"GPAW: over the surface the density falls by {rate:.2f} 1/Å and only up to "
                f"{reach:.1f} Å: take more vacuum, a higher cutoff, or a slab along z"
            )
        method = f"{self.method}; falls by {rate:.2f} 1/Å up to {reach:.1f} Å over the surface"
        return Density(values, bare, tuple(map(float, self.edges)), "window", method)

    def _calculator(self) -> Any:
        gpaw = _gpaw()
        return gpaw.GPAW(
            mode=gpaw.PW(self.cutoff),
            xc=self.xc,
            kpts={"size": (*self.kpoints, 1), "gamma": True},
            occupations={"name": "fermi-dirac", "width": self.width},
            nbands=-self.empty_bands,
            convergence={"eigenstates": CONVERGED, "bands": -4},
            symmetry={"point_group": False},
            txt=None,
        )

    def _sum(self, calculator: Any) -> NDArray[np.float32]:
        """Density by interval [1/Å³], shape (intervals, n1, n2, n3)."""
        edges, fermi = self.edges, calculator.get_fermi_level()
        spins, weights = calculator.get_number_of_spins(), calculator.get_k_point_weights()
        values: NDArray[np.float64] | None = None
        for spin in range(spins):
            for k, weight in enumerate(weights):
                levels = calculator.get_eigenvalues(kpt=k, spin=spin) - fermi
                if levels[-5] < edges[-1]:
                    raise EvaluationFailed(
                        f"GPAW: the bands end {levels[-5]:.2f} eV above the Fermi level, below "
                        f"the {edges[-1]:g} eV that are asked for; raise empty_bands"
                    )
                for band in np.flatnonzero((levels >= edges[0]) & (levels < edges[-1])):
                    wave = calculator.get_pseudo_wave_function(band=band, kpt=k, spin=spin)
                    if values is None:
                        values = np.zeros((len(edges) - 1, *wave.shape))
                    interval = int(np.searchsorted(edges, levels[band], side="right")) - 1
                    values[interval] += 2 / spins * weight * np.abs(wave) ** 2
        if values is None:
            raise EvaluationFailed(
                f"GPAW: no state lies from {edges[0]:g} to {edges[-1]:g} eV around the Fermi level"
            )
        return values.astype(np.float32)
