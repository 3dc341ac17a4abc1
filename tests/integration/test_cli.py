"""The command line, as a user meets it: from check to export, and every mistake in one sentence."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from ase.io import read
from skimage.io import imread

from .conftest import environment, experiment

Writer = Callable[..., Path]
Command = Callable[..., "subprocess.CompletedProcess[str]"]


def test_from_check_to_export(campaign: Writer, htinvert: Command, tmp_path: Path) -> None:
    path = campaign(workers=2)
    checked = htinvert("check", path)
    assert checked.returncode == 0, checked.stderr
    assert "60 x 40 px of 0.3 x 0.3 Å" in checked.stdout
    assert "s per candidate" in checked.stdout
    assert imread(tmp_path / "tiny-check.png").ndim == 3

    ran = htinvert("run", path)
    assert ran.returncode == 0, ran.stderr
    assert "best of" in ran.stdout
    assert re.search(r"^#\d{4} best ", ran.stdout, re.MULTILINE)  # a line per improvement
    folder = tmp_path / "runs" / "tiny"
    for name in ("best-haadf.png", "pareto.png"):
        assert imread(folder / name).std() > 0
    for name in ("config.yaml", "provenance.json", "log.jsonl", "journal.sqlite", "results.zarr"):
        assert (folder / name).exists()

    said = htinvert("status", folder)
    assert "0 on their way" in said.stdout
    assert "best: #" in said.stdout

    ranked = htinvert("rank", folder, "--top", "3", "--weight", "energy=0")
    assert ranked.returncode == 0, ranked.stderr
    assert "the 3 best of" in ranked.stdout

    assert htinvert("export", folder, "best.xyz", "--top", "2").returncode == 0
    structures = read(tmp_path / "best.xyz", ":")
    assert len(structures) == 2
    assert {"rank", "total", "haadf.registration"} <= set(structures[0].info)
    assert htinvert("export", folder, "best.cif", "--top", "1").returncode == 0
    assert len(read(tmp_path / "best-01.cif")) == len(structures[0])
    assert htinvert("export", folder, "all.csv").returncode == 0
    with (tmp_path / "all.csv").open() as file:
        rows = list(csv.DictReader(file))
    totals = [float(row["total"]) for row in rows]
    assert totals == sorted(totals)

    again = htinvert("run", path)
    assert "30 evaluations are done" in again.stdout


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"structure": {"use": "file", "path": "none.vasp"}}, "there is no structure file"),
        ({"experiments": experiment(image="none.png")}, "there is no image"),
        (
            {"experiments": experiment(sampling=None)},
            "has no pixel size; set the experiment's sampling",
        ),
        ({"composition": {"Cd": [3, 5], "Fe": [0, 2]}}, "CdTe.sw does not know Fe"),
        ({"composition": {"Xx": [0, 2]}}, "Xx is no chemical element"),
        ({"energy": {"use": "lammps", "potential": "none.sw"}}, "there is no potential none.sw"),
        ({"serach": {}}, "serach is unknown; did you mean search?"),
        (
            {
                "experiments": experiment(
                    forward={"use": "stem_convolution", "shape": [80, 80]},
                )
            },
            "larger",
        ),
        (
            {"experiments": experiment(free={"sorce_size": [0.5, 2]})},
            "free.sorce_size is unknown; did you mean source_size?",
        ),
        ({"region": {"axis": "z", "lower": 90, "upper": 95}}, "lies outside of the structure"),
        (
            {"experiments": experiment(forward={"use": "stem_convolution", "semiangle": -3})},
            "semiangle",
        ),
        ({"search": {"min_distance": {"Cd-Fe": 2.0}}}, "min_distance.Cd-Fe is no pair"),
        ({"search": {"generators": [{"use": "genetic", "operators": {"swap": 1}}]}}, "swap"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)
@pytest.mark.parametrize("verb", ["check", "run"])
def test_a_mistake_is_one_sentence_and_exit_code_2(
    campaign: Writer, htinvert: Command, verb: str, changes: dict[str, Any], sentence: str
) -> None:
    made = htinvert(verb, campaign(**changes))
    assert made.returncode == 2, made.stdout + made.stderr
    assert sentence in made.stderr
    assert len(made.stderr.strip().splitlines()) == 1
    assert "Traceback" not in made.stdout + made.stderr


def test_a_run_of_another_recipe_is_refused_with_the_fields(
    campaign: Writer, htinvert: Command
) -> None:
    assert htinvert("run", campaign(), "--evaluations", "3").returncode == 0
    other = htinvert("run", campaign(energy={"use": "lammps", "potential": "CdTe.sw", "fmax": 0.2}))
    assert other.returncode == 2
    assert "energy.fmax" in other.stderr
    assert "Traceback" not in other.stderr


def test_another_image_is_another_recipe(
    campaign: Writer, htinvert: Command, tmp_path: Path
) -> None:
    assert htinvert("run", campaign(), "--evaluations", "3").returncode == 0
    np.save(tmp_path / "image.npy", np.load(tmp_path / "image.npy")[::-1])
    path = tmp_path / "tiny.yaml"
    other = htinvert("run", path)
    assert other.returncode == 2
    assert "experiments.haadf.image" in other.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run", "none.yaml"), "there is no campaign file"),
        (("status", "nowhere"), "is not a run"),
        (("rank", "nowhere"), "is not a run"),
        (("export", "nowhere", "best.xyz"), "is not a run"),
    ],
)
def test_a_wrong_path_is_one_sentence(
    htinvert: Command, arguments: tuple[str, ...], sentence: str
) -> None:
    made = htinvert(*arguments)
    assert made.returncode == 2
    assert sentence in made.stderr
    assert "Traceback" not in made.stderr


def test_every_command_has_an_example(htinvert: Command) -> None:
    for verb in (
        "demo",
        "check",
        "run",
        "build",
        "calibrate",
        "register",
        "status",
        "rank",
        "export",
    ):
        shown = htinvert(verb, "--help")
        assert shown.returncode == 0
        assert f"Example: htinvert {verb}" in " ".join(shown.stdout.split())


def test_a_structure_is_registered_from_the_command_line(
    campaign: Writer, htinvert: Command, tmp_path: Path
) -> None:
    campaign()
    options = ("--sampling", "0.3", "--shape", "40x30", "-o", "out")
    done = htinvert("register", "crystal.vasp", "image.npy", *options)
    assert done.returncode == 0, done.stderr
    assert "figure of merit" in done.stdout
    for name in ("match.png", "parameters.json", "trials.csv", "movie.mp4"):
        assert (tmp_path / "out" / name).stat().st_size > 0
    assert list((tmp_path / "out" / "frames").glob("*.png"))


def test_a_known_crystal_calibrates_its_image(
    campaign: Writer, htinvert: Command, tmp_path: Path
) -> None:
    campaign()
    crystal = ("--phase", "CdTe", "--crystal", "zincblende", "-a", "6.48")
    made = htinvert("calibrate", "wide.npy", *crystal, "--zone", "1,0,0", "--sampling", "0.29")
    assert made.returncode == 0, made.stderr
    assert "pixel size 0.300" in made.stdout
    assert imread(tmp_path / "wide-calibration.png").std() > 0
    metrics = {"registration": {}}
    forward = {"use": "stem_convolution"}
    block = {"data": "wide.npy", "sampling": 0.29, "forward": forward, "metrics": metrics}
    (tmp_path / "wide.yaml").write_text(yaml.safe_dump(block))
    options = (*crystal, "--zone", "1,0,0", "--region", "0,60,0,80")
    part = htinvert("calibrate", "wide.yaml", *options)
    assert part.returncode == 0, part.stderr
    assert "pixel size 0.30" in part.stdout
    edges = htinvert("calibrate", "wide.yaml", *crystal, "--zone", "1,0,0", "--region", "1,2")
    assert edges.returncode == 2
    assert "TOP,BOTTOM,LEFT,RIGHT" in edges.stderr
    wrong = htinvert("calibrate", "wide.npy", *crystal, "--zone", "1,1,0", "--sampling", "0.29")
    assert wrong.returncode == 2
    assert "CdTe [100] fits better" in wrong.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("register", "none.vasp", "image.npy"), "there is no structure file"),
        (("register", "crystal.vasp", "image.npy"), "has no pixel size"),
        (("register", "crystal.vasp", "image.npy", "--shape", "4"), "ROWSxCOLUMNS"),
        (
            ("register", "crystal.vasp", "image.npy", "--sampling", "0.3", "--shape", "90x90"),
            "larger",
        ),
        (
            (
                "calibrate",
                "wide.npy",
                "--phase",
                "crystal.vasp",
                "--zone",
                "1,1",
                "--sampling",
                "0.3",
            ),
            "whole numbers",
        ),
    ],
)
def test_a_mistake_before_a_fit_is_one_sentence(
    campaign: Writer, htinvert: Command, tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    campaign()
    made = htinvert(*arguments)
    assert made.returncode == 2, made.stdout
    assert sentence in made.stderr
    assert "Traceback" not in made.stderr
    assert not (tmp_path / "registered").exists()


def test_a_process_ends_with_the_code_of_what_it_did(campaign: Writer, process: Command) -> None:
    """The others of these tests call the command line in their own process."""
    assert process("--version").returncode == 0
    wrong = process("check", campaign(stop={"evaluations": "many"}))
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("htinvert: ") and "evaluations" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_whoever_presses_ctrl_c_again_is_obeyed_at_once(
    campaign: Writer, process: Command, tmp_path: Path
) -> None:
    """The first one lets the candidate end that is evaluated; it is pressed from in there here."""
    (tmp_path / "pressed.py").write_text(
        "import os, signal, time\n"
        "from dataclasses import dataclass\n"
        "@dataclass(frozen=True)\n"
        "class Pressed:\n"
        "    def __call__(self, atoms):\n"
        "        for _ in 'ab':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "            time.sleep(0.01)\n"
        "        time.sleep(600)\n"
    )
    ended = process("run", campaign(energy={"use": "pressed:Pressed"}))
    assert ended.returncode == 130, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr


def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    """A real bash, with what `htinvert --show-completion bash` prints, as after installing it."""
    program = Path(sys.executable).with_name("htinvert")
    script = f"""
        eval "$({program} --show-completion bash)"
        complete -p htinvert
        for line in "ra" "report --sc" "match --wor"; do
            COMP_WORDS=(htinvert $line); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
            _htinvert_completion {program}
            echo "${{COMPREPLY[@]}}"
        done
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    hook, *completed = done.stdout.splitlines()
    assert hook.endswith("-F _htinvert_completion htinvert")
    assert completed == ["rank", "--scan", "--workers"]


@pytest.mark.parametrize(("seed", "code"), [(3, 2), (4, 0)])
def test_a_fit_of_noise_is_refused_or_warned_of_but_not_both(
    campaign: Writer, htinvert: Command, tmp_path: Path, seed: int, code: int
) -> None:
    """By these seeds it is as good as a decoy's, or a little better."""
    campaign()
    np.save(tmp_path / "noise.npy", np.random.default_rng(seed).normal(size=(60, 40)))
    said = htinvert("register", "crystal.vasp", "noise.npy", "--sampling", "0.3", "--no-movie")
    assert said.returncode == code
    assert ("was not found in the image" in said.stderr) == (code == 2)
    assert ("warning: the image shows nothing of this structure" in said.stdout) == (code == 0)
