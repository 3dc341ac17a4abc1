"""What every builder of structures must keep: plain atoms with a cell, the same each time.

Each check takes ``build``, a function without arguments that makes the structure:
``partial(prototype, formula="CdTe", crystal="zincblende", a=6.48)``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms
from ase.neighborlist import neighbor_list

from htinvert.core import HOST_TAG, REGION_TAG
from htinvert.geometry.roles import RigidBody, roles
from htinvert.structures.file import from_file
from htinvert.structures.write import write_structure
from htinvert.testing.conformance import require, same_atoms

Build = Callable[[], Atoms]
Check = Callable[[Build], None]

_CLOSEST = 0.5  # Å: no two atoms of a solid or a molecule are nearer


def check_structure(build: Build) -> None:
    """Run all of the checks. Raises :class:`~htinvert.testing.conformance.NotConforming`."""
    for check in CHECKS:
        check(build)


def check_atoms(build: Build) -> None:
    """It is atoms with finite positions, none upon another, and a cell along what is periodic."""
    atoms = build()
    require(isinstance(atoms, Atoms), f"it is a {type(atoms).__name__}, no ase.Atoms")
    require(bool(np.isfinite(atoms.positions).all()), "it has positions that are no numbers")
    require(bool((atoms.numbers > 0).all()), "it has atoms of no element")
    lengths = atoms.cell.lengths()
    flat = [axis for axis in range(3) if atoms.pbc[axis] and lengths[axis] < 1e-3]
    require(not flat, f"it is periodic along {flat} but has no cell vector there")
    if atoms.pbc.all():
        require(abs(atoms.cell.volume) > 1e-3, "its cell vectors lie in a plane")
    require(atoms.calc is None, "it carries a calculator; return a copy without")


def check_distances(build: Build) -> None:
    """No two atoms lie upon each other, images included."""
    atoms = build()
    closest = neighbor_list("d", atoms, _CLOSEST) if len(atoms) else ()
    require(len(closest) == 0, f"two atoms are {min(closest, default=0.0):.2g} Å apart")


def check_repeats(build: Build) -> None:
    """Built twice it is the same, and what is done to one is not done to the other."""
    first, second = build(), build()
    require(same_atoms(first, second), "built twice, it is another structure; give it a seed")
    if len(first):
        first.positions += 1.0
        require(not same_atoms(first, second), "it returns the same object twice; return a copy")


def check_roles(build: Build) -> None:
    """Tags are those of region and host, constraints those that a campaign knows."""
    atoms = build()
    tags = set(atoms.get_tags()) - {REGION_TAG, HOST_TAG}
    known = f"{REGION_TAG} for atoms that a search may exchange, {HOST_TAG} for all others"
    require(not tags, f"it has the tags {sorted(map(int, tags))}; use {known}")
    known_ones = FixAtoms | RigidBody
    strange = [type(c).__name__ for c in atoms.constraints if not isinstance(c, known_ones)]
    require(not strange, f"it has constraints {strange}; hold atoms by FixAtoms or RigidBody")


def check_file(build: Build) -> None:
    """Written and read again it has the same atoms and roles."""
    atoms = build()
    if not len(atoms):
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "structure.extxyz"
        write_structure(path, atoms)
        again = from_file(path)
    kept = np.array_equal(again.numbers, atoms.numbers) and np.array_equal(again.pbc, atoms.pbc)
    near = kept and np.allclose(again.positions, atoms.positions, atol=1e-6)
    require(bool(near), "written to a file and read again it is another structure")
    require(list(roles(again)) == list(roles(atoms)), "written and read again it has other roles")


CHECKS: tuple[Check, ...] = (check_atoms, check_distances, check_repeats, check_roles, check_file)
