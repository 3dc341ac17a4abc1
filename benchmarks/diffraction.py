"""Convergent-beam patterns: measured thicknesses, planted intermixing, methods side by side.

    python benchmarks/diffraction.py pacbed [FOLDER]    # two measured patterns of SrTiO3
    python benchmarks/diffraction.py library STORE      # eleven levels of LaAlO3/SrTiO3
    python benchmarks/diffraction.py demo STORE         # planted by another program
    python benchmarks/diffraction.py wide STORE         # the same for 5 to 20 nm, tilts to 5 mrad
    python benchmarks/diffraction.py planted STORE [KEPT [DOSES]]    # by planting.py, at four doses
    python benchmarks/diffraction.py bound STORE        # the least error of any method
    python benchmarks/diffraction.py map STORE          # positions per second

Folders of third-party data are read, never copied. Processor seconds of one thread.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import numpy as np
from ase import Atoms

from htinvert.core import Axis, Signal
from htinvert.forward.cbed.detector import HALOS
from htinvert.matching.pattern_answer import answer
from htinvert.matching.pattern_library import SCALE, PatternLibrary, build_library
from htinvert.matching.pattern_map import map_levels
from htinvert.matching.pattern_nuisances import UNEVEN
from htinvert.matching.pattern_question import STEPS, WIDTHS, Question, node_misfits, stated
from htinvert.matching.pattern_wanted import Wanted, cost_of
from htinvert.structures.perovskite_stack import perovskite_stack

SHARED = Path(__file__).parents[1].parent / "shared" / "data"
MOTION = {"Sr": 0.08, "Ti": 0.07, "O": 0.09, "La": 0.07, "Al": 0.07}
WANTED = Wanted(
    descriptor="intermixing",
    levels=tuple(np.round(np.arange(0.0, 2.01, 0.2), 3).tolist()),
    build=lambda level: perovskite_stack(intermixing=level),
    semiangle=15.0,
    rms_displacement=MOTION,
)
STEP, PIXELS, DOSE = 1.6, 48, 1e6  # mrad per px, px, electrons per strip
BEYOND = tuple(np.round(np.arange(0.0, 2.21, 0.2), 3).tolist())  # planted are 0 to 2.1
WIDE = replace(WANTED, levels=BEYOND, thickness=(47.0, 203.0, 7.8), tilt=(5.0, 5.0))
KEPT = Path(gettempdir()) / "planted.npz"
DOSES = (1e6, 1e5, 1e4, 1e3)  # electrons per strip


def library(store: Path, wanted: Wanted = WANTED) -> None:
    """Build, and say how many patterns per minute."""
    print(cost_of(wanted))
    begun = time.process_time()
    build_library(wanted, store, observer=lambda done, total: print(f"{done} of {total}"))
    taken = time.process_time() - begun
    count = cost_of(wanted).patterns
    print(f"{count} patterns in {taken:.0f} s: {60 * count / taken:.0f} per minute")


def pacbed(folder: Path) -> None:
    """Thickness of each measured pattern, as the command line finds it."""
    from htinvert.report.pattern_fit import pattern_block, thickness_with_progress
    from htinvert.report.terminal import terminal
    from htinvert.structures.write import write_structure

    places = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    crystal = Atoms("SrTiO3", scaled_positions=places, cell=[3.905] * 3, pbc=True)
    motion = {f"rms_displacement.{symbol}": MOTION[symbol] for symbol in crystal.symbols}
    with TemporaryDirectory() as place:
        file = Path(place) / "SrTiO3.xyz"
        write_structure(file, crystal)
        for path in sorted(folder.glob("*.jpg")):
            begun = time.process_time()
            block = pattern_block(path, None, {"semiangle": 13.6, **motion})
            thickness_with_progress(
                *(file, block),
                folder=Path(),
                output=Path(place) / path.stem,
                also={"thickness": (300.0, 1200.0)},
                console=terminal(),
            )
            print(f"{path.name}: {time.process_time() - begun:.0f} s")


def demo(store: Path) -> None:
    """Stacks that another program has planted."""
    folder = SHARED / "cbed-demo"
    cases = []
    for name, truth in sorted(json.loads((folder / "truth.json").read_text()).items()):
        data = np.load(folder / f"{name}.npy").transpose(0, 2, 1)
        cases.append((truth["sigma"], truth["thickness"], truth["tilt"], np.array(data)))
    compare(PatternLibrary.open(store), cases, middle=23.5)


def planted(store: Path, kept: Path = KEPT, doses: str = "") -> None:
    """Eleven stacks by a program of its own; `planting.py KEPT SEED` makes another set."""
    from planting import plant

    if not kept.exists():
        plant(str(kept))
    known = PatternLibrary.open(store)
    with np.load(kept) as held:
        truths, stacks = held["truths"], held["stacks"]
    for dose in map(float, doses.split()) if doses else DOSES:
        rng = np.random.default_rng(int(dose))
        counts = rng.poisson(dose * (stacks + 2e-6))
        print(f"{dose:.0e} electrons per strip")
        cases = [
            (level, thickness, (x, y), data)
            for (level, thickness, x, y), data in zip(truths, counts, strict=True)
        ]
        compare(known, cases, middle=23.5)


def bound(store: Path, kept: Path = KEPT) -> None:
    """Cramér and Rao's bound of the level, by counting alone: instrument and nuisances free.

    No unbiased method errs less; what nuisances are known before counts as measured. Of planted
    stacks, where there are any, the rms; then where lines of the scan are off, too, as planted.
    """
    from planting import LINES, SCAN

    known = PatternLibrary.open(store)
    axes = (
        Axis("strip", "Å", 3.905),
        *(Axis(name, "mrad", STEP, -STEP * 23.5) for name in ("ky", "kx")),
    )
    blank = Signal(np.ones((5, PIXELS, PIXELS), dtype=np.float32), axes)
    question = Question(known, blank)
    parts = np.array([0.75, 0.03, 0.03, 0.03, 0.03, 0.03, 0.1])  # sharp, and in broader copies
    doubts = len(known.nuisances.priors)
    steps = np.concatenate([STEPS, np.full(doubts, 0.5)])
    instrument = [*stated(question)[4:9], 0.8, *np.zeros(doubts)]
    for thickness, level in product((50.0, 80.0, 130.0, 200.0), (0.3, 1.0, 1.7)):
        point = np.array([level, thickness, 1.5, -1.5, *instrument])
        errors = _bounds(question, point, steps, parts)
        print(f"{thickness:.0f} Å, level {level}: " + ", ".join(f"{e:.3f}" for e in errors))
    if kept.exists():
        with np.load(kept) as held:
            points = [np.array([max(t[0], 0.1), *t[1:], *instrument]) for t in held["truths"]]
        for off in (0.0, SCAN):
            wave = off / np.sqrt(LINES)
            every = np.array([_bounds(question, at, steps, parts, wave=wave) for at in points])
            rms = ", ".join(f"{e:.3f}" for e in np.sqrt(np.mean(every**2, axis=0)))
            print(f"{len(every)} planted, lines off by {off:g} Å: rms {rms}", flush=True)


def compare(known: PatternLibrary, cases: list, *, middle: float) -> np.ndarray:
    """Errors of the levels; prints each case by each method, and whether the intervals hold."""
    axes = (
        Axis("strip", "Å", 3.905),
        *(Axis(name, "mrad", STEP, -STEP * middle) for name in ("ky", "kx")),
    )
    raw, transferred, fitted, thick, tilt, held, seconds = [], [], [], [], [], [], []
    sure, plain, near, quick = [], [], [], []
    last = None
    for level, thickness, tilts, data in cases:
        observed = Signal(np.ascontiguousarray(data, dtype=np.float32), axes)
        question = Question(known.leading(), observed)
        begun = time.process_time()
        nearest = _nearest(question, stated(question))
        quick.append(time.process_time() - begun)
        raw.append(nearest[0] - level)
        plain.append(nearest[1] - thickness)
        begun = time.process_time()
        found = answer(known, observed)
        seconds.append(time.process_time() - begun)
        point = np.array(list(found.point.values()))
        # the instrument of another specimen, where there is one: a transfer that is fitted once
        other = _nearest(question, point if last is None else last)
        transferred.append(other[0] - level)
        near.append([low <= level <= high for *_, low, high in (nearest, other)])
        last = point
        low, high = found.level.interval()
        fitted.append(found.level.mean - level)
        thick.append(found.point["thickness"] - thickness)
        tilt.append(np.hypot(found.point["tilt_x"] - tilts[0], found.point["tilt_y"] - tilts[1]))
        held.append(low - 1e-9 <= level <= high + 1e-9)
        sure.append(found.level.determined)
        print(
            f"level {level:.2f}: {found.level.mean:.2f} ± {found.level.spread:.2f} "
            f"({low:.2f} to {high:.2f}{'' if found.level.determined else ', not determined'}), "
            f"thickness {thickness:.1f}: {found.point['thickness']:.1f} "
            f"± {found.errors['thickness']:.1f} Å, tilt off by {tilt[-1]:.2f} mrad, "
            f"chi² {found.chi_square:.2f}, {seconds[-1]:.1f} s",
            flush=True,
        )
    for name, errors in (
        ("nearest neighbor, stated instrument", raw),
        ("nearest neighbor, fitted instrument", transferred),
        ("least squares, structure and instrument", fitted),
    ):
        print(f"{name}: level rms {np.sqrt(np.mean(np.square(errors))):.3f}")
    one, two = np.sum(near, axis=0)
    print(f"intervals of the first two held in {one}, {two}; {np.mean(quick):.2f} s each")
    determined = np.array(fitted)[sure]
    print(
        f"determined: {len(determined)} of {len(sure)}, their level rms "
        f"{np.sqrt(np.mean(determined**2)):.3f}; thickness rms without transfer "
        f"{np.sqrt(np.mean(np.square(plain))):.0f} Å"
    )
    print(
        f"thickness rms {np.sqrt(np.mean(np.square(thick))):.1f} Å ({np.mean(thick):+.1f} on "
        f"average), tilt {np.mean(tilt):.2f} mrad; intervals of 90 % held in {sum(held)} of "
        f"{len(held)}; {np.mean(seconds):.1f} s each"
    )
    return np.array(fitted)


def map_(store: Path) -> None:
    """A hundred positions of the library's own patterns at levels in between, by one instrument."""
    known = PatternLibrary.open(store)
    rng = np.random.default_rng(0)
    axes = (
        Axis("strip", "Å", 3.905),
        *(Axis(name, "mrad", STEP, -STEP * 23.5) for name in ("ky", "kx")),
    )
    blank = Signal(np.ones((5, PIXELS, PIXELS), dtype=np.float32), axes)
    instrument = [-0.7, 0.5, 0.1, 1.004, 0.002, 0.9]
    points = np.array(
        [[level, 112.0, 0.6, -0.9, *instrument] for level in rng.uniform(0.1, 1.9, 100)]
    )
    stacks = []
    for point in points:
        sharp, _, halo, _ = Question(known, blank).columns(point, HALOS).transpose(1, 0, 2, 3)
        mixed = 0.8 * sharp / sharp.sum() + 0.2 * halo / halo.sum()
        stacks.append(rng.poisson(5 * DOSE * mixed + 2.0).astype(np.float32))
    found = answer(known, Signal(np.mean(stacks, axis=0, dtype=np.float32), axes))
    whole = Signal(np.stack(stacks), (Axis("x", "Å", 4.0), *axes))
    begun = time.process_time()
    map_levels(known, Signal(whole.data[:1], whole.axes), found)
    once = time.process_time() - begun
    begun = time.process_time()
    shown = map_levels(known, whole, found)
    taken = time.process_time() - begun
    error = shown.values[:, 0] - points[:, 0]
    print(
        f"100 positions in {taken:.2f} s, {once:.2f} s of it once per map; "
        f"level rms {np.sqrt(np.mean(error**2)):.3f}"
    )


