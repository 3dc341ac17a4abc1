"""Whatever goes wrong at the command line is one sentence and a code, of whatever kind it is."""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError

import pytest

from htinvert.core import EvaluationFailed, UserError


def ends(
    error: Exception,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> tuple[int, str]:
    """Code and words of a command that meets an error."""

    def meet() -> None:
        raise error

    monkeypatch.setattr(sys, "argv", ["htinvert", *words.split()])
    module = import_module("htinvert.cli.app")  # as an attribute it is the program itself
    monkeypatch.setattr(module, "app", meet)
    with pytest.raises(SystemExit) as end:
        module.main()
    return int(str(end.value.code)), capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            PackageNotFoundError("abtem"),
            'abtem is not installed; `pip install "htinvert[multislice]"`',
        ),
        (ModuleNotFoundError("no", name="abtem.x"), '`pip install "htinvert[multislice]"`'),
        (
            ModuleNotFoundError("no", name="nowhere"),
            "nowhere is not installed; `pip install nowhere`",
        ),
        (EvaluationFailed("it is constant"), "the structure cannot be compared: it is constant"),
    ],
)
def test_an_error_that_is_no_bug_is_a_sentence(
    error: Exception,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, said = ends(error, "locate x.npy", monkeypatch, capsys)
    assert code == 2
    assert said.startswith("htinvert: ") and sentence in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("number", "code", "advice"),
    [
        (errno.ENOSPC, 75, "free space there"),
        (errno.EDQUOT, 75, "free space there"),
        (errno.EIO, 75, "look at its disk or server"),
        (errno.ESTALE, 75, "look at its disk or server"),
        (errno.EMFILE, 75, "allow more open files (ulimit -n)"),
        (errno.EACCES, 2, "name another place, or give access"),
    ],
)
def test_an_error_of_the_system_is_a_sentence_also_where_it_names_no_file(
    number: int,
    code: int,
    advice: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A write or a sync that fails knows no name; what is no error of the system is a bug."""
    named = OSError(number, os.strerror(number), "x.png")
    found, said = ends(named, "report x", monkeypatch, capsys)
    assert (found, said) == (
        code,
        f"htinvert: x.png cannot be read or written ({os.strerror(number)}); {advice}\n",
    )
    unnamed = OSError(number, os.strerror(number))
    if code == 75:
        found, said = ends(unnamed, "report x", monkeypatch, capsys)
        assert found == code and said.startswith("htinvert: a file cannot be read or written")
    else:
        with pytest.raises(OSError, match="denied"):
            ends(unnamed, "report x", monkeypatch, capsys)


def test_a_module_of_our_own_that_is_missing_is_a_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ModuleNotFoundError):
        ends(ModuleNotFoundError("no", name="htinvert.x"), "locate", monkeypatch, capsys)


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("calibrate x.npy", "give --sampling [Å/px], such as 0.25"),
        ("calibrate x.yaml", "set the experiment's sampling [Å/px], such as 0.25"),
        ("check x", "set the experiment's sampling [Å/px], such as 0.25"),
    ],
)
def test_a_command_names_its_option_where_no_file_has_the_key(
    words: str, advice: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "x.npy has no pixel size; set the experiment's sampling [Å/px], such as 0.25"
    _, answer = ends(UserError(said), words, monkeypatch, capsys)
    assert advice in answer


def test_a_command_leaves_one_thread_to_linear_algebra_unless_its_user_says_otherwise() -> None:
    """Threads of OpenBLAS wait for each other on a busy machine."""
    import_module("htinvert.cli")
    assert os.environ["OPENBLAS_NUM_THREADS"]
