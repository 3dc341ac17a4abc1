"""What a process needs and what a site gives to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from ase import Atoms

from htinvert.campaign.plan import Plan, make_plan
from htinvert.cluster.connect import open_pool
from htinvert.cluster.needs import machine_memory, needs, require_memory, require_memory_here
from htinvert.cluster.site import parse_site
from htinvert.config.campaign import Config, parse
from htinvert.core import Recipe, Relaxation, UserError


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


def parts(made: Plan) -> tuple[Config, Recipe, Atoms]:
    """What of a plan says what it needs."""
    return made.config, made.recipe, made.space.template


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
        require_memory(*parts(plan(tmp_path, energy)), parse_site(site("400MB"), "here.yaml"))


def test_a_limit_beyond_what_a_process_has_is_refused(tmp_path: Path) -> None:
    limited = plan(tmp_path, EMT | {"limits": {"memory": 3}})
    assert needs(*parts(limited)) == {"energy ase": 0.3, "energy.limits.memory": 3.0}
    inside = parse_site(site("4GB", inner=2), "here.yaml")
    with pytest.raises(
        UserError,
        match=r"energy.limits.memory takes 3 GB, and each process has 2 GB in .* or lower inner",
    ):
        require_memory(*parts(limited), inside)
    require_memory(*parts(limited), parse_site(site("6GB", inner=2), "here.yaml"))


def test_a_run_that_does_not_fit_sends_no_job(tmp_path: Path) -> None:
    (tmp_path / "here.yaml").write_text(yaml.safe_dump(site("400MB")))
    misfit = plan(tmp_path, EMT, cluster="here.yaml")
    with pytest.raises(UserError, match="each process has 0.2 GB"):
        open_pool(*parts(misfit), base=tmp_path, folder=tmp_path).__enter__()


@dataclass(frozen=True)
class Hungry:
    """An engine that takes as much as it is told for each atom."""

    each: float  # GB

    def memory_for(self, atoms: Atoms) -> float:
        return self.each * len(atoms)

    def __call__(self, atoms: Atoms) -> Relaxation:
        return Relaxation(atoms, 0.0, True, 0)


def test_an_engine_that_takes_more_than_the_machine_has_is_refused_before_it_does() -> None:
    """CHGNet for 2 238 atoms of Ni/Mo3B2 took all memory, and the system ended `check`."""
    made = plan(
        Path(), EMT, structure={"use": "prototype", "formula": "Cu", "crystal": "fcc", "a": 3.6}
    )
    config, recipe, start = parts(made)
    enough = machine_memory() / len(start)
    require_memory_here(config, replace(recipe, energy=Hungry(0.9 * enough)), start)
    with pytest.raises(UserError, match="cut the structure to fewer atoms around its region"):
        require_memory_here(config, replace(recipe, energy=Hungry(1.1 * enough)), start)
    assert needs(config, replace(recipe, energy=Hungry(2.0)), start) == {
        "energy ase": 2.0 * len(start)
    }
