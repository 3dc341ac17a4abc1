"""Quantum ESPRESSO: density functional theory with plane waves, for those who have its UPF files.

Giannozzi et al., J. Phys.: Condens. Matter 29, 465901 (2017).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from ase import Atoms
from ase.calculators.espresso import Espresso as AseEspresso
from ase.calculators.espresso import EspressoProfile
from ase.units import Ry
from pydantic import PositiveFloat

from htinvert.core import UserError
from htinvert.declaration.declared import Parameter
from htinvert.energy.accuracy import DFT, Accuracy
from htinvert.energy.descent import VACUUM, check_optimizer, enclosed
from htinvert.energy.plane_waves import PlaneWaves
from htinvert.energy.program import check_program, k_points


class PwCalculator(AseEspresso):
    """ASE's calculator, which warns of every constraint that pw.x does not have: it sees none."""

    def calculate(self, atoms: Atoms, properties: Any, system_changes: Any) -> None:
        """Run pw.x for a structure as it stands; constraints are the optimizer's business."""
        bare = atoms.copy()
        bare.set_constraint()
        super().calculate(bare, properties, system_changes)  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Espresso(PlaneWaves):
    """Relax with pw.x, without spin; constraints are honored, the cell is fixed.

    Attributes:
        pseudopotentials: folder with one UPF file an element.
        files: name of the file for elements of which the folder has several.
        command: how pw.x is started; ``-in`` and the input's name are added.
        cutoff: kinetic energy up to which plane waves are taken [eV].
        density_cutoff: the same for the density [eV]; 4 times ``cutoff`` unless given: right for
            norm-conserving files, ultrasoft and PAW ones need 8 to 12 times.
        kpoint_density: points of the Brillouin zone per 1/Å, times 2 pi; Gamma is among them.
        xc: exchange-correlation functional, ``PBE`` or ``LDA``: that of the pseudopotentials.
        width: of the Fermi-Dirac distribution [eV].
        fmax: the relaxation ends when no atom and no rigid body feels a larger force [eV/Å].
        steps: the relaxation ends after this many steps.
        optimizer: ``lbfgs`` or ``fire``.
    """

    sources: ClassVar[tuple[str, ...]] = (
        "P. Giannozzi et al., Quantum ESPRESSO, J. Phys.: Condens. Matter 29, 465901 (2017), "
        "doi:10.1088/1361-648X/aa8f79.",
    )
    names_code: ClassVar = ("command",)
    accuracy: ClassVar[Accuracy] = DFT

    pseudopotentials: Path
    files: Mapping[str, str] = field(default_factory=dict)
    command: str = "pw.x"
    cutoff: Annotated[PositiveFloat, Parameter("eV")] = 600.0
    density_cutoff: Annotated[PositiveFloat, Parameter("eV")] | None = None
    kpoint_density: Annotated[PositiveFloat, Parameter("Å")] = 3.5
    xc: Literal["PBE", "LDA"] = "PBE"
    width: Annotated[PositiveFloat, Parameter("eV")] = 0.05
    fmax: Annotated[float, Parameter("eV/Å", 0.0)] = 0.05
    steps: Annotated[int, Parameter("1", 0)] = 100
    optimizer: str = "lbfgs"

    name = "Quantum ESPRESSO"
    endings = (".upf",)
    version = ("", r"PWSCF\s+v\.(\S+)")

    def __post_init__(self) -> None:
        check_optimizer(self.optimizer)
        if not self.pseudopotentials.is_dir():
            raise UserError(
                f"Quantum ESPRESSO: there is no folder {self.pseudopotentials}; it comes without "
                "pseudopotentials: put UPF files into a folder and give that"
            )
        check_program(self.name, self.command, "`apt-get install quantum-espresso`")

    def write_inputs(self, atoms: Atoms, folder: Path) -> Path:
        """Write what would be run for a structure as it stands; the path of the input."""
        whole = enclosed(atoms, gap=VACUUM)
        self.calculator(atoms, folder).write_inputfiles(whole, ["energy", "forces", "stress"])
        return folder / "espresso.pwi"

    def calculator(self, atoms: Atoms, folder: Path) -> Any:
        """ASE's calculator for a structure, working in a folder."""
        chosen = self._chosen(set(atoms.get_chemical_symbols()))
        density_cutoff = self.density_cutoff or 4 * self.cutoff
        return PwCalculator(  # type: ignore[no-untyped-call]
            profile=EspressoProfile(self.command, self.pseudopotentials.resolve()),
            directory=folder,
            pseudopotentials={symbol: path.name for symbol, path in chosen.items()},
            kpts=k_points(atoms, self.kpoint_density),
            input_data={
                "control": {
                    "calculation": "scf",
                    "tprnfor": True,
                    "tstress": True,
                    "disk_io": "none",
                    "outdir": "./",
                },
                "system": {
                    "ecutwfc": round(self.cutoff / Ry, 4),
                    "ecutrho": round(density_cutoff / Ry, 4),
                    "occupations": "smearing",
                    "smearing": "fermi-dirac",
                    "degauss": round(self.width / Ry, 6),
                },
                "electrons": {"conv_thr": 1e-10},  # Ry; forces follow to 1e-4 eV/Å
            },
        )
