"""Curves as programs and instruments write them: columns of text, arrays, EMSA and loss spectra."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htinvert.core import Floats, Signal, UserError
from htinvert.image.parsing import parsing
from htinvert.image.sizes import load_arrays
from htinvert.image.units import known_unit
from htinvert.signals.columns import named, read_columns
from htinvert.signals.curve_steps import evenly

TEXTS = (
    ".gr",
    ".chi",
    ".xy",
    ".xye",
    ".dat",
    ".txt",
    ".csv",
    ".xmu",
    ".xdi",
    ".fq",
    ".sq",
    ".iq",
    ".nor",
)
ARRAYS = (".npz", ".npy")
INSTRUMENTS = {
    ".msa": "msa",
    ".emsa": "msa",
    ".dm3": "digitalmicrograph",
    ".dm4": "digitalmicrograph",
    ".hspy": "hspy",
    ".emd": "emd",
}
LARGEST_FILE = 200_000_000  # bytes
FEWEST_ROWS = 10  # of a data set
MOST_POINTS = 200_000  # of a curve that is put on an even grid

DEFAULTS = {  # of x and the values, by ending, where a file does not say
    ".gr": ("r", "Å", "G [Å⁻²]"),
    ".fq": ("Q", "1/Å", "F [1/Å]"),
    ".sq": ("Q", "1/Å", "S"),
    ".iq": ("Q", "1/Å", "I"),
    ".xmu": ("energy", "eV", "mu"),
    ".xdi": ("energy", "eV", "mu"),
    ".nor": ("energy", "eV", "normalized mu"),
    ".chi": ("k", "1/Å", "chi"),
    ".msa": ("energy loss", "eV", "counts"),
    ".emsa": ("energy loss", "eV", "counts"),
    ".dm3": ("energy loss", "eV", "counts"),
    ".dm4": ("energy loss", "eV", "counts"),
    ".hspy": ("energy loss", "eV", "counts"),
    ".emd": ("energy loss", "eV", "counts"),
}


@dataclass(frozen=True, eq=False)
class _Record:
    """Two columns of a file and what it calls them."""

    x: Floats
    y: Floats
    name: str = ""
    unit: str = ""
    quantity: str = ""


def read_curve(
    path: Path,
    *,
    columns: tuple[int | str, int | str] | None = None,
    axis: str | None = None,
    quantity: str = "",
) -> tuple[Signal, str]:
    """Read a curve, and say in a sentence what the file holds.

    Args:
        path: a file of text with two or more columns, ``.npz`` (x and y, or the columns named),
            ``.npy`` of shape (n, 2) or (2, n), or EMSA (``.msa``).
        columns: x and y by number, from 1, or by name.
        axis: name and unit of x, such as ``r [Å]``; replaces what the file says.
        quantity: name and unit of the values.

    Lengths become Å, their inverses 1/Å, energies eV. Points are put in order of x; where x is not
    even, they are interpolated, and the sentence says so.

    Raises:
        UserError: where the file is missing, of another kind, or holds no curve.
    """
    record = _record(path, columns)
    ending = path.suffix.lower()
    x_name, x_unit, values = DEFAULTS.get(ending, ("x", "1", ""))
    name, unit = named(axis) if axis else (record.name or x_name, record.unit)
    known = known_unit(unit) if unit else None
    unit, factor = known or (unit or x_unit, 1.0)
    x, y = _in_order(record.x * factor, record.y, path.name)
    if name == "r" and unit == "Å" and x[0] < -1e-6:
        raise UserError(
            f"{path.name}: r begins at {x[0]:g} Å, but distances are not negative; check "
            "columns, or name the axis, such as axis: x [Å]"
        )
    step, even = _step(x)
    said = f"{path.name}: {len(x)} points, {name} from {x[0]:.6g} to {x[-1]:.6g} {unit}"
    if not even:
        if (x[-1] - x[0]) / step > MOST_POINTS:
            raise UserError(
                f"{path.name} has steps of {name} from {step:.3g} {unit} over a range of "
                f"{x[-1] - x[0]:.3g}; rebin it outside to fewer than {MOST_POINTS} points"
            )
        said += f"; uneven steps, interpolated at every {step:.4g} {unit}"
        x, y = evenly(x, y, step)
    what = quantity or record.quantity or values
    return Signal.curve(x, y, name=name, unit=unit, quantity=what), said


def _record(path: Path, columns: tuple[int | str, int | str] | None) -> _Record:
    """What a file holds, by its ending."""
    if not path.is_file():
        raise UserError(f"there is no file {path}; check the experiment's data")
    ending = path.suffix.lower()
    if path.stat().st_size > LARGEST_FILE:
        raise UserError(f"{path.name} has more than {LARGEST_FILE / 1e6:.0f} MB; is it a curve?")
    if ending in TEXTS:
        table = read_columns(path)
        (x, name, unit), (y, what, own) = (
            table.values(which, path.name) for which in columns or (1, 2)
        )
        return _Record(x, y, name, unit, f"{what} [{own}]" if own else what)
    if ending in ARRAYS:
        return _arrays(path, columns)
    if ending in INSTRUMENTS:
        return _instrument(path)
    known = ", ".join((*TEXTS, *ARRAYS, *INSTRUMENTS))
    raise UserError(f"{path.name} is of a kind that is not read as a curve; known are {known}")


def _arrays(path: Path, columns: tuple[int | str, int | str] | None) -> _Record:
    """Numpy's arrays: two named ones of an archive, or the two columns of one."""
    loaded = load_arrays(path, most=LARGEST_FILE)
    arrays = {name: data for name, data in loaded.items() if data.dtype.kind in "biuf"}
    if path.suffix.lower() == ".npy":
        return _pair(next(iter(arrays.values()), np.zeros(0)), columns, path.name)
    names = [str(which) for which in columns] if columns else list(arrays)[:2]
    if len(names) < 2 or any(name not in arrays for name in names):
        raise UserError(f"{path.name} holds {', '.join(arrays)}; name two in columns")
    x, y = (np.asarray(arrays[name], dtype=float).ravel() for name in names)
    if len(x) != len(y):
        raise UserError(f"{path.name}: {names[0]} has {len(x)} values, {names[1]} {len(y)}")
    return _Record(x, y, names[0] if names[0] != "x" else "")


