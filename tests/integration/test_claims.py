"""What a run claims, and by which numbers: of one family, of unlike compositions."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from htinvert.core import Objective
from htinvert.ranking.rank import raw_energies

from .conftest import experiment

Writer = Callable[..., Path]
Command = Callable[..., "subprocess.CompletedProcess[str]"]

ENERGY = [Objective("energy", 1.0), Objective("haadf.registration", 1.0)]
UNLIKE = [{"Cd": 3, "Te": 5}, {"Cd": 5, "Te": 5}]


def words(done: subprocess.CompletedProcess[str]) -> str:
    """What a command has printed, on one line."""
    return " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize(
    ("objectives", "counts", "potentials", "elements"),
    [
        (ENERGY, UNLIKE, {}, "Cd"),
        (ENERGY, UNLIKE, {"Te": -2.0}, "Cd"),
        (ENERGY, UNLIKE, {"Cd": -2.0}, ""),
        (ENERGY, UNLIKE[:1], {}, ""),
        (ENERGY, [*UNLIKE, {"Cd": 3}], {}, "Cd and Te"),
        ([Objective("formation_energy", 1.0)], UNLIKE, {}, "Cd"),
        ([Objective("energy", 0.0), *ENERGY[1:]], UNLIKE, {}, ""),
        (ENERGY, [], {}, ""),
    ],
)
def test_energies_of_unlike_compositions_need_chemical_potentials(
    objectives: list[Objective],
    counts: list[dict[str, int]],
    potentials: dict[str, float],
    elements: str,
) -> None:
    said = raw_energies(objectives, counts, potentials)
    assert said.startswith(f"raw energies: candidates differ in how many {elements} they") is bool(
        elements
    )
    assert bool(said) is bool(elements)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the one run of this module is kept."""
    return tmp_path_factory.mktemp("kept") / "tiny"


@pytest.fixture
def run(campaign: Writer, htinvert: Command, tmp_path: Path, kept: Path) -> Path:
    """A run without chemical potentials, though its composition may vary."""
    path = campaign(chemical_potentials=None, stop={"evaluations": 6})
    if not kept.is_dir():
        done = htinvert("run", path)
        assert done.returncode == 0, done.stderr
        assert "raw energies: " in words(done)
        shutil.copytree(tmp_path / "runs" / "tiny", kept)
    shutil.copytree(kept, tmp_path / "runs" / "tiny", dirs_exist_ok=True)
    return tmp_path / "runs" / "tiny"


def test_raw_energies_are_said_everywhere(run: Path, htinvert: Command, tmp_path: Path) -> None:
    for typed in (("check", "tiny.yaml"), ("rank", run), ("report", run)):
        done = htinvert(*typed)
        assert done.returncode == 0, done.stderr
        if typed[0] != "report":
            assert "raw energies: candidates differ in how many " in words(done), typed
    assert "raw energies: " in (run / "report.html").read_text(encoding="utf-8")


def test_nothing_is_said_where_potentials_are_given(campaign: Writer, htinvert: Command) -> None:
    done = htinvert("check", campaign())
    assert done.returncode == 0 and "raw energies" not in words(done)


def test_one_family_does_not_stand_alone(
    campaign: Writer, htinvert: Command, tmp_path: Path
) -> None:
    """It once did: at 90% confidence none of the 0 next best could take its place."""
    assert htinvert("run", campaign(stop={"evaluations": 1})).returncode == 0
    run = tmp_path / "runs" / "tiny"
    done = htinvert("report", run)
    assert "is the only family that was found; how sure that is cannot be said" in words(done)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "stands alone" not in page and "% of bootstraps" not in page


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (("rank", "RUN", "--weight", "energy=nan"), "the weight of energy is nan; give a finite"),
        (("rank", "RUN", "--weight", "energy=-1"), "the weight of energy is -1; give a finite"),
        (
            ("rank", "RUN", "--weight", "energy=0", "--weight", "haadf.registration=0"),
            "nothing ranks if all weights are 0",
        ),
        (("report", "RUN", "--energy-error", "nan"), "must be finite and not negative"),
        (("report", "RUN", "--position-error", "inf"), "must be finite and not negative"),
        (("watch", "RUN", "--text", "--minutes", "nan"), "minutes is nan; give a number above 0"),
        (("run", "tiny.yaml", "--minutes", "nan"), "stop.minutes is nan; give a finite number"),
        (("run", "tiny.yaml", "--minutes", "-1"), "stop.minutes: give a number above 0"),
    ],
)
def test_a_number_on_the_command_line_must_be_one(
    typed: tuple[str, ...], says: str, run: Path, htinvert: Command
) -> None:
    done = htinvert(*(str(run) if word == "RUN" else word for word in typed))
    assert done.returncode == 2, done.stdout
    assert says in words(done) and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["a/b", "a.b", "", "x" * 300, "<b>", "a b", "\u00e4"])
@pytest.mark.parametrize("what", ["experiment", "metric"])
def test_a_name_that_no_file_or_column_can_have_is_refused_before_anything_begins(
    what: str, name: str, campaign: Writer, htinvert: Command
) -> None:
    haadf = {"image": "image.npy", "sampling": 0.3, "forward": {"use": "stem_convolution"}}
    metrics = {name: {"use": "registration"}} if what == "metric" else {"registration": None}
    experiments = {"haadf" if what == "metric" else name: haadf | {"metrics": metrics}}
    done = htinvert("run", campaign(experiments=experiments))
    assert done.returncode == 2
    assert f"is no name for a{'n' * (what == 'experiment')} {what}; use up to 80" in words(done)


@pytest.mark.parametrize(
    ("name", "bounds", "says"),
    [
        ("source_size", [-1.0, 2.0], "source_size is -1.0 but must be from 0 to 10 Å"),
        ("source_size", [0.5, float("inf")], "is inf; give a finite number"),
        ("sampling", [0.0, 0.5], "sampling is 0.0 \u00c5/px but must be positive"),
        ("inner", [0.0, 200.0], "outer is 150.0 mrad but must exceed inner, 200.0 mrad"),
        ("beam", [0.0, 1.0], "is 'x', which is no number that could be fitted"),
        ("shape", [10.0, 20.0], "is (60, 40), which is no number that could be fitted"),
    ],
)
def test_a_fit_cannot_leave_what_its_model_takes(
    name: str, bounds: list[float], says: str, campaign: Writer, htinvert: Command
) -> None:
    """The fit itself came upon it, after check had shown its table."""
    experiments = experiment(free={name: bounds})
    done = htinvert("run", campaign(experiments=experiments))
    assert done.returncode == 2 and f"experiments.haadf.free.{name}" in words(done)
    assert says in words(done)
