"""Pseudopotential files of a folder: the element that each is for, the functional it was made for.

Read here are the headers of ABINIT's own formats (the third line of psp files: pspcod, pspxc), of
PAW-XML and of UPF files.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from ase.data import atomic_numbers

from htinvert.core import UserError

NAME = re.compile(r"^\d{0,3}[-_]?([a-z]{1,2})[._-]", re.I)  # Si.psp8, 14si.4.hgh, 14-Si.nlcc.UPF
# Numbers of functionals in ABINIT's files, negative ones are pairs of Libxc: 1 is LDA exchange, 12
# its correlation by Perdew and Wang, 101 and 130 are those of PBE.
FUNCTIONALS = {
    **dict.fromkeys(("1", "2", "7", "-1012", "-001012"), "LDA"),
    **dict.fromkeys(("11", "-101130"), "PBE"),
}


def choose(
    engine: str,
    symbols: Iterable[str],
    *,
    folder: Path,
    endings: Collection[str],
    named: Mapping[str, str],
    xc: str,
) -> dict[str, Path]:
    """The pseudopotential file of each element.

    Args:
        engine: its name, for messages.
        symbols: elements.
        folder: where the files are.
        endings: of the names of files that the engine reads, in lower case.
        named: names of files in the folder, by element, where it has several.
        xc: functional, ``LDA`` or ``PBE``; a file that says that it is for another is refused.

    Raises :class:`UserError` where an element has no file, or several of which none is named.
    """
    there = by_element(folder, tuple(endings))
    chosen = {}
    for symbol in sorted(symbols):
        found = (folder / named[symbol],) if symbol in named else there.get(symbol, ())
        if len(found) != 1 or not found[0].is_file():
            raise UserError(_advice(engine, symbol, folder, endings, found))
        if functional_of(found[0]) not in (xc, None):
            raise UserError(
                f"{engine}: {found[0].name} was made for {functional_of(found[0])}, not for {xc}; "
                f"say `xc: {functional_of(found[0])}` or take other pseudopotentials"
            )
        chosen[symbol] = found[0]
    return chosen


def _advice(
    engine: str, symbol: str, folder: Path, endings: Collection[str], found: tuple[Path, ...]
) -> str:
    """What is wrong with the files of an element, and what to do."""
    if len(found) > 1:
        return (
            f"{engine} has several pseudopotentials of {symbol} "
            f"({', '.join(path.name for path in found)}); name one: "
            f"`files: {{{symbol}: {found[-1].name}}}`"
        )
    missing = found[0].name if found else f"no {' or '.join(endings)} file of {symbol}"
    return (
        f"{engine} does not know {symbol}: {missing} in {folder}; put the pseudopotential there or "
        "set `pseudopotentials` to the folder that has it"
    )


@functools.lru_cache(maxsize=8)
def by_element(folder: Path, endings: tuple[str, ...]) -> dict[str, tuple[Path, ...]]:
    """Pseudopotential files of a folder by the element that their names begin with."""
    found: dict[str, tuple[Path, ...]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        match = NAME.match(path.name)
        symbol = match[1].capitalize() if match else ""
        if symbol not in atomic_numbers or ".corewf" in path.name:  # a PAW's core wave functions
            continue
        if path.name.lower().endswith(endings):
            found[symbol] = (*found.get(symbol, ()), path)
    return found


def digest(folder: Path, endings: tuple[str, ...], named: Mapping[str, str]) -> str:
    """Eight digits that change with the content of any pseudopotential that could be taken."""
    there = by_element(folder, endings)
    taken = {s: (folder / named[s],) if s in named else there.get(s, ()) for s in {*there, *named}}
    known = hashlib.sha256()
    for symbol in sorted(taken):
        if len(taken[symbol]) == 1 and taken[symbol][0].is_file():
            known.update(symbol.encode() + taken[symbol][0].read_bytes())
    return known.hexdigest()[:8]


@functools.lru_cache(maxsize=256)
def functional_of(path: Path) -> str | None:
    """The functional that a file was made for: LDA, PBE, or None where it does not say."""
    with path.open(encoding="utf-8", errors="replace") as file:
        head = file.read(200_000)
    if "<" not in head[:100]:
        words = head.splitlines()[2].split() if head.count("\n") > 2 else []
        return FUNCTIONALS.get(words[1]) if len(words) > 1 else None
    return _functional_of_xml(head)


def _functional_of_xml(head: str) -> str | None:
    """The functional of a PAW-XML or UPF file, from its header."""
    said = re.search(r'<xc_functional[^>]*name="([^"]+)"', head)
    said = said or re.search(r'functional\s*=\s*"([^"]+)"', head)
    said = said or re.search(r"^(.*)Exchange-Correlation functional", head, re.M)
    words = set(re.split(r"[\s+_]+", said[1].upper())) if said else set()
    if words & {"PBE", "PBX", "PBC"}:
        return "PBE"
    return "LDA" if words & {"LDA", "PZ", "PW", "SLA"} else None
