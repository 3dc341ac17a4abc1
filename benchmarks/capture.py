"""What a registration's start decides: the spread of its figure over random starts.

python benchmarks/capture.py [STARTS [NAME ...]]     six starts of eight images by default

Two are real (shared/data), six planted: multislice images of boundaries, distorted, with scan
noise and 40 electrons at the brightest pixel. Starts lie within 3 %, 3 degrees and 3 px of the
documented ones (the planted ones of the undistorted image). CPU seconds of one thread.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from scipy.ndimage import map_coordinates

from htinvert.campaign.channels import make_channel
from htinvert.config.campaign import load_experiment
from htinvert.core import Metric, Signal
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.forward.stem_multislice import StemMultislice
from htinvert.image.register import FREE, register
from htinvert.metrics.registration import Registration
from htinvert.structures.file import from_file
from htinvert.testing.planted import VACUUM, stacked, tilt

EXPERIMENTS = Path(__file__).parents[1] / "configs" / "experiments"
REAL = {"cdte-twin": "cdte_twin.yaml", "ni-m3b2": "ni_m3b2.yaml"}
PLANTED = {
    "cdte-twin-planted": lambda: stacked("ABCABCACBACBA"),
    "znse-twin-planted": lambda: stacked("ABCABCACBACBA", cation="Zn", anion="Se", a=5.668),
    "zns-phases-planted": lambda: stacked("ABCABCABABABA", cation="Zn", anion="S", a=5.410),
    "cu-tilt-planted": lambda: tilt(planes=14, gap=0.3),
    "au-tilt-planted": lambda: tilt(symbol="Au", a=4.078, planes=13, gap=0.5),
    "pt-tilt-planted": lambda: tilt(symbol="Pt", a=3.924, planes=14),
}
SCALE, TURN, MOVE = 0.03, 3.0, 3.0  # 1, degrees, px
SAMPLING = 0.2  # Å/px
DOSE = 40.0  # electrons at the brightest pixel
JITTER = 0.3  # px, of rows against each other
MICROSCOPE: dict[str, Any] = {"semiangle": 25.0, "inner": 60.0, "outer": 100.0}
SLIDES = {"interface_width": (-1.0, 1.0), "interface_shift": (-3.0, 3.0)}


@dataclass(frozen=True, eq=False)
class Case:
    """An image, a structure, the model that fits, and what may change."""

    name: str
    atoms: Atoms
    observed: Signal
    forward: Any
    metric: Metric
    free: dict[str, tuple[float, float]]


def real(name: str) -> Case:
    """One of the two published images, as its experiment's file describes it."""
    path = EXPERIMENTS / REAL[name]
    channel = make_channel(name, load_experiment(path), folder=path.parent)
    folder = EXPERIMENTS.parents[1].parent / "shared" / "data" / name
    atoms = from_file(folder / "bicrystal.POSCAR.vasp")
    metric = next(iter(channel.metrics.values()))
    return Case(name, atoms, channel.observed, channel.forward, metric, dict(channel.free))


def recorded(
    atoms: Atoms,
    rng: np.random.Generator,
    *,
    shape: tuple[int, int],
    phonons: int = 8,
    **changes: Any,
) -> Signal:
    """A multislice image with scan noise and counted electrons."""
    model = StemMultislice(
        sampling=SAMPLING, shape=shape, thickness=20.0, phonons=phonons, rms_displacement=0.1,
        scan_step=0.35, padding=3.0, **MICROSCOPE, **changes,
    )  # fmt: skip
    clean = model(atoms).data.astype(float)
    rows, columns = np.indices(shape, dtype=float)
    columns += rng.normal(scale=JITTER, size=(shape[0], 1))
    torn = map_coordinates(clean, [rows, columns], order=3, mode="nearest").clip(0.0)
    counts = rng.poisson(DOSE * torn / torn.max())
    return Signal.image(counts.astype(np.float32), SAMPLING)


def planted(name: str) -> Case:
    """A multislice image of a boundary, distorted at random."""
    atoms, seed = PLANTED[name](), list(PLANTED).index(name)
    rng = np.random.default_rng([3, seed])
    turn, shear, wide, high = rng.uniform(-1, 1, 4) * (1.5, 0.015, 0.015, 0.015)
    observed = recorded(
        atoms, rng, shape=(190, 170), source_size=1.1, rotation=turn, shear_x=shear,
        stretch_x=wide, stretch_y=high,
    )  # fmt: skip
    middle = (VACUUM + 0.5 * (float(atoms.cell[2, 2]) - 2 * VACUUM), 0.0)
    forward = StemConvolution(sampling=SAMPLING, shape=(130, 110), center=middle, **MICROSCOPE)
    metric = Registration(ssim="uint8-35", intensity="matched")
    return Case(name, atoms, observed, forward, metric, {**FREE, **SLIDES})


def starts(case: Case, count: int) -> Iterator[Any]:
    """The forward model at its own values, then at random ones near them."""
    rng = np.random.default_rng(1)
    yield case.forward
    for _ in range(count):
        scale, turn, *moves = rng.uniform(-1, 1, 4) * (SCALE, TURN, MOVE, MOVE)
        one: Any = case.forward
        yield replace(
            one,
            stretch_x=one.stretch_x + scale,
            stretch_y=one.stretch_y + scale,
            rotation=one.rotation + turn,
            shift_x=one.shift_x + moves[0] * one.pixel[1],
            shift_y=one.shift_y + moves[1] * one.pixel[0],
        )


def main() -> None:
    """Print for each image the figures of merit in order, their spread, and CPU seconds."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    names = sys.argv[2:] or [*REAL, *PLANTED]
    for name in names:
        case = real(name) if name in REAL else planted(name)
        costs, begun = [], time.process_time()
        for forward in starts(case, count):
            found = register(
                case.atoms, case.observed, forward=forward, metric=case.metric, free=case.free
            )
            costs.append(found.score.cost)
        spent = (time.process_time() - begun) / len(costs)
        listed = " ".join(f"{cost:.4f}" for cost in sorted(costs))
        print(f"{name}: spread {np.ptp(costs):.4f}, {spent:.0f} s each: {listed}", flush=True)


if __name__ == "__main__":
    main()
