"""The likeliest mistakes: each is answered in one sentence that says what to do.

The list is docs/messages.md; it is typed here as a user would, into the command line's own `main`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.io import read, write
from matplotlib import get_cachedir

from htinvert.cli import main
from htinvert.forward.stem_convolution import StemConvolution

from .conftest import experiment

Writer = Callable[..., Path]
Make = Callable[[Path], object]

ROOT = Path(__file__).resolve().parents[2]
DOCS = (ROOT / "docs" / "messages.md").read_text(encoding="utf-8")
OLD = "An old Python"
CHECK = "check tiny.yaml"
CALIBRATE = "calibrate wide.npy --phase CdTe --crystal zincblende -a 6.48"
PICTURE = ("tiny-check.png",)


@dataclass(frozen=True)
class Mistake:
    """What is typed and what is said of it: what is wrong, and what to do.

    ``changes`` are made to the campaign and ``make`` to its folder beforehand; ``missing`` is a
    package that is not installed. Where ``leaves`` names files, the mistake is only remarked upon:
    the command succeeds and writes them. ``drawn`` is written although the command fails.
    """

    name: str
    typed: str
    says: str
    advice: str
    changes: dict[str, Any] = field(default_factory=dict)
    make: Make = lambda folder: None
    leaves: tuple[str, ...] = ()
    drawn: tuple[str, ...] = ()
    missing: str = ""


def haadf(**changes: Any) -> dict[str, Any]:
    """A campaign whose only experiment has something else in its block; None removes."""
    return {"experiments": experiment(**changes)}


def stored(name: str, block: dict[str, Any]) -> Make:
    """Write a YAML file."""
    return lambda folder: (folder / name).write_text(json.dumps(block))


def boundary(up: list[int], **limits: Any) -> Make:
    """Write a boundary between two grains of CdTe, the upper one standing as given."""
    phase = {"use": "prototype", "formula": "CdTe", "crystal": "zincblende", "a": 6.48}
    grain = {"phase": phase | {"cubic": True}, "zone_axis": [1, 1, 0]}
    grains = {"top": grain | {"up": up}, "bottom": grain | {"up": [1, -1, 2], "tilt": 7}}
    sizes = {"width": [30, 60], "depth": [4, 20], "height": 10.0} | limits
    return stored("boundary.yaml", {"use": "bicrystal", **grains, **sizes})


def without_unit(folder: Path) -> None:
    """An ImageJ file of 0.202 Å/px that says nm instead of pm."""
    import tifffile

    pixels = np.load(folder / "image.npy").astype(np.uint16)
    resolution = (1 / 20.2, 1 / 20.2)
    tifffile.imwrite(
        folder / "far.tif", pixels, imagej=True, resolution=resolution, metadata={"unit": "nm"}
    )


def screenshot(folder: Path) -> None:
    """Eight bits in three colors with a white bar in a corner."""
    from imageio.v3 import imwrite

    gray = np.load(folder / "image.npy")
    gray = (255 * gray / gray.max()).astype(np.uint8)
    gray[-8:, :30] = 255
    imwrite(folder / "screen.png", np.stack([gray] * 3, axis=-1))


def two_signals(folder: Path) -> None:
    image = np.load(folder / "image.npy")
    np.savez(folder / "pair.npz", HAADF=image, ABF=-image, sampling=0.3)


def large_cell(folder: Path) -> None:
    pytest.importorskip("gpaw", reason="GPAW is not installed")
    write(folder / "large.vasp", read(folder / "crystal.vasp").repeat((2, 2, 1)), format="vasp")


def charge(folder: Path) -> None:
    """A CHGCAR of the start structure."""
    from ase.calculators.vasp import VaspChargeDensity

    density = VaspChargeDensity(None)
    density.atoms, density.chg = [read(folder / "start.vasp")], [np.ones((4, 4, 12))]
    density.write(str(folder / "CHGCAR"), format="chgcar")


def site(folder: Path) -> None:
    """A profile whose time limit YAML takes for a number of base 60."""
    lines = ("cores: 2", "processes: 2", "memory: 4GiB", "interface: lo", "walltime: 4:00:00")
    (folder / "site.yaml").write_text(
        "jobqueue:\n  slurm:\n" + "".join(f"    {x}\n" for x in lines)
    )


def run_before(folder: Path) -> None:
    """Run the campaign, then ask for other forces."""
    assert typed("run tiny.yaml --evaluations 2") == 0
    path = folder / "tiny.yaml"
    path.write_text(path.read_text().replace("CdTe.sw", "CdTe.sw\n  fmax: 0.2"))


def rewritten(name: str, **code: str) -> Make:
    """Write a text again, as another system would: ``newline``, ``encoding``."""
    return lambda folder: (folder / name).write_text((folder / name).read_text(), **code)


def tabs(folder: Path) -> None:
    path = folder / "tiny.yaml"
    path.write_text(path.read_text().replace("\n  axis:", "\n\taxis:"))


def umlauts(folder: Path) -> None:
    place = folder / "Proben für März"
    place.mkdir()
    (folder / "image.npy").rename(place / "Körner 1.npy")


def pixels(change: Callable[[Any], Any]) -> Make:
    """Change the image."""
    path = Path("image.npy")
    return lambda folder: np.save(folder / path, change(np.load(folder / path).astype(float)))


def hole(image: Any) -> Any:
    """An image with a pixel that was not measured."""
    image[3, 4] = np.nan
    return image


def upside_down(folder: Path) -> None:
    """Columns without any symmetry, and their image from bottom to top."""
    lopsided(folder, lambda image: image[::-1])


def mirrored(folder: Path) -> None:
    """The same columns, and their image from right to left."""
    lopsided(folder, lambda image: image[:, ::-1])


LOPSIDED = {
    "structure": {"use": "file", "path": "columns.vasp"},
    "region": {"axis": "z", "lower": 7.0, "upper": 9.5, "margin": 0.5},
    "composition": {"Te": [1, 2]},
}


def lopsided(folder: Path, turned: Callable[[Any], Any]) -> None:
    """Columns without any symmetry, and their image as it is turned."""
    places = [[0, 1, 1], [0, 4.2, 1], [0, 1, 4.5], [0, 3, 11.5], [0, 6, 5]]
    atoms = Atoms("CdTe4", places, cell=[4.5, 8.4, 14], pbc=True)
    write(folder / "columns.vasp", atoms, format="vasp")
    image = StemConvolution(sampling=0.3, shape=(80, 80), beam="x", up="z")(atoms).data
    noisy = np.random.default_rng(0).poisson(200 * image / image.max())
    np.save(folder / "image.npy", turned(noisy))


def flags(words: str) -> Make:
    """Give each atom of the start structure a word per direction."""

    def make(folder: Path) -> None:
        lines = (folder / "start.vasp").read_text().splitlines()
        atoms = [f"{line} {words}" for line in lines[8:] if line.strip()]
        text = "\n".join([*lines[:7], "Selective dynamics", lines[7], *atoms, ""])
        (folder / "start.vasp").write_text(text)

    return make


def named(symbol: str) -> Make:
    """Call cadmium something else in the start structure."""
    path = Path("start.vasp")
    return lambda folder: (folder / path).write_text(
        (folder / path).read_text().replace("Cd", symbol)
    )


def typed(line: str) -> int:
    """What a command line ends with."""
    sys.argv = ["htinvert", *line.split()]
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


MISTAKES = (
    Mistake(
        "No pixel size",
        CHECK,
        "image.npy has no pixel size",
        "set the experiment's sampling [Å/px], such as 0.25",
        haadf(sampling=None),
    ),
    Mistake(
        "A unit got lost",
        CHECK,
        "a pixel size of 202 Å/px shows no atoms",
        "Set the experiment's sampling [Å/px], such as 0.202",
        haadf(image="far.tif", sampling=None),
        without_unit,
    ),
    Mistake(
        "Header and lattice disagree",
        f"{CALIBRATE} --zone 1,0,0 --sampling 0.3078",
        "the header's 0.3078 was 2.6% too large",
        "to use it, write into the experiment's block: sampling: [0.3, 0.3]",
        leaves=("wide-calibration.png",),
    ),
    Mistake(
        "Wrong phase",
        "build silicon.yaml",
        "Si is given as fcc (Fm-3m, 12 neighbors at 2.73 Å)",
        "diamond (Fd-3m) with 4 at 2.35 Å; did you mean that?",
        make=stored(
            "silicon.yaml",
            {"use": "prototype", "formula": "Si", "crystal": "fcc", "a": 3.867, "cubic": True},
        ),
        leaves=("built", *(f"built/silicon.{kind}" for kind in ("cif", "png", "vasp", "xyz"))),
    ),
    Mistake(
        "Wrong zone axis",
        f"{CALIBRATE} --zone 1,1,0 --sampling 0.3",
        "the spots do not fit CdTe [110]",
        "CdTe [100] fits better",
    ),
    Mistake(
        "`up` is not across the beam",
        "build boundary.yaml",
        "up [1, 1, 1] is 35.26 degrees from zone_axis [1, 1, 0] instead of 90",
        "the nearest valid directions are [0, 0, 1]",
        make=boundary([1, 1, 1]),
    ),
    Mistake(
        "A screenshot",
        CHECK,
        "its 3 colors are averaged to gray",
        "prefer the instrument's own file",
        haadf(image="screen.png"),
        screenshot,
        PICTURE,
    ),
    Mistake(
        "Several signals",
        CHECK,
        "pair.npz holds 2 signals: HAADF (60 x 40), ABF (60 x 40)",
        "choose one with the experiment's signal, such as signal: HAADF",
        haadf(image="pair.npz", sampling=None),
        two_signals,
    ),
    Mistake(
        "An unknown key",
        CHECK,
        "tiny.yaml:29: search.generation is unknown",
        "did you mean generators?",
        {"search": {"generation": []}},
    ),
    Mistake(
        "No common cell",
        "build boundary.yaml",
        "no common cell of CdTe F-43m and CdTe F-43m is 30 to 35 Å wide",
        "widen width, depth, max_strain or max_turn: the nearest are (width x depth)",
        make=boundary([0, 0, 1], width=[30, 35], depth=[4, 8], max_strain=0.1),
    ),
    Mistake(
        "A cell too large for DFT",
        CHECK,
        "2000 evaluations take some 614.7 days",
        "search with a potential first",
        {
            "structure": {"use": "file", "path": "large.vasp"},
            "energy": {"use": "gpaw", "cutoff": 300.0},
            "stop": {"evaluations": 2000},
        },
        large_cell,
        PICTURE,
    ),
    Mistake(
        "No key for the Materials Project",
        "build phase.yaml",
        "there is no key for the Materials Project",
        "set MP_API_KEY",
        make=stored("phase.yaml", {"use": "materials_project", "query": "mp-406"}),
    ),
    Mistake(
        "An engine by another name",
        CHECK,
        "energy emt is unknown",
        "write {use: ase, name: emt}",
        {"energy": {"use": "emt"}},
    ),
    Mistake(
        "An element that the engine does not know",
        CHECK,
        "potential CdTe.sw does not know Fe (it covers Cd, Te)",
        "choose another engine or leave them out",
        {"composition": {"Cd": [3, 5], "Fe": [0, 2]}},
    ),
    Mistake(
        "A detector beyond the simulated angles",
        CHECK,
        "outer is 200 mrad but potential_sampling of 0.08 Å simulates up to 104 mrad",
        "leave potential_sampling out or lower outer",
        haadf(
            forward={
                "use": "stem_multislice",
                "inner": 90,
                "outer": 200,
                "potential_sampling": 0.08,
            }
        ),
    ),
    Mistake(
        "CHGCAR instead of PARCHG",
        CHECK,
        "this is the density of all electrons",
        "give an energy-selected one, such as VASP's PARCHG",
        haadf(forward={"use": "stm", "density": {"use": "file", "path": "CHGCAR"}}),
        charge,
    ),
    Mistake(
        "A signal that there is no model for",
        CHECK,
        "forward xps is unknown",
        "known are cbed, eels, exafs, pdf, phase, powder, stem_convolution, stem_multislice, stm, "
        "tem, xanes",
        haadf(forward={"use": "xps"}),
    ),
    Mistake(
        "More atoms than fit in",
        "run tiny.yaml",
        "composition asks for 80 atoms or more in the region, which has room for no more than",
        "ask for fewer, widen region.lower and region.upper, or give search.min_distance",
        {"composition": {"Cd": [40, 40], "Te": [40, 40]}},
    ),
    Mistake(
        "A time limit without quotes",
        f"{CHECK} --cluster site.yaml",
        "jobqueue.slurm.walltime is 14400",
        "write it in quotes, like '04:00:00'",
        make=site,
    ),
    Mistake(
        "The folder holds another run",
        "run tiny.yaml",
        "runs/tiny was made with another recipe: energy.fmax is 0.2 but was absent",
        "restore what differs, name a new folder for the run, or give it one with --output",
        make=run_before,
    ),
    Mistake(
        "Saved on Windows (BOM, line ends)",
        CHECK,
        "Cd10Te8",
        "cell 6.480 x 6.480 x 19.440 Å, 18 atoms",
        make=lambda folder: (
            rewritten("tiny.yaml", encoding="utf-8-sig", newline="\r\n")(folder),
            rewritten("start.vasp", encoding="utf-8-sig", newline="\r\n")(folder),
        ),
        leaves=PICTURE,
    ),
    Mistake(
        "Saved as UTF-16",
        CHECK,
        "tiny.yaml is text in UTF-16, not in UTF-8",
        "save it as UTF-8",
        make=rewritten("tiny.yaml", encoding="utf-16"),
    ),
    Mistake(
        "Tabs in YAML",
        CHECK,
        "tiny.yaml is not valid YAML: line 24 has a tab where it begins",
        "indent with spaces",
        make=tabs,
    ),
    Mistake(
        "A path with spaces and umlauts",
        CHECK,
        "Proben für März/Körner 1.npy",
        "60 x 40 px of 0.3 x 0.3 Å",
        haadf(image="Proben für März/Körner 1.npy"),
        umlauts,
        PICTURE,
    ),
    Mistake(
        "Two files swapped",
        "register image.npy start.vasp",
        "image.npy is an image, not a structure",
        "give the structure here, and check whether two files were swapped",
    ),
    Mistake(
        "An image upside down",
        CHECK,
        "it lies mirrored top to bottom (correlation 1.00)",
        "write place: auto into the experiment's block",
        LOPSIDED,
        upside_down,
        drawn=PICTURE,
    ),
    Mistake(
        "A mirrored image",
        CHECK,
        "it lies mirrored left to right (correlation 1.00)",
        "write place: auto into the experiment's block",
        LOPSIDED,
        mirrored,
        drawn=PICTURE,
    ),
    Mistake(
        "A pixel size ten times off",
        CHECK,
        "with a pixel size of 0.3 instead of 3 Å/px it is found (correlation 0.71)",
        "check the unit, Å",
        haadf(sampling=3.0),
        drawn=PICTURE,
    ),
    Mistake(
        "A stack",
        CHECK,
        "image.npy is a series of 5 images",
        "choose one with channel, from 0 to 4",
        make=pixels(lambda image: np.stack([image] * 5)),
    ),
    Mistake(
        "Complex numbers",
        CHECK,
        "image.npy holds complex numbers, as a Fourier transform",
        "give an image",
        make=pixels(np.fft.fft2),
    ),
    Mistake(
        "NaN",
        CHECK,
        "image.npy has pixels that are not finite numbers",
        "mask or crop them",
        make=pixels(hole),
    ),
    Mistake(
        "A constant image",
        CHECK,
        "image.npy is the same everywhere",
        "check the file, its crop and prepare",
        make=pixels(np.ones_like),
    ),
    Mistake(
        "Fewest above most",
        CHECK,
        "composition: Cd asks for 5 to 3 atoms",
        "give fewest, most",
        {"composition": {"Cd": [5, 3]}},
    ),
    Mistake(
        "Workers below zero",
        "run tiny.yaml --workers -2",
        "workers: give 0 or more",
        "(given: -2)",
    ),
    Mistake(
        "A folder that is only to be read",
        "run tiny.yaml --output /proc/tiny",
        "/proc/tiny cannot be written",
        "name another folder for the run, or let this one be written by you",
    ),
    Mistake(
        "An extra is missing",
        CHECK,
        "abtem is not installed",
        '`pip install "htinvert[multislice]"`',
        haadf(forward={"use": "stem_multislice"}),
        missing="abtem",
    ),
    Mistake(
        "Flags that are words",
        CHECK,
        "atom 0 has not three flags of T or F ('fixed free free')",
        "give each atom its own, or leave the line out",
        make=flags("fixed free free"),
    ),
    Mistake(
        "A dummy atom X",
        CHECK,
        "X is no chemical element but a place holder",
        "name the element, or leave it out",
        make=named("X"),
    ),
    Mistake(
        "Deuterium D",
        CHECK,
        "D is no chemical element but an isotope of hydrogen",
        "write H",
        make=named("D"),
    ),
    Mistake(
        "An option left out",
        CALIBRATE,
        "calibrate needs --zone (zone axis toward the viewer, such as 1,1,0)",
        "as in `htinvert calibrate twin.dm3 --phase CdTe",
    ),
    Mistake(
        "An option or a command misspelled",
        "run tiny.yaml --wrkers 2",
        "run has no option --wrkers",
        "did you mean --workers?",
    ),
)


@pytest.fixture
def desk(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """An empty folder to work in, a wide terminal, and a home without keys."""
    get_cachedir()  # matplotlib's, before the home is another one
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("NO_COLOR", "1")
    for name in ("MP_API_KEY", "PMG_MAPI_KEY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_the_documentation_lists_them() -> None:
    rows = re.findall(r"^\| \d+ \| (.+?) \|", DOCS, re.M)
    assert rows == [*(mistake.name for mistake in MISTAKES), OLD]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_answered_in_one_sentence(
    mistake: Mistake,
    desk: Path,
    campaign: Writer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    campaign(**mistake.changes)
    mistake.make(desk)
    if mistake.missing:
        monkeypatch.setitem(sys.modules, mistake.missing, None)
    capsys.readouterr()
    before = set(desk.rglob("*"))
    code = typed(mistake.typed)
    said = capsys.readouterr()
    assert code == (0 if mistake.leaves else 2), said.err
    answer = said.out if mistake.leaves else said.err
    assert mistake.says in answer
    assert mistake.advice in answer
    assert "Traceback" not in said.out + said.err
    assert len(said.err.splitlines()) == (0 if mistake.leaves else 1)
    left = {str(path.relative_to(desk)) for path in set(desk.rglob("*")) - before}
    left -= {"runs/tiny/epoch/2"}  # every driver of a run has a number, also one that is refused
    assert left == set(mistake.leaves + mistake.drawn)
    row = next(line for line in DOCS.splitlines() if f"| {mistake.name} |" in line)
    assert mistake.advice in row


def test_an_old_python_is_told_before_anything_is_installed(tmp_path: Path) -> None:
    """The stand-in answers as Python 3.9 does: with its version, and no to "new enough?"."""
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\ncase "$2" in *version_info\\[*) echo 3.9;; *) exit 1;; esac\n')
    old.chmod(0o755)
    made = subprocess.run(
        [ROOT / "deploy" / "make-venv", tmp_path / "venv"],
        env={"PATH": "/usr/bin:/bin", "PYTHON": str(old)},
        capture_output=True,
        text=True,
        check=False,
    )
    advice = "install one or name it: make setup PYTHON=/path/to/python"
    assert made.returncode == 2 and not (tmp_path / "venv").exists()
    assert f"but {old} is Python 3.9; {advice}" in made.stderr
    assert advice in next(line for line in DOCS.splitlines() if f"| {OLD} |" in line)


def test_a_region_too_full_to_be_filled_is_told_before_a_run(
    desk: Path, campaign: Writer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fifty spheres of 1.93 Å would fit in if they were packed, but none are put there so."""
    campaign(composition={"Cd": [25, 25], "Te": [25, 25]})
    assert typed(CHECK) == 2
    said = capsys.readouterr().err
    assert "none of the first 4 proposals came about: the region has no room" in said
    assert "widen the region, ask for fewer atoms in composition" in said
