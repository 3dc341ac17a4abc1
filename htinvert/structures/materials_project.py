"""Crystals of the Materials Project, by formula and space group or by id, kept on disk once asked.

One request of its public interface is all that is needed, so it is made here and no client library
is: Jain et al., APL Mater. 1, 011002 (2013), https://api.materialsproject.org/docs. The key is read
where it is sent and is in no file, message or traceback of ours.
"""

from __future__ import annotations

import json
import os
import re
import stat
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http.client import HTTPException
from math import gcd
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from ase import Atoms
from ase.data import atomic_numbers
from ase.formula import Formula
from pydantic import SecretStr

from htinvert.core import UserError
from htinvert.structures.crystal import standard_crystal
from htinvert.structures.sanity import same_group

ENDPOINT = "https://api.materialsproject.org"
VARIABLES = ("MP_API_KEY", "PMG_MAPI_KEY")
FIELDS = "material_id,formula_pretty,symmetry,energy_above_hull,density,nsites,structure"
IDENTIFIER = re.compile(r"(mp|mvc)-[a-z0-9]+")
KEY = re.compile(r"[A-Za-z0-9_-]{8,128}")
MOST_ENTRIES = 1000  # of one formula; silica, the most studied, has some 330
LARGEST_ANSWER = 200_000_000  # bytes
TIMEOUT = 30.0  # s
ADVICE = "take the phase from a file or a prototype instead"

Fetch = Callable[[str, Mapping[str, str]], Any]  # path and parameters in, decoded JSON out


@dataclass(frozen=True)
class Entry:
    """One material of the database.

    Attributes:
        identifier: such as ``mp-149``.
        formula: reduced formula.
        group: symbol of the space group.
        number: number of the space group.
        energy_above_hull: distance from the convex hull [eV/atom]; None where it is not known.
        density: [g/cm³].
        sites: number of atoms in the primitive cell.
        cell: vectors, rows [Å].
        symbols: element of each atom.
        positions: fractions of the cell, shape (n, 3).
    """

    identifier: str
    formula: str
    group: str
    number: int
    energy_above_hull: float | None
    density: float
    sites: int
    cell: tuple[tuple[float, float, float], ...]
    symbols: tuple[str, ...]
    positions: tuple[tuple[float, float, float], ...]

    @property
    def atoms(self) -> Atoms:
        """The conventional standard cell."""
        primitive = Atoms(self.symbols, scaled_positions=self.positions, cell=self.cell, pbc=True)
        return standard_crystal(primitive).atoms


@dataclass(frozen=True)
class Answer:
    """What the database knows of a query, lowest energy above the hull first.

    ``database`` is its version and ``date`` when it was asked, in UTC.
    """

    query: str
    database: str
    date: str
    entries: tuple[Entry, ...]

    def __str__(self) -> str:
        """Show the alternatives as a table, best first."""
        lines = [
            f"Materials Project {self.database}, asked for {self.query} on {self.date}",
            f"{'id':<12} {'formula':<12} {'space group':<14} {'eV/atom above hull':>18} "
            f"{'g/cm³':>7} {'atoms':>5}",
        ]
        for entry in self.entries:
            group = f"{entry.group} ({entry.number})"
            lines.append(
                f"{entry.identifier:<12} {entry.formula:<12} {group:<14} "
                f"{_energy(entry.energy_above_hull):>18} {entry.density:>7.2f} {entry.sites:>5}"
            )
        return "\n".join(lines)


def materials_project(
    query: str,
    *,
    space_group: str | int | None = None,
    repeat: tuple[int, int, int] = (1, 1, 1),
    cache: Path | None = None,
    refresh: bool = False,
    fetch: Fetch | None = None,
) -> Atoms:
    """The phase of lowest energy above the hull with this formula, or the one with this id.

    ``query`` is a formula such as TiO2 or an id such as mp-149; ``space_group`` a symbol or number.
    Returns the conventional standard cell; ``atoms.info`` says what was chosen (``source``) and,
    where known, ``energy_above_hull`` [eV/atom]. `alternatives` lists what else there is, and says
    what ``cache``, ``refresh`` and ``fetch`` are.

    Raises :class:`UserError` where nothing fits, saying which space groups there are, and where the
    database cannot be asked.
    """
    answer = alternatives(query, cache=cache, refresh=refresh, fetch=fetch)
    found = [
        entry
        for entry in answer.entries
        if space_group is None or same_group(space_group, entry.group, entry.number)
    ]
    if not found:
        groups = ", ".join(dict.fromkeys(f"{e.group} ({e.number})" for e in answer.entries))
        raise UserError(
            f"the Materials Project has no {query} with space group {space_group}; it has {groups}"
        )
    best = found[0]
    atoms = best.atoms.repeat(repeat)
    energy = _energy(best.energy_above_hull)
    atoms.info["source"] = (
        f"{best.identifier}, {best.formula} {best.group}, {energy} eV/atom above the hull, "
        f"first of {len(found)}, Materials Project {answer.database}"
    )
    if best.energy_above_hull is not None:
        atoms.info["energy_above_hull"] = best.energy_above_hull
    return atoms


