"""A DFT program that ASE runs: the executable, its scratch folder, its points in k space.

Inputs and outputs are those of ASE's profiles: Larsen et al., J. Phys.: Condens. Matter 29, 273002
(2017). Each structure gets a scratch folder of its own, which is removed whatever happens.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from ase import Atoms
from ase.calculators.calculator import kptdensity2monkhorstpack

from htinvert.core import EvaluationFailed, Relaxation, UserError
from htinvert.energy.descent import VACUUM, enclosed, relax, single_point
from htinvert.energy.offer import SinglePoint

TAIL = 200  # characters of a program's complaint that are kept


class Program(Protocol):
    """What the engines that run a program have in common."""

    @property
    def name(self) -> str:
        """What the program is called in messages."""
        ...

    @property
    def fmax(self) -> float:
        """Largest force at which a relaxation ends [eV/Å]."""
        ...

    @property
    def steps(self) -> int:
        """Number of steps after which a relaxation ends."""
        ...

    @property
    def optimizer(self) -> str:
        """ASE's optimizer, ``lbfgs`` or ``fire``."""
        ...

    def calculator(self, atoms: Atoms, folder: Path) -> Any:
        """ASE's calculator for a structure, working in a folder."""
        ...


def check_program(engine: str, command: str, advice: str) -> None:
    """Raise :class:`UserError` where the program that a command starts is not there."""
    words = shlex.split(command)
    missing = next((word for word in words[:1] if shutil.which(word) is None), None)
    if missing or not words:
        raise UserError(
            f"{engine} is not installed here: there is no {missing or 'command'}; {advice}, or set "
            "`command` to how it is started"
        )


@functools.lru_cache(maxsize=8)
def program_version(command: str, option: str, pattern: str) -> str:
    """The version that a program says it has; ``unknown version`` where it says none."""
    try:
        done = subprocess.run(  # noqa: S603  (the user's own command)
            [*shlex.split(command), *option.split()], stdin=subprocess.DEVNULL,
            capture_output=True, text=True, errors="replace", timeout=60, check=False,
            cwd=tempfile.gettempdir(),
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return "unknown version"
    said = re.search(pattern, done.stdout)
    return said[1] if said else "unknown version"


def k_points(atoms: Atoms, density: float) -> tuple[int, int, int]:
    """A mesh with Gamma in it, of at least ``density`` points per 1/Å, times 2 pi.

    Along a vector that is not periodic one point is enough.
    """
    x, y, z = kptdensity2monkhorstpack(atoms, density, even=False)
    return int(x), int(y), int(z)


def relax_with(program: Program, atoms: Atoms) -> Relaxation:
    """Relax a structure in a scratch folder. Raises :class:`EvaluationFailed`."""
    with scratch() as folder:
        return relax(
            atoms,
            program.calculator(atoms, folder),
            engine=program.name,
            fmax=program.fmax,
            steps=program.steps,
            optimizer=program.optimizer,
            gap=VACUUM,
        )


def price_with(program: Program, atoms: Atoms) -> SinglePoint:
    """Price a structure as it stands, in a scratch folder. Raises :class:`EvaluationFailed`."""
    with scratch() as folder:
        calculator = program.calculator(atoms, folder)
        whole = enclosed(atoms, gap=VACUUM)
        return single_point(whole, calculator, engine=program.name, stress=True)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for a program; what it complained of is added to a failure."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # one thread per worker
    with tempfile.TemporaryDirectory(prefix="htinvert-dft-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        try:
            yield folder
        except EvaluationFailed as error:
            said = complaint(folder)
            raise EvaluationFailed(f"{error}; it says: {said}" if said else str(error)) from error


def complaint(folder: Path) -> str:
    """The last error that a program wrote into a folder, shortened; empty where it wrote none."""
    for path in sorted(folder.glob("*.log")) + sorted(folder.glob("*.pwo")):
        text = path.read_text(encoding="utf-8", errors="replace")
        # ABINIT writes YAML, Quantum ESPRESSO puts errors between lines of %
        for pattern in (r"--- !(?:ERROR|BUG).*?message: \|\s*(.*?)\.\.\.", r"%{20,}(.*?)%{20,}"):
            if found := re.findall(pattern, text, re.S):
                return " ".join(found[-1].split())[:TAIL]
    errors = [path.read_text(errors="replace") for path in sorted(folder.glob("*.err"))]
    return " ".join("".join(errors).split())[-TAIL:]
