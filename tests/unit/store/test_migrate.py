"""A run of every older format can be brought to this one, and loses nothing on the way."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from htinvert.cli import app
from htinvert.core import UserError
from htinvert.store import RunStore
from htinvert.store.salvage import verify

FIXTURES = Path(__file__).parent
OLD = [path.stem for path in sorted(FIXTURES.glob("schema-*.zip"))]


@pytest.fixture(params=OLD)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A run with 57 results of which some failed and two have an image, and 3 pending."""
    with zipfile.ZipFile(FIXTURES / f"{request.param}.zip") as archive:
        archive.extractall(tmp_path)
    return tmp_path / "run"


def test_an_old_run_is_refused_with_what_to_do(old: Path) -> None:
    with pytest.raises(UserError, match="htinvert migrate"):
        RunStore.open(old)


def test_a_migrated_run_holds_what_the_old_one_did(old: Path) -> None:
    done = CliRunner().invoke(app, ["migrate", str(old)])
    assert done.exit_code == 0, done.output
    assert verify(old, full=True).problems == []
    rng = np.random.default_rng
    with RunStore.open(old) as run:
        counts = run.counts()
        assert (counts.ok, counts.failed, counts.pending) == (49, 8, 3)  # every seventh fails
        assert counts.refused_by == {("rattle", "duplicate"): 1}
        assert (run.next_index, run.attempts(5)) == (61, 1)
        assert sorted(candidate.index for candidate in run.pending()) == [57, 58, 59]
        for index, evaluation in enumerate(run.evaluations(signals=True)):
            source = rng([7, index])  # as the fixture was made, see tests/integration
            n = int(source.integers(1, 9))
            assert np.array_equal(evaluation.candidate.atoms.numbers, source.integers(1, 90, n))
            assert evaluation.ok == (index % 7 != 3)
            assert bool(evaluation.signals) == (index % 50 == 0)
    again = CliRunner().invoke(app, ["migrate", str(old)])
    assert again.exit_code == 0 and "present format already" in again.output
    assert (old.parent / "run.format1" / "journal.sqlite").is_file()
