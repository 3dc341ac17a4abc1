"""Tables of numbers as text: two or more columns, with or without a header of any program's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from htinvert.core import Floats, UserError

LARGEST_FILE = 200_000_000  # bytes
FEWEST_ROWS = 10  # of a second table that makes a file one of several data sets
RATIO = re.compile(r"(ln|log)?\(?([^/()]+)/([^/()]+)\)?")  # of two columns
SPLIT = re.compile(r"[\s,;]+")
NAMED = re.compile(r"^[#%!\s]*Column\.(\d+)\s*:\s*(\S+)\s*(\S*)", re.I)  # of an XDI file
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LABELS = re.compile(r"^[#%!\s]*(?:#L|L)\s+(.+)$")  # of a file in SPEC's manner, such as PDFgetX3's


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of equal length; ``names`` and ``units`` are empty texts where a file says none."""

    columns: tuple[Floats, ...]
    names: tuple[str, ...]
    units: tuple[str, ...]

    def chosen(self, which: int | str, file: str) -> int:
        """Place of a column by its number, from 1, or its name. Raises :class:`UserError`."""
        listed = ", ".join(f"{i} {name}".strip() for i, name in enumerate(self.names, 1))
        if isinstance(which, str):
            alike = [i for i, name in enumerate(self.names) if name.lower() == which.lower()]
            if len(alike) == 1:
                return alike[0]
        elif 1 <= which <= len(self.columns):
            return which - 1
        raise UserError(f"{file} has no column {which}; it has {listed}")

    def values(self, which: int | str, file: str) -> tuple[Floats, str, str]:
        """Values, name and unit of a column, or of ``a/b`` or ``ln(a/b)`` of two of them.

        So an absorption comes of intensities. Raises :class:`UserError`.
        """
        quotient = RATIO.fullmatch(str(which)) if which not in self.names else None
        if quotient is None:
            place = self.chosen(which, file)
            return self.columns[place], self.names[place], self.units[place]
        upper, lower = (
            self.columns[self.chosen(int(name) if name.isdigit() else name, file)]
            for name in (quotient[2].strip(), quotient[3].strip())
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = upper / lower
            return (np.log(ratio) if quotient[1] else ratio), str(which), ""


def read_columns(path: Path) -> Table:
    """Read the longest run of rows that have equally many numbers, two or more.

    Raises :class:`UserError` where there is none, another is half as long, or the file is no text.
    """
    if path.stat().st_size > LARGEST_FILE:
        raise UserError(f"{path.name} is larger than {LARGEST_FILE / 1e6:.0f} MB; is it a curve?")
    raw = path.read_bytes()
    if b"\0" in raw[:4096]:
        raise UserError(f"{path.name} is no text; give a file of columns of numbers")
    lines = raw.decode("utf-8", errors="replace").splitlines()
    runs = _runs(lines)
    first, rows = max(runs, key=lambda run: len(run[1]), default=(0, []))
    alike = [at for at, other in runs if len(other) >= max(0.5 * len(rows), FEWEST_ROWS)]
    if len(alike) > 1:
        raise UserError(
            f"{path.name} holds {len(alike)} data sets, which begin at lines "
            f"{', '.join(str(at + 1) for at in alike)}; keep one in the file"
        )
    if len(rows) < 3:
        raise UserError(
            f"{path.name} has no three rows of two numbers or more; give a file of columns"
        )
    data = np.array(rows, dtype=float)
    count = data.shape[1]
    names, units = _header(lines[:first], count)
    return Table(tuple(np.ascontiguousarray(column) for column in data.T), names, units)


def _runs(lines: Sequence[str]) -> list[tuple[int, list[list[float]]]]:
    """Every run of rows with equally many numbers: the line at which it begins, its numbers."""
    runs: list[tuple[int, list[list[float]]]] = []
    width = 0
    for number, line in enumerate(lines):
        values = _numbers(line)
        if len(values) < 2:
            width = 0
        elif len(values) == width:
            runs[-1][1].append(values)
        else:
            width = len(values)
            runs.append((number, [values]))
    return runs


def _numbers(line: str) -> list[float]:
    """The numbers of a line, none where it holds anything else."""
    words = [word for word in SPLIT.split(line.strip()) if word]
    try:
        return [float(word.replace("D", "E").replace("d", "e")) for word in words]
    except ValueError:
        return []


def _header(lines: Sequence[str], count: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and units of columns from the lines before them."""
    names, units = [""] * count, [""] * count
    for line in lines:
        if (found := NAMED.match(line)) and 1 <= int(found[1]) <= count:
            names[int(found[1]) - 1], units[int(found[1]) - 1] = found[2], found[3]
    if any(names):
        return tuple(names), tuple(units)
    for line in reversed(lines[-3:]):
        words = _words(line)
        if len(words) == count:
            pairs = [named(word) for word in words]
            return tuple(name for name, _ in pairs), tuple(unit for _, unit in pairs)
    return tuple(names), tuple(units)


def _words(line: str) -> list[str]:
    """The words of a line of labels; one in brackets belongs to the word before."""
    found = LABELS.match(line)
    text = found[1] if found else line.strip().lstrip("#%!").strip()
    if not text or text.startswith("S ") or "=" in text or ":" in text:
        return []
    text = re.sub(r"\s+(?=[\[(])", "", text)
    return [word for word in re.split(r"[\s,;]+", text) if word]


def named(label: str) -> tuple[str, str]:
    """Name and unit of a label such as ``r [Å]``, ``r(A)`` or ``energy``."""
    found = re.fullmatch(r"\s*([^\[(]+?)\s*[\[(](.*)[\])]\s*", label)
    if not found:
        return label.strip(), ""
    unit = re.sub(r"[$\\{}]", "", found[2]).replace("AA", "Å").replace("A^", "Å^").strip()
    return found[1], re.sub(r"\^(-?\d)", lambda power: power[1].translate(RAISED), unit)