def _pair(loaded: NDArray[Any], columns: tuple[int | str, int | str] | None, file: str) -> _Record:
    """Two columns of an array, of shape (n, 2) or (2, n) or with more of them."""
    data = loaded.T if loaded.ndim == 2 and loaded.shape[0] != 2 else loaded
    if data.ndim != 2 or len(data) < 2:
        raise UserError(f"{file} has shape {loaded.shape}; give (n, 2) or (2, n)")
    chosen = [str(which) for which in columns or (1, 2)]
    if not all(which.isdigit() and 1 <= int(which) <= len(data) for which in chosen):
        raise UserError(f"{file} has columns 1 to {len(data)}; give two of these numbers")
    x, y = (np.asarray(data[int(which) - 1], dtype=np.float64) for which in chosen)
    return _Record(x, y)


def _instrument(path: Path) -> _Record:
    """What rosettasciio reads of a spectrum."""
    import importlib

    reader = INSTRUMENTS[path.suffix.lower()]
    with parsing(path, "a spectrum", "export it as text"):
        signals = importlib.import_module(f"rsciio.{reader}").file_reader(str(path))
        spectra = [found for found in signals if np.squeeze(found["data"]).ndim == 1]
        if not spectra:
            raise UserError(f"{path.name} holds no spectrum, only images or maps of them")
        axis = spectra[0]["axes"][-1]
        y = np.asarray(spectra[0]["data"], dtype=float).ravel()
        x = float(axis["offset"]) + float(axis["scale"]) * np.arange(len(y), dtype=float)
    name = str(axis.get("name") or "").lower()
    quantity = str(spectra[0]["metadata"].get("Signal", {}).get("quantity") or "")
    name = "" if name in ("x", "energy", "energy loss") else name
    return _Record(x, y, name, axis["units"], quantity)


def _in_order(x: Floats, y: Floats, file: str) -> tuple[Floats, Floats]:
    """Points by rising x, those of one x averaged; values that are no numbers end it, or stay."""
    good = np.isfinite(x)
    good[good] = _without_ends(np.isfinite(y[good]))
    x, y = x[good], y[good]
    _refuse_anew(x, file)
    x, which = np.unique(x, return_inverse=True)
    y = np.bincount(which, weights=y, minlength=len(x)) / np.bincount(which)
    if len(x) < 3:
        raise UserError(f"{file} has {len(x)} points with different x; a curve needs three")
    return x, y


def _without_ends(good: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """All from the first to the last that is good."""
    places = np.flatnonzero(good)
    kept = np.zeros_like(good)
    if len(places):
        kept[places[0] : places[-1] + 1] = True
    return kept


def _refuse_anew(x: Floats, file: str) -> None:
    """Raise where x goes back to its beginning, as in a file of several data sets in a row."""
    if len(x) < 2 * FEWEST_ROWS:
        return
    steps = np.diff(x) * np.sign(np.median(np.diff(x)))
    back = np.flatnonzero(steps < 0.0)  # none but these: x is in order within each data set
    if 0 < len(back) < len(x) / FEWEST_ROWS and (steps[back] < -0.5 * np.ptp(x)).all():
        raise UserError(
            f"{file} holds {len(back) + 1} data sets, because x begins anew in row {back[0] + 2} "
            "of the numbers; keep one in the file"
        )


def _step(x: Floats) -> tuple[float, bool]:
    """Step of an even x; or a short one of its steps, and that it is uneven."""
    steps = np.diff(x)
    mean = float(steps.mean())
    if np.abs(x - (x[0] + mean * np.arange(len(x)))).max() <= 0.01 * mean:
        return mean, True
    return float(np.quantile(steps, 0.1)), False
