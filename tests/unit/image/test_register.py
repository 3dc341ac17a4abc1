"""Registration: a structure is found where it is, whatever the start, the same on every run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from htinvert.core import Signal, UserError
from htinvert.evaluation.fit import normalized
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.forward.stm import Stm
from htinvert.image.capture import grid, row_peaks
from htinvert.image.fitting import RegistrationProblem
from htinvert.image.register import FREE, Registered, free_of, register
from htinvert.metrics.registration import Registration
from htinvert.report.registration import notes, record

SAMPLING = 0.2  # Å/px


@pytest.fixture(scope="module")
def boundary() -> Atoms:
    """A twin-like slab: the upper half of a CdTe crystal mirrored, vacuum above and below."""
    lower = bulk("CdTe", "zincblende", a=6.48, cubic=True).repeat((1, 1, 3))
    upper = lower.copy()
    upper.positions[:, 1] *= -1
    upper.positions[:, 2] += 19.44 + 0.6
    both = lower + upper
    both.set_cell([6.48, 6.48, 40.0])
    both.pbc = (True, True, False)
    return both


def micrograph(atoms: Atoms, *, shape: tuple[int, int] = (190, 150), **changes: Any) -> Signal:
    """Make a noisy image with a known distortion, larger than what is compared."""
    settings = {"source_size": 1.3, "stretch_x": 0.015, "stretch_y": -0.01} | changes
    truth = StemConvolution(sampling=SAMPLING, shape=shape, center=(20.0, 3.0), **settings)
    image = truth(atoms).data
    counts = np.random.default_rng(0).poisson(300 * image / image.max())
    return Signal.image(counts.astype(np.float32), SAMPLING)


def fitted(atoms: Atoms, image: Signal) -> Registered:
    guess = StemConvolution(sampling=SAMPLING, shape=(80, 70), center=(20.0, 3.0), source_size=1.0)
    return register(atoms, image, forward=guess, metric=Registration(intensity="matched"))


@pytest.fixture(scope="module")
def result(boundary: Atoms) -> Registered:
    return fitted(boundary, micrograph(boundary))


def test_the_distortion_is_recovered(result: Registered) -> None:
    found = result.parameters
    assert found["stretch_x"] == pytest.approx(0.015, abs=0.002)
    assert found["stretch_y"] == pytest.approx(-0.01, abs=0.002)
    assert found["rotation"] == pytest.approx(0.0, abs=0.2)  # degrees
    assert found["source_size"] == pytest.approx(1.3, abs=0.1)  # Å
    assert result.score.detail["d_trans"] == 0


def test_a_free_pixel_size_is_found(boundary: Atoms) -> None:
    image = micrograph(boundary, stretch_x=0.0, stretch_y=0.0)
    claimed = Signal.image(image.data, 0.197)
    forward = StemConvolution(sampling=0.197, shape=(120, 100), center=(20.0, 3.0))
    free = {
        "shift_x": (-4.0, 4.0),
        "shift_y": (-4.0, 4.0),
        "sampling": (0.19, 0.21),
        "source_size": (0.5, 2.0),
    }
    metric = Registration(intensity="matched")
    found = register(boundary, claimed, forward=forward, metric=metric, free=free)
    assert found.parameters["sampling"] == pytest.approx(SAMPLING, rel=2e-3)


def test_the_stated_errors_are_of_the_right_size(result: Registered) -> None:
    for name, truth in (("stretch_x", 0.015), ("stretch_y", -0.01), ("rotation", 0.0)):
        assert abs(result.parameters[name] - truth) < 10 * result.intervals[name]


def test_a_parameter_that_ends_at_its_bound_is_said(boundary: Atoms) -> None:
    """The image's source size is 1.3 Å, and at most 0.9 Å are allowed."""
    forward = StemConvolution(
        sampling=SAMPLING, shape=(80, 70), center=(20.0, 3.0), source_size=0.8
    )
    image = micrograph(boundary, shape=(110, 100), stretch_x=0.0, stretch_y=0.0)
    free = {"shift_x": (-4.0, 4.0), "shift_y": (-4.0, 4.0), "source_size": (0.3, 0.9)}
    found = register(
        boundary, image, forward=forward, metric=Registration(intensity="matched"), free=free
    )
    (note,) = notes(found)
    assert note.startswith("source_size (0.9 Å) ends at its bound")
    table = record(image, found)
    assert table["parameters"]["source_size"]["at_bound"]
    assert not table["parameters"]["shift_x"]["at_bound"]
    assert table["notes"] == [note]


def test_a_slide_of_a_grain_that_is_not_in_the_image_is_not_determined(boundary: Atoms) -> None:
    """The region ends 4 Å below the boundary."""
    scene = StemConvolution(sampling=SAMPLING, shape=(70, 70), center=(9.0, 3.0), source_size=1.3)
    image = scene(boundary).data
    counts = np.random.default_rng(0).poisson(300 * image / image.max())
    observed = Signal.image(counts.astype(np.float32), SAMPLING)
    free = {"source_size": (0.3, 3.0), "interface_shift": (-3.0, 3.0)}
    forward = replace(scene, shape=(66, 66), source_size=1.0)
    found = register(boundary, observed, forward=forward, free=free)
    slide = found.certainties["interface_shift"]
    assert not slide.determined
    (note,) = (note for note in notes(found) if "interface_shift (from" in note)
    assert "not determined" in note
    assert found.certainties["source_size"].determined


