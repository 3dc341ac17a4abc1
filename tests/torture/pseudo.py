"""A small campaign whose every result is a known function of its number, and who checks it.

As a program it is a server: it imports everything once, and for every line of JSON on its standard
input forks a driver, or a judge, and answers with one line of JSON. Given a folder it is a writer
that goes on for ever.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

import htinvert.store.run
from htinvert.core import Candidate, Evaluation, Relaxation, Score, Signal
from htinvert.store import OutOfSpace, RunStore, snap, structure_key
from htinvert.store.salvage import verify

RECIPE = {"pseudo": {"version": 1}}
TOTAL, GROUP, BLOCK = 60, 5, 8


def pseudo_evaluation(index: int) -> tuple[Evaluation, bytes]:
    """What the candidate ``index`` always comes to, and its key."""
    rng = np.random.default_rng([7, index])
    n = int(rng.integers(1, 9))
    atoms = snap(Atoms(numbers=rng.integers(1, 90, n), positions=rng.uniform(0, 9, (n, 3))))
    candidate = Candidate(index, atoms, "pseudo", (index - 1,) if index else ())
    key = structure_key(atoms, str(index))
    if index % 7 == 3:
        return Evaluation(candidate, error=f"pseudo failure {index}"), key
    relaxed = atoms.copy()
    relaxed.positions += rng.normal(0, 0.01, (n, 3))
    energy = float(rng.normal())
    return Evaluation(
        candidate,
        relaxation=Relaxation(relaxed, energy, True, index),
        scores={"c.m": Score(energy**2, {"d": energy / 3})},
        objectives={"energy": energy, "c.m": energy**2},
        parameters={"c": {"width": energy + 1}},
        signals={"c": Signal.image(rng.random((4, 4)), 0.1)} if index % 50 == 0 else {},
    ), key


def same(found: Evaluation, expected: Evaluation) -> bool:
    """Whether an evaluation is what it must be, its image up to 12 bits."""
    images = found.signals.keys() == expected.signals.keys() and all(
        np.abs(kept.data - expected.signals[name].data).max()
        <= 0.501 * np.ptp(expected.signals[name].data) / 4095
        for name, kept in found.signals.items()
    )
    return (
        images
        and np.array_equal(found.atoms.positions, expected.atoms.positions)
        and np.array_equal(found.candidate.atoms.positions, expected.candidate.atoms.positions)
        and np.array_equal(found.atoms.numbers, expected.atoms.numbers)
        and (found.error, found.objectives) == (expected.error, expected.objectives)
        and (found.scores, found.parameters) == (expected.scores, expected.parameters)
        and found.candidate.parents == expected.candidate.parents
    )


def drive(path: Path, say: Any, *, total: int = TOTAL, block: int = BLOCK) -> None:
    """Resume, finish what is pending, go on to ``total``; say E and A for evaluated and durable."""
    htinvert.store.run.BLOCK = block
    with RunStore.create_or_open(path, recipe=RECIPE, provenance={}) as run:
        todo = [candidate.index for candidate in run.pending()]
        while todo or run.next_index < total:
            start = run.next_index
            new = range(start, min(start + GROUP, total))
            if new:
                made = [pseudo_evaluation(index) for index in new]
                run.propose((evaluation.candidate, key) for evaluation, key in made)
                todo += new
            keep = 2 if new else 0  # some stay in flight
            done, todo = todo[: len(todo) - keep], todo[len(todo) - keep :]
            for index in done:
                say(f"E{index}\n")
            run.commit(pseudo_evaluation(index)[0] for index in done)
            say("".join(f"A{index}\n" for index in done))


def write_on(path: Path) -> None:
    """Resume, finish what is pending, go on, and say after each batch which are durable."""
    htinvert.store.run.BLOCK = 200  # so that about half of the time is spent folding
    run = RunStore.create_or_open(path, recipe=RECIPE, provenance={})
    print("opened", flush=True)
    todo = [candidate.index for candidate in run.pending()]
    for batch in count(1):
        new = range(run.next_index, run.next_index + 9)
        proposed = [pseudo_evaluation(index) for index in new]
        run.propose((evaluation.candidate, key) for evaluation, key in proposed)
        todo += new
        done, todo = todo[:-2], todo[-2:]  # two stay in flight
        run.commit(pseudo_evaluation(index)[0] for index in done)
        print(*done, flush=True)
        if batch % 60 == 0:
            run.fold()


def judge(path: Path) -> dict[str, Any]:
    """What an independent look at a run finds: committed indices, wrong values, problems."""
    found = verify(path, full=True)
    with RunStore.open(path) as run:
        evaluations = list(run.evaluations(signals=True))
        pending = len(run.pending())
        keys = len(run.keys())
    indices = [evaluation.candidate.index for evaluation in evaluations]
    wrong = [
        e.candidate.index
        for e in evaluations
        if not same(e, pseudo_evaluation(e.candidate.index)[0])
    ]
    doubled = [index for index, count in Counter(indices).items() if count > 1]
    return {
        "indices": indices, "wrong": wrong, "doubled": doubled, "problems": found.problems,
        "notes": found.notes, "pending": pending, "keys": keys,
    }  # fmt: skip


def child(task: dict[str, Any], out: int) -> int:
    """Do one task in this forked process; returns its exit code."""

    def say(text: str) -> None:
        os.write(out, text.encode())

    path = Path(task["path"])
    if task["do"] == "judge":
        say(json.dumps(judge(path)))
        return 0
    library = ctypes.CDLL(None)
    log = os.open(task["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC) if "log" in task else -1
    full, error = task.get("full", (-1, -1)), task.get("error", 0)
    arm = library.shim_arm
    arm(str(path).encode(), *(ctypes.c_long(n) for n in (task.get("crash", -1), *full)), log, error)

    def tell(text: str) -> None:
        say(text)
        if log >= 0 and text.startswith("A"):
            os.write(log, f"ack\t{text.strip().replace(chr(10), ' ')}\t\t0\t0\n".encode())

    try:
        drive(path, tell, total=task.get("total", TOTAL), block=task.get("block", BLOCK))
    except OutOfSpace:
        say(f"C{library.shim_count()}\n")
        return OutOfSpace.code
    say(f"C{library.shim_count()}\n")
    return 0


def serve() -> None:
    """Answer tasks until the input ends."""
    for line in sys.stdin:
        task = json.loads(line)
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            code = 99
            try:
                code = child(task, writing)
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            said = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(json.dumps({"said": said, "status": status}), flush=True)


if __name__ == "__main__":
    write_on(Path(sys.argv[1])) if sys.argv[1:] else serve()
