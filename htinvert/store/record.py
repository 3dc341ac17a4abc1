"""A structure's key, and structures and signals as raw little-endian bytes (never pickle).

What is kept of a structure: elements, positions [Å], cell [Å], periodicity, tags, and how each atom
may move (:func:`htinvert.geometry.roles.motion`). Momenta, charges and the like are not kept.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import (
    Axis,
    Candidate,
    Evaluation,
    Infeasible,
    Signal,
)
from htinvert.geometry.roles import motion, rigid_bodies, set_motion
from htinvert.store.result import unpack_result

STEPS = 1e6
"""Grid steps per Å: positions and cells are snapped before they are hashed, evaluated, stored."""
LARGEST = 1e4
"""No coordinate and no cell entry may be farther from zero than this [Å]."""

_HEAD = struct.Struct("<IBBI9d")  # natoms, pbc bits, form of positions, bytes of fields, cell
_FORMS = ("<f8", "<i4")  # positions as they are [Å], or as whole grid steps
_ATOM_FIELDS = (("number", "<u2"), ("tag", "<i8"), ("motion", "u1"))  # deflated
RECIPROCAL = ("1/Å", "mrad")  # units of a pattern's axes
_LEVELS = 4095  # 12 bits: 1 - NCC of a simulated image is then below 1e-6
_NOT_FINITE = 65535


@dataclass(frozen=True, eq=False)
class Row:
    """One committed evaluation with what only the store knows: key (32 bytes), tries, time [s]."""

    key: bytes
    evaluation: Evaluation
    attempts: int
    time: float


@dataclass(frozen=True, eq=False)
class Stored:
    """One committed row as the journal holds it, its structures packed and its result as JSON."""

    number: int
    index: int
    key: bytes
    operator: str
    parents: str
    structure: bytes
    attempts: int
    time: float
    result: str
    relaxed: bytes | None

    def row(self, kept: Mapping[str, PackedSignal]) -> Row:
        """The same as an evaluation, with these signals."""
        parents = tuple(json.loads(self.parents))
        atoms = unpack_structure(self.structure)
        candidate = Candidate(self.index, atoms, self.operator, parents)
        relaxed = None if self.relaxed is None else moved(atoms, *unpack_relaxed(self.relaxed))
        evaluation = unpack_result(self.result, candidate, relaxed, *unpacked(kept))
        return Row(self.key, evaluation, self.attempts, self.time)


@dataclass(frozen=True, eq=False)
class Geometry:
    """A structure as arrays: cell (3, 3) [Å], periodicity (3,), and per atom what is kept of it."""

    cell: NDArray[np.float64]
    pbc: NDArray[np.bool_]
    number: NDArray[Any]
    tag: NDArray[Any]
    motion: NDArray[Any]
    position: NDArray[np.float64]

    def atoms(self) -> Atoms:
        """The structure itself."""
        found = Atoms(
            numbers=self.number,
            positions=self.position,
            cell=self.cell,
            pbc=self.pbc,
            tags=self.tag.astype(int),
        )
        set_motion(found, self.motion)
        return found


@dataclass(frozen=True, eq=False)
class PackedSignal:
    """A signal as it is stored: 12-bit levels between ``low`` and ``high``, 65535 not finite.

    Of an exact one ``levels`` are the values themselves, and ``exact`` says by what imaging. The
    ``code`` is empty where levels are even, ``root`` where they are even in the square root of what
    a value is above the lowest: of diffraction patterns, whose weak disks would be lost else.
    """

    levels: NDArray[Any]
    low: float
    high: float
    axes: tuple[Axis, ...]
    exact: str = ""
    code: str = ""

    @classmethod
    def of(cls, signal: Signal, exact: str = "") -> PackedSignal:
        """Quantize, or keep the values.

        The error is at most (high - low) / 8190; of a root code it is that times twice the square
        root of (value - low) / (high - low), so that white noise of counts stays above it.
        """
        data = signal.data.astype(float)
        finite = np.isfinite(data)
        low, high = (float(f(data[finite])) for f in (np.min, np.max)) if finite.any() else (0, 0)
        if exact:
            return cls(signal.data, low, high, signal.axes, exact)
        code = "root" if len(signal.axes) > 1 and signal.axes[-1].unit in RECIPROCAL else ""
        scale = 1.0 / (high - low) if high > low else 0.0
        share = (data[finite] - low) * scale
        levels = np.full(data.shape, _NOT_FINITE, np.uint16)
        levels[finite] = np.rint((np.sqrt(share) if code else share) * _LEVELS).astype(np.uint16)
        return cls(levels, low, high, signal.axes, code=code)

    def signal(self) -> Signal:
        """The signal; float32 and to look at only, never to rank by, where it is not exact."""
        if self.exact:
            return Signal(self.levels, self.axes)
        share = self.levels.astype(float) / _LEVELS
        data = self.low + (share**2 if self.code else share) * (self.high - self.low)
        data[self.levels == _NOT_FINITE] = np.nan
        return Signal(data.astype(np.float32), self.axes)


def unpacked(kept: Mapping[str, PackedSignal]) -> tuple[dict[str, Signal], dict[str, str]]:
    """Signals by channel, and by what imaging those were made that are exact."""
    signals = {channel: pixels.signal() for channel, pixels in kept.items()}
    return signals, {channel: pixels.exact for channel, pixels in kept.items() if pixels.exact}


def snap(atoms: Atoms) -> Atoms:
    """Copy a structure with positions, shape (n, 3), and cell on a grid of 1e-6 Å, without -0.0.

    Snap first, then hash and evaluate: a key over unsnapped floats depends on the last bit. A rigid
    grain snaps as a whole, or its inner distances would wander from one generation to the next.

    Raises:
        Infeasible: a coordinate is not a number, infinite, or beyond 1e4 Å.
    """
    snapped: Atoms = atoms.copy()
    for body in rigid_bodies(snapped):
        first = snapped.positions[body.index[:1]]
        snapped.positions[body.index] += _grid(first, "position") / STEPS - first
    snapped.positions[:] = _grid(snapped.positions, "position") / STEPS + 0.0
    snapped.set_cell(_grid(atoms.cell.array, "cell") / STEPS + 0.0, scale_atoms=False)
    return snapped


def structure_key(atoms: Atoms, context: bytes | str) -> bytes:
    """SHA-256 (32 bytes) of a structure and of the context that will evaluate it.

    Periodicity, cell, elements, positions on the 1e-6 Å grid, frozen atoms and rigid bodies count,
    in the given order of atoms; tags do not. ``context`` stands for everything else that decides
    the result.

    Raises:
        Infeasible: as :func:`snap`.
    """
    digest = hashlib.sha256(b"htinvert-structure-1")
    digest.update(struct.pack("<IB", len(atoms), _pbc_bits(atoms)))
    digest.update(_grid(atoms.cell.array, "cell").astype("<i8").tobytes())
    digest.update(atoms.numbers.astype("<u2").tobytes())
    digest.update(_grid(atoms.positions, "position").astype("<i8").tobytes())
    digest.update(motion(atoms).tobytes())
    suffix = context.encode() if isinstance(context, str) else context
    return hashlib.sha256(digest.digest() + suffix).digest()


def _grid(values: NDArray[np.float64], what: str) -> NDArray[np.float64]:
    """Whole numbers of grid steps, any shape."""
    if not np.isfinite(values).all():
        raise Infeasible(f"a {what} is not finite")
    if values.size and np.abs(values).max() > LARGEST:
        raise Infeasible(f"a {what} is {np.abs(values).max():.3g} Å from zero, over {LARGEST:g} Å")
    return np.rint(values * STEPS)


def _pbc_bits(atoms: Atoms) -> int:
    return int(np.packbits(atoms.pbc, bitorder="little")[0])


def require_storable(atoms: Atoms) -> None:
    """Refuse, with a UserError, constraints other than FixAtoms and RigidBody, which would be lost.

    A rigid body that overlaps with frozen atoms or with another body is refused as well.
    """
    motion(atoms)


def is_snapped(atoms: Atoms) -> bool:
    """Whether positions are on the grid of 1e-6 Å as :func:`snap` leaves them."""
    return np.array_equal(np.rint(atoms.positions * STEPS) / STEPS, atoms.positions)


def pack_structure(atoms: Atoms) -> bytes:
    """Bytes of a structure: head, deflated number, tag and motion, positions in the shorter form.

    Positions on the grid take 4 bytes a coordinate, others, such as relaxed ones, 8; both are
    exact.
    """
    steps = np.rint(atoms.positions * STEPS)
    form = int(is_snapped(atoms) and np.abs(steps).max(initial=0) < 2**31)
    fields = zlib.compress(
        b"".join(
            np.asarray(values).astype(dtype).tobytes()
            for (_, dtype), values in zip(
                _ATOM_FIELDS, (atoms.numbers, atoms.get_tags(), motion(atoms)), strict=True
            )
        ),
        level=1,
    )
    positions = (steps if form else atoms.positions).astype(_FORMS[form]).tobytes()
    cell = atoms.cell.array.ravel()
    head = _HEAD.pack(len(atoms), _pbc_bits(atoms), form, len(fields), *cell)
    return head + fields + positions


def atoms_in(raw: bytes) -> int:
    """How many atoms a structure of :func:`pack_structure` has."""
    return int(_HEAD.unpack_from(raw)[0])


def unpack_geometry(raw: bytes) -> Geometry:
    """Restore the arrays of :func:`pack_structure`."""
    count, bits, form, size, *cell = _HEAD.unpack_from(raw)
    deflated = zlib.decompress(raw[_HEAD.size : _HEAD.size + size])
    offset, fields = 0, []
    for _, dtype in _ATOM_FIELDS:
        fields.append(np.frombuffer(deflated, dtype, count, offset))
        offset += fields[-1].nbytes
    position = np.frombuffer(raw, _FORMS[form], 3 * count, _HEAD.size + size).reshape(count, 3)
    if form:
        position = position / STEPS
    pbc = np.array([bool(bits >> axis & 1) for axis in range(3)])
    return Geometry(np.reshape(cell, (3, 3)), pbc, fields[0], fields[1], fields[2], position)


def unpack_structure(raw: bytes) -> Atoms:
    """Restore a structure from :func:`pack_structure`."""
    return unpack_geometry(raw).atoms()


def pack_relaxed(atoms: Atoms, proposed: Atoms) -> bytes:
    """Cell and positions, 8 bytes each; all else is as proposed.

    Raises:
        ValueError: it has other atoms.
    """
    if not np.array_equal(atoms.numbers, proposed.numbers):
        raise ValueError(
            f"{atoms.get_chemical_formula()} was made of {proposed.get_chemical_formula()}, or the "
            "order of the atoms was changed; a relaxation keeps its atoms"
        )
    return atoms.cell.array.astype("<f8").tobytes() + atoms.positions.astype("<f8").tobytes()


def unpack_relaxed(raw: bytes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cell (3, 3) [Å] and positions (n, 3) [Å] of :func:`pack_relaxed`."""
    numbers = np.frombuffer(raw, "<f8").reshape(-1, 3)
    return numbers[:3], numbers[3:]


