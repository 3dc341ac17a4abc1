"""Plant data of one structure by programs that are not ours: image, G(r) and EXAFS.

A cluster Cu60Pt15 (the decahedron of 75 atoms) and a boundary of copper with six platinum atoms,
each with rivals that some of the data cannot tell from it. Used by benchmarks/joint_planted.py,
which says what makes which datum; clean data are kept in a folder.
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import make_example_joint as planting
import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.cluster import Decahedron
from ase.geometry import get_duplicate_atoms
from ase.lattice.cubic import FaceCenteredCubic
from ase.optimize import BFGS
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from htinvert import plugins
from htinvert.campaign.likelihood import likelihood_of
from htinvert.config.weights import LikelihoodPart
from htinvert.core import Axis, Channel, Objective, Signal
from htinvert.evaluation.optimize import LEAST_SQUARES

PROBLEMS = ("cluster", "boundary")
OFF = 0.03  # Å, rms per axis: positions of the truth that no engine of ours has
SAMPLING, GRID = 0.3, 0.1  # Å
DOSE, SCATTERED = 60.0, 0.2  # counts of the brightest pixel; rms of noise in k^2 chi
PHONONS = 3
HEAVY = 6  # platinum atoms at the boundary
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Planted:
    """A candidate, relaxed, and its energy [eV]."""

    name: str
    atoms: Atoms
    energy: float


@dataclass(frozen=True, eq=False)
class Problem:
    """Candidates, the truth first, and clean data of it: counts, F(Q) (of a cluster), chi(k)."""

    candidates: list[Planted]
    image: Floats
    f: Floats | None
    chi: Floats
    exchangeable: Mapping[str, int]


def problem(what: str, folder: Path, draw: int = 0) -> Problem:
    """One of PROBLEMS, its truth's atoms put off by the draw of this number.

    The image is of the first draw: a scan takes minutes. Clean data are read from a folder, or made
    and kept there.
    """
    folder = folder / what
    folder.mkdir(parents=True, exist_ok=True)
    candidates = kept(folder / "candidates.pickle", CANDIDATES[what])
    candidates = [Planted(*row) for row in candidates]
    truth = misplaced(candidates[0].atoms, draw)
    size = (14.1, 14.1) if what == "cluster" else (float(truth.cell[0, 0]), 14.1)
    end = f"-{draw}" if draw else ""
    chi = kept(folder / f"chi{end}.pickle", lambda: absorption(truth, folder / f"feff{end}"))
    image = kept(folder / "image.pickle", lambda: scan(misplaced(candidates[0].atoms, 0), size))
    if what == "cluster":
        f = kept(folder / f"f{end}.pickle", lambda: planting.debye(truth))
    else:
        f = None
    return Problem(candidates, image, f, chi, Counter(truth.symbols[truth.get_tags() > 0]))


def misplaced(atoms: Atoms, draw: int) -> Atoms:
    """Off their places, as no engine of ours has them."""
    found = atoms.copy()
    found.positions += np.random.default_rng(3 + draw).normal(0.0, OFF, found.positions.shape)
    return found


def kept(path: Path, make):  # type: ignore[no-untyped-def]
    """What a file has, or what is made now and kept there."""
    if not path.exists():
        path.write_bytes(pickle.dumps(make()))
    return pickle.loads(path.read_bytes())  # noqa: S301  (our own)


def relaxed(name: str, atoms: Atoms) -> tuple[str, Atoms, float]:
    """In the nearest minimum of the energy."""
    found = atoms.copy()
    found.calc = EMT()
    BFGS(found, logfile=None).run(fmax=0.03, steps=150)
    energy = float(found.get_potential_energy())
    found.calc = None
    return name, found, energy


def exchanged(atoms: Atoms, count: int, rng: np.random.Generator) -> Atoms:
    """So many pairs of unlike atoms of tag 1 exchanged."""
    found, free = atoms.copy(), atoms.get_tags() == 1
    heavy = atoms.symbols == "Pt"
    found.symbols[rng.choice(np.flatnonzero(heavy & free), count, replace=False)] = "Cu"
    found.symbols[rng.choice(np.flatnonzero(~heavy & free), count, replace=False)] = "Pt"
    return found


def shuffled(atoms: Atoms, width: float, rng: np.random.Generator) -> Atoms:
    """The same elements in every column along z, in another order, heavy ones as far as may be."""
    columns = np.unique(np.round(atoms.positions[:, :2] / width), axis=0, return_inverse=True)[1]

    def heavy_gaps(one: Atoms) -> Floats:
        return np.sort(one[one.symbols == "Pt"].get_all_distances(mic=True).ravel())[:60]

    found = []
    for _ in range(60):
        other = atoms.copy()
        for column in np.unique(columns):
            inside = np.flatnonzero((columns.ravel() == column) & (atoms.get_tags() == 1))
            other.numbers[inside] = rng.permutation(other.numbers[inside])
        found.append(other)
    return max(found, key=lambda one: np.abs(heavy_gaps(one) - heavy_gaps(atoms)).max())


def pair_twin(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    """Another order with nearly as many pairs of heavy atoms at every distance."""
    gaps = atoms.get_all_distances()
    width = np.linspace(1.0, 11.0, 60)

    def pairs(heavy: NDArray[np.bool_]) -> Floats:
        inside = gaps[np.ix_(heavy, heavy)][np.triu_indices(int(heavy.sum()), 1)]
        return np.exp(-0.5 * ((width[:, None] - inside) / 0.1) ** 2).sum(axis=1)

    wanted = pairs(np.asarray(atoms.symbols == "Pt"))
    start = rng.permutation(np.asarray(atoms.symbols == "Pt"))
    cost = lambda order: float(((pairs(order) - wanted) ** 2).sum())  # noqa: E731
    order, _ = planting.annealed(start, cost, np.geomspace(50.0, 0.1, 6000), rng)
    found = atoms.copy()
    found.symbols[:] = np.where(order, "Pt", "Cu")
    return found


def clusters() -> list[tuple[str, Atoms, float]]:
    """The decahedron with its elements in an order of low energy, and rivals."""
    rng = np.random.default_rng(8)
    shape = Decahedron("Cu", 2, 2, 1)
    ball = bulk("Cu", "fcc", a=3.61, cubic=True).repeat(6)
    ball.positions -= ball.positions.mean(axis=0) + 0.9
    ball = ball[np.argsort(np.linalg.norm(ball.positions, axis=1))[:75]]
    heavy = rng.permutation(np.arange(75) < 15)

    def dressed(frame: Atoms, order: NDArray[np.bool_]) -> Atoms:
        made = Atoms(np.where(order, "Pt", "Cu"), frame.positions, tags=1, cell=[16.5] * 3)
        made.positions += 8.25 - made.positions.mean(axis=0)
        return made

    def energy(order: NDArray[np.bool_]) -> float:
        atoms = dressed(shape, order)
        atoms.calc = EMT()
        return float(atoms.get_potential_energy())

    low, _ = planting.annealed(heavy, energy, np.geomspace(1.0, 0.1, 250), rng)
    truth = dressed(shape, low)
    rivals = {"truth": truth, "column twin": shuffled(truth, 0.5, rng)}
    rivals |= {f"pair twin {n}": pair_twin(truth, rng) for n in (1, 2)}
    rivals |= {f"{n} exchanged": exchanged(truth, n, rng) for n in (1, 2, 4)}
    rivals["column twin, 2 exchanged"] = shuffled(exchanged(truth, 2, rng), 0.5, rng)
    rivals["random"] = dressed(shape, rng.permutation(low))
    rivals["fcc"] = dressed(ball, rng.permutation(low))
    return [relaxed(name, atoms) for name, atoms in rivals.items()]


def boundaries() -> list[tuple[str, Atoms, float]]:
    """Sigma 5 (310)[001] of copper with six platinum atoms, and rivals; the beam is [001]."""
    rng = np.random.default_rng(9)

    def grains(along: float, slid: float) -> Atoms:
        grain = FaceCenteredCubic("Cu", [[1, 3, 0], [-3, 1, 0], [0, 0, 1]], latticeconstant=3.6)
        step, depth = float(grain.cell[0, 0]), float(grain.cell[2, 2])
        grain = grain.repeat((2, 2, 1))
        length = float(grain.cell[1, 1])
        other = grain.copy()
        other.positions[:, 1] = 2.0 * length + 0.2 - other.positions[:, 1]
        other.positions += (along * step, 0.0, slid * depth)
        both = grain + other
        both.set_cell([2.0 * step, 2.0 * length + 0.4, depth])
        both.positions[:, 1] += 0.5 * both.cell[1, 1] - length - 0.1
        both.wrap()
        get_duplicate_atoms(both, cutoff=1.9, delete=True)
        both = both.repeat((1, 1, 3))
        both.set_tags((np.abs(both.positions[:, 1] - 0.5 * both.cell[1, 1]) < 3.0).astype(int))
        return relaxed("", both)[1]

    ways = [grains(along, slid) for along in (0.0, 0.2, 0.4) for slid in (0.0, 0.5)]
    frame, second = sorted(ways, key=lambda atoms: relaxed("", atoms)[2])[:2]
    start = frame.copy()
    near = np.flatnonzero(np.abs(frame.positions[:, 1] - 0.5 * frame.cell[1, 1]) < 1.8)
    start.symbols[rng.choice(near, HEAVY, replace=False)] = "Pt"
    rivals = {"truth": start}
    rivals |= {f"column twin {n}": shuffled(start, 0.3, rng) for n in (1, 2)}
    rivals |= {f"{n} exchanged": exchanged(start, n, rng) for n in (1, 2)}
    rivals |= {f"random {n}": exchanged(start, HEAVY, rng) for n in (1, 2)}
    there = np.flatnonzero(second.get_tags() == 1)
    rivals["slid"] = second
    second.symbols[rng.choice(there, HEAVY, replace=False)] = "Pt"
    return [relaxed(name, atoms) for name, atoms in rivals.items()]


CANDIDATES = {"cluster": clusters, "boundary": boundaries}


def scan(atoms: Atoms, size: tuple[float, float]) -> Floats:
    """Multislice HAADF about the middle of the cell; x to the right, y down, the beam along z."""
    import abtem

    if atoms.pbc.any():
        atoms = atoms.repeat((2, 1, 2))  # 22 Å thick
    counts = [round(length / SAMPLING) for length in size]
    middle = 0.5 * np.array([atoms.cell[0, 0], atoms.cell[1, 1]])
    if atoms.pbc.any():
        middle[0] *= 0.5
    start = middle - 0.5 * SAMPLING * (np.array(counts) - 1) - planting.SHIFT
    phonons = abtem.FrozenPhonons(atoms, num_configs=PHONONS, sigmas=0.08, seed=5)
    potential = abtem.Potential(phonons, sampling=GRID, slice_thickness=2.0)
    probe = abtem.Probe(energy=200e3, semiangle_cutoff=22.0, defocus=20.0)
    grid = abtem.GridScan(
        start=tuple(start),
        end=tuple(start + SAMPLING * np.array(counts)),
        gpts=tuple(counts),
        endpoint=False,
    )
    detector = abtem.AnnularDetector(inner=50.0, outer=80.0)
    measured = probe.scan(potential, scan=grid, detectors=detector).compute(progress_bar=False)
    return np.asarray(measured.array, dtype=float).T


def absorption(atoms: Atoms, folder: Path) -> Floats:
    """Wave numbers and chi(k) of platinum's L3 edge by FEFF8, mean of all absorbers, (2, n)."""
    from larch.xafs.feffrunner import feff8l

    total = []
    for absorber in np.flatnonzero(atoms.symbols == "Pt"):
        around = atoms.repeat([3 if p else 1 for p in atoms.pbc])
        first = absorber + (len(around) // 2 // len(atoms)) * len(atoms)
        gaps = around.positions - around.positions[first]
        near = [i for i in np.argsort(np.linalg.norm(gaps, axis=1)) if np.linalg.norm(gaps[i]) < 8]
        kinds = {"Cu": 1, "Pt": 2}
        lines = ["EDGE L3", "S02 0.9", "RPATH 5.5", "NLEG 4", "CRITERIA 4 2.5"]
        lines += ["SIG2 0.005", "POTENTIALS", "0 78 Pt", "1 29 Cu"]
        if any(around.symbols[i] == "Pt" for i in near[1:]):
            lines.append("2 78 Pt")
        lines.append("ATOMS")
        for i in near:
            x, y, z = gaps[i]
            lines.append(f"{x:.5f} {y:.5f} {z:.5f} {0 if i == first else kinds[around.symbols[i]]}")
        place = folder / str(absorber)
        place.mkdir(parents=True, exist_ok=True)
        (place / "feff.inp").write_text("\n".join([*lines, "END", ""]))
        feff8l("feff.inp", folder=str(place), verbose=False)
        total.append(np.loadtxt(place / "chi.dat", usecols=(0, 1)).T)
        print("FEFF8", absorber, flush=True)
    k = np.arange(1.5, 14.5, 0.05)
    return np.array([k, np.mean([np.interp(k, *one) for one in total], axis=0)])


def channels(one: Problem, seed: int, *, scattered: float = SCATTERED) -> list[Channel]:
    """Data with a draw of noise, ``scattered`` that of EXAFS, and the models that compare them."""
    rng = np.random.default_rng(seed)
    sharp = gaussian_filter(one.image, planting.BLUR / 2.355 / SAMPLING, mode="wrap")
    counts = rng.poisson(sharp / sharp.max() * DOSE) / DOSE
    observed = Signal.image(counts, SAMPLING)
    image = plugins.component(
        "forward", "stem_convolution", sampling=SAMPLING, shape=counts.shape, beam="-z", up="-y",
        semiangle=22.0, inner=50.0, outer=80.0, defocus=20.0,
    )  # fmt: skip
    free = {"source_size": (0.2, 2.0), "shift_x": (-0.5, 0.5), "shift_y": (-0.5, 0.5)}
    found = [Channel("image", observed, image, metric("correlation"), free)]
    if one.f is not None:
        g = Signal.curve(planting.R, planting.curve(one.f, seed=seed), name="r", unit="Å")
        pdf = plugins.component(
            "forward", "pdf", radiation="x-ray", qmin=planting.QMIN, qmax=planting.QMAX,
            qdamp=planting.QDAMP,
        )  # fmt: skip
        axis = Axis("r", "Å", float(planting.R[1] - planting.R[0]), float(planting.R[0]))
        pdf = type(pdf)(**{**vars(pdf), "axes": (axis,), "shape": planting.R.shape})
        free = {"u": (0.001, 0.05), "zoom": (0.97, 1.03)}
        found.append(Channel("G(r)", g, pdf, metric("rw"), free, LEAST_SQUARES))
    k, chi = one.chi
    noise = scattered * np.sqrt(np.mean((k**2 * chi) ** 2)) * rng.normal(size=k.size) / k**2
    exafs = plugins.component(
        "forward", "exafs", absorber="Pt", edge="L3", kmax=13.0, rmin=1.5, rmax=4.5
    )
    exafs, seen = exafs.reduced(Signal.curve(k, chi + noise, name="k", unit="1/Å"))
    free = {"e0": (-15.0, 15.0), "zoom": (0.97, 1.03), "sigma2": (0.001, 0.02)}
    found.append(Channel("exafs", seen, exafs, metric("rw"), free, LEAST_SQUARES))
    return found


def metric(name: str):  # type: ignore[no-untyped-def]
    """A metric by its name, as a channel has it."""
    return {name: plugins.component("metric", name)}


def worth(channel: Channel) -> Objective:
    """What the product takes a datum for."""
    (name,) = channel.metrics
    told, _ = likelihood_of(channel, name, LikelihoodPart())
    return Objective(f"{channel.name}.{name}", 1.0, told)
