"""Campaign files: strict YAML, and files that say only what differs from another one."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from htinvert.config.yaml_file import StrictLoader, located, merge, read_yaml
from htinvert.core import UserError


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-6", 1e-6), ("200e3", 200e3), ("-2E4", -2e4), ("1.5e+2", 150.0), ("3", 3), ("0.5", 0.5)],
)
def test_numbers_are_numbers(text: str, value: float) -> None:
    found = yaml.load(f"x: {text}", Loader=StrictLoader)["x"]  # noqa: S506
    assert found == value
    assert isinstance(found, int | float)


@pytest.mark.parametrize("text", ["e5", "1e", "x1e-6", "CdTe.sw"])
def test_words_stay_words(text: str) -> None:
    assert yaml.load(f"x: {text}", Loader=StrictLoader)["x"] == text  # noqa: S506


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "key a is given twice"),
        ("a: &b [1]\nc: *b\n", "aliases"),
        ("- 1\n- 2\n", "is not a campaign"),
        ("a: [1\n", "is not valid YAML"),
        pytest.param("a: " + "[" * 3000, "nested more than 40 deep", id="deep"),
        ("a: !!python/object/apply:os.system [ls]\n", "is not valid YAML"),
    ],
)
def test_yaml_that_means_trouble_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "campaign.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_yaml(path)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no campaign file"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(UserError, match=r"is a folder; name a campaign's file, it holds no .yaml"):
        read_yaml(tmp_path)
    (tmp_path / "own.yaml").touch()
    with pytest.raises(UserError, match=r"name a campaign's file, such as .*own\.yaml"):
        read_yaml(tmp_path)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("answer.vasp", "is a file of a structure, not a campaign; .*--structure answer.vasp"),
        ("POSCAR", "--structure POSCAR"),
        ("a.dm3", "is a file of an image, .*--image a.dm3"),
        ("Ni.gr", "is a file of a curve, .*--curve Ni.gr"),
    ],
)
def test_another_kind_of_file_is_named(tmp_path: Path, name: str, advice: str) -> None:
    (tmp_path / name).write_text("1 2\n")
    with pytest.raises(UserError, match=advice):
        read_yaml(tmp_path / name)


def test_a_campaign_extends_another_key_by_key(tmp_path: Path) -> None:
    (tmp_path / "screen.yaml").write_text(
        "name: screen\nseed: 3\nstop: {minutes: 2, patience: 9}\n"
    )
    (tmp_path / "refine.yaml").write_text("extends: screen.yaml\nname: refine\nstop: {patience: 5}")
    found = read_yaml(tmp_path / "refine.yaml")
    assert found == {"name": "refine", "seed": 3, "stop": {"minutes": 2, "patience": 5}}


def test_another_component_replaces_the_whole_block() -> None:
    below = {"energy": {"use": "lammps", "potential": "CdTe.sw", "fmax": 0.1}}
    assert merge(below, {"energy": {"use": "chgnet"}}) == {"energy": {"use": "chgnet"}}
    finer = merge(below, {"energy": {"fmax": 0.01}})
    assert finer == {"energy": {"use": "lammps", "potential": "CdTe.sw", "fmax": 0.01}}


def test_files_are_found_from_where_the_extended_campaign_lies(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    (tmp_path / "first" / "image.npy").touch()
    (tmp_path / "first" / "file").touch()
    structure = "structure: {use: file, path: none.vasp}\n"
    experiments = "experiments: {haadf: {image: image.npy}}\n"
    (tmp_path / "first" / "a.yaml").write_text(structure + experiments)
    (tmp_path / "second" / "b.yaml").write_text("extends: ../first/a.yaml\n")
    found = read_yaml(tmp_path / "second" / "b.yaml")
    assert found["experiments"]["haadf"]["image"] == "../first/image.npy"
    assert found["structure"] == {"use": "file", "path": "none.vasp"}


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("a.yaml", "a.yaml extends b.yaml, which extends it|b.yaml extends a.yaml"),
        ("[1]", r"extends is \[1\]; give the path"),
        ("none.yaml", "there is no campaign file"),
    ],
)
def test_a_wrong_base_says_so(tmp_path: Path, base: str, message: str) -> None:
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text(f"extends: {base}\n")
    with pytest.raises(UserError, match=message):
        read_yaml(tmp_path / "a.yaml")


def test_a_mistake_at_the_end_of_a_short_list_has_its_line(tmp_path: Path) -> None:
    path = tmp_path / "campaign.yaml"
    path.write_text("name: a\ncomposition:\n  Te: [38]\n")
    said = located(path, "composition.Te.1 is missing; give it a value")
    assert said == "campaign.yaml:3: composition.Te.1 is missing; give it a value"


def test_a_long_value_is_shortened_and_the_advice_stays(tmp_path: Path) -> None:
    path = tmp_path / "campaign.yaml"
    path.write_text("name: a\n")
    said = located(path, f"name: {'x' * 5000} is too long; give a short one")
    assert len(said) == 400
    assert said.startswith("campaign.yaml:1: name: xxx")
    assert said.endswith("xxx is too long; give a short one")


def test_a_text_that_is_no_name_of_a_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.yaml").write_text(f"credit: {'x' * 5000}\n")
    (tmp_path / "b.yaml").write_text("extends: other/a.yaml\n")
    assert read_yaml(tmp_path / "b.yaml")["credit"] == "x" * 5000
