"""Plant the data of `htinvert example joint`: a cluster's image by abTEM, G(r) by Debye's sum.

    python workflows/make_example_joint.py              # about a minute on one core
    python workflows/make_example_joint.py --scan x.npy # keep the multislice scan there, or use it

Pt12Cu26 on the sites of a truncated octahedron, relaxed by ASE's effective medium theory. Orders
of elements of low energy with as many Pt-Pt pairs in each of five shells but other columns are
found by annealing; that of the lowest energy is the pair twin, the next one the truth. The
image twin has the truth's atoms in every column in another order along the beam, [001]. The image
is a multislice HAADF scan (abTEM, one configuration of frozen phonons, 200 keV), blurred and
counted; G(r) is Debye's sum written out here, with form factors of XrayDB, and noise white in Q.
Nothing of ours simulates either.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import tifffile
from ase import Atoms
from ase.calculators.emt import EMT
from ase.cluster import Octahedron
from ase.io import write
from ase.optimize import BFGS
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from htinvert.geometry.congruent import cluster_distance

DATA = Path(__file__).parents[1] / "htinvert" / "data" / "examples" / "joint"
HEAVY, LIGHT, HEAVIES = "Pt", "Cu", 12
NEIGHBOR = 2.62  # Å, before it is relaxed
BOX, SAMPLING, SIDE = 13.0, 0.3, 40  # Å, Å/px, px
GRID = 0.07  # Å, of the multislice
SHIFT = (0.11, -0.07)  # Å, right and down, that nobody is told
DOSE = 60.0  # counts of the brightest pixel
BLUR = 0.35  # Å, of the source
QMIN, QMAX, STEP_Q = 0.8, 22.0, 0.01  # 1/Å
R = np.arange(1.6, 18.0001, 0.02)  # Å
U, QDAMP = 0.0065, 0.035  # Å² and 1/Å
NOISE = 0.08  # rms of G
Floats = NDArray[np.float64]


def sites() -> Floats:
    """Sites of the truncated octahedron of 38 atoms about the origin [Å], shape (38, 3)."""
    atoms = Octahedron("Cu", 4, cutoff=1)
    gaps = np.linalg.norm(atoms.positions[0] - atoms.positions[1:], axis=1).min()
    return np.asarray((atoms.positions - atoms.positions.mean(axis=0)) * NEIGHBOR / gaps)


def cluster(order: NDArray[np.bool_], places: Floats) -> Atoms:
    """The cluster with heavy atoms where ``order`` says so."""
    return Atoms([HEAVY if heavy else LIGHT for heavy in order], places)


def relaxed(atoms: Atoms) -> tuple[Atoms, float]:
    """In the nearest minimum of the energy, which is given [eV]."""
    found = atoms.copy()
    found.calc = EMT()
    BFGS(found, logfile=None).run(fmax=0.02, steps=200)
    energy = float(found.get_potential_energy())
    found.calc = None
    found.positions -= found.positions.mean(axis=0)
    return found, energy


class Shells:
    """Counts of heavy pairs in each of five shells of neighbors."""

    def __init__(self, places: Floats) -> None:
        gaps = np.linalg.norm(places[:, None] - places[None], axis=-1)
        lengths = np.sqrt(np.arange(1, 6)) * NEIGHBOR
        self.pairs = np.array([0.5 * (np.abs(gaps - length) < 0.1) for length in lengths])

    def counts(self, order: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Of heavy pairs, shape (5,)."""
        chosen = np.flatnonzero(order)
        return np.rint(self.pairs[:, chosen][:, :, chosen].sum(axis=(1, 2))).astype(int)


def annealed(start: NDArray[np.bool_], cost, heats: Floats, rng: np.random.Generator):  # type: ignore[no-untyped-def]
    """An order of low cost by exchanges of unlike atoms, cooled along ``heats``."""
    order, value = start.copy(), cost(start)
    for heat in heats:
        i, j = rng.choice(np.flatnonzero(order)), rng.choice(np.flatnonzero(~order))
        order[[i, j]] = order[[j, i]]
        new = cost(order)
        if new > value and rng.random() >= np.exp((value - new) / max(heat, 1e-12)):
            order[[i, j]] = order[[j, i]]
        else:
            value = new
        if value == 0.0:
            break
    return order, value


def columns_of(places: Floats) -> NDArray[np.int64]:
    """Number of the column along z of each site."""
    return np.unique(np.round(places[:, :2], 1), axis=0, return_inverse=True)[1].ravel()


def planted(seed: int = 4) -> dict[str, tuple[Atoms, float]]:
    """The truth and its twins, relaxed, with their energies [eV]."""
    rng = np.random.default_rng(seed)
    places = sites()
    shells, columns = Shells(places), columns_of(places)
    random = rng.permutation(np.arange(len(places)) < HEAVIES)

    def energy(order: NDArray[np.bool_]) -> float:
        atoms = cluster(order, places)
        atoms.calc = EMT()
        return float(atoms.get_potential_energy())

    rivals: list[NDArray[np.bool_]] = []
    while not rivals:  # of the very lowest there is none
        low, _ = annealed(rng.permutation(random), energy, np.geomspace(1.0, 0.2, 200), rng)
        wanted = shells.counts(low)

        def unlike(order: NDArray[np.bool_], wanted: NDArray[np.int64] = wanted) -> float:
            return float(((shells.counts(order) - wanted) ** 2).sum())

        for _ in range(12):
            order, left = annealed(rng.permutation(low), unlike, np.geomspace(8.0, 0.3, 4000), rng)
            apart = cluster_distance(cluster(order, places), cluster(low, places))
            if left == 0.0 and apart > 0.1:
                rivals.append(order)
    found = [(order, relaxed(cluster(order, places))) for order in (low, *rivals)]
    found.sort(key=lambda pair: pair[1][1])
    twin, truth = found[0][1], found[1][0]
    best = None
    for _ in range(400):
        other = truth.copy()
        for column in np.unique(columns):
            inside = np.flatnonzero(columns == column)
            other[inside] = rng.permutation(other[inside])
        gap = float(np.abs(shells.counts(other) - shells.counts(truth)).sum())
        if best is None or gap > best[0]:
            best = gap, other
    assert best is not None  # noqa: S101
    return {
        "answer": relaxed(cluster(truth, places)),
        "twin-pair": twin,
        "twin-image": relaxed(cluster(best[1], places)),
    }


