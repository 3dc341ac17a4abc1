"""How fast a run takes results in, seals them and gives them back, and a campaign goes on from it.

Structures of 64 atoms, proposed and relaxed, incompressible, two scores, in groups of 256.
`python benchmarks/store.py --rows 1000000` is the full size (some half an hour, 4 GB of disk).
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from ase import Atoms

from htinvert.campaign import loop as campaign
from htinvert.campaign.known import REPEAT, ROW
from htinvert.campaign.plan import Plan, make_plan
from htinvert.config.campaign import parse
from htinvert.core import Candidate, Evaluation, Relaxation, Score
from htinvert.store import RunStore
from htinvert.store.checkpoint import ROWS, STATE

GROUP, ATOMS = 256, 64
UNLIKE = 4096  # different structures; they come again and again, farther apart than a chunk
REPLAYED = 20000  # most rows that are told again without a checkpoint, for comparison
NEW = 8  # structures to look for among all
NUMBERS = [48, 52] * (ATOMS // 2)
CAMPAIGN = {
    "name": "benchmark",
    "structure": {"use": "box", "size": 20.0},
    "composition": {"Cd": [32, 32], "Te": [32, 32]},
    "energy": {"use": "lammps", "potential": "CdTe.sw"},
    "search": {"generators": [{"use": "genetic"}, {"use": "basin_hopping"}]},
    "workers": 0,
}


def plan(rows: int) -> Plan:
    """A campaign that ends after so many evaluations."""
    return make_plan(parse(CAMPAIGN | {"stop": {"evaluations": rows}}), folder=Path.cwd())


def structures(count: int, rng: np.random.Generator) -> list[tuple[Atoms, Atoms]]:
    """Proposed and relaxed structures that compress as badly as they come."""
    found = []
    for _ in range(count):
        positions = np.rint(rng.uniform(0, 20, (ATOMS, 3)) * 1e6) / 1e6
        atoms = Atoms(numbers=NUMBERS, positions=positions, cell=[20] * 3, pbc=True)
        atoms.set_tags(np.ones(ATOMS, int))
        relaxed = atoms.copy()
        relaxed.positions += rng.normal(0, 0.05, (ATOMS, 3))
        found.append((atoms, relaxed))
    return found


def evaluation(
    index: int, pair: tuple[Atoms, Atoms], rng: np.random.Generator
) -> tuple[Evaluation, bytes]:
    """An evaluation of a structure, and a key."""
    atoms, relaxed = pair
    energy = float(rng.normal())
    scores = {f"haadf.{name}": Score(energy**2, {"d_sim": energy}) for name in ("fom", "ssim")}
    found = Evaluation(
        Candidate(index, atoms, "cut_and_splice", (index // 2, index // 3)),
        relaxation=Relaxation(relaxed, energy, True, 50, 0.01),
        scores=scores,
        objectives={"energy": energy, **{name: score.cost for name, score in scores.items()}},
        parameters={"haadf": {"source_size": 0.8, "sampling": 0.1}},
        seconds=1.0,
    )
    return found, rng.bytes(32)


def timed(work: Callable[[], object]) -> tuple[float, object]:
    """Seconds that some work takes, and what came of it."""
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def one_sync(folder: Path) -> float:
    """Median time to sync 4 kB [s]."""
    seconds = []
    with (folder / "sync").open("wb", buffering=0) as file:
        for _ in range(50):
            file.write(bytes(4096))
            seconds.append(timed(lambda: os.fsync(file))[0])
    return median(seconds)


def create(path: Path) -> RunStore:
    """The run of the campaign."""
    return RunStore.create_or_open(path, recipe=plan(1).identity, provenance={})


def take_in(path: Path, rows: int, pairs: list[tuple[Atoms, Atoms]]) -> list[float]:
    """Propose and commit all rows in groups; seconds of each group."""
    rng, seconds = np.random.default_rng(0), []
    with create(path) as run:
        for start in range(0, rows, GROUP):
            numbers = range(start, min(start + GROUP, rows))
            made = [evaluation(i, pairs[i % len(pairs)], rng) for i in numbers]
            begun = time.perf_counter()
            run.propose((found.candidate, key) for found, key in made)
            run.commit(found for found, _ in made)
            seconds.append(time.perf_counter() - begun)
        last, _ = timed(run.close)
    print(f"last fold and close: {last:.2f} s")
    return seconds


def best(run: RunStore) -> np.ndarray:
    """Rows of the thousand best by a weighted sum of three objectives."""
    names = ["objectives/energy", "objectives/haadf.fom", "objectives/haadf.ssim"]
    columns = run.columns([*names, "candidates/status"])
    total = sum(columns[name] for name in names)
    total = np.where(columns["candidates/status"] == 1, total, np.inf)
    return np.argpartition(total, min(1000, len(total) - 1))[:1000]


def resume(path: Path) -> None:
    """What the store has to do before a driver can go on."""
    run = create(path)
    run.pending(), run.next_index, run.known(bytes(32))
    run._shut()


def leave_checkpoint(path: Path, rows: int, pairs: list[tuple[Atoms, Atoms]]) -> None:
    """Let a campaign learn of the first structures, and keep that as if it had learned all.

    The rows repeat as the structures do; so nothing that is read on resume is smaller than it is.
    """
    with create(path) as run:
        known = campaign.Campaign(plan(rows), run, campaign._ignore).knowledge
        for number in range(len(pairs)):
            found, _ = evaluation(number, pairs[number], np.random.default_rng(number))
            known.structures.propose(found.candidate)
            known.structures.proposed_durably()
            known.learn(found)
        once = known.structures.rows()
        kept = np.resize(once, rows)
        kept["kind"][len(once) :] = REPEAT
        state = known.state() | {"told": rows, "last": rows - 1}
        state["progress"] |= {"evaluated": rows}
        run.checkpoint.save(state, kept.tobytes())


def go_on(path: Path, rows: int, pairs: list[tuple[Atoms, Atoms]]) -> None:
    """Resume the campaign, and look for known structures among all."""
    made = plan(rows)
    seconds, end = timed(lambda: campaign.run(made, path))
    print(f"resume and end the campaign: {seconds:.2f} s, {end.evaluated} evaluations")
    with create(path) as run:
        known = campaign.Campaign(plan(rows), run, campaign._ignore)
        print(f"  of that, know what was known: {timed(known.replay)[0]:.2f} s")
        new = structures(NEW, np.random.default_rng(3))
        proposed = known.knowledge.structures.proposed
        relaxed = known.knowledge.structures.relaxed
        for name, searched in (("proposed", proposed), ("relaxed", relaxed)):
            seconds, found = timed(lambda s=searched: [s.find(atoms) for atoms, _ in new])
            fetched = len(searched._at_hand)
            print(f"  look for {NEW} new ones among {name}: {seconds:.2f} s, {fetched} fetched")
            assert found == [None] * NEW
        seconds, number = timed(lambda: proposed.find(pairs[5][0]))
        assert number is not None
        print(f"  find a known one that was {rows // len(pairs)} times: {seconds:.2f} s")
    if rows <= REPLAYED:
        (path / STATE).unlink()
        seconds, _ = timed(lambda: campaign.run(plan(rows), path))
        print(f"  without a checkpoint: {seconds:.0f} s")


def measure(folder: Path, rows: int) -> None:
    """One run of everything."""
    sync = one_sync(folder)
    path, pairs = folder / "run", structures(min(rows, UNLIKE), np.random.default_rng(1))
    groups = sorted(take_in(path, rows, pairs))
    each = sum(groups) / rows
    print(f"fsync {1e3 * sync:.2f} ms; {os.cpu_count()} cores, load {os.getloadavg()[1]:.1f}")
    print(f"propose + commit: {1e6 * each:.0f} µs a candidate with sealing in the background,")
    print(f"  {GROUP * each / sync:.1f} fsyncs a group; slowest group {groups[-1]:.2f} s")
    leave_checkpoint(path, rows, pairs)
    files = [file for file in path.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    journal = (path / "journal.sqlite").stat().st_size / rows
    kept = ((path / ROWS).stat().st_size + (path / STATE).stat().st_size) / rows
    print(f"{len(files)} files, {size / rows:.0f} B a candidate, {journal:.0f} of them journal,")
    print(f"  {kept:.0f} checkpoint, which is {ROW.itemsize} B a row and its state")
    print(f"resume the store: {timed(lambda: resume(path))[0]:.2f} s")
    with RunStore.open(path) as run:
        print(f"rank by three objectives: {timed(lambda: best(run))[0]:.2f} s")
        print(f"table: {timed(run.table)[0]:.2f} s")
        seconds, _ = timed(lambda: [run.atoms(i) for i in range(0, rows, max(1, rows // 20))])
        print(f"20 structures: {seconds:.2f} s")
        seconds, _ = timed(lambda: sum(1 for _ in run.evaluations(max(0, rows - 50000))))
        print(f"evaluations: {1e6 * seconds / min(rows, 50000):.0f} µs each")
    go_on(path, rows, pairs)


def terminate(folder: Path) -> None:
    """From a signal to durable, with a thousand results that have come in."""
    rng = np.random.default_rng(1)
    pairs = structures(1000, rng)
    made = [evaluation(i, pair, rng) for i, pair in enumerate(pairs)]
    run = create(folder / "stopped")
    run.propose((found.candidate, key) for found, key in made)
    seconds, _ = timed(lambda: run.commit(found for found, _ in made))
    print(f"1000 results to durable: {seconds:.2f} s; folded: {timed(run.close)[0]:.2f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=40000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory(dir=".") as temporary:  # not on a memory file system
        measure(Path(temporary), rows)
        terminate(Path(temporary))
