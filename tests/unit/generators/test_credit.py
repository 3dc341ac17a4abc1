"""Operators are paid by gain per cost, never below a floor, and never by the clock unless asked."""

import pytest
from ase import Atoms

from htinvert.core import Candidate, Evaluation, Relaxation
from htinvert.generators.credit import FLOOR, Credit

SHARES = {"rattle": 0.5, "permute": 0.25, "slide": 0.25}


def evaluation(operator: str, *, steps: int = 50, seconds: float = 1.0) -> Evaluation:
    atoms = Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.5]])
    candidate = Candidate(0, atoms, operator)
    return Evaluation(candidate, Relaxation(atoms, 0.0, True, steps), seconds=seconds)


def test_rates_begin_at_the_shares_between_the_floors() -> None:
    rates = Credit(SHARES).rates()
    assert sum(rates.values()) == pytest.approx(1.0)
    assert rates["rattle"] == pytest.approx(FLOOR + 0.5 * (1 - 3 * FLOOR))


def test_what_gains_is_drawn_more_often_and_the_rest_keeps_its_floor() -> None:
    credit = Credit(SHARES)
    for _ in range(200):
        credit.learn(evaluation("permute"), 0.8)
        credit.learn(evaluation("rattle"), 0.0)
        credit.learn(evaluation("slide"), 0.0)
    rates = credit.rates()
    assert rates["permute"] > 0.6
    assert min(rates.values()) >= FLOOR
    assert sum(rates.values()) == pytest.approx(1.0)


def test_the_same_gain_at_twice_the_steps_is_worth_less() -> None:
    credit = Credit({"cheap": 1.0, "dear": 1.0})
    for _ in range(100):
        credit.learn(evaluation("cheap", steps=20), 0.5)
        credit.learn(evaluation("dear", steps=80), 0.5)
    rates = credit.rates()
    assert rates["cheap"] > 1.5 * rates["dear"]


@pytest.mark.parametrize(("cost", "differ"), [("steps", False), ("none", False), ("seconds", True)])
def test_the_clock_counts_on_request_only(cost: str, differ: bool) -> None:
    found = []
    for factor in (1.0, 7.0):
        credit = Credit(SHARES, cost=cost)
        for i in range(30):
            operator = ("rattle", "permute")[i % 2]
            seconds = factor if operator == "rattle" else 1.0
            credit.learn(evaluation(operator, seconds=seconds), 0.3)
        found.append(credit.rates())
    assert (found[0] != found[1]) is differ


def test_without_credit_the_rates_stay_at_the_shares() -> None:
    credit = Credit(SHARES, cost="none")
    for _ in range(50):
        credit.learn(evaluation("permute"), 1.0)
    assert credit.rates() == pytest.approx(SHARES)


def test_operators_of_other_generators_and_failures_do_no_harm() -> None:
    credit = Credit(SHARES)
    credit.learn(evaluation("hop.rattle"), 1.0)
    before = credit.rates()
    credit.learn(Evaluation(evaluation("rattle").candidate, error="atoms fused"), 0.0)
    assert credit.rates() == pytest.approx(before)


def test_a_single_operator_is_always_drawn() -> None:
    assert Credit({"rattle": 3.0, "slide": 0.0}).rates() == {"rattle": 1.0}
