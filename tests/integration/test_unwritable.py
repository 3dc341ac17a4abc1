"""Places that cannot be written: a run that is only to be read, and outputs that cannot be."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from htinvert.core import UserError
from htinvert.store.trouble import OutOfSpace, explained

from .conftest import environment

Writer = Callable[..., Path]
Command = Callable[..., "subprocess.CompletedProcess[str]"]
NOBODY = 65534


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the one run of this module is kept."""
    return tmp_path_factory.mktemp("kept") / "tiny"


@pytest.fixture
def run(campaign: Writer, htinvert: Command, tmp_path: Path, kept: Path) -> Path:
    """A run of a few evaluations."""
    path = campaign(stop={"evaluations": 3})
    if not kept.is_dir():
        done = htinvert("run", path)
        assert done.returncode == 0, done.stderr
        shutil.copytree(tmp_path / "runs" / "tiny", kept)
    shutil.copytree(kept, tmp_path / "runs" / "tiny", dirs_exist_ok=True)
    return tmp_path / "runs" / "tiny"


@pytest.fixture
def stranger(run: Path) -> Iterator[Command]:
    """The command line of somebody who may read the run, ``runs/tiny``, and write ``out`` alone.

    Where pytest keeps its folders nobody but their owner may look.
    """
    if os.getuid() == 0 and not shutil.which("setpriv"):
        pytest.skip("root is stopped by nothing, and setpriv is not here")
    who = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    with tempfile.TemporaryDirectory(prefix="htinvert-public-") as name:
        public = Path(name)
        shutil.copytree(run.parents[1], public, dirs_exist_ok=True)
        for place in (public, *public.rglob("*")):
            place.chmod(0o555 if place.is_dir() else 0o444)
        out = public / "out"
        out.mkdir()
        out.chmod(0o777)

        def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
            words = [sys.executable, "-m", "htinvert.cli", *map(str, arguments)]
            own = environment(public) | {"HOME": str(out), "MPLCONFIGDIR": str(out)}
            return subprocess.run(
                ["setpriv", *who, *words] if os.getuid() == 0 else words,
                cwd=public,
                env=own,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )

        yield call
        for place in public.rglob("*"):
            place.chmod(0o777)


def test_a_run_that_is_only_to_be_read_is_read_by_all(stranger: Command) -> None:
    run = "runs/tiny"
    ranked = stranger("rank", run, "--scan", "Te=-2.2:-2.0")
    assert ranked.returncode == 0, ranked.stderr
    assert "the best at each potential" in ranked.stdout
    said = " ".join(ranked.stdout.split())
    for name in ("pareto.png", "potentials.png"):
        assert f"{name} cannot be written (Permission denied)" in said
    for typed_words in (
        ("watch", run, "--text", "--minutes", "0.01"),
        ("report", run, "--output", "out/report.html"),
    ):
        done = stranger(*typed_words)
        assert done.returncode == 0, (typed_words, done.stderr)
        assert "Traceback" not in done.stderr


def test_what_needs_a_run_to_be_written_says_so(stranger: Command) -> None:
    run = "runs/tiny"
    for typed_words in (("report", run), ("run", "tiny.yaml")):
        done = stranger(*typed_words)
        assert done.returncode == 2, (typed_words, done.stdout, done.stderr)
        assert "cannot be written (Permission denied)" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "typed_words",
    [
        ("run", "tiny.yaml", "--output", "file/run"),
        ("run", "tiny.yaml", "--output", "file"),
        ("run", "tiny.yaml", "--output", "a" * 300),
        ("export", "RUN", "file/best.xyz"),
        ("export", "RUN", "nowhere/best.csv"),
        ("report", "RUN", "--output", "file/report.html"),
        ("check", "tiny.yaml", "--picture", "file/picture.png"),
        ("build", "tiny.yaml", "--output", "file/built"),
        ("schema", "--output", "file/schema.json"),
    ],
    ids=lambda words: " ".join(words)[:40],
)
def test_a_place_that_cannot_be_is_a_mistake_and_not_a_full_disk(
    typed_words: tuple[str, ...], run: Path, htinvert: Command, tmp_path: Path
) -> None:
    """A job script puts a command back into the queue that ends with 75, for ever."""
    (tmp_path / "file").write_text("not a folder")
    done = htinvert(*(str(run) if word == "RUN" else word for word in typed_words))
    assert done.returncode == (0 if typed_words[0] == "check" else 2), done.stderr
    assert "Traceback" not in done.stderr
    said = done.stderr + done.stdout
    assert "cannot be" in said or "is a file" in said


@pytest.mark.parametrize(
    ("number", "code"),
    [
        *((errno.ENOTDIR, 2), (errno.ENAMETOOLONG, 2), (errno.EACCES, 2), (errno.ELOOP, 2)),
        *((errno.ENOSPC, 75), (errno.EDQUOT, 75), (errno.EIO, 75), (errno.ESTALE, 75)),
    ],
)
def test_only_what_may_pass_is_worth_another_try(number: int, code: int) -> None:
    found = explained(Path("run"), OSError(number, os.strerror(number)))
    assert isinstance(found, UserError) and found.code == code
    assert isinstance(found, OutOfSpace) == (code == 75)
