"""A campaign whose engine hangs, crashes and lies ends with everything else evaluated."""

from __future__ import annotations

from pathlib import Path

import pytest

from htinvert.store import RunStore

from .conftest import Command, Writer

ENGINE = '''
import ctypes, os, time
from dataclasses import dataclass
from pathlib import Path
import numpy as np
from htinvert.core import Relaxation
from htinvert.energy.lammps import Lammps

def call():
    """The number of this call of all processes: some are culprits, each in its way."""
    number = 0
    while True:
        try:
            os.close(os.open(f"CALLS/{number}", os.O_CREAT | os.O_EXCL))
            return number
        except FileExistsError:
            number += 1

@dataclass(frozen=True)
class Treacherous:
    potential: Path

    def __call__(self, atoms):
        match call():
            case 1: time.sleep(1000)
            case 4 | 19: ctypes.string_at(0)
            case 7: return [np.ones(10**7) for _ in range(13)], time.sleep(1000)
            case 10: return Relaxation(atoms, float("nan"), True, 1)
            case 13: return "garbage"
            case 16: Path("wave").write_bytes(b"x" * 2 * 10**8), time.sleep(1000)
        return Lammps(self.potential)(atoms)
'''
STATUSES = {"timed out", "crashed", "out of memory", "not finite", "garbage", "out of disk"}


@pytest.mark.parametrize("workers", [0, 2])
def test_the_culprits_are_named_and_the_others_ranked(
    campaign: Writer, process: Command, tmp_path: Path, workers: int
) -> None:
    (calls := tmp_path / "calls").mkdir()
    (tmp_path / "treacherous.py").write_text(ENGINE.replace("CALLS", str(calls)))
    energy = {
        "use": "treacherous:Treacherous",
        "potential": "CdTe.sw",
        "limits": {"seconds": 2, "memory": 1, "disk": 0.1, "retries": 0},
    }
    path = campaign(energy=energy, workers=workers, stop={"evaluations": 20}, experiments=None)
    done = process("run", path, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    with RunStore.open(tmp_path / "runs" / "tiny") as store:
        evaluations = list(store.evaluations())
    failed = [e.error for e in evaluations if e.error]
    assert len(evaluations) >= 20
    assert {reason.partition(":")[0] for reason in failed} <= STATUSES
    assert len({reason.partition(":")[0] for reason in failed}) >= 3
    assert len(failed) < 15
    status = process("status", Path("runs") / "tiny")
    assert "failed: " in status.stdout
