"""Fits recover what a model was made with."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from ase import Atoms

from htinvert.core import Channel, EvaluationFailed, Score, Signal
from htinvert.evaluation.fit import fit
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.metrics.correlation import Correlation
from htinvert.metrics.registration import Registration
from htinvert.signals.intervals import intervals
from htinvert.signals.seen import see


@pytest.fixture
def atoms():
    rng = np.random.default_rng(2)
    cell = [4.0, 14.0, 12.0]
    return Atoms("Te12", positions=rng.random((12, 3)) * cell, cell=cell, pbc=True)


@pytest.fixture
def model():
    return StemConvolution(sampling=0.25, shape=(60, 60), source_size=0.8)


def channel(model, observed, free, metric=None):
    return Channel("haadf", observed, model, {"match": metric or Correlation()}, free)


def test_without_free_parameters_the_model_is_only_scored(atoms, model):
    found = fit(channel(model, model(atoms), {}), atoms)
    assert found.forward is model and found.parameters == {}
    assert found.scores["match"].cost == pytest.approx(0, abs=1e-6)


def test_source_size_is_recovered(atoms, model):
    observed = replace(model, source_size=1.5)(atoms)
    found = fit(channel(model, observed, {"source_size": (0.2, 3.0)}), atoms, max_evaluations=60)
    assert found.parameters["source_size"] == pytest.approx(1.5, abs=0.02)  # Å
    assert found.forward.source_size == found.parameters["source_size"]
    assert found.scores["match"].cost < 1e-4


def test_distortion_is_recovered(atoms, model):
    truth = {"stretch_x": 0.04, "shear_x": -0.03, "source_size": 1.2}
    large = replace(model, shape=(70, 70), **truth)
    free = {"stretch_x": (-0.1, 0.1), "shear_x": (-0.1, 0.1), "source_size": (0.5, 2.0)}
    chosen = channel(model, large(atoms), free, Registration())
    found = fit(chosen, atoms, max_evaluations=300)
    for name, value in truth.items():
        assert found.parameters[name] == pytest.approx(value, abs=0.02)
    assert found.scores["match"].cost < 0.02


def test_wrong_pixel_size_of_the_header_is_recovered(atoms, model):
    true = replace(model, sampling=0.26, shape=(64, 64))(atoms)
    observed = Signal.image(true.data, 0.25)
    chosen = channel(model, observed, {"sampling": (0.23, 0.28)})
    parameters = fit(chosen, atoms, max_evaluations=80).parameters
    assert parameters["sampling"] == pytest.approx(0.26, abs=5e-4)  # Å/px


def test_fit_is_deterministic(atoms, model):
    observed = replace(model, source_size=1.5)(atoms)
    chosen = channel(model, observed, {"source_size": (0.2, 3.0), "stretch_y": (-0.05, 0.05)})
    one, other = (fit(chosen, atoms, max_evaluations=40) for _ in "ab")
    assert one.parameters == other.parameters
    assert one.trials == other.trials


def test_a_good_start_is_kept(atoms, model):
    observed = replace(model, source_size=1.5)(atoms)
    chosen = channel(model, observed, {"source_size": (0.2, 3.0)})
    found = fit(chosen, atoms, start={"source_size": 1.5}, max_evaluations=5)
    assert found.parameters["source_size"] == pytest.approx(1.5, abs=0.01)
    assert found.scores["match"].cost < 1e-5


@pytest.mark.parametrize("method", ["nelder-mead", "l-bfgs-b", "cma-es"])
def test_the_method_is_the_channels(atoms, model, method):
    observed = replace(model, source_size=1.5, stretch_x=0.02)(atoms)
    free = {"source_size": (0.2, 3.0), "stretch_x": (-0.05, 0.05)}
    found = fit(replace(channel(model, observed, free), method=method), atoms)
    assert found.parameters["source_size"] == pytest.approx(1.5, abs=0.05)  # Å
    assert found.trials[-1].stage == method


def test_every_trial_is_told_and_can_be_made_again(atoms, model):
    observed = replace(model, source_size=1.5)(atoms)
    told = []
    chosen = channel(model, observed, {"source_size": (0.2, 3.0)})
    found = fit(chosen, atoms, max_evaluations=30, observer=told.append)
    assert tuple(told) == found.trials
    again = replace(model, **told[7].parameters)(atoms)
    assert Correlation()(again, observed).cost == pytest.approx(told[7].cost, abs=1e-6)


def test_intervals_shrink_with_the_noise(atoms, model):
    rng = np.random.default_rng(5)
    clean = replace(model, source_size=1.5)(atoms).data
    errors = []
    for level in (0.02, 0.2):
        noisy = clean + level * clean.max() * rng.normal(size=clean.shape)
        chosen = channel(model, Signal.image(noisy, 0.25), {"source_size": (0.2, 3.0)})
        found = fit(chosen, atoms)
        (error,) = intervals(see(chosen, atoms, found.parameters), chosen.free).values()
        assert abs(found.parameters["source_size"] - 1.5) < 4 * error
        errors.append(error)
    assert errors[1] == pytest.approx(10 * errors[0], rel=0.3)


@dataclass(frozen=True)
class Counting:
    """A forward model that counts its calls."""

    calls: list
    value: float = 0.0

    def __call__(self, atoms):
        self.calls.append(self.value)
        return Signal.image(np.full((2, 2), self.value), 1.0)


def parabola(simulated, observed):
    return Score(float((simulated.data[0, 0] - 0.3) ** 2))


def test_no_more_images_are_simulated_than_allowed(atoms):
    model = Counting([])
    chosen = Channel("c", Signal.image(np.eye(2), 1.0), model, {"m": parabola}, {"value": (0, 1)})
    fit(chosen, atoms, max_evaluations=10)
    assert len(model.calls) <= 11  # and the final one


def test_parameters_stay_within_their_bounds(atoms):
    model = Counting([])
    free = {"value": (0.5, 0.9)}
    chosen = Channel("c", Signal.image(np.eye(2), 1.0), model, {"m": parabola}, free)
    parameters = fit(chosen, atoms).parameters
    assert parameters["value"] == pytest.approx(0.5, abs=1e-3)
    assert all(0.5 <= call <= 0.9 for call in model.calls)


def failing(simulated, observed):
    raise EvaluationFailed("image is constant")


def test_fit_without_a_single_score_tells_why(atoms):
    chosen = Channel(
        "c", Signal.image(np.eye(2), 1.0), Counting([]), {"m": failing}, {"value": (0, 1)}
    )
    with pytest.raises(EvaluationFailed, match="constant"):
        fit(chosen, atoms)


def test_unknown_parameter_is_named(atoms, model):
    with pytest.raises(ValueError, match="sourcesize"):
        fit(channel(model, model(atoms), {"sourcesize": (0, 1)}), atoms)
