"""What a library holds: structures or images in a folder, or what a run has evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from htinvert.core import Signal, UserError
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.image.read import read_image
from htinvert.matching.member import Member, MemberImage, Structure
from htinvert.store import RunStore, is_run
from htinvert.structures.file import from_file

STRUCTURES = (".xyz", ".extxyz", ".cif", ".vasp", ".poscar", ".pdb", ".json", ".traj")
IMAGES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".npy", ".npz", ".dm3", ".dm4", ".emd", ".ser",
          ".mrc", ".hspy")  # fmt: skip
FRAMES = (".xyz", ".extxyz")  # may hold several structures


@dataclass(frozen=True)
class LibraryEntry:
    """One member by name: a file, a frame of a file, or a candidate of a run.

    ``stamp`` changes when the member does; ``number`` is the frame or the candidate's index.
    """

    name: str
    path: Path
    stamp: str
    number: int | None = None

    @property
    def is_image(self) -> bool:
        """Whether the member is an image."""
        return self.path.suffix.lower() in IMAGES


@dataclass(frozen=True)
class LibraryView:
    """How members are read: a structure by this forward model, an image by this pixel size [Å/px].

    ``sampling`` is for images whose file has none.
    """

    forward: StemConvolution = field(default_factory=StemConvolution)
    sampling: float | None = None

    def member(self, entry: LibraryEntry) -> Member:
        """Read one member. Raises :class:`UserError` or what a reader raises."""
        return next(read_members([entry], self))[1]


def entries(library: Path) -> list[LibraryEntry]:
    """All members of a folder, a file of several structures, or a run, sorted by name.

    Raises :class:`UserError` where there is no such place, or nothing in it.
    """
    if is_run(library):
        with RunStore.open(library) as run:
            found = [
                LibraryEntry(
                    f"candidate {e.candidate.index}", library, "evaluated", e.candidate.index
                )
                for e in run.evaluations()
                if e.ok
            ]
    elif library.is_dir():
        paths = sorted(path for path in library.rglob("*") if _is_member(path, library))
        found = [entry for path in paths for entry in _of_file(path, library)]
    elif library.is_file():
        found = _of_file(library, library.parent)
    else:
        raise UserError(f"there is no library {library}; give a folder of structures or images")
    if not found:
        raise UserError(
            f"the library {library} is empty: no structure ({', '.join(STRUCTURES[:4])}, POSCAR), "
            "no image and no run is in it; make one with `htinvert build --library`"
        )
    return found


def read_members(
    chosen: Sequence[LibraryEntry], view: LibraryView
) -> Iterator[tuple[LibraryEntry, Member]]:
    """Members one after the other; a file or run is opened once for neighbors in the list.

    Raises :class:`UserError` or whatever a reader raises, at the member that cannot be read.
    """
    for path, group in groupby(chosen, key=lambda entry: entry.path):
        if is_run(path):
            with RunStore.open(path) as run:
                for entry in group:
                    assert entry.number is not None  # noqa: S101
                    yield entry, Structure(run.evaluation(entry.number).atoms, view.forward)
            continue
        for entry in group:
            if entry.is_image:
                yield entry, MemberImage(_image(path, view.sampling))
            elif entry.number is None:
                yield entry, Structure(from_file(path), view.forward)
            else:
                yield entry, Structure(from_file(path, index=entry.number), view.forward)


def _is_member(path: Path, library: Path) -> bool:
    """Whether a file is a structure or an image, and not inside of a hidden or a Zarr folder."""
    inner = path.relative_to(library).parts
    if any(part.startswith(".") or part.endswith(".zarr") for part in inner) or not path.is_file():
        return False
    known = path.suffix.lower() in (*STRUCTURES, *IMAGES)
    return known or "POSCAR" in path.name or "CONTCAR" in path.name


def _of_file(path: Path, library: Path) -> list[LibraryEntry]:
    """The one member of a file, or one for each frame."""
    name = str(path.relative_to(library))
    about = path.stat()
    stamp = f"{about.st_size} {about.st_mtime_ns}"
    frames = _frames(path) if path.suffix.lower() in FRAMES else 1
    if frames <= 1:
        return [LibraryEntry(name, path, stamp)]
    return [LibraryEntry(f"{name}#{number}", path, stamp, number) for number in range(frames)]


def _frames(path: Path) -> int:
    """How many structures an XYZ file holds, by its lines that are whole numbers of atoms."""
    count, skip = 0, 0
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if skip:
                skip -= 1
                continue
            if not line.strip().isdigit():
                return max(count, 1)  # an unusual file: let the reader say what is wrong
            count, skip = count + 1, int(line) + 1
    return count


def _image(path: Path, sampling: float | None) -> Signal:
    try:
        return read_image(path)
    except UserError as mistake:
        if sampling is None or "pixel size" not in str(mistake):
            raise
        return read_image(path, sampling=sampling)
