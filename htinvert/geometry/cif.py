"""Crystals from CIF: every setting of a space group, rounded coordinates, and what contradicts.

A file may name its group by a symbol, a number, a Hall symbol, a list of operations, or several of
these. Where it leaves open which origin or axes it means, all are tried, and what the file says of
its contents (formula, units in the cell) and atoms that would be on top of each other decide. Where
they do not, or where nothing fits, the file is refused with one sentence.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.io.cif import CIFBlock, parse_cif
from ase.io.formats import open_with_compression
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from htinvert.core import UserError
from htinvert.geometry.cif_symmetry import UNKNOWN, column_of, first_of, operations_of
from htinvert.geometry.distances import near_pairs, shortest_ratio
from htinvert.geometry.space_groups import Operations

SAME_SITE = 0.5  # Å: no two atoms are that close, so two images of a site are one atom
ROUNDED = 0.1  # Å: a refined or relaxed site may miss its special position by this much
FUSED = 0.5  # of the covalent sum: nothing is that close
CLOSE = 0.7  # of the covalent sum: of two origins, the one without such distances is meant
SHARE = 0.01  # of an element's number of atoms by the formula


@dataclass(frozen=True, eq=False)
class Sites:
    """What a file lists, before symmetry: elements, fractions (n, 3), shares and error [1]."""

    symbols: list[str]
    fractions: NDArray[np.float64]
    shares: NDArray[np.float64]
    errors: NDArray[np.float64]


def read_cif(path: Path) -> list[Atoms]:
    """The structures of a CIF, one per block that has one, wrapped into their cells.

    ``info["occupancy"]`` and the array ``spacegroup_kinds`` tell, as by ASE's reader, what shares a
    site. Raises :class:`UserError` for symmetry that is not known, contradicts the cell, the
    formula or itself, or puts atoms on top of each other, and what ASE's parser raises.
    """
    with open_with_compression(str(path), "rb") as file:
        text = file.read()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of badly formed numbers, which are read all the same
        blocks = [block for block in _blocks(text) if _has_sites(block)]
    try:
        return [_crystal(block) for block in blocks]
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _blocks(text: bytes) -> list[CIFBlock]:
    if text.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        text = text.removeprefix(b"\xef\xbb\xbf")
    return list(parse_cif(io.BytesIO(text.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))))


def _has_sites(block: CIFBlock) -> bool:
    names = ("_atom_site_fract_x", "_atom_site_cartn_x")
    return any(name in block for name in names)


def _crystal(block: CIFBlock) -> Atoms:
    cell = np.asarray(block.get_cell().array, dtype=float)
    sites = _sites(block, cell)
    if not cell.any():
        return Atoms(sites.symbols, positions=sites.fractions)
    if abs(np.linalg.det(cell)) < 1e-6:
        raise UserError("its cell has no volume; check the lengths and angles")
    options = operations_of(block, cell)
    good: list[tuple[Operations, Atoms]] = []
    wrong = []
    for option in options:
        try:
            atoms = _expanded(sites, option, cell)
        except UserError as error:
            wrong.append(str(error))
            continue
        if reason := _objection(atoms, block):
            wrong.append(f"by {option.name} it {reason}; check symmetry and coordinates")
        else:
            good.append((option, atoms))
    if not good:
        raise UserError(wrong[0])
    good = _different(good)
    if len(good) > 1:
        roomy = [pair for pair in good if shortest_ratio(pair[1]) >= CLOSE]
        good = roomy or good
    if len(good) > 1:
        multiple = [pair for pair in good if _multiplies(pair[1], block)]
        good = multiple or good
    if len(good) > 1:
        said = " or ".join(
            f"{atoms.get_chemical_formula()} by {option.name}" for option, atoms in good[:3]
        )
        raise UserError(
            f"its symmetry can be read in several ways, {said}; name origin and axes with the "
            "symbol, as in F d -3 m :2, or list all symmetry operations"
        )
    return good[0][1]


# ---------------------------------------------------------------- sites


def _sites(block: CIFBlock, cell: NDArray[np.float64]) -> Sites:
    """What is listed. Raises :class:`UserError` for elements and coordinates that are unknown."""
    columns = [block.get(f"_atom_site_fract_{axis}") for axis in "xyz"]
    cartesian = any(column is None for column in columns)
    if cartesian:
        columns = [block.get(f"_atom_site_cartn_{axis}") for axis in "xyz"]
    rows = list(zip(*[column_of(column) for column in columns], strict=True))
    kinds, labels = (column_of(block.get(f"_atom_site_{n}")) for n in ("type_symbol", "label"))
    known = set(_formula(block))
    count = len(rows)
    names = [
        _element(
            kinds[i] if i < len(kinds) else None, labels[i] if i < len(labels) else None, known
        )
        for i in range(count)
    ]
    places = np.array([[_number(value, names[i]) for value in rows[i]] for i in range(count)])
    digits = np.array([max(_digits(value) for value in row) for row in rows])
    errors = 0.5 * 10.0 ** -digits.astype(float)
    if cartesian and cell.any():
        places, errors = places @ np.linalg.inv(cell), np.zeros(count)
    shares = column_of(block.get("_atom_site_occupancy")) or ["."] * count
    return Sites(names, places, np.array([_share(value) for value in shares]), errors)


def _number(value: Any, name: str) -> float:
    if isinstance(value, int | float):
        return float(value)
    try:
        return float(Fraction(str(value).partition("(")[0]))
    except (ValueError, ZeroDivisionError):
        raise UserError(
            f"an atom of {name} has the coordinate {value}, which is no number; give all atoms "
            "coordinates, or remove those without"
        ) from None


def _digits(value: Any) -> int:
    """Digits after the point that a coordinate was written with, at least."""
    text = str(value).partition("(")[0]
    return 8 if {"e", "E", "/"} & set(text) else len(text.partition(".")[2])


def _share(value: Any) -> float:
    """An occupancy; ``.`` and ``?`` mean that it was not told, which is 1."""
    if value in UNKNOWN:
        return 1.0
    try:
        return float(str(value).partition("(")[0])
    except ValueError:
        return math.nan


def _element(kind: Any, label: Any, known: set[str]) -> str:
    """The element of a site: its type, else what its label begins with. Guesses are refused."""
    word = re.match(r"[A-Za-z]*", str(kind if kind not in UNKNOWN else label or "").strip())
    letters = word[0] if word else ""
    whole = letters.capitalize()
    if kind not in UNKNOWN:
        whole = re.sub(r"(?<=.)(val?|iso)$", "", whole)
        found = {whole} if _is_element(whole) else set()
        if not found and letters[:1].isupper() and not letters[1:2].isupper():
            found = {letters[:2], letters[:1]}  # types such as Wat or Ow, which are none
    else:
        found = {letters[:2].capitalize()} if letters[1:2].islower() else set()
        if not {name for name in found if _is_element(name)}:
            found |= {letters[:2].capitalize(), letters[:1].upper()}
    options = [name for name in sorted(found, key=len, reverse=True) if _is_element(name)]
    if known:
        options = [name for name in options if name in known] or options[:1]
    if len(options) > 1 and letters[1:2].islower():
        options = options[:1]
    if len(options) != 1:
        between = f", {' or '.join(options)}," if options else ""
        raise UserError(
            f"the element of site {label if label not in UNKNOWN else kind} is not known{between} "
            "so write it as _atom_site_type_symbol"
        )
    return "H" if options[0] in ("D", "T") else options[0]


def _is_element(name: str) -> bool:
    return name in ("D", "T") or atomic_numbers.get(name, 0) > 0


# ---------------------------------------------------------------- atoms


def _expanded(sites: Sites, operations: Operations, cell: NDArray[np.float64]) -> Atoms:
    """All atoms of a cell; a site near a special position is put there, and counted once."""
    size = float(np.linalg.norm(cell, axis=1).max())
    places, kinds = [], []
    for kind, (fraction, error) in enumerate(zip(sites.fractions, sites.errors, strict=True)):
        found = _orbit(fraction, operations, cell, error=error * size)
        places.append(found)
        kinds.append(np.full(len(found), kind))
    fractions = np.vstack(places) if places else np.zeros((0, 3))
    kind_of = np.concatenate(kinds) if kinds else np.zeros(0, dtype=int)
    atoms = Atoms(
        [sites.symbols[kind] for kind in kind_of],
        scaled_positions=_wrapped(fractions),
        cell=cell,
        pbc=True,
    )
    atoms.set_array("spacegroup_kinds", kind_of)
    occupancy = {
        str(kind): {symbol: float(share)}
        for kind, (symbol, share) in enumerate(zip(sites.symbols, sites.shares, strict=True))
    }
    atoms.info["occupancy"] = occupancy
    return _merged(atoms, occupancy)


def _orbit(
    fraction: NDArray[np.float64],
    operations: Operations,
    cell: NDArray[np.float64],
    *,
    error: float,
) -> NDArray[np.float64]:
    """Images of one site, shape (m, 3); ``error`` [Å] is how far rounding has moved it."""
    place = fraction
    for _ in range(3):  # put on one element of symmetry it may turn out to be near others
        images = operations.rotations @ place + operations.shifts
        apart = images - place
        apart -= np.rint(apart)
        near = np.linalg.norm(apart @ cell, axis=1) < SAME_SITE
        moved = place + apart[near].mean(axis=0)
        done = bool(np.abs(moved - place).max() < 1e-12)
        place = moved
        if done:
            break
    off = float(np.linalg.norm((place - fraction) @ cell))
    if off > max(ROUNDED, 2.0 * error):
        words = " ".join(f"{value:g}" for value in fraction)
        raise UserError(
            f"the site at {words} lies {off:.2f} Å from its images by {operations.name}, neither "
            "on a special position nor off it; check its coordinates and the symmetry"
        )
    images = operations.rotations @ place + operations.shifts
    kept = _first_of_each(images, cell, tolerance=1e-3)
    return np.asarray(images[kept])


def _first_of_each(
    fractions: NDArray[np.float64], cell: NDArray[np.float64], *, tolerance: float
) -> NDArray[np.int64]:
    """Indices of the first of those that are one place, within ``tolerance`` [Å]."""
    tree = cKDTree(_wrapped(fractions), boxsize=1.0)
    reach = tolerance / float(1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0).max())
    pairs = tree.query_pairs(min(reach, 0.4), output_type="ndarray")
    again = np.zeros(len(fractions), dtype=bool)
    again[pairs.max(axis=1, initial=0) if len(pairs) else []] = True
    return np.flatnonzero(~again)


def _merged(atoms: Atoms, occupancy: dict[str, dict[str, float]]) -> Atoms:
    """One atom where several sites have one: the element is listed twice, or the site is shared."""
    kinds = atoms.arrays["spacegroup_kinds"]
    first, second, _ = near_pairs(atoms, cutoff=ROUNDED)
    gone = np.zeros(len(atoms), dtype=bool)
    for i, j in sorted({(min(a, b), max(a, b)) for a, b in zip(first, second, strict=True)}):
        if i == j or gone[i] or kinds[i] == kinds[j]:
            continue
        ours, others = occupancy[str(kinds[i])], occupancy[str(kinds[j])]
        symbol = str(atoms.symbols[j])
        if min(ours.get(symbol, 0.0), others[symbol]) >= 1.0 or symbol not in ours:
            gone[j] = True
            ours.setdefault(symbol, others[symbol])
    return atoms[~gone]


def _wrapped(fractions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fractions from 0 to below 1, a hair below 1 counting as 0."""
    return np.asarray(np.clip((fractions + 1e-9) % 1.0 - 1e-9, 0.0, None) % 1.0)


