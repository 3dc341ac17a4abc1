"""One walk finds every component that a campaign names."""

from pathlib import Path

from htinvert.campaign.plan import make_plan
from htinvert.config.campaign import parse
from htinvert.config.components import component_problems, components

CRYSTAL = {"use": "prototype", "formula": "CdTe", "crystal": "zincblende", "a": 6.48}
RAW = {
    "structure": {"use": "bicrystal", "grains": {"a": CRYSTAL}, "thickness": 10},
    "energy": {"use": "lennard_jones"},
    "experiments": {
        "haadf": {
            "calibrate": {"phase": CRYSTAL, "zone": [1, 1, 0]},
            "forward": {"use": "stm", "density": {"use": "gpaw"}},
            "metrics": {"ssim": None, "ours": {"use": "my.own:Rw", "power": 2}},
        }
    },
    "search": {
        "screen": {"energy": {"use": "lennard_jones", "sigma": 3.4}},
        "generators": [{"use": "random", "share": 0.5}],
    },
}


def test_every_component_is_found_with_its_kind_and_place() -> None:
    assert [(found.kind, found.place, found.use) for found in components(RAW)] == [
        ("structure", "structure", "bicrystal"),
        ("structure", "structure.grains.a", "prototype"),
        ("energy", "energy", "lennard_jones"),
        ("structure", "experiments.haadf.calibrate.phase", "prototype"),
        ("forward", "experiments.haadf.forward", "stm"),
        ("density", "experiments.haadf.forward.density", "gpaw"),
        ("metric", "experiments.haadf.metrics.ssim", "ssim"),
        ("metric", "experiments.haadf.metrics.ours", "my.own:Rw"),
        ("energy", "search.screen.energy", "lennard_jones"),
        ("generator", "search.generators.0", "random"),
    ]


def test_what_is_given_is_neither_the_name_nor_a_generators_share() -> None:
    given = {found.place: found.given for found in components(RAW)}
    assert given["experiments.haadf.metrics.ours"] == {"power": 2}
    assert given["search.generators.0"] == given["experiments.haadf.metrics.ssim"] == {}
    assert given["search.screen.energy"] == {"sigma": 3.4}


def test_what_has_not_the_form_of_a_block_is_left_to_the_schema() -> None:
    wrong = {"structure": "file", "experiments": [1], "search": {"generators": "random"}}
    assert list(components(wrong)) == []
    assert list(components({"experiments": {"haadf": {"metrics": ["ssim"]}}, "search": 3})) == []


def test_a_mistake_in_an_inner_block_is_named_with_its_place() -> None:
    wrong = {"use": "slab", "phase": {"use": "prototyp"}}
    assert any(
        problem.startswith("structure.phase.use: structure prototyp is unknown")
        for problem in component_problems({"structure": wrong})
    )


def test_a_file_that_is_called_like_a_component_is_not_taken_for_its_parameter(
    tmp_path: Path,
) -> None:
    raw = {
        "name": "named",
        "structure": {"use": "box", "size": 20},
        "composition": {"Ar": [2, 2]},
        "energy": {"use": "lennard_jones"},
    }
    before = make_plan(parse(raw), folder=tmp_path).identity
    (tmp_path / "box").write_text("something else")
    assert make_plan(parse(raw), folder=tmp_path).identity == before
