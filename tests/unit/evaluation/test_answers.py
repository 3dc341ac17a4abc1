"""What a component may answer: anything, and it is a number that can be kept, or a reason."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from htinvert.core import (
    Axis,
    Candidate,
    Channel,
    Evaluation,
    EvaluationFailed,
    Interrupted,
    Keep,
    Recipe,
    Relaxation,
    Score,
    Signal,
)
from htinvert.evaluation import surroundings
from htinvert.evaluation.evaluate import evaluate
from htinvert.evaluation.surroundings import files_are_closed

CANDIDATE = Candidate(0, bulk("CdTe", "zincblende", a=6.48, cubic=True), "random")
GOOD = Relaxation(CANDIDATE.atoms, -16.5, True, 1)


def of(energy: Callable[[Atoms], Any], *channels: Channel) -> Evaluation:
    found = evaluate(replace(CANDIDATE, atoms=CANDIDATE.atoms.copy()), Recipe(energy, channels))
    assert found.error is None or found.error.isprintable()
    assert len(found.error or "") <= 2000
    return found


def answering(**parts: Any) -> Evaluation:
    """With a relaxation that says something else."""
    return of(lambda atoms: replace(GOOD, **parts))


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"energy": -1e300}, "implausible energy: "),
        ({"energy": True}, "garbage: the engine returned no number"),
        ({"energy": "low"}, "garbage: the engine returned no number"),
        ({"energy": 1 + 1j}, "garbage: the engine returned no number"),
        ({"energy": 10**400}, "OverflowError: "),
        ({"energy": np.inf}, "not finite: the energy"),
        ({"steps": 2**70}, "garbage: the engine took 1180591620717411303424 steps"),
        ({"steps": -7}, "garbage: the engine took -7 steps"),
        ({"steps": "many"}, "garbage: the engine took 'many' steps"),
        ({"steps": True}, "garbage: the engine took True steps"),
        ({"steps": 1.5}, "garbage: the engine took 1.5 steps"),
        ({"force": np.nan}, "garbage: the engine leaves a force of nan"),
        ({"force": -1.0}, "garbage: the engine leaves a force of -1.0"),
        ({"force": "small"}, "garbage: the engine leaves a force of 'small'"),
        ({"converged": "yes"}, "garbage: converged is 'yes'"),
        ({"converged": None}, "garbage: converged is None"),
        ({"atoms": None}, "garbage: the engine returned no number or no atoms"),
    ],
)
def test_a_relaxation_that_says_nonsense_fails_with_it(parts: dict[str, Any], reason: str) -> None:
    """Energies without a declared limit were ranked best; a count of steps ended the campaign."""
    assert (answering(**parts).error or "").startswith(reason)


def test_numbers_of_numpy_are_taken_for_what_they_are() -> None:
    parts = {"energy": np.float32(-16.5), "steps": np.int64(3), "converged": np.True_}
    found = answering(**parts, force=np.float64(0.01)).relaxation
    assert found is not None
    numbers = (found.energy, found.steps, found.converged, found.force)
    assert [type(number) for number in numbers] == [float, int, bool, float]


def test_all_electrons_of_a_heavy_element_are_no_implausible_energy() -> None:
    """Thomas and Fermi, -0.7687 Z^(7/3) hartree: -1.4e6 eV per atom of element 118."""
    assert answering(energy=-0.7687 * 118 ** (7 / 3) * 27.2114 * 8).ok


class Mute(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        sys.exit(3)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("bad \udc80"), r"ValueError: bad \udc80"),
        (ValueError("\x1b[2J"), r"ValueError: \x1b[2J"),
        (ValueError("x" * 10**7), "ValueError: xxx"),
        (EvaluationFailed("bad \udc80"), r"bad \udc80"),
        (SystemExit(0), "SystemExit: 0"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (GeneratorExit(), "GeneratorExit"),
        (Mute(), "Mute: it cannot say why, because that raises SystemExit"),
    ],
)
def test_whatever_is_raised_is_a_reason(error: BaseException, reason: str, ignoring: None) -> None:
    """An engine's sys.exit(0) ended the campaign, with exit code 0."""

    def engine(atoms: Atoms) -> Any:
        raise error

    assert (of(engine).error or "").startswith(reason)


@pytest.fixture
def ignoring() -> Iterator[None]:
    """SIGINT is not Python's own, as in a campaign and its workers."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def listening() -> Iterator[None]:
    """SIGINT is Python's own, also where a shell started the tests in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("listening")
