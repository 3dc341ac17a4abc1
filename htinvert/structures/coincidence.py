"""Near-coincidence site lattices: a table of the common cells of two grains to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from htinvert.core import UserError
from htinvert.structures.near_csl import Range, SearchLimits, Solutions, near_cells
from htinvert.structures.oriented import Grain, OrientedCrystal, oriented

Share = str | tuple[float, float]
Row = tuple[int, int, int]

EXACT = 0.01  # Å of misfit that rounded angles and lattice constants leave to an exact coincidence
RECTANGULAR = 1e-3  # Å that the cell's second vector may lean along the beam
MISFIT_CLASS = 0.05  # Å: misfits this close rank by area
LARGEST_SIGMA = 999
LONGEST = 1000.0  # Å
ROWS = 200
WIDER = (1.1, 1.3, 1.7, 2.5, 4.0)  # factors on the limits, to find what lies just outside
HEIGHT = 30.0  # Å per grain, for the estimate of the number of atoms


@dataclass(frozen=True)
class Strain:
    """What a grain is deformed by to fit into the common cell.

    Attributes:
        width, depth: elongation across and along the beam [%], (common - own) / own.
        shear: in the boundary plane, the strain tensor's component [%].
        lift: out of the boundary plane, the strain tensor's component [%].
        turn: rigid rotation about the beam, counter-clockwise as seen [degrees].
    """

    width: float
    depth: float
    shear: float
    lift: float
    turn: float

    @property
    def largest(self) -> float:
        """Largest component without its sign [%]."""
        return max(abs(self.width), abs(self.depth), abs(self.shear), abs(self.lift))


@dataclass(frozen=True)
class Coincidence:
    """One common cell of two grains.

    Attributes:
        cell: rows a and b [Å]: a = (depth, 0) along the beam, b = (lean, width), as (x, y).
        top_matrix, bottom_matrix: a and b in units of the grain's lattice basis
            (:attr:`OrientedCrystal.basis`), integers, two rows of three.
        top, bottom: strain of each grain.
        misfit: distance [Å] by which the unstrained cells fail to agree: the root of the summed
            squares of the differences of a and of b and of both heights over the plane.
        sigma: volume of the coincidence site lattice's cell over that of the lattice; None where
            the coincidence is not exact.
        atoms: estimate for grains of the height that was asked for.
    """

    cell: tuple[tuple[float, float], tuple[float, float]]
    top_matrix: tuple[Row, Row]
    bottom_matrix: tuple[Row, Row]
    top: Strain
    bottom: Strain
    misfit: float
    sigma: int | None
    atoms: int

    @property
    def depth(self) -> float:
        """Repeat along the beam [Å]."""
        return self.cell[0][0]

    @property
    def width(self) -> float:
        """Extent across the beam [Å]."""
        return self.cell[1][1]

    @property
    def area(self) -> float:
        """Area of the boundary in one cell [Å²]."""
        return self.depth * self.width

    @property
    def rectangular(self) -> bool:
        """Whether the cell's two vectors are perpendicular."""
        return abs(self.cell[1][0]) < RECTANGULAR


def coincidences(
    top: Grain,
    bottom: Grain,
    *,
    width: Range,
    depth: Range,
    max_strain: float = 5.0,
    max_turn: float = 0.5,
    out_of_plane: str = "turn",
    max_area: float | None = None,
    max_atoms: int | None = None,
    share: Share = "equal",
    height: float = HEIGHT,
) -> list[Coincidence]:
    """Find the common cells of two grains within the limits, best first.

    ``width`` and ``depth`` [Å]: least and greatest extent of the cell across and along the beam.
    ``max_strain`` [%] bounds each component of both grains' strain. A lattice vector that lies
    almost in the boundary plane is brought into it by a rotation about the beam of at most
    ``max_turn`` [degrees] (``out_of_plane`` "turn") or by a shear within the strain limit
    ("shear"). ``share`` says who is strained: "equal" (the common cell is the mean of both), "top"
    or "bottom" (all by one), or the stiffnesses of both, whose ratio divides the strain so that the
    elastic energy is least. ``height`` [Å] of each grain serves the number of atoms.

    Order: exact coincidences (misfit below 0.01 Å), rectangular before others; then rectangular
    cells; then the others. Within each, least misfit in classes of 0.05 Å, then smallest area. Of
    more than 200 rows those are kept that nothing beats in both misfit and area, then the first
    of the rest. Raises :class:`UserError` for limits that nothing meets, with the nearest
    solutions outside of them.

    Sources: Bollmann, *Crystal Defects and Crystalline Interfaces* (Springer, 1970); Grimmer,
    Acta Cryst. A 32, 783 (1976); Zur & McGill, J. Appl. Phys. 55, 378 (1984).
    """
    grains = oriented(top), oriented(bottom)
    if out_of_plane not in ("turn", "shear"):
        raise UserError(f"out_of_plane is {out_of_plane}; choose turn or shear")
    limits = SearchLimits(
        _range("width", width),
        _range("depth", depth),
        max_strain / 100.0,
        float(np.radians(max_turn)),
        out_of_plane == "shear",
    )
    _check(limits, {"max_area": max_area, "max_atoms": max_atoms, "height": height})
    weights = _weights(share)
    density = height * (grains[0].density + grains[1].density)  # atoms per area
    largest = min(max_area or np.inf, (max_atoms or np.inf) / density)
    table = near_cells(grains, limits, weights, largest)
    if not len(table.area):
        raise UserError(_nothing(grains, limits, weights, largest, density))
    same = sigma(*grains)
    return [_row(table, i, density, same) for i in _best(table)]


