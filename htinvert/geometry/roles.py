"""A role for every atom: free, relaxing host, frozen, or part of a grain that moves as one body.

Two records say it, and everything else is derived from them: the tag says what a search may
exchange (see :mod:`htinvert.core`), the constraints say how an atom may move, ``FixAtoms`` for
frozen ones and :class:`RigidBody` for a grain that only translates. A grain lets a boundary find
its own shift and gap while the grain stays bulk; it does not rotate, for a cell that is periodic in
the plane of the boundary allows no rotation. A role in words is ``free``, ``host``, ``frozen`` or
``rigid1-xyz``: the body's number and the directions in which it may move.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms, FixCartesian, FixScaled
from ase.constraints.constraint import IndexedConstraint
from ase.io.cif import parse_cif
from numpy.typing import NDArray

from htinvert.core import DIRECTIONS, HOST_TAG, REGION_TAG, UserError

FREE, HOST, FROZEN = "free", "host", "frozen"
MOST_BODIES = 30  # its number and directions share a byte, and LAMMPS knows 32 groups
HELD = "held"  # of a structure's info: its constraints are its file's, not a search's
COLUMN = "role"  # of extended XYZ
CIF_ITEM = "_atom_site_htinvert_role"
_RIGID = re.compile(r"rigid([1-9]\d?)-(x?y?z?)")
_POSCAR_ROLE = re.compile(r"(?:[ \t]+[TF]){3}[ \t]+(free|host|frozen|rigid\d+-[xyz]+)[ \t]*$", re.M)


class RigidBody(IndexedConstraint):
    """Atoms that move together: each by the mean move, each under the mean force.

    ``move`` names the Cartesian directions that are allowed, such as ``xyz``, ``xy`` (in the plane)
    or ``z`` (the gap only). The sum of the members' forces is the force on the body. It follows its
    atoms through copies, slices, repetitions and pickles. ASE's own trajectories and databases hold
    a body as frozen: ASE restores no constraints but its own, and fails on others.
    """

    def __init__(self, indices: Any, move: str = "xyz") -> None:
        IndexedConstraint.__init__(self, indices)
        if move not in DIRECTIONS:
            raise UserError(
                f"a rigid body cannot move along {move!r}; choose one of {', '.join(DIRECTIONS)}"
            )
        self.move = move

    @property
    def allowed(self) -> NDArray[np.bool_]:
        """Along which of x, y and z the body may move, shape (3,)."""
        return np.array([axis in self.move for axis in "xyz"])

    def get_removed_dof(self, atoms: Atoms) -> int:  # noqa: ARG002  (ase's signature)
        """How many of the members' degrees of freedom are gone."""
        return 3 * len(self.index) - len(self.move)

    def adjust_positions(self, atoms: Atoms, new: NDArray[np.float64]) -> None:
        """Give every member the mean of their moves, in place; positions (n, 3) [Å]."""
        old = atoms.positions[self.index]
        new[self.index] = old + (new[self.index] - old).mean(axis=0) * self.allowed

    def adjust_forces(self, atoms: Atoms, forces: NDArray[np.float64]) -> None:  # noqa: ARG002
        """Give every member the mean of their forces, in place; forces (n, 3) [eV/Å]."""
        forces[self.index] = forces[self.index].mean(axis=0) * self.allowed

    def adjust_momenta(self, atoms: Atoms, momenta: NDArray[np.float64]) -> None:
        """Give every member the velocity of the center of mass, in place."""
        masses = atoms.get_masses()[self.index]
        velocity = momenta[self.index].sum(axis=0) / masses.sum() * self.allowed
        momenta[self.index] = masses[:, None] * velocity

    def copy(self) -> RigidBody:
        """The same body once more."""
        return RigidBody(self.index.copy(), self.move)

    def todict(self) -> dict[str, Any]:
        """What ASE's own formats write: the nearest of ASE's constraints, frozen atoms."""
        return {"name": "FixAtoms", "kwargs": {"indices": self.index.tolist()}}

    def __repr__(self) -> str:
        return f"RigidBody(indices={self.index.tolist()}, move={self.move!r})"


def region_mask(atoms: Atoms) -> NDArray[np.bool_]:
    """Which atoms a search may exchange, shape (n,)."""
    return np.asarray(atoms.get_tags() == REGION_TAG)


def frozen_mask(atoms: Atoms) -> NDArray[np.bool_]:
    """Which atoms no relaxation may move, shape (n,)."""
    mask = np.zeros(len(atoms), dtype=bool)
    for constraint in atoms.constraints:
        if isinstance(constraint, FixAtoms):
            mask[constraint.index] = True
    return mask


def rigid_bodies(atoms: Atoms) -> list[RigidBody]:
    """The bodies of a structure, in the order of their numbers."""
    return [constraint for constraint in atoms.constraints if isinstance(constraint, RigidBody)]


def rigid_mask(atoms: Atoms) -> NDArray[np.bool_]:
    """Which atoms belong to a rigid body, shape (n,)."""
    mask = np.zeros(len(atoms), dtype=bool)
    for body in rigid_bodies(atoms):
        mask[body.index] = True
    return mask


