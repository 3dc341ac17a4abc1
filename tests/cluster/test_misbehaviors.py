"""Whatever a component does in a job, the jobs go on, and the run is readable after it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.misbehaviors import (
    DEADLY,
    GOOD,
    HARMLESS,
    MISBEHAVIORS,
    campaign,
    errors_of,
    name_number,
)

from .batch import Batch, only_grid_engine
from .conftest import NODES, Driver


@only_grid_engine
def test_a_run_in_jobs_survives_all_of_them(
    batch: Batch, start: Callable[..., Driver], tmp_path: Path
) -> None:
    shutil.copy(batch.site, tmp_path / "site.yaml")
    names = [*MISBEHAVIORS, *DEADLY]
    driver = start(campaign(tmp_path, names, cluster="site.yaml", workers=NODES))
    driver.end()
    assert batch.none_left(driver.name)
    errors = errors_of(tmp_path)
    assert len(errors) == len(names) + GOOD
    wrong = {name for name in names if bool(errors[name_number(name)]) == (name in HARMLESS)}
    assert wrong == set()
    assert all("died under this candidate" in errors[name_number(name)] for name in DEADLY)
    assert [errors[500 + i] for i in range(GOOD)] == [""] * GOOD
