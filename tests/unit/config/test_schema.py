"""The JSON schema of campaigns: shipped ones obey it, mistakes do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from htinvert import plugins
from htinvert.config.schema import campaign_schema
from htinvert.config.yaml_file import StrictLoader, read_yaml

ROOT = Path(__file__).resolve().parents[3]
CAMPAIGNS = [
    *sorted((ROOT / "configs").glob("*.yaml")),
    *sorted((ROOT / "configs" / "clusters").glob("*.yaml")),
    *sorted((ROOT / "configs" / "funnel").glob("*.yaml")),
    ROOT / "htinvert" / "data" / "demo" / "demo.yaml",
]


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = campaign_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("path", CAMPAIGNS, ids=lambda path: path.stem)
def test_shipped_campaigns_obey_it(validator: Draft202012Validator, path: Path) -> None:
    raw = yaml.load(path.read_text(encoding="utf-8"), Loader=StrictLoader)  # noqa: S506
    assert [error.message for error in validator.iter_errors(raw)] == []


def test_every_component_is_in_it(validator: Draft202012Validator) -> None:
    definitions = validator.schema["$defs"]
    for kind in ("structure", "generator", "energy", "forward"):
        rules = definitions[kind]["allOf"]
        assert [rule["if"]["properties"]["use"]["const"] for rule in rules] == plugins.names(kind)
    potential = definitions["energy"]["allOf"][plugins.names("energy").index("lammps")]["then"]
    assert "ships with LAMMPS" in potential["properties"]["potential"]["description"]


def test_a_sentence_over_two_lines_of_a_docstring_is_said_wholly(
    validator: Draft202012Validator,
) -> None:
    rules = validator.schema["$defs"]["forward"]["allOf"]
    model = rules[plugins.names("forward").index("stem_convolution")]["then"]["properties"]
    assert model["center"]["description"].endswith("None: the middle of the cell.")


def test_what_a_component_inherits_is_described_as_its_own(
    validator: Draft202012Validator,
) -> None:
    rules = {
        rule["if"]["properties"]["use"]["const"]: rule["then"]["properties"]
        for rule in validator.schema["$defs"]["forward"]["allOf"]
    }
    for model in ("stem_convolution", "stem_multislice", "stm", "tem"):
        assert rules[model]["shear_x"]["description"].startswith("shift to the right per distance")
    assert rules["tem"]["defocus"]["description"].endswith("-1e5 to 1e5.")  # not the probe's 1e4


def test_units_and_bounds_are_those_that_components_declare(
    validator: Draft202012Validator,
) -> None:
    rules = validator.schema["$defs"]["forward"]["allOf"]
    model = rules[plugins.names("forward").index("stem_convolution")]["then"]["properties"]
    assert (model["semiangle"]["minimum"], model["semiangle"]["maximum"]) == (0.1, 200.0)
    assert "minimum" not in model["shift_x"], "an infinite bound is none"
    rules = validator.schema["$defs"]["structure"]["allOf"]
    box = rules[plugins.names("structure").index("box")]["then"]["properties"]
    assert box["size"]["description"] == "[Å]" and box["size"]["minimum"] == 0.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"energy": {"use": "chgnet", "fmax": -0.1}}, "-0.1 is less than the minimum of 0"),
        ({"serach": {}}, "'serach' was unexpected"),
        ({"energy": {"use": "lamps"}}, "is not valid under any of the given schemas"),
        ({"energy": {"use": "lammps", "potental": "x.sw"}}, "'potental' was unexpected"),
        ({"workers": -1}, "-1 is less than the minimum of 0"),
        ({"search": {"generators": [{"use": "genetic", "share": 0}]}}, "minimum of 0"),
    ],
)
def test_mistakes_are_underlined(
    validator: Draft202012Validator, change: dict[str, Any], message: str
) -> None:
    raw = read_yaml(ROOT / "htinvert" / "data" / "demo" / "demo.yaml") | change
    assert any(message in error.message for error in validator.iter_errors(raw))


def test_what_is_missing_is_missed_unless_another_campaign_has_it(
    validator: Draft202012Validator,
) -> None:
    assert not validator.is_valid({"name": "alone"})
    assert validator.is_valid({"name": "second", "extends": "first.yaml"})
