"""VASP, for those who have a license; its inputs are written for anyone.

Kresse & Furthmüller, Phys. Rev. B 54, 11169 (1996). Without the program or its POTCARs
:meth:`Vasp.write_inputs` still works, and everything else says what is missing.
"""

from __future__ import annotations

import hashlib
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.io import read
from numpy.typing import NDArray
from pydantic import PositiveFloat

from htinvert.core import EvaluationFailed, Relaxation, UserError
from htinvert.declaration.declared import Parameter
from htinvert.energy import vasp_files
from htinvert.energy.accuracy import DFT, Accuracy
from htinvert.energy.descent import VACUUM, check_optimizer, enclosed
from htinvert.energy.offer import Offer, SinglePoint, check_covered
from htinvert.energy.program import k_points, price_with, relax_with, scratch
from htinvert.geometry.roles import frozen_mask, rigid_bodies


@dataclass(frozen=True)
class Vasp:
    """Relax with VASP; constraints of the structure are honored, the cell is fixed.

    Attributes:
        potcars: folder of the POTCARs, one folder a dataset: ``potcars/Cu_pv/POTCAR``.
        datasets: dataset of an element where it shall not be the Materials Project's.
        command: how VASP is started, in the folder of its inputs, such as ``srun vasp_std``.
        cutoff: kinetic energy up to which plane waves are taken [eV].
        kpoint_density: points of the Brillouin zone per 1/Å, times 2 pi; Gamma is among them.
        xc: exchange-correlation functional, ``PBE``, ``PBEsol`` or ``LDA``.
        width: of the Gaussian smearing [eV].
        magnetic_moments: initial moment by element [Bohr magnetons]; without any there is no spin.
        settings: further lines of INCAR, such as ``{IVDW: 12}``; they replace ours.
        fmax: the relaxation ends when no atom and no rigid body feels a larger force [eV/Å].
        steps: the relaxation ends after this many steps.
        optimizer: ``vasp`` for its own conjugate gradients, which know no rigid grains, or
            ``lbfgs`` or ``fire``, which start VASP anew for every step.
    """

    sources: ClassVar[tuple[str, ...]] = (
        "G. Kresse and J. Furthmüller, VASP, Phys. Rev. B 54, 11169 (1996), "
        "doi:10.1103/PhysRevB.54.11169.",
    )
    names_code: ClassVar = ("command",)
    accuracy: ClassVar[Accuracy] = DFT

    potcars: Path | None = None
    datasets: Mapping[str, str] = field(default_factory=dict)
    command: str = "vasp_std"
    cutoff: Annotated[PositiveFloat, Parameter("eV")] = 520.0
    kpoint_density: Annotated[PositiveFloat, Parameter("Å")] = 3.5
    xc: Literal["PBE", "PBEsol", "LDA"] = "PBE"
    width: Annotated[PositiveFloat, Parameter("eV")] = 0.05
    magnetic_moments: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    fmax: Annotated[float, Parameter("eV/Å", 0.0)] = 0.05
    steps: Annotated[int, Parameter("1", 0)] = 100
    optimizer: str = "vasp"

    name = "VASP"

    def __post_init__(self) -> None:
        if self.optimizer != "vasp":
            check_optimizer(self.optimizer)

    @property
    def offer(self) -> Offer:
        """What VASP can do; the POTCARs are part of its identity, its version is not known here."""
        found = sorted(self.potcars.glob("*/POTCAR")) if self.potcars else []
        content = hashlib.sha256(b"".join(path.read_bytes() for path in found)).hexdigest()
        return Offer(
            f"VASP, {self.xc} {self.cutoff:g} eV ({len(found)} POTCARs {content[:8]})",
            elements=frozenset(vasp_files.recommended_datasets()),
            properties=("energy", "forces", "stress"),
            native=self.optimizer == "vasp",
            memory=4.0,
            cost="dft",
            lowest=-20.0,
        )

    def load(self) -> None:
        """Raise :class:`UserError` where VASP cannot run."""
        self.check_elements(())

    def check_elements(self, symbols: set[str] | tuple[str, ...]) -> None:
        """Raise :class:`UserError` for what is missing to run VASP with these elements."""
        known = {**vasp_files.recommended_datasets(), **self.datasets}
        check_covered("VASP", known, symbols)
        missing = []
        words = shlex.split(self.command)
        if not words or shutil.which(words[0]) is None:
            missing.append(f"there is no program {self.command} (set `command`)")
        if self.potcars is None:
            missing.append("no folder of POTCARs is given (set `potcars`)")
        else:
            paths = [self.potcars / known[symbol] / "POTCAR" for symbol in sorted(symbols)]
            missing += [f"there is no {path}" for path in paths if not path.is_file()]
        if missing:
            raise UserError(
                f"VASP cannot run: {'; '.join(missing)}. VASP and its POTCARs need a license; "
                "write_inputs() works without"
            )

    def write_inputs(self, atoms: Atoms, folder: Path) -> None:
        """Write INCAR, KPOINTS, POSCAR and POTCAR.spec for a relaxation, as ``optimizer`` says.

        With ``optimizer: vasp`` it is a whole relaxation, else the first of its calculations.
        Raises :class:`UserError` for a rigid body, which VASP has not.
        """
        own = self.optimizer == "vasp"
        if own and rigid_bodies(atoms):
            raise UserError(
                "VASP cannot move a rigid grain as a whole: selective dynamics only holds single "
                "atoms; set `optimizer: lbfgs`, which moves it and starts VASP for every step, or "
                "freeze the grain"
            )
        more = vasp_files.relaxation(fmax=self.fmax, steps=self.steps) if own else {}
        self._write(atoms, folder, more)

    def write_local_density(self, atoms: Atoms, folder: Path, window: tuple[float, float]) -> None:
        """Write the two runs that end in PARCHG, the local density of states for STM.

        ``1_wavefunctions`` keeps its WAVECAR; copy that into ``2_partial_charge`` and run VASP
        there. ``window`` are two energies [eV] from the Fermi level: a negative one of them for
        occupied states, such as (-1.5, 0).
        """
        self._write(atoms, folder / "1_wavefunctions", {"LWAVE": True, "LCHARG": True})
        second = vasp_files.local_density(window)
        self._write(atoms, folder / "2_partial_charge", second)

    def __call__(self, atoms: Atoms) -> Relaxation:
        """Relax a structure. Raises :class:`EvaluationFailed` where VASP gives up."""
        if self.optimizer != "vasp":
            self.check_elements(set(atoms.get_chemical_symbols()))
            return relax_with(self, atoms)
        with scratch() as folder:
            self.write_inputs(atoms, folder)
            images = self.run(atoms, folder)
        return _relaxed(atoms, images, fmax=self.fmax)

    def single_point(self, atoms: Atoms) -> SinglePoint:
        """Price a structure as it stands. Raises as a relaxation does."""
        self.check_elements(set(atoms.get_chemical_symbols()))
        return price_with(self, atoms)

    def calculator(self, atoms: Atoms, folder: Path) -> VaspCalculator:
        """A calculator for ASE's optimizers, working in a folder."""
        return VaspCalculator(self, folder, k_points(atoms, self.kpoint_density))

    def run(self, atoms: Atoms, folder: Path) -> list[Atoms]:
        """Run VASP on the inputs in a folder; what vasprun.xml says, in the atoms' own order."""
        self.check_elements(set(atoms.get_chemical_symbols()))
        known = {**vasp_files.recommended_datasets(), **self.datasets}
        assert self.potcars is not None  # noqa: S101  (checked above)
        paths = [self.potcars / known[s] / "POTCAR" for s in vasp_files.elements(atoms)]
        (folder / "POTCAR").write_bytes(b"".join(path.read_bytes() for path in paths))
        with (folder / "vasp.log").open("wb") as log:
            done = subprocess.run(  # noqa: S603  (the user's own command)
                shlex.split(self.command), cwd=folder, stdout=log, stderr=log, check=False
            )
        if done.returncode:
            raise EvaluationFailed(f"VASP: it ended with status {done.returncode}")
        images = _images(folder / "vasprun.xml")
        most = int({**vasp_files.STATIC, **self.settings}["NELM"])
        if electronic_steps(folder / "vasprun.xml") >= most:
            raise EvaluationFailed(f"VASP: the electrons did not converge within {most} steps")
        back = np.argsort(vasp_files.order(atoms))
        return [_sorted(image, back) for image in images]

    def _write(
        self,
        atoms: Atoms,
        folder: Path,
        more: Mapping[str, Any],
        *,
        mesh: Sequence[int] | None = None,
    ) -> None:
        """Write the inputs of one run, with ``more`` in its INCAR."""
        whole = enclosed(atoms, gap=VACUUM)
        whole.set_constraint(atoms.constraints)
        moments = atoms.get_initial_magnetic_moments()
        if self.magnetic_moments:
            moments = np.array([self.magnetic_moments.get(a.symbol, 0.0) for a in atoms])
        incar = vasp_files.static(
            whole, cutoff=self.cutoff, width=self.width, xc=self.xc, moments=moments
        )
        vasp_files.write_inputs(
            whole,
            folder,
            incar={**incar, **more, **self.settings},
            mesh=mesh or k_points(atoms, self.kpoint_density),
            datasets={**vasp_files.recommended_datasets(), **self.datasets},
        )


