"""Which component of a channel an exception came from."""

import numpy as np
import pytest
from ase import Atoms

from htinvert.core import Channel, EvaluationFailed, Score, Signal, UserError
from htinvert.evaluation.blame import answerable
from htinvert.evaluation.fit import fit


def forward(atoms: Atoms) -> Signal:
    return Signal.image(np.ones((len(atoms), 2)), 0.2)


def good(simulated: Signal, observed: Signal) -> Score:
    return Score(0.0)


def helper() -> None:
    raise KeyError


class Deep:
    """A metric that fails in a function which it calls."""

    def __call__(self, simulated: Signal, observed: Signal) -> Score:
        helper()
        return Score(0.0)


def channel(**parts: object) -> Channel:
    observed = forward(Atoms("Cu2"))
    return Channel("haadf", observed, **({"forward": forward, "metrics": {"good": good}} | parts))


def test_what_a_metric_calls_is_its_fault_and_needs_no_words() -> None:
    broken = channel(metrics={"good": good, "deep": Deep()})
    says = r"^experiments.haadf.metrics.deep raised KeyError \(test_blame.py, line 21\); correct"
    with pytest.raises(UserError, match=says), answerable([channel(), broken]):
        fit(broken, Atoms("Cu2"))


def test_what_none_of_them_has_raised_passes() -> None:
    with pytest.raises(KeyError), answerable([channel()]):
        helper()


@pytest.mark.parametrize("kind", [UserError, EvaluationFailed])
def test_a_sentence_that_is_one_already_passes(kind: type[Exception]) -> None:
    def refuse(atoms: Atoms) -> Signal:
        raise kind("no atoms")

    with pytest.raises(kind, match="^no atoms$"), answerable([channel(forward=refuse)]):
        fit(channel(forward=refuse), Atoms())
