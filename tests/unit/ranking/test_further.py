"""Which further measurement would decide: what is foretold is what data then say, on average."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.cluster import Octahedron

from htinvert import plugins
from htinvert.campaign.further import declared_further
from htinvert.core import Channel, Floats, Signal, UserError
from htinvert.declaration.abilities import HasUsual
from htinvert.declaration.measurement import Measurement
from htinvert.metrics.likelihood import Likelihood
from htinvert.metrics.rw import Rw
from htinvert.ranking.further import DECISIVE, best_first, foresee, told_apart
from htinvert.signals.independent import independent_points

POINTS = 400
FLOOR = 0.1


@dataclass(frozen=True)
class Wave:
    """A wave of a random shape, the same for the same first coordinate, 400 independent points."""

    kind = "curve"
    model_error = FLOOR
    model_error_source = "given"
    likeness: float = 0.05

    def __call__(self, atoms: Atoms) -> Signal:
        common = np.random.default_rng(0).normal(size=POINTS)
        own = np.random.default_rng(int(10 * atoms.positions[0, 0])).normal(size=POINTS)
        return Signal.curve(np.arange(POINTS, dtype=float), common + self.likeness * own)

    def independent_points(self, observed: Signal) -> tuple[float, str]:
        return float(observed.data.size), "all"


def structures(count: int = 2) -> list[Atoms]:
    return [Atoms("Cu", [[0.1 * number, 0, 0]]) for number in range(1, count + 1)]


def measurement(likeness: float = 0.1, **changes: Any) -> Measurement:
    return Measurement("wave", Wave(likeness), "rw", "h", **{"noise": 0.2, **changes})


@dataclass(frozen=True)
class Smooth(Wave):
    """One wave of a hundred points, whose independent points nobody but the data tells."""

    def __call__(self, atoms: Atoms) -> Signal:
        x = np.arange(POINTS, dtype=float) + 10.0 * atoms.positions[0, 0]
        return Signal.curve(np.arange(POINTS, dtype=float), np.sin(0.06 * x))

    def independent_points(self, observed: Signal) -> None:  # type: ignore[override]
        return None


def test_foretold_data_have_as_many_independent_points_as_measured_ones_will() -> None:
    """A likelihood of data counts them with their noise: half of the variance is white here."""
    one = Measurement("wave", Smooth(), "rw", "h", noise=1.0)
    clean = one.forward(structures()[0])
    noisy = clean.data + np.random.default_rng(7).normal(0.0, np.sqrt(0.5), POINTS)
    counted, _ = independent_points(one.forward, Signal.curve(np.arange(POINTS), noisy))
    assert foresee(structures(), one).points == pytest.approx(counted, rel=0.1)
    assert counted > 2.0 * independent_points(one.forward, clean)[0]


@pytest.mark.parametrize("hours", [0.5, 4.0])
def test_foretold_is_the_mean_over_draws_of_noise_and_model_error(hours: float) -> None:
    """Within 10 %: differences of logarithms of 400 points scatter by some 20 % of these nats."""
    one, (right, other) = measurement(), structures()
    signals = [one.forward(atoms).data.astype(float) for atoms in (right, other)]
    size, rng = np.sqrt(np.mean(signals[0] ** 2)), np.random.default_rng(1)
    likelihood, spread = Likelihood(POINTS, FLOOR), np.hypot(FLOOR, 0.2 / np.sqrt(hours)) * size
    nats = []
    for _ in range(300):
        data: Floats = signals[0] + spread * rng.normal(size=POINTS)
        costs = [np.sqrt(np.mean((data - s) ** 2)) / size for s in signals]
        nats.append(likelihood(costs[1]) - likelihood(costs[0]))
    assert foresee([right, other], one).nats(hours)[0] == pytest.approx(np.mean(nats), rel=0.1)


def test_exposure_that_decides_is_said_and_never_where_the_model_errs_by_more() -> None:
    found = foresee(structures(3), measurement())
    assert np.median(found.nats(found.needed())) == pytest.approx(DECISIVE, rel=1e-3)
    assert np.isinf(foresee(structures(), measurement(likeness=0.005)).needed())


def test_the_same_again_says_less_than_it_said_the_first_time() -> None:
    first, again = (foresee(structures(), measurement(before=b)) for b in (0.0, 1.0))
    assert 0.0 < again.nats(1.0)[0] < first.nats(1.0)[0]
    assert again.nats(1.0) + first.nats(1.0) == pytest.approx(first.nats(2.0))


def test_what_tells_most_pairs_apart_comes_first() -> None:
    found = [foresee(structures(3), measurement(likeness)) for likeness in (0.02, 0.4, 0.1)]
    ordered = best_first(found)
    assert [one.measurement.forward.likeness for one in ordered] == [0.4, 0.1, 0.02]
    assert told_apart(ordered[0]) == 3


@pytest.mark.parametrize("name", ["pdf", "stem_convolution"])
def test_what_is_usual_tells_two_orders_of_elements_apart_the_more_the_longer(
    name: str, tmp_path: Path
) -> None:
    atoms = Octahedron("Cu", 3, cutoff=1)
    atoms.center(vacuum=6.0)
    one, other = atoms.copy(), atoms.copy()
    one.symbols[:3], other.symbols[[0, 5, 7]] = "Pt", "Pt"
    model = plugins.find("forward", name)
    assert isinstance(model, HasUsual)
    for usual in model.usual(one, tmp_path)[:2]:
        found = foresee([one, other], usual)
        assert 0.0 < found.nats(0.1)[0] < found.nats(1.0)[0] <= found.most[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("more: {like: wave, noise: 0.1, hours: 3}", "hours"),
        ("more: {like: wav, noise: 0.1}", "did you mean wave"),
        ("more: {like: wave}", "noise"),
        ("more: {like: wave, noise: 0.1, range: [3, 1, 0.1]}", "rising"),
        ("more: {like: wave, noise: 0.1, forward: {volume: 3}}", "volume"),
        ("{}", "names no measurement"),
    ],
)
def test_a_file_that_declares_no_measurement_is_refused_in_a_sentence(
    text: str, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "plans.yaml"
    path.write_text(text)
    wave = Wave()
    channel = Channel("wave", wave(structures()[0]), wave, {"rw": Rw()})
    with pytest.raises(UserError, match=words):
        declared_further(path, [channel])
