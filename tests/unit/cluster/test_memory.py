"""What a process needs and what a site gives to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from htinvert.cluster.connect import open_pool
from htinvert.cluster.memory import needs, require_memory
from htinvert.cluster.site import parse_site
from htinvert.config import parse
from htinvert.core import UserError
from htinvert.plan import Plan, make_plan


def plan(folder: Path, energy: dict[str, Any], **changes: Any) -> Plan:
    raw = {
        "name": "small",
        "structure": {"use": "box", "size": 10.0},
        "composition": {"Cu": [5, 5]},
        "energy": energy,
    }
    return make_plan(parse(raw | changes), folder=folder)


def site(memory: str, inner: int = 1) -> dict[str, Any]:
    settings = {"cores": 2, "processes": 2 // inner, "memory": memory, "interface": "lo"}
    return {"jobqueue": {"slurm": settings}, "htinvert": {"inner": inner}}


EMT = {"use": "ase", "name": "emt"}


@pytest.mark.parametrize(
    ("energy", "words"),
    [
        (EMT, "energy ase takes 0.3 GB, and each process has 0.2 GB in the jobs of here"),
        (EMT | {"limits": {"memory": 0.25}}, "energy ase takes 0.3 GB"),
    ],
)
def test_an_engine_that_does_not_fit_is_refused(
    energy: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=words):
        require_memory(plan(tmp_path, energy), parse_site(site("400MB"), "here.yaml"))


def test_a_limit_beyond_what_a_process_has_is_refused(tmp_path: Path) -> None:
    limited = plan(tmp_path, EMT | {"limits": {"memory": 3}})
    assert needs(limited) == {"energy ase": 0.3, "energy.limits.memory": 3.0}
    inside = parse_site(site("4GB", inner=2), "here.yaml")
    with pytest.raises(
        UserError,
        match=r"energy.limits.memory takes 3 GB, and each process has 2 GB in .* or lower inner",
    ):
        require_memory(limited, inside)
    require_memory(limited, parse_site(site("6GB", inner=2), "here.yaml"))


def test_a_run_that_does_not_fit_sends_no_job(tmp_path: Path) -> None:
    (tmp_path / "here.yaml").write_text(yaml.safe_dump(site("400MB")))
    misfit = plan(tmp_path, EMT, cluster="here.yaml")
    with pytest.raises(UserError, match="each process has 0.2 GB"), open_pool(misfit, tmp_path):
        pass
