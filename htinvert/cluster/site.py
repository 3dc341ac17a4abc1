"""A site: how jobs are asked for on one cluster, read from dask-jobqueue's own YAML and checked.

The block ``jobqueue`` is what dask-jobqueue itself would read; beside it, ``htinvert`` says what
dask-jobqueue has no word for.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from htinvert import plugins
from htinvert.config.yaml_file import read_yaml
from htinvert.core import UserError
from htinvert.pool.here import INNER, JOB_SECONDS, LEAVE_AT
from htinvert.pool.workers import LOOPBACK_PAGES, exports

SYSTEMS = {
    "slurm": "dask_jobqueue.slurm:SLURMJob",
    "pbs": "dask_jobqueue.pbs:PBSJob",
    "sge": "dask_jobqueue.sge:SGEJob",
    "lsf": "dask_jobqueue.lsf:LSFJob",
    "oar": "dask_jobqueue.oar:OARJob",
    "htcondor": "dask_jobqueue.htcondor:HTCondorJob",
}
OLD_KEYS = {"extra", "env-extra", "job-extra", "header-skip"}  # dask-jobqueue warns about these
OUR_KEYS = {"name", "shared-temp-directory", "config-name"}  # set by the run itself
NODE_LOCAL = (
    "${TMPDIR:-/tmp}"  # where workers keep their scratch files: never a network file system
)


class Terms(BaseModel):
    """What a site file says under ``htinvert``.

    Attributes:
        encrypt: TLS with certificates made for each run.
        trust_network: allow plain TCP beyond loopback, where anybody who reaches the scheduler's
            port can run programs as this user.
        least: fewest jobs; fewer than asked for run where there is not work for all. Left out, the
            number of jobs is fixed.
        failures: jobs in a row that may end before a worker of theirs arrives.
        interval: seconds between looks at the queue.
        resources: what each worker offers, by name, and each block of candidates asks for.
        inner: processes of the pool inside each worker, where that has a whole node; 1 is none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    encrypt: bool = True
    trust_network: bool = False
    least: int | None = Field(default=None, ge=0)
    failures: int = Field(default=5, ge=1)
    interval: float = Field(default=5.0, gt=0)
    resources: dict[str, float] = {}
    inner: int = Field(default=1, ge=1)


