"""Crystals of the Materials Project, by formula and space group or by id, kept on disk once asked.

The database is that of Jain et al., APL Mater. 1, 011002 (2013), asked through its own client, the
`MPRester` of mp-api. Only this file imports that, and only for a question that no kept answer
settles. The key is in no file, message or traceback of ours.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from math import gcd
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ase import Atoms
from ase.data import atomic_numbers
from ase.formula import Formula
from pydantic import SecretStr

from htinvert.core import UserError
from htinvert.declaration.declared import cites
from htinvert.structures.crystal import standard_crystal
from htinvert.structures.materials_project_key import ADVICE, checked_key, find_key, user_folder
from htinvert.structures.sanity import same_group

ENDPOINT = "https://api.materialsproject.org"
FIELDS = (
    "material_id", "formula_pretty", "symmetry", "energy_above_hull", "density", "nsites",
    "structure",
)  # fmt: skip
IDENTIFIER = re.compile(r"(mp|mvc)-([0-9]+|[a-z]+)")
TIMEOUT = 30.0  # s
MOST_LINES = 12  # of the table of alternatives that are shown


@dataclass(frozen=True)
class Listing:
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
class Reply:
    """What the database knows of a query, lowest energy above the hull first.

    ``database`` is its version and ``date`` when it was asked, in UTC.
    """

    query: str
    database: str
    date: str
    entries: tuple[Listing, ...]

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


Ask = Callable[[str], Reply]


@cites("A. Jain et al., The Materials Project, APL Mater. 1, 011002 (2013), doi:10.1063/1.4812323.")
def materials_project(
    query: str,
    *,
    space_group: str | int | None = None,
    repeat: tuple[int, int, int] = (1, 1, 1),
    cache: Path | None = None,
    refresh: bool = False,
    ask: Ask | None = None,
) -> Atoms:
    """The phase of lowest energy above the hull with this formula, or the one with this id.

    ``query`` is a formula such as TiO2 or an id such as mp-149; ``space_group`` a symbol or number.
    Returns the conventional standard cell; ``atoms.info`` says what was chosen (``source``), beside
    what (``explanation``) and, where known, ``energy_above_hull`` [eV/atom]. `alternatives` lists
    what else there is, and says what ``cache``, ``refresh`` and ``ask`` are.

    Raises :class:`UserError` where nothing fits, saying which space groups there are, and where the
    database cannot be asked.
    """
    answer = alternatives(query, cache=cache, refresh=refresh, ask=ask)
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
    table = str(answer).splitlines()
    atoms.info["explanation"] = [*table[:MOST_LINES], f"taken: {atoms.info['source']}"]
    return atoms


def alternatives(
    query: str, *, cache: Path | None = None, refresh: bool = False, ask: Ask | None = None
) -> Reply:
    """All that the database has for a formula or id, lowest energy above the hull first.

    An answer is kept as a JSON file in the folder ``cache`` (by default in the user's cache folder,
    ``$XDG_CACHE_HOME/htinvert``) and used from then on, without key or network, until ``refresh``
    asks again. ``ask`` is `search` with the user's key by default.

    Raises :class:`UserError` for what is neither formula nor id, where the database has nothing,
    and like `find_key` and `search`.
    """
    query = _checked(query)
    folder = cache or user_folder("XDG_CACHE_HOME", ".cache") / "htinvert" / "materials_project"
    path = folder / f"{query}.json"
    if not refresh and (kept := _load(path, query)) is not None:
        return kept
    answer = (ask or _with_key())(query)
    if not answer.entries:
        raise UserError(f"the Materials Project has nothing for {query}; check it, or {ADVICE}")
    _keep(path, answer)
    return answer


def search(
    query: str, *, key: SecretStr, origin: str = "the settings", endpoint: str = ENDPOINT
) -> Reply:
    """Ask the database for a formula or id; ``origin`` names where the key comes from.

    The key travels in a header, only encrypted or to this machine itself, and is not carried along
    a redirection. Raises :class:`UserError` where mp-api is missing and where the database is out
    of reach, rejects the key or answers in another form.
    """
    where = urlsplit(endpoint)
    if where.scheme != "https" and where.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise UserError(f"{endpoint} is not encrypted, so no key is sent there; use https")
    checked_key(key.get_secret_value(), origin)  # requests would quote one that fits into no header
    chosen: dict[str, Any] = {"formula": query, "deprecated": False}
    if IDENTIFIER.fullmatch(query):
        chosen = {"material_ids": query}
    with _explained(query, where.netloc):
        import requests
        from mp_api.client import MPRester

        hooks = {"response": _refuser(origin)}
        # MPRester asks this too, but waits without end and remembers without end.
        beat = requests.get(f"{endpoint}/heartbeat", timeout=TIMEOUT, hooks=hooks)
        database = str(beat.json()["db_version"])
        # As dictionaries: its models have no field that the first of the documents has not.
        with MPRester(
            key.get_secret_value(), endpoint, use_document_model=False, mute_progress_bars=True
        ) as client:
            client.session.hooks["response"].append(hooks["response"])
            found = client.materials.summary.search(**chosen, fields=list(FIELDS))
        entries = [_entry(document) for document in found]
        entries.sort(key=lambda e: (_order(e.energy_above_hull), len(e.identifier), e.identifier))
        date = datetime.now(tz=UTC).date().isoformat()
        return Reply(query, database, date, tuple(entries))


@contextmanager
def _explained(query: str, host: str) -> Iterator[None]:
    """Say in a sentence what failed; the client's own messages may quote all that it was sent."""
    try:
        from mp_api.client import MPRestError
    except ImportError as error:
        raise UserError(
            f"the client of the Materials Project is not installed ({error}); "
            f'`pip install "htinvert[mp]"`, or {ADVICE}'
        ) from None
    try:
        yield
    except json.JSONDecodeError:
        raise UserError(
            f"{host} answered with something that is not JSON, perhaps a login page of the "
            f"network; open it in a browser, or {ADVICE}"
        ) from None
    except OSError as error:
        raise UserError(_unreachable(error, host)) from None
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(
            f"the Materials Project's answer for {query} is not in the known form "
            f"({type(error).__name__}: {error}); {ADVICE}"
        ) from None
    except MPRestError as error:
        if isinstance(error.__context__, OSError):
            raise UserError(_unreachable(error.__context__, host)) from None
        raise UserError(
            f"mp-api cannot ask the Materials Project for {query}; update it, or {ADVICE}"
        ) from None