def sigma(top: OrientedCrystal, bottom: OrientedCrystal) -> int | None:
    """Sigma of the coincidence site lattice of two like lattices, None without one up to 999.

    The least integer that makes both the matrix between the two bases and its inverse integer
    (Grimmer, Acta Cryst. A 32, 783 (1976)).
    """
    matrix = top.basis @ np.linalg.inv(bottom.basis)
    if abs(abs(np.linalg.det(matrix)) - 1.0) > 1e-4:
        return None
    both = np.stack([matrix, np.linalg.inv(matrix)])
    numbers = np.arange(1, LARGEST_SIGMA + 1)
    multiples = numbers[:, None, None, None] * both
    error = np.abs(multiples - np.rint(multiples)).max(axis=(1, 2, 3))
    whole = error < np.minimum(2e-5 * numbers, 0.01)
    return int(numbers[np.argmax(whole)]) if whole.any() else None


def table_text(table: Sequence[Coincidence], *, rows: int = 20) -> str:
    """The table as text: lengths [Å], area [Å²], strains [%] and turn [degrees] of both grains."""
    lines = [
        f"{'row':>3} {'width':>8} {'depth':>8} {'lean':>8} {'area':>9} {'atoms':>7} {'misfit':>7} "
        f"{'sigma':>5}   strain of top / bottom: width, depth, shear, lift [%], turn [degrees]"
    ]
    for i, row in enumerate(table[:rows]):
        strains = " / ".join(
            " ".join(_signed(x) for x in (s.width, s.depth, s.shear, s.lift, s.turn))
            for s in (row.top, row.bottom)
        )
        lines.append(
            f"{i:3d} {row.width:8.3f} {row.depth:8.3f} {row.cell[1][0]:8.3f} {row.area:9.1f} "
            f"{row.atoms:7d} {row.misfit:7.3f} {row.sigma or '-':>5}   {strains}"
        )
    if len(table) > rows:
        lines.append(f"... and {len(table) - rows} more")
    return "\n".join(lines)


def _signed(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.3f}"


def _range(name: str, given: Range) -> Range:
    values = np.asarray(given, dtype=float).ravel()
    if len(values) != 2 or not (0 <= values[0] <= values[1] <= LONGEST and values[1] > 0):
        raise UserError(
            f"{name} {given} is no range that can be searched; give its least and its greatest "
            f"value, from 0 to {LONGEST:g} Å"
        )
    return float(values[0]), float(values[1])


def _check(limits: SearchLimits, positive: dict[str, float | None]) -> None:
    if not 0 <= limits.strain <= 0.3:
        raise UserError(f"max_strain is {100 * limits.strain:g} %; give a number from 0 to 30")
    if not 0 <= limits.turn <= np.radians(20):
        raise UserError(
            f"max_turn is {np.degrees(limits.turn):g} degrees; give a number from 0 to 20"
        )
    for name, value in positive.items():
        if value is not None and not 0 < value < np.inf:
            raise UserError(f"{name} is {value}; give a positive number")


def _weights(share: Share) -> NDArray[np.float64]:
    """Weight of each grain's own cell in the common one, shape (2,); they sum to 1."""
    rules = {"equal": (0.5, 0.5), "top": (0.0, 1.0), "bottom": (1.0, 0.0)}
    if isinstance(share, str):
        if share not in rules:
            raise UserError(f"share is {share}; choose {', '.join(rules)} or give two stiffnesses")
        return np.array(rules[share])
    values = np.asarray(share, dtype=float)
    if values.shape != (2,) or not (np.isfinite(values) & (values >= 0)).all() or not values.any():
        raise UserError(f"share is {share}; give the stiffnesses of top and bottom, not negative")
    return np.asarray(values / values.sum())


