"""A fit that means nothing is refused, one that is only imperfect is not; place: auto mends it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from htinvert.campaign.channels import make_channel, observe
from htinvert.campaign.place import REPEATS, at_its_place, filled, is_auto, located
from htinvert.config.campaign import RegionPart
from htinvert.config.experiment import of_its_kind
from htinvert.core import Channel, Signal, UserError
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.forward.stm import Stm
from htinvert.forward.tem import Tem
from htinvert.matching.doubt import Judgment, judge
from htinvert.matching.locate import locate
from htinvert.metrics.registration import Registration
from htinvert.testing.columns import planted
from htinvert.testing.matching_trials import tilt_boundary

SHAPE = (160, 140)


@pytest.fixture(scope="module")
def boundary() -> Atoms:
    return tilt_boundary(40.0, slide=0.8)


def channel(image: Signal) -> Channel:
    forward = StemConvolution(beam="x", up="z", sampling=image.sampling[0], shape=SHAPE)
    return Channel("haadf", image, forward, {"registration": Registration()})


def test_a_structure_where_it_is_compared_is_let_pass(boundary: Atoms) -> None:
    judge(channel(planted(boundary, rng=np.random.default_rng(1), rotation=1.0)), boundary)
    noisy = planted(boundary, rng=np.random.default_rng(2), rotation=0.0, peak=1.0)
    judge(channel(noisy), boundary)


def test_an_inclined_boundary_is_refused_with_its_inclination(boundary: Atoms) -> None:
    image = planted(boundary, rng=np.random.default_rng(3), rotation=66.0)
    with pytest.raises(UserError, match=r"not found.*turned by 66 degrees.*place: auto"):
        judge(channel(image), boundary)


def test_noise_is_refused(boundary: Atoms) -> None:
    noise = Signal.image(np.random.default_rng(4).normal(size=(260, 260)), 0.2)
    with pytest.raises(UserError, match="was not found in the image"):
        judge(channel(noise), boundary)


@pytest.mark.parametrize("slip", [0.1, 10.0])
def test_a_pixel_size_ten_times_off_is_called_that(boundary: Atoms, slip: float) -> None:
    image = planted(boundary, rng=np.random.default_rng(1), rotation=1.0)
    step = image.sampling[0]
    off = channel(Signal.image(image.data, slip * step))
    try:
        said = judge(off, boundary, {"ncc": 0.03}).doubt
    except UserError as refused:
        said = str(refused)
    assert f"with a pixel size of {step:.3g} instead of {slip * step:.3g} Å/px it is found" in said


def test_what_can_be_looked_for_is_judged_once_and_by_that(boundary: Atoms) -> None:
    """`register` warned that the correlation means nothing, and then refused the fit, or let it."""
    image = planted(boundary, rng=np.random.default_rng(1), rotation=1.0)
    assert judge(channel(image), boundary, {"ncc": 0.03}) == Judgment("search")


def test_what_cannot_be_looked_for_is_judged_by_its_correlation(boundary: Atoms) -> None:
    noise = Signal.image(np.random.default_rng(4).normal(size=(60, 60)), 0.2)
    for forward, advice in ((Stm(), "density that means something"), (Tem(), "pixel size")):
        given = replace(channel(noise), forward=forward)
        assert judge(given, boundary) == Judgment()
        assert judge(given, boundary, {"d_sim": 0.9}) == Judgment()
        doubted = judge(given, boundary, {"ncc": 0.03})
        assert doubted.by == "correlation"
        assert "their correlation is 0.03" in doubted.doubt and advice in doubted.doubt
        assert judge(given, boundary, {"ncc": 0.5}) == Judgment("correlation")


def test_place_auto_becomes_steps_that_stand_it_upright(boundary: Atoms, tmp_path: Path) -> None:
    image = planted(boundary, rng=np.random.default_rng(5), rotation=-70.0, mirrored=True)
    np.savez(tmp_path / "raw.npz", image=image.data, sampling=0.2 * 1.04)  # a header 4 % too large
    block = {
        "data": "raw.npz",
        "place": "auto",
        "forward": {"use": "stem_convolution", "beam": "x", "up": "z"},
        "metrics": {"registration": {}},
    }
    experiment = of_its_kind(block)
    assert is_auto(experiment)
    image = observe(experiment, folder=tmp_path)
    found = located(experiment, boundary, folder=tmp_path, image=image)
    placed = at_its_place(experiment, found)
    assert [next(iter(step)) for step in placed.prepare] == ["crop", "rotate", "flip", "center"]
    made = make_channel("haadf", placed, folder=tmp_path)
    np.testing.assert_array_equal(made.observed.data, found.upright.image.data)
    assert made.observed.sampling == found.upright.image.sampling
    assert made.observed.sampling[0] == pytest.approx(0.2, rel=0.005)
    score = next(iter(made.metrics.values()))(made.forward(boundary), made.observed)
    upside_down = replace(made.forward, rotation=180.0)
    assert score.cost < next(iter(made.metrics.values()))(upside_down(boundary), made.observed).cost
    judge(made, boundary)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"forward": {"use": "stem_convolution", "rotation": 5.0}}, "place: auto decides"),
        ({"forward": {"use": "tem"}}, "no model of a STEM image"),
    ],
)
def test_what_place_auto_cannot_do_is_one_sentence(
    boundary: Atoms, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    block = {"data": "raw.npz", "place": "auto", "metrics": {"registration": {}}, **change}
    image = Signal.image(np.eye(300), 0.2)
    with pytest.raises(UserError, match=message):
        located(of_its_kind(block), boundary, folder=tmp_path, image=image)


def test_grains_without_their_boundary_are_found_where_it_was(boundary: Atoms) -> None:
    """The empty region is filled evenly, as dense as the grains are."""
    image = planted(boundary, rng=np.random.default_rng(6), rotation=0.0, shift=(3.0, -4.0))
    height = boundary.positions[:, 2]
    middle = 0.5 * float(boundary.cell[2, 2])
    hidden = np.abs(height - middle) < 4.5
    region = RegionPart(axis="z", lower=middle - 4.2, upper=middle + 4.2)
    shown = filled(boundary[~hidden], region, beam="x")
    layers = len(shown) / (len(boundary) - hidden.sum())
    assert layers == pytest.approx(REPEATS * len(boundary) / (~hidden).sum(), rel=0.05)
    found = locate(Signal.image(image.data, 0.206), shown, forward=StemConvolution()).sighting
    assert not found.mirrored
    assert abs(found.rotation) < 0.5  # degrees
    assert np.abs(found.pose.shift / 1.03 - [3.0, -4.0]).max() < 0.3  # Å
    assert filled(boundary, region, beam="x") is boundary