def _unreachable(error: OSError, host: str) -> str:
    """The reason at the bottom of what requests raises, or the status after which it gave up."""
    reason = str(getattr(error.args[0] if error.args else None, "reason", error))
    if status := re.search(r"too many (\d{3}) error responses", reason):
        return _refusal(int(status[1]), "")
    reason = re.sub(r"^HTTPS?Connection(Pool)?\(.*?\): ", "", reason)
    return (
        f"the Materials Project at {host} cannot be reached ({reason}); connect to the network, "
        f"or {ADVICE}"
    )


def _refuser(origin: str) -> Callable[..., None]:
    """What requests calls with each answer, before it would follow a redirection."""

    def refuse(response: Any, **_: Any) -> None:
        if response.status_code != 200:
            response.close()
            raise UserError(_refusal(response.status_code, origin))

    return refuse


def _refusal(code: int, origin: str) -> str:
    if code in (401, 403):
        return (
            f"the Materials Project rejects the key from {origin} (status {code}); "
            "copy it again from materialsproject.org/api"
        )
    if code == 429:
        return "the Materials Project asks to be asked less often (status 429); wait a minute"
    return f"the Materials Project answers with status {code}; try again later, or {ADVICE}"


def _with_key() -> Ask:
    key, origin = find_key()
    return partial(search, key=key, origin=origin)


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


def _entry(document: Mapping[str, Any]) -> Listing:
    """An entry from the database's document; its sites are fully occupied by one element each."""
    from pymatgen.core.structure import Structure

    structure = Structure.from_dict(document["structure"])
    if not structure.is_ordered:
        raise ValueError(f"{document['material_id']} is disordered")
    energy = document.get("energy_above_hull")
    return Listing(
        identifier=str(document["material_id"]),
        formula=str(document["formula_pretty"]),
        group=str(document["symmetry"]["symbol"]),
        number=int(document["symmetry"]["number"]),
        energy_above_hull=None if energy is None else float(energy),
        density=float(document["density"]),
        sites=int(document["nsites"]),
        cell=_vectors(structure.lattice.matrix),
        symbols=tuple(site.specie.symbol for site in structure),
        positions=_vectors(structure.frac_coords),
    )


def _vectors(rows: Iterable[Sequence[float]]) -> tuple[tuple[float, float, float], ...]:
    return tuple((float(x), float(y), float(z)) for x, y, z in rows)


def _order(energy: float | None) -> float:
    return float("inf") if energy is None else energy


def _energy(energy: float | None) -> str:
    return "unknown" if energy is None else f"{energy:.3f}"


def _load(path: Path, query: str) -> Reply | None:
    """A kept answer; None where there is none that can be read, so that it is asked for again."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        entries = tuple(_kept(row) for row in kept["entries"])
        return Reply(query, str(kept["database"]), str(kept["date"]), entries)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _kept(row: dict[str, Any]) -> Listing:
    vectors = {name: _vectors(row[name]) for name in ("cell", "positions")}
    return Listing(**row | vectors | {"symbols": tuple(row["symbols"])})


def _keep(path: Path, answer: Reply) -> None:
    """Write whole or not at all; a folder that cannot be written costs no answer."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(asdict(answer), indent=1), encoding="utf-8")
        part.replace(path)
    except OSError:
        return
