"""Tables that a process has made, in blocks of thickness, so that a fit makes each once.

A block holds the thicknesses from one power of two to the next, so that a fit which moves by a
little needs one or two of them.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from htinvert.core import Floats
from htinvert.forward.cbed.cell import Cell
from htinvert.forward.cbed.table import ScatteringTable, scattering_table
from htinvert.forward.cross_section import wavelength
from htinvert.forward.memo import fingerprint, remember

KNOT = 8.0  # Å between tabulated thicknesses, in whole periods
_REMEMBERED = 6  # blocks
_tables: OrderedDict[bytes, ScatteringTable] = OrderedDict()


@dataclass(frozen=True, eq=False)
class Directions:
    """What a table must hold: grid ``step``, reach of incoming and outgoing directions [mrad]."""

    step: float
    reach: float
    outer: float


def density(
    cell: Cell, wanted: Directions, *, thickness: float, semiangle: float, tilt: tuple[float, float]
) -> tuple[Floats, tuple[float, float]]:
    """Intensity over directions (down, right), odd sides, its sum what passes of 1, and the step.

    Args:
        cell: slices of one period.
        wanted: grid and reach of the table.
        thickness: [Å]; between tabulated ones values are interpolated by cubics.
        semiangle: of the aperture [mrad], its edge one grid step wide.
        tilt: where the aperture's middle lies (right, down) [mrad].

    Returns:
        The intensity about the aperture's middle, zero in the middle, shape (2 ny + 1, 2 nx + 1),
        and its grid's step (down, right) [mrad].
    """
    table, values = _at(cell, wanted, thickness)
    mrad = wavelength(cell.beam_energy) * 1e3
    step = np.multiply(table.step, mrad)
    middle = np.round(np.divide(tilt, step)).astype(int)
    places = table.incoming * step - tilt
    edge = (semiangle - np.hypot(*places.T)) / step.max() + 0.5
    weights = np.clip(edge, 0.0, 1.0)
    weights /= weights.sum()
    nx, ny = (
        int(np.ceil(wanted.outer / s)) + int(abs(m)) for s, m in zip(step, middle, strict=True)
    )
    whole = table.pattern(weights, values, (ny, nx))
    return whole, (float(step[1]), float(step[0]))


def _at(cell: Cell, wanted: Directions, thickness: float) -> tuple[ScatteringTable, Floats]:
    """The table that holds a thickness, and its intensities there, shape (e,)."""
    knot = max(1, round(KNOT / cell.period))
    place = thickness / cell.period / knot
    block = max(int(np.floor(np.log2(max(place, 1.0)))), 0)
    first, last = (0, 4) if block == 0 else (2**block - 1, 2 ** (block + 1) + 2)
    table = _table(cell, wanted, tuple(range(first * knot, last * knot + 1, knot)))
    index = min(int(place), last - 2) - first
    along = place - (index + first)
    if index == 0:  # the entrance surface has nothing above it
        return table, (1.0 - along) * table.values[0] + along * table.values[1]
    weights = _cubic(along)
    return table, np.tensordot(weights, table.values[index - 1 : index + 3], 1)


def _cubic(x: float) -> Floats:
    """Weights of four even points for a place between the middle two (Catmull and Rom)."""
    return 0.5 * np.array(
        [
            -x + 2 * x**2 - x**3,
            2 - 5 * x**2 + 3 * x**3,
            x + 4 * x**2 - 3 * x**3,
            -(x**2) + x**3,
        ]
    )


def _table(cell: Cell, wanted: Directions, periods: tuple[int, ...]) -> ScatteringTable:
    mrad = wavelength(cell.beam_energy) * 1e3
    divisions = [max(1, round(mrad / side / wanted.step)) for side in cell.size]
    parameters = {
        "periods": periods,
        "divisions": tuple(divisions),
        "reach": wanted.reach,
        "outer": wanted.outer,
        "size": cell.size,
        "period": cell.period,
        "energy": cell.beam_energy,
    }
    key = fingerprint(parameters, cell.slices)
    if key in _tables:
        return _tables[key]
    table = scattering_table(
        cell,
        divisions=(divisions[0], divisions[1]),
        reach=wanted.reach / mrad,
        outer=(wanted.outer + wanted.reach) / mrad,
        periods=periods,
    )
    return remember(_tables, key, table, most=_REMEMBERED)
