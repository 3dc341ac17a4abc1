"""ABINIT: density functional theory with plane waves, from one package of the distribution.

Gonze et al., Comput. Phys. Commun. 248, 107042 (2020). Debian's abinit-data brings the norm-
conserving pseudopotentials of Hartwigsen, Goedecker and Hutter, Phys. Rev. B 58, 3641 (1998), of
most elements, made for LDA.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from ase import Atoms
from ase.calculators.abinit import Abinit as AseAbinit
from ase.calculators.abinit import AbinitProfile
from pydantic import PositiveFloat

from htinvert.declaration.declared import Parameter
from htinvert.energy.accuracy import DFT, Accuracy
from htinvert.energy.descent import check_optimizer
from htinvert.energy.plane_waves import PlaneWaves
from htinvert.energy.program import check_program, k_points

DEBIAN = Path("/usr/share/abinit/psp/PseudosHGH_pwteter")


@dataclass(frozen=True)
class Abinit(PlaneWaves):
    """Relax with ABINIT, without spin; constraints are honored, the cell is fixed.

    Attributes:
        pseudopotentials: folder with one file an element, norm-conserving (.hgh, .psp8, .fhi,
            .pspnc) or PAW (.xml).
        files: name of the file for elements of which the folder has several.
        command: how ABINIT is started; the input's name is added.
        cutoff: kinetic energy up to which plane waves are taken [eV]; for PAW twice that inside.
        kpoint_density: points of the Brillouin zone per 1/Å, times 2 pi; Gamma is among them.
        xc: exchange-correlation functional, ``LDA`` or ``PBE``: that of the pseudopotentials.
        width: of the Fermi-Dirac distribution [eV].
        fmax: the relaxation ends when no atom and no rigid body feels a larger force [eV/Å].
        steps: the relaxation ends after this many steps.
        optimizer: ``lbfgs`` or ``fire``.
    """

    sources: ClassVar[tuple[str, ...]] = (
        "X. Gonze et al., The ABINIT project, Comput. Phys. Commun. 248, 107042 (2020), "
        "doi:10.1016/j.cpc.2019.107042.",
    )
    names_code: ClassVar = ("command",)
    accuracy: ClassVar[Accuracy] = DFT

    pseudopotentials: Path = DEBIAN
    files: Mapping[str, str] = field(default_factory=dict)
    command: str = "abinit"
    cutoff: Annotated[PositiveFloat, Parameter("eV")] = 500.0
    kpoint_density: Annotated[PositiveFloat, Parameter("Å")] = 3.5
    xc: Literal["LDA", "PBE"] = "LDA"
    width: Annotated[PositiveFloat, Parameter("eV")] = 0.05
    fmax: Annotated[float, Parameter("eV/Å", 0.0)] = 0.05
    steps: Annotated[int, Parameter("1", 0)] = 100
    optimizer: str = "lbfgs"

    name = "ABINIT"
    endings = (".hgh", ".pspnc", ".fhi", ".psp8", ".xml")
    version = ("--version", r"(\d[\w.]+)")

    def __post_init__(self) -> None:
        check_optimizer(self.optimizer)
        check_program(self.name, self.command, "`apt-get install abinit abinit-data`")

    def calculator(self, atoms: Atoms, folder: Path) -> Any:
        """ASE's calculator for a structure, working in a folder."""
        chosen = self._chosen(set(atoms.get_chemical_symbols()))
        paw = any(path.suffix == ".xml" for path in chosen.values())
        for symbol, path in chosen.items():  # under the names that ASE looks for
            kind = f"{'LDA' if self.xc == 'LDA' else 'GGA'}.xml" if paw else "psp8"
            (folder / f"{symbol}.{kind}").symlink_to(path.resolve())
        return AseAbinit(
            profile=AbinitProfile(self.command, pp_paths=[str(folder)]),
            directory=folder,
            pps="pawxml" if paw else "psp8",
            xc=self.xc,
            ecut=self.cutoff,
            **({"pawecutdg": 2 * self.cutoff} if paw else {}),
            kptopt=1,
            ngkpt=list(k_points(atoms, self.kpoint_density)),
            nshiftk=1,
            shiftk=[0.0, 0.0, 0.0],
            occopt=3,  # Fermi-Dirac
            tsmear=self.width,
            tolvrs=1e-10,  # residual of the potential: forces vanish by symmetry in crystals
            nstep=100,
            chksymbreak=0,  # a mesh need not have all symmetries of the crystal
            chksymtnons=0,
            prtwf=0,
            prtden=0,
        )
