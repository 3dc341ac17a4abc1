"""Site files: every one in deploy/ is valid and commented, and makes the script that it should."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import dask
import pytest
import yaml
from dask.config import collect_env

from htinvert.cluster.connect import job_script, run_name
from htinvert.cluster.settings import (
    asked_memory,
    default_walltime,
    known_keys,
    read_walltime,
    write_walltime,
)
from htinvert.cluster.site import SYSTEMS, Terms, lifetime, load_site, parse_site
from htinvert.core import UserError
from htinvert.pool.workers import SETTINGS

SITES = sorted((Path(__file__).resolve().parents[3] / "deploy" / "sites").glob("*.yaml"))
SCRIPTS = Path(__file__).parent / "scripts"
every_site = pytest.mark.parametrize("path", SITES, ids=lambda path: path.stem)


def small(**changes: Any) -> dict[str, Any]:
    settings = {"cores": 2, "processes": 2, "memory": "4GiB", "interface": "lo"} | changes
    return {"jobqueue": {"slurm": settings}}


@every_site
def test_every_site_is_valid(path: Path) -> None:
    site = load_site(path.stem, Path())
    assert site.system in SYSTEMS
    assert site.terms.encrypt


@every_site
def test_every_key_of_a_site_has_a_comment(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():
        if re.match(r"\s+(# )?[\w-]+:\s*\S", line):
            assert line.count("# ") >= 1, f"{path.name}: {line}"


def test_every_batch_system_has_a_site() -> None:
    assert {next(iter(yaml.safe_load(p.read_text())["jobqueue"])) for p in SITES} == set(SYSTEMS)


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_job_script_is_the_one_on_file(system: str, tmp_path: Path) -> None:
    """What a batch system is sent changes only on purpose: write the new text, then read it."""
    folder = tmp_path / "run"
    script = job_script(system, Path(), folder)
    plain = script.replace(str(folder), "RUN").replace(run_name(folder), "hti-00000000")
    plain = plain.replace(sys.executable, "PYTHON")
    assert plain == (SCRIPTS / f"{system}.txt").read_text(encoding="utf-8")
    assert not folder.exists()


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_worker_shows_its_pages_to_its_own_machine_only(system: str, tmp_path: Path) -> None:
    script = job_script(system, Path(), tmp_path)
    assert "--dashboard-address 127.0.0.1:0" in script
    assert "--tls-key" in script
    assert "--nthreads 1 " in script


@pytest.mark.parametrize(
    ("text", "system", "seconds"),
    [
        ("04:00:00", "slurm", 14400),
        ("1-00:00:00", "slurm", 86400),
        ("1-06", "slurm", 108000),
        ("90", "slurm", 5400),
        ("10:30", "slurm", 630),
        ("04:00", "lsf", 14400),
        ("3600", "sge", 3600),
        ("72:00:00", "pbs", 259200),
        ("10:30", "pbs", 630),
        ("1:30", "oar", 5400),
        ("2", "oar", 7200),
    ],
)
def test_time_limits_are_read_as_the_systems_do(text: str, system: str, seconds: float) -> None:
    """After the manual pages of sbatch (--time), bsub (-W), qsub (h_rt), oarsub, pbs_resources."""
    assert read_walltime(text, system) == seconds


DIRECTIVES = {
    "slurm": "#SBATCH -t ",
    "pbs": "#PBS -l walltime=",
    "sge": "#$ -l h_rt=",
    "lsf": "#BSUB -W ",
    "oar": "walltime=",
}
"""What stands before the time limit in a job's script; HTCondor's jobs have none."""


@pytest.mark.parametrize("system", DIRECTIVES)
@pytest.mark.parametrize(
    ("text", "hours"), [("04:00:00", 4), ("1-00:00:00", 24), ("1-06", 30), ("100:30:00", 100.5)]
)
def test_a_time_limit_reaches_the_queue_in_its_own_words(
    text: str, hours: float, system: str, tmp_path: Path
) -> None:
    """LSF has no seconds and would refuse ``04:00:00``; days are Slurm's alone."""
    raw = {"jobqueue": {system: small()["jobqueue"]["slurm"] | {"walltime": text}}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(raw))
    script = job_script("mine.yaml", tmp_path, tmp_path / "run")
    found = re.search(rf"{re.escape(DIRECTIVES[system])}(\S+)", script)
    assert found is not None
    whole, half = int(hours), int(hours % 1 * 60)
    seconds = "" if system == "lsf" else ":00"
    assert found[1] == f"{whole:02d}:{half:02d}{seconds}"
    assert f"export HTINVERT_JOB_SECONDS={lifetime(3600 * hours)[0]}" in script


