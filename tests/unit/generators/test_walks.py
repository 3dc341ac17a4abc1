"""Walks: when they step, jump and exchange, whatever the scale of energies and lengths."""

import numpy as np
import pytest
from ase import Atoms

from htinvert.core import Candidate, Evaluation, Objective, Recipe, Relaxation, Space, UserError
from htinvert.energy.lennard_jones import LennardJones
from htinvert.evaluation.evaluate import evaluate
from htinvert.generators.basin_hopping import BasinHopping
from htinvert.generators.random import Random
from htinvert.generators.replica_exchange import ReplicaExchange
from htinvert.generators.walks import Changes, Walker, accepts

OBJECTIVES = (Objective("energy", 1.0),)


def cluster(number: int, *, scale: float = 1.0) -> Space:
    """A free cluster of atoms whose bonds are 2.8 Å times ``scale`` long."""
    box = Atoms(cell=[60.0 * scale] * 3, pbc=False)
    return Space(box, None, {"Xe": (number, number)}, {frozenset({"Xe"}): 1.96 * scale})


def walk(generator: BasinHopping | ReplicaExchange, count: int, recipe: Recipe) -> list[Evaluation]:
    done: list[Evaluation] = []
    for index in range(count):
        for candidate in generator.ask([index]):
            done.append(evaluate(candidate, recipe))
            generator.tell(done[-1:])
    return done


def found(index: int, atoms: Atoms, energy: float, operator: str = "random") -> Evaluation:
    candidate = Candidate(index, atoms, operator)
    return Evaluation(candidate, Relaxation(atoms, energy, True, 1), objectives={"energy": energy})


def test_basin_hopping_finds_the_icosahedron_and_the_double_icosahedron() -> None:
    """Northby, J. Chem. Phys. 87, 6166 (1987); the Cambridge Cluster Database."""
    for number, energy in ((13, -44.326801), (19, -72.659782)):
        hopping = BasinHopping(cluster(number), OBJECTIVES, 1)
        best = min(e.objectives["energy"] for e in walk(hopping, 60, Recipe(LennardJones())))
        assert best == pytest.approx(energy, abs=1e-5)  # epsilon


def test_a_walk_does_not_know_the_scale_of_its_energies() -> None:
    """A thousand times deeper wells give the same walk, to rounding."""
    last = []
    for epsilon in (1.0, 1000.0):
        recipe = Recipe(LennardJones(epsilon=epsilon, fmax=1e-3 * epsilon))
        hopping = BasinHopping(cluster(9), OBJECTIVES, 3, heat=0.3)
        last.append([e.relaxation.energy / epsilon for e in walk(hopping, 30, recipe)])
    np.testing.assert_allclose(last[0], last[1], rtol=1e-9)


def test_rattles_that_fall_back_lengthen_the_step_and_others_shorten_it() -> None:
    walker = Walker(0.35)
    walker.adapt("hop.rattle", returned=True)
    assert walker.step == pytest.approx(0.385)
    for _ in range(4):
        walker.adapt("hop.rattle", returned=False)
    assert walker.step == pytest.approx(0.35)  # one of five fell back, as it should
    walker.adapt("hop.twist", returned=True)
    assert walker.step == pytest.approx(0.35)


def test_metropolis_accepts_by_boltzmann_s_factor() -> None:
    rng = np.random.default_rng(0)
    share = np.mean([accepts(0.5, 0.4, rng) for _ in range(4000)])
    assert share == pytest.approx(np.exp(-0.5 / 0.4), abs=0.025)  # 3 sigma
    assert accepts(-1.0, 0.0, rng)
    assert not accepts(1e-9, 0.0, rng)


def test_the_typical_change_is_a_median_so_that_one_broken_structure_does_not_heat() -> None:
    changes = Changes()
    for change in (0.1, -0.2, 0.3, 1e6, -0.2):
        changes.add(change)
    assert changes.typical == pytest.approx(0.2)


def test_an_exhausted_walker_goes_on_once_from_what_others_found_and_then_anew() -> None:
    space = cluster(7)
    hopping = BasinHopping(space, OBJECTIVES, 1, walkers=1, patience=3)
    own, best = (Random(space, OBJECTIVES, seed).ask([0])[0].atoms for seed in (1, 9))
    hopping.tell([found(0, own, -1.0, "hop.start"), found(500, best, -1e3)])
    parents = []
    for index in range(1, 10):
        (candidate,) = hopping.ask([index])
        parents.append(candidate.parents)
        hopping.tell([Evaluation(candidate, error="no luck")])
    assert parents == [(0,)] * 3 + [(500,)] * 3 + [()] * 3


def test_replicas_exchange_and_the_cold_one_ends_lower() -> None:
    replicas = ReplicaExchange(cluster(13), OBJECTIVES, 2, replicas=3, hottest=2.0, every=2)
    walk(replicas, 90, Recipe(LennardJones()))
    assert replicas.exchanges > 0
    values = [walker.current.value for walker in replicas._walkers if walker.current]
    assert values[0] == pytest.approx(-44.326801, abs=1e-4)
    assert values[0] == pytest.approx(min(values), abs=1e-4)


def test_a_replica_of_other_weights_accepts_what_its_own_sum_prefers() -> None:
    both = (Objective("energy", 1.0), Objective("image.fom", 1.0))
    replicas = ReplicaExchange(
        cluster(7), both, 1, replicas=2, weights={"energy": 1e-6}, hottest=0.02
    )
    for index in (0, 1, 2, 3):
        (candidate,) = replicas.ask([index])
        relaxation = Relaxation(candidate.atoms, -10.0 + index, True, 1)
        values = {"energy": -10.0 + index, "image.fom": 1.0 - 0.1 * index}
        replicas.tell([Evaluation(candidate, relaxation, objectives=values)])
    cold, hot = (walker.current.index for walker in replicas._walkers if walker.current)
    assert (cold, hot) == (0, 3)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"replicas": 1}, "at least 2"),
        ({"coldest": 2.0}, "not above hottest"),
        ({"weights": {"stm.fom": 2.0}}, "any of energy"),
    ],
)
def test_a_ladder_that_is_none_is_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        ReplicaExchange(cluster(7), OBJECTIVES, 1, **given)  # type: ignore[arg-type]


def test_a_generator_that_has_no_room_says_which_constraint_blocks_it() -> None:
    space = cluster(40)
    tight = Space(Atoms(cell=[6.0] * 3), None, space.composition, space.min_distance)
    for generator in (Random(tight, OBJECTIVES, 1), BasinHopping(tight, OBJECTIVES, 1)):
        assert generator.ask([0]) == []
        (reason,) = generator.blocked
        assert "blocked by min_distance, which leaves no room for Xe (30)" in reason