class VaspCalculator(Calculator):
    """VASP for ASE's optimizers: one start of the program for every structure."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012  (ase's)

    def __init__(self, engine: Vasp, folder: Path, mesh: Sequence[int]) -> None:
        Calculator.__init__(self)
        self.engine, self.folder, self.mesh = engine, folder, mesh

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Energy [eV], forces (n, 3) [eV/Å] and stress (6,) [eV/Å³] of a structure."""
        Calculator.calculate(self, atoms, properties, system_changes)
        bare: Any = self.atoms
        bare.set_constraint()
        self.engine._write(bare, self.folder, {}, mesh=self.mesh)
        self.results = dict(self.engine.run(bare, self.folder)[-1].calc.results)
        # ASE's optimizers follow forces, which are the slopes of the free energy.
        self.results["energy"] = self.results.get("free_energy", self.results["energy"])


def electronic_steps(path: Path) -> int:
    """Steps that the electrons took in the last calculation of a vasprun.xml."""
    last = path.read_text(encoding="utf-8", errors="replace").rpartition("<calculation>")[2]
    return last.count("<scstep>")


def _images(path: Path) -> list[Atoms]:
    """The structures of a vasprun.xml with their results."""
    try:
        return list(read(path, index=":"))
    except Exception as error:  # a file that ends early raises anything
        raise EvaluationFailed(f"VASP: {path.name} cannot be read ({error})") from error


def _sorted(image: Atoms, back: NDArray[np.intp]) -> Atoms:
    """A structure of vasprun.xml with its results in another order."""
    found = image[back]
    found.calc = image.calc
    found.calc.results = {**image.calc.results, "forces": image.calc.results["forces"][back]}
    return found


def _relaxed(atoms: Atoms, images: list[Atoms], *, fmax: float) -> Relaxation:
    """What VASP's own relaxation came to."""
    whole, last = enclosed(atoms, gap=VACUUM), images[-1]
    results = last.calc.results
    moved = last.get_scaled_positions(wrap=False) - whole.get_scaled_positions(wrap=False)
    moved -= np.round(moved)  # VASP wraps atoms into its cell
    found = atoms.copy()
    found.positions += moved @ whole.cell.array
    mobile = results["forces"][~frozen_mask(atoms)]
    force = float(np.linalg.norm(mobile, axis=1).max(initial=0.0))
    energy = float(results.get("free_energy", results["energy"]))
    return Relaxation(found, energy, force <= fmax, len(images), force)
