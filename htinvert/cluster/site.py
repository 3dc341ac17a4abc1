"""A site: how jobs are asked for on one cluster, read from dask-jobqueue's own YAML and checked.

The block ``jobqueue`` is what dask-jobqueue itself would read; beside it, ``htinvert`` says what
dask-jobqueue has no word for.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from htinvert import plugins
from htinvert.cluster.settings import (
    default_walltime,
    mistakes,
    read_walltime,
    set_by_the_run,
    write_walltime,
)
from htinvert.config.yaml_file import read_yaml
from htinvert.core import UserError
from htinvert.declaration.wording import shown
from htinvert.pool.here import INNER, JOB_SECONDS, LEAVE_AT
from htinvert.pool.workers import LOOPBACK_PAGES

SYSTEMS = {
    "slurm": "dask_jobqueue.slurm:SLURMJob",
    "pbs": "dask_jobqueue.pbs:PBSJob",
    "sge": "dask_jobqueue.sge:SGEJob",
    "lsf": "dask_jobqueue.lsf:LSFJob",
    "oar": "dask_jobqueue.oar:OARJob",
    "htcondor": "dask_jobqueue.htcondor:HTCondorJob",
}
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

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    encrypt: bool = True
    trust_network: bool = False
    least: int | None = Field(default=None, ge=0)
    failures: int = Field(default=5, ge=1)
    interval: float = Field(default=5.0, gt=0)
    resources: dict[str, Annotated[float, Field(gt=0)]] = {}
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
        limit = f"; at most {self.settings['walltime']}" if self.job_seconds is not None else ""
        return (
            f"{workers} workers are {jobs} job{'s' if jobs > 1 else ''}, each of "
            f"{self.processes} Dask worker{'s' if self.processes > 1 else ''}{inside}; "
            f"{self.share:.3g} GB of memory per process{limit}"
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
        lines = set_by_the_run()
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
            f"cluster {profile} is unknown; {plugins.suggest(profile, ['local', *known])}; or "
            "give the path of a site's YAML file (htinvert example site)"
        )
    return parse_site(read_yaml(path), path.name)


def parse_site(raw: Mapping[str, Any], name: str) -> Site:
    """Check a site's plain objects. Raises :class:`UserError` with one line per mistake."""
    problems = [
        f"{key} is unknown; {plugins.suggest(str(key), ['jobqueue', 'htinvert'])}"
        for key in raw
        if key not in ("jobqueue", "htinvert")
    ]
    queues = raw.get("jobqueue")
    if not isinstance(queues, dict) or [*queues] not in [[system] for system in SYSTEMS]:
        problems.append(f"jobqueue must hold one of {', '.join(SYSTEMS)}")
        raise UserError("\n".join(f"{name}: {problem}" for problem in problems))
    system, given = next(iter(queues.items()))
    if not isinstance(given or {}, Mapping):
        problems.append(f"jobqueue.{system} is {shown(given)}; give its settings as key: value")
        given = {}
    settings = {str(key).replace("_", "-"): value for key, value in (given or {}).items()}
    terms = Terms()
    try:
        terms = Terms.model_validate(raw.get("htinvert") or {})
    except ValidationError as error:
        problems += plugins.words(error, Terms, ("htinvert",))
    said = mistakes(settings, system, terms.inner)
    problems += [f"jobqueue.{system}.{mistake}" for mistake in said]
    if terms.inner > 1 and terms.resources:
        problems.append("htinvert.pool.inner and htinvert.resources exclude each other; drop one")
    if problems:
        raise UserError("\n".join(f"{name}: {problem}" for problem in problems))
    keywords = {key.replace("-", "_"): v for key, v in settings.items() if v is not None}
    if (walltime := keywords.get("walltime") or default_walltime(system)) is not None:
        keywords["walltime"] = write_walltime(read_walltime(walltime, system), system)
    return Site(name.removesuffix(".yaml"), system, keywords, terms)
