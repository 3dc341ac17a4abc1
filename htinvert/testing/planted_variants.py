"""Many small boundaries with a known answer that look alike: does a claimed set hold the truth?

Each problem holds some two dozen variants of twin boundaries in CdTe (atoms missing, replaced by
another element, exchanged with a neighbor), of which one is planted: the lowest in energy by a
bond-order potential at chemical potentials drawn at random. It is imaged with another source size,
spherical aberration, defocus, probe and detector than the search has, sheared, stretched, jittered
by row and counted with Poisson noise. The search relaxes all of them by Stillinger-Weber, fits its
own source size and ranks.

Another kind of problem, on which nothing was tuned, are tilt boundaries in copper (:func:`metals`):
one element, embedded-atom potentials, grains that are shifted and atoms that are missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ase import Atoms

from htinvert.core import (
    Candidate,
    Channel,
    Evaluation,
    EvaluationFailed,
    Objective,
    Relaxation,
    Signal,
)
from htinvert.energy.accuracy import POTENTIAL
from htinvert.energy.lammps import Lammps
from htinvert.evaluation.fit import adjusted, fit, score
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.geometry.known import Known
from htinvert.geometry.roles import region_mask
from htinvert.metrics.registration import Registration
from htinvert.ranking.confidence import claim
from htinvert.ranking.evidence import gather
from htinvert.ranking.rank import Ranked, rank
from htinvert.signals.seen import see
from htinvert.testing.planted import (
    BULK,
    METAL,
    Planted,
    other_phase,
    space,
    substituted_column,
    tilt,
    vacancy_row,
)

SAMPLING = 0.24  # Å/px
SHAPE, FIELD = (72, 88), (92, 108)  # px, of the simulation and of the image
OBJECTIVES = (Objective("energy", 1.0), Objective("haadf.registration", 100.0))
KINDS, SIBLINGS = 4, 6  # of a problem; each kind has its siblings
CHANGES = 4  # most atoms in which a kind differs from its boundary
SWAPS = {"Cd": ("Te", "Se", ""), "Te": ("Cd", "Se", ""), "Se": ("Cd", "Te", "")}


@dataclass(frozen=True, eq=False)
class Variant:
    """A boundary as the planting potential relaxes it, and as the search's does, with energies."""

    truth: Relaxation
    found: Relaxation


@dataclass(frozen=True, eq=False)
class Problem:
    """An image, the variants it may show as the search has them, and which one it shows."""

    channel: Channel
    variants: list[Variant]
    planted: int
    potentials: dict[str, float]


def library(size: int, seed: int = 1) -> list[list[Variant]]:
    """Boundaries relaxed by both potentials, each with siblings; what does not survive is left out.

    Two atoms that change places make a sibling: in one column the image does not see it at all.
    """
    rng = np.random.default_rng(seed)
    kinds = [vacancy_row(), substituted_column(), other_phase()]
    kinds = [replace(kind, truth=kind.truth.repeat((2, 1, 1))) for kind in kinds]
    found: list[list[Variant]] = []
    while len(found) < size:
        planted = kinds[int(rng.integers(len(kinds)))]
        first = _varied(space(planted, planted.truth).template, rng)
        atoms = [first, *(_exchanged(first, rng) for _ in range(SIBLINGS - 1))]
        pairs = [relaxed for each in atoms if (relaxed := _relaxed(each, planted))]
        if pairs:
            found.append(pairs)
    return found


def metals(size: int, seed: int = 1) -> list[list[Variant]]:
    """Tilt boundaries in copper relaxed by both potentials, each with siblings.

    Grains are shifted and apart as it comes; siblings have as many atoms missing, but other ones.
    """
    rng = np.random.default_rng([13, seed])
    found: list[list[Variant]] = []
    while len(found) < size:
        planted = _tilted(rng)
        template = space(planted, planted.truth).template
        count = int(rng.integers(CHANGES + 1))
        atoms = [_holed(template, count, rng) for _ in range(SIBLINGS)]
        pairs = [relaxed for each in atoms if (relaxed := _relaxed(each, planted))]
        if pairs:
            found.append(pairs)
    return found


