"""Save what a damaged run still holds, from journal and archive together, into a new one.

Nothing is removed before all that it holds was read into what takes its place.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from htinvert.core import UserError
from htinvert.store import archive
from htinvert.store.agreement import REPAIRED, require_no_repair, same_keys, written_anew
from htinvert.store.journal import Journal
from htinvert.store.links import require_no_links
from htinvert.store.lock import has_locks, is_owned
from htinvert.store.marks import Marks
from htinvert.store.provenance import REPAIRED as UNKNOWN
from htinvert.store.reading import Archive
from htinvert.store.run import RunStore
from htinvert.store.source import CHUNK, UNREADABLE, Observer, Remains, Rowed
from htinvert.store.trouble import Held
from htinvert.store.union import Union
from htinvert.store.verify import Findings, check_rows, inspect

BESIDE = ("provenance.json", "config.yaml", "log.jsonl")
"""Files of a run that are copied as they are."""


def verify(
    path: str | Path,
    *,
    full: bool = False,
    repair: bool = False,
    observer: Observer | None = None,
) -> Findings:
    """Check a run, and repair it where asked for and needed.

    What cannot be repaired in place is written as a new run, and the damaged one is kept beside it
    as ``<run>.damaged``. A result that is lost is sent to be evaluated again where its proposal can
    still be read. Where archive and journal are of two runs, the new one has the results of both;
    if their recipes differ, it has those of the journal, and ``<run>.other`` those of the archive.

    Raises:
        UserError: there is no run, or a driver is writing it and it is to be repaired.
    """
    folder = Path(path).absolute()
    require_no_links(folder)
    if repair and (owner := is_owned(folder)):
        raise Held(f"run {path} is held by {owner}; stop it before it is repaired")
    if repair and not folder.exists() and (new := written_anew(folder)) is not None:
        new.rename(folder)  # a repair before was stopped between two renamings
    require_no_repair(folder)
    found = inspect(folder, full=full or repair)
    if not found.problems:
        return found
    if repair:
        _repair(folder, found, observer or _ignore)
    elif full and not _only_descriptions(folder, found):
        _count(_sources(folder, found), found, observer or _ignore)
    return found


def _only_descriptions(folder: Path, found: Findings) -> bool:
    """Whether nothing is wrong but descriptions of which there is a copy: all values are there."""
    copied = archive.restorable(folder, Marks(folder).state(), found.bad)
    return len(found.problems) == len(copied) and copied == found.bad


def _sources(folder: Path, damaged: Findings) -> list[Remains | Union]:
    """What new runs are to be written from: one, or two where those in the folder differ."""
    if not damaged.journal or not _is_of_two(folder, damaged):
        return [Remains(folder, damaged)]
    older = Remains(folder, damaged, journal=False)
    newer = Remains(folder, damaged, archived=False)
    if older.recipe == newer.recipe:
        return [Union(older, newer)]
    newer.notes.append("results.zarr and journal.sqlite are of two runs with different recipes")
    return [newer, older]


def _is_of_two(folder: Path, damaged: Findings) -> bool:
    """Whether archive and journal are of two runs, or have different rows under one number."""
    source = Remains(folder, damaged)
    try:
        assert source.journal is not None  # noqa: S101
        name = (archive.extent(folder / archive.NAME) or ("",))[0]
        with suppress(*UNREADABLE):
            if name not in ("", source.journal.meta("run_id")):
                return not same_keys(folder, source.journal, source.state)
        return _has_others(source.journal, source.archive)
    finally:
        source.close()


def _has_others(journal: Journal, archived: Archive) -> bool:
    """Whether a row of the journal is whole, and not the one that the archive has in its place."""
    with suppress(*UNREADABLE):
        end = min(archived.held, journal.committed())
        for start in range(int(journal.meta("dropped")), end, CHUNK):
            stop = min(start + CHUNK, end)
            with suppress(*UNREADABLE):
                keys = archived.column("candidates/key", start, stop)
                page = journal.page(start, stop)
                if any(keys[row.number - start].tobytes() != row.key for row in page):
                    return True
    return False


def _count(sources: list[Remains | Union], found: Findings, observer: Observer) -> None:
    """Note in ``found`` how many results cannot be read."""
    for source in sources:
        for _ in source.rows(observer):
            pass
        found.lost += source.lost
        found.unknown |= source.unknown
        found.notes += source.notes
        source.close()


def _repair(folder: Path, found: Findings, observer: Observer) -> None:
    left = found
    if restored := archive.restore_descriptions(folder, Marks(folder).state(), found.bad):
        found.notes.append(f"written again: {', '.join(restored)}")
        left = inspect(folder, full=True)
    if not left.problems:
        return
    sources = _sources(folder, left)
    _count(sources, found, observer)
    if not all(source.known for source in sources):
        found.notes.append("nothing of its recipe can be read, so it was left as it is")
        return
    whole = len(left.problems) == left.texts and found.code < 2
    if whole:
        _close_anew(folder, sources[0].recipe)
        found.notes.append(
            "all that could be read was written again; no result depends on the rest"
        )
    elif not found.lost and _is_in_journal(folder, left, sources):
        _fold_anew(folder, sources[0].recipe)
        found.notes.append("results.zarr was made again from journal.sqlite")
    else:
        found.notes += _write_anew(folder, left, observer)
    found.notes += [f"still: {problem}" for problem in inspect(folder, full=True).problems]


def _close_anew(folder: Path, recipe: Mapping[str, Any]) -> None:
    """Let a driver that does nothing note the files as they are."""
    RunStore.create_or_open(folder, recipe=recipe, provenance=UNKNOWN).close()


def _is_in_journal(folder: Path, left: Findings, sources: list[Remains | Union]) -> bool:
    """Whether the journal holds every row that there is, whole, so that the archive adds none."""
    marks, root = Marks(folder), folder / archive.NAME
    strange = root.exists() and archive.extent(root) is None and not marks.archived
    if strange or not left.journal or len(sources) > 1:
        return False
    with suppress(UserError, *UNREADABLE):
        journal = Journal(folder / "journal.sqlite", writable=False, locks=has_locks(folder))
        try:
            checked = Findings()
            check_rows(journal, checked)
            rows = journal.committed() if journal.meta("dropped") == "0" else -1
        finally:
            journal.connection.close()
        return rows == sources[0].total and not checked.problems
    return False


def _fold_anew(folder: Path, recipe: Mapping[str, Any]) -> None:
    """Make the archive and its log again from the journal, then remove those that were."""
    log = folder / "commits.log"
    aside = archive.free(log.with_name(log.name + archive.ASIDE))
    if log.exists():
        log.rename(aside)
    archive.discard(folder / archive.NAME)
    RunStore.create_or_open(folder, recipe=recipe, provenance=UNKNOWN).close()
    aside.unlink(missing_ok=True)


def _write_anew(folder: Path, found: Findings, observer: Observer) -> list[str]:
    """Write what can be read as a new run, or two, and keep the damaged one; says where it is."""
    new = folder.with_name(folder.name + REPAIRED)
    if new.exists():  # of a repair that was stopped; the folder may have lost more since
        new.rename(archive.free(new.with_name(new.name + ".unfinished")))
    notes = []
    sources = _sources(folder, found)
    write_run(sources[0], new, observer)
    for other in sources[1:]:
        place = archive.free(folder.with_name(folder.name + ".other"))
        write_run(other, place, observer, beside=())
        notes.append(f"the results of results.zarr are a run of their own, {place}")
    for source in sources:
        source.close()
    aside = swap(folder, new, folder.with_name(folder.name + archive.ASIDE))
    return [*notes, f"written as a new run; the damaged one is {aside}"]


def swap(folder: Path, new: Path, aside: Path) -> Path:
    """Put a new folder in the place of one, which is kept aside; returns where."""
    aside = archive.free(aside)
    folder.rename(aside)
    new.rename(folder)
    return aside


def write_run(
    source: Rowed, new: Path, observer: Observer, *, beside: Sequence[str] = BESIDE
) -> None:
    """Write all that a source gives as a new run in the folder ``new``, and copy files beside."""
    for name in beside:
        new.mkdir(exist_ok=True)
        with suppress(FileNotFoundError):
            shutil.copy2(source.folder / name, new / name)
    with RunStore.create_or_open(new, recipe=source.recipe, provenance=UNKNOWN) as run:
        run.adopt(source.rows(observer), source.pending, source.words)


def _ignore(done: int, total: int) -> None:
    """Observe nothing."""
