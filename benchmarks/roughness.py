"""Rough or chemically diffuse: a boundary with a buried step against one that is mixed.

    python benchmarks/roughness.py FOLDER [CASES [SEED]]

Builds two libraries of three strips, 10 mrad, in FOLDER/stacks (``rough``: the depth of a step of
one cell; ``diffuse``: where a boundary lies that is mixed over half a cell), plants boundaries by
planting.py in FOLDER/known and asks as ``htinvert fit FOLDER/stacks FOLDER/known`` does. Diffuse
ones are mixed over 0.3 to 0.7 cells and lie anywhere between the terraces of rough ones, so that
the mean profile tells nothing; rough ones are mixed by 0.05 to 0.2 cells.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import gettempdir

import numpy as np
from planting import A, detected, diffuse, draws, patterns

from htinvert.matching.pattern_library import build_library
from htinvert.matching.pattern_wanted import Wanted
from htinvert.report.pattern_trials import trials_with_progress
from htinvert.report.terminal import terminal
from htinvert.structures.perovskite_stack import perovskite_stack

MOTION = {"Sr": 0.08, "Ti": 0.07, "O": 0.09, "La": 0.07, "Al": 0.07}
NAMES, STEP, DOSE = ("rough", "diffuse"), 1.6, 1e6  # mrad per px, electrons per strip
EVERY = 3 * A  # Å, depths of the step


def libraries(folder: Path) -> None:
    """Build both, where they are not there."""
    depths = tuple(round(EVERY * n, 4) for n in range(8))
    places = tuple(np.round(np.arange(0.0, 1.01, 0.2), 2).tolist())
    both = {
        "rough": ("depth", depths, lambda at: perovskite_stack(rise=1.0, depth=at)),
        "diffuse": ("step", places, lambda at: perovskite_stack(intermixing=0.5, step=at)),
    }
    for name, (descriptor, levels, build) in both.items():
        wanted = Wanted(
            descriptor=descriptor,
            levels=levels,
            build=build,
            semiangle=10.0,
            rms_displacement=MOTION,
            rows=3,
            thickness=(58.0, 98.0, 7.8),
            tilt=(1.0, 1.3),
            outer=30.0,
        )
        (folder / name).mkdir(parents=True, exist_ok=True)
        print(build_library(wanted, folder / name / "patterns.zarr"), flush=True)


def plant(name: str, rng: np.random.Generator) -> tuple[float, float, np.ndarray]:
    """Depth of the step or place of the boundary, thickness [Å], what is expected per electron."""
    periods, part = int(rng.integers(17, 24)), rng.uniform(0.2, 0.8)
    tilt = complex(*rng.uniform(-0.8, 0.8, 2))
    if name == "rough":
        depth, width = round(part * periods), rng.uniform(0.05, 0.2)
        above, below = (draws(diffuse(width, middle), rng) for middle in (0.0, 1.0))
        layers, truth = [above] * depth + [below] * (periods + 1 - depth), depth * A
    else:
        layers, truth = [draws(diffuse(rng.uniform(0.3, 0.7), part), rng)] * (periods + 1), part
    whole = patterns(layers, tilt, rng, semiangle=10.0, rows=3)
    return truth, periods * A, detected(whole, rng)[:, 8:40, 8:40]


def main(folder: Path, cases: int = 6, seed: int = 1) -> None:
    """Plant, ask, and compare depths."""
    libraries(folder / "stacks")
    truths = {}
    for place in range(cases):
        rng, name = np.random.default_rng([seed, place]), NAMES[place % 2]
        file = folder / "known" / name / f"{seed}-{place:02d}.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        truths[file], thickness, expected = plant(name, rng)
        np.save(file, rng.poisson(DOSE * (expected + 2e-6)).astype(np.float32))
        print(f"{file}: at {truths[file]:.2f} of {thickness:.0f} Å", flush=True)
    output = folder / "answers"
    trials_with_progress(
        *(folder / "stacks", folder / "known"), sampling=STEP, output=output, console=terminal()
    )
    apart, held = [], []
    for file in (folder / "known" / "rough").glob(f"{seed}-*.npy"):
        numbers = json.loads((output / "rough" / file.stem / "families.json").read_text())
        found = numbers["answers"]["rough"]
        low, high = found["interval_90"]
        apart.append(found["level"] - truths[file])
        held.append(low <= truths[file] <= high)
    near = np.abs(apart) <= EVERY
    print(
        f"step within {EVERY:.1f} Å in {near.sum()} of {len(near)}, rms "
        f"{np.sqrt(np.mean(np.square(apart))):.1f} Å; intervals hold in {sum(held)}"
    )


if __name__ == "__main__":
    where, *numbers = sys.argv[1:] or [f"{gettempdir()}/roughness"]
    main(Path(where), *map(int, numbers))