def _bounds(
    question: Question,
    point: np.ndarray,
    steps: np.ndarray,
    parts: np.ndarray,
    *,
    wave: float = 0.0,
) -> list:
    """Least standard errors of the level at each dose; ``parts`` of the beam are in the copies.

    Lines of the scan are off: each wave of displacements in a strip by ``wave`` [Å, rms].
    """

    def spread(at: np.ndarray) -> np.ndarray:
        columns = question.columns(at)
        return columns / columns.sum(axis=(2, 3), keepdims=True).mean(axis=0)

    def uneven() -> Iterator[np.ndarray]:
        """What each wave of displacements in a strip, one standard deviation, changes."""
        patterns = question.library.patterns(point[:4], point[len(STEPS) :])
        size = wave / 3.905 / SCALE
        for way in np.eye(len(UNEVEN)):
            change = size * question.library.uneven.change(point[:4], way)
            both = (question.seen(patterns + sign * change, point, WIDTHS) for sign in (1, -1))
            high, low = (one / one.sum(axis=(2, 3), keepdims=True).mean(axis=0) for one in both)
            together = np.einsum("c,rcyx->ryx", parts, high - low) / 2
            for row in np.eye(len(together)):
                yield (row[:, None, None] * together).ravel()

    here = spread(point)
    expected = np.einsum("c,rcyx->ryx", parts, here) + 2e-6
    slopes = []
    for index, step in enumerate(steps):
        moved = [point.copy(), point.copy()]
        moved[0][index] -= step
        moved[1][index] += step
        low, high = (np.einsum("c,rcyx->ryx", parts, spread(at)) for at in moved)
        slopes.append((high - low).ravel() / 2)
    lines = list(uneven()) if wave else []
    slopes += lines
    for row in range(len(expected)):  # gain, what is broadest, and a constant, of each strip
        for pattern in (here[row, 0], here[row, -1], np.ones_like(here[row, 0])):
            alone = np.zeros_like(expected)
            alone[row] = pattern
            slopes.append(alone.ravel())
    slopes += [here[:, copy].ravel() for copy in range(1, len(parts) - 1)]
    weighted = np.array(slopes) / np.sqrt(expected.ravel())
    scale = np.linalg.norm(weighted, axis=1)
    before = np.zeros(len(weighted))
    before[len(STEPS) : len(steps)] = steps[len(STEPS) :] ** 2  # one standard deviation each
    before[len(steps) : len(steps) + len(lines)] = 1.0
    found = []
    for dose in DOSES:
        known = dose * weighted @ weighted.T + np.diag(before)
        known /= np.outer(scale, scale)
        found.append(float(np.sqrt(np.linalg.pinv(known)[0, 0]) / scale[0] * steps[0]))
    return found


def _nearest(question: Question, point: np.ndarray) -> tuple[float, float, float, float]:
    """Level and thickness of the nearest pattern of the library, on its principal components.

    Then the level's interval of 90 %, half a step wider: as likely as misfits in units of the least
    per pixel say.
    """
    misfit = node_misfits(question, point)
    place = np.unravel_index(int(misfit.argmin()), misfit.shape)
    levels, thicknesses = question.library.axes[:2]
    least = misfit.min(axis=(1, 2, 3)) / misfit.min() * question.data.size
    share = np.cumsum(np.exp(-0.5 * (least - least.min())))
    ends = levels[np.searchsorted(share / share[-1], (0.05, 0.95))]
    ends = ends + np.array([-0.5, 0.5]) * (levels[1] - levels[0])
    return tuple(float(x) for x in (levels[place[0]], thicknesses[place[1]], *ends))


if __name__ == "__main__":
    what, *given = sys.argv[1:] or ["pacbed"]
    {
        "pacbed": pacbed,
        "library": library,
        "wide": lambda store: library(store, WIDE),
        "demo": demo,
        "planted": planted,
        "bound": bound,
        "map": map_,
    }[what](*(map(Path, given[:2]) if given else [SHARED / "sto-pacbed"]), *given[2:])