def _different(
    made: Sequence[tuple[Operations, Atoms]],
) -> list[tuple[Operations, Atoms]]:
    """The first of each kind of structure: same elements at the same places are the same."""
    found: list[tuple[Operations, Atoms]] = []
    for option, atoms in made:
        if not any(_same(atoms, other) for _, other in found):
            found.append((option, atoms))
    return found


def _same(one: Atoms, other: Atoms) -> bool:
    if len(one) != len(other):
        return False
    both = one + other
    i, j, _ = near_pairs(both, cutoff=ROUNDED)
    across = (i < len(one)) & (j >= len(one)) & (both.numbers[i] == both.numbers[j])
    return len(set(i[across].tolist())) == len(one)


# ---------------------------------------------------------------- what cannot be


def _objection(atoms: Atoms, block: CIFBlock) -> str:
    """Why atoms are not what the file says, to follow "it"; empty where they can be."""
    occupancy = atoms.info["occupancy"]
    if any(len(site) > 1 or min(site.values()) < 1.0 - SHARE for site in occupancy.values()):
        return ""  # disordered, which is refused by name
    formula = _formula(block)
    counts = Counter(atoms.get_chemical_symbols())
    if formula and (set(formula) != set(counts) or _is_off(counts, formula)):
        said = " ".join(f"{symbol}{count:g}" for symbol, count in formula.items())
        return f"holds {atoms.get_chemical_formula()}, but its formula is {said}"
    units = _share(first_of(block, ("_cell_formula_units_z",)) or math.nan)
    if formula and units > 0.0:
        whole, unit = len(atoms), sum(formula.values())
        both = math.gcd(*map(round, formula.values())) % units == 0  # pymatgen's sum is the cell's
        if abs(whole - units * unit) > SHARE * whole and not (both and abs(whole - unit) < 0.5):
            return (
                f"holds {whole} atoms in the cell, but {units:g} units of its formula are "
                f"{units * unit:g}"
            )
    ratio = shortest_ratio(atoms)
    if ratio < FUSED:
        return (
            f"has atoms at {ratio:.2f} of the sum of their covalent radii "
            f"({atoms.get_chemical_formula()})"
        )
    return ""


