"""The README keeps its word: its code runs, its commands and files exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from htinvert.cli.app import app
from htinvert.config.campaign import parse
from htinvert.config.examples import write_example
from htinvert.config.yaml_file import StrictLoader

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Contents of the README's fenced blocks in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S)


def commands() -> list[list[str]]:
    """The README's shell commands, split into words, without comments and prompts."""
    lines = "\n".join(blocks("bash")).splitlines()
    words = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]
    return [line for line in words if line]


def of(program: str) -> list[list[str]]:
    return [words for words in commands() if words[0] == program]


def help_page(*words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--help"])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_readme_is_one_screen() -> None:
    assert len(README.splitlines()) <= 60


@pytest.mark.parametrize("code", blocks("python"))
def test_python_runs(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})  # noqa: S102


@pytest.mark.parametrize("words", of("make"), ids=" ".join)
def test_make_targets_exist(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in words[1:]:
        assert re.search(rf"^{target}:", makefile, re.M), f"no target {target}"


@pytest.mark.parametrize("words", of("htinvert"), ids=" ".join)
def test_htinvert_commands_and_options_exist(words: list[str]) -> None:
    page = help_page(words[1])
    for option in (word for word in words[2:] if word.startswith("-")):
        assert option.partition("=")[0] in page, f"htinvert {words[1]} has no {option}"


def test_the_command_table_lists_commands_that_exist() -> None:
    table = re.findall(r"^\| `htinvert (\w+)", README, re.M)
    page = help_page()
    assert table
    assert [name for name in table if not re.search(rf"\b{name}\b", page)] == []


def test_files_named_are_written_by_an_example_or_lie_here(tmp_path: Path) -> None:
    """Whoever types the commands in their order, in an empty folder, finds what they name."""
    for words in of("htinvert"):
        if words[1] == "example" and len(words) > 2:
            write_example(words[2], tmp_path / words[2])
    named = [word for words in commands() for word in words if word.endswith(".yaml")]
    assert named
    for name in named:
        assert (tmp_path / name).is_file() or (ROOT / name).is_file(), name


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert [target for target in targets if not (ROOT / target).exists()] == []


@pytest.mark.parametrize("text", blocks("yaml"))
def test_yaml_is_a_valid_campaign(text: str) -> None:
    config = parse(yaml.load(text, Loader=StrictLoader), source=ROOT / "README.md")  # noqa: S506
    assert config.objectives
