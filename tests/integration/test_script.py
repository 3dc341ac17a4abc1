"""A plain script that asks for workers gets them, with no main guard, and from stdin, too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = '''
from dataclasses import dataclass

from ase import Atoms

import htinvert as ht
from htinvert.core import Relaxation

print("begun")


@dataclass(frozen=True)
class Springs:
    """Energy of springs of 3 Å between all pairs [eV]; no atom moves."""

    k: float = 1.0

    def __call__(self, atoms: Atoms) -> Relaxation:
        stretched = atoms.get_all_distances() - 3.0
        return Relaxation(atoms, self.k * float((stretched**2).sum()), True, 0)


campaign = {
    "name": "springs",
    "structure": {"use": "box", "size": 20.0},
    "composition": {"Xe": [7, 7]},
    "energy": {"use": "__main__:Springs", "k": 0.5},
    "search": {"generators": [{"use": "random"}]},
    "stop": {"evaluations": 6},
}
run = ht.run(campaign, workers=2)
print(run.reason, run.counts().ok)
'''


def started(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        input=stdin, capture_output=True, text=True, check=False, cwd=folder, timeout=120,
    )  # fmt: skip


def test_a_script_without_a_main_guard_gets_its_workers(tmp_path: Path) -> None:
    """Its own component may go by the script's name, which runs it no second time."""
    (tmp_path / "search.py").write_text(SCRIPT.replace("__main__:", "search:"))
    done = started(tmp_path, "search.py")
    assert done.stdout == "begun\n6 evaluations are done 6\n", done.stderr
    assert done.stderr == ""


def test_a_script_from_stdin_gets_its_workers(tmp_path: Path) -> None:
    done = started(tmp_path, "-", stdin=SCRIPT)
    assert done.stdout == "begun\n6 evaluations are done 6\n", done.stderr
