"""The lock file and the containers, as far as they can be checked without building any."""

from __future__ import annotations

import json
import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
CONTAINER = ROOT / "deploy" / "container"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = ("lammps", "multislice")  # of the containers


def pins() -> dict[str, Version]:
    """The versions of the lock file by name."""
    lines = (ROOT / "deploy" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def wanted(requirement: Requirement, extras: set[str]) -> bool:
    """Whether a requirement holds here, for one of these extras or for none."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras})


def brought() -> list[Requirement]:
    """Everything that htinvert and these extras require, and what that requires in turn."""
    texts = [*PROJECT["dependencies"]]
    texts += [text for extra in EXTRAS for text in PROJECT["optional-dependencies"][extra]]
    open_, found = [Requirement(text) for text in texts], []
    seen: set[tuple[str, frozenset[str]]] = set()
    while open_:
        requirement = open_.pop()
        found.append(requirement)
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        try:
            further = requires(requirement.name) or []
        except PackageNotFoundError:  # the lock file alone tells
            continue
        open_ += [r for r in map(Requirement, further) if wanted(r, requirement.extras)]
    return found


def test_the_lock_file_pins_all_that_the_containers_install() -> None:
    pinned = pins()
    missing = {r.name for r in brought()} - {
        r.name for r in brought() if canonicalize_name(r.name) in pinned
    }
    assert missing == set()


def test_the_lock_file_satisfies_every_requirement() -> None:
    pinned = pins()
    wrong = [
        f"{requirement} is pinned to {pinned[name]}"
        for requirement in brought()
        if (name := canonicalize_name(requirement.name)) in pinned
        and not requirement.specifier.contains(pinned[name], prereleases=True)
    ]
    assert wrong == []


@pytest.mark.parametrize("extra", PROJECT["optional-dependencies"])
def test_every_extra_is_in_step_with_the_lock_file(extra: str) -> None:
    pinned = pins()
    for text in PROJECT["optional-dependencies"][extra]:
        requirement = Requirement(text)
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version, prereleases=True), requirement


def lines(name: str) -> str:
    """A container's file without its comments, continued lines joined."""
    text = (CONTAINER / name).read_text(encoding="utf-8").replace("\\\n", " ")
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def instructions(word: str) -> list[str]:
    """What stands behind a word of the Containerfile, blanks in rows made one."""
    found = re.findall(rf"^{word} (.+)$", lines("Containerfile"), re.M)
    return [" ".join(text.split()) for text in found]


def section(name: str) -> list[str]:
    """The lines of a section of the Apptainer definition, blanks in rows made one."""
    text = lines("htinvert.def").partition(f"%{name}\n")[2].partition("\n%")[0]
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def test_both_containers_begin_with_the_same_and_do_the_same_in_the_same_order() -> None:
    (base,) = instructions("ARG")
    assert instructions("FROM") == ["${BASE}"]
    bootstrap = re.findall(r"^(Bootstrap|From): (.+)$", lines("htinvert.def"), re.M)
    assert bootstrap == [("Bootstrap", "docker"), ("From", base.split("/library/")[1])]
    # Apptainer runs as whoever calls it, so the user of the image is the one step more.
    *steps, user = instructions("RUN")
    assert user.startswith("useradd ")
    assert section("post") == steps
    assert f"'/src[{','.join(EXTRAS)}]'" in steps[-1]
    assert "--constraint /src/deploy/constraints.txt" in steps[-1]


def test_both_containers_set_and_run_the_same() -> None:
    (environment,) = instructions("ENV")
    assert section("environment") == [f"export {environment}"]
    (entry,) = instructions("ENTRYPOINT")
    assert section("runscript") == [f'exec {json.loads(entry)[0]} "$@"']


def test_what_a_container_copies_exists_and_is_all_that_an_installation_needs() -> None:
    copies = re.findall(r"^COPY (.+) (/src\S*)$", lines("Containerfile"), re.M)
    sources = {source for names, _ in copies for source in names.split()}
    pairs = [line.split() for line in section("files")]
    assert {source for source, _ in pairs} == sources
    assert all(target == f"/src/{source}" for source, target in pairs)
    assert [source for source in sources if not (ROOT / source).exists()] == []
    needed = {"pyproject.toml", "htinvert", PROJECT["readme"], *PROJECT["license-files"]}
    assert needed | {"deploy/constraints.txt"} == sources


def test_the_image_has_a_python_that_htinvert_allows() -> None:
    pythons = {"bookworm": "3.11"}  # Debian's, https://packages.debian.org/bookworm/python3
    (release,) = re.findall(r"debian:(\w+)-slim", lines("Containerfile"))
    assert Version(pythons[release]) in Requirement(f"python{PROJECT['requires-python']}").specifier
