"""Committed rows as named columns with units, and back; pure arrays, no files.

``arrays`` below maps a path such as ``candidates/energy`` to what the archive holds already; only
length_needed, attributes and slices of it are used, so a numpy array would do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import ENERGIES, Axis, Candidate, Evaluation, Relaxation, Score, Signal
from htinvert.roles import motion
from htinvert.store.record import Row, restore_structure

OK, FAILED = 1, 2
ROWS = 16384  # rows per chunk: 62 files per column and million rows
ATOMS, ATOMS_PER_FILE = 16384, 1048576  # atoms per checksummed chunk, and per shard (one file)
SIGNALS_PER_FILE = 64
PARENTS = 2
PER_ATOM = ("number", "tag", "fixed", "position", "body")
LAST = "candidates/status"  # to be written last: its length is the number of whole rows
NAMED = ("objectives", "scores", "details", "parameters")


@dataclass(frozen=True, eq=False)
class Column:
    """Values of one array from ``start`` on, with its chunk (and file) length and attributes."""

    path: str
    values: NDArray[Any]
    start: int
    unit: str
    description: str
    chunk: int = ROWS
    file: int | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


def columns(arrays: Mapping[str, Any], start: int, rows: Sequence[Row]) -> list[Column]:
    """Every array's values for rows that are numbered from ``start`` on."""
    evaluations = [row.evaluation for row in rows]
    final = [evaluation.atoms for evaluation in evaluations]
    proposed = [evaluation.candidate.atoms for evaluation in evaluations]
    return [
        *_structure_columns(arrays, "candidates", "atoms", start, final),
        *_structure_columns(arrays, "proposed", "proposed", start, proposed),
        *_plain_columns(start, rows),
        _operator_column(arrays, start, evaluations),
        *_named_columns(arrays, start, evaluations),
        *_signal_columns(arrays, start, evaluations),
    ]


def _structure_columns(
    arrays: Mapping[str, Any], rows: str, atoms: str, start: int, structures: Sequence[Atoms]
) -> list[Column]:
    counts = np.array([len(structure) for structure in structures], dtype="<i4")
    first = 0
    if start:
        first = int(arrays[f"{rows}/atom_start"][start - 1]) + int(
            arrays[f"{rows}/natoms"][start - 1]
        )
    starts = first + np.cumsum(counts, dtype="<i8") - counts
    what = "as proposed" if rows == "proposed" else "as relaxed, or as proposed where not relaxed"
    cells = np.array([structure.cell.array for structure in structures])
    pbc = np.array([structure.pbc for structure in structures])
    per_row = [
        ("natoms", counts, ("1", "number of atoms")),
        ("atom_start", starts, ("1", f"first of the structure's natoms rows in {atoms}/*")),
        ("cell", cells, ("Å", f"cell vectors (vector, xyz) {what}")),
        ("pbc", pbc, ("1", "periodic along each cell vector")),
    ]
    codes = np.concatenate([motion(structure) for structure in structures])
    flat = {
        "number": np.concatenate([structure.numbers for structure in structures]).astype("u1"),
        "tag": np.concatenate([structure.get_tags() for structure in structures]).astype("<i8"),
        "fixed": codes == 1,
        "position": np.concatenate([structure.positions for structure in structures]),
    }
    if (codes > 1).any() or f"{atoms}/body" in arrays:  # most runs have no rigid grain
        flat["body"] = np.where(codes > 1, codes, 0).astype("u1")
    meaning = {
        "number": ("1", "atomic number"),
        "tag": ("1", "1 in the region that a search may change, 0 in the host"),
        "fixed": ("1", "held in place during relaxation"),
        "position": ("Å", f"Cartesian position (x, y, z) {what}"),
        "body": (
            "1",
            "rigid body: 8 times its number from 1, plus 1, 2, 4 if it moves along x, y, z",
        ),
    }
    return [Column(f"{rows}/{name}", values, start, *text) for name, values, text in per_row] + [
        Column(f"{atoms}/{name}", values, first, *meaning[name], ATOMS, ATOMS_PER_FILE)
        for name, values in flat.items()
    ]


