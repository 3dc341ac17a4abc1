"""A transfer that a cycle-consistent network learns, beside the fitted instrument and beside none.

    python benchmarks/transfer.py [FOLDER [STEPS]]    # library and planted stacks are kept there

Simulated: strips of a library. Measured: stacks by planting.py's physics, all by one instrument
that nobody states; other specimens train (without labels) than test. Networks as Zhu et al., ICCV
(2017), but small, and how far they change a pattern is limited. Processor seconds of one thread.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import torch
from diffraction import DOSE, PIXELS, STEP, library
from planting import ALONG, CELLS, PX, SIZE, WAVE, A, K, detected, diffuse, draws
from scipy import fft
from torch.nn.functional import l1_loss

from htinvert.core import Axis, Floats, Signal
from htinvert.forward.cbed.detector import brought
from htinvert.matching.pattern_answer import answer
from htinvert.matching.pattern_library import PatternLibrary
from htinvert.matching.pattern_question import Question, node_misfits, stated

TRAIN, TEST = np.arange(18, 35, 2), np.array([23, 31])  # periods
SETS = {"train": (5, TRAIN), "test": (6, TEST)}  # specimens, periods
AXES = (Axis("strip", "Å", 3.905), *(Axis(n, "mrad", STEP, -STEP * 23.5) for n in ("ky", "kx")))
PLACES, JITTER = 3, 0.4  # of the probe across a strip, per column; Å
LIMIT, CHANNELS, BATCH, SEEDS, SIMULATED, KNOWN = 1.0, 16, 8, 3, 400, 16
CYCLE, SAME = 10.0, 5.0  # weights of the losses beside the critics'


def grown(layer: Floats, tilt: complex, rng: np.random.Generator, ends: np.ndarray) -> Floats:
    """As :func:`planting.patterns`, of one specimen where it is so many periods thick."""
    half, across = 1e3 * WAVE / SIZE[0] / 2, 1e3 * WAVE / SIZE[1]
    total, down = np.zeros((len(ends), 5, PX[1], 2 * PX[0])), fft.fftfreq(PX[1], 1 / PX[1])
    for column in range(-19, 20):
        angle = np.hypot(column * half, down * across)
        if angle.min() > 15.0:
            continue
        at = (np.arange(PLACES) + rng.random()) / PLACES + np.arange(5)[:, None] - 2.5
        y = (at + CELLS) * A + rng.normal(0, JITTER, (5, 1))
        kx = K[0][:, None] + (tilt.real + column % 2 * half) / WAVE / 1e3
        squared = kx**2 + (K[1] + tilt.imag / WAVE / 1e3) ** 2
        free = np.exp(-0.5j * np.pi * WAVE * A * squared).astype(np.complex64)
        waves = np.zeros((5 * PLACES, *PX), dtype=np.complex64)
        phases = np.exp(-2j * np.pi * np.outer(y.ravel() / SIZE[1], down))
        waves[:, column // 2] = (angle <= 15.0) * phases
        for period in range(1, max(ends) + 2):
            for plane in layer:
                place = PX[0] // ALONG * rng.integers(ALONG)
                waves = fft.ifft2(waves, overwrite_x=True)
                waves *= np.roll(plane[rng.integers(len(plane))], place, axis=0)
                waves = fft.fft2(waves, overwrite_x=True)
                waves *= free
            near = np.abs(ends - period) <= 1  # a wedge
            if near.any():
                seen = (np.abs(waves) ** 2).reshape(5, PLACES, *PX).sum(axis=1).transpose(0, 2, 1)
                total[near, :, :, column % 2 :: 2] += fft.fftshift(seen, axes=(1, 2))
    return total / total.sum(axis=(2, 3), keepdims=True)


def plant(path: Path, name: str) -> None:
    """Keep a set: level, thickness and tilt of each stack, and what one instrument expects."""
    truths, stacks = [], []
    specimens, ends = SETS[name]
    for place in range(specimens):
        rng = np.random.default_rng([list(SETS).index(name), place])
        level = 2.0 * (place + rng.random()) / specimens
        tilt = 3 * np.sqrt(rng.random()) * np.exp(2j * np.pi * rng.random())
        whole = grown(draws(diffuse(level), rng), tilt, rng, ends)
        stacks += [detected(one, np.random.default_rng(7)) for one in whole]
        truths += [(level, A * n, tilt.real, tilt.imag) for n in ends]
    np.savez(path, truths=truths, stacks=stacks, drawn=np.array(truths)[:, 0])


def prepared(folder: Path) -> tuple[Path, dict[str, Path]]:
    """A library and the sets in a folder, made where they are not there."""
    store, sets = folder / "lib.zarr", {name: folder / f"one-{name}.npz" for name in SETS}
    if not store.exists():
        library(store)
    for name, path in sets.items():
        if not path.exists():
            plant(path, name)
    return store, sets


@dataclass(frozen=True, eq=False)
class Instrument:
    """What sees a library: a point's instrument, and the parts of the copies, constant last."""

    known: PatternLibrary
    point: Floats
    parts: Floats

    def expected(self, truths: Floats) -> Floats:
        """Counts of stacks of these levels, thicknesses and tilts."""
        blank = Question(self.known, asked(np.ones((5, PIXELS, PIXELS))))
        found = []
        for truth in truths:
            columns = blank.columns(np.array([*truth, *self.point[4:]]))
            columns = columns / columns.sum(axis=(0, 2, 3), keepdims=True) * 5.0
            found.append(np.tensordot(columns, self.parts[:-1], (1, 0)) + self.parts[-1])
        whole = np.array(found)
        return np.asarray(DOSE * whole / whole.sum(axis=(2, 3), keepdims=True))