def alternatives(
    query: str, *, cache: Path | None = None, refresh: bool = False, fetch: Fetch | None = None
) -> Answer:
    """All that the database has for a formula or id, lowest energy above the hull first.

    An answer is kept as a JSON file in the folder ``cache`` (by default in the user's cache folder,
    ``$XDG_CACHE_HOME/htinvert``) and used from then on, without key or network, until ``refresh``
    asks again. ``fetch`` takes a path such as ``/materials/summary/`` with its parameters and
    returns the decoded answer; by default it is `request` with the user's key.

    Raises :class:`UserError` for what is neither formula nor id, where the database has nothing,
    and like `find_key` and `request`.
    """
    query = _checked(query)
    folder = cache or _base("XDG_CACHE_HOME", ".cache") / "htinvert" / "materials_project"
    path = folder / f"{query}.json"
    if not refresh and (kept := _load(path, query)) is not None:
        return kept
    fetch = fetch or _with_key()
    by_id = {"material_ids": query}
    by_formula = {"formula": query, "deprecated": "false"}
    chosen = by_id if IDENTIFIER.fullmatch(query) else by_formula
    parameters = {**chosen, "_fields": FIELDS, "_limit": str(MOST_ENTRIES)}
    found = fetch("/materials/summary/", parameters)
    version = fetch("/heartbeat", {})
    try:
        entries = [_entry(document) for document in found["data"]]
        database = str(version["db_version"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(
            f"the Materials Project's answer for {query} is not in the known form "
            f"({type(error).__name__}: {error}); {ADVICE}"
        ) from error
    if not entries:
        raise UserError(f"the Materials Project has nothing for {query}; check it, or {ADVICE}")
    entries.sort(key=lambda e: (_order(e.energy_above_hull), len(e.identifier), e.identifier))
    date = datetime.now(tz=UTC).date().isoformat()
    answer = Answer(query, database, date, tuple(entries))
    _keep(path, answer)
    return answer


def find_key() -> tuple[SecretStr, str]:
    """The user's key and the name of the place it comes from.

    Read from the environment (``MP_API_KEY``, then ``PMG_MAPI_KEY``) or from the file
    ``htinvert/mp_api_key`` in ``$XDG_CONFIG_HOME`` or ``~/.config``, which only its owner may be
    able to read. Raises :class:`UserError` where there is none or it is no key.
    """
    for name in VARIABLES:
        if value := os.environ.get(name, "").strip():
            return _key(value, name)
    path = _base("XDG_CONFIG_HOME", ".config") / "htinvert" / "mp_api_key"
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise UserError(f"{path} can be read by others (mode {mode:04o}); run chmod 600 on it")
        return _key(path.read_text(encoding="utf-8").strip(), str(path))
    except FileNotFoundError:
        raise UserError(
            f"there is no key for the Materials Project; set {VARIABLES[0]} or write the key to "
            f"{path} with mode 0600 (keys are free at materialsproject.org/api), or {ADVICE}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({type(error).__name__}); check it") from None


def request(
    path: str,
    parameters: Mapping[str, str],
    *,
    key: SecretStr,
    origin: str = "the settings",
    endpoint: str = ENDPOINT,
) -> Any:
    """Ask the database and decode its JSON; ``origin`` names where the key comes from.

    The key travels in a header, only encrypted or to this machine itself, and is not carried along
    a redirection. Raises :class:`UserError` where the database is out of reach, rejects the key or
    answers with anything but JSON.
    """
    where = urlsplit(endpoint)
    if where.scheme != "https" and where.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise UserError(f"{endpoint} is not encrypted, so no key is sent there; use https")
    url = f"{endpoint}{path}" + (f"?{urlencode(parameters)}" if parameters else "")
    asked = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310
    asked.add_unredirected_header("X-API-KEY", key.get_secret_value())
    try:
        with urllib.request.build_opener(_NoRedirection).open(asked, timeout=TIMEOUT) as reply:
            return json.loads(reply.read(LARGEST_ANSWER))
    except urllib.error.HTTPError as error:
        error.close()
        raise UserError(_refusal(error.code, origin)) from None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise UserError(
            f"the Materials Project at {where.netloc} cannot be reached ({reason}); connect to the "
            f"network, or {ADVICE}"
        ) from None
    except (ValueError, UnicodeDecodeError):
        raise UserError(
            f"{where.netloc} answered with something that is not JSON, perhaps a login page of the "
            f"network; open it in a browser, or {ADVICE}"
        ) from None


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    """The interface redirects nothing; whatever does is not it."""

    def redirect_request(  # urllib's signature
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        del req, fp, code, msg, headers, newurl


def _refusal(code: int, origin: str) -> str:
    if code in (401, 403):
        return (
            f"the Materials Project rejects the key from {origin} (status {code}); "
            "copy it again from materialsproject.org/api"
        )
    if code == 429:
        return "the Materials Project asks to be asked less often (status 429); wait a minute"
    return f"the Materials Project answers with status {code}; try again later, or {ADVICE}"


def _with_key() -> Fetch:
    key, origin = find_key()
    return lambda path, parameters: request(path, parameters, key=key, origin=origin)


def _key(value: str, origin: str) -> tuple[SecretStr, str]:
    """Refuse what no key can be, for a header with a line break would be shown by its error."""
    if not KEY.fullmatch(value):
        raise UserError(
            f"what {origin} holds is no key of the Materials Project, which has 8 or more letters "
            "and digits in one word; copy it again from materialsproject.org/api"
        )
    return SecretStr(value), origin


def _base(variable: str, fallback: str) -> Path:
    """A folder of the XDG base directory specification, which asks to ignore relative ones."""
    named = Path(os.environ.get(variable, ""))
    return named if named.is_absolute() else Path.home() / fallback


def _checked(query: str) -> str:
    """The query in its one spelling: an id, or a reduced formula; safe as the name of a file."""
    text = query.strip()
    if IDENTIFIER.fullmatch(text.lower()):
        return text.lower()
    try:
        counts: dict[str, int] = dict(Formula(text).count())
    except (ValueError, TypeError):
        counts = {}
    if not counts or any(not atomic_numbers.get(symbol) for symbol in counts):
        raise UserError(
            f"{query!r} is neither a formula nor an id; write it like TiO2 or like mp-149"
        )
    divisor = gcd(*counts.values())
    reduced = {symbol: count // divisor for symbol, count in counts.items()}
    return "".join(f"{symbol}{n if n > 1 else ''}" for symbol, n in reduced.items())


def _entry(document: Mapping[str, Any]) -> Entry:
    """An entry from the database's document; its sites are fully occupied by one element each."""
    structure = document["structure"]
    sites = structure["sites"]
    for site in sites:
        if len(site["species"]) != 1 or abs(site["species"][0]["occu"] - 1.0) > 1e-6:
            raise ValueError(f"{document['material_id']} is disordered")
    energy = document["energy_above_hull"]
    return Entry(
        identifier=str(document["material_id"]),
        formula=str(document["formula_pretty"]),
        group=str(document["symmetry"]["symbol"]),
        number=int(document["symmetry"]["number"]),
        energy_above_hull=None if energy is None else float(energy),
        density=float(document["density"]),
        sites=int(document["nsites"]),
        cell=_vectors(structure["lattice"]["matrix"]),
        symbols=tuple(str(site["species"][0]["element"]) for site in sites),
        positions=_vectors([site["abc"] for site in sites]),
    )


def _vectors(rows: Sequence[Sequence[float]]) -> tuple[tuple[float, float, float], ...]:
    return tuple((float(x), float(y), float(z)) for x, y, z in rows)


def _order(energy: float | None) -> float:
    return float("inf") if energy is None else energy


def _energy(energy: float | None) -> str:
    return "unknown" if energy is None else f"{energy:.3f}"


def _load(path: Path, query: str) -> Answer | None:
    """A kept answer; None where there is none that can be read, so that it is asked for again."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        entries = tuple(_kept(row) for row in kept["entries"])
        return Answer(query, str(kept["database"]), str(kept["date"]), entries)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _kept(row: dict[str, Any]) -> Entry:
    vectors = {name: _vectors(row[name]) for name in ("cell", "positions")}
    return Entry(**row | vectors | {"symbols": tuple(row["symbols"])})


def _keep(path: Path, answer: Answer) -> None:
    """Write whole or not at all; a folder that cannot be written costs no answer."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(asdict(answer), indent=1), encoding="utf-8")
        part.replace(path)
    except OSError:
        return
