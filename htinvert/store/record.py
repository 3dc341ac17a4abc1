"""A structure's key, and evaluations as raw little-endian bytes plus JSON (never pickle).

What is kept of a structure: elements, positions [Å], cell [Å], periodicity, tags, and how each atom
may move (:func:`htinvert.roles.motion`). Momenta, charges and the like are not kept.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping
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
    Relaxation,
    Score,
    Signal,
)
from htinvert.roles import motion, rigid_bodies, set_motion

STEPS = 1e6
"""Grid steps per Å: positions and cells are snapped before they are hashed, evaluated, stored."""
LARGEST = 1e4
"""No coordinate and no cell entry may be farther from zero than this [Å]."""

_HEAD = struct.Struct("<IB9d")  # natoms, pbc bits, cell
_ATOM_FIELDS = (
    ("number", "<u2", ()),
    ("tag", "<i8", ()),
    ("motion", "u1", ()),
    ("position", "<f8", (3,)),
)


@dataclass(frozen=True, eq=False)
class Row:
    """One committed evaluation with what only the store knows: key (32 bytes), tries, time [s]."""

    key: bytes
    evaluation: Evaluation
    attempts: int
    time: float


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


def pack_structure(atoms: Atoms) -> bytes:
    """Bytes of a structure: natoms u4, pbc u1, cell 9 f8, then per atom the fields listed above."""
    arrays = (atoms.numbers, atoms.get_tags(), motion(atoms), atoms.positions)
    parts = [_HEAD.pack(len(atoms), _pbc_bits(atoms), *atoms.cell.array.ravel())]
    for (_, dtype, _), values in zip(_ATOM_FIELDS, arrays, strict=True):
        parts.append(np.asarray(values).astype(dtype).tobytes())
    return b"".join(parts)


def unpack_structure(raw: bytes) -> Atoms:
    """Restore a structure from :func:`pack_structure`."""
    count, bits, *cell = _HEAD.unpack_from(raw)
    offset, fields = _HEAD.size, {}
    for name, dtype, shape in _ATOM_FIELDS:
        size = count * (shape[0] if shape else 1)
        fields[name] = np.frombuffer(raw, dtype, size, offset).reshape(count, *shape)
        offset += fields[name].nbytes
    pbc = [bool(bits >> axis & 1) for axis in range(3)]
    return restore_structure(np.reshape(cell, (3, 3)), np.asarray(pbc), **fields)


def restore_structure(
    cell: NDArray[np.float64],
    pbc: NDArray[np.bool_],
    *,
    number: NDArray[Any],
    tag: NDArray[Any],
    motion: NDArray[Any],
    position: NDArray[np.float64],
) -> Atoms:
    """Atoms from cell (3, 3) [Å], periodicity (3,) and arrays of n atoms, position (n, 3) [Å]."""
    atoms = Atoms(numbers=number, positions=position, cell=cell, pbc=pbc, tags=tag.astype(int))
    set_motion(atoms, motion)
    return atoms


def pack_result(evaluation: Evaluation) -> str:
    """JSON of everything in an evaluation that is neither structure nor signal."""
    relaxation = evaluation.relaxation
    scores = {name: [float(s.cost), _floats(s.detail)] for name, s in evaluation.scores.items()}
    result = {
        "relaxation": relaxation
        and [float(relaxation.energy), bool(relaxation.converged), int(relaxation.steps)],
        "scores": scores,
        "objectives": _floats(evaluation.objectives),
        "parameters": {name: _floats(values) for name, values in evaluation.parameters.items()},
        "error": evaluation.error,
        "seconds": float(evaluation.seconds),
    }
    return json.dumps(result, separators=(",", ":"))


def unpack_result(
    text: str,
    candidate: Candidate,
    relaxed: Atoms | None,
    signals: Mapping[str, Signal],
) -> Evaluation:
    """Restore an evaluation from :func:`pack_result`, its structures and its signals."""
    result = json.loads(text)
    relaxation = None
    if relaxed is not None:
        relaxation = Relaxation(relaxed, *result["relaxation"])
    return Evaluation(
        candidate,
        relaxation=relaxation,
        scores={name: Score(*score) for name, score in result["scores"].items()},
        objectives=result["objectives"],
        parameters=result["parameters"],
        signals=signals,
        error=result["error"],
        seconds=result["seconds"],
    )


def pack_signal(signal: Signal) -> tuple[str, bytes]:
    """JSON of a signal's shape and axes, and its data as little-endian float32."""
    axes = [[axis.name, axis.unit, float(axis.step), float(axis.origin)] for axis in signal.axes]
    description = json.dumps({"shape": signal.data.shape, "axes": axes}, separators=(",", ":"))
    return description, signal.data.astype("<f4").tobytes()


def unpack_signal(description: str, raw: bytes) -> Signal:
    """Restore a signal from :func:`pack_signal`."""
    layout = json.loads(description)
    data = np.frombuffer(raw, "<f4").reshape(layout["shape"]).astype(np.float32)
    return Signal(data, tuple(Axis(*axis) for axis in layout["axes"]))


def _floats(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items()}


def tabulate(results: Iterable[tuple[int, str, int, float, str]]) -> dict[str, NDArray[Any]]:
    """Columns of equal length from (index, operator, attempts, time [s], result as JSON)."""
    rows = []
    for index, operator, attempts, time, text in results:
        result = json.loads(text)
        energy, converged, steps = result["relaxation"] or (np.nan, False, -1)
        row: dict[str, Any] = {
            "index": index,
            "operator": operator,
            "ok": result["error"] is None,
            "energy": energy,
            "converged": converged,
            "steps": steps,
            "seconds": result["seconds"],
            "attempts": attempts,
            "time": time,
            "error": result["error"] or "",
        }
        row.update((f"objectives.{name}", value) for name, value in result["objectives"].items())
        row.update((f"scores.{name}", cost) for name, (cost, _) in result["scores"].items())
        for channel, values in result["parameters"].items():
            row.update((f"parameters.{channel}.{name}", value) for name, value in values.items())
        rows.append(row)
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}