def _plain_columns(start: int, rows: Sequence[Row]) -> list[Column]:
    evaluations = [row.evaluation for row in rows]
    candidates = [evaluation.candidate for evaluation in evaluations]
    relaxations = [e.relaxation or Relaxation(e.atoms, np.nan, False, -1) for e in evaluations]
    none = (-1,) * PARENTS
    plain: list[tuple[str, str, list[Any], str, str]] = [
        ("key", "u1", [[*row.key] for row in rows], "1", "SHA-256 of structure and evaluator"),
        ("index", "<i8", [c.index for c in candidates], "1", "number of the proposal"),
        (
            "parents",
            "<i8",
            [(*c.parents, *none)[:PARENTS] for c in candidates],
            "1",
            "their index or -1",
        ),
        ("relaxed", "?", [e.relaxation is not None for e in evaluations], "1", "was relaxed"),
        ("energy", "<f8", [r.energy for r in relaxations], "eV", "potential energy"),
        ("converged", "?", [r.converged for r in relaxations], "1", "the relaxation converged"),
        ("steps", "<i8", [r.steps for r in relaxations], "1", "relaxation steps, -1 none"),
        ("seconds", "<f8", [e.seconds for e in evaluations], "s", "how long it took"),
        ("attempts", "<i4", [row.attempts for row in rows], "1", "how often it was tried"),
        ("time", "<f8", [row.time for row in rows], "s", "commit, since 1970-01-01 UTC"),
        ("error", "T", [e.error or "" for e in evaluations], "1", "why it failed, empty if ok"),
        ("status", "u1", [OK if e.ok else FAILED for e in evaluations], "1", "1 ok, 2 failed"),
    ]
    return [
        Column(f"candidates/{name}", np.array(values, dtype), start, unit, meaning)
        for name, dtype, values, unit, meaning in plain
    ]


def _operator_column(
    arrays: Mapping[str, Any], start: int, evaluations: Sequence[Evaluation]
) -> Column:
    path = "candidates/operator"
    table = list(arrays[path].attrs["table"]) if path in arrays else []
    names = [evaluation.candidate.operator for evaluation in evaluations]
    table += [name for name in dict.fromkeys(names) if name not in table]
    codes = np.array([table.index(name) for name in names], "<i4")
    text = "position in the attribute 'table' of the operator that proposed it"
    return Column(path, codes, start, "1", text, attributes={"table": table})


def _named_columns(
    arrays: Mapping[str, Any], start: int, evaluations: Sequence[Evaluation]
) -> list[Column]:
    """Objectives, scores, score details and fitted parameters, NaN where there is none."""
    found: dict[str, Column] = {}
    for path, array in arrays.items():
        if path.split("/")[0] in NAMED:
            values = np.full(len(evaluations), np.nan)
            found[path] = Column(path, values, start, "", "", attributes=dict(array.attrs))
    for row, evaluation in enumerate(evaluations):
        for names, value in _numbers(evaluation):
            path = "/".join(map(_escaped, names))
            if path not in found:
                found[path] = _named_column(path, names, len(evaluations), start)
            found[path].values[row] = value
    return list(found.values())


def _named_column(path: str, names: tuple[str, ...], rows: int, start: int) -> Column:
    kind, *label = names
    unit, text = {
        "objectives": (ENERGIES.get(names[-1], "1"), "objective, lower is better"),
        "scores": ("1", "cost of a metric, 0 is identical, lower is better"),
        "details": ("as the metric says", "detail of a score"),
        "parameters": ("as the forward model says", "fitted parameter of a channel"),
    }[kind]
    values = np.full(rows, np.nan)
    return Column(path, values, start, unit, text, attributes={"name": label[-1], "label": label})


