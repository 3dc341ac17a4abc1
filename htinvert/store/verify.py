"""Is everything in a run what was written; and if not, what can be saved."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

from htinvert.core import UserError
from htinvert.store import archive
from htinvert.store.agreement import disagreement, same_keys
from htinvert.store.columns import Layout, block_columns
from htinvert.store.folding import pages_of
from htinvert.store.journal import Journal
from htinvert.store.lock import SIGNS, has_locks, is_owned
from htinvert.store.marks import Archived, Marks, checksum
from htinvert.store.reading import Archive
from htinvert.store.trouble import Damaged, NotBegun

FINE, REPAIRABLE, LOST = 0, 1, 2  # exit codes
LACKS = "commits.log lacks"  # begins what is said of a log that is not whole


@dataclass
class Findings:
    """What is wrong with a run; ``lost`` counts committed results that no file holds any more.

    ``unknown`` says that there may have been others, of which nothing tells.
    """

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    bad: set[str] = field(default_factory=set)
    """Files of the archive, by path in the run's folder, that are not what was written."""
    journal: bool = True
    """Whether the journal can be read at all."""
    texts: int = 0
    """How many of the problems are of files that no result depends on."""
    lost: int = 0
    unknown: bool = False

    @property
    def code(self) -> int:
        """0 all is well, 1 it can be, or was, repaired, 2 committed results are lost."""
        lost = self.lost or self.unknown
        return LOST if lost else REPAIRABLE if self.problems else FINE

    def note_text(self, problem: str) -> None:
        """Add a problem with a file that no result depends on."""
        self.problems.append(problem)
        self.texts += 1


def inspect(folder: Path, *, full: bool = False) -> Findings:
    """Look at all files of a run; ``full`` reads every byte. Changes nothing.

    Raises:
        UserError: there is no run.
    """
    if not any((folder / name).exists() for name in SIGNS - {"lock"}):
        raise UserError(f"{folder} is not a run; name a run's folder")
    found = Findings()
    owner = is_owned(folder)
    if owner:
        found.notes.append(f"{owner} is writing; what it writes just now was not looked at")
    marks = Marks(folder)
    state = marks.state()
    if marks.broken:
        found.problems.append(marks.broken)
    if state.unfinished and not owner:
        found.notes.append("a fold was cut short; the next start takes it up again")
    _check_archive(folder, state, found, full=full)
    if not owner:
        _check_closed(folder, marks, found, full=full)
    _check_journal(folder, marks, found, full=full, owned=bool(owner))
    return found


def _check_archive(folder: Path, state: Archived, found: Findings, *, full: bool) -> None:
    for name, (size, crc) in state.files.items():
        path = folder / name
        described = name.endswith(".json")
        if described and state.unfinished:
            continue
        if not path.is_file():
            found.problems.append(f"{name} is lost")
        elif path.stat().st_size != size or ((full or described) and checksum(path) != (size, crc)):
            found.problems.append(f"{name} is not what was written")
        else:
            continue
        found.bad.add(name)
    root = folder / archive.NAME
    here = {str(path.relative_to(folder)) for path in root.rglob("*") if path.is_file()}
    strange = sorted(here - set(state.files))
    if strange and not state.unfinished:
        found.notes.append(f"{len(strange)} files do not belong here, such as {strange[0]}")


def _check_closed(folder: Path, marks: Marks, found: Findings, *, full: bool) -> None:
    """Of a run that was closed every file is known; of others the texts must at least be such."""
    files = marks.closed() or {}
    for name, (size, crc) in files.items():
        path = folder / name
        note = found.problems.append if name == "journal.sqlite" else found.note_text
        if not path.is_file():
            note(f"{name} is lost")
        elif path.stat().st_size != size or (full and checksum(path) != (size, crc)):
            note(f"{name} is not what was written")
    path = folder / "provenance.json"
    if path.name not in files and not path.is_file():
        found.note_text(f"{path.name} is lost")
    elif path.is_file() and not _is_mapping(path):
        found.note_text(f"{path.name} is not what was written")


