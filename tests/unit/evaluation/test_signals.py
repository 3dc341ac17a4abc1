"""What decides an image has a name; one that is costly, and its own again, is kept bit for bit."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from ase import Atoms

from htinvert.core import Candidate, Channel, Keep, Objective, Recipe, Relaxation, Reused, Signal
from htinvert.evaluation.evaluate import evaluate
from htinvert.evaluation.signals import imaging
from htinvert.metrics.correlation import Correlation

ATOMS = Atoms("Cu2", positions=[[1, 1, 1], [3, 2, 1]], cell=[6, 6, 6], pbc=True)


@dataclass(frozen=True)
class Shadow:
    """Atoms as spots, shape (12, 12)."""

    width: float = 0.8
    weights: np.ndarray = field(default_factory=lambda: np.ones(2))

    def __call__(self, atoms: Atoms) -> Signal:
        y, x = np.mgrid[:12, :12] * 0.5
        spots = (
            weight * np.exp(-((x - p[0]) ** 2 + (y - p[1]) ** 2) / self.width**2)
            for weight, p in zip(self.weights, atoms.positions, strict=True)
        )
        return Signal.image(sum(spots), 0.5)


class Never(Shadow):
    """An instrument that is not to be used."""

    def __call__(self, atoms: Atoms) -> Signal:
        raise AssertionError("it was simulated again")


def still(atoms: Atoms) -> Relaxation:
    return Relaxation(atoms, -1.0, True, 0)


def channel(**changes: object) -> Channel:
    observed = Shadow(1.0)(ATOMS)
    made = Channel("haadf", observed, Shadow(), {"correlation": Correlation()}, imaging="abc")
    return replace(made, **changes)


KEPT = Candidate(0, ATOMS, "test", keep=Keep((Objective("energy", 1.0),), float("-inf")))


def test_all_that_decides_an_image_is_in_its_name() -> None:
    names = [
        imaging(channel()),
        imaging(channel(imaging="abd")),
        imaging(channel(forward=Shadow(0.9))),
        imaging(channel(forward=Shadow(weights=np.array([1.0, 2.0])))),
    ]
    assert len(set(names)) == 4 and all(names)
    assert imaging(channel(metrics={})) == names[0]  # how it is compared does not matter


def test_an_image_whose_making_is_not_known_in_full_has_no_name() -> None:
    assert imaging(channel(imaging="")) == ""
    assert imaging(channel(free={"width": (0.5, 1.5)})) == ""  # each candidate has its own
    assert imaging(channel(forward=Shadow(weights=object()))) == ""  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("keep", "threshold", "kept"),
    [("auto", 0.0, True), ("auto", 1e9, False), ("exact", 1e9, True), ("best", 0.0, False)],
)
def test_costly_images_are_kept_exactly_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, keep: str, threshold: float, kept: bool
) -> None:
    monkeypatch.setattr("htinvert.evaluation.signals.COSTLY", threshold)
    found = evaluate(KEPT, Recipe(still, (channel(keep=keep),)))
    assert found.error is None
    assert dict(found.exact) == ({"haadf": imaging(channel())} if kept else {})
    assert bool(found.signals) == kept
    if kept:
        np.testing.assert_array_equal(found.signals["haadf"].data, Shadow()(ATOMS).data)


def test_an_exact_image_is_scored_as_if_it_had_been_simulated() -> None:
    first = evaluate(KEPT, Recipe(still, (channel(keep="exact"),)))
    assert first.relaxation is not None
    reused = Reused(first.relaxation, signals=first.signals)
    again = replace(KEPT, reused=reused)
    known = evaluate(again, Recipe(still, (channel(keep="exact", forward=Never()),)))
    assert known.error is None
    assert known.scores == first.scores and known.objectives == first.objectives
    np.testing.assert_array_equal(known.signals["haadf"].data, first.signals["haadf"].data)
    assert known.exact  # for a fork of the fork
