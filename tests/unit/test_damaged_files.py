"""Data and structure files with wrong bytes: a result or a sentence, soon and in little memory.

About 150 mutations in a plain run, 3000 with ``HTINVERT_TORTURE=full``.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write
from ase.io.cube import write_cube

from htinvert.core import Space, UserError
from htinvert.density.files import read_density
from htinvert.geometry.distances import covalent_distances, shortest_ratio
from htinvert.image.read import read_image
from htinvert.signals.curve_file import read_curve
from htinvert.signals.pattern_file import read_pattern
from htinvert.structures.file import from_file
from htinvert.structures.region import search_space

FULL = os.environ.get("HTINVERT_TORTURE") == "full"
LONGEST = 20  # CPU-seconds, for one file
ROOM = 2 * 10**9  # bytes above what the process has
NUMBERS = (
    *("0", "-1", "1e5", "1e9", "1e-7", "1e300", "nan", "inf", "-inf", "999999999", "2000000000"),
    *("x", "", "?", "1e", "0.5", "9" * 40, "-999999999", "1e-300", "Xx"),
)


def structure(path: Path) -> Any:
    """What `check` does with a structure before anything is evaluated."""
    atoms = from_file(path)
    shortest = covalent_distances(atoms.get_chemical_symbols())
    space: Space = search_space(atoms, region=None, composition={}, min_distance=shortest)
    return shortest_ratio(space.template)


def image(path: Path) -> Any:
    return read_image(path, sampling=0.2)


def pattern(path: Path) -> Any:
    return read_pattern(path, sampling=0.02)


def _npz(path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(24, 20)).astype(np.float32)
    np.savez_compressed(path, image=values, sampling=np.array([0.2, 0.2]))


def _xy(path: Path) -> None:
    np.savez(path, x=np.arange(40) * 0.1, y=np.random.default_rng(1).random(40))


def _picture(path: Path) -> None:
    from imageio.v3 import imwrite

    imwrite(path, np.random.default_rng(1).integers(0, 255, (24, 20)).astype(np.uint8))


def _mrc(path: Path) -> None:
    header = np.zeros(256, dtype=np.int32)
    header[:4] = 20, 24, 1, 2
    header[7:10] = 20, 24, 1
    header[10:13] = np.array([4.0, 4.8, 1.0], dtype=np.float32).view(np.int32)
    header[52] = int.from_bytes(b"MAP ", "little")
    values = np.random.default_rng(1).normal(size=(24, 20)).astype(np.float32)
    path.write_bytes(header.tobytes() + values.tobytes())


def _msa(path: Path) -> None:
    head = "#FORMAT : EMSA/MAS Spectral Data File\n#VERSION : 1.0\n#TITLE : t\n#NPOINTS : 40.\n"
    head += "#NCOLUMNS : 1.\n#XUNITS : eV\n#YUNITS : counts\n#DATATYPE : Y\n#XPERCHAN : 0.5\n"
    rows = "".join(f"{i * 1.5:.3f},\n" for i in range(40))
    path.write_text(f"{head}#OFFSET : 100.\n#SIGNALTYPE : ELS\n#SPECTRUM : x\n{rows}#ENDOFDATA :\n")


def _cube(path: Path) -> None:
    with path.open("w") as file:
        write_cube(file, bulk("Cu", cubic=True), np.random.default_rng(1).random((4, 4, 4)))


def _columns(path: Path) -> None:
    rows = "".join(f"{0.1 * i:.3f} {np.sin(i):.5f}\n" for i in range(1, 50))
    path.write_text(f"# Column.1: r Angstrom\n# Column.2: g\n#L r(A) G(A^-2)\n{rows}")


def _plain(path: Path) -> None:
    np.save(path, np.random.default_rng(1).normal(size=(24, 20)))


def _structure(kind: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        write(path, bulk("NaCl", "rocksalt", 5.64, cubic=True), format=kind)

    return make


MAKERS: dict[str, tuple[Callable[[Path], None], Callable[[Path], Any]]] = {
    "a.npz": (_npz, image),
    "b.npz": (_npz, pattern),
    "c.npz": (_xy, read_curve),
    "a.npy": (_plain, image),
    "b.npy": (_plain, pattern),
    "a.png": (_picture, image),
    "a.tif": (_picture, image),
    "b.tif": (_picture, pattern),
    "a.mrc": (_mrc, image),
    "a.gr": (_columns, read_curve),
    "a.xdi": (_columns, read_curve),
    "a.msa": (_msa, read_curve),
    "a.cube": (_cube, read_density),
    "b.cube": (_cube, structure),
    "POSCAR": (_structure("vasp"), structure),
    "a.cif": (_structure("cif"), structure),
    "a.xyz": (_structure("extxyz"), structure),
    "a.dm3": (lambda path: None, image),
}
EACH = (3000 if FULL else 150) // len(MAKERS) + 1


def _mutated(data: bytes, rng: random.Random) -> bytes:
    """Bytes flipped, cut, doubled or put in, or a number in a text replaced by an odd one."""
    raw = bytearray(data)
    text = b"\0" not in data
    for _ in range(rng.choice((1, 1, 2, 4))):
        place = rng.randrange(min(len(raw), rng.choice((64, 400, len(raw) + 1)) + 1) or 1)
        change = rng.choice(("flip", "cut", "insert", "double") + ("number",) * (5 if text else 0))
        if change == "cut":
            del raw[place : place + rng.choice((1, 8, len(raw)))]
        elif change == "insert":
            odd = (bytes(rng.randrange(1, 40)), rng.randbytes(9), b"\xff" * 8, b" ", b"\n", b"\x7f")
            raw[place:place] = rng.choice(odd)
        elif change == "double":
            raw[place:place] = raw[place : place + rng.randrange(200)]
        elif change == "number":
            words = bytes(raw).split(b" ")
            words[rng.randrange(len(words))] = rng.choice(NUMBERS).encode()
            raw = bytearray(b" ".join(words))
        elif place < len(raw):
            raw[place] = rng.randrange(256)
        if not raw:
            break
    return bytes(raw)


@contextmanager
def _within_bounds() -> Iterator[None]:
    """No more time and memory than a bad file may take."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)

    def late(*_: object) -> None:
        raise TimeoutError(f"not read within {LONGEST} s")

    before = signal.signal(signal.SIGPROF, late)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM, hard))
    signal.setitimer(signal.ITIMER_PROF, LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _check_words(said: str, which: str) -> None:
    """A sentence, and no room or time that was used up on the way to it."""
    for word in ("MemoryError", "Unable to allocate", "not read within", "\n"):
        assert word not in said, which


@pytest.mark.skipif(sys.platform != "linux", reason="bounds memory as Linux counts it")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MAKERS)
def test_a_damaged_file_is_read_or_refused(
    tmp_path: Path, name: str, request: pytest.FixtureRequest
) -> None:
    make, read = MAKERS[name]
    path = tmp_path / name
    if name.endswith(".dm3"):
        source = request.getfixturevalue("shared_data") / "cdte-twin" / "HAADF26.dm3"
        path.write_bytes(source.read_bytes())
    make(path)
    whole = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read(path)
        for number in range(EACH):
            data = _mutated(whole, random.Random(f"{name} {number}")) if number else b""  # noqa: S311
            path.write_bytes(data)
            try:
                with _within_bounds():
                    read(path)
            except UserError as error:
                _check_words(str(error), f"{number}: {data[:300]!r}")
            except Exception as error:
                error.add_note(f"mutation {number} of {name}: {data[:600]!r}")
                raise


@pytest.mark.parametrize("read", [image, pattern, read_curve])
def test_an_archive_that_unfolds_to_gigabytes_is_refused(
    tmp_path: Path, read: Callable[[Path], Any]
) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        head = tmp_path / "head.npy"
        np.lib.format.open_memmap(head, mode="w+", dtype=np.float64, shape=(2, 2))
        text = head.read_bytes()[:128].replace(b"(2, 2), }", b"(30000, 30000), }")
        archive.writestr("image.npy", text[:127] + b"\n")
    with pytest.raises(UserError, match=r"holds arrays of 7\.2 GB"):
        read(path)


def test_a_tag_of_endless_fields_is_refused(tmp_path: Path, shared_data: Path) -> None:
    whole = (shared_data / "cdte-twin" / "HAADF26.dm3").read_bytes()
    fields = whole.index(b"%%%%") + 4 + 3 * 4  # words: length, 15 a struct, name, fields
    path = tmp_path / "a.dm3"
    for said in (0x00010000, 0x7FFFFFFF):
        path.write_bytes(whole[:fields] + said.to_bytes(4, "big") + whole[fields + 4 :])
        with pytest.raises(UserError, match="more than the 1000 that can be"):
            image(path)
