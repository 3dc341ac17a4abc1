"""Convergent-beam patterns: measured thicknesses, planted intermixing, methods side by side.

    python benchmarks/diffraction.py pacbed [FOLDER]    # two measured patterns of SrTiO3
    python benchmarks/diffraction.py library STORE      # eleven levels of LaAlO3/SrTiO3
    python benchmarks/diffraction.py demo STORE         # planted by another program
    python benchmarks/diffraction.py planted STORE      # planted here by other settings
    python benchmarks/diffraction.py network STORE      # a small network beside them
    python benchmarks/diffraction.py map STORE          # positions per second

Folders of third-party data are read, never copied. Processor seconds of one thread.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from ase import Atoms
from scipy.ndimage import gaussian_filter, map_coordinates

from htinvert.core import Axis, Signal
from htinvert.forward.cbed import sites
from htinvert.forward.cbed.cell import make_cell
from htinvert.forward.cbed.detector import HALOS
from htinvert.forward.cbed.interface import Strips, strip_patterns
from htinvert.matching.pattern_answer import Question, answer, node_misfits, stated
from htinvert.matching.pattern_library import PatternLibrary, Wanted, build_library, cost_of
from htinvert.matching.pattern_map import map_levels
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
PLANTED = (  # level, thickness in periods, tilt in steps of the planted grid (x, y)
    *((0.1, 25, 1, -3), (0.5, 31, -1, 2), (0.9, 28, 2, 1)),
    *((1.3, 33, -2, -2), (1.7, 30, 0, 4), (0.7, 17, 1, 2)),
)


def library(store: Path) -> None:
    """Build, and say how many patterns per minute."""
    print(cost_of(WANTED))
    begun = time.process_time()
    build_library(WANTED, store, observer=lambda done, total: print(f"{done} of {total}"))
    taken = time.process_time() - begun
    count = cost_of(WANTED).patterns
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


def planted(store: Path, kept: Path = Path("planted.npz")) -> None:
    """Stacks of other potentials, motion, cells, grid and wedge, seen by another detector."""
    if not kept.exists():
        stacks = [plant(*case, seed=seed) for seed, case in enumerate(PLANTED)]
        np.savez(kept, **{str(place): stack for place, stack in enumerate(stacks)})
    with np.load(kept) as held:
        cases = [
            (level, 3.905 * periods, (25.079 / 3.905 / 5 * x, 25.079 / 45.93 * y), held[str(place)])
            for place, (level, periods, x, y) in enumerate(PLANTED)
        ]
    compare(PatternLibrary.open(store), cases, middle=23.5)


def plant(level: float, periods: int, x: int, y: int, *, seed: int) -> np.ndarray:
    """Counts (strip, ky, kx); nothing but the physics is shared with the library."""
    from abtem.parametrizations import LobatoParametrization

    lobato, ours = LobatoParametrization(), sites.scattering_factor
    sites.scattering_factor = lambda number, squared: np.asarray(
        lobato.scattering_factor(_symbol(number))(squared)
    )
    sites._diffuse.cache_clear()
    try:
        atoms = perovskite_stack(intermixing=level, cells=6)
        cell = make_cell(
            atoms,
            beam="-z",
            up="-y",
            beam_energy=2e5,
            rms_displacement={symbol: 1.15 * moved for symbol, moved in MOTION.items()},
            outer=58.0,
            slice_thickness=4.2,
        )
    finally:
        sites.scattering_factor = ours
        sites._diffuse.cache_clear()
    strips = Strips(
        centers=tuple(atoms.info["boundary"] + (row - 2) * 3.905 for row in range(5)),
        width=3.905,
        semiangle=15.0,
        divisions=5,
        tilts=((x, y),),
        outer=42.0,
        periods=(periods - 1, periods, periods + 1),  # a wedge
    )
    whole = strip_patterns(cell, strips)[:, 0].mean(axis=0)
    return _detected(whole, strips.step(cell), np.random.default_rng(seed))


def _symbol(number: int) -> str:
    from ase.data import chemical_symbols

    return str(chemical_symbols[number])


def _detected(whole: np.ndarray, step: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """A turned, stretched, blurred view with a tail, a halo and counting noise."""
    turn, scale = np.radians(rng.uniform(-2, 2)), 1.0 + rng.uniform(-0.015, 0.015)
    place = (np.arange(PIXELS) - 23.5) * STEP * scale
    x, y = np.meshgrid(place + rng.uniform(-0.8, 0.8), place + rng.uniform(-0.8, 0.8))
    x, y = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    at = [y / step[1] + (whole.shape[1] - 1) / 2, x / step[0] + (whole.shape[2] - 1) / 2]
    counts = []
    for pattern in whole:
        sharp = gaussian_filter(pattern, (0.9 / step[1], 0.9 / step[0]))
        seen = map_coordinates(sharp, at, order=3, mode="constant")
        down, right = (np.arange(PIXELS) - PIXELS // 2 for _ in range(2))
        far = np.hypot(down[:, None], right)
        tail = np.fft.fft2(np.fft.ifftshift((1.0 + far**2 / 4.0) ** -1.5))
        tailed = np.fft.ifft2(np.fft.fft2(seen) * tail / tail[0, 0]).real
        seen = 0.95 * seen + 0.05 * tailed
        loss = np.fft.fft2(np.fft.ifftshift((1.0 + far**2 / 16.0) ** -1.0 * (far < 20)))
        halo = np.fft.ifft2(np.fft.fft2(seen) * loss / loss[0, 0]).real
        seen = np.maximum(0.78 * seen + 0.22 * halo, 0.0)
        counts.append(rng.poisson(DOSE * seen / seen.sum() + 2.0))
    return np.array(counts, dtype=np.float32)


def compare(known: PatternLibrary, cases: list, *, middle: float) -> None:
    """Each case by each method: level, thickness, tilt, and whether the interval holds."""
    axes = (
        Axis("strip", "Å", 3.905),
        *(Axis(name, "mrad", STEP, -STEP * middle) for name in ("ky", "kx")),
    )
    raw, transferred, fitted, thick, tilt, held, seconds = [], [], [], [], [], [], []
    last = None
    for level, thickness, tilts, data in cases:
        observed = Signal(np.ascontiguousarray(data, dtype=np.float32), axes)
        question = Question(known, observed)
        raw.append(_nearest(question, stated(question)) - level)
        begun = time.process_time()
        found = answer(known, observed)
        seconds.append(time.process_time() - begun)
        point = np.array(list(found.point.values()))
        # the instrument of another specimen, where there is one: a transfer that is fitted once
        transferred.append(_nearest(question, point if last is None else last) - level)
        last = point
        low, high = found.level.interval()
        fitted.append(found.level.mean - level)
        thick.append(found.point["thickness"] - thickness)
        tilt.append(np.hypot(found.point["tilt_x"] - tilts[0], found.point["tilt_y"] - tilts[1]))
        held.append(low - 1e-9 <= level <= high + 1e-9)
        print(
            f"level {level:.1f}: {found.level.mean:.2f} ± {found.level.spread:.2f} "
            f"({low:.2f} to {high:.2f}{'' if found.level.determined else ', not determined'}), "
            f"thickness {thickness:.1f}: {found.point['thickness']:.1f} "
            f"± {found.errors['thickness']:.1f} Å, tilt off by {tilt[-1]:.2f} mrad, "
            f"chi² {found.chi_square:.2f}, {seconds[-1]:.1f} s"
        )
    for name, errors in (
        ("nearest neighbor, stated instrument", raw),
        ("nearest neighbor, fitted instrument", transferred),
        ("least squares, structure and instrument", fitted),
    ):
        print(f"{name}: level rms {np.sqrt(np.mean(np.square(errors))):.2f}")
    print(
        f"thickness rms {np.sqrt(np.mean(np.square(thick))):.1f} Å, tilt {np.mean(tilt):.2f} mrad; "
        f"intervals of 90 % held in {sum(held)} of {len(held)}; {np.mean(seconds):.1f} s each"
    )


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


def network(store: Path, kept: Path = Path("planted.npz")) -> None:
    """A small network on a thousand stacks of random instruments, beside the same planted data."""
    import torch

    known = PatternLibrary.open(store)
    rng = np.random.default_rng(5)
    axes = (
        Axis("strip", "Å", 3.905),
        *(Axis(name, "mrad", STEP, -STEP * 23.5) for name in ("ky", "kx")),
    )
    question = Question(known, Signal(np.ones((5, PIXELS, PIXELS), dtype=np.float32), axes))
    begun = time.process_time()
    lower, upper = question.bounds()
    room = np.array([2.0, 1.0, 1.0, 0.015, 0.005])  # degrees, mrad, mrad, 1, 1
    lower[4:9], upper[4:9] = -room, room
    lower[7], upper[7] = lower[7] + 1.0, upper[7] + 1.0
    lower[9], upper[9] = 0.6, 1.3
    stacks, levels = [], []
    for _ in range(1000):
        point = rng.uniform(lower, upper)
        sharp, near, halo, far = question.columns(point, HALOS).transpose(1, 0, 2, 3)
        a, b, c = rng.uniform(0.0, (0.1, 0.3, 0.05))
        mixed = (1 - a - b - c) * sharp / sharp.sum(axis=(1, 2), keepdims=True)
        for part, copy in ((a, near), (b, halo), (c, far)):
            mixed = mixed + part * copy / copy.sum(axis=(1, 2), keepdims=True)
        stacks.append(rng.poisson(DOSE * np.maximum(mixed, 0.0) + 2.0))
        levels.append(point[0])
    made = time.process_time() - begun
    features = np.array([_features(stack) for stack in stacks], dtype=np.float32)
    mean = features.mean(axis=0)
    basis = np.linalg.svd(features - mean, full_matrices=False)[2][:80]
    scale = ((features - mean) @ basis.T).std(axis=0)
    inputs = torch.tensor((features - mean) @ basis.T / scale)
    wanted = torch.tensor(np.array(levels, dtype=np.float32))[:, None]
    errors: dict[str, list[float]] = {"simulated, held out": [], "planted": [], "demo": []}
    with np.load(kept) as held:
        data = [("planted", case[0], held[str(place)]) for place, case in enumerate(PLANTED)]
    folder = SHARED / "cbed-demo"
    if folder.is_dir():
        for name, truth in json.loads((folder / "truth.json").read_text()).items():
            stack = np.load(folder / f"{name}.npy").transpose(0, 2, 1)
            data.append(("demo", truth["sigma"], stack))
    begun = time.process_time()
    for seed in range(3):
        torch.manual_seed(seed)
        model = torch.nn.Sequential(
            *(torch.nn.Linear(80, 64), torch.nn.SiLU(), torch.nn.Dropout(0.2)),
            torch.nn.Linear(64, 1),
        )
        rule = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
        for _ in range(400):
            rule.zero_grad()
            loss = ((model(inputs[:900]) - wanted[:900]) ** 2).mean()
            loss.backward()
            rule.step()
        model.eval()
        with torch.no_grad():
            apart = (model(inputs[900:]) - wanted[900:]).numpy().ravel()
            errors["simulated, held out"] += apart.tolist()
            for name, level, stack in data:
                seen = (_features(stack).astype(np.float32) - mean) @ basis.T / scale
                errors[name].append(float(model(torch.tensor(seen[None]))) - level)
    trained = time.process_time() - begun
    for name, found in errors.items():
        if found:
            print(f"network, {name}: level rms {np.sqrt(np.mean(np.square(found))):.2f}")
    print(f"1000 stacks made in {made:.0f} s, three seeds trained in {trained:.0f} s")


def _features(stack: np.ndarray) -> np.ndarray:
    """Square roots of the counts about the disk, each strip of one norm."""
    part = np.sqrt(np.maximum(np.asarray(stack, dtype=float), 0.0))[:, 8:40, 8:40].reshape(5, -1)
    return np.asarray(part / np.linalg.norm(part, axis=1, keepdims=True) * 32).ravel()


def _nearest(question: Question, point: np.ndarray) -> float:
    """The level of the nearest pattern of the library, on its principal components."""
    misfit = node_misfits(question, point)
    place = np.unravel_index(int(misfit.argmin()), misfit.shape)
    return float(question.library.axes[0][place[0]])


if __name__ == "__main__":
    what, *given = sys.argv[1:] or ["pacbed"]
    {
        "pacbed": pacbed,
        "library": library,
        "demo": demo,
        "planted": planted,
        "map": map_,
        "network": network,
    }[what](*(map(Path, given) if given else [SHARED / "sto-pacbed"]))
