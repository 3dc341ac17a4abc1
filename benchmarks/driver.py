"""What a driver's time goes into, part by part: cheap candidates, and no other process.

    python benchmarks/driver.py [--rows 4000]

The campaign of `live.py`. A pool stands in for workers: it takes and gives the blocks that two
workers would, packed as Dask would carry them, and its evaluations do not count. Another version
is measured with its folder in PYTHONPATH; alternate them, for both depend on what else runs.
"""

from __future__ import annotations

import argparse
import pickle
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import yaml
from live import CAMPAIGN

from htinvert.campaign import loop, proposals
from htinvert.campaign.knowledge import Knowledge
from htinvert.campaign.load import load
from htinvert.core import Candidate, Evaluation, Recipe
from htinvert.evaluation.evaluate import evaluate
from htinvert.generators.mixture import Mixture
from htinvert.store import RunStore

BLOCK, BLOCKS = 200, 4  # candidates of a block, and how many are out
OUT = "worker (does not count)"
spent: Counter[str] = Counter()  # s of this thread's processor time, by part
open_calls: list[float] = []  # of each part that goes on, what others have taken in it


class Pool:
    """Evaluates when it is asked for results."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.blocks: deque[bytes] = deque()

    def room(self) -> int:
        return max(0, BLOCKS - len(self.blocks)) * BLOCK

    def busy(self) -> int:
        return BLOCK * len(self.blocks)

    def news(self) -> list[str]:
        return []

    def submit(self, candidates: Sequence[Candidate]) -> None:
        starts = range(0, len(candidates), BLOCK)
        self.blocks += [pickle.dumps(candidates[start : start + BLOCK]) for start in starts]

    def collect(self, timeout: float) -> list[Evaluation]:  # noqa: ARG002
        done: list[Evaluation] = pickle.loads(self.work()) if self.blocks else []  # noqa: S301
        return done

    def work(self) -> bytes:
        candidates = pickle.loads(self.blocks.popleft())  # noqa: S301
        return pickle.dumps([evaluate(candidate, self.recipe) for candidate in candidates])


def timed(owner: Any, name: str, part: str) -> None:
    """Count what a function takes, without what other parts take in it."""
    inner: Callable[..., Any] = getattr(owner, name)

    def wrapper(*args: Any, **keywords: Any) -> Any:
        begun = time.thread_time()
        open_calls.append(0.0)
        try:
            return inner(*args, **keywords)
        finally:
            taken = time.thread_time() - begun
            spent[part] += taken - open_calls.pop()
            if open_calls:
                open_calls[-1] += taken

    setattr(owner, name, wrapper)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=4000)
    rows = parser.parse_args().rows
    loop.open_pool = lambda *given, **_: nullcontext(Pool(given[1]))
    for owner, name, part in (
        (Mixture, "ask", "propose"), (proposals.Proposals, "next", "snap, hash, look for known"),
        (RunStore, "propose", "store"), (RunStore, "commit", "store"), (Pool, "work", OUT),
        (Pool, "submit", "send and take in"), (Pool, "collect", "send and take in"),
        (Knowledge, "learn", "learn"), (Knowledge, "save", "learn"), (loop.Campaign, "go", "rest"),
    ):  # fmt: skip
        timed(owner, name, part)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "live.yaml"
        file.write_text(yaml.safe_dump(CAMPAIGN | {"workers": 2, "stop": {"evaluations": rows}}))
        loop.run(load(file), Path(folder) / "run")
    print("| part | ms of processor a candidate |\n|---|---|")
    spent["all that counts"] = sum(spent.values()) - spent[OUT]
    for part, seconds in sorted(spent.items(), key=lambda entry: -entry[1]):
        print(f"| {part} | {1e3 * seconds / rows:.2f} |")


if __name__ == "__main__":
    main()
