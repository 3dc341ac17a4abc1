"""Slabs: a crystal cut parallel to a lattice plane, with the termination chosen from a list.

The crystal is taken as a stack of atomic planes that repeats after the spacing of its primitive
lattice along the normal, one *layer*. Planes, cuts and the operations that exchange them follow
from the lattice by integers, so that neither rounding nor the order of atoms decides anything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms
from numpy.typing import NDArray

from htinvert.core import HOST_TAG, REGION_TAG, UserError
from htinvert.declaration.declared import Parameter
from htinvert.structures.crystal import standard_crystal
from htinvert.structures.sanity import bonds, check
from htinvert.structures.symmetry import operations

PLANE = 0.02  # Å: atoms that differ less in height form one plane
MOST_ATOMS = 100_000
MOST_INDEX = 20

Miller = tuple[int, int, int]


@dataclass(frozen=True)
class Termination:
    """One way to end a crystal: where it is cut, counted per primitive cell of the surface.

    Attributes:
        plane: composition of the outermost plane, such as ``Cu4``.
        below: composition of the plane under it.
        gap: height [Å] between the outermost plane and the one that was taken away.
        broken: number of nearest-neighbor bonds that the cut breaks.
        area: of the primitive cell of the surface [Å²].
        symmetric: whether a slab of whole layers has this termination on both faces.
        can_be_symmetric: whether a slab with planes left out at the bottom has.
    """

    plane: str
    below: str
    gap: float
    broken: int
    area: float
    symmetric: bool
    can_be_symmetric: bool

    def __str__(self) -> str:
        """Say it in one sentence."""
        faces = (
            "whole layers have equal faces"
            if self.symmetric
            else "equal faces need planes left out"
            if self.can_be_symmetric
            else "the faces cannot be equal"
        )
        bonds_cut = "1 bond" if self.broken == 1 else f"{self.broken} bonds"
        return (
            f"outermost {self.plane} over {self.below}, cut in a gap of {self.gap:.2f} Å, breaks "
            f"{bonds_cut} per {self.area:.1f} Å²; {faces}"
        )


def terminations(phase: Atoms, *, miller: Miller) -> list[Termination]:
    """All inequivalent terminations of the surface with these Miller indices.

    Those that break the fewest bonds come first; of these the ones whose faces are equal at the
    crystal's composition, which have no dipole (types 1 and 2 of Tasker, J. Phys. C 12, 4977
    (1979)), then the widest gaps. Faces that are one another's mirror image are one termination;
    faces that only turning the crystal over exchanges are two. Miller indices refer to the
    conventional cell of the International Tables (see :mod:`htinvert.structures.crystal`).

    Raises :class:`UserError` where the indices are none.
    """
    return [termination for _, termination in _Stack.of(phase, miller).terminations()]


def slab(
    phase: Atoms,
    *,
    miller: Miller,
    layers: Annotated[int | None, Parameter("1")] = None,
    thickness: Annotated[float | None, Parameter("Å")] = None,
    termination: Annotated[int, Parameter("1")] = 0,
    symmetric: bool = False,
    vacuum: Annotated[float, Parameter("Å")] = 15.0,
    fixed: Annotated[int, Parameter("1")] = 0,
    repeat: tuple[int, int] = (1, 1),
) -> Atoms:
    """Cut a slab: a along x, the normal along z, centered in the cell, right-handed.

    A layer is the stack of planes after which the crystal repeats, an atomic plane in fcc (111), a
    trilayer in rutile (110) and Cu2O (111). Whole layers keep the composition of the crystal.

    Args:
        phase: the crystal, in any of its cells.
        miller: Miller indices of the surface in the conventional cell.
        layers: number of layers; give this or ``thickness``.
        thickness: least thickness [Å], rounded up to whole layers.
        termination: index into what `terminations` lists.
        symmetric: leave out planes at the bottom until both faces are equal.
        vacuum: empty height between a slab and its periodic image [Å].
        fixed: number of bottom layers that are frozen (tag 0, ``FixAtoms``); all else has tag 1.
        repeat: multiples of the primitive surface cell along its two vectors.

    Raises :class:`UserError` for indices that are none, a termination that there is not or that
    cannot be symmetric, and sizes that make no slab or more than 100 000 atoms.
    """
    stack = _Stack.of(phase, miller)
    choices = stack.terminations()
    if not 0 <= termination < len(choices):
        raise UserError(
            f"termination {termination} does not exist; the surface {_text(miller)} has "
            f"{len(choices)}: " + "; ".join(f"{i}: {t.plane}" for i, (_, t) in enumerate(choices))
        )
    layers = _layers(layers, thickness, stack.spacing)
    _check(layers, len(stack.atoms), fixed=fixed, vacuum=vacuum, repeat=repeat)
    top, _ = choices[termination]
    left_out = stack.left_out(top) if symmetric else 0
    if left_out is None:
        raise UserError(
            f"termination {termination} of {_text(miller)} has no operation that exchanges its two "
            "faces; choose another termination or leave symmetric out"
        )
    count = len(stack.planes)
    atoms = stack.cut(top, layers * count - left_out, vacuum)
    frozen = atoms.arrays.pop("plane") < fixed * count - left_out
    atoms.set_tags(np.where(frozen, HOST_TAG, REGION_TAG))
    if fixed:
        atoms.set_constraint(FixAtoms(np.flatnonzero(frozen)))
    atoms = atoms.repeat((*repeat, 1))
    atoms.info["explanation"] = [
        *phase.info.get("explanation", ()),
        *check(phase),
        *(f"termination {i}: {end}" for i, (_, end) in enumerate(choices)),
        f"termination {termination} is built",
    ]
    return atoms


def _check(layers: int, atoms: int, *, fixed: int, vacuum: float, repeat: tuple[int, int]) -> None:
    """Refuse sizes that make no slab, of this many layers and atoms each."""
    if not 0 <= fixed < layers:
        raise UserError(f"fixed is {fixed} of {layers} layers; leave at least one free")
    if not 0.0 < vacuum < math.inf:
        raise UserError(f"vacuum is {vacuum} Å; give a positive height")
    if min(repeat) < 1:
        raise UserError(f"repeat is {list(repeat)}; give two numbers of at least 1")
    count = layers * atoms * math.prod(repeat)
    if count > MOST_ATOMS:
        raise UserError(
            f"the slab would have {count} atoms, more than {MOST_ATOMS}; lower layers or repeat"
        )


def _layers(layers: int | None, thickness: float | None, spacing: float) -> int:
    if (layers is None) == (thickness is None):
        raise UserError("a slab needs layers or thickness [Å], one of them; give one")
    if layers is None:
        layers = math.ceil(float(thickness or 0.0) / spacing - 1e-6)
    if layers < 1:
        raise UserError(f"a slab of {thickness or layers} has no layers; give a positive number")
    return layers


def _text(miller: Miller) -> str:
    return f"({' '.join(str(index) for index in miller)})"


@dataclass(frozen=True, eq=False)
class _Stack:
    """A crystal as planes along z that repeat after ``spacing`` [Å].

    ``atoms`` is one primitive cell with a along x, b in the xy plane and heights within a spacing
    of the lowest plane; ``planes`` are the indices of the atoms of each plane, lowest first.
    """

    atoms: Atoms
    planes: tuple[NDArray[np.int64], ...]

    @classmethod
    def of(cls, phase: Atoms, miller: Miller) -> _Stack:
        if not any(miller) or max(abs(index) for index in miller) > MOST_INDEX:
            raise UserError(
                f"Miller indices {_text(miller)} name no plane that can be cut; "
                f"give three integers, not all 0, up to {MOST_INDEX}"
            )
        crystal = standard_crystal(phase)
        # Plane indices of the primitive lattice: centering makes halves and thirds of them.
        index = np.rint(6 * crystal.lattice @ np.array(miller)).astype(np.int64)
        vectors = _surface_basis(index // np.gcd.reduce(index)) @ crystal.lattice @ crystal.cell
        basis, turned = _aligned(vectors)
        atoms = Atoms(
            crystal.numbers, (crystal.fractions @ crystal.cell) @ turned, cell=basis, pbc=True
        )
        spacing = basis[2, 2]
        height = (atoms.positions[:, 2] + PLANE) % spacing - PLANE
        order = np.argsort(height, kind="stable")
        gaps = np.diff(np.append(height[order], height[order[0]] + spacing))
        start = int(gaps.argmax()) + 1  # no plane spans the widest gap
        order, gaps = np.roll(order, -start), np.roll(gaps, -start)
        planes = np.split(order, np.flatnonzero(gaps[:-1] > PLANE) + 1)
        lowest = height[order[0]] - PLANE
        rises = np.floor((atoms.positions[:, 2] - lowest) / spacing)
        atoms.positions -= rises[:, None] * basis[2]
        return cls(atoms, tuple(planes))

    @property
    def spacing(self) -> float:
        return float(self.atoms.cell[2, 2])

    @property
    def heights(self) -> NDArray[np.float64]:
        """Height of each plane [Å], ascending."""
        return np.array([self.atoms.positions[plane, 2].mean() for plane in self.planes])

    @property
    def gaps(self) -> NDArray[np.float64]:
        """Height from each plane to the next [Å]."""
        return np.diff(np.append(self.heights, self.heights[0] + self.spacing))

    def terminations(self) -> list[tuple[int, Termination]]:
        """Index of the outermost plane and description, inequivalent ones, best first."""
        broken, (kept, flipped) = self._broken(), self._exchanges()
        names = [self.atoms[plane].get_chemical_formula(mode="metal") for plane in self.planes]
        area = abs(self.atoms.cell[0, 0] * self.atoms.cell[1, 1])
        gaps = np.round(self.gaps, 3)
        order = sorted(
            range(len(names)),
            key=lambda p: (broken[p], not flipped[p, p], -gaps[p], names[p], names[p - 1], p),
        )
        found: list[tuple[int, Termination]] = []
        for p in order:
            if any(kept[p, q] for q, _ in found):
                continue
            made = Termination(
                names[p],
                names[p - 1],
                float(self.gaps[p]),
                int(broken[p]),
                float(area),
                bool(flipped[p, p]),
                bool(flipped[p].any()),
            )
            found.append((p, made))
        return found

    def left_out(self, top: int) -> int | None:
        """Fewest planes to leave out at the bottom for equal faces; None where none will do."""
        partners = np.flatnonzero(self._exchanges()[1][top])
        return min(((int(q) - top) % len(self.planes) for q in partners), default=None)

    def cut(self, top: int, count: int, vacuum: float) -> Atoms:
        """The uppermost ``count`` planes up to plane ``top``, lowest first, in their own cell."""
        basis = self.atoms.cell.array
        numbers, positions, labels = [], [], []
        for label in range(count):
            level, plane = divmod(top - count + 1 + label, len(self.planes))
            points = self.atoms.positions[self.planes[plane]] + level * basis[2]
            inplane = np.linalg.solve(basis[:2, :2].T, points[:, :2].T).T
            inplane = (inplane + 1e-5) % 1.0 - 1e-5
            kinds = self.atoms.numbers[self.planes[plane]]
            order = np.lexsort((*np.round(inplane.T[::-1], 4), kinds))
            points[:, :2] = inplane @ basis[:2, :2]
            numbers.append(kinds[order])
            positions.append(points[order])
            labels.append(np.full(len(order), label))
        stacked = np.vstack(positions)
        stacked[:, 2] += vacuum / 2 - stacked[:, 2].min()
        cell = basis.copy()
        cell[2] = 0.0, 0.0, stacked[:, 2].max() + vacuum / 2
        atoms = Atoms(np.concatenate(numbers), stacked, cell=cell, pbc=True)
        atoms.set_array("plane", np.concatenate(labels))
        return atoms

    def _broken(self) -> NDArray[np.int64]:
        """How many bonds go through the gap above each plane, shape (p,)."""
        first, _, vectors = bonds(self.atoms)
        rising = vectors[:, 2] > PLANE / 2
        start = self.atoms.positions[first[rising], 2][:, None]
        end = start + vectors[rising, 2][:, None]
        cuts = self.heights + self.gaps / 2
        crossed = np.floor((end - cuts) / self.spacing) - np.floor((start - cuts) / self.spacing)
        return np.asarray(crossed.sum(axis=0), dtype=np.int64)

    def _exchanges(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which gaps the crystal's operations map onto which, kept upright and turned upside down.

        Both of shape (p, p): entry (p, q) tells whether gap p is mapped onto gap q.
        """
        rotations, shifts = operations(self.atoms)
        cuts = (self.heights + self.gaps / 2) / self.spacing
        found = []
        for sign in (1, -1):
            along = (rotations[:, 2] == (0, 0, sign)).all(axis=1)
            images = sign * cuts[:, None] + shifts[along, 2]
            offset = images[:, None, :] - cuts[:, None]
            miss = np.abs(offset - np.round(offset)) * self.spacing
            found.append((miss < PLANE / 2).any(axis=2))
        return found[0], found[1]


