"""How often the stated errors of a registration hold the truth: planted multislice images.

python benchmarks/intervals.py [IMAGES [FIRST]]     40 images, some five minutes of one core

Boundaries whose upper grain has slid, imaged by multislice with frozen phonons, distorted by up to
3 %, 3 degrees and a shear of 0.02, with scan noise and counted electrons; the convolution model
fits them. For each parameter the share of images whose value lies within one standard error, among
those in which it is not said to be undetermined or to take up what the model leaves out.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import Any

import numpy as np
from ase import Atoms
from capture import MICROSCOPE, SAMPLING, SLIDES, recorded

from htinvert.forward.stem_convolution import StemConvolution
from htinvert.image.register import FREE, Registered, register
from htinvert.metrics.registration import Registration
from htinvert.testing.planted import VACUUM, stacked

NAMES = ("stretch_x", "stretch_y", "rotation", "shear_x", "source_size", "interface_shift")
PHONONS = 32  # one scan for all images of a structure: few would be an error that they share
BOUNDARIES = {  # structure, how far its upper grain has slid [Å]
    "CdTe": (stacked("ABCABCACBACBA"), 0.4),
    "Si": (stacked("ABCABCACBACBA", cation="Si", anion="Si", a=5.431), -0.3),
}


def image(number: int) -> tuple[Atoms, Any, dict[str, float]]:
    """A structure, its planted image, and what was planted."""
    rng = np.random.default_rng(100 + number)
    atoms, slide = list(BOUNDARIES.values())[number % len(BOUNDARIES)]
    scale, across = rng.uniform(-0.03, 0.03), rng.uniform(-0.01, 0.01)
    truth = {
        "stretch_x": scale + across,
        "stretch_y": scale - across,
        "rotation": rng.uniform(-3.0, 3.0),
        "shear_x": rng.uniform(-0.02, 0.02),
        "source_size": rng.uniform(0.9, 1.4),
        "interface_shift": slide,
    }
    observed = recorded(atoms, rng, shape=(150, 130), phonons=PHONONS, **truth)
    return atoms, observed, truth


def fitted(number: int) -> tuple[Registered, dict[str, float]]:
    """Register one of the images."""
    atoms, observed, truth = image(number)
    middle = (VACUUM + 0.5 * (float(atoms.cell[2, 2]) - 2 * VACUUM), 0.0)
    forward = StemConvolution(sampling=SAMPLING, shape=(100, 84), center=middle, **MICROSCOPE)
    metric = Registration(intensity="matched")
    found = register(
        atoms, observed, forward=replace(forward), metric=metric, free={**FREE, **SLIDES}
    )
    return found, truth


def main() -> None:
    """Print each image's deviations in standard errors, then the share within one."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    begun, ratios, named = time.process_time(), [], []
    print("deviation / standard error:", " ".join(NAMES))
    for number in range(first, first + count):
        found, truth = fitted(number)
        off = [(found.parameters[n] - truth[n]) / found.intervals[n] for n in NAMES]
        ratios.append(off)
        sure = found.certainties
        unsure = [n for n in NAMES if not sure[n].determined or sure[n].takes_up]
        named.append([n in unsure for n in NAMES])
        shown = " ".join(f"{value:6.2f}" for value in off)
        print(f"{number:3d} {shown}  named: {', '.join(unsure) or '-'}", flush=True)
    within = np.abs(ratios) <= 1.0
    for at, name in enumerate(NAMES):
        told = np.array(named)[:, at]
        plain = f"{np.mean(within[~told, at]):.0%} of {sum(~told)}" if not told.all() else "-"
        print(f"{name}: within one error {plain}; not determined or not alone in {sum(told)}")
    print(f"{(time.process_time() - begun) / count:.0f} s each")


if __name__ == "__main__":
    main()