def _best(table: Solutions) -> NDArray[np.int64]:
    """Rows in order, at most ``ROWS`` beside those that nothing beats in misfit and area."""
    rectangular = np.abs(table.lean) < RECTANGULAR
    exact = table.misfit < EXACT
    tier = np.where(exact, 0, 2) + ~rectangular
    steps = np.where(exact, 0.0, np.rint(table.misfit / MISFIT_CLASS))
    area = np.round(table.area, 4)
    order = np.lexsort((np.round(table.lean, 4), np.round(table.width, 4), area, steps, tier))
    if len(order) <= ROWS:
        return order
    front = np.zeros(len(order), dtype=bool)
    for kind in (rectangular, ~rectangular):
        chosen = np.flatnonzero(kind)
        chosen = chosen[np.lexsort((steps[chosen], area[chosen]))]
        best = np.minimum.accumulate(steps[chosen])
        front[chosen[:1]] = True
        front[chosen[1:]] = best[1:] < best[:-1]
    kept = front[order]
    kept |= np.cumsum(~kept) <= ROWS - int(kept.sum())
    return order[kept]


def _row(table: Solutions, i: int, density: float, same: int | None) -> Coincidence:
    lean, width, depth = (float(column[i]) for column in (table.lean, table.width, table.depth))
    (top, bottom), (one, two) = (
        [_strain(values) for values in table.strain[i]],
        [_matrix(n, vector) for n, vector in zip(table.repeats[i], table.vectors[i], strict=True)],
    )
    return Coincidence(
        cell=((depth, 0.0), (0.0 if abs(lean) < RECTANGULAR else lean, width)),
        top_matrix=one,
        bottom_matrix=two,
        top=top,
        bottom=bottom,
        misfit=float(table.misfit[i]),
        sigma=same if table.misfit[i] < EXACT else None,
        atoms=round(depth * width * density),
    )


def _strain(values: NDArray[np.float64]) -> Strain:
    width, depth, shear, lift = (round(100.0 * float(x), 9) + 0.0 for x in values[:4])
    return Strain(width, depth, shear, lift, round(float(np.degrees(values[4])), 9) + 0.0)


def _matrix(repeats: int, vector: NDArray[np.int64]) -> tuple[Row, Row]:
    x, y, z = (int(value) for value in vector)
    return (int(repeats), 0, 0), (x, y, z)


def _nothing(
    grains: tuple[OrientedCrystal, OrientedCrystal],
    limits: SearchLimits,
    weights: NDArray[np.float64],
    largest: float,
    density: float,
) -> str:
    """Say that nothing fits, and what lies just outside of the limits."""
    width, depth = limits.width, limits.depth
    text = (
        f"no common cell of {grains[0].name} and {grains[1].name} is {width[0]:g} to {width[1]:g} "
        f"Å wide, {depth[0]:g} to {depth[1]:g} Å deep and strained by at most "
        f"{100 * limits.strain:g} %"
    )
    if np.isfinite(largest):
        text += f" within {largest:.0f} Å² ({largest * density:.0f} atoms)"
    for factor in WIDER:
        wide = _widened(limits, factor, min(grain.basis[0, 0] for grain in grains))
        try:
            table = near_cells(grains, wide, weights, largest * factor**2)
        except UserError:  # too many at once
            break
        if len(table.area):
            nearest = _nearest(table, limits, largest)
            text += "; widen width, depth, max_strain or max_turn: the nearest are (width x depth)"
            return f"{text} {nearest}"
    periods = [f"{grain.basis[0, 0]:.2f}" for grain in grains]
    return f"{text}, nor near to it; the repeats along the beam are {' and '.join(periods)} Å"


def _widened(limits: SearchLimits, factor: float, period: float) -> SearchLimits:
    return SearchLimits(
        (limits.width[0] / factor, limits.width[1] * factor),
        (limits.depth[0] / factor, max(limits.depth[1] * factor, 1.1 * period)),
        max(limits.strain, 0.001) * factor,
        max(limits.turn, 0.001) * factor,
        limits.sheared,
    )


def _nearest(table: Solutions, limits: SearchLimits, largest: float) -> str:
    """The three solutions that miss the limits least."""
    strain = 100 * np.abs(table.strain[:, :, :4]).max(axis=(1, 2))
    turn = np.degrees(np.abs(table.strain[:, :, 4]).max(axis=1))
    excess = (
        np.log(np.maximum(1.0, table.area / largest))
        + _outside(table.width, limits.width)
        + _outside(table.depth, limits.depth)
        + np.log(np.maximum(1.0, strain / max(100 * limits.strain, 0.1)))
        + np.log(np.maximum(1.0, turn / max(np.degrees(limits.turn), 0.1)))
    )
    nearest: dict[str, None] = {}
    for i in np.lexsort((table.area, np.abs(table.lean), np.round(excess, 4)))[:50]:
        name = f"{table.width[i]:.2f} x {table.depth[i]:.2f} Å with {strain[i]:.2f} %"
        nearest[name + (f" and a turn of {turn[i]:.2f} degrees" if turn[i] >= 0.01 else "")] = None
    return ", ".join(list(nearest)[:3])


def _outside(value: NDArray[np.float64], limits: Range) -> NDArray[np.float64]:
    """How far values lie outside of a range, as the logarithm of their ratio to its end."""
    low, high = limits
    above = np.log(np.maximum(1.0, value / high))
    return above + (np.log(np.maximum(1.0, low / value)) if low else 0.0)
