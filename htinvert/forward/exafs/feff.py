"""FEFF6, run as a program: input for one absorber, limits, and the paths that it writes.

S. I. Zabinsky, J. J. Rehr, A. Ankudinov, R. C. Albers & M. J. Eller, Phys. Rev. B 52, 2995 (1995).
The program, feff6l, comes with xraylarch for Linux, macOS and Windows. Every run has a scratch
folder and a process group of its own, which end with it.
"""

from __future__ import annotations

import functools
import importlib.util
import platform
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols

from htinvert.core import EvaluationFailed, Floats, UserError
from htinvert.forward import child
from htinvert.forward.child import Allowed
from htinvert.forward.exafs.alike import DISCARDED, DOUBT, QUICK, ListedPaths, strength
from htinvert.forward.exafs.neighborhood import Neighborhood, ordered
from htinvert.forward.exafs.paths import LEGS, Paths

HOLES = {"K": 1, "L1": 2, "L2": 3, "L3": 4}
MOST_ATOMS = 499  # of the program's tables
MOST_POTENTIALS = 7  # beside the absorber's
FOLDERS = {"Linux": "linux64", "Darwin": "darwin64", "Windows": "win64"}
PHASES = "phase.bin"
ROUTES = "paths.dat"
WEIGHTS = "crit.dat"
COLUMNS = 7  # of a path's table


@dataclass(frozen=True)
class Settings:
    """What FEFF is asked for.

    Attributes:
        edge: one of ``HOLES``.
        reach: half the length of the longest path [Å].
        legs: most legs of a path, 2 for single scattering.
        criterion: amplitude of the weakest paths that are kept, like ones taken together [% of the
            strongest]; with 0 all are, and none shares another's.
        seconds: wall-clock time of one run.
    """

    edge: str = "K"
    reach: float = 5.5
    legs: int = 4
    criterion: float = 4.0
    seconds: float = 60.0


@functools.cache
def program() -> Path:
    """Where feff6l is. Raises :class:`UserError` where xraylarch is not installed."""
    spec = importlib.util.find_spec("larch")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            "EXAFS needs FEFF6, which xraylarch brings and is not installed here; "
            '`pip install "htinvert[xas]"`'
        )
    system = platform.system()
    name = "feff6l.exe" if system == "Windows" else "feff6l"
    place = Path(next(iter(spec.submodule_search_locations))) / "bin" / FOLDERS.get(system, "")
    if not (place / name).is_file():
        raise UserError(f"xraylarch brings no FEFF6 for {system}: there is no {place / name}")
    return place / name


def elements_of(neighborhood: Neighborhood) -> tuple[int, ...]:
    """Atomic numbers around an absorber, each once."""
    return tuple(sorted({int(number) for number in neighborhood.numbers[1:]}))


def scattering_paths(
    neighborhood: Neighborhood,
    settings: Settings,
    *,
    phases: bytes | None = None,
    elements: Sequence[int] | None = None,
) -> tuple[Paths, bytes]:
    """Paths of one absorber, and the phase shifts that they were made with.

    Args:
        neighborhood: the atoms within some 2 Å more than ``settings.reach``.
        settings: what FEFF is asked for.
        phases: of an earlier run, which spare that part of the work.
        elements: those that the phases are of, in order; those around the absorber if None.

    Raises:
        UserError: where FEFF is not installed.
        EvaluationFailed: where it crashes, takes too long, or finds no path.
    """
    if len(neighborhood.numbers) < 2:
        raise EvaluationFailed("an absorber has no neighbor, so that nothing scatters")
    elements = elements or elements_of(neighborhood)
    given = {} if phases is None else {PHASES: phases}
    text = _input(neighborhood, settings, elements, f"{int(phases is None)} 1 0 0")
    with _ran(given, text, settings.seconds) as (folder, said):
        listed = _listed(folder)
        if listed is None or not len(listed):
            raise EvaluationFailed(f"FEFF found no path: {said}")
        phases = (folder / PHASES).read_bytes()
    group = chosen = np.arange(len(listed))
    least = DISCARDED * settings.criterion
    if least:
        quick = listed.strong(listed.degeneracy * listed.weight, DOUBT * least)
        listed = listed.at(np.flatnonzero(quick))
        group, chosen = listed.alike()
    atoms = np.array([0, *elements])
    routes = [
        Route(listed.places[at, :legs], tuple(atoms[listed.potentials[at, :legs]]))
        for at, legs in zip(chosen, listed.legs[chosen], strict=True)
    ]
    absorber = int(neighborhood.numbers[0])
    made = routed(routes, absorber, settings, phases=phases, elements=elements)
    found = listed.sharing(made, group, chosen, elements)
    if least:
        strong = listed.strong(strength(found), least)
        found = replace(found, degeneracy=found.degeneracy * strong).at(np.flatnonzero(strong))
    return found, phases


def _listed(folder: Path) -> ListedPaths | None:
    """Paths that FEFF has found, None where it has written no list."""
    if not (folder / ROUTES).exists():
        return None
    try:
        return ListedPaths.read(*((folder / name).read_text("ascii") for name in (ROUTES, WEIGHTS)))
    except (OSError, ValueError, IndexError) as error:
        raise EvaluationFailed(f"garbage: FEFF wrote no list of paths into {ROUTES}") from error