def _is_mapping(path: Path) -> bool:
    """Whether a file holds a JSON object."""
    try:
        return isinstance(json.loads(path.read_bytes()), dict)
    except ValueError:
        return False


def _check_journal(folder: Path, marks: Marks, found: Findings, *, full: bool, owned: bool) -> None:
    path = folder / "journal.sqlite"
    try:
        if not path.is_file():
            raise Damaged("journal.sqlite is lost")
        journal = Journal(path, writable=False, locks=has_locks(folder))
    except UserError as error:
        found.journal = False
        if not owned or marks.events:
            empty = isinstance(error, NotBegun)
            found.problems.append("journal.sqlite is empty" if empty else str(error))
        return
    try:
        if what := disagreement(folder, journal, marks):
            found.problems.append(what)
        _check_counts(journal, marks, found, owned=owned)
        if full:
            check_rows(journal, found)
            _check_copies(folder, journal, marks.state(), found)
    except (UserError, ValueError, TypeError, OverflowError, sqlite3.Error) as damage:
        found.problems.append(str(damage))
    finally:
        journal.connection.close()


def _check_counts(journal: Journal, marks: Marks, found: Findings, *, owned: bool) -> None:
    check = journal.connection.execute("PRAGMA quick_check(1)")
    try:
        (said,) = check.fetchone()
    except sqlite3.Error as error:
        said = str(error)
    if said != "ok":
        raise Damaged(f"journal.sqlite: {said}")
    sealed = marks.state().sealed
    if int(journal.meta("dropped")) > sealed:
        found.problems.append(f"{LACKS} blocks that were sealed")
    elif int(journal.meta("marks")) > len(marks.events) and not owned:
        found.problems.append(f"{LACKS} its last lines; nothing else depends on them")


def check_rows(journal: Journal, found: Findings) -> None:
    """Every row of the journal is there, whole, and under the number that its key has.

    Raises:
        Damaged: it is not.
    """
    (said,) = journal.connection.execute("PRAGMA integrity_check(1)").fetchone()
    if said != "ok":
        raise Damaged(f"journal.sqlite: {said}")
    number, end = int(journal.meta("dropped")), journal.committed()
    while number < end:
        page = journal.page(number)
        if not page or [row.number for row in page] != list(range(number, number + len(page))):
            raise Damaged(f"journal.sqlite: result {number} or one after it is lost")
        for row in page:
            if journal.number(row.index) != row.number:
                raise Damaged(f"journal.sqlite: the key of result {row.number} is damaged")
            journal.attempts(row.index)
        for row_number in journal.rows_with_signals(number, number + len(page)):
            journal.pixels(row_number)
        number += len(page)
    journal.pending()
    journal.refused()
    if int(journal.meta("ok")) > end:
        found.problems.append("journal.sqlite: its counts are damaged")


def _check_copies(folder: Path, journal: Journal, state: Archived, found: Findings) -> None:
    """The archive can be decoded, has the journal's keys, and equals it where both have a row."""
    if not state.folded or found.bad:
        return
    held = Archive(folder, state)
    if not same_keys(folder, journal, state):
        raise Damaged("results.zarr and journal.sqlite have different keys")
    for number in range(0, state.folded, 4096):
        held.rows(number, min(number + 4096, state.folded))
    for first, stop in held.pictured():
        held.pixels(first, stop)
    tail = state.folded - state.sealed
    if tail and int(journal.meta("dropped")) <= state.sealed:
        pages = list(pages_of(journal, state.sealed, state.folded))
        block = int(journal.meta("block"))
        columns = block_columns(Layout(block), state.sealed, state.ends.get("atoms", 0), pages, ())
        for path in archive.differences(folder / archive.NAME, columns):
            found.problems.append(f"results.zarr/{path} differs from the journal")