def _surface_basis(index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Two lattice vectors in the plane and one on the next, rows, in units of the lattice's own.

    Euclid's algorithm on the plane's indices, which leaves their products 0, 0 and 1.
    """
    basis, left = np.eye(3, dtype=np.int64), index.copy()
    while np.count_nonzero(left) > 1:
        some = np.flatnonzero(left)
        small = some[np.abs(left[some]).argmin()]
        for other in some[some != small]:
            factor = left[other] // left[small]
            left[other] -= factor * left[small]
            basis[other] -= factor * basis[small]
    last = int(np.flatnonzero(left)[0])
    rise = basis[last] * left[last]
    return np.vstack([np.delete(basis, last, axis=0), rise])


def _aligned(
    vectors: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shortest vectors in the plane at 90 to 120 degrees, turned: a to x, the normal to z.

    Returns the cell, rows [Å], and the matrix that turns positions (from the right).
    """
    a, b, rise = vectors
    while True:  # Gauss' reduction
        if a @ a > b @ b * (1 + 1e-9):
            a, b = b, a
        steps = round(float(a @ b / (a @ a)) - 1e-9)
        if not steps:
            break
        b = b - steps * a
    if a @ b > 1e-6:
        b = -b
    if np.linalg.det([a, b, rise]) < 0:
        a, b = (a, -b) if abs(a @ b) < 1e-6 else (b, a)
    x = a / np.linalg.norm(a)
    z = np.cross(a, b) / np.linalg.norm(np.cross(a, b))
    turn = np.stack([x, np.cross(z, x), z], axis=1)
    cell = np.stack([a, b, rise]) @ turn
    cell[np.abs(cell) < 1e-12] = 0.0
    return cell, turn
