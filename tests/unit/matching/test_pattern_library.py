"""A library of patterns: built once, gone on with, asked; what it cannot know it says."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from scipy.ndimage import gaussian_filter

from htinvert.core import Axis, Signal, UserError
from htinvert.forward.cbed.detector import HALOS
from htinvert.forward.cbed.posterior import student_posterior
from htinvert.matching import pattern_answer, pattern_library, pattern_question
from htinvert.matching.pattern_answer import PatternAnswer, answer
from htinvert.matching.pattern_families import probabilities
from htinvert.matching.pattern_library import PatternLibrary, binned_down, build_library
from htinvert.matching.pattern_map import map_levels
from htinvert.matching.pattern_noise import Noise, left_out, shared_noise, spreads
from htinvert.matching.pattern_nuisances import UNEVEN
from htinvert.matching.pattern_question import Question, node_misfits, stated
from htinvert.matching.pattern_wanted import Wanted, cost_of
from htinvert.structures.perovskite_stack import perovskite_stack

MIDDLE = np.array([0.4, 80.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.8])


class Few(Wanted):
    """One nuisance of six, for time."""

    def doubts(self) -> dict[str, tuple[float, Wanted]]:
        return {"motion La": super().doubts()["motion La"]}


WANTED = Few(
    descriptor="intermixing",
    levels=(0.0, 0.4, 0.8),
    build=lambda level: perovskite_stack(intermixing=level, cells=3),
    semiangle=10.0,
    rows=3,
    thickness=(62.0, 100.0, 11.7),
    tilt=(0.9, 1.9),
    outer=24.0,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_library(WANTED, tmp_path_factory.mktemp("library") / "patterns.zarr")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern_answer, "LEVELS", 8)
    monkeypatch.setattr(pattern_question, "STARTS", 1)
    monkeypatch.setattr(pattern_answer, "NEXT", 1)


def planted(library: PatternLibrary, point: np.ndarray, dose: float = 3e5) -> Signal:
    """Counts behind a detector whose tail and halo are no Gaussians, the frame's edge inside."""
    axes = (Axis("strip", "Å", 3.905), *(Axis(n, "mrad", 1.6, -44.8) for n in ("ky", "kx")))
    blank = Signal(np.ones((3, 57, 57), dtype=np.float32), axes)
    sharp = Question(library, blank).columns(point, ())[:, 0]
    away = np.abs(np.fft.fftfreq(57, 1 / 57))
    far = np.hypot(away[:, None], away)
    for part, kernel in ((0.05, (1 + far**2 / 4) ** -1.5), (0.2, (far < 14) / (1 + far**2 / 9))):
        spread = np.fft.fft2(sharp) * np.fft.fft2(kernel / kernel.sum())
        sharp = (1 - part) * sharp + part * np.fft.ifft2(spread).real
    inside = np.maximum(sharp[:, 14:43, 14:43], 0.0)
    inside /= inside.sum(axis=(1, 2), keepdims=True)
    counts = np.random.default_rng(0).poisson(dose * inside + 5.0)
    axes = (axes[0], *(Axis(n, "mrad", 1.6, -22.4) for n in ("ky", "kx")))
    return Signal(counts.astype(np.float32), axes)