def quickly(atoms: Atoms, *, of: Atoms | None = None) -> Registered:
    """Fit three parameters to a small region of an image ``of`` a structure, or of ``atoms``."""
    image = micrograph(of or atoms, shape=(110, 100), stretch_x=0.0, stretch_y=0.0)
    forward = StemConvolution(sampling=SAMPLING, shape=(80, 70), center=(20.0, 3.0))
    free = {"shift_x": (-4.0, 4.0), "shift_y": (-4.0, 4.0), "source_size": (0.3, 3.0)}
    metric = Registration(intensity="matched")
    return register(atoms, image, forward=forward, metric=metric, free=free)


@pytest.fixture(scope="module")
def quick(boundary: Atoms) -> Registered:
    return quickly(boundary)


def test_the_same_input_gives_the_same_result(boundary: Atoms, quick: Registered) -> None:
    again = quickly(boundary)
    assert again.parameters == quick.parameters
    assert again.score == quick.score


def test_the_figure_of_merit_forgives_what_the_microscope_did(
    boundary: Atoms, result: Registered
) -> None:
    """Shifted by 3 px, rotated by 3 degrees and scaled by 3 %, all at once."""
    shifted = {"shift_x": 3 * SAMPLING, "shift_y": -3 * SAMPLING, "rotation": 3.0}
    scaled = {"stretch_x": 0.015 + 0.03, "stretch_y": -0.01 + 0.03}
    moved = fitted(boundary, micrograph(boundary, **shifted, **scaled))
    assert moved.score.cost == pytest.approx(result.score.cost, abs=0.005)


def test_a_fit_never_ends_above_what_it_was_given(boundary: Atoms) -> None:
    """Started from values found in any other way, by the count of the metric on the whole image."""
    image = micrograph(boundary, shape=(110, 100))
    metric = Registration(intensity="matched")
    free = {"shift_x": (-4.0, 4.0), "shift_y": (-4.0, 4.0), "source_size": (0.3, 3.0)}
    values = {"stretch_x": 0.015, "stretch_y": -0.01, "shift_x": 0.7, "source_size": 1.3}
    given = StemConvolution(sampling=SAMPLING, shape=(80, 70), center=(20.0, 3.0), **values)
    found = register(boundary, image, forward=given, metric=metric, free=free)
    assert found.score.cost <= metric(given(boundary), image).cost


def test_the_grid_covers_the_ranges_whatever_the_start(boundary: Atoms) -> None:
    metric = Registration(intensity="matched")
    points = []
    for values in ({}, {"stretch_x": 0.03, "stretch_y": 0.03, "rotation": -3.0, "shift_x": 0.6}):
        start = StemConvolution(sampling=SAMPLING, shape=(80, 70), **values)
        problem = RegistrationProblem(
            boundary, micrograph(boundary), start, metric, dict(FREE), None
        )
        points.append(np.array(grid(problem)))
        values = [problem.box.parameters(point) for point in points[-1]]
        assert min(v["rotation"] for v in values) == -6.0
        assert max(v["stretch_x"] for v in values) == pytest.approx(0.1)
    np.testing.assert_allclose(points[0], points[1])


def test_derivatives_of_motion_are_those_of_differences(boundary: Atoms) -> None:
    """The image's gradient along the motion, to the 5 % of five pixels at 1.3 Å of blur."""
    start = StemConvolution(sampling=SAMPLING, shape=(80, 70), source_size=1.3, center=(20.0, 3.0))
    image = micrograph(boundary)
    problem = RegistrationProblem(boundary, image, start, Registration(), dict(FREE), None)
    point = problem.box.scaled(dict.fromkeys(FREE, 0.01) | {"source_size": 1.3})
    patch = normalized(problem.patch((55, 40)).data)
    slopes = problem.jacobian(point, patch)
    for index in range(len(point)):
        step = np.eye(len(point))[index] * 1e-3
        apart = problem.residual(point + step, patch) - problem.residual(point - step, patch)
        share = float(apart @ slopes[:, index]) / float(apart @ apart) * 2e-3
        assert share == pytest.approx(1.0, abs=0.15), problem.box.names[index]


def test_a_tiny_move_of_the_atoms_changes_the_cost_a_tiny_bit(
    boundary: Atoms, quick: Registered
) -> None:
    moved = boundary.copy()
    moved.positions += np.random.default_rng(1).choice([-1e-4, 1e-4], size=(len(moved), 3))
    other = quickly(moved, of=boundary)
    assert other.parameters != quick.parameters
    assert other.score.cost == pytest.approx(quick.score.cost, abs=1e-3)


def test_every_simulated_image_is_in_the_log(boundary: Atoms, result: Registered) -> None:
    costs = [trial.cost for trial in result.trials]
    assert min(costs) == result.score.cost
    best = result.trials[int(np.argmin(costs))]
    again = replace(result.forward, **best.parameters)(boundary)
    np.testing.assert_array_equal(again.data, result.simulated.data)


def test_a_structure_larger_than_the_image_is_a_mistake(boundary: Atoms) -> None:
    with pytest.raises(UserError, match="larger"):
        fitted(boundary, micrograph(boundary, shape=(72, 72)))


def test_peaks_come_from_different_rows() -> None:
    y, x = np.mgrid[:60, :60]
    ncc = np.cos(2 * np.pi * x / 10) * np.exp(-(((y - 30) % 60) / 20.0))
    assert len({row for row, _ in row_peaks(ncc)}) >= 1
    assert len(row_peaks(ncc, count=3)) <= 12


def test_a_model_fits_what_it_has() -> None:
    """An STM block without `free` once ended in: free.source_size is unknown."""
    assert free_of(StemConvolution()) == dict(FREE)
    for model in (Stm, Stm()):
        found = free_of(model)
        assert "source_size" not in found
        assert found["blur"] == (0.0, 4.0)
        assert found["rotation"] == FREE["rotation"]
