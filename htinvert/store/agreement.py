"""Whether journal, log and archive of a folder tell of one run, and the journal of all of it.

A run goes on from its journal. Where that is lost, or an older copy or another run's is in its
place, who went on would in the end write over results that it knows nothing of.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from shlex import quote

from htinvert.store import archive
from htinvert.store.journal import Journal
from htinvert.store.marks import Archived, Marks
from htinvert.store.reading import Archive
from htinvert.store.trouble import Damaged

REPAIRED = ".repaired"  # added to a run's name while what can be read of it is written anew
_TRACES = (archive.NAME, archive.COPY, archive.NAME + archive.ASIDE, "checkpoint.json")


def traces(folder: Path) -> str:
    """What a folder without journal tells of a run that was in it, in words; empty for nothing.

    A driver makes the journal first, so what it is killed in making leaves none.
    """
    marks = Marks(folder)
    found = [name for name in _TRACES if (folder / name).exists()]
    if marks.events or marks.broken:
        found.insert(0, marks.path.name)
    if not found:
        return ""
    rows = max(marks.rows, (archive.extent(folder / archive.NAME) or ("", 0))[1])
    known = f"at least {rows} results" if rows else "a run"
    return f"its journal.sqlite is lost or empty, and {found[0]} tells of {known}"


def require_fresh(folder: Path) -> None:
    """Refuse to begin a run where there was one before.

    Raises:
        Damaged: its log, its archive or something else of it is there.
    """
    if what := traces(folder):
        raise Damaged(f"run {folder}: {what}; {advice(folder)}")


def require_no_repair(folder: Path) -> None:
    """Refuse to begin a run in the place of one that a repair was about to put there.

    Raises:
        Damaged: it was stopped between two renamings.
    """
    if not folder.exists() and (new := written_anew(folder)) is not None:
        raise Damaged(f"run {folder} was being repaired, and {new} is to be it; {advice(folder)}")


def written_anew(folder: Path) -> Path | None:
    """What a repair has written to the end and not yet put in a run's place, if there is any."""
    new = folder.with_name(folder.name + REPAIRED)
    return new if Marks(new).closed() is not None else None


def require_agreement(folder: Path, journal: Journal, marks: Marks) -> None:
    """Refuse to go on from a journal that is not of all that the folder holds.

    Raises:
        Damaged: log or archive know of more rows, or are another run's.
    """
    if what := disagreement(folder, journal, marks):
        raise Damaged(f"run {folder}: {what}; {advice(folder)}")


def disagreement(folder: Path, journal: Journal, marks: Marks) -> str:
    """What log and archive know that the journal does not, in words; empty for nothing.

    They are read before the journal, which a driver may add to meanwhile.
    """
    root = folder / archive.NAME
    held = archive.extent(root)
    if held is None and root.exists() and not marks.archived and not marks.broken:
        return "commits.log has no word of results.zarr, which cannot be read"
    if what := behind(journal, marks):
        return what
    name, rows = held or ("", 0)
    committed = journal.committed()
    if rows > committed:
        return f"results.zarr has {rows} results and journal.sqlite knows {committed}"
    if name not in ("", journal.meta("run_id")) and not same_keys(folder, journal, marks.state()):
        return "results.zarr is of another run than journal.sqlite"
    return ""


def behind(journal: Journal, marks: Marks) -> str:
    """What the log knows that the journal does not."""
    if marks.told("run") not in (None, journal.meta("run_id")):
        return "commits.log is of another run than journal.sqlite"
    committed = journal.committed()
    if marks.rows > committed:
        return f"commits.log tells of {marks.rows} results and journal.sqlite knows {committed}"
    if int(marks.told("epoch") or 0) > int(journal.meta("epoch", "") or 0):
        return "journal.sqlite is older than commits.log, and results may be missing in it"
    return ""


def same_keys(folder: Path, journal: Journal, state: Archived) -> bool:
    """Whether the rows of the archive have the keys that the journal has under their numbers."""
    with suppress(Damaged):
        keys = Archive(folder, state).column("candidates/key", 0, state.folded)
        query = "SELECT key FROM keys WHERE seq IS NOT NULL AND seq <= ? ORDER BY seq"
        known = b"".join(row[0] for row in journal.connection.execute(query, (state.folded,)))
        return keys.tobytes() == known
    return False


def advice(folder: Path) -> str:
    """What to do about a run that is damaged."""
    return f"htinvert verify --repair {quote(str(folder))} brings back what can be read"
