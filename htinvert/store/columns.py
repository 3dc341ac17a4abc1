"""Committed rows as named columns with units; pure arrays, no files.

Row columns have one entry per committed row. Atoms of all rows follow one another in ``atoms/*``
and ``proposed/position``, the first of row ``i`` at ``candidates/atom_start[i]``; every block of
rows begins a new file, so that no file is ever written by two blocks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htinvert.core import ENERGIES
from htinvert.store.record import STEPS, Stored, atoms_in, unpack_geometry, unpack_relaxed
from htinvert.store.result import load_result

OK, FAILED = 1, 2
PARENTS = 2
ATOMS_PER_ROW = 64  # for which the files of atoms are sized
ATOMS_PER_CHUNK = 16384
LAST = "candidates/status"  # to be written last: its length is the number of whole rows
NAMED = ("objectives", "scores", "details", "parameters")
PRESENT = np.array(0x7FF8000000000001, "<u8").view("<f8")
"""A number that is NaN; the fill value, which stands for no number, is another NaN."""

_PLAIN = {  # name in candidates/: type, unit, meaning
    "index": ("<i8", "1", "number of the proposal"),
    "key": ("u1", "1", "SHA-256 of structure and evaluator"),
    "operator": ("T", "1", "what proposed it"),
    "parents": ("<i8", "1", "their index or -1"),
    "relaxed": ("?", "1", "was relaxed"),
    "energy": ("<f8", "eV", "potential energy"),
    "converged": ("?", "1", "the relaxation converged"),
    "steps": ("<i8", "1", "relaxation steps, -1 none"),
    "force": ("<f8", "eV/Å", "largest force left, NaN unknown"),
    "seconds": ("<f8", "s", "how long it took"),
    "attempts": ("<i4", "1", "how often it was tried"),
    "time": ("<f8", "s", "commit, since 1970-01-01 UTC"),
    "error": ("T", "1", "why it failed, empty if ok"),
    "natoms": ("<i4", "1", "number of atoms"),
    "cell": ("<f8", "Å", "cell vectors (vector, xyz) as relaxed, or as proposed"),
    "pbc": ("?", "1", "periodic along each cell vector"),
    "atom_start": ("<i8", "1", "first of the structure's natoms entries in atoms/*"),
    "status": ("u1", "1", "1 ok, 2 failed"),
}
_ATOMS = {
    "atoms/number": ("u1", "1", "atomic number"),
    "atoms/tag": ("<i8", "1", "1 in the region that a search may change, 0 in the host"),
    "atoms/motion": (
        "u1",
        "1",
        "0 moves freely, 1 held, else rigid body: 8 times its number from 1, plus 1, 2, 4 if it "
        "moves along x, y, z",
    ),
    "atoms/position": ("<f8", "Å", "Cartesian position (x, y, z) as relaxed, or as proposed"),
    "proposed/position": ("<i8", "1e-6 Å", "position (x, y, z) as proposed; divide by 1e6 for Å"),
}


@dataclass(frozen=True, eq=False)
class Column:
    """Values of one array from ``start`` on, with its chunk and file length and attributes."""

    path: str
    values: NDArray[Any]
    start: int
    chunk: int
    file: int
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """Rows per block of one run, and so how its files are cut."""

    block: int

    @property
    def atoms(self) -> tuple[int, int]:
        """Atoms per chunk and per file."""
        file = self.block * ATOMS_PER_ROW
        return (ATOMS_PER_CHUNK if file % ATOMS_PER_CHUNK == 0 else file), file

    def first_atom(self, end: int) -> int:
        """Where a block's atoms begin when those of the block before end at ``end``."""
        return -(-end // self.atoms[1]) * self.atoms[1]


def block_columns(
    layout: Layout, start: int, end: int, pages: Iterable[Sequence[Stored]], known: Iterable[str]
) -> list[Column]:
    """All columns of the rows of one block but for signals, the last one last.

    Args:
        layout: rows per block.
        start: number of the block's first row.
        end: where the atoms of the block before end.
        pages: the rows, a page at a time.
        known: paths that the archive has already, for named columns.
    """
    made = [_page(page) for page in pages]
    rows = [len(page["candidates/status"]) for page in made]
    first = layout.first_atom(end)
    paths = {path for path in known if path.split("/")[0] in NAMED}.union(*made)
    found = []
    for path in sorted(paths, key=lambda path: path == LAST):
        parts = [
            page[path] if path in page else np.full(count, np.nan)
            for page, count in zip(made, rows, strict=True)
        ]
        values = np.concatenate(parts)
        if path in _ATOMS:
            found.append(Column(path, values, first, *layout.atoms, explained(path)))
        else:
            found.append(Column(path, values, start, layout.block, layout.block, explained(path)))
    counts = next(column.values for column in found if column.path == "candidates/natoms")
    starts = first + np.cumsum(counts, dtype="<i8") - counts
    path = "candidates/atom_start"
    return [Column(path, starts, start, layout.block, layout.block, explained(path)), *found]


def numbers_only(pages: Iterable[Sequence[Stored]]) -> dict[str, NDArray[Any]]:
    """Columns of rows without their structures, by path: all that ranking needs."""
    made = [_page(page, structures=False) for page in pages]
    rows = [len(page["candidates/status"]) for page in made]
    return {
        path: np.concatenate(
            [
                page[path] if path in page else np.full(count, np.nan)
                for page, count in zip(made, rows, strict=True)
            ]
        )
        for path in set[str]().union(*made)
    }


def explained(path: str) -> dict[str, Any]:
    """Name, unit and description of a column."""
    kind, *label = path.split("/")
    if path in _ATOMS:
        unit, text = _ATOMS[path][1:]
    elif kind == "candidates":
        unit, text = _PLAIN[label[0]][1:]
    elif path == "proposed/cell":
        unit, text = "Å", "cell vectors (vector, xyz) as proposed"
    else:
        label = [unescaped(part) for part in label]
        unit, text = {
            "objectives": (ENERGIES.get(label[-1], "1"), "objective, lower is better"),
            "scores": ("1", "cost of a metric, 0 is identical, lower is better"),
            "details": ("as the metric says", "detail of a score"),
            "parameters": ("as the forward model says", "fitted parameter of a channel"),
        }[kind]
    return {"name": label[-1], "unit": unit, "description": text}


def _page(rows: Sequence[Stored], *, structures: bool = True) -> dict[str, NDArray[Any]]:
    """Columns of some rows."""
    results = [load_result(row.result) for row in rows]
    found = _structures(rows) if structures else {}
    if not structures:
        found["candidates/natoms"] = np.array([atoms_in(row.structure) for row in rows], "<i4")
    missing = (np.nan, False, -1, None)
    relaxations = [result["relaxation"] or missing for result in results]
    parents = [(*json.loads(row.parents), -1, -1)[:PARENTS] for row in rows]
    plain: dict[str, Any] = {
        "index": [row.index for row in rows],
        "key": np.frombuffer(b"".join(row.key for row in rows), "u1").reshape(-1, 32),
        "operator": [row.operator for row in rows],
        "parents": parents,
        "relaxed": [row.relaxed is not None for row in rows],
        "energy": [_marked(relaxation[0]) for relaxation in relaxations],
        "converged": [relaxation[1] for relaxation in relaxations],
        "steps": [relaxation[2] for relaxation in relaxations],
        "force": [np.nan if r[3] is None else _marked(r[3]) for r in relaxations],
        "seconds": [result["seconds"] for result in results],
        "attempts": [row.attempts for row in rows],
        "time": [row.time for row in rows],
        "error": [result["error"] or "" for result in results],
        "status": [FAILED if result["error"] is not None else OK for result in results],
    }
    for name, values in plain.items():
        dtype = _PLAIN[name][0]
        found[f"candidates/{name}"] = np.array(
            values, np.dtypes.StringDType() if dtype == "T" else dtype
        )
    for number, result in enumerate(results):
        for path, value in _numbers(result):
            if path not in found:
                found[path] = np.full(len(rows), np.nan)
            found[path][number] = _marked(value)
    return found


def _structures(rows: Sequence[Stored]) -> dict[str, NDArray[Any]]:
    proposed = [unpack_geometry(row.structure) for row in rows]
    ends = [
        (geometry.cell, geometry.position) if row.relaxed is None else unpack_relaxed(row.relaxed)
        for row, geometry in zip(rows, proposed, strict=True)
    ]
    steps = np.rint(np.concatenate([geometry.position for geometry in proposed]) * STEPS)
    return {
        "candidates/natoms": np.array([len(geometry.number) for geometry in proposed], "<i4"),
        "candidates/pbc": np.array([geometry.pbc for geometry in proposed]),
        "candidates/cell": np.array([cell for cell, _ in ends]),
        "proposed/cell": np.array([geometry.cell for geometry in proposed]),
        "atoms/number": np.concatenate([geometry.number for geometry in proposed]).astype("u1"),
        "atoms/tag": np.concatenate([geometry.tag for geometry in proposed]),
        "atoms/motion": np.concatenate([geometry.motion for geometry in proposed]),
        "atoms/position": np.concatenate([position for _, position in ends]),
        "proposed/position": steps.astype("<i8"),
    }


def _numbers(result: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Path and value of everything in a result that has a name of the user's."""
    for name, value in result["objectives"].items():
        yield f"objectives/{escaped(name)}", value
    for name, (cost, detail) in result["scores"].items():
        yield f"scores/{escaped(name)}", cost
        for part, value in detail.items():
            yield f"details/{escaped(name)}/{escaped(part)}", value
    for channel, parameters in result["parameters"].items():
        for name, value in parameters.items():
            yield f"parameters/{escaped(channel)}/{escaped(name)}", value


def _marked(value: float) -> float:
    return float(PRESENT) if value != value else value


def escaped(name: str) -> str:
    """A name that is one part of a Zarr path, which no name of nothing but dots is."""
    made = name.replace("%", "%25").replace("/", "%2F").replace("\\", "%5C")
    return made if made.strip(".") else made.replace(".", "%2E") or "%00"


def unescaped(part: str) -> str:
    """The name of which :func:`escaped` made this part."""
    part = part.replace("%00", "").replace("%2E", ".").replace("%5C", "\\")
    return part.replace("%2F", "/").replace("%25", "%")