@pytest.mark.parametrize("system", SYSTEMS)
def test_workers_know_the_time_limit_that_dask_jobqueue_asks_for(
    system: str, tmp_path: Path
) -> None:
    raw = {"jobqueue": {system: small()["jobqueue"]["slurm"]}}
    if system == "htcondor":
        raw["jobqueue"][system]["disk"] = "1GiB"
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(raw))
    script = job_script("mine.yaml", tmp_path, tmp_path / "run")
    told = f"--lifetime {lifetime(1800)[0]}s"
    assert (told in script) == (default_walltime(system) is not None) == (system != "htcondor")


@pytest.mark.parametrize("system", DIRECTIVES)
@pytest.mark.parametrize("text", ["4h", "-04:00:00", "04:75:00", "00:00:30", "0", "1:2:3:4", ""])
def test_what_is_no_time_limit_is_refused(text: str, system: str) -> None:
    with pytest.raises(UserError, match="write it like '04:00:00', in quotes"):
        read_walltime(text if text != "0" else "00:00:00", system)


def test_lsf_counts_begun_minutes() -> None:
    assert write_walltime(90.0, "lsf") == "00:02" and write_walltime(90.0, "oar") == "00:01:30"


LISTS = ("job-extra-directives", "job-script-prologue", "job-directives-skip", "worker-extra-args")


@pytest.mark.parametrize("system", [system for system in SYSTEMS if system != "htcondor"])
@pytest.mark.parametrize("key", LISTS)
@pytest.mark.parametrize("value", ["-A proj", {"A": "proj"}, ["-A", {"b": "c"}], [None], [1]])
def test_text_where_a_list_is_meant_is_refused(key: str, value: Any, system: str) -> None:
    """dask-jobqueue would write one letter a line."""
    raw = {"jobqueue": {system: small()["jobqueue"]["slurm"] | {key: value}}}
    with pytest.raises(UserError, match=rf"jobqueue.{system}.{key} is .*; write it as a list"):
        parse_site(raw, "mine.yaml")


WRONG = (0, -1, float("nan"), float("inf"), True, "many", [], {}, 1.5)


@pytest.mark.parametrize("system", SYSTEMS)
def test_no_value_of_a_setting_is_a_traceback(system: str, tmp_path: Path) -> None:
    """Every key of every batch system, set to what is no value of it, is refused or of no harm."""
    for key in known_keys(system):
        for value in (*WRONG, "text", None, "04:00:00"):
            raw = {"jobqueue": {system: small()["jobqueue"]["slurm"] | {key: value}}}
            (tmp_path / "mine.yaml").write_text(yaml.safe_dump(raw))
            try:
                job_script("mine.yaml", tmp_path, tmp_path / "run")
            except UserError as error:
                for line in str(error).splitlines():
                    assert line.startswith("mine"), line


@pytest.mark.parametrize("key", ["cores", "processes", "memory", "death-timeout"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), True, "0"])
def test_a_number_that_is_none_is_refused(key: str, value: Any) -> None:
    both = {"cores": value, "processes": value} if key in ("cores", "processes") else {key: value}
    with pytest.raises(UserError, match=f"jobqueue.slurm.{key} is "):
        parse_site(small(**both), "mine.yaml")


