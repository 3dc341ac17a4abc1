"""A crystal's cell as a fit may change it: factors along its vectors, and angles, by symmetry.

A factor is named by the vectors that it stretches: ``ab`` and ``c`` of a tetragonal cell. Fractions
stay, but for those that are moved (:mod:`htinvert.forward.pdf.sites`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ase import Atoms
from ase.cell import Cell

from htinvert.core import EvaluationFailed, Floats, UserError
from htinvert.forward.pdf import sites
from htinvert.forward.pdf.symmetry import symmetry_of

VECTORS = "abc"
ANGLES = ("alpha", "beta", "gamma")
BESIDE = 5.0  # degrees that an angle may change in a fit
SHEAR = 0.05  # of a cosine, by which an angle is changed to see whether symmetry keeps it
Named = Mapping[str, float]
ALIKE = 2e-3  # of a length, within which a symmetry's image of a vector is as long as it


def check_names(
    zoom: float | Named, angle: Named | None = None, shift: Named | None = None
) -> None:
    """Raise :class:`ValueError` where these are not by vectors, each once, angles, coordinates."""
    if isinstance(zoom, Mapping):
        named = "".join(name for name in zoom if name != "*")
        if not set(named) <= set(VECTORS) or len(set(named)) < len(named):
            raise ValueError(
                f"zoom is given for {', '.join(zoom)} but must be for vectors of the cell, each "
                "once, such as zoom.ab and zoom.c"
            )
    if angle is not None and not (isinstance(angle, Mapping) and {*angle} <= {*ANGLES, "*"}):
        raise ValueError(f"angle must be by name: {', '.join(f'angle.{x}' for x in ANGLES)}")
    if shift is not None and not isinstance(shift, Mapping):
        raise ValueError("shift must be by the name of a coordinate, such as shift.O1x")


def changed(
    atoms: Atoms, zoom: float | Named, angle: Named | None = None, shift: Named | None = None
) -> Atoms:
    """A crystal with factors on its cell vectors, angles [degrees], and places shifted [Å].

    Raises:
        UserError: where the structure is no crystal, its angles make no cell, or its symmetry does
            not leave a coordinate free.
    """
    if not atoms.pbc.all():
        raise UserError(
            "zoom along vectors of the cell, angle and shift need a crystal; give one zoom"
        )
    found = sites.moved(atoms, shift) if shift else atoms.copy()
    found.set_cell(new_cell(atoms, zoom, angle), scale_atoms=True)
    return found


def new_cell(atoms: Atoms, zoom: float | Named, angle: Named | None = None) -> Floats:
    """Cell vectors [Å] with factors on their lengths and angles that are set, shape (3, 3)."""
    cell = factors(zoom)[:, None] * atoms.cell.array
    given = {name: value for name, value in (angle or {}).items() if value is not None}
    if not given:
        return np.asarray(cell)
    lengths = np.linalg.norm(cell, axis=1)
    angles = dict(zip(ANGLES, atoms.cell.angles(), strict=True)) | given
    cosines = np.cos(np.radians([angles[name] for name in ANGLES]))
    if 1.0 + 2.0 * np.prod(cosines) - (cosines**2).sum() < 1e-3:
        words = ", ".join(f"{name} {angles[name]:g}" for name in ANGLES)
        raise EvaluationFailed(f"no cell has the angles {words} degrees; change angle")
    return np.asarray(Cell.fromcellpar([*lengths, *(angles[name] for name in ANGLES)]).array)


def factors(zoom: float | Named) -> Floats:
    """Factor on each vector of a cell, shape (3,)."""
    if not isinstance(zoom, Mapping):
        return np.full(3, float(zoom))
    rest = zoom.get("*", 1.0)
    found = {vector: value for name, value in zoom.items() if name != "*" for vector in name}
    return np.array([found.get(vector, rest) for vector in VECTORS], dtype=float)


def free_of(atoms: Atoms, widest: float) -> dict[str, tuple[float, float]]:
    """Bounds of what symmetry leaves free of a cell: factors up to ``widest`` off 1, and angles."""
    around = dict(zip(ANGLES, atoms.cell.angles(), strict=True))
    free = dict.fromkeys(usual(atoms), (1.0 - widest, 1.0 + widest))
    for name in _angles(atoms):
        free[f"angle.{name}"] = (float(around[name] - BESIDE), float(around[name] + BESIDE))
    return free


def usual(atoms: Atoms) -> tuple[str, ...]:
    """Names of the factors on distances that symmetry leaves free: ``zoom``, or one per length.

    Vectors that a symmetry of the crystal turns into each other have one factor. A cluster, a cell
    of many atoms, and one whose vectors mix under its symmetry, have one for all.
    """
    groups = _groups(atoms)
    return ("zoom",) if len(groups) == 1 else tuple(f"zoom.{name}" for name in groups)


def lengths(atoms: Atoms, zoom: Mapping[str, float]) -> dict[str, tuple[float, str]]:
    """Length [Å] of each cell vector that is not that of another, and the factor that it follows.

    ``zoom`` are values by the names of :func:`usual`.
    """
    if not atoms.pbc.all():
        return {}
    found: dict[str, tuple[float, str]] = {}
    for name, value in zoom.items():
        for vector in name.partition(".")[2] or VECTORS:
            length = float(atoms.cell.lengths()[VECTORS.index(vector)])
            if all(abs(value * length / other - 1.0) > 1e-6 for other, _ in found.values()):
                found[vector] = (value * length, name)
    return found


def derived(
    atoms: Atoms, parameters: Mapping[str, float], errors: Mapping[str, float]
) -> dict[str, tuple[float, float | None, str]]:
    """Cell lengths and fractions that follow from fitted parameters, their errors and unit."""
    zoom = {name: x for name, x in parameters.items() if name.partition(".")[0] == "zoom"}
    found: dict[str, tuple[float, float | None, str]] = {
        f"cell {vector}": (length, length * errors[name] / zoom[name], "Å")
        for vector, (length, name) in lengths(atoms, zoom).items()
    }
    return found | sites.derived(atoms, parameters, errors)


def _groups(atoms: Atoms) -> list[str]:
    """Vectors of a cell in groups that share a factor, such as ``ab`` and ``c``."""
    for groups in (["a", "b", "c"], ["ab", "c"], ["ac", "b"], ["bc", "a"]):
        names = {name: 1.0 + 0.05 * place for place, name in enumerate(groups)}
        scale = factors(names)
        if _kept(atoms, np.outer(scale, scale), np.zeros((3, 3))):
            return sorted(groups)
    return [VECTORS]


def _angles(atoms: Atoms) -> list[str]:
    """Angles of a cell that symmetry leaves free, those of each two vectors on their own."""
    found = []
    for number, name in enumerate(ANGLES):
        shear = SHEAR * (1.0 - np.eye(3))
        shear[number] = shear[:, number] = 0.0
        if _kept(atoms, np.ones((3, 3)), shear):
            found.append(name)
    return found


def _kept(atoms: Atoms, factor: Floats, shear: Floats) -> bool:
    """Whether symmetry keeps the cell of other products of its vectors: times, plus of cosines."""
    dataset = symmetry_of(atoms)
    if dataset is None:
        return False
    lengths = atoms.cell.lengths()
    tried = atoms.cell.array @ atoms.cell.array.T * factor + np.outer(lengths, lengths) * shear
    size = np.sqrt(np.outer(np.diag(tried), np.diag(tried)))
    turned = np.einsum("nij,ik,nkl->njl", dataset.rotations, tried, dataset.rotations)
    return bool((np.abs(turned - tried) < ALIKE * size).all())