def _numbers(evaluation: Evaluation) -> Iterator[tuple[tuple[str, ...], float]]:
    for name, value in evaluation.objectives.items():
        yield ("objectives", name), value
    for name, score in evaluation.scores.items():
        yield ("scores", name), score.cost
        for detail, value in score.detail.items():
            yield ("details", name, detail), value
    for channel, parameters in evaluation.parameters.items():
        for name, value in parameters.items():
            yield ("parameters", channel, name), value


def _escaped(name: str) -> str:
    """A name that is one part of a Zarr path; the attribute 'label' keeps the real one."""
    return name.replace("%", "%25").replace("/", "%2F")


def _signal_columns(
    arrays: Mapping[str, Any], start: int, evaluations: Sequence[Evaluation]
) -> list[Column]:
    """The signals kept, ``signals/<channel>/data`` and the row each belongs to.

    Signals of one channel that differ in shape or axes go to ``<channel>.2`` and so on.
    """
    folders = {
        path.removesuffix("/data"): array.attrs["layout"]
        for path, array in arrays.items()
        if path.startswith("signals/") and path.endswith("/data")
    }
    held: dict[str, list[tuple[int, Signal]]] = {folder: [] for folder in folders}
    for number, evaluation in enumerate(evaluations, start):
        for channel, signal in evaluation.signals.items():
            layout = _layout(channel, signal)
            folder = next((path for path, known in folders.items() if known == layout), None)
            if folder is None:
                others = sum(known["channel"] == channel for known in folders.values())
                suffix = f".{others + 1}" if others else ""
                folder = f"signals/{_escaped(channel)}{suffix}"
                folders[folder] = layout
            held.setdefault(folder, []).append((number, signal))
    found = []
    for folder, entries in held.items():
        found += _signal_pair(arrays, folder, start, entries, folders[folder])
    return found


def _signal_pair(
    arrays: Mapping[str, Any],
    folder: str,
    start: int,
    entries: Sequence[tuple[int, Signal]],
    layout: Mapping[str, Any],
) -> list[Column]:
    path, first = f"{folder}/row", 0
    if path in arrays:
        first = _count_below(arrays[path], start)
    rows = np.array([number for number, _ in entries], "<i8")
    data = np.zeros((len(entries), *layout["shape"]), "<f4")
    for line, (_, signal) in zip(data, entries, strict=True):
        line[...] = signal.data
    text = f"signal of channel {layout['channel']}, one per entry of row; axes in 'layout'"
    pixels = Column(
        f"{folder}/data", data, first, "1", text, 1, SIGNALS_PER_FILE, attributes={"layout": layout}
    )
    return [Column(path, rows, first, "1", "row in candidates/* of each signal"), pixels]


def _count_below(rows: Any, stop: int) -> int:
    """How many signals belong to rows below ``stop``; -1 is what a killed writer left unwritten."""
    numbers = np.asarray(rows[:])
    return int(np.count_nonzero((numbers >= 0) & (numbers < stop)))


def _layout(channel: str, signal: Signal) -> dict[str, Any]:
    axes = [[axis.name, axis.unit, float(axis.step), float(axis.origin)] for axis in signal.axes]
    return {"channel": channel, "shape": list(signal.data.shape), "axes": axes}


def length_needed(arrays: Mapping[str, Any], path: str, rows: int) -> int:
    """How long the array at ``path`` must be at least when ``rows`` rows are held."""
    kind, *name = path.split("/")
    if kind == "signals":
        return _count_below(arrays[f"signals/{name[0]}/row"], rows)
    if kind in ("atoms", "proposed") and name[0] in PER_ATOM:
        group = "candidates" if kind == "atoms" else kind
        last = [int(arrays[f"{group}/{part}"][rows - 1]) for part in ("atom_start", "natoms")]
        return sum(last)
    return rows