def asked(counts: Floats) -> Signal:
    """A stack's counts with their axes."""
    return Signal(np.ascontiguousarray(counts, dtype=np.float32), AXES)


def instruments(known: PatternLibrary, stacks: Floats) -> tuple[Instrument, Instrument]:
    """As it is stated, and as three measured stacks let it be fitted: the mean of each value."""
    points, parts = [], []
    for counts in stacks[:: len(stacks) // 3][:3]:
        found = answer(known, asked(counts))
        points.append(np.array(list(found.point.values())))
        question = Question(known, asked(counts))
        columns = question.columns(points[-1])
        columns = columns / columns.sum(axis=(0, 2, 3), keepdims=True) * 5.0
        for some, data, weight in zip(columns, question.data, question.weights, strict=True):
            factors = brought(some, data, weight)[1]
            parts.append(factors / (factors[:-1].sum() + PIXELS**2 * factors[-1]))
    plain = Instrument(known, stated(question), np.eye(len(parts[0]))[0])
    return plain, Instrument(known, np.mean(points, axis=0), np.mean(parts, axis=0))


def nearest(instrument: Instrument, counts: Floats) -> float:
    """Level of the nearest pattern of the library, by a parabola over the levels beside it."""
    question = Question(instrument.known.leading(), asked(counts))
    misfit = node_misfits(question, instrument.point).min(axis=(1, 2, 3))
    levels = question.library.axes[0]
    place = int(np.clip(misfit.argmin(), 1, len(levels) - 2))
    low, here, high = misfit[place - 1 : place + 2]
    moved = 0.5 * (low - high) / max(low - 2 * here + high, 1e-9)
    return float(levels[place] + np.clip(moved, -1, 1) * (levels[1] - levels[0]))


class Changed(torch.nn.Module):
    """Patterns (n, 1, ky, kx) and what is added to them, at most LIMIT, nothing at first."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[torch.nn.Module] = []
        for inward, reach in ((3, 1), (CHANNELS, 2), (CHANNELS, 4), (CHANNELS, 2)):
            conv = torch.nn.Conv2d(inward, CHANNELS, 3, padding=reach, dilation=reach)
            layers += [conv, torch.nn.SiLU()]
        self.layers = torch.nn.Sequential(*layers, torch.nn.Conv2d(CHANNELS, 1, 3, padding=1))
        torch.nn.init.zeros_(self.layers[-1].weight)

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        return torch.relu(seen + LIMIT * torch.tanh(self.layers(placed(seen))))


def placed(seen: torch.Tensor) -> torch.Tensor:
    """Patterns and where their pixels are, (n, 3, ky, kx): a rotation moves each another way."""
    places = torch.linspace(-1, 1, seen.shape[-1]).expand(len(seen), 1, *seen.shape[-2:])
    return torch.cat([seen, places, places.transpose(2, 3)], dim=1)


def critic() -> torch.nn.Module:
    """Tells, patch by patch, whether patterns are of its side."""
    return torch.nn.Sequential(
        *(torch.nn.Conv2d(3, CHANNELS, 4, stride=2), torch.nn.LeakyReLU(0.2)),
        *(torch.nn.Conv2d(CHANNELS, 2 * CHANNELS, 4, stride=2), torch.nn.LeakyReLU(0.2)),
        torch.nn.Conv2d(2 * CHANNELS, 1, 3),
    )


def amplitudes(counts: Floats) -> torch.Tensor:
    """Square roots of strips' counts, (n, 1, ky, kx), whose mean square is 1: noise is even."""
    strips = np.asarray(counts, dtype=np.float32).reshape(-1, 1, PIXELS, PIXELS)
    return torch.tensor(np.sqrt(strips / strips.mean(axis=(2, 3), keepdims=True)))


def passed(network: torch.nn.Module, counts: Floats) -> Floats:
    """Counts of a stack through a network, of the same number of electrons."""
    with torch.no_grad():
        found = network(amplitudes(counts))[:, 0].double().numpy() ** 2
    return np.asarray(found / found.mean(axis=(1, 2), keepdims=True) * DOSE / PIXELS**2)


def trained(simulated: Floats, measured: Floats, seed: int, steps: int) -> list[torch.nn.Module]:
    """Networks toward the measured and toward the simulated side, of expected counts of stacks."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    ahead, back, judge_m, judge_s = Changed(), Changed(), critic(), critic()
    rules, slowed = [], []
    for both in ((ahead, back), (judge_m, judge_s)):
        values = [value for one in both for value in one.parameters()]
        rules.append(torch.optim.Adam(values, lr=1e-3, betas=(0.5, 0.999)))
        slowed.append(torch.optim.lr_scheduler.LinearLR(rules[-1], 1.0, 0.05, steps))
    sides = [some.reshape(-1, PIXELS, PIXELS) for some in (simulated, measured)]
    for _ in range(steps):
        some = [side[rng.integers(len(side), size=BATCH)] for side in sides]
        s, m = (amplitudes(rng.poisson(expected)) for expected in some)
        as_m, as_s = ahead(s), back(m)
        loss = CYCLE * (l1_loss(back(as_m), s) + l1_loss(ahead(as_s), m))
        loss = loss + SAME * (l1_loss(ahead(m), m) + l1_loss(back(s), s))
        for judge, made in ((judge_m, as_m), (judge_s, as_s)):
            loss = loss + ((judge(placed(made)) - 1) ** 2).mean()
        rules[0].zero_grad()
        loss.backward()
        rules[0].step()
        judged = torch.zeros(())
        for judge, true, made in ((judge_m, m, as_m), (judge_s, s, as_s)):
            judged = judged + ((judge(placed(true)) - 1) ** 2).mean()
            judged = judged + (judge(placed(made.detach())) ** 2).mean()
        rules[1].zero_grad()
        judged.backward()
        rules[1].step()
        for rule in slowed:
            rule.step()
    return [ahead.eval(), back.eval()]


def shown(name: str, levels: Floats, true: Floats) -> None:
    """Print how far levels are off."""
    apart = np.asarray(levels) - true
    print(f"{name}: rms {np.sqrt(np.mean(apart**2)):.3f}, mean {apart.mean():+.3f}", flush=True)


def moved(name: str, instrument: Instrument, before: Floats, after: list[Floats]) -> None:
    """How far a network moves the nearest level of stacks, seen by one instrument."""
    apart = [
        nearest(instrument, b) - nearest(instrument, a) for a, b in zip(before, after, strict=True)
    ]
    print(f"  {name}: levels move by {np.mean(apart):+.3f}, {np.std(apart):.3f} about it")


def compare(folder: Path, steps: int) -> None:
    """Levels of test stacks by each transfer; networks of three seeds, and what they move."""
    rng = np.random.default_rng(3)
    store, sets = prepared(folder)
    known = PatternLibrary.open(store)
    train, test = (DOSE * (np.load(path)["stacks"] + 2e-6) for path in sets.values())
    true = np.load(sets["test"])["truths"][:, 0]
    begun = time.process_time()
    as_stated, fitted = instruments(known, rng.poisson(train).astype(float))
    print(f"instrument fitted to three stacks in {time.process_time() - begun:.0f} s")
    counts = rng.poisson(test).astype(float)

    def by_fit(stacks: Floats) -> list[float]:
        return [answer(known, asked(stack)).level.mean for stack in stacks]

    shown("no transfer, nearest neighbor", [nearest(as_stated, one) for one in counts], true)
    shown("(a) fitted once, nearest neighbor", [nearest(fitted, one) for one in counts], true)
    shown("(a) least squares", by_fit(counts), true)
    radius, turn = 3 * np.sqrt(rng.random(SIMULATED)), 2 * np.pi * rng.random(SIMULATED)
    ranges = rng.uniform((0.0, A * TRAIN[0]), (2.0, A * TRAIN[-1]), (SIMULATED, 2))
    drawn = np.column_stack([ranges, radius * np.cos(turn), radius * np.sin(turn)])
    degraded = rng.poisson(fitted.expected(drawn[:KNOWN])).astype(float)
    levels = [nearest(fitted, one) for one in degraded]
    shown("simulated by the fitted instrument, known", levels, drawn[:KNOWN, 0])
    for name, instrument in (("(b)", as_stated), ("(b) after (a)", fitted)):
        simulated = instrument.expected(drawn)
        sharp = rng.poisson(simulated[:KNOWN]).astype(float)
        for seed in range(SEEDS):
            begun = time.process_time()
            ahead, back = trained(simulated[KNOWN:], train, seed, steps)
            taken = time.process_time() - begun
            apart = [
                float((amplitudes(some).mean(0) - amplitudes(simulated).mean(0)).square().mean())
                for some in (train, np.array([passed(back, one) for one in rng.poisson(train)]))
            ]
            before, after = np.sqrt(apart)
            print(
                f"{name}, seed {seed}: trained in {taken:.0f} s; mean patterns of both sides are "
                f"{before:.3f} apart before, {after:.3f} after, in units of their rms"
            )
            made = np.array([passed(back, one) for one in counts])
            shown(f"  {name}, nearest neighbor", [nearest(instrument, one) for one in made], true)
            shown(f"  {name}, least squares", by_fit(made), true)
            there = [passed(back, passed(ahead, one)) for one in sharp]
            moved("simulated, measured, simulated", instrument, sharp, there)
            there = [passed(back, one) for one in degraded]
            levels = [nearest(instrument, one) for one in there]
            shown("  the same through the network", levels, drawn[:KNOWN, 0])


if __name__ == "__main__":
    folder, steps = [*sys.argv[1:], *(gettempdir(), "600")[len(sys.argv) - 1 :]]
    torch.set_num_threads(1)
    compare(Path(folder), int(steps))
