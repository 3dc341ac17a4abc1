"""Score a given set of structures instead of searching: tilts, terminations, shifts."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms

from htinvert.core import (
    HOST_TAG,
    REGION_TAG,
    Candidate,
    Evaluation,
    Exhausted,
    Infeasible,
    Objective,
    Space,
    UserError,
)
from htinvert.geometry.distances import distance_outside, nearest_image
from htinvert.geometry.heights import around_region
from htinvert.geometry.read import read_structures
from htinvert.geometry.roles import frozen_mask, motion, region_mask, restore_roles, rigid_bodies

ENDINGS = (".xyz", ".extxyz", ".cif", ".vasp", ".poscar", ".traj", ".json")

OPERATOR = "library"
ROUNDING = 1e-6  # Å: an atom at the very end of a region is in it on every machine


@dataclass
class Library:
    """Propose the structures of a folder or file one after the other, each once.

    A campaign with this generator alone ends when all are evaluated. A structure keeps the roles
    that its file gives; where it gives none, the campaign's region decides, by position. One that
    cannot be read is left out, and ``blocked`` counts why.

    Attributes:
        path: a folder of structure files, searched in depth, or a file of one or several.
    """

    space: Space
    objectives: tuple[Objective, ...]
    path: Path

    def __post_init__(self) -> None:
        self.blocked: Counter[str] = Counter()
        self._told: set[str] = set()
        files = _files(self.path)
        if self.space.region is not None and rigid_bodies(self.space.template):
            raise UserError(
                "generator library cannot make grains rigid; set region.above and region.below to "
                "frozen, or write the roles into the structures' files"
            )
        self._members = self._read(files)

    def ask(self, indices: Sequence[int]) -> list[Candidate]:
        """Propose the next structures; raises :class:`Exhausted` when there are no more."""
        found = []
        for index in indices:
            atoms = next(self._members, None)
            if atoms is None:
                break
            found.append(Candidate(index, atoms, OPERATOR, given=True))
        if indices and not found:
            raise Exhausted
        return found

    def tell(self, evaluations: Iterable[Evaluation]) -> None:
        """Remember what has been evaluated, so that a resumed campaign goes on after it."""
        candidates = (evaluation.candidate for evaluation in evaluations)
        self._told.update(_key(one.atoms) for one in candidates if one.operator == OPERATOR)

    def state(self) -> list[str]:
        """What has been evaluated, for :meth:`restore`."""
        return sorted(self._told)

    def restore(self, state: Sequence[str]) -> None:
        """Go on after what a :meth:`state` says was evaluated."""
        self._told = set(state)

    def _read(self, files: Sequence[Path]) -> Iterator[Atoms]:
        """Every structure that has not been evaluated, its atoms' roles set."""
        for path in files:
            try:
                for found in read_structures(path):
                    atoms = _bare(found, path)
                    if _key(atoms) not in self._told:
                        yield _with_roles(atoms, self.space)
            except Exception as error:  # ASE's readers raise whatever their parsers raise
                reason = " ".join(str(error).split()) or type(error).__name__
                self.blocked[f"{path.name} could not be used: {reason}"] += 1


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"there is no library {path}; give a folder of structures, or a file")
    found = sorted(
        file
        for file in path.rglob("*")
        if file.is_file()
        and (file.suffix.lower() in ENDINGS or "POSCAR" in file.name or "CONTCAR" in file.name)
    )
    if not found:
        raise UserError(
            f"the library {path} has no structure ({', '.join(ENDINGS)}, POSCAR); make one with "
            "`htinvert build --library`"
        )
    return found


def _bare(found: Atoms, path: Path) -> Atoms:
    """A structure without what a file says besides atoms and roles."""
    atoms = restore_roles(found, path)
    if not len(atoms) or not np.isfinite(atoms.positions).all():
        raise Infeasible("it has no atoms, or positions that are not finite")
    atoms.calc, atoms.info = None, {}
    motion(atoms)  # refuses what a run cannot keep, such as an atom that is held along z alone
    return atoms


def _key(atoms: Atoms) -> str:
    """What tells structures apart well enough; a repetition is refused by the campaign anyway."""
    order = np.arange(1, len(atoms) + 1)
    moments = [atoms.positions.mean(axis=0), order @ atoms.positions / order.sum()]
    digest = hashlib.sha256(atoms.numbers.tobytes() + np.round(moments, 4).tobytes())
    return digest.hexdigest()[:32]


def _with_roles(atoms: Atoms, space: Space) -> Atoms:
    """The same structure with tags and constraints: its own, or those of the campaign's region."""
    region = space.region
    held = frozen_mask(atoms)
    if region_mask(atoms).any() or rigid_bodies(atoms):
        return atoms
    if region is None:
        atoms.set_tags(np.where(held, HOST_TAG, REGION_TAG))
        return atoms
    atoms.positions[:] = around_region(atoms, region)
    outside = distance_outside(atoms.positions, region, atoms)
    free = (outside <= ROUNDING) & ~held
    atoms.positions[free] = nearest_image(atoms.positions[free], region, atoms)
    atoms.set_tags(np.where(free, REGION_TAG, HOST_TAG))
    atoms.set_constraint(FixAtoms(mask=held | (outside > region.margin + ROUNDING)))
    return atoms
