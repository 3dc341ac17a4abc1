"""Complete cases to begin from: a commented file, a structure, and data that may be shipped."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from htinvert.core import UserError
from htinvert.plugins import suggest

DATA = Path(str(files("htinvert"))) / "data"


@dataclass(frozen=True)
class Example:
    """One case.

    Attributes:
        about: what it is, in a few words.
        first: what is typed first, and then; ``{}`` stands for the folder.
        needs: the extra of htinvert that it takes, named as its package; empty for none.
        shared: files of other cases of ours, by the name that they get.
    """

    about: str
    first: tuple[str, ...]
    needs: str = ""
    shared: Mapping[str, str] = field(default_factory=dict)


def _campaign(name: str, last: str = "report") -> tuple[str, ...]:
    file = f"{{}}/{name}.yaml"
    return (f"htinvert check {file}", f"htinvert run {file}", f"htinvert {last} runs/{name}")


EXAMPLES: Mapping[str, Example] = {
    "boundary": Example(
        "a layer between two grains, in a micrograph as recorded (HAADF-STEM)",
        _campaign("boundary"),
        "lammps",
        {"grains.vasp": "demo/start.vasp", "answer.vasp": "demo/truth.vasp"},
    ),
    "curve": Example(
        "a particle by its pair distribution function G(r) and an energy",
        _campaign("curve"),
        shared={"particle.gr": "demo_pdf/experiment.gr", "answer.xyz": "demo_pdf/truth.xyz"},
    ),
    "joint": Example(
        "the order of elements in a particle, by an image, a G(r) and an energy together",
        _campaign("joint", "decide"),
    ),
    "cluster": Example("a copper cluster by its energy alone", _campaign("cluster", "rank")),
    "surface": Example("silver atoms on copper, in a scan by STM", _campaign("surface")),
    "bicrystal": Example(
        "two grains built to a common cell, to begin a campaign from",
        ("htinvert build {}/bicrystal.yaml -o {}/built",),
    ),
    "funnel": Example(
        "a cheap energy for many candidates, a better one for the best of them",
        ("htinvert run {}/1_screen.yaml", "htinvert run {}/2_refine.yaml"),
    ),
    "site": Example(
        "a campaign on a batch system, and how the site's file says so",
        ("htinvert check {}/campaign.yaml --cluster site.yaml",),
    ),
}


def example(name: str, folder: str | Path | None = None) -> Path:
    """Write a complete case into a folder (by default its name) and give its campaign's path.

    Raises :class:`UserError` as :func:`write_example` does.

    >>> ht.load(ht.example("curve"))  # doctest: +SKIP
    """
    paths = write_example(name, Path(folder or name))
    return next(path for path in paths if path.suffix == ".yaml")


def write_example(name: str, folder: Path) -> list[Path]:
    """Write the files of an example into a folder, and give their paths.

    Raises :class:`UserError` where there is no such example, and where a file is there already:
    nothing is replaced.
    """
    if name not in EXAMPLES:
        raise UserError(f"there is no example {name}; {suggest(name, list(EXAMPLES))}")
    sources = {path.name: path for path in sorted((DATA / "examples" / name).iterdir())}
    sources |= {own: DATA / place for own, place in EXAMPLES[name].shared.items()}
    there = [file for file in sources if (folder / file).exists()]
    if there:
        raise UserError(
            f"{folder / there[0]} exists already; name another folder: htinvert example {name} "
            "FOLDER"
        )
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for file, source in sources.items():
        shutil.copyfile(source, folder / file)
        written.append(folder / file)
    return written
