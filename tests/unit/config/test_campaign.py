"""Configuration: every mistake is named at once, with its path and what was probably meant."""

from pathlib import Path
from typing import Any

import pytest

from htinvert.config.campaign import Config, load, parse
from htinvert.core import UserError

GOOD: dict[str, Any] = {
    "name": "tiny",
    "structure": {"use": "prototype", "formula": "Cu", "crystal": "fcc", "a": 3.6},
    "energy": {"use": "ase", "name": "emt"},
}
CONFIGS = Path(__file__).parents[3] / "configs"


def with_(**changes: Any) -> dict[str, Any]:
    return {**GOOD, **changes}


def mistakes(raw: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        parse(raw)
    return str(caught.value)


def test_a_minimal_campaign_is_valid() -> None:
    config = parse(GOOD)
    assert isinstance(config, Config)
    assert config.stop.evaluations == 200


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_campaign_of_the_repository_is_valid(path: Path) -> None:
    assert load(path).name


def test_an_unknown_key_gets_a_suggestion() -> None:
    text = mistakes(with_(search={"generator": []}))
    assert "search.generator is unknown; did you mean generators?" in text


def test_all_mistakes_come_at_once_each_on_a_line() -> None:
    text = mistakes(
        with_(
            sed=3,
            energy={"use": "lammps", "potential": "CdTe.sw", "fmx": 1e-3},
            region={"lower": "low"},
            search={"generators": [{"use": "genetic", "populaton": 3}]},
        )
    )
    assert "sed is unknown; did you mean seed?" in text
    assert "energy.fmx is unknown; did you mean fmax?" in text
    assert "region.lower: give a number" in text
    assert "region.upper is missing" in text
    assert "search.generators.0.populaton is unknown; did you mean population?" in text
    assert len(text.splitlines()) == 5


@pytest.mark.parametrize(
    ("path", "words"),
    [
        *((p, "an experiment's block") for p in sorted(CONFIGS.glob("experiments/*.yaml"))),
        *((p, "a structure's block") for p in sorted(CONFIGS.glob("structures/*.yaml"))),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_block_taken_for_a_campaign_is_called_what_it_is(path: Path, words: str) -> None:
    """Every key of it was unknown, a line each, and none of the lines said so."""
    with pytest.raises(UserError, match=f"{path.name} is no campaign but {words}") as caught:
        load(path)
    assert "\n" not in str(caught.value) and "htinvert" in str(caught.value)


def test_a_mistake_below_a_key_that_is_no_text_is_a_sentence() -> None:
    """The fuzzer found it: pydantic calls such a key 2, or "2.5", and that was looked up."""
    assert "experiments.2" in mistakes(with_(experiments={2: {"crop": "::"}}))
    assert "2.5 is no name" in mistakes(with_(experiments={2.5: {"crop": "::"}}))


def test_an_unknown_component_names_the_known_ones() -> None:
    assert "energy.use: energy lamps is unknown; did you mean lammps?" in mistakes(
        with_(energy={"use": "lamps"})
    )


def test_a_component_of_ones_own_is_found_by_module_and_attribute() -> None:
    config = parse(
        with_(energy={"use": "htinvert.energy.ase_calculator:AseCalculator", "name": "lj"})
    )
    assert config.energy["name"] == "lj"
    text = mistakes(with_(energy={"use": "no.such:thing"}))
    assert "cannot be imported" in text and "PYTHONPATH=FOLDER" in text


@pytest.mark.parametrize("use", [":x", "x:", "a..b:c", ".a:b", "os:no name"])
def test_what_cannot_name_a_module_and_attribute_is_refused(use: str) -> None:
    assert f"{use!r} is no name; write module:attribute" in mistakes(with_(energy={"use": use}))


@pytest.mark.parametrize("use", ["math:hypot", "subprocess:getoutput", "subprocess:Popen"])
def test_what_cannot_be_a_component_is_refused_before_it_is_called(use: str) -> None:
    for kind in ("energy", "structure"):
        found = mistakes(with_(**{kind: {"use": use, "cmd": "false"}}))
        assert f"{kind} {use} is no" in found


def test_nested_without_end_is_a_mistake() -> None:
    value: Any = "x"
    for _ in range(5000):
        value = [value]
    assert "nested more than 40 deep" in mistakes(with_(energy={"use": "chgnet", "fmax": value}))


def test_an_objective_that_nothing_computes_is_refused() -> None:
    text = mistakes(with_(objectives={"energy": 1.0, "haadf.registration": 2.0}))
    assert "objectives.haadf.registration is unknown" in text


def test_a_composition_range_must_not_be_upside_down() -> None:
    assert "Te asks for 5 to 3 atoms" in mistakes(with_(composition={"Te": [5, 3]}))


def test_one_number_of_atoms_is_the_fewest_and_the_most() -> None:
    assert parse(with_(composition={"Te": 4})).composition == {"Te": (4, 4)}
    assert "Te asks for -1 to -1 atoms" in mistakes(with_(composition={"Te": -1}))
    assert mistakes(with_(composition={"Te": True}))


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ({"above": "loose"}, "region.above"),
        ({"above": "rigid", "below": "rigid"}, "both rigid"),
        ({"move": "zx"}, "region.move is 'zx'; choose one of xyz"),
        ({"box": {"z": [1, 2]}}, "region.box bounds z"),
        ({"box": {"w": [1, 2]}}, "region.box.w"),
        ({"upper": 1.0}, "goes from 2 to 1 Å along z"),
        ({"abov": "rigid"}, "region.abov is unknown; did you mean above?"),
    ],
)
def test_a_region_is_checked_before_anything_is_built(region: dict[str, Any], message: str) -> None:
    assert message in mistakes(with_(region={"lower": 2.0, "upper": 4.0} | region))


def test_grains_are_frozen_unless_one_is_said_to_be_rigid() -> None:
    region = parse(with_(region={"lower": 2.0, "upper": 4.0})).region
    assert region is not None
    assert (region.below, region.above, region.box) == ("frozen", "frozen", {})
    given = {"lower": 2.0, "upper": 4.0, "above": "rigid", "box": {"x": [1, 2]}}
    region = parse(with_(region=given)).region
    assert region is not None
    assert (region.above, region.box) == ("rigid", {"x": (1.0, 2.0)})


def test_a_target_names_an_objective_or_the_total() -> None:
    assert parse(with_(stop={"target": {"energy": -3.0, "total": -2.0}})).stop.target["total"] == -2
    text = mistakes(with_(stop={"target": {"enrgy": -3.0}}))
    assert "stop.target.enrgy is unknown; did you mean energy?" in text


@pytest.mark.parametrize("rule", ["evaluations", "core_seconds", "minutes", "patience"])
def test_a_stop_rule_of_nothing_is_refused(rule: str) -> None:
    assert f"stop.{rule}: give a number above 0" in mistakes(with_(stop={rule: 0}))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "bad\udc80", "x" * 300])
def test_a_name_that_no_folder_can_have_is_refused(name: str) -> None:
    """Such experiments were evaluated to the end, and then could not be stored."""
    parts = {"forward": {"use": "stem_convolution"}, "metrics": {"registration": None}}
    block = {"data": "a.npy"} | parts
    text = mistakes(with_(experiments={name: block}))
    assert "is no name for an experiment; use up to 80 letters, digits, _ and -" in text
    assert text.isprintable()
    assert "name: " in mistakes(with_(name=name))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def thing(:\n", "SyntaxError: invalid syntax"),
        ("import sys\nsys.exit(0)\n", "SystemExit: 0"),
        ("raise ValueError('bad \\udc80')\n", r"ValueError: bad \udc80"),
    ],
)
def test_a_module_that_cannot_be_run_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, reason: str
) -> None:
    """The first was a traceback, the second ended the program with code 0 and without a word."""
    (tmp_path / "odd_module.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    text = mistakes(with_(energy={"use": "odd_module:thing"}))
    assert f"odd_module:thing cannot be imported, because its module raises {reason}" in text
    assert len(text.splitlines()) == 1
