"""From a configuration to the objects of a campaign."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write

from htinvert.campaign.identity import identity_like
from htinvert.campaign.plan import Plan, evaluate_start, fit_to_start, make_plan
from htinvert.config.campaign import parse
from htinvert.core import Candidate, UserError
from htinvert.evaluation.evaluate import evaluate
from htinvert.forward.stem_convolution import StemConvolution

TRUE = 0.3  # Å/px


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    crystal = bulk("CdTe", "zincblende", a=6.48, cubic=True).repeat((1, 1, 2))
    write(tmp_path / "crystal.vasp", crystal, format="vasp")
    image = StemConvolution(sampling=TRUE, shape=(50, 44), source_size=1.4)(crystal)
    np.save(tmp_path / "image.npy", image.data)
    return tmp_path


def plan(folder: Path, **experiment: Any) -> Plan:
    haadf = {
        "image": "image.npy",
        "sampling": TRUE,
        "forward": {"use": "stem_convolution"},
        "metrics": {"registration": None, "correlation": {}},
    } | experiment
    raw = {
        "name": "tiny",
        "structure": {"use": "file", "path": "crystal.vasp"},
        "energy": {"use": "lammps", "potential": "CdTe.sw"},
        "experiments": {"haadf": haadf},
    }
    return make_plan(parse(raw), folder=folder)


def test_a_forward_model_takes_shape_and_pixel_size_from_the_image(folder: Path) -> None:
    forward: Any = plan(folder).recipe.channels[0].forward
    assert forward.shape == (50, 44)
    assert forward.sampling == TRUE


def test_a_perfect_simulation_costs_nothing(folder: Path) -> None:
    made = plan(folder, forward={"use": "stem_convolution", "source_size": 1.4})
    evaluation = evaluate_start(made)
    assert evaluation.objectives["haadf.registration"] == pytest.approx(0.0, abs=1e-3)
    assert evaluation.objectives["haadf.correlation"] == pytest.approx(0.0, abs=1e-3)


def test_free_parameters_are_fitted_once_and_then_held(folder: Path) -> None:
    made = plan(folder, free={"source_size": [0.5, 3.0]})
    found = fit_to_start(made)
    assert found["haadf"]["source_size"] == pytest.approx(1.4, abs=0.02)  # Å
    held: Any = made.calibrated(found).recipe.channels[0]
    assert held.forward.source_size == found["haadf"]["source_size"]
    assert not held.free


def test_a_parameter_to_refit_stays_free_and_starts_at_what_the_start_structure_gave(
    folder: Path,
) -> None:
    free = {"source_size": [0.5, 3.0], "stretch_x": [-0.02, 0.02]}
    made = plan(folder, free=free, refit=["source_size"])
    found = fit_to_start(made)
    channel: Any = made.calibrated(found).recipe.channels[0]
    assert list(channel.free) == ["source_size"]
    assert channel.forward.source_size == found["haadf"]["source_size"]
    assert channel.forward.stretch_x == found["haadf"]["stretch_x"]


def test_a_candidate_fits_from_its_parents_values(folder: Path) -> None:
    made = plan(folder, free={"source_size": [0.5, 3.0]}, refit=True)
    atoms = made.space.template
    start = {"haadf": {"source_size": 1.4}}
    warm = evaluate(Candidate(1, atoms, "rattle", (0,), start), made.recipe)
    cold = evaluate(Candidate(1, atoms, "rattle", (0,)), made.recipe)
    assert warm.parameters["haadf"]["source_size"] == pytest.approx(1.4, abs=0.01)
    assert warm.objectives["haadf.registration"] <= cold.objectives["haadf.registration"] + 1e-4


def test_refit_names_what_is_free(folder: Path) -> None:
    with pytest.raises(UserError, match="refit names source_siz, .*did you mean source_size"):
        plan(folder, free={"source_size": [0.5, 3.0]}, refit=["source_siz"])


def test_calibration_is_the_first_step_where_it_is_asked_for(folder: Path) -> None:
    crystal = bulk("CdTe", "zincblende", a=6.48, cubic=True)
    y, x = 0.21, 0.2  # Å/px; the header claims 0.2 for both
    large = StemConvolution(sampling=(y, x), shape=(220, 230), source_size=1.4, beam="z", up="y")
    np.save(folder / "large.npy", large(crystal.repeat((2, 2, 1))).data)
    phase = {"use": "prototype", "formula": "CdTe", "crystal": "zincblende", "a": 6.48}
    made = plan(
        folder,
        image="large.npy",
        sampling=0.2,
        calibrate={"phase": phase | {"cubic": True}, "zone": [0, 0, 1]},
    )
    channel: Any = made.recipe.channels[0]
    assert channel.observed.sampling == pytest.approx((y, x), rel=3e-3)
    assert channel.forward.sampling == channel.observed.sampling
    assert "too small" in made.measured["haadf"].sentence


def test_a_crystal_that_the_image_does_not_show_is_refused_with_its_place(folder: Path) -> None:
    phase = {"use": "prototype", "formula": "Cu", "crystal": "fcc", "a": 3.6, "cubic": True}
    with pytest.raises(UserError, match="experiments.haadf.calibrate: the spe?"):
        plan(folder, calibrate={"phase": phase, "zone": [1, 1, 1], "tolerance": 0.01})


def test_a_fitted_pixel_size_becomes_the_experiments(folder: Path) -> None:
    forward = {"use": "stem_convolution", "source_size": 1.4}
    made = plan(folder, sampling=0.29, forward=forward, free={"sampling": [0.28, 0.32]})
    found = fit_to_start(made)
    assert found["haadf"]["sampling"] == pytest.approx(TRUE, rel=2e-3)
    evaluation = evaluate_start(made.calibrated(found))
    assert evaluation.error is None
    assert evaluation.objectives["haadf.registration"] < 0.02


def test_identity_follows_contents_not_paths(folder: Path) -> None:
    first = plan(folder).identity
    (folder / "image.npy").rename(folder / "other.npy")
    renamed = plan(folder, image="other.npy").identity
    assert renamed == first
    np.save(folder / "other.npy", np.load(folder / "other.npy") * 2)
    assert plan(folder, image="other.npy").identity != first


def without(identity: Any, *places: str) -> dict[str, Any]:
    """A stored identity as an older version would have written it, without some keys."""
    older: dict[str, Any] = json.loads(json.dumps(identity))
    for place in places:
        *parts, last = place.split(".")
        block: Any = older
        for part in parts:
            block = block[int(part)] if isinstance(block, list) else block[part]
        del block[last]
    return older


def test_a_key_that_an_older_run_lacks_counts_as_its_default(folder: Path) -> None:
    identity = plan(folder).identity
    keys = ("search.novelty", "search.equivalents", "experiments.haadf.method", "composition")
    older = without(identity, *keys)
    assert identity_like(identity, older) == older
    assert identity_like(identity, identity) == identity


def test_a_key_that_an_older_run_lacks_may_only_be_its_default(folder: Path) -> None:
    older = without(plan(folder).identity, "search.novelty", "search.equivalents")
    new = json.loads(json.dumps(plan(folder).identity))
    new["search"]["novelty"] = 0.1
    found = identity_like(new, older)
    assert found != older
    assert found["search"].keys() - older["search"].keys() == {"novelty"}


def test_a_parameter_of_a_component_written_out_at_its_default_changes_nothing(
    folder: Path,
) -> None:
    older = plan(folder).identity
    forward = {"use": "stem_convolution", "semiangle": 25.0}
    default = plan(folder, forward=forward).identity
    assert default != older
    same = dict(StemConvolution.__dataclass_fields__)["semiangle"].default == 25.0
    assert (identity_like(default, older) == older) is same


@pytest.mark.parametrize("share", [0, -1, "half"])
def test_a_share_must_be_positive(folder: Path, share: object) -> None:
    raw = {
        "name": "tiny",
        "structure": {"use": "file", "path": "crystal.vasp"},
        "energy": {"use": "lammps", "potential": "CdTe.sw"},
        "search": {"generators": [{"use": "random", "share": share}]},
    }
    with pytest.raises(UserError, match="search.generators.0.share"):
        make_plan(parse(raw), folder=folder)