def moved(atoms: Atoms, cell: NDArray[np.float64], positions: NDArray[np.float64]) -> Atoms:
    """The same atoms in another cell (3, 3) [Å] at other positions (n, 3) [Å]."""
    found: Atoms = atoms.copy()
    found.set_cell(cell, scale_atoms=False, apply_constraint=False)
    found.set_positions(positions, apply_constraint=False)
    return found


def pack_signal(signal: Signal, exact: str = "") -> tuple[str, bytes]:
    """JSON of a signal's shape, range and axes, and its 12-bit levels or its values, deflated."""
    pixels = PackedSignal.of(signal, exact)
    axes = [[axis.name, axis.unit, float(axis.step), float(axis.origin)] for axis in signal.axes]
    layout = {"shape": signal.data.shape, "range": [pixels.low, pixels.high], "axes": axes}
    levels = pixels.levels.astype(pixels.levels.dtype.newbyteorder("<"))
    if exact:
        layout |= {"exact": exact, "type": levels.dtype.str}
    if pixels.code:
        layout |= {"code": pixels.code}
    return json.dumps(layout, separators=(",", ":")), zlib.compress(levels.tobytes(), level=1)


def unpack_pixels(description: str, raw: bytes) -> PackedSignal:
    """Restore what :func:`pack_signal` packed."""
    layout = json.loads(description)
    levels = np.frombuffer(zlib.decompress(raw), layout.get("type", "<u2"))
    axes = tuple(Axis(*axis) for axis in layout["axes"])
    low, high = layout["range"]
    kept = layout.get("exact", ""), layout.get("code", "")
    return PackedSignal(levels.reshape(layout["shape"]), low, high, axes, *kept)
