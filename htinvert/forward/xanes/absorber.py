"""What programs of near-edge spectra are asked for, where they are found, what is kept of them."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar, Protocol

import numpy as np
from ase import Atoms

from htinvert.core import EvaluationFailed, UserError
from htinvert.forward import child
from htinvert.forward.child import Allowed
from htinvert.forward.exafs.neighborhood import Neighborhood
from htinvert.forward.kept_files import kept_file, put
from htinvert.forward.memo import fingerprint, remember
from htinvert.forward.xanes.unbroadened import Unbroadened

REMEMBERED = 256  # spectra of a process
_known: OrderedDict[bytes, Unbroadened] = OrderedDict()


@dataclass(frozen=True, eq=False)
class Absorber:
    """One absorbing atom.

    Attributes:
        atoms: the structure.
        index: of the atom in it.
        edge: ``K``, ``L1``, ``L2`` or ``L3``.
        hood: the atoms around it.
        above: up to which energy above the edge the spectrum is wanted [eV].
    """

    atoms: Atoms
    index: int
    edge: str
    hood: Neighborhood
    above: float


class AbsorptionProgram(Protocol):
    """A program of others: how it is found, asked and read. A frozen dataclass of its settings."""

    title: ClassVar[str]

    def check(self, absorber: Absorber) -> None:
        """Raise :class:`UserError` where it is not installed, or cannot do what is asked."""
        ...

    def local(self) -> bool:
        """Whether a spectrum depends on the atoms around the absorber alone."""
        ...

    def spectrum(self, absorber: Absorber, runner: Runner) -> Unbroadened:
        """Write inputs, run, read. Raises :class:`EvaluationFailed` where a run fails."""
        ...


@dataclass(frozen=True)
class Runner:
    """Runs commands in a scratch folder within limits."""

    folder: Path
    allowed: Allowed

    def __call__(
        self,
        command: list[str],
        *,
        log: str,
        given: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Path:
        """Run one; its log. Raises :class:`EvaluationFailed`."""
        name = Path(command[0]).name
        child.run(
            command,
            self.folder,
            self.allowed,
            name=name,
            log=log,
            given=given,
            environment=environment,
        )
        return self.folder / log


def located(title: str, command: str | None, names: tuple[str, ...], advice: str) -> list[str]:
    """Words of the command that starts a program.

    That which is given, else that of the environment variable ``HTINVERT_`` and the first name,
    else the first of ``names`` that the path has. Raises :class:`UserError` where there is none.
    """
    variable = f"HTINVERT_{names[0].partition('.')[0].upper()}"
    words = shlex.split(command or os.environ.get(variable, ""))
    if not words:
        words = [name for name in names if shutil.which(name)][:1]
    if not words or shutil.which(words[0]) is None:
        missing = words[0] if words else names[0]
        raise UserError(
            f"{title} is not installed here: there is no {missing}; {advice}, or set command or "
            f"{variable} to how it is started"
        )
    return words


def spectrum_of(absorber: Absorber, program: AbsorptionProgram, allowed: Allowed) -> Unbroadened:
    """An absorber's spectrum, from memory, from a folder, or from the program.

    Raises:
        UserError: where the program is not installed.
        EvaluationFailed: where it fails.
    """
    asked = {
        "program": repr(program),
        "files": _stamps(program),
        "edge": absorber.edge,
        "above": absorber.above,
        "hood": absorber.hood.key,
    }
    atoms = absorber.atoms
    arrays = [] if program.local() else [atoms.numbers, atoms.positions, atoms.cell.array]
    key = fingerprint(asked | ({} if program.local() else {"index": absorber.index}), *arrays)
    if key in _known:
        return remember(_known, key, _known[key], most=REMEMBERED)
    path = kept_file("xanes", key, ".npz")
    found = _read(path)
    if found is None:
        program.check(absorber)
        with tempfile.TemporaryDirectory(
            prefix="htinvert-xanes-", ignore_cleanup_errors=True
        ) as name:
            found = program.spectrum(absorber, Runner(Path(name), allowed))
        put(path, functools.partial(_write, found))
    return remember(_known, key, found, most=REMEMBERED)


def _stamps(program: AbsorptionProgram) -> list[tuple[str, int]]:
    """Names and times [ns] of the files that a program is given, so that changed ones count."""
    found = []
    for value in vars(program).values():
        if isinstance(value, Path) and value.exists():
            files = sorted(value.iterdir()) if value.is_dir() else [value]
            found += [(file.name, file.stat().st_mtime_ns) for file in files]
    return found


def _write(found: Unbroadened, file: IO[bytes]) -> None:
    """A spectrum as arrays."""
    np.savez(file, energy=found.energy, values=found.values, width=np.array(found.width))


def _read(path: Path) -> Unbroadened | None:
    """What the folder has; None where that is nothing, or not whole."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return Unbroadened(stored["energy"], stored["values"], float(stored["width"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def table_of(path: Path, columns: tuple[int, int], *, name: str) -> np.ndarray:
    """Two columns of numbers of a program's output, comments and headings left out, shape (2, n).

    Raises :class:`EvaluationFailed` where there are none.
    """
    rows = []
    if path.is_file():
        for line in path.read_text(errors="replace").splitlines():
            words = [] if "=" in line else line.split("#")[0].split()
            try:
                rows.append([float(words[column]) for column in columns])
            except (ValueError, IndexError):
                continue
    if not rows:
        raise EvaluationFailed(f"garbage: {name} wrote no spectrum into {path.name}")
    return np.array(rows).T