@dataclass(frozen=True)
class Site:
    """A cluster's profile: the system, dask-jobqueue's settings as keywords, and our own terms."""

    name: str
    system: str
    settings: Mapping[str, Any]
    terms: Terms = field(default_factory=Terms)

    @property
    def processes(self) -> int:
        """Workers of Dask's in a job."""
        return int(self.settings["processes"])

    @property
    def slots(self) -> int:
        """Processes of a job that evaluate: its workers, or all those of their inner pools."""
        return self.processes * self.terms.inner

    @property
    def share(self) -> float:
        """Memory of each process that evaluates [GB]."""
        from dask.utils import parse_bytes

        return float(parse_bytes(self.settings["memory"]) / self.slots / 1e9)

    def jobs(self, workers: int) -> int:
        """How many jobs so many processes that evaluate are."""
        return max(1, -(-workers // self.slots))

    def in_words(self, workers: int) -> str:
        """What is asked for where so many processes are to evaluate."""
        jobs, inner = self.jobs(workers), self.terms.inner
        inside = f" with {inner} processes inside" if inner > 1 else ""
        return (
            f"{workers} workers are {jobs} job{'s' if jobs > 1 else ''}, each of "
            f"{self.processes} Dask worker{'s' if self.processes > 1 else ''}{inside}; "
            f"{self.share:.3g} GB of memory per process"
        )

    @property
    def job_seconds(self) -> float | None:
        """The time limit of a job [s], where the site sets one."""
        walltime = self.settings.get("walltime")
        return None if walltime is None else read_walltime(str(walltime), self.system)

    def job(
        self, scheduler: str, name: str, folder: Path, *, run: str, security: Any = None
    ) -> Any:
        """A job of dask-jobqueue's that starts workers for a scheduler; not submitted yet.

        ``run`` names all jobs of a run in the queue, ``name`` its workers; logs go to ``folder``.
        """
        module, _, attribute = SYSTEMS[self.system].partition(":")
        job_class = getattr(__import__(module, fromlist=[attribute]), attribute)
        keywords = dict(self.settings)
        keywords.pop("scheduler_options", None)  # for the driver, not for jobs
        keywords["job_name"] = run
        keywords["log_directory"] = str(keywords.get("log_directory") or folder / "logs")
        keywords["job_script_prologue"] = self._prologue()
        keywords["worker_extra_args"] = self._worker_arguments()
        if self.system == "sge":  # whose queues may have csh for a shell, and ignore the first line
            directives = keywords.get("job_extra_directives") or []
            keywords["job_extra_directives"] = ["-S /bin/bash", *directives]
        keywords.setdefault("local_directory", NODE_LOCAL)
        keywords.setdefault("python", sys.executable)
        protocol = "tls://" if security else None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of what a site file leaves out
                return job_class(
                    scheduler, name=name, protocol=protocol, security=security, **keywords
                )
        except (TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"{self.name}: {' '.join(str(error).split())}") from error

    def _prologue(self) -> list[str]:
        """Lines before the worker's: one thread each, our settings, and when it has to leave."""
        lines = [f"export {name}=1" for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")]
        lines += exports()
        if self.terms.inner > 1:
            lines.append(f"export {INNER}={self.terms.inner}")
        if self.job_seconds is not None and self.system != "htcondor":  # it expands $(...) itself
            stay = lifetime(self.job_seconds)[0]
            lines.append(f"export {JOB_SECONDS}={stay}")
            lines.append(f"export {LEAVE_AT}=$(($(date +%s) + {stay}))")
        return [*lines, *(self.settings.get("job_script_prologue") or [])]

    def _worker_arguments(self) -> list[str]:
        arguments = ["--dashboard-address", LOOPBACK_PAGES]
        if self.job_seconds is not None:
            stay, stagger = lifetime(self.job_seconds)
            arguments += ["--lifetime", f"{stay}s", "--lifetime-stagger", f"{stagger}s"]
        if self.terms.resources:
            offered = ",".join(f"{name}={n:g}" for name, n in self.terms.resources.items())
            arguments += ["--resources", f"'{offered}'"]
        return [*arguments, *(self.settings.get("worker_extra_args") or [])]


def lifetime(job_seconds: float) -> tuple[int, int]:
    """When workers leave a job of so many seconds, and by how much they differ in that [s].

    They leave two minutes and a twentieth of the time before the limit, from short jobs two fifths
    of the time, and not all at once.
    """
    margin = min(0.4 * job_seconds, 120.0 + 0.05 * job_seconds)
    return round(job_seconds - margin), round(0.4 * margin)


def read_walltime(text: str, system: str) -> float:
    """Seconds of a time limit as the batch systems write it: ``[D-]HH:MM:SS``.

    LSF writes ``HH:MM``; a bare number counts minutes for Slurm and LSF, else seconds.
    """
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text.strip())
    if match is None:
        raise UserError(f"walltime {text!r} is no time; write it like '04:00:00', in quotes")
    days, *rest = match.groups()
    parts = [int(part) for part in rest if part is not None]
    if len(parts) == 3:
        seconds = 3600 * parts[0] + 60 * parts[1] + parts[2]
    elif len(parts) == 2:
        in_hours = system == "lsf" or days is not None
        seconds = (60 * parts[0] + parts[1]) * (60 if in_hours else 1)
    else:
        seconds = parts[0] * (3600 if days else 60 if system in ("slurm", "lsf") else 1)
    return 86400.0 * int(days or 0) + seconds


def folders(beside: Path) -> list[Path]:
    """Where profiles are looked for: beside the campaign, the user's, the installation's."""
    given = os.environ.get("HTINVERT_SITES")
    places = [Path(given)] if given else []
    own = Path.home() / ".config" / "htinvert" / "sites"
    return [*places, beside, own, Path(__file__).parents[2] / "deploy" / "sites"]


def load_site(profile: str, beside: Path) -> Site:
    """Read a profile by name or path.

    Raises :class:`UserError` with one line per mistake, or the known names.
    """
    path = beside / profile
    if not profile.endswith((".yaml", ".yml")):
        found = [place / f"{profile}.yaml" for place in folders(beside)]
        path = next((p for p in found if p.is_file()), path)
    if not path.is_file():
        known = sorted({p.stem for place in folders(beside)[-2:] for p in place.glob("*.yaml")})
        raise UserError(
            f"cluster {profile} is unknown; {plugins.suggest(profile, ['local', *known])} Or give "
            "the path of a site's YAML file"
        )
    return parse_site(read_yaml(path), path.name)


def parse_site(raw: Mapping[str, Any], name: str) -> Site:
    """Check a site's plain objects. Raises :class:`UserError` with one line per mistake."""
    problems = [
        f"{key} is unknown; {plugins.suggest(key, ['jobqueue', 'htinvert'])}"
        for key in raw
        if key not in ("jobqueue", "htinvert")
    ]
    queues = raw.get("jobqueue")
    if not isinstance(queues, dict) or len(queues) != 1 or next(iter(queues)) not in SYSTEMS:
        problems.append(f"jobqueue must hold one of {', '.join(SYSTEMS)}")
        raise UserError("\n".join(f"{name}: {problem}" for problem in problems))
    system, given = next(iter(queues.items()))
    settings = {key.replace("_", "-"): value for key, value in (given or {}).items()}
    terms = Terms()
    try:
        terms = Terms.model_validate(raw.get("htinvert") or {})
    except ValidationError as error:
        problems += [plugins.word(e, Terms, ("htinvert",)) for e in error.errors()]
    mistakes = _mistakes(settings, system, terms.inner)
    problems += [f"jobqueue.{system}.{mistake}" for mistake in mistakes]
    if terms.inner > 1 and terms.resources:
        problems.append("htinvert.pool.inner and htinvert.resources exclude each other; drop one")
    if problems:
        raise UserError("\n".join(f"{name}: {problem}" for problem in problems))
    keywords = {key.replace("-", "_"): v for key, v in settings.items() if v is not None}
    return Site(name.removesuffix(".yaml"), system, keywords, terms)


def known_keys(system: str) -> list[str]:
    """Settings of dask-jobqueue for a batch system that a site file may have."""
    import dask
    import dask_jobqueue.config  # noqa: F401  (brings the defaults)

    return sorted(set(dask.config.get(f"jobqueue.{system}")) - OLD_KEYS - OUR_KEYS)


def _mistakes(settings: Mapping[str, Any], system: str, inner: int) -> list[str]:
    known = known_keys(system)
    problems = [
        f"{key} is set by the run itself; leave it out"
        if key in OUR_KEYS
        else f"{key} is unknown; {plugins.suggest(key, known)}"
        for key in settings
        if key not in known
    ]
    needed = ("cores", "memory", "processes")
    problems += [
        f"{key} is missing; give it a value" for key in needed if settings.get(key) is None
    ]
    cores, processes = settings.get("cores"), settings.get("processes") or 0
    if not problems and inner == 1 and cores != processes:
        problems.append(
            f"processes is {processes} and cores is {cores}; a worker has one thread, so give both "
            "the same number, the workers of a job"
        )
    elif not problems and cores != processes * inner:
        problems.append(
            f"cores is {cores} and processes is {processes}, with {inner} processes inside each "
            f"(htinvert.pool.inner); set cores to {processes * inner}, or change the others"
        )
    if settings.get("memory") is not None:
        problems += _mistaken_memory(settings, system)
    options = settings.get("scheduler-options") or {}
    if not settings.get("interface") and not {"host", "interface"} & set(options):
        problems.append("interface is missing; name the network that all nodes share, like ib0")
    walltime = settings.get("walltime")
    if walltime is not None and not isinstance(walltime, str):
        problems.append(f"walltime is {walltime!r}; write it in quotes, like '04:00:00'")
    elif walltime is not None:
        try:
            read_walltime(walltime, system)
        except UserError as error:
            problems.append(str(error))
    return problems


def _mistaken_memory(settings: Mapping[str, Any], system: str) -> list[str]:
    """What the batch system is asked for must be what the workers are told that they may take."""
    from dask.utils import parse_bytes

    memory = settings["memory"]
    try:
        told = parse_bytes(memory)
    except (TypeError, ValueError):
        return [f"memory is {memory!r}; write it like 32GiB"]
    key, asked = asked_memory(settings, system)
    if asked is None or asked > 0.99 * told:
        return []
    return [
        f"{key} asks for {asked / 2**30:.3g} GiB and memory is {memory}; make them agree, or the "
        "batch system ends jobs whose workers are within their limits"
    ]


def asked_memory(settings: Mapping[str, Any], system: str) -> tuple[str, float | None]:
    """Memory of a job [bytes] that a site file asks for in its batch system's own words.

    And the key that says so. None where dask-jobqueue takes it from ``memory``, or nobody can tell.
    Units are powers of 1024 in all of them (sbatch, pbs_resources, sge_types, bsub).
    """
    key, pattern = {
        "slurm": ("job-mem", r"^()([1-9][\d.]*)([KMGT]?)"),
        "lsf": ("mem", r"^()(\d+)()$"),
        "pbs": ("resource-spec", r"(?:^|[:,])(mem)=([\d.]+)([KMGT]?)B"),
        "sge": ("resource-spec", r"(h_vmem|mem_free|h_rss|virtual_free)=([\d.]+)([KMGT]?)"),
    }.get(system, ("", ""))
    found = re.search(pattern, str(settings.get(key) or ""), re.IGNORECASE)
    if not pattern or found is None:
        return key, None
    unit = found[3].lower() or ("m" if system == "slurm" else "")
    asked = float(found[2]) * 1024.0 ** " kmgt".index(unit or " ")
    return key, asked * (int(settings.get("cores") or 1) if system == "sge" else 1)
