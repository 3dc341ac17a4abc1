"""How components misbehave: each by name with the body of an energy model, as data.

``MISBEHAVIORS`` fail or are harmless wherever they run; ``DEADLY`` take the process along, so that
no pool without processes of its own outlives them.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import yaml
from ase import Atoms
from ase.io import write

from htinvert.store import RunStore

LJ = "Relaxation(atoms.copy(), -1.0, True, 1)"

MISBEHAVIORS = {
    "lone surrogate": "raise ValueError('bad \\udc80')",
    "lone surrogate in a reason": "raise EvaluationFailed('bad \\udc80')",
    "control characters": "raise ValueError('\\x1b[2J\\x00\\x07')",
    "markup": "raise ValueError('[some/path] [/] [bold]')",
    "megabyte of error": "raise ValueError('x' * 10**6)",
    "mute exception": "raise Mute",
    "sys.exit(0)": "sys.exit(0)",
    "sys.exit of an object": "sys.exit(Mute())",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "GeneratorExit": "raise GeneratorExit",
    "BaseException": "raise BaseException('all')",
    "endless recursion": "return self(atoms)",
    "2^70 steps": "return Relaxation(atoms.copy(), -1.0, True, 2**70)",
    "steps in words": "return Relaxation(atoms.copy(), -1.0, True, 'many')",
    "steps True": "return Relaxation(atoms.copy(), -1.0, True, True)",
    "negative steps": "return Relaxation(atoms.copy(), -1.0, True, -7)",
    "force nan": "return Relaxation(atoms.copy(), -1.0, True, 1, float('nan'))",
    "energy -1e300": "return Relaxation(atoms.copy(), -1e300, True, 1)",
    "energy True": "return Relaxation(atoms.copy(), True, True, 1)",
    "energy nan": "return Relaxation(atoms.copy(), float('nan'), True, 1)",
    "energy complex": "return Relaxation(atoms.copy(), 1j, True, 1)",
    "energy of 400 digits": "return Relaxation(atoms.copy(), -(10**400), True, 1)",
    "nothing": "return None",
    "no pickle": "return threading.Lock()",
    "unpickles into an exit": "return Unpickled()",
    "no atoms": "return Relaxation('atoms', -1.0, True, 1)",
    "fewer atoms, in place": "del atoms[0]; return Relaxation(atoms, -1.0, True, 1)",
    "positions nan": "a = atoms.copy(); a.positions[:] = float('nan'); "
    "return Relaxation(a, -1.0, True, 1)",
    "cell nan": "a = atoms.copy(); a.cell[:] = float('nan'); return Relaxation(a, -1.0, True, 1)",
    "another folder": f"os.chdir('/'); return {LJ}",
    "folder removed": "d = tempfile.mkdtemp(); os.chdir(d); os.rmdir(d); "
    "raise ValueError(os.getcwd())",
    "alarm": f"signal.setitimer(signal.ITIMER_REAL, 0.05); time.sleep(0.2); return {LJ}",
    "alarm for another": f"signal.setitimer(signal.ITIMER_REAL, 0.2); return {LJ}",
    "signals ignored": "signal.signal(signal.SIGTERM, signal.SIG_IGN); sys.exit(1)",
    "megabytes of output": f"print('x' * 2_000_000); sys.stderr.write('y' * 100); return {LJ}",
}
DEADLY = {
    "files closed": "os.closerange(3, 1024)",
    "os._exit": "os._exit(0)",
    "abort": "os.abort()",
}
HARMLESS = {"another folder", "alarm", "alarm for another", "megabytes of output"}
GOOD = 2  # structures of which nothing is asked, beside those that choose a misbehavior

HEAD = '''
"""An engine that misbehaves, in a way that the number of each call of a structure chooses."""
import os, signal, sys, tempfile, threading, time
from dataclasses import dataclass
from htinvert.core import EvaluationFailed, Relaxation


class Mute(Exception):
    def __str__(self):
        raise SystemExit(3)


class Unpickled:
    def __reduce__(self):
        return sys.exit, (0,)


@dataclass(frozen=True)
class Odd:
    """The tag of the first atom says which misbehavior it is; 0 is none."""

    def __call__(self, atoms):
        number = round(atoms.positions[0, 1] * 1000)
'''


def module() -> str:
    """Source of a module with an engine ``Odd``; the first atom's y [mÅ] chooses what it does."""
    lines = [HEAD]
    for number, body in enumerate([*MISBEHAVIORS.values(), *DEADLY.values()], 1):
        lines.append(f"        if number == {number}:\n{textwrap.indent(body, ' ' * 12)}\n")
    lines.append(f"        return {LJ}\n")
    return "".join(lines)


def structure(number: int) -> Atoms:
    """The structure that asks for a misbehavior; from 500 on for none."""
    positions = [[3.8 * i, 0.001 * number * (i == 0), 0.0] for i in range(4)]
    return Atoms("Ar4", positions, cell=[30.0] * 3)  # with a cell none is moved into one


def campaign(folder: Path, names: list[str], **changes: Any) -> Path:
    """A campaign of these misbehaviors as given structures, in a folder of its own."""
    (folder / "odd_engine.py").write_text(module())
    (folder / "structures").mkdir()
    for number in [name_number(name) for name in names] + [500 + i for i in range(GOOD)]:
        write(folder / "structures" / f"{number:03d}.xyz", structure(number), format="extxyz")
    raw = {
        "name": "odd",
        "structure": {"use": "file", "path": "structures/500.xyz"},
        "energy": {"use": "odd_engine:Odd"},
        "search": {"generators": [{"use": "library", "path": "structures"}], "novelty": 0},
        "in_flight": 4,  # in blocks of one: test_pool.py finds the deadly one in a larger block
        "stop": {"evaluations": 500},
    } | changes
    path = folder / "odd.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


def errors_of(folder: Path) -> dict[int, str]:
    """Why each structure of that campaign failed, by its number; empty where it did not."""
    with RunStore.open(folder / "runs" / "odd") as store:
        rows = list(store.evaluations())
    found = {round(e.candidate.atoms.positions[0, 1] * 1000): e.error or "" for e in rows}
    assert len(found) == len(rows)
    return found


def name_number(name: str) -> int:
    """The number of the structure that misbehaves so."""
    return [*MISBEHAVIORS, *DEADLY].index(name) + 1
