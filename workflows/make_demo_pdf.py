"""Plant the G(r) of ``htinvert demo pdf``: Debye's sum by ase.utils.xrdebye, another program.

The particle is the octahedron of 19 atoms in its Lennard-Jones minimum. Gold stands in for any
element, for the factors of one cancel in G(r); the program takes 79 without its Iwasa method.
Noise: 10 % of G rms, correlated over 0.08 Å.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.cluster import Octahedron
from ase.io import write
from ase.utils.xrdebye import XrDebye

from htinvert.energy.lennard_jones import LennardJones

U, STEP = 0.01, 0.02  # Å², Å


def main() -> None:
    """Write ``truth.xyz`` and ``experiment.gr`` to a folder."""
    folder = Path(sys.argv[1])
    seed = Octahedron("Au", 3)
    atoms = Atoms(f"Xe{len(seed)}", positions=seed.positions * 2.806 / 2.885)
    relaxed = LennardJones(epsilon=1.0, sigma=2.5)(atoms)
    print(f"energy {relaxed.energy:.4f}, {relaxed.steps} steps")
    write(folder / "truth.xyz", relaxed.atoms)
    stand_in = Atoms(f"Au{len(seed)}", positions=relaxed.atoms.positions)
    debye = XrDebye(stand_in, wavelength=0.5, damping=0.0, method=None, alpha=1.0, warn=False)
    q = np.arange(1.0, 20.0001, 0.02)
    intensity = np.array([debye.get(s) for s in q / (2 * np.pi)])
    f = q * (intensity / 79.0**2 / len(seed) - 1.0) * np.exp(-U * q**2)
    r = np.arange(1.0, 11.001, STEP)
    g = 2 / np.pi * np.trapezoid(f[:, None] * np.sin(q[:, None] * r), q, axis=0)
    kernel = np.exp(-0.5 * (np.arange(-20, 21) * STEP / 0.08) ** 2)
    noise = np.convolve(np.random.default_rng(7).normal(size=len(r) + 200), kernel, "same")
    noise = noise[100 : 100 + len(r)]
    g += 0.1 * np.sqrt(np.mean(g**2) / np.mean(noise**2)) * noise
    header = "planted, by ase.utils.xrdebye\nmode = xray\nqmin = 1.0\nqmax = 20.0\nL r(A) G(A^-2)"
    np.savetxt(folder / "experiment.gr", np.c_[r, g], fmt="%.5f", header=header)


if __name__ == "__main__":
    main()