def _multiplies(atoms: Atoms, block: CIFBlock) -> bool:
    """Whether each site has as many atoms as the file says that it has."""
    names = ("_atom_site_symmetry_multiplicity", "_atom_site_site_symmetry_multiplicity")
    said = next((column_of(block[name]) for name in names if name in block), [])
    counts = Counter(atoms.arrays["spacegroup_kinds"].tolist())
    return bool(said) and all(
        str(value) == str(counts[kind]) for kind, value in enumerate(said) if value not in UNKNOWN
    )


def _is_off(counts: Mapping[str, int], formula: Mapping[str, float]) -> bool:
    """Whether elements are in another ratio than in the formula."""
    scale = sum(counts.values()) / sum(formula.values())
    return any(
        abs(counts[symbol] - scale * formula[symbol]) > SHARE * scale * formula[symbol]
        for symbol in formula
    )


def _formula(block: CIFBlock) -> dict[str, float]:
    """Atoms of each element by the formula sum, deuterium as hydrogen; none where it is odd."""
    text = str(first_of(block, ("_chemical_formula_sum",)) or "").strip(" '\"")
    found: Counter[str] = Counter()
    for symbol, count in re.findall(r"([A-Z][a-z]?)(\d*\.?\d*)", text):
        if not _is_element(symbol):
            return {}
        found["H" if symbol in ("D", "T") else symbol] += float(count or 1)  # type: ignore[assignment]
    left = re.sub(r"([A-Z][a-z]?)(\d*\.?\d*)|[\s,]", "", text)
    return {} if left else {symbol: count for symbol, count in found.items() if count}
