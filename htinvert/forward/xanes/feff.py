"""FEFF9 and FEFF10: full multiple scattering in a cluster around the absorber.

J. J. Rehr, J. J. Kas, F. D. Vila, M. P. Prange & K. Jorissen, Phys. Chem. Chem. Phys. 12, 5503
(2010). FEFF10 comes as ``pip install feff10-rs``; any other is named by its command, which reads
``feff.inp`` in its folder.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from ase.data import chemical_symbols

from htinvert.core import UserError
from htinvert.forward.exafs.neighborhood import ordered
from htinvert.forward.xanes.absorber import Absorber, Runner, located, table_of
from htinvert.forward.xanes.unbroadened import Unbroadened

PER_EV = 0.2624682917  # 1/Å² per eV: 2 m / hbar²
K_STEP, E_STEP = 0.05, 0.1  # 1/Å and eV of its grid, far from the edge and at it
MOST_POTENTIALS = 11
PYTHON = "import feff10; feff10.run('feff.inp', '.')"


@dataclass(frozen=True)
class Feff:
    """Settings of FEFF9 and FEFF10.

    Attributes:
        radius: of the cluster in which electrons scatter [Å].
        consistent: radius within which potentials are made self-consistent [Å]; None: not at all.
        command: how it is started.
    """

    title: ClassVar[str] = "FEFF"

    radius: float
    consistent: float | None = None
    command: str | None = None

    def check(self, absorber: Absorber) -> None:
        """Raise where there is no FEFF, or too many elements for it."""
        self._words()
        if len(set(absorber.hood.numbers[1:])) > MOST_POTENTIALS:
            raise UserError(f"FEFF takes {MOST_POTENTIALS} elements around an absorber, not more")

    def local(self) -> bool:
        """It is given a cluster."""
        return True

    def spectrum(self, absorber: Absorber, runner: Runner) -> Unbroadened:
        """Run it on ``feff.inp``; what ``xmu.dat`` holds."""
        (runner.folder / "feff.inp").write_text(self.written(absorber), encoding="ascii")
        path = {"PYTHONPATH": os.pathsep.join(os.path.abspath(p) for p in sys.path)}  # noqa: PTH100
        runner(self._words(), log="said", environment=path)
        return read_xmu(runner.folder / "xmu.dat")

    def written(self, absorber: Absorber) -> str:
        """Text of feff.inp: the absorber is potential 0, every element around it one more."""
        hood = ordered(absorber.hood)
        elements = sorted({int(number) for number in hood.numbers[1:]})
        number = {element: place for place, element in enumerate(elements, 1)}
        kinds = [(0, int(hood.numbers[0])), *((place, one) for one, place in number.items())]
        steady = [] if self.consistent is None else [f"SCF {self.consistent:.3f} 0 30 0.2 1"]
        lines = [
            "TITLE htinvert",
            f"EDGE {absorber.edge}",
            "S02 1.0",
            "CONTROL 1 1 1 1 1 1",
            "PRINT 0 0 0 0 0 0",
            "EXCHANGE 0 0 0",
            *steady,
            f"XANES {np.sqrt(PER_EV * absorber.above):.3f} {K_STEP} {E_STEP}",
            f"FMS {self.radius:.3f} 0",
            "POTENTIALS",
            *(f"{place} {one} {chemical_symbols[one]} -1 -1" for place, one in kinds),
            "ATOMS",
        ]
        for place, (one, (x, y, z)) in enumerate(zip(hood.numbers, hood.positions, strict=True)):
            lines.append(f"{x:.5f} {y:.5f} {z:.5f} {number[int(one)] if place else 0}")
        return "\n".join([*lines, "END", ""])

    def _words(self) -> list[str]:
        """The command: one that is given, FEFF10 of Python's, or one of the path."""
        named = self.command or os.environ.get("HTINVERT_FEFF")
        if not named and importlib.util.find_spec("feff10") is not None:
            return [sys.executable, "-c", PYTHON]
        return located(self.title, self.command, ("feff", "feff9", "feff10"),
                       "`pip install feff10-rs`")  # fmt: skip


def read_xmu(path: Path) -> Unbroadened:
    """Absorption of ``xmu.dat``, its zero where the photoelectron's k is; FEFF's hole is in it."""
    energy, k = table_of(path, (0, 2), name="FEFF")
    _, mu = table_of(path, (0, 3), name="FEFF")
    hole = re.search(r"Gam_ch=\s*([-+.\dEe]+)", path.read_text(errors="replace"))
    empty = k >= 0.0
    energy = energy - np.interp(0.0, k, energy)
    # What FEFF gives below its Fermi level is the tail of its lifetime, which stays.
    return Unbroadened.of(energy, mu, width=float(hole[1]) if hole and empty.any() else 0.0,
                          name="FEFF")  # fmt: skip
