"""Series of frames in which a planted boundary changes: is it found, when, and what does it cost?

    python benchmarks/series.py [--seeds 10] [--frames 20] [--change 10] [--counts 200] [--steady]

A twin in CdTe loses a column of tellurium; frames are imaged by multislice with frozen phonons,
blurred, drifted, scanned with jitter and counted, and the truth was relaxed with another potential
than the search has. ``--steady`` shows the same without any change, ``--cold`` what searches of
single frames find, each begun anew.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from time import process_time

import numpy as np
from ase.io import read

from htinvert.campaign.events import Event
from htinvert.campaign.loop import run
from htinvert.campaign.plan import make_plan
from htinvert.campaign.series import SeriesAnswers, run_series
from htinvert.config.campaign import parse
from htinvert.config.yaml_file import read_yaml
from htinvert.ranking.rank import rank
from htinvert.store import RunStore
from htinvert.testing.planted import misplaced, vacancy_row
from htinvert.testing.planted_series import Camera, record_series

PLANTED = Path(__file__).parents[1] / "tests" / "physics" / "planted" / "series"
CLOSE = 0.3  # Å rms
PLACE = 0.5  # Å, of a lost column


def frames(folder: Path, seed: int, states: list[str], counts: float) -> tuple[Path, np.ndarray]:
    """Record a series; its file, and the true drift [Å]."""
    folder.mkdir(parents=True, exist_ok=True)
    scans = np.load(PLANTED / "scans.npz")
    taken, drift = record_series(scans, states=states, seed=seed, camera=Camera(peak_counts=counts))
    np.save(folder / "frames.npy", taken)
    return folder / "frames.npy", drift


def is_true(event: Event, change: int) -> bool:
    """Whether an event is the planted one: a column of tellurium lost, there and then."""
    before, after = (read(PLANTED / f"{name}.vasp") for name in ("before", "after"))
    lost = next(a for a in before if not _near(a, after))
    period = float(before.cell[1, 1])
    y = (event.place[1] - lost.position[1] + 0.5 * period) % period - 0.5 * period
    there = np.hypot(y, event.place[2] - lost.position[2]) < PLACE
    return event.kind == "lost" and there and abs(event.frame - change) <= 1


def _near(atom: object, atoms: object) -> bool:
    gaps = atoms.positions - atom.position
    gaps[:, 1] -= atoms.cell[1, 1] * np.round(gaps[:, 1] / atoms.cell[1, 1])
    return bool((np.linalg.norm(gaps[atoms.numbers == atom.number], axis=1) < 1.0).any())


def right(found: SeriesAnswers, states: list[str]) -> int:
    """In how many frames the structure that holds is the one that was imaged."""
    truths = {name: read(PLANTED / f"{name}.vasp") for name in set(states)}
    return sum(
        misplaced(found.structures[held].atoms, vacancy_row(), truths[state]) < CLOSE
        for held, state in zip(found.path, states, strict=True)
    )


def cold(folder: Path, file: Path, number: int, evaluations: int, seed: int, truth: str) -> bool:
    """Whether a search of one frame, begun anew, ends with the truth."""
    raw = read_yaml(PLANTED / "campaign.yaml")
    raw["experiments"]["haadf"] |= {"image": str(file.resolve()), "channel": number}
    raw |= {"seed": seed, "stop": {"evaluations": evaluations}}
    plan = make_plan(parse(raw), folder=PLANTED)
    run(plan, folder / f"cold-{evaluations}" / str(number))
    with RunStore.open(folder / f"cold-{evaluations}" / str(number)) as store:
        best = rank(store.evaluations(), plan.objectives)[0].evaluation
    return misplaced(best.atoms, vacancy_row(), read(PLANTED / f"{truth}.vasp")) < CLOSE


def main() -> None:
    """Print a row for every seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark_series"))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--change", type=int, default=10, help="first frame after it, from 0")
    parser.add_argument("--counts", type=float, default=200.0, help="electrons, brightest pixel")
    parser.add_argument("--steady", action="store_true")
    parser.add_argument("--cold", type=int, nargs="*", default=[], help="evaluations of each")
    options = parser.parse_args()
    change = options.frames if options.steady else options.change
    states = ["before"] * change + ["after"] * (options.frames - change)
    print("seed  events  true  said            frames right  drift off [Å]  first  later  CPU-s")
    for seed in range(1, options.seeds + 1):
        folder = options.out / f"{options.counts:g}-{change}" / str(seed)
        file, drift = frames(folder, seed, states, options.counts)
        begun = process_time()
        found = run_series(
            PLANTED / "campaign.yaml", folder / "run", frames=file, seed=seed, workers=0
        )
        sure = [event for event in found.events if event.is_sure]
        true = sum(is_true(event, change) for event in sure)
        said = [f"{e.frame} ({e.earliest}-{e.latest}) {100 * e.sure:.1f} %" for e in sure]
        off = np.sqrt(((found.drift - drift) ** 2).sum(axis=1).mean())
        later = np.mean([frame.evaluations for frame in found.frames[1:]])
        print(
            f"{seed:4d}  {len(sure):6d}  {true:4d}  {'; '.join(said) or '-':22s}"
            f"{right(found, states):4d}/{len(states)}  {off:10.3f}  "
            f"{found.frames[0].evaluations:5d}  {later:5.1f}  {process_time() - begun:5.0f}",
            flush=True,
        )
        for count in options.cold:
            hits = [cold(folder, file, k, count, seed, state) for k, state in enumerate(states)]
            print(f"      cold, {count} evaluations a frame: {sum(hits)}/{len(hits)} right")


if __name__ == "__main__":
    main()