def test_a_build_goes_on_where_it_was_killed(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = zarr.open_group(str(store), mode="a")
    before = np.asarray(group["level-001"])
    group.attrs["done"] = [name for name in group.attrs["done"] if name != "level-001"]
    group.attrs["finished"] = False
    with pytest.raises(UserError, match="not finished"):
        PatternLibrary.open(store)
    made = []
    real = pattern_library.strip_patterns
    monkeypatch.setattr(
        pattern_library,
        "strip_patterns",
        lambda *given, **named: made.append(1) or real(*given, **named),
    )
    build_library(WANTED, store)
    assert len(made) == 1, "only the level that is missing"
    assert np.array_equal(np.asarray(group["level-001"]), before)
    with pytest.raises(UserError, match="another library"):
        build_library(replace(WANTED, semiangle=11.0), store)


def test_a_library_of_an_older_version_is_said_to_be_one_and_built_on(
    store: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(store, tmp_path / "old.zarr"))
    old = zarr.open_group(str(path))
    for name in [name for name in old.array_keys() if name.startswith("uneven")]:
        del old[name]
    old.attrs["done"] = [name for name in old.attrs["done"] if name in old]
    with pytest.raises(UserError, match="an older htinvert.*build --library again"):
        PatternLibrary.open(path)
    build_library(WANTED, path)
    again, before = (PatternLibrary.open(one).uneven for one in (path, store))
    assert np.array_equal(again.components, before.components)


def test_principal_components_hold_the_patterns(store: Path) -> None:
    library = PatternLibrary.open(store)
    exact = np.asarray(zarr.open_group(str(store), mode="r")["level-001"])[2, 4] / 1e3
    values = [axis[place] for axis, place in zip(library.axes, (1, 2, 2, 1), strict=True)]
    again = library.patterns(np.array(values))
    assert np.abs(again - exact).max() < 2e-3 * exact.max()
    near = library.near(np.add(values, (0.1, 2.0, 0.1, 0.1)))
    assert np.abs(near.patterns(np.array(values)) - again).max() < 1e-4 * exact.max()
    assert len(near.components) <= pattern_library.NEAR


def test_where_strips_lie_is_known_only_about() -> None:
    prior, moved = Wanted.doubts(WANTED)["place"]
    cell = WANTED.cell(0.4)
    apart = np.subtract(moved.strips(cell, 0.4).centers, WANTED.strips(cell, 0.4).centers)
    assert apart == pytest.approx(prior * WANTED.width)


def test_a_planted_level_is_found_with_all_of_the_instrument(store: Path) -> None:
    library = PatternLibrary.open(store)
    truth = np.array([0.3, 83.0, -0.6, 0.4, 1.0, 0.4, -0.3, 1.01, 0.0, 0.8])
    found = answer(library, planted(library, truth))
    low, high = found.level.interval()
    assert low < 0.3 < high and high - low < 0.5
    assert found.point["thickness"] == pytest.approx(83.0, abs=2.0)
    assert found.point["tilt_x"] == pytest.approx(-0.6, abs=0.2)
    assert found.chi_square == pytest.approx(1.0, abs=0.1)
    assert not found.none_of_these


def test_a_nodes_misfit_is_what_gain_halos_and_background_leave(store: Path) -> None:
    library = PatternLibrary.open(store)
    question = Question(library, planted(library, MIDDLE))
    place = (1, 2, 0, 1)
    pattern = library.mean + np.tensordot(library.coefficients[place], library.components, 1)
    halos, total = (
        question.seen(library.mean.astype(float), stated(question), HALOS),
        0,
    )
    sharp = question.seen(pattern.astype(float), stated(question), ())[:, 0]
    for row, weight in enumerate(question.weights):
        columns = [weight * c for c in (sharp[row], *halos[row, 1:], np.ones_like(weight))]
        target = (weight * question.data[row]).ravel()
        total += np.linalg.lstsq(np.reshape(columns, (len(columns), -1)).T, target)[1].sum()
    assert node_misfits(question)[place] == pytest.approx(total, rel=1e-4)


def test_a_map_answers_at_every_position(store: Path) -> None:
    library = PatternLibrary.open(store)
    points = np.repeat(MIDDLE[None], 4, axis=0)
    points[:, 0] = (0.1, 0.3, 0.5, 0.7)
    stacks = [planted(library, point) for point in points]
    mean = replace(stacks[0], data=np.mean([stack.data for stack in stacks], axis=0))
    whole = Signal(
        np.stack([stack.data for stack in stacks]), (Axis("x", "Å", 4.0), *stacks[0].axes)
    )
    known = answer(library, mean)
    found = map_levels(library, whole, known)
    assert np.abs(found.values[:, 0] - points[:, 0]).max() < 0.1
    assert np.abs(found.values[:, 1] - 80.0).max() < 2.0
    assert found.determined.all()
    with pytest.raises(UserError, match="position, strip"):
        map_levels(library, mean, known)


def test_a_motion_beside_the_library_s_is_found_and_does_not_move_the_level(store: Path) -> None:
    library = PatternLibrary.open(store)
    found = answer(library, planted(library, np.array([*MIDDLE, 1.0]), dose=3e6))
    value, error = found.nuisances["motion La"]
    assert abs(value - 0.15) < 2.0 * error
    assert error < 0.1, "known to 15 % before"
    assert found.level.mean == pytest.approx(0.4, abs=3.0 * found.level.spread)
    point = MIDDLE[:4]
    exact = library.patterns(point, np.array([1.0])) - library.patterns(point)
    again = library.doubted(point, {"motion La": 0.15}).patterns(point) - library.patterns(point)
    assert np.abs(again - exact).max() < 1e-3 * np.abs(exact).max()


def test_lines_of_a_scan_that_are_off_do_not_move_the_level(store: Path) -> None:
    """Each wave of displacements in each strip 3 % of its width, which by counting is chi² 1.6."""
    library = PatternLibrary.open(store)
    rng = np.random.default_rng(2)
    ways = np.stack([library.uneven.change(MIDDLE[:4], way) for way in np.eye(len(UNEVEN))])
    moved = 0.03 * np.einsum("wr,wryx->ryx", rng.normal(size=ways.shape[:2]), ways)
    counts = planted(replace(library, mean=library.mean + moved), MIDDLE, dose=3e6)
    found = answer(library, counts)
    assert found.chi_square > 1.3
    assert found.level.mean == pytest.approx(0.4, abs=0.05)
    assert found.level.spread < 0.1


def test_how_much_of_shared_noise_there_is_is_taken_from_a_residual() -> None:
    """Of 40 patterns of ten in length: afterwards every direction has the variance of counting."""
    rng = np.random.default_rng(3)
    changes = rng.normal(size=(40, 2000)) * 10 / 2000**0.5
    counted = rng.normal(size=(2, 2000))
    left = counted[0] + 0.3 * rng.normal(size=40) @ changes
    shared, excess = shared_noise(changes, left)
    assert excess.sum() == pytest.approx(40 * 9.0, rel=0.5)
    even = Noise(np.ones(2000), shared=shared, excess=excess).even(left)
    assert (shared @ even).std() == pytest.approx(1.0, abs=0.3)
    assert np.allclose(even - shared.T @ (shared @ even), left - shared.T @ (shared @ left))
    assert shared_noise(changes, counted[1])[1].max() < 1.0, "none where there is none"


def test_errors_are_those_that_a_residual_makes_with_its_neighbors() -> None:
    """A mean of noise that is smooth and uneven: the scatter of 200 draws, told by each of them."""
    rng = np.random.default_rng(0)
    uneven = np.where(np.arange(40) < 10, 3.0, 0.3)
    smooth = gaussian_filter(rng.normal(size=(200, 40, 40)), (0, 1.2, 1.2), mode="wrap")
    noise = smooth / smooth.std() * uneven
    slopes, free = np.ones((1, 1, 40, 40)), np.zeros(1)
    told = [spreads(slopes, one[None], 15.0, free)[0][0] for one in noise[:20]]
    assert np.median(told) == pytest.approx(noise.mean(axis=(1, 2)).std(), rel=0.25)
    errors, curved = spreads(slopes, 0.0 * noise[:1], 15.0, free)
    assert errors[0] == curved[0] == pytest.approx(1 / 40), "never below that of counting"


def test_errors_of_groups_that_err_alike_are_those_of_their_number() -> None:
    """A mean of ten groups, each of one value: 1 / sqrt(10) with 9 degrees of freedom (Student)."""
    rng = np.random.default_rng(1)
    groups = np.arange(400).reshape(1, 20, 20) // 40
    slopes, free = np.ones((1, 1, 20, 20)), np.zeros(1)
    told, freedom = [], []
    for _ in range(300):
        noise = rng.normal(size=10)[groups]
        errors, few = left_out(slopes, noise - noise.mean(), groups, free)
        told.append(errors[0] ** 2)
        freedom.append(few)
    assert np.mean(told) == pytest.approx(1 / 10, rel=0.1)
    assert np.median(freedom) == pytest.approx(9.0, abs=3.0)
    far = np.linspace(-40.0, 40.0, 8001)
    known = student_posterior(far, far**2, 4.0)
    assert known.interval()[1] == pytest.approx(2.132, abs=0.02), "Student's t, 4 degrees, 95 %"


def test_directions_a_lattice_vector_apart_are_one_group(store: Path) -> None:
    library = PatternLibrary.open(store)
    assert library.lattice == pytest.approx(25.0793 / 3.905, rel=1e-4), "mrad, at 200 kV"
    groups = Question(library, planted(library, MIDDLE)).groups(MIDDLE)
    assert len(np.unique(groups)) == 3 * 4
    assert np.mean(groups[:, :, 4:] == groups[:, :, :-4]) > 0.8, "four pixels of 1.6 mrad"
    assert not np.any(groups[:, :, 2:] == groups[:, :, :-2])


def test_what_is_no_pattern_of_the_library_is_none_of_these(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, few in (("LEVELS", 2), ("NEAR", (0.0,)), ("FIRST", 2)):
        monkeypatch.setattr(pattern_answer, name, few)
    library = PatternLibrary.open(store)
    observed = planted(library, MIDDLE)
    rng = np.random.default_rng(0)
    scrambled = observed.data.reshape(3, -1)[:, rng.permutation(29 * 29)].reshape(3, 29, 29)
    assert answer(library, replace(observed, data=scrambled)).none_of_these
    with pytest.raises(UserError, match="3 strips"):
        answer(library, replace(observed, data=observed.data[:2]))


def answered(misfit: np.ndarray) -> PatternAnswer:
    levels = np.linspace(0.0, 1.0, len(misfit))
    noise = Noise(np.ones(1))
    known = student_posterior(levels, misfit, 1e6)
    return PatternAnswer(known, levels, misfit, {}, {}, {}, noise, np.ones(1), 1.0, 100.0, 1.0)


def test_a_family_counts_by_the_mean_of_its_likelihood() -> None:
    """A gain of 2 is exp(1); one right level of ten counts a tenth."""
    better, worse = answered(np.ones(10)), answered(np.full(10, 3.0))
    found = probabilities({"one": better, "other": worse})
    assert found["one"] == pytest.approx(1.0 / (1.0 + np.exp(-1.0)))
    narrow = answered(np.where(np.arange(10) == 3, 1.0, 50.0))
    assert probabilities({"one": better, "other": narrow})["other"] == pytest.approx(1 / 11)


def test_rows_are_binned_about_the_middle() -> None:
    for count in (11, 13):
        ramp = np.abs(np.arange(count) - count // 2)[:, None] * np.ones(3)
        seen = binned_down(ramp.astype(np.float32))
        assert np.array_equal(seen, seen[::-1]) and seen.shape[0] % 2 == 1
        assert seen[len(seen) // 2, 0] == 1.0, "0 and halves of two ones"


def test_the_cost_is_said_before() -> None:
    assert "patterns, about" in str(cost_of(WANTED))