def _tilted(rng: np.random.Generator) -> Planted:
    """A tilt boundary whose upper grain is shifted, 2 cells deep along the beam."""
    truth = tilt(planes=18, gap=float(rng.uniform(0.0, 0.8))).repeat((2, 1, 1))
    middle = 0.5 * float(truth.cell[2, 2])
    upper = truth.positions[:, 2] > middle + 0.1
    truth.positions[upper, 1] += rng.uniform(0.0, float(truth.cell[1, 1]))
    truth.wrap()
    region = {"lower": middle - 1.6, "upper": middle + 1.6, "margin": 4.0, "axis": "z"}
    inside = int((np.abs(truth.positions[:, 2] - middle) <= 1.6).sum())
    return Planted(truth, region, {"Cu": (inside - CHANGES, inside)}, METAL)


def _holed(template: Atoms, count: int, rng: np.random.Generator) -> Atoms:
    """The same without so many of the region's atoms."""
    lost = rng.choice(np.flatnonzero(region_mask(template)), size=count, replace=False)
    return template[np.setdiff1d(np.arange(len(template)), lost)]


def _relaxed(atoms: Atoms, planted: Planted) -> Variant | None:
    """A boundary by both potentials, where it is still the boundary that it was."""
    try:
        pair = [Lammps(Path(name), fmax=0.05, steps=300)(atoms) for name in planted.potentials]
    except EvaluationFailed:
        return None
    moved = max(float(np.abs(r.atoms.positions - atoms.positions).max()) for r in pair)
    return Variant(*pair) if moved < 1.5 else None  # Å


def _varied(template: Atoms, rng: np.random.Generator) -> Atoms:
    """Replace or remove a few of the region's atoms."""
    atoms = template.copy()
    region = np.flatnonzero(region_mask(atoms))
    count = min(int(rng.integers(CHANGES + 1)), len(region))
    lost = []
    for i in map(int, rng.choice(region, size=count, replace=False)):
        choice = SWAPS[atoms[i].symbol]
        symbol = choice[int(rng.integers(len(choice)))]
        if symbol:
            atoms[i].symbol = symbol
        else:
            lost.append(i)
    keep = np.ones(len(atoms), dtype=bool)
    keep[lost] = False
    return atoms[keep]


