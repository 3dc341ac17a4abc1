"""What became of a run's files: readers notice other ones, and find the same ones behind links."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.io import read, write

import htinvert as ht
from htinvert.campaign.inputs import changed_inputs, contents
from htinvert.campaign.load import load
from htinvert.config.campaign import stored
from htinvert.core import UserError
from htinvert.watch.state import State

Writer = Callable[..., Path]
Command = Callable[..., "subprocess.CompletedProcess[str]"]
FEW = {"evaluations": 4}
MADE_WITH = "is not what the run was made with"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the one run of this module is kept, with the files that it was made from."""
    return tmp_path_factory.mktemp("kept") / "all"


@pytest.fixture
def run(campaign: Writer, htinvert: Command, tmp_path: Path, kept: Path) -> Path:
    """A run whose potential, start structure and image lie beside its campaign."""
    if not kept.is_dir():
        from htinvert.energy.potential_files import shipped_potentials

        shutil.copy(shipped_potentials() / "CdTe.sw", tmp_path / "CdTe.sw")
        done = htinvert("run", campaign(stop=FEW))
        assert done.returncode == 0, done.stderr
        shutil.copytree(tmp_path, kept)
    shutil.copytree(kept, tmp_path, dirs_exist_ok=True)
    return tmp_path / "runs" / "tiny"


def noise(folder: Path) -> None:
    """Put an image of the same size and type in the image's place."""
    size = np.load(folder / "image.npy").shape
    np.save(folder / "image.npy", np.random.default_rng(1).integers(0, 400, size))


def shifted(folder: Path) -> None:
    """Put another structure in the start structure's place."""
    atoms: Any = read(folder / "start.vasp")
    atoms.positions[:, 0] += 0.3
    write(folder / "start.vasp", atoms, format="vasp")


def stiffer(folder: Path) -> None:
    """Put another potential in the potential's place."""
    text = (folder / "CdTe.sw").read_text()
    (folder / "CdTe.sw").write_text(text.replace("1.03", "1.04") + "# another\n")


OTHERS = {
    "experiments.haadf.data": noise,
    "structure.path": shifted,
    "energy.potential": stiffer,
}


def said(done: subprocess.CompletedProcess[str]) -> str:
    """All that a command has printed, on one line."""
    return " ".join((done.stdout + done.stderr).split())


def test_a_run_knows_its_own_files_again(run: Path, htinvert: Command) -> None:
    assert changed_inputs(run) == {}
    assert MADE_WITH not in said(htinvert("rank", run)) + said(htinvert("status", run))


@pytest.mark.parametrize("place", OTHERS)
def test_every_reader_says_which_file_is_another(
    place: str, run: Path, htinvert: Command, tmp_path: Path
) -> None:
    OTHERS[place](tmp_path)
    for typed in (
        ("rank", run),
        ("status", run),
        ("export", run, "best.xyz"),
        ("verify", run),
        ("report", run),
    ):
        done = htinvert(*typed)
        assert done.returncode == 0, done.stderr
        assert place in said(done) and MADE_WITH in said(done), typed[0]
    assert MADE_WITH in (run / "report.html").read_text(encoding="utf-8")
    with pytest.warns(UserWarning, match=MADE_WITH):
        found = ht.open(run)
    with found:
        assert MADE_WITH in found._repr_html_()
        with pytest.raises(UserError, match=MADE_WITH):
            found.draw(0)
    state = State(run)
    state.look()
    assert place in state.facts["changed"]


def test_nothing_is_claimed_from_another_image(
    run: Path, htinvert: Command, tmp_path: Path
) -> None:
    before = htinvert("report", run)
    assert "confidence" in before.stdout
    noise(tmp_path)
    after = htinvert("report", run)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "cannot be said" in after.stdout and "confidence" not in after.stdout
    assert "Nothing is pictured" in page and "bootstraps of the data" not in page


def test_data_that_was_moved_is_compared_as_well(
    run: Path, htinvert: Command, tmp_path: Path
) -> None:
    moved = tmp_path / "archive"
    moved.mkdir()
    (tmp_path / "image.npy").rename(moved / "image.npy")
    assert "confidence" in htinvert("report", run, "--data", "archive").stdout
    noise(moved)
    assert MADE_WITH in said(htinvert("report", run, "--data", "archive"))


def test_a_folder_is_what_is_in_it(tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    (library / "a.xyz").write_text("1\n\nCd 0 0 0\n")
    before = contents(library)
    (library / "b.xyz").write_text("1\n\nTe 0 0 0\n")
    with_both = contents(library)
    (library / "b.xyz").rename(library / "c.xyz")
    assert len({before, with_both, contents(library)}) == 3


def test_a_library_is_found_again_from_the_run(
    campaign: Writer, htinvert: Command, tmp_path: Path
) -> None:
    (tmp_path / "library").mkdir()
    shutil.copy(tmp_path / "crystal.vasp", tmp_path / "library")
    generators = [{"use": "library", "path": "library"}]
    path = campaign(search={"generators": generators}, region=None, composition=None, stop=FEW)
    assert htinvert("run", path).returncode == 0
    run = tmp_path / "runs" / "tiny"
    with ht.open(run) as found:
        assert found.plan.config.name == "tiny"
    shutil.copy(tmp_path / "start.vasp", tmp_path / "library")
    assert list(changed_inputs(run)) == ["search.generators.0.path"]


def behind_runs(folder: Path) -> None:
    """Let ``runs`` lead to a folder elsewhere, at another depth."""
    (folder / "scratch" / "deep" / "er").mkdir(parents=True)
    (folder / "runs").symlink_to(folder / "scratch" / "deep" / "er")


def behind_run(folder: Path) -> None:
    """Let the run's own folder lead elsewhere."""
    (folder / "scratch" / "deep" / "er").mkdir(parents=True)
    (folder / "runs").mkdir()
    (folder / "runs" / "tiny").symlink_to(folder / "scratch" / "deep" / "er")


def behind_data(folder: Path) -> None:
    """Let the image's folder lead elsewhere, and name the image by its way back."""
    (folder / "disk" / "images" / "today").mkdir(parents=True)
    (folder / "image.npy").rename(folder / "disk" / "images" / "image.npy")
    (folder / "here").symlink_to(folder / "disk" / "images" / "today")


@pytest.mark.parametrize(
    ("link", "data"),
    [
        (behind_runs, "image.npy"),
        (behind_run, "image.npy"),
        (behind_data, "here/../image.npy"),
    ],
)
def test_a_run_finds_its_files_from_behind_a_link(
    link: Callable[[Path], None],
    data: str,
    campaign: Writer,
    htinvert: Command,
    tmp_path: Path,
) -> None:
    haadf = {"data": data, "sampling": 0.3, "forward": {"use": "stem_convolution"}}
    path = campaign(experiments={"haadf": haadf | {"metrics": {"registration": None}}}, stop=FEW)
    link(tmp_path)
    assert htinvert("run", path).returncode == 0
    run = tmp_path / "runs" / "tiny"
    named = stored(run / "config.yaml").experiments["haadf"].data
    assert (run / named).samefile(tmp_path / data)
    assert load(run / "config.yaml").files["haadf"]
    if link is behind_runs:
        assert "confidence" in htinvert("report", run).stdout
