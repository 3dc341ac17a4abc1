"""Break the store, the pools and the loop on purpose: do the tests that are named notice?

``python tests/torture/mutants.py [NUMBER ...]`` applies each mutant to a copy of the tree and runs
its tests, which must fail. It ends with exit code 1 where a mutant survives.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
STORE, POOL = "tests/unit/store", "tests/integration/test_pool.py"
FIELDS = f"{STORE}/test_store.py::test_every_field_survives_in_zarr_alone"
SYNCED = f"{STORE}/test_mutants.py::test_a_line_of_the_log_is_synced_before_it_counts"
LOOP = "tests/unit/campaign/test_loop.py"


@dataclass(frozen=True)
class Mutant:
    """A fault: in which file of ``htinvert/``, which text becomes which, whose tests must fail."""

    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...] = (STORE,)


MUTANTS = (
    Mutant("no checksum of a result", "store/journal.py", "crc == line[11]", "True"),
    Mutant(
        "no checksum of a proposal",
        "store/journal.py",
        "good = crc == crc_of(index, key, operator, parents, structure)",
        "good = True",
    ),
    Mutant("a lost row is stepped over", "store/journal.py", "self._require(follows", "(follows"),
    Mutant("a result counts twice", "store/journal.py", ' AND seq IS NULL"\n', '"\n'),
    Mutant(
        "a count of ok that lags",
        "store/journal.py",
        "seq + 1, ok + evaluation.ok\n            self._insert(seq, self",
        "seq + 1, ok\n            self._insert(seq, self",
    ),
    Mutant(
        "a journal that is not synced",
        "store/patient.py",
        'synchronous=FULL")',
        'synchronous=OFF")',
    ),
    Mutant(
        "a driver that was taken over commits",
        "store/journal.py",
        "if self.epoch is not None and",
        "if False and",
    ),
    Mutant("no guard in a transaction", "store/journal.py", "                self._guard()\n", ""),
    Mutant(
        "nobody waits for another program",
        "store/patient.py",
        "if time.monotonic() - begun > most:",
        "if most:",
        (LOOP,),
    ),
    Mutant("attempts are not counted", "store/journal.py", "self.attempts(index) + 1", "1"),
    Mutant(
        "rows go before they are sealed",
        "store/run.py",
        "allow_dropping(self._folding.sound)",
        "allow_dropping(self._journal.committed())",
    ),
    Mutant(
        "the last row of a fold is lost",
        "store/folding.py",
        "stop = min(committed, state.sealed",
        "stop = min(committed - 1, state.sealed",
    ),
    Mutant(
        "an old copy goes unread",
        "store/folding.py",
        "            require_rows(journal, start, stop)\n",
        "            pass\n",
    ),
    Mutant(
        "sealed copies are not looked at",
        "store/folding.py",
        "self.sound = archive.sound_rows(self.path, self.marks.blocks(), *span)",
        "self.sound = span[1]",
    ),
    Mutant(
        "a fold is not read back",
        "store/archive.py",
        "wrong = differences(root, columns)",
        "wrong = []",
    ),
    Mutant(
        "no fsync of commits.log", "store/marks.py", "            os.fsync(file)\n", "", (SYNCED,)
    ),
    Mutant(
        "a short write of the log counts", "store/marks.py", "if written != len(line):", "if False:"
    ),
    Mutant(
        "force is 0 in the archive",
        "store/columns.py",
        "np.nan if r[3] is None else _marked(r[3])",
        "0.0",
        (FIELDS,),
    ),
    Mutant("converged is lost", "store/columns.py", "[relaxation[1] for", "[False for", (FIELDS,)),
    Mutant("steps are lost", "store/columns.py", "[relaxation[2] for", "[0 for", (FIELDS,)),
    Mutant("seconds are lost", "store/columns.py", '[result["seconds"] for', "[0.0 for", (FIELDS,)),
    Mutant("attempts are lost", "store/columns.py", "[row.attempts for", "[1 for"),
    Mutant(
        "periodicity is lost",
        "store/columns.py",
        "np.array([geometry.pbc for",
        "np.array([[True] * 3 for",
        (FIELDS,),
    ),
    Mutant(
        "a checkpoint is not checked",
        "store/checkpoint.py",
        'or zlib.crc32(rows) != saved["crc"]',
        "",
    ),
    Mutant("a checkpoint of an old driver", "store/checkpoint.py", "        self._guard()\n", ""),
    Mutant(
        "a lost block is not sent again",
        "pool/on_dask.py",
        "self._send([block], priority=1)",
        "pass",
        (POOL,),
    ),
    Mutant(
        "halves are not sent",
        "pool/on_dask.py",
        "self._send([block[:half], block[half:]], priority=1)",
        "self._send([block[half:]], priority=1)",
        (POOL,),
    ),
    Mutant(
        "a result that was not fetched is forgotten",
        "pool/on_dask.py",
        "                self._tell_when_done(future)\n",
        "                pass\n",
        (POOL,),
    ),
    Mutant(
        "the first of a split block is blamed",
        "pool/on_dask.py",
        "            elif half:\n",
        "            elif half:\n                self._kills[block[0].index] += 1\n",
        (POOL,),
    ),
    Mutant(
        "nothing new is proposed, nothing awaited",
        "campaign/loop.py",
        "        if pool.busy():\n            return False\n",
        "",
        (LOOP,),
    ),
)


def caught(mutant: Mutant, tree: Path) -> bool:
    """Whether the tests fail in a tree with this fault, which is mended again after."""
    path = tree / "htinvert" / mutant.file
    text = path.read_text()
    path.write_text(text.replace(mutant.old, mutant.new))
    words = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *mutant.tests]
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(words, cwd=tree, env=environment, capture_output=True, timeout=1200)
    except subprocess.TimeoutExpired:
        return True  # it hangs, which `make test` does not overlook
    finally:
        path.write_text(text)
    return done.returncode == 1


def main(numbers: list[int]) -> int:
    """Try the mutants of these numbers, all where there are none; how many survive."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".venv", ".git", "_build"))
        survivors = 0
        for number in numbers or range(len(MUTANTS)):
            good = caught(MUTANTS[number], tree)
            survivors += not good
            print(number, "caught" if good else "SURVIVES", MUTANTS[number].what, flush=True)
    return survivors


if __name__ == "__main__":
    sys.exit(main([int(word) for word in sys.argv[1:]]) > 0)
