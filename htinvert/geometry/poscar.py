"""What a POSCAR says of its atoms besides places: their elements and whether they are held.

The first line is a comment. In files of VASP 4, which have no line of elements, it has often been
used for them; readers then take every word, or the beginning of one, that is an element: "I relaxed
this In 2021" becomes iodine and indium. Here it counts only where it is nothing else.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms, FixScaled
from ase.data import atomic_numbers
from ase.io.formats import open_with_compression
from ase.io.vasp import get_atomtypes, read_vasp
from numpy.typing import NDArray

from htinvert.core import UserError
from htinvert.declaration.wording import no_element

BESIDE = ("POTCAR", "OUTCAR")  # that name the elements where a POSCAR does not
ENDS = ("", ".gz", ".bz2")
ADVICE = "write the elements into a line of their own above the numbers of atoms, such as Cd Te"


def read_poscar(path: Path) -> Atoms:
    """The structure of a POSCAR, held as its selective dynamics say.

    Raises :class:`UserError` where elements or flags would have to be guessed, and what ASE's
    reader raises.
    """
    with open_with_compression(str(path), "r") as file:
        lines = file.read().splitlines()
    found = elements_of(path, [*lines, *[""] * 7][:7])
    if found:
        lines.insert(5, " ".join(found))
    count = sum(_counts([*lines, *[""] * 7][6].split()))
    flags = _flags(count, lines[7:], path)
    atoms: Atoms = read_vasp(io.StringIO("\n".join(lines) + "\n"))
    _hold(atoms, flags)
    return atoms


def elements_of(path: Path, head: list[str], *, title: bool = True) -> list[str]:
    """Elements of a file that begins like a POSCAR; none where it has its own line of them.

    ``head`` is its first seven lines. They follow from a title that is nothing else, unless
    ``title`` is off, or from a POTCAR or OUTCAR beside the file. Raises :class:`UserError` where
    they do not. A head that is none is left to whoever reads it.
    """
    words = head[0].split("#")[0].split("!")[0].split()
    names = head[5].split("#")[0].split("!")[0].split()
    if names and not _is_count(names[0]):
        _check_names(path, names, head[6].split("!")[0].split())
        return []
    counts = _counts(names)
    if not counts:
        return []
    if title and (found := _named(words, counts)):
        return found
    for beside in (path.with_name(name + end) for name in BESIDE for end in ENDS):
        if beside.is_file() and len(found := get_atomtypes(beside)) == len(counts):
            return [str(name) for name in found]
    raise UserError(
        f"{path} does not say its elements: it has no line of them, and its title "
        f"{' '.join(words)[:60]!r} is not just the {len(counts)} that it needs; {ADVICE}"
    )


def _check_names(path: Path, names: list[str], numbers: list[str]) -> None:
    """Refuse a line of elements that are none, or are more or fewer than their numbers."""
    bare = [re.split(r"[_/.]", name)[0] for name in names]
    wrong = [name for name, element in zip(names, bare, strict=True) if not _is_element(element)]
    if wrong and wrong[0] in ("D", "T", "X"):
        raise UserError(f"{path}, line 6: {no_element(wrong[0])}")
    if wrong:
        raise UserError(f"{path} names {wrong[0]}, which is no element, in line 6; {ADVICE}")
    counts = _counts(numbers)
    if counts and len(counts) != len(names):
        raise UserError(
            f"{path} names {len(names)} elements ({' '.join(names[:8])}) but gives "
            f"{len(counts)} numbers of atoms; make them as many"
        )


def _is_element(name: str) -> bool:
    return atomic_numbers.get(name, 0) > 0


def _is_count(word: str) -> bool:
    return re.fullmatch(r"\+?\d+", word) is not None


def _counts(words: list[str]) -> list[int]:
    """The whole numbers that a line begins with."""
    found = []
    for word in words:
        if not _is_count(word):
            break
        found.append(int(word))
    return found


def _named(title: list[str], counts: list[int]) -> list[str]:
    """The elements of a title that is these, or their formula, and nothing else; else none."""
    if not all(re.fullmatch(r"(?:[A-Z][a-z]?\d*)+", word) for word in title):
        return []
    pairs = [pair for word in title for pair in re.findall(r"([A-Z][a-z]?)(\d*)", word)]
    names = [symbol for symbol, _ in pairs]
    if len(names) != len(counts) or not all(_is_element(name) for name in names):
        return []
    said = [int(number or 1) for _, number in pairs]
    fit = all(n * counts[0] == said[0] * count for n, count in zip(said, counts, strict=True))
    return names if fit or set(said) == {1} else []


def _flags(count: int, lines: list[str], path: Path) -> NDArray[np.bool_]:
    """What is held of each atom, shape (count, 3): Fortran's flags, ``F`` or ``.FALSE.``.

    ``lines`` are those after the numbers of atoms. Raises :class:`UserError` where an atom has none
    or other words: Fortran would take ``free`` for ``F``.
    """
    flags = np.zeros((count, 3), dtype=bool)
    if not lines or not lines[0].strip().lower().startswith("s"):
        return flags
    for number, line in enumerate(lines[2 : 2 + count]):
        words = [word.strip(".").lower() for word in line.split()[3:6]]
        if len(words) < 3 or not set(words) <= {"t", "f", "true", "false"}:
            given = " ".join(line.split()[3:6])[:40]
            raise UserError(
                f"{path} has selective dynamics, but atom {number} has not three flags of T or F "
                f"({given!r}); give each atom its own, or leave the line out"
            )
        flags[number] = [word.startswith("f") for word in words]
    return flags


def _hold(atoms: Atoms, flags: NDArray[np.bool_]) -> None:
    """Hold atoms, in place, as flags say."""
    held = np.flatnonzero(flags.all(axis=1))
    partly = np.flatnonzero(flags.any(axis=1) & ~flags.all(axis=1))
    cell = atoms.cell
    constraints: list[FixAtoms | FixScaled] = [FixScaled(int(i), flags[i], cell) for i in partly]
    atoms.set_constraint([*constraints, *([FixAtoms(held)] if len(held) else [])])
