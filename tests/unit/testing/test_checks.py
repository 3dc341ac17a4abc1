"""The shipped checks notice what is wrong and say it: each of these breaks a promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from htinvert.core import Candidate, Relaxation, Score, Signal
from htinvert.declaration.declared import KnownAnswer
from htinvert.energy.lennard_jones import LennardJones
from htinvert.energy.offer import SinglePoint
from htinvert.forward.scene import Scene
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.generators.random import Random
from htinvert.metrics.correlation import Correlation
from htinvert.testing.conformance import NotConforming
from htinvert.testing.energy import check_energy
from htinvert.testing.forward import check_answer, check_documented, check_forward
from htinvert.testing.generator import check_generator
from htinvert.testing.metric import check_metric
from htinvert.testing.structure import check_structure

CRYSTAL = bulk("CdTe", "zincblende", a=6.48, cubic=True)
CLUSTER = Atoms("Xe4", positions=[(0, 0, 0), (1.5, 0, 0.3), (0.7, 1.4, 0), (0.7, 0.5, 1.3)])
OBSERVED = StemConvolution(sampling=0.3, shape=(40, 40), rotation=20.0)(CRYSTAL)
MODEL = StemConvolution(sampling=0.3, shape=(12, 14))


# Energy models.


@dataclass(frozen=True)
class Springs:
    """Atoms on springs to where a lattice has them; ``wrong`` says what is wrong."""

    wrong: str = ""
    fmax: float = 0.05

    def single_point(self, atoms: Atoms) -> SinglePoint:
        pairs = atoms.get_all_distances(mic=True, vector=True)
        energy = 0.25 * float((pairs**2).sum())
        force = -pairs.sum(axis=0)
        if self.wrong == "slope":
            force = force * 1.1
        if self.wrong == "origin":
            energy += round(float(atoms.positions[0, 2]))
        return SinglePoint(energy, force)

    def __call__(self, atoms: Atoms) -> Relaxation:
        if self.wrong == "given":
            atoms.positions += 0.01
        relaxed = atoms.copy()
        if self.wrong == "held":
            relaxed.positions *= 0.99
        else:
            relaxed.positions[1:] += 0.001 * self.single_point(atoms).forces[1:]
        energy = np.nan if self.wrong == "nan" else self.single_point(relaxed).energy
        return Relaxation(relaxed, energy, True, 1)


SPRINGS = Atoms("Cu3", positions=[(5.5, 5, 5), (5, 6, 5), (5, 5, 7)], cell=[12, 12, 12])


def test_models_that_keep_their_promises_pass() -> None:
    check_energy(LennardJones(sigma=1.3), CLUSTER)
    check_energy(Springs(), SPRINGS)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("slope", "the energy's slope says"),
        ("origin", "for the same structure shifted, turned"),
        ("given", "moves the atoms that it is given"),
        ("held", "moves an atom that FixAtoms holds"),
        ("nan", "its energy is nan"),
    ],
)
def test_an_engine_that_is_wrong_is_told_so(wrong: str, sentence: str) -> None:
    with pytest.raises(NotConforming, match=sentence):
        check_energy(Springs(wrong), SPRINGS)


# Forward models.


@dataclass(frozen=True, kw_only=True)
class Spots(Scene):
    """A bright pixel for each atom; ``wrong`` says what is wrong.

    Args:
        glow: of a spot [counts].
        tint: does nothing [1].
    """

    wrong: str = ""
    glow: float = 1.0
    tint: float = 1.0

    def __call__(self, atoms: Atoms) -> Signal:
        if self.wrong == "given":
            atoms.wrap()
            atoms.positions += 0.1
        image = np.zeros(self.shape or (1, 1))
        for place, number in zip(
            self.view(atoms).pixels(atoms.positions), atoms.numbers, strict=True
        ):
            row, column = np.rint(place).astype(int) % image.shape
            if self.wrong == "last":  # drawn wins
                image[5, 5] = number
            else:
                image[row, column] += self.glow * number
        if self.wrong == "nan":
            image[0, 0] = np.nan
        return Signal.image(image, (0.1, 0.1) if self.wrong == "axes" else self.pixel)


PARAMETERS: dict[str, object] = {}
SPOTS = Spots(sampling=0.3, shape=(12, 14))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("given", "changes the atoms"),
        ("nan", "values that are no numbers"),
        ("axes", "its axes step"),
        ("last", "has its atoms in another order"),
    ],
)
def test_a_forward_model_that_is_wrong_is_told_so(wrong: str, sentence: str) -> None:
    crowded = Atoms("CdTe", positions=[[1, 1, 1], [2, 1, 1]], cell=[6, 6, 6])
    with pytest.raises(NotConforming, match=sentence):
        check_forward(replace(SPOTS, wrong=wrong), crowded)


def test_what_may_be_fitted_must_be_declared_and_matter() -> None:
    check_forward(MODEL, CRYSTAL, free=["source_size"])
    with pytest.raises(NotConforming, match="tint may be fitted but declares no unit and bounds"):
        check_forward(SPOTS, Atoms("Cd", positions=[[1, 1, 1]], cell=[6, 6, 6]), free=["tint"])
    with pytest.raises(NotConforming, match="interface changes nothing in the signal"):
        check_forward(MODEL, CRYSTAL, free=["interface"])  # without a width


def test_a_number_without_bounds_and_a_wrong_answer_are_named() -> None:
    with pytest.raises(NotConforming, match="declares no unit and bounds"):
        check_documented(Spots)
    answer = KnownAnswer(
        "sum", "a table", {"sampling": 0.3, "shape": (12, 14)}, lambda: CRYSTAL,
        lambda image: float(image.data.sum()), -1.0, 0.1,
    )  # fmt: skip
    with pytest.raises(NotConforming, match=r"sum is .*, not -1 ± 0.1, known from a table"):
        check_answer(StemConvolution, answer)


# Metrics.


@dataclass(frozen=True)
class Distance:
    """Mean squared difference plus something wrong."""

    offset: float = 0.0
    sign: float = 1.0

    def __call__(self, simulated: Signal, observed: Signal) -> Score:
        square = float(((simulated.data - observed.data) ** 2).mean())
        return Score(self.offset + self.sign * square / float(observed.data.var()))


def test_a_metric_that_is_wrong_is_told_so() -> None:
    check_metric(Correlation(), OBSERVED)
    with pytest.raises(NotConforming, match="identical signals cost 0.5, not 0"):
        check_metric(Distance(offset=0.5), OBSERVED)
    with pytest.raises(NotConforming, match="a cost is 0 or more"):
        check_metric(Distance(sign=-1.0), OBSERVED)
    with pytest.raises(NotConforming, match="a signal with nan costs nan"):
        check_metric(Distance(), OBSERVED)
    with pytest.raises(NotConforming, match="cannot be sent to a worker"):
        check_metric(lambda simulated, observed: Score(0.0), OBSERVED)


# Generators.


@dataclass
class Careless(Random):
    """Random structures with something wrong."""

    wrong: str = ""
    dice: np.random.Generator = field(default_factory=np.random.default_rng)

    def ask(self, indices: Sequence[int]) -> list[Candidate]:
        candidates = super().ask(indices)
        for number, candidate in enumerate(candidates):
            if self.wrong == "dice":
                candidate.atoms.positions[-1] += 1e-9 * self.dice.random(3)
            elif self.wrong == "close":
                candidate.atoms.positions[-1] = candidate.atoms.positions[-2] + [0, 0, 0.1]
            elif self.wrong == "host":
                candidate.atoms.set_tags(0)
            elif self.wrong == "index":
                candidates[number] = replace(candidate, index=7)
            elif self.wrong == "parents":
                candidates[number] = replace(candidate, parents=(candidate.index,))
        return candidates

    def state(self) -> object:
        return object() if self.wrong == "state" else None


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("dice", "is another when the same history is told again"),
        ("close", "closer than the 2 Å allowed"),
        ("host", "has another host"),
        ("index", "it was asked for 5 to 34 and proposes"),
        ("parents", "has the parents"),
        ("state", "its state is no plain values"),
    ],
)
def test_a_generator_that_is_wrong_is_told_so(wrong: str, sentence: str) -> None:
    with pytest.raises(NotConforming, match=sentence):
        check_generator(partial(Careless, wrong=wrong))


# Structures.


def wrongly(**changes: object) -> Atoms:
    atoms = CRYSTAL.copy()
    for name, value in changes.items():
        setattr(atoms, name, value)
    return atoms


@pytest.mark.parametrize(
    ("atoms", "sentence"),
    [
        (wrongly(positions=np.zeros((8, 3))), "two atoms are 0 Å apart"),
        (wrongly(positions=np.full((8, 3), np.nan)), "positions that are no numbers"),
        (Atoms("H", pbc=True), "it is periodic along"),
        (Atoms("H", tags=[3]), "it has the tags"),
    ],
)
def test_a_structure_that_is_wrong_is_told_so(atoms: Atoms, sentence: str) -> None:
    with pytest.raises(NotConforming, match=sentence):
        check_structure(atoms.copy)


def test_a_structure_of_chance_is_told_from_one_with_a_seed() -> None:
    rng = np.random.default_rng(0)

    def build() -> Atoms:
        atoms = CRYSTAL.copy()
        atoms.positions += 0.01 * rng.random(atoms.positions.shape)
        return atoms

    with pytest.raises(NotConforming, match="built twice, it is another structure"):
        check_structure(build)