@dataclass(frozen=True, eq=False)
class Route:
    """A path that FEFF is asked about.

    Attributes:
        places: of the atoms from the absorber [Å], which stands last, shape (legs, 3).
        numbers: their atomic numbers, 0 for the absorber.
    """

    places: Floats
    numbers: tuple[int, ...]


def routed(
    routes: Sequence[Route],
    absorber: int,
    settings: Settings,
    *,
    phases: bytes,
    elements: Sequence[int],
) -> Paths:
    """Paths along given routes, by phase shifts of an earlier run of ``elements``, in order.

    Raises as :func:`scattering_paths` does.
    """
    alone = Neighborhood(np.array([absorber]), np.zeros((1, 3)), b"")
    text = _input(alone, replace(settings, criterion=0.0), elements, "0 0 1 0")
    number = {0: 0} | {element: place for place, element in enumerate(elements, 1)}
    lines = [" htinvert", f" {'-' * 79}"]
    for place, route in enumerate(routes, 1):
        lines += [f"{place} {len(route.numbers)} 1.0", " x y z ipot label"]
        for (x, y, z), element in zip(route.places, route.numbers, strict=True):
            lines.append(f"{x:.6f} {y:.6f} {z:.6f} {number[element]} 'x'")
    given = {PHASES: phases, ROUTES: "\n".join([*lines, ""]).encode("ascii")}
    with _ran(given, text, settings.seconds) as (folder, said):
        files = sorted(folder.glob("feff[0-9]*.dat"))
        if len(files) != len(routes):
            raise EvaluationFailed(f"FEFF did not make {len(routes)} paths: {said}")
        return read_paths(files)


@contextmanager
def _ran(given: Mapping[str, bytes], text: str, seconds: float) -> Iterator[tuple[Path, str]]:
    """The folder in which FEFF has run, which then goes, and the last line that it said."""
    with tempfile.TemporaryDirectory(prefix="htinvert-feff-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "feff.inp").write_text(text, encoding="ascii")
        for file, content in given.items():
            (folder / file).write_bytes(content)
        yield folder, run(folder, seconds)


def run(folder: Path, seconds: float) -> str:
    """Run FEFF in a folder within limits; the last line that it says."""
    return child.run([str(program())], folder, Allowed(seconds), name="FEFF")


def _input(
    neighborhood: Neighborhood, settings: Settings, elements: Sequence[int], control: str
) -> str:
    """Text of feff.inp: the absorber is potential 0, every element around it one more."""
    if len(elements) > MOST_POTENTIALS:
        raise EvaluationFailed(f"FEFF takes {MOST_POTENTIALS} elements, not {len(elements)}")
    number = {element: place for place, element in enumerate(elements, 1)}
    neighborhood = ordered(neighborhood)
    absorber = int(neighborhood.numbers[0])
    kinds = [(0, absorber), *((place, element) for element, place in number.items())]
    lines = [
        "TITLE htinvert",
        f"HOLE {HOLES[settings.edge]} 1.0",
        f"CONTROL {control}",
        "PRINT 0 1 0 3",
        f"RMAX {settings.reach:.4f}",
        "CRITERIA 0 0",
        f"PCRITERIA {QUICK * settings.criterion:.4f} 0",
        f"NLEG {settings.legs}",
        "POTENTIALS",
        *(f"{place} {element} {chemical_symbols[element]}" for place, element in kinds),
        "ATOMS",
    ]
    for place, (element, (x, y, z)) in enumerate(
        zip(neighborhood.numbers[:MOST_ATOMS], neighborhood.positions, strict=False)
    ):
        potential = number[int(element)] if place else 0
        lines.append(f"{x:.5f} {y:.5f} {z:.5f} {potential}")
    # Each potential needs an atom: of those with phase shifts only, one that no path reaches.
    absent = set(elements) - {int(element) for element in neighborhood.numbers[1:MOST_ATOMS]}
    lines += [f"{settings.reach + 10.0 * number[e]:.5f} 0 0 {number[e]}" for e in sorted(absent)]
    return "\n".join([*lines, "END", ""])


def read_paths(files: Sequence[Path]) -> Paths:
    """The paths of files feffNNNN.dat of one run."""
    return Paths.stacked([_read(path) for path in files])


def _read(path: Path) -> Paths:
    """One path."""
    lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    try:
        start = next(at for at, line in enumerate(lines) if "nleg, deg, reff" in line)
        legs, degeneracy, length, norman = lines[start].split()[:4]
        rows = [line.split() for line in lines[start + 2 : start + 2 + int(legs)]]
        places, numbers = np.zeros((1, LEGS, 3)), np.zeros((1, LEGS), dtype=int)
        places[0, : len(rows)] = [[float(word) for word in row[:3]] for row in rows]
        numbers[0, : len(rows)] = [int(row[4]) for row in rows]
        words = " ".join(lines[start + 3 + int(legs) :]).split()
        table: Floats = np.array(list(map(float, words))).reshape(-1, COLUMNS)
        k, central, size, phase, reduction, free_path, momentum = table.T
    except (StopIteration, ValueError, IndexError) as error:
        raise EvaluationFailed(f"garbage: FEFF wrote no path into {path.name}") from error
    return Paths(
        k=k,
        amplitude=(size * reduction)[None],
        phase=(central + phase)[None],
        momentum=(momentum + 1j / free_path)[None],
        degeneracy=np.array([float(degeneracy)]),
        length=np.array([float(length)]),
        norman=np.array([float(norman)]),
        places=places,
        numbers=numbers,
    )
