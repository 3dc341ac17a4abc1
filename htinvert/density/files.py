"""Densities of states from files: VASP's PARCHG and CHGCAR, Gaussian cube, and our own Zarr."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io.vasp import read_vasp
from ase.units import Bohr

from htinvert.core import UserError
from htinvert.density.grid import Density
from htinvert.density.stored import read_zarr
from htinvert.geometry.counts import refuse_counts
from htinvert.geometry.poscar import ADVICE, elements_of

SAME = 0.1  # Å: how far an atom may be from where it is in the file
ZARR = (".zarr", ".zip")


@dataclass(frozen=True)
class FileDensity:
    """The density of a structure, from a file, or the one of a folder's that fits the structure.

    Attributes:
        path: a PARCHG, cube or Zarr file, or a folder with several.
        energies: lowest and highest energy of its states, from the Fermi level [eV], where the
            file does not say.
    """

    path: Path
    energies: tuple[float, float] | None = None

    def __call__(self, atoms: Atoms) -> Density:
        """The density; its structure must be ``atoms``, unless these are none.

        Raises:
            UserError: where no file has that structure.
        """
        place = Path(self.path)
        many = place.is_dir() and place.suffix != ".zarr"
        files = sorted(p for p in place.iterdir() if p.name[0] != ".") if many else [place]
        for file in files:
            density = read_density(file)
            if not len(atoms) or same_surface(density.atoms, atoms):
                if self.energies is not None:
                    density = replace(density, edges=self.energies)
                return density
        raise UserError(
            f"{place} has no density of this structure, {atoms.get_chemical_formula()} with every "
            f"atom within {SAME:g} Å; compute it, for example by {{use: gpaw}}"
        )


def read_density(path: Path) -> Density:
    """Read a density; what a file is tell its name and its contents.

    Raises:
        UserError: for a file that is missing, truncated or of another kind.
    """
    if not path.exists():
        raise UserError(f"{path} is missing; check the path of the density")
    if path.suffix in ZARR:
        return read_zarr(path)
    refuse_counts(path)
    reader = _read_cube if path.suffix.lower() in (".cube", ".cub") else _read_vasp
    try:
        density = reader(path)
    except UserError:
        raise
    except Exception as error:  # readers raise whatever their parsers raise
        raise UserError(
            f"{path.name} cannot be read as a density ({_first(error)}); "
            "it may be truncated: copy or compute it again"
        ) from error
    if not np.isfinite(density.values).all():
        raise UserError(f"{path.name} holds numbers that are not finite; compute it again")
    return density


def _read_vasp(path: Path) -> Density:
    """PARCHG or CHGCAR: electrons per cell on the grid; both spins together.

    After the structure and an empty line comes the grid, then its numbers, the first axis fastest;
    a CHGCAR goes on with augmentation occupancies. The spin difference that may follow is left.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    if elements_of(path, [*lines, *[""] * 7][:7], title=False):
        raise UserError(f"{path} does not say its elements; {ADVICE}")  # readers take H, He ...
    blank = next((i for i in range(7, len(lines)) if not lines[i].strip()), len(lines))
    structure = read_vasp(io.StringIO("\n".join(lines[:blank]) + "\n"))
    atoms = Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=True)
    shape = tuple(map(int, lines[blank + 1].split())) if blank + 1 < len(lines) else ()
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError("it has no grid of three numbers behind its structure")
    count, start = math.prod(shape), blank + 2
    rows = -(-count // max(len(lines[start].split()) if start < len(lines) else 1, 1))
    values = np.array(" ".join(lines[start : start + rows]).split()[:count], dtype=np.float32)
    if len(values) < count:
        raise ValueError(f"its grid has {count} points, and {len(values)} numbers follow")
    values = values.reshape(shape, order="F") / np.float32(atoms.cell.volume)
    augmented = any(line.startswith("augmentation") for line in lines[start + rows :])
    total = augmented or "CHGCAR" in path.name.upper()
    return Density(values[None], atoms, (), "total" if total else "window", f"VASP, {path.name}")


def _read_cube(path: Path) -> Density:
    """Gaussian cube: electrons per Bohr³."""
    from ase.io.cube import read_cube

    with path.open(encoding="utf-8") as file:
        content = read_cube(file)
    atoms = content["atoms"]
    atoms.pbc = True
    values = (np.asarray(content["data"]) / Bohr**3).astype(np.float32)
    return Density(values[None], atoms, (), "window", f"cube, {path.name}")


def _first(error: Exception) -> str:
    """The first line of what an error says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def same_surface(first: Atoms, second: Atoms) -> bool:
    """Whether two cells hold the same atoms at the same places, in any order, within 0.1 Å."""
    if sorted(first.numbers) != sorted(second.numbers):
        return False
    if np.abs(first.cell.array - second.cell.array).max() > SAME:
        return False
    inverse = np.linalg.inv(first.cell.array)
    for number in np.unique(first.numbers):
        ours, theirs = (atoms.positions[atoms.numbers == number] for atoms in (first, second))
        fractions = (ours[:, None] - theirs[None]) @ inverse
        gaps = np.linalg.norm((fractions - np.round(fractions)) @ first.cell.array, axis=-1)
        if gaps.min(axis=0).max() > SAME or gaps.min(axis=1).max() > SAME:
            return False
    return True