def motion(atoms: Atoms) -> NDArray[np.uint8]:
    """How each atom may move, one byte each, shape (n,): 0 freely, 1 not at all, else its body.

    A body is 8 times its number, counted from 1, plus 1, 2 and 4 for the directions x, y and z.
    Raises :class:`UserError` for constraints that a byte cannot hold.
    """
    codes = frozen_mask(atoms).astype(np.uint8)
    for constraint in atoms.constraints:
        if not isinstance(constraint, FixAtoms | RigidBody):
            name = type(constraint).__name__
            raise UserError(
                f"the structure has a {name} constraint but a run keeps only FixAtoms and "
                "RigidBody; hold atoms with FixAtoms or remove the constraint"
            )
    bodies = rigid_bodies(atoms)
    if len(bodies) > MOST_BODIES:
        raise UserError(
            f"the structure has {len(bodies)} rigid bodies but at most {MOST_BODIES} can be kept; "
            "join or freeze some"
        )
    for number, body in enumerate(bodies, 1):
        if codes[body.index].any():
            raise UserError(
                f"atom {body.index[codes[body.index] > 0][0]} is in rigid body {number} and also "
                "frozen or in another body; give each atom one role"
            )
        codes[body.index] = 8 * number + int(body.allowed @ [1, 2, 4])
    return codes


def set_motion(atoms: Atoms, codes: NDArray[Any]) -> None:
    """Constrain a structure, in place, as :func:`motion` of another one says, shape (n,)."""
    constraints: list[Any] = []
    if (codes == 1).any():
        constraints.append(FixAtoms(mask=codes == 1))
    for code in sorted(set(codes[codes > 1].tolist())):
        move = "".join(axis for bit, axis in enumerate("xyz") if code >> bit & 1)
        constraints.append(RigidBody(np.flatnonzero(codes == code), move))
    atoms.set_constraint(constraints)


def roles(atoms: Atoms) -> list[str]:
    """The role of each atom in words; an atom that is held is never free. Raises as motion does."""
    words = np.where(region_mask(atoms), FREE, HOST).astype(object)
    words[frozen_mask(atoms)] = FROZEN
    motion(atoms)  # refuses what words cannot say
    for number, body in enumerate(rigid_bodies(atoms), 1):
        words[body.index] = f"rigid{number}-{body.move}"
    return [str(word) for word in words]


def set_roles(atoms: Atoms, words: Sequence[str]) -> None:
    """Tag and constrain a structure, in place, by the role of each atom in words.

    Raises :class:`UserError` for an unknown word, and where words and atoms differ in number.
    """
    if len(words) != len(atoms):
        raise UserError(f"{len(words)} roles are given for {len(atoms)} atoms; give each atom one")
    plain = {FREE: 0, HOST: 0, FROZEN: 1}
    codes = np.zeros(len(atoms), dtype=np.uint8)
    for word in sorted(set(words)):
        rigid = _RIGID.fullmatch(word)
        if word not in plain and not (rigid and rigid[2] and int(rigid[1]) <= MOST_BODIES):
            raise UserError(
                f"role {word} is unknown; write {FREE}, {HOST}, {FROZEN} or, for the atoms of "
                "grain 1 that moves as a whole along x, y and z, rigid1-xyz"
            )
        code = plain[word] if rigid is None else 8 * int(rigid[1]) + _bits(rigid[2])
        if rigid and (codes // 8 == int(rigid[1])).any():
            raise UserError(
                f"role {word} contradicts another of rigid{rigid[1]}; one grain has one set of "
                "directions, so give them the same or number the grains"
            )
        codes[[other == word for other in words]] = code
    atoms.set_tags([REGION_TAG if word == FREE else HOST_TAG for word in words])
    set_motion(atoms, codes)


def _bits(move: str) -> int:
    return sum(1 << "xyz".index(axis) for axis in move)


def has_roles(atoms: Atoms) -> bool:
    """True where a structure tells its atoms apart: some are free, or some are held."""
    return bool(region_mask(atoms).any() or atoms.constraints)


def restore_roles(atoms: Atoms, path: Path) -> Atoms:
    """The bare structure of a file, with the roles that ``structures.write`` wrote beside it.

    ``atoms`` is what was read from ``path``. Without roles in the file all atoms are host, and what
    the file holds, as by selective dynamics, stays held. Where no atom is free or rigid, frozen
    ones are marked as held by the file, which no region frees. A column ``role`` none of whose
    entries is a role is another program's. Raises :class:`UserError` where only some are, or only
    some atoms have one.
    """
    bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    words = _column(atoms) if COLUMN in atoms.arrays else _words(path)
    if not words:
        if atoms.constraints:
            bare.set_constraint([_whole(constraint) for constraint in atoms.constraints])
            bare.info[HELD] = True
        return bare
    try:
        set_roles(bare, words)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if set(words) <= {HOST, FROZEN}:
        bare.info[HELD] = True
    return bare


def _whole(constraint: Any) -> Any:
    """A constraint that lets its atoms move in no direction as the one that says so."""
    mask = getattr(constraint, "mask", None)
    if isinstance(constraint, FixCartesian | FixScaled) and mask is not None and np.all(mask):
        return FixAtoms(constraint.index)
    return constraint


def _column(atoms: Atoms) -> list[str]:
    """Roles in the column of that name, none where it is another program's."""
    entries = atoms.arrays[COLUMN].tolist()
    return entries if any(_is_role(entry) for entry in entries) else []


def _is_role(entry: Any) -> bool:
    """Whether an entry of a file has the form of a role in words."""
    plain = isinstance(entry, str) and entry in (FREE, HOST, FROZEN)
    return plain or (isinstance(entry, str) and _RIGID.fullmatch(entry) is not None)


def _words(path: Path) -> list[str]:
    """Roles in the loop of a CIF or at the ends of a POSCAR's lines, none where there are none."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if CIF_ITEM not in text.lower():
        return _POSCAR_ROLE.findall(text)
    blocks = parse_cif(io.BytesIO(text.encode("latin-1", errors="replace")))
    words: Sequence[Any] = next((block.get(CIF_ITEM) for block in blocks if CIF_ITEM in block), [])
    return [str(word) for word in words]