@pytest.mark.parametrize("error", [KeyboardInterrupt, Interrupted])
def test_a_person_still_ends_it(error: type[BaseException]) -> None:
    """Ctrl-C in a script raises the first, and the second Ctrl-C in a campaign the other."""

    def engine(atoms: Atoms) -> Any:
        raise error

    with pytest.raises(error):
        of(engine)


def test_in_a_thread_no_interrupt_is_a_persons() -> None:
    def engine(atoms: Atoms) -> Any:
        raise KeyboardInterrupt

    found = []
    thread = threading.Thread(target=lambda: found.append(of(engine)))
    thread.start()
    thread.join()
    assert found[0].error == "KeyboardInterrupt"


OBSERVED = Signal.image(np.eye(4), 0.2)


def channel(forward: Any = lambda atoms: OBSERVED, metric: Any = None) -> Channel:
    return Channel("haadf", OBSERVED, forward, {"cost": metric or (lambda a, b: Score(0.5))})


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (0.5, "garbage: haadf.cost returned a float instead of a score"),
        (Score("low"), "garbage: haadf.cost is 'low', which is no number"),  # type: ignore[arg-type]
        (Score(True), "garbage: haadf.cost is True"),
        (Score(np.nan), "haadf.cost is not finite"),
        (Score(0.5, {"a": "b"}), "garbage: the detail of haadf.cost says 'a': 'b'"),  # type: ignore[dict-item]
        (Score(0.5, None), "garbage: the detail of haadf.cost is None"),  # type: ignore[arg-type]
    ],
)
def test_a_metric_that_gives_no_score_fails(answer: Any, reason: str) -> None:
    found = of(lambda atoms: GOOD, channel(metric=lambda a, b: answer))
    assert (found.error or "").startswith(reason)


@pytest.mark.parametrize(
    "signal",
    [
        None,
        Signal(np.eye(4, dtype=complex), OBSERVED.axes),  # type: ignore[arg-type]
        Signal(np.full((4, 4), None), OBSERVED.axes),
        Signal(np.eye(4, dtype="f4"), (Axis("y", "Å", np.nan), Axis("x", "Å", 0.2))),
        Signal(np.eye(4, dtype="f4"), (Axis("y", "Å", 0.2), Axis("x", None, 0.2))),  # type: ignore[arg-type]
    ],
)
def test_a_signal_that_is_none_fails(signal: Any) -> None:
    kept = replace(CANDIDATE, keep=Keep((), np.inf))
    found = evaluate(kept, Recipe(lambda atoms: GOOD, (channel(lambda atoms: signal),)))
    assert (found.error or "").startswith("garbage: ")


def test_a_structure_that_a_component_changed_is_what_was_proposed() -> None:
    """A run of which a row had fewer atoms than were proposed could not be read any more."""

    def engine(atoms: Atoms) -> Relaxation:
        del atoms[0]
        return Relaxation(atoms, -16.5, True, 1)

    found = of(engine)
    assert (found.error or "").startswith("garbage: the engine made Cd3Te4 of Cd4Te4")
    assert found.candidate.atoms == CANDIDATE.atoms

    def forward(atoms: Atoms) -> Signal:
        atoms.positions += 1.0
        return OBSERVED

    assert "changed the structure" in (of(lambda a: good_copy(), channel(forward)).error or "")


def good_copy() -> Relaxation:
    return replace(GOOD, atoms=CANDIDATE.atoms.copy())


def test_what_is_done_to_the_process_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder was another for all that followed, an alarm ended the driver without a word."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    timer, handler = signal.getitimer(signal.ITIMER_REAL), signal.getsignal(signal.SIGTERM)

    def engine(atoms: Atoms) -> Any:
        os.chdir("/")
        (tmp_path / "here").rmdir()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 5000.0)
        return GOOD

    assert of(engine).ok
    assert Path.cwd() == tmp_path / "here"
    assert signal.getsignal(signal.SIGTERM) is handler
    assert signal.getitimer(signal.ITIMER_REAL)[0] == pytest.approx(timer[0], abs=2.0)


def test_an_alarm_that_goes_off_meanwhile_is_harmless() -> None:
    before, (left, every) = signal.getsignal(signal.SIGALRM), signal.setitimer(0, 0.0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def engine(atoms: Atoms) -> Any:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        time.sleep(0.05)
        return GOOD

    try:
        assert of(engine).ok
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, left, every)


def test_closed_files_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "_watched", [])
    assert not files_are_closed()
    assert not files_are_closed()
    os.close(surroundings._watched[0])
    assert files_are_closed()
