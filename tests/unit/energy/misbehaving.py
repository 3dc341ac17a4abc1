"""Engines that do to a campaign what engines do.

They know the culprit by its composition: what has more Te than Cd is evil.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from htinvert.core import Relaxation


@dataclass(frozen=True)
class Misbehaving:
    """Returns a structure as it is, unless it is evil; ``how`` says what happens then."""

    how: str

    def __call__(self, atoms: Atoms) -> Relaxation:
        symbols = atoms.get_chemical_symbols()
        if symbols.count("Te") > symbols.count("Cd"):
            return getattr(self, self.how)(atoms)
        print("what an engine prints harms nothing")
        return Relaxation(atoms.copy(), -2.0 * len(atoms), True, 1)

    def as_marked(self, atoms: Atoms) -> Any:
        """One of those below, which the structure itself names."""
        return getattr(self, atoms.info["how"])(atoms)

    def hang(self, atoms: Atoms) -> Any:
        subprocess.Popen(["sleep", "1000"])
        while True:
            time.sleep(1)

    def segfault(self, atoms: Atoms) -> Any:
        ctypes.string_at(0)

    def leave(self, atoms: Atoms) -> Any:
        os._exit(3)

    def eat(self, atoms: Atoms) -> Any:
        return [np.ones(10**7) for _ in range(10**4)]

    def eat_elsewhere(self, atoms: Atoms) -> Any:
        code = "x = [bytes([1]) * 10**7 for _ in range(16)]; import time; time.sleep(1000)"
        for process in [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]:
            process.wait()

    def fill(self, atoms: Atoms) -> Any:
        for number in range(10**4):
            Path(f"wave{number}").write_bytes(b"x" * 10**7)
            time.sleep(0.005)

    def fill_one(self, atoms: Atoms) -> Any:
        with Path("wave").open("wb") as file:
            while True:
                file.write(b"x" * 10**7)

    def nan(self, atoms: Atoms) -> Any:
        return Relaxation(atoms, float("nan"), True, 1)

    def nowhere(self, atoms: Atoms) -> Any:
        lost = atoms.copy()
        lost.positions[0] = np.nan
        return Relaxation(lost, -1.0, True, 1)

    def garbage(self, atoms: Atoms) -> Any:
        return "E= -3.0 eV"

    def unsendable(self, atoms: Atoms) -> Any:
        return lambda: None

    def transmute(self, atoms: Atoms) -> Any:
        return Relaxation(Atoms("Au", cell=atoms.cell, pbc=True), -1.0, True, 1)

    def abyss(self, atoms: Atoms) -> Any:
        return Relaxation(atoms.copy(), -1e6, True, 1)


@dataclass(frozen=True)
class Stateful:
    """Dies of every third structure, whichever it is."""

    def __call__(self, atoms: Atoms) -> Relaxation:
        count = int(os.environ.get("ASKED", "0")) + 1
        os.environ["ASKED"] = str(count)
        if count == 3:
            os.abort()
        return Relaxation(atoms, float(os.getpid()), True, count)


@dataclass(frozen=True)
class Stillborn:
    """Cannot be loaded."""

    def load(self) -> None:
        raise OSError("libmkl.so is missing")

    def __call__(self, atoms: Atoms) -> Relaxation:
        raise AssertionError
