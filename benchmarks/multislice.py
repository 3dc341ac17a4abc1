"""What a multislice image costs and how true it is: the demo's cell, thickness, memory.

python benchmarks/multislice.py     about eight minutes of one core

CPU seconds of one thread. Cheaper settings of the demo's image are compared with a dear one of
other phonons. A cell of 5 000 atoms is imaged in a process of its own, to see its peak memory.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from ase import Atoms

from htinvert.forward.stem_multislice import StemMultislice
from htinvert.structures.file import from_file

DEMO = Path(__file__).parents[1] / "htinvert" / "data" / "demo" / "truth.vasp"
A = 6.482  # Å, CdTe
Made = TypeVar("Made")


def timed(work: Callable[[], Made]) -> tuple[Made, float]:
    """What ``work`` returns, and its CPU time [s]."""
    start = time.process_time()
    made = work()
    return made, time.process_time() - start


def cadmium_telluride() -> Atoms:
    """One projected cell along [110], which is z, with the up direction y."""
    width = A / np.sqrt(2)
    positions = [
        *([0, 0, 0], [0, A / 4, width / 2]),
        *([width / 2, A / 2, width / 2], [width / 2, 3 * A / 4, 0]),
    ]
    return Atoms("CdTeCdTe", positions=positions, cell=[width, A, width], pbc=True)


def demo() -> None:
    """Cost of the demo's image and how far cheaper ones are from a converged one."""
    truth = from_file(DEMO)
    model = StemMultislice(
        sampling=0.22, shape=(120, 110), semiangle=25.0, inner=60.0, outer=100.0, thickness=60.0,
        rms_displacement=0.12, source_size=0.9,
    )  # fmt: skip
    print("demo, 120 x 110 px, 60 Å thick")
    reference, spent = timed(lambda: replace(model, phonons=4, seed=99)(truth).data)
    print(f"  reference, 4 other configurations at Nyquist: {spent:.0f} s")
    for phonons, step in ((4, 0.35), (2, 0.35), (1, 0.35)):
        cheaper = replace(model, phonons=phonons, scan_step=step)
        expected = cheaper.estimate(truth).seconds
        image, spent = timed(lambda made=cheaper: made(truth).data)  # type: ignore[misc]
        likeness = np.corrcoef(image.ravel(), reference.ravel())[0, 1]
        print(
            f"  {phonons} configurations, step {step or 'Nyquist'}: {spent:.0f} s "
            f"(offered {expected:.0f}), correlation {likeness:.4f}"
        )
    again = timed(lambda: replace(cheaper, source_size=1.1, shift_x=0.2)(truth))[1]
    print(f"  again with another source size and shift: {again:.3f} s")


def thickness() -> None:
    """Mean signal of CdTe [110] by thickness, and likeness with the convolution image."""
    crystal = cadmium_telluride()
    model = StemMultislice(
        sampling=A / 24, shape=(24, 17), beam="z", up="y", inner=60.0, outer=95.0, phonons=6,
        source_size=1.0,
    )  # fmt: skip
    simple = model.convolution(crystal).data.ravel()
    print("CdTe [110], 30 mrad, 60 to 95 mrad, source 1 Å: thickness [Å], mean, correlation")
    for depth in (9.0, 18.0, 37.0, 55.0, 73.0, 101.0):
        image = replace(model, thickness=depth)(crystal).data.ravel()
        print(f"  {depth:5.0f} {image.mean():.4f} {np.corrcoef(image, simple)[0, 1]:.4f}")


def large(limit: float) -> None:
    """A part of an image of 5 000 atoms, and the peak memory of this process."""
    crystal = cadmium_telluride().repeat((9, 6, 23))
    crystal.rattle(0.02, seed=0)
    model = StemMultislice(
        sampling=0.2, shape=(30, 30), beam="z", up="y", thickness=1.0, phonons=1, memory=limit
    )
    estimate, (_, spent) = model.estimate(crystal), timed(lambda: model(crystal))
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = float(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e9
    whole = replace(model, shape=(190, 200), phonons=4).estimate(crystal)
    print(f"  {len(crystal)} atoms, 6 x 6 Å of it: {estimate}")
    print(f"  took {spent:.0f} s, peak {peak:.2f} GB, limit {limit:g} GB; all of it: {whole}")


def main() -> None:
    """Print everything."""
    demo()
    thickness()
    print("memory")
    for limit in ("0.6", "2.0"):
        subprocess.run([sys.executable, __file__, limit], check=True)


if __name__ == "__main__":
    large(float(sys.argv[1])) if len(sys.argv) > 1 else main()