@pytest.mark.parametrize("seconds", [60, 600, 3600, 14400, 86400])
def test_the_last_worker_leaves_before_the_limit(seconds: int) -> None:
    stay, stagger = lifetime(seconds)
    assert stay - stagger > 0.4 * seconds
    assert stay + stagger <= seconds - min(14, 0.23 * seconds)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (small(**{"scheduler-options": {1: 2}}), "scheduler-options.1 is unknown"),
        (small(queu="x"), "jobqueue.slurm.queu is unknown; did you mean queue?"),
        (small(name="x"), "jobqueue.slurm.name is set by the run itself; leave it out"),
        (small(cores=8), "processes is 2 and cores is 8; a worker has one thread"),
        (
            small(cores=8) | {"htinvert": {"inner": 2}},
            "cores is 8 and processes is 2, with 2 processes inside each (htinvert.pool.inner); "
            "set cores to 4, or change the others",
        ),
        (
            small(processes=1) | {"htinvert": {"inner": 2, "resources": {"GPU": 1}}},
            "htinvert.pool.inner and htinvert.resources exclude each other; drop one",
        ),
        (small(memory=None), "jobqueue.slurm.memory is missing; give it a value"),
        (
            small(memory="4 Gibs"),
            "jobqueue.slurm.memory is '4 Gibs'; write it like 32GiB",
        ),
        (
            small(**{"job-mem": "2G"}),
            "jobqueue.slurm.job-mem asks for 2 GiB and memory is 4GiB; make them agree",
        ),
        (small(interface=None), "interface is missing; name the network"),
        (small(memory=32), "memory is 32; write it like 32GiB"),
        (
            small(**{"scheduler-options": {"prot": 8786}}),
            "scheduler-options.prot is unknown; did you mean port?",
        ),
        (
            small(**{"scheduler-options": {"dashboard": True, "dashboard_address": ":8787"}}),
            "scheduler-options.dashboard_address would undo what the run sets itself; leave it out",
        ),
        (small(**{"scheduler-options": {"port": "any"}}), "scheduler-options.port is 'any'; give"),
        (small(**{"scheduler-options": ["port"]}), "scheduler-options is ['port']; write it as"),
        (
            small(**{"worker-extra-args": ["--dashboard-address", ":8787"]}),
            "worker-extra-args has --dashboard-address, which is set by the run itself",
        ),
        (
            small(**{"worker-extra-args": ["--nthreads=4"]}),
            "worker-extra-args has --nthreads, which is set by the run itself",
        ),
        (
            small(**{"job-script-prologue": ["export OMP_NUM_THREADS=8"]}),
            "job-script-prologue sets OMP_NUM_THREADS, which the run itself sets",
        ),
        (
            small(**{"job-extra-directives": ["--time=10:00:00"]}),
            "job-extra-directives sets a time limit, of which the workers are not told",
        ),
        (small(shebang="#!/bin/tcsh"), "shebang is '#!/bin/tcsh', and the script is for bash"),
        ({"jobqueue": {"slurm": 4}}, "jobqueue.slurm is 4; give its settings as key: value"),
        ({"jobqueue": {"slurm": {1: 2}}}, "jobqueue.slurm.1 is unknown"),
        (small(walltime=14400), "walltime is 14400; write it in quotes, like '04:00:00'"),
        (small(walltime="soon"), "walltime 'soon' is no time"),
        (small() | {"htinvert": {"encript": True}}, "htinvert.encript is unknown; did you mean"),
        (small() | {"dask": {}}, "dask is unknown"),
        ({"jobqueue": {"slrm": {}}}, "jobqueue must hold one of slurm, pbs"),
    ],
)
def test_a_mistake_in_a_site_is_one_sentence(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as mistake:
        parse_site(raw, "mine.yaml")
    assert str(mistake.value).startswith("mine.yaml: ")


@pytest.mark.parametrize(
    ("system", "settings", "asked"),
    [
        ("slurm", {"job-mem": "4000"}, 4000 * 2**20),
        ("slurm", {"job-mem": "0"}, None),
        ("slurm", {}, None),
        ("pbs", {"resource-spec": "select=1:ncpus=16:mem=32gb"}, 32 * 2**30),
        ("pbs", {"resource-spec": "nodes=1:ppn=4,mem=512mb"}, 512 * 2**20),
        ("pbs", {"resource-spec": "select=1:ncpus=16"}, None),
        ("sge", {"resource-spec": "h_vmem=2G", "cores": 16}, 32 * 2**30),
        ("sge", {"resource-spec": "h_rt=60,mem_free=500M", "cores": 2}, 1000 * 2**20),
        ("lsf", {"mem": 34359738368}, 32 * 2**30),
        ("oar", {"resource-spec": "/nodes=1/core=16"}, None),
    ],
)
def test_what_a_job_asks_for_is_read_as_the_systems_do(
    system: str, settings: dict[str, Any], asked: float | None
) -> None:
    """After the manual pages of sbatch (--mem), pbs_resources, sge's complex and queue_conf, bsub.

    Slurm's number without a unit is in megabytes and 0 the whole node; Grid Engine's is per slot.
    """
    assert asked_memory(settings, system)[1] == asked


def test_a_job_whose_limit_is_below_its_workers_is_refused() -> None:
    raw = small(**{"resource-spec": "select=1:ncpus=2:mem=2gb"})
    with pytest.raises(UserError, match="resource-spec asks for 2 GiB and memory is 4GiB"):
        parse_site({"jobqueue": {"pbs": raw["jobqueue"]["slurm"]}}, "mine.yaml")


@pytest.mark.parametrize("system", SYSTEMS)
def test_workers_in_jobs_are_told_what_those_here_are(system: str, tmp_path: Path) -> None:
    """Above its limit a worker ends; with nothing to spill, one that pauses would never go on."""
    script = job_script(system, Path(), tmp_path)
    names = re.findall(r"export (DASK_\w+)=([\w.]+)", script)
    told = collect_env(dict(names))
    for key, value in SETTINGS.items():
        if not key.startswith(("distributed.scheduler.", "distributed.deploy.")):
            assert dask.config.get(key, config=told) == value


def test_an_unknown_profile_names_what_was_meant(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cluster slurmm is unknown; did you mean slurm\?"):
        load_site("slurmm", tmp_path)


def test_a_profile_beside_the_campaign_is_found_first(tmp_path: Path) -> None:
    (tmp_path / "slurm.yaml").write_text(yaml.safe_dump(small(memory="7GiB")))
    assert load_site("slurm", tmp_path).settings["memory"] == "7GiB"


def test_a_profile_of_an_environment_variable_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slurm.yaml").write_text(yaml.safe_dump(small(memory="9GiB")))
    monkeypatch.setenv("HTINVERT_SITES", str(tmp_path))
    assert load_site("slurm", Path("elsewhere")).settings["memory"] == "9GiB"


def test_the_commented_sites_cover_our_own_terms() -> None:
    text = (SITES[0].parent / "slurm.yaml").read_text(encoding="utf-8")
    assert [name for name in Terms.model_fields if f"{name}:" not in text] == []


def test_resources_are_offered_by_every_worker(tmp_path: Path) -> None:
    raw = small() | {"htinvert": {"resources": {"GPU": 1}}}
    (tmp_path / "gpu.yaml").write_text(yaml.safe_dump(raw))
    assert "--resources 'GPU=1'" in job_script("gpu", tmp_path, tmp_path)


def test_a_node_may_be_one_worker_with_processes_inside(tmp_path: Path) -> None:
    raw = small(cores=32, processes=1, memory="64GiB") | {"htinvert": {"inner": 32}}
    (tmp_path / "nodes.yaml").write_text(yaml.safe_dump(raw))
    script = job_script("nodes", tmp_path, tmp_path)
    assert "export HTINVERT_INNER=32" in script
    assert "--nthreads 32 --memory-limit 64.00GiB --nanny" in script  # a thread waits per process
    assert load_site("nodes", tmp_path).in_words(64) == (
        "64 workers are 2 jobs, each of 1 Dask worker with 32 processes inside; 2.15 GB of memory "
        "per process; at most 00:30:00"
    )


def test_the_known_keys_are_those_of_dask_jobqueue_without_its_old_ones() -> None:
    keys = known_keys("slurm")
    assert {"queue", "account", "job-extra-directives"} <= set(keys)
    assert not {"extra", "job-extra", "env-extra", "name"} & set(keys)