def restore(
    arrays: Mapping[str, Any], start: int, stop: int, *, signals: bool = False
) -> Iterator[Row]:
    """Rows ``start <= number < stop`` from the arrays of an archive."""
    final = _structures(arrays, "candidates", "atoms", start, stop)
    proposed = _structures(arrays, "proposed", "proposed", start, stop)
    page = {
        path: np.asarray(array[start:stop])
        for path, array in arrays.items()
        if path.split("/")[0] in ("candidates", *NAMED)
    }
    labels = {path: arrays[path].attrs["label"] for path in page if path.split("/")[0] in NAMED}
    table = arrays["candidates/operator"].attrs["table"]
    kept = _signals(arrays, start, stop) if signals else {}
    for i in range(stop - start):
        row = {path.removeprefix("candidates/"): values[i] for path, values in page.items()}
        candidate = Candidate(
            int(row["index"]),
            proposed[i],
            table[row["operator"]],
            tuple(int(parent) for parent in row["parents"] if parent >= 0),
        )
        relaxation = None
        if row["relaxed"]:
            numbers = float(row["energy"]), bool(row["converged"]), int(row["steps"])
            relaxation = Relaxation(final[i], *numbers)
        evaluation = Evaluation(
            candidate,
            relaxation=relaxation,
            **_nested({path: (labels[path], float(row[path])) for path in labels}),
            signals=kept.get(start + i, {}),
            error=str(row["error"]) if row["status"] == FAILED else None,
            seconds=float(row["seconds"]),
        )
        yield Row(row["key"].tobytes(), evaluation, int(row["attempts"]), float(row["time"]))


def _structures(
    arrays: Mapping[str, Any], rows: str, atoms: str, start: int, stop: int
) -> list[Atoms]:
    names = ("atom_start", "natoms", "cell", "pbc")
    first, counts, cells, pbcs = (
        np.asarray(arrays[f"{rows}/{name}"][start:stop]) for name in names
    )
    begin, end = int(first[0]), int(first[-1] + counts[-1])
    flat = {
        name: np.asarray(arrays[f"{atoms}/{name}"][begin:end])
        for name in PER_ATOM
        if f"{atoms}/{name}" in arrays
    }
    codes = flat.pop("fixed").astype("u1")
    flat["motion"] = codes + flat.pop("body", np.zeros_like(codes))
    found = []
    for low, count, cell, pbc in zip(first - begin, counts, cells, pbcs, strict=True):
        fields = {name: values[low : low + count] for name, values in flat.items()}
        found.append(restore_structure(cell, pbc, **fields))
    return found


def _signals(arrays: Mapping[str, Any], start: int, stop: int) -> dict[int, dict[str, Signal]]:
    found: dict[int, dict[str, Signal]] = {}
    for path in arrays:
        if path.startswith("signals/") and path.endswith("/row"):
            data = arrays[path.removesuffix("row") + "data"]
            layout = data.attrs["layout"]
            axes = tuple(Axis(*axis) for axis in layout["axes"])
            rows = np.asarray(arrays[path][:])
            low, high = _count_below(rows, start), _count_below(rows, stop)
            for number, pixels in zip(rows[low:high], data[low:high], strict=True):
                found.setdefault(int(number), {})[layout["channel"]] = Signal(pixels, axes)
    return found


def _nested(values: Mapping[str, tuple[list[str], float]]) -> dict[str, Any]:
    """The objectives, scores and parameters of an evaluation; NaN stands for absent."""
    present = [
        (path.split("/")[0], *entry) for path, entry in values.items() if entry[1] == entry[1]
    ]
    objectives = {label[0]: value for kind, label, value in present if kind == "objectives"}
    parameters: dict[str, dict[str, float]] = {}
    details: dict[str, dict[str, float]] = {}
    for kind, label, value in present:
        if kind in ("parameters", "details"):
            target = parameters if kind == "parameters" else details
            target.setdefault(label[0], {})[label[1]] = value
    costs = {label[0]: value for kind, label, value in present if kind == "scores"}
    scores = {name: Score(cost, details.get(name, {})) for name, cost in costs.items()}
    return {"objectives": objectives, "scores": scores, "parameters": parameters}
