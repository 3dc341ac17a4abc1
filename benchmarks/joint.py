"""Several data of one cluster: is the truth first, found, claimed; which datum leaves what?

    python benchmarks/joint.py search [FOLDER]    # ten searches for the order of elements
    python benchmarks/joint.py noise [FOLDER]     # ten draws of noise, truth against its twins

FOLDER is what ``htinvert example joint`` writes, or another with a ``joint.yaml`` and an
``answer.xyz``; the bundled example where it is left out.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from ase.io import read

import htinvert as ht
from htinvert.campaign import loop
from htinvert.campaign.progress import Progress
from htinvert.config.examples import write_example
from htinvert.geometry.congruent import cluster_distance

SAME = 0.1  # Å rms after the best turn
MOST = 3000  # evaluations


def search(folder: Path, seeds: list[int], most: int) -> None:
    """Search anew with each seed until the truth is first, and print when."""
    truth = read(folder / "answer.xyz")
    found = 0
    print("| seed | truth met as | evaluations | CPU s | first at the end |")
    print("|---|---|---|---|---|")
    for seed in seeds:
        plan = ht.load(folder / "joint.yaml", seed=seed, workers=0, stop={"evaluations": most})
        met: list[int] = []

        def watch(progress: Progress, target: Path, met: list[int] = met) -> None:
            best = progress.improved
            if best is None or met:
                return
            if cluster_distance(best.atoms, truth) < SAME:
                met.append(best.candidate.index)
                loop.ask_to_stop(target)

        with tempfile.TemporaryDirectory() as place:
            target = Path(place) / "run"
            start = time.process_time()
            run = ht.run(plan, target, observer=lambda p, t=target, w=watch: w(p, t))
            seconds = time.process_time() - start
            first = run.best(1)[0]
            good = cluster_distance(first.evaluation.atoms, truth) < SAME
            done = run.counts().ok + run.counts().failed
        found += good
        word = "truth" if good else f"another, {first.total:.1f} nats"
        print(
            f"| {seed} | {met[0] if met else '-'} | {done} | {seconds:.0f} | {word} |", flush=True
        )
    print(f"\nfound {found} of {len(seeds)}")


def main() -> None:
    """Read what is asked for, and do it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("search",))
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--most", type=int, default=MOST)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = asked.folder
        if folder is None:
            folder = Path(place)
            write_example("joint", folder)
        search(folder, list(range(1, asked.seeds + 1)), asked.most)


if __name__ == "__main__":
    main()
