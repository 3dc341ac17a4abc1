"""Small networks that state errors beside the other methods for a level of intermixing.

    python benchmarks/network.py [STORE KEPT]    # a library, planted stacks; else transfer.py's

Taught on thousands of stacks of a library by random instruments, none of them that of the planted
ones. Three networks together: their mean, and as variance what they state and are apart.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import torch
from diffraction import DOSE, PIXELS, SHARED
from transfer import AXES, prepared

from htinvert.core import Signal
from htinvert.forward.cbed.detector import HALOS
from htinvert.matching.pattern_library import PatternLibrary
from htinvert.matching.pattern_question import Question

TAUGHT = 3000  # stacks; of a thousand, errors that are stated hold in three of four only


def network(store: Path, kept: Path) -> None:
    """Teach three networks, and ask them of stacks held out, planted ones and ``demo``."""
    known = PatternLibrary.open(store)
    rng = np.random.default_rng(5)
    begun = time.process_time()
    stacks, levels = random_stacks(known, rng, TAUGHT + 300)
    made = time.process_time() - begun
    features = np.array([features_of(stack) for stack in stacks], dtype=np.float32)
    mean = features[:TAUGHT].mean(axis=0)
    basis = np.linalg.svd(features[:1500] - mean, full_matrices=False)[2][:80]
    scale = ((features - mean) @ basis.T).std(axis=0)
    inputs = torch.tensor((features - mean) @ basis.T / scale)
    wanted = torch.tensor(levels[:, None].astype(np.float32))
    data = [
        ("simulated, held out", *one) for one in zip(levels[TAUGHT:], stacks[TAUGHT:], strict=True)
    ]
    with np.load(kept) as held:
        counts = rng.poisson(DOSE * (held["stacks"] + 2e-6))
        data += [("planted", t[0], c) for t, c in zip(held["truths"], counts, strict=True)]
    folder = SHARED / "cbed-demo"
    if folder.is_dir():
        for name, truth in json.loads((folder / "truth.json").read_text()).items():
            stack = np.load(folder / f"{name}.npy").transpose(0, 2, 1)
            data.append(("demo", truth["sigma"], stack))
    begun = time.process_time()
    models = [taught(inputs[:TAUGHT], wanted[:TAUGHT], seed) for seed in range(3)]
    trained = time.process_time() - begun
    found: dict[str, list[tuple[float, float]]] = {}
    begun = time.process_time()
    for name, level, stack in data:
        seen = torch.tensor((features_of(stack).astype(np.float32) - mean) @ basis.T / scale)[None]
        with torch.no_grad():
            each = np.array([model(seen)[0].numpy() for model in models], dtype=float)
        spread = np.sqrt(np.exp(each[:, 1]).mean() + each[:, 0].var())
        found.setdefault(name, []).append((each[:, 0].mean() - level, spread))
    asked = (time.process_time() - begun) / len(data)
    for name, pairs in found.items():
        error, spread = np.array(pairs).T
        print(
            f"networks, {name}: level rms {np.sqrt(np.mean(error**2)):.2f}, stated "
            f"{np.sqrt(np.mean(spread**2)):.2f}; intervals of 90 % held in "
            f"{np.sum(np.abs(error) <= 1.645 * spread)} of {len(pairs)}"
        )
    print(
        f"{len(stacks)} stacks made in {made:.0f} s, three networks taught in {trained:.0f} s; "
        f"{1e3 * asked:.1f} ms each"
    )


def random_stacks(
    known: PatternLibrary, rng: np.random.Generator, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Counts of stacks of a library by random instruments, and their levels."""
    blank = Signal(np.ones((5, PIXELS, PIXELS), dtype=np.float32), AXES)
    question = Question(known, blank)
    lower, upper = question.bounds()
    room = np.array([2.0, 1.0, 1.0, 0.015, 0.005])  # degrees, mrad, mrad, 1, 1
    lower[4:9], upper[4:9] = -room, room
    lower[7], upper[7] = lower[7] + 1.0, upper[7] + 1.0
    lower[9], upper[9] = 0.6, 1.3
    stacks, levels = [], []
    for _ in range(count):
        point = rng.uniform(lower, upper)
        sharp, near, halo, far = question.columns(point, HALOS).transpose(1, 0, 2, 3)
        a, b, c = rng.uniform(0.0, (0.1, 0.3, 0.05))
        mixed = (1 - a - b - c) * sharp / sharp.sum(axis=(1, 2), keepdims=True)
        for part, copy in ((a, near), (b, halo), (c, far)):
            mixed = mixed + part * copy / copy.sum(axis=(1, 2), keepdims=True)
        stacks.append(rng.poisson(DOSE * np.maximum(mixed, 0.0) + 2.0))
        levels.append(point[0])
    return np.array(stacks), np.array(levels)


def taught(inputs: torch.Tensor, wanted: torch.Tensor, seed: int) -> torch.nn.Module:
    """A network that tells a level and the logarithm of its variance."""
    torch.manual_seed(seed)
    model = torch.nn.Sequential(
        *(torch.nn.Linear(80, 64), torch.nn.SiLU(), torch.nn.Dropout(0.2)),
        torch.nn.Linear(64, 2),
    )
    rule = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    for _ in range(400):
        rule.zero_grad()
        level, variance = model(inputs).split(1, dim=1)
        loss = (variance + (level - wanted) ** 2 / torch.exp(variance)).mean()
        loss.backward()
        rule.step()
    return model.eval()


def features_of(stack: np.ndarray) -> np.ndarray:
    """Square roots of the counts about the disk, each strip of one norm."""
    part = np.sqrt(np.maximum(np.asarray(stack, dtype=float), 0.0))[:, 8:40, 8:40].reshape(5, -1)
    return np.asarray(part / np.linalg.norm(part, axis=1, keepdims=True) * 32).ravel()


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) > 1:
        network(*map(Path, sys.argv[1:]))
    else:
        made, sets = prepared(Path(gettempdir()))
        network(made, sets["test"])