def _exchanged(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    """Let two unlike atoms of the region change places, half of the time of one column.

    The same structure where all atoms are alike.
    """
    changed = atoms.copy()
    region = np.flatnonzero(region_mask(atoms))
    pairs = [(i, j) for i in region for j in region if atoms.numbers[i] < atoms.numbers[j]]
    across = atoms.positions[:, 1:]
    column = [(i, j) for i, j in pairs if np.linalg.norm(across[i] - across[j]) < 1.0]
    if column and rng.random() < 0.5:
        pairs = column
    if pairs:
        i, j = pairs[int(rng.integers(len(pairs)))]
        changed.positions[[i, j]] = atoms.positions[[j, i]]
    return changed


def problem(variants: list[list[Variant]], seed: int, *, stream: int = 7) -> Problem:
    """Choose some of a library, plant the one that is the lowest, and record its image.

    ``stream`` and ``seed`` choose the random numbers: other streams have nothing in common.
    """
    rng = np.random.default_rng([stream, seed])
    kinds = rng.choice(len(variants), size=KINDS, replace=False)
    chosen = [variant for kind in kinds for variant in variants[kind]]
    shift = float(rng.uniform(-0.4, 0.4))  # eV, from Te-poor to Te-rich
    moved = {"Te": shift, "Cd": -shift, "Cu": shift}
    potentials = BULK | {symbol: BULK[symbol] + by for symbol, by in moved.items()}
    planted = int(np.argmin([_energy(v.truth, potentials) for v in chosen]))
    truth = chosen[planted].truth.atoms
    center = (0.5 * float(truth.cell[2, 2]), 0.5 * float(truth.cell[1, 1]))
    model = StemConvolution(
        sampling=SAMPLING, shape=SHAPE, center=center, semiangle=25.0, inner=60.0, outer=100.0
    )
    observed = record(truth, replace(model, shape=FIELD), rng)
    channel = Channel(
        "haadf", observed, model, {"registration": Registration(alpha=0.0)},
        {"source_size": (0.5, 2.5)},
    )  # fmt: skip
    return Problem(channel, chosen, planted, potentials)


def record(truth: Atoms, model: StemConvolution, rng: np.random.Generator) -> Signal:
    """Image a truth as another microscope would, with a scan's faults and Poisson noise."""
    scope = replace(
        model,
        semiangle=float(rng.uniform(20.0, 28.0)),
        inner=float(rng.uniform(50.0, 90.0)),
        outer=200.0,
        source_size=float(rng.uniform(0.8, 1.6)),
        defocus=float(rng.uniform(-40.0, 40.0)),
        spherical_aberration=float(rng.uniform(0.0, 2e5)),
        shear_x=float(rng.normal(0.0, 0.004)),
        stretch_y=float(rng.normal(0.0, 0.004)),
        shift_x=float(rng.uniform(-0.5, 0.5)),
        shift_y=float(rng.uniform(-0.5, 0.5)),
    )
    clean = scope(truth).data.astype(float)
    rows = [
        np.interp(np.arange(len(row)) + rng.normal(0.0, 0.3), np.arange(len(row)), row)
        for row in clean
    ]
    dose = float(rng.uniform(2.0, 60.0))  # electrons at the brightest pixel
    counts = rng.poisson(np.clip(rows, 0.0, None) / clean.max() * dose)
    return Signal.image(counts.astype(float), SAMPLING)


def evaluate_variants(given: Problem) -> list[Evaluation]:
    """Evaluate all variants as a campaign does: the imaging fitted once, then held."""
    parameters = fit(given.channel, given.variants[0].found.atoms).parameters
    held = replace(given.channel, forward=adjusted(given.channel.forward, parameters), free={})
    evaluations = []
    for index, variant in enumerate(given.variants):
        atoms = variant.found.atoms
        scores = score(held, held.forward, atoms)
        objectives = {
            "energy": _energy(variant.found, given.potentials),
            "haadf.registration": scores["registration"].cost,
        }
        evaluations.append(
            Evaluation(
                Candidate(index, atoms, "library"),
                variant.found,
                objectives=objectives,
                parameters={"haadf": parameters},
            )
        )
    return evaluations


def _energy(relaxation: Relaxation, potentials: dict[str, float]) -> float:
    """Energy less the chemical potentials [eV]."""
    symbols = relaxation.atoms.get_chemical_symbols()
    return relaxation.energy - sum(potentials[symbol] for symbol in symbols)


def claimed(given: Problem, level: float = 0.9) -> tuple[bool, int, int]:
    """Whether the set holds the truth, how many families it holds, and the truth's rank."""
    evaluations = evaluate_variants(given)
    ranked = rank(evaluations, OBJECTIVES)
    held = replace(given.channel, free={})
    seen = [
        {"haadf": see(held, r.evaluation.atoms, dict(r.evaluation.parameters["haadf"]))}
        for r in ranked
    ]
    found = claim(gather(ranked, seen, OBJECTIVES, engine=POTENTIAL), level=level)
    place = _family_of(given.planted, ranked, evaluations)
    return bool(found.inside[place]), int(found.inside.sum()), place + 1


def _family_of(planted: int, ranked: list[Ranked], evaluations: list[Evaluation]) -> int:
    """Place of the family that a candidate belongs to; mirror images and repeats are one."""
    known = Known.families()
    for entry in ranked:
        known.add(entry.evaluation.atoms)
    place = known.find(evaluations[planted].atoms)
    assert place is not None  # noqa: S101  (ranking has put every candidate into a family)
    return place


def coverage(
    problems: int,
    size: int,
    level: float = 0.9,
    *,
    make: Callable[[int, int], list[list[Variant]]] = library,
    seed: int = 1,
    stream: int = 7,
) -> tuple[float, Counter[int], float]:
    """Share of problems whose set holds the truth, sizes of the sets, share where it is rank 1.

    ``make`` is :func:`library` or :func:`metals`, called with ``size`` and ``seed``; ``stream`` is
    that of :func:`problem`.
    """
    variants = make(size, seed)
    sizes: Counter[int] = Counter()
    held, first = 0, 0
    for number in range(problems):
        inside, count, place = claimed(problem(variants, number, stream=stream), level)
        held += inside
        first += place == 1
        sizes[count] += 1
    return held / problems, sizes, first / problems