def scan(atoms: Atoms) -> Floats:
    """HAADF image as a fraction of the beam by multislice; x to the right, y down, beam along z."""
    import abtem

    boxed = atoms.copy()
    boxed.set_cell([BOX, BOX, BOX])
    boxed.positions += 0.5 * BOX
    phonons = abtem.FrozenPhonons(boxed, num_configs=1, sigmas=0.08, seed=5)
    potential = abtem.Potential(phonons, sampling=GRID, slice_thickness=2.0)
    probe = abtem.Probe(energy=200e3, semiangle_cutoff=22.0, defocus=20.0)
    middle, half = 0.5 * BOX, 0.5 * (SIDE - 1) * SAMPLING
    start = (middle - SHIFT[0] - half, middle - SHIFT[1] - half)
    grid = abtem.GridScan(
        start=start,
        end=(start[0] + SIDE * SAMPLING, start[1] + SIDE * SAMPLING),
        gpts=(SIDE, SIDE),
        endpoint=False,
    )
    detector = abtem.AnnularDetector(inner=50.0, outer=80.0)
    measured = probe.scan(potential, scan=grid, detectors=detector).compute(progress_bar=False)
    return np.asarray(measured.array, dtype=float).T  # rows are y


def counted(image: Floats, *, seed: int) -> Floats:
    """The image blurred by the source, with the noise of counts."""
    blurred = gaussian_filter(image, BLUR / 2.355 / SAMPLING)
    counts = np.random.default_rng(seed).poisson(blurred / blurred.max() * DOSE)
    return np.asarray(counts / DOSE)


def debye(atoms: Atoms) -> Floats:
    """F(Q) by Debye's sum, shape (n,)."""
    import xraydb

    q = np.arange(QMIN, QMAX + 0.5 * STEP_Q, STEP_Q)
    factors = {s: np.asarray(xraydb.f0(s, q / (4.0 * np.pi))) for s in set(atoms.symbols)}
    mean = np.mean([factors[s] for s in atoms.symbols], axis=0)
    found = np.zeros(len(q))
    for i, one in enumerate(atoms.symbols):
        for j, other in enumerate(atoms.symbols):
            if i != j:
                r = np.linalg.norm(atoms.positions[i] - atoms.positions[j])
                found += factors[one] * factors[other] * np.sin(q * r) / r
    return np.asarray(found * np.exp(-U * q**2) / (len(atoms) * mean**2))


def curve(f: Floats, *, seed: int) -> Floats:
    """G(r) with noise that is white in Q, 8 % of its root mean square."""
    q = np.arange(QMIN, QMAX + 0.5 * STEP_Q, STEP_Q)
    waves = np.sin(q[:, None] * R) * np.exp(-0.5 * (QDAMP * R) ** 2)

    def transformed(values: Floats) -> Floats:
        return np.asarray(2.0 / np.pi * np.trapezoid(values[:, None] * waves, dx=STEP_Q, axis=0))

    g = transformed(f)
    noise = transformed(np.random.default_rng(seed).normal(size=len(q)))
    return np.asarray(g + NOISE * np.sqrt(np.mean(g**2) / np.mean(noise**2)) * noise)


def write_data(folder: Path, image: Floats, g: Floats) -> None:
    """``image.tif`` and ``particle.gr``."""
    tifffile.imwrite(folder / "image.tif", image.astype(np.float32))
    header = f"planted, Debye's sum with XrayDB\nmode = xray\nqmin = {QMIN}\nqmax = {QMAX}\n"
    header += f"qdamp = {QDAMP}\n#### start data\nL r(A) G(1/A^2)"
    np.savetxt(folder / "particle.gr", np.c_[R, g], fmt="%.4f", header=header)


def main() -> None:
    """Write the structures and the data."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scan", type=Path)
    parser.add_argument("--out", type=Path, default=DATA)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    found = planted()
    shells = Shells(sites())
    for name, (atoms, energy) in found.items():
        heavy = np.asarray(atoms.symbols == HEAVY)
        print(name, f"{energy:.3f} eV, heavy pairs {shells.counts(heavy).tolist()}")
        write(asked.out / f"{name}.xyz", atoms)
    order = np.random.default_rng(11).permutation(np.arange(38) < HEAVIES)
    write(asked.out / "start.xyz", cluster(order, sites()))
    truth = found["answer"][0]
    if asked.scan and asked.scan.exists():
        image = np.load(asked.scan)
    else:
        image = scan(truth)
        if asked.scan:
            np.save(asked.scan, image)
    write_data(asked.out, counted(image, seed=7), curve(debye(truth), seed=7))


if __name__ == "__main__":
    main()
