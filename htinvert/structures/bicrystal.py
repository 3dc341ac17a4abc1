"""Two grains in one periodic cell, with two boundaries, or with one and vacuum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import UserError
from htinvert.declaration.declared import Parameter, cites
from htinvert.structures.coincidence import HEIGHT, Coincidence, Share, coincidences, table_text
from htinvert.structures.collisions import removed, roomiest_shift
from htinvert.structures.near_csl import Range
from htinvert.structures.oriented import Grain, oriented
from htinvert.structures.sanity import check
from htinvert.structures.stacking import Gap, Stack, stacks

BOTTOM, TOP = 0, 1  # what the array "grain" holds
MinDistance = float | Mapping[frozenset[str], float] | None


@cites(
    "W. Bollmann, Crystal Defects and Crystalline Interfaces (1970); H. Grimmer, Acta Cryst. A 32, "
    "783 (1976); A. Zur and T. C. McGill, J. Appl. Phys. 55, 378 (1984)."
)
def bicrystal(
    top: Grain,
    bottom: Grain,
    *,
    width: Range,
    depth: Range,
    height: float | tuple[float, float] = HEIGHT,
    max_strain: Annotated[float, Parameter("%", 0.0)] = 5.0,
    max_turn: Annotated[float, Parameter("degrees", 0.0)] = 0.5,
    out_of_plane: str = "turn",
    max_area: Annotated[float | None, Parameter("Å²", 0.0)] = None,
    max_atoms: Annotated[int | None, Parameter("1", 1)] = None,
    share: Share = "equal",
    choice: Annotated[int, Parameter("1", 0)] = 0,
    termination: tuple[int, int] = (0, 0),
    shift: tuple[float, float] | None = None,
    gap: tuple[float | None, float | None] = (None, None),
    vacuum: Annotated[float | None, Parameter("Å", 0.0)] = None,
    min_distance: MinDistance = None,
    stoichiometry: str = "keep",
) -> Atoms:
    """Build a bicrystal from a short description; see :func:`coincidences` and :func:`join`.

    ``choice`` is the row of the table of common cells, 0 the best; ``info["explanation"]`` has the
    table and what was made of it, in lines. Raises :class:`UserError` for
    every setting that cannot be met.
    """
    table = coincidences(
        top,
        bottom,
        width=width,
        depth=depth,
        max_strain=max_strain,
        max_turn=max_turn,
        out_of_plane=out_of_plane,
        max_area=max_area,
        max_atoms=max_atoms,
        share=share,
        height=float(np.mean(height)),
    )
    if not 0 <= choice < len(table):
        raise UserError(f"choice is {choice}, but the table has rows 0 to {len(table) - 1}")
    atoms = join(
        top,
        bottom,
        table[choice],
        height=height,
        termination=termination,
        shift=shift,
        gap=gap,
        vacuum=vacuum,
        min_distance=min_distance,
        stoichiometry=stoichiometry,
    )
    atoms.info["explanation"] = _explanation(top, bottom, table, choice, atoms)
    return atoms


def join(
    top: Grain,
    bottom: Grain,
    row: Coincidence,
    *,
    height: float | tuple[float, float] = HEIGHT,
    termination: tuple[int, int] = (0, 0),
    shift: tuple[float, float] | None = None,
    gap: tuple[float | None, float | None] = (None, None),
    vacuum: float | None = None,
    min_distance: MinDistance = None,
    stoichiometry: str = "keep",
) -> Atoms:
    """Build the bicrystal of one common cell; all lengths in Å, pairs are (top, bottom).

    The cell has the beam along x, the width along y and the boundary's normal along z; x and y
    repeat exactly. ``height`` of each grain is rounded to whole repeats of its lattice planes, so
    that its composition is the phase's (``stoichiometry`` "keep"), or to the nearest plane ("as
    cut"). ``termination`` picks the row of :meth:`Stack.terminations` where each grain ends at the
    middle boundary, 0 the widest gap between planes.

    ``shift`` (along the beam, to the right) moves the top grain from where one atom of its first
    plane lies over the bottom grain just as that grain's own next plane would: so a coherent twin
    comes out coherent. By default it is nothing where no atoms collide there, and else the one that
    lets the two grains touch least (see :func:`roomiest_shift`). ``gap`` (middle boundary, periodic
    boundary) is the distance between the outermost atoms of the two grains, by default the mean of
    the spacings where both were cut.
    With ``vacuum`` the second boundary is vacuum of that height.

    Of two atoms from different grains nearer than ``min_distance`` (one length, or one per pair of
    elements; by default 0.7 of the covalent radii's sum) the top grain's is taken out, whatever
    the order of the atoms, and with "keep" as many others of the top grain, those nearest to a
    boundary, as its composition asks for.

    ``arrays["grain"]`` is 0 for the bottom and 1 for the top grain; ``info["bicrystal"]`` holds
    sizes, strains, the boundaries' heights, gaps and the number of atoms taken out. Raises
    :class:`UserError` for settings that cannot be met.
    """
    _check(shift, gap, vacuum, stoichiometry, np.shape(height), len(termination))
    lengths = np.broadcast_to(height, 2).tolist()
    grains = oriented(top), oriented(bottom)
    upper, lower = stacks(*grains, row)
    top_cut = _cut(upper, termination[0], lengths[0], stoichiometry, upward=True)
    bottom_cut = _cut(lower, termination[1], lengths[1], stoichiometry, upward=False)
    gaps = _gaps(gap, vacuum, top_cut, bottom_cut)
    first, low = bottom_cut.fill(lower)
    second, high = top_cut.fill(upper)
    high[:, :2] += _alignment(upper, top_cut.near.height, lower, bottom_cut.near.height)
    low[:, 2] += gaps[1] / 2.0 - low[:, 2].min()
    middle = float(low[:, 2].max()) + gaps[0] / 2.0
    high[:, 2] += middle + gaps[0] / 2.0 - high[:, 2].min()
    cell = np.zeros((3, 3))
    cell[:2, :2] = row.cell
    cell[2, 2] = high[:, 2].max() + gaps[1] / 2.0
    if shift is None:
        faces = Atoms(first, low, cell=cell), Atoms(second, high, cell=cell)
        shift = roomiest_shift(*faces, period=upper.plane, min_distance=min_distance)
    high[:, :2] += shift
    atoms = _sorted(np.concatenate([first, second]), np.vstack([low, high]), len(first), cell)
    boundaries = [middle] if vacuum is not None else [middle, 0.0]
    units = grains[0].numbers if stoichiometry == "keep" else None
    lost = removed(
        atoms, atoms.arrays["grain"] == TOP, boundaries, min_distance=min_distance, units=units
    )
    del atoms[np.flatnonzero(lost)]
    if not (atoms.arrays["grain"] == TOP).any():
        raise UserError("no atom of the top grain is far enough from the bottom grain; widen gap")
    atoms.info["bicrystal"] = {
        **_described(row),
        "boundaries": boundaries,
        "gaps": list(gaps),
        "shift": list(shift),
        "taken_out": int(lost.sum()),
    }
    return atoms


def _described(row: Coincidence) -> dict[str, Any]:
    """Sizes [Å], sigma, misfit and strains of a common cell, as plain values."""
    return {
        "width": row.width,
        "depth": row.depth,
        "sigma": row.sigma,
        "misfit": row.misfit,
        "strain_top": asdict(row.top),
        "strain_bottom": asdict(row.bottom),
    }


def _explanation(
    top: Grain, bottom: Grain, table: Sequence[Coincidence], choice: int, atoms: Atoms
) -> list[str]:
    """Lines for a person: what is odd about the phases, the table, what was built."""
    lines = [
        f"{name}: {note}"
        for name, grain in (("top", top), ("bottom", bottom))
        for note in [*grain.phase.info.get("explanation", ()), *check(grain.phase)]
    ]
    built = atoms.info["bicrystal"]
    gaps = " and ".join(f"{gap:.2f}" for gap in built["gaps"])
    shift = ", ".join(f"{length:.2f}" for length in built["shift"])
    return [
        *dict.fromkeys(lines),
        *table_text(table).splitlines(),
        f"row {choice} is built: gaps of {gaps} Å, upper grain shifted by ({shift}) Å along the "
        f"beam and to the right, {built['taken_out']} atoms that collided taken out",
    ]


@dataclass(frozen=True)
class _Cut:
    """The part of a stack that becomes a grain: from the middle boundary to the other."""

    near: Gap
    far_height: float
    far_spacing: float

    def fill(self, stack: Stack) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        return stack.fill(*sorted((self.near.height, self.far_height)))


def _cut(stack: Stack, which: int, height: float, stoichiometry: str, *, upward: bool) -> _Cut:
    ends = stack.terminations()
    if not 0 <= which < len(ends):
        table = ", ".join(
            f"{i}: {end.below}|{end.above} {end.spacing:.2f} Å" for i, end in enumerate(ends)
        )
        raise UserError(f"termination {which} does not exist; choose one of {table}")
    if not 0 < height < np.inf:
        raise UserError(f"height is {height} Å; give a positive length")
    near, sign = ends[which], 1.0 if upward else -1.0
    if stoichiometry == "keep":
        whole = max(1, round(height / stack.repeat + 1e-6))
        return _Cut(near, near.height + sign * whole * stack.repeat, near.spacing)
    reach = int(np.ceil(height / stack.repeat)) + 1
    heights = np.array(
        [[end.height + sign * k * stack.repeat for end in ends] for k in range(reach + 1)]
    )
    away = sign * (heights - near.height)
    error = np.where(away > 1e-3, np.abs(away - height), np.inf)
    k, end = np.unravel_index(int(np.argmin(np.round(error, 3))), error.shape)
    return _Cut(near, float(heights[k, end]), ends[end].spacing)


def _gaps(
    gap: tuple[float | None, float | None], vacuum: float | None, top: _Cut, bottom: _Cut
) -> tuple[float, float]:
    middle, periodic = gap
    if middle is None:
        middle = (top.near.spacing + bottom.near.spacing) / 2.0
    if vacuum is not None:
        return middle, vacuum
    if periodic is None:
        periodic = (top.far_spacing + bottom.far_spacing) / 2.0
    return middle, periodic


def _alignment(upper: Stack, up: float, lower: Stack, down: float) -> NDArray[np.float64]:
    """In-plane shift (2,) [Å] of the top grain's first plane onto the bottom's next one."""
    first, following = upper.first_above(up), lower.first_above(down)
    pairs = [(i, j) for i in first for j in following if upper.numbers[i] == lower.numbers[j]]
    i, j = pairs[0] if pairs else (first[0], following[0])
    places = [
        stack.positions[k] - stack.step * np.floor((stack.positions[k, 2] - cut) / stack.repeat)
        for stack, k, cut in ((lower, j, down), (upper, i, up))
    ]
    return np.asarray((places[0] - places[1])[:2])


def _sorted(
    numbers: NDArray[np.int64],
    positions: NDArray[np.float64],
    bottom: int,
    cell: NDArray[np.float64],
) -> Atoms:
    """Atoms inside of the cell, by grain, element and place."""
    fractions = positions[:, :2] @ np.linalg.inv(cell[:2, :2])
    fractions = (fractions + 1e-6) % 1.0 - 1e-6
    positions = np.column_stack([fractions @ cell[:2, :2], positions[:, 2]])
    grain = np.where(np.arange(len(numbers)) < bottom, BOTTOM, TOP)
    x, y, z = np.round(positions, 3).T
    order = np.lexsort((x, y, z, numbers, grain))
    atoms = Atoms(numbers[order], positions=positions[order], cell=cell, pbc=True)
    atoms.set_array("grain", grain[order])
    return atoms


def _check(
    shift: tuple[float, float] | None,
    gap: tuple[float | None, float | None],
    vacuum: float | None,
    stoichiometry: str,
    heights: tuple[int, ...],
    terminations: int,
) -> None:
    if heights not in ((), (2,)) or terminations != 2:
        raise UserError("height is one length or two, termination two rows: give (top, bottom)")
    if stoichiometry not in ("keep", "as cut"):
        raise UserError(f"stoichiometry is {stoichiometry}; choose keep or as cut")
    if shift is not None and (len(shift) != 2 or not np.isfinite(shift).all()):
        raise UserError(f"shift is {shift}; give two lengths in Å, along the beam and to the right")
    if len(gap) != 2 or not all(g is None or 0 <= g < np.inf for g in gap):
        raise UserError(f"gap is {gap}; give two lengths in Å, not negative, for both boundaries")
    if vacuum is not None and not 0 < vacuum < np.inf:
        raise UserError(f"vacuum is {vacuum} Å; give a positive height or leave it out")
    if vacuum is not None and gap[1] is not None:
        raise UserError("vacuum replaces the periodic boundary; give gap for the middle one alone")
