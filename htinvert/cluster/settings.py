"""What a site's file may say in dask-jobqueue's words: its keys, what they may hold, time limits.

dask-jobqueue writes whatever it is given into a script; what a batch system refuses, or takes for
something else, would be noticed when jobs have waited for hours.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from htinvert import plugins
from htinvert.core import UserError
from htinvert.declaration.wording import shown
from htinvert.pool.workers import exports

Settings = Mapping[str, Any]

OLD_KEYS = {"extra", "env-extra", "job-extra", "header-skip"}  # dask-jobqueue warns about these
OUR_KEYS = {"name", "shared-temp-directory", "config-name"}  # set by the run itself
COUNTS = ("cores", "processes", "job-cpu", "ncpus", "mem")
WAIT = "death-timeout"  # a number of seconds, or one with its unit
UNITS = ("kb", "mb", "gb", "tb", "pb", "eb")  # in which a site's LSF may read memory
CHECKED = ("walltime", "memory", "use-stdin", WAIT, *COUNTS)  # all others are texts or lists
SCHEDULER = ["contact_address", "host", "interface", "port", "worker_ttl"]
"""What may be said of the scheduler."""
NOT_THEIRS = ("dashboard", "http_prefix", "jupyter", "preload", "protocol", "security", "services")
"""How options begin that the run sets, or that would serve its pages to others."""
OUR_ARGUMENTS = (
    *("--dashboard", "--dashboard-address", "--dashboard-prefix", "--no-dashboard"),
    *("--nthreads", "--nworkers", "--nprocs", "--memory-limit", "--nanny", "--no-nanny", "--name"),
    *("--lifetime", "--lifetime-stagger", "--lifetime-restart", "--resources", "--protocol"),
    *("--tls-ca-file", "--tls-cert", "--tls-key", "--scheduler-file", "--death-timeout"),
    *("--local-directory", "--interface"),
)
"""Options of a worker that the run, or a key of the site's file, sets."""
TIME_DIRECTIVES = {
    "slurm": r"(?:^|\s)(?:-t\s*\d|--time\b)",
    "pbs": r"\bwalltime=",
    "sge": r"\b[hs]_rt=",
    "lsf": r"(?:^|\s)-W\s*\d",
    "oar": r"\bwalltime=",
}
SHORTEST = 60.0  # s of a job; LSF and Slurm count minutes
LEAST_MEMORY = 16e6  # bytes of a job; fewer are a number without its unit


def known_keys(system: str) -> list[str]:
    """Settings of dask-jobqueue for a batch system that a site file may have."""
    return sorted(set(_defaults(system)) - OLD_KEYS - OUR_KEYS)


def default_walltime(system: str) -> str | None:
    """The time limit that dask-jobqueue asks for where a site names none; HTCondor has none."""
    given = _defaults(system).get("walltime")
    return None if given is None else str(given)


def mistakes(settings: Settings, system: str, inner: int) -> list[str]:
    """What is wrong with settings, a sentence each; ``inner`` is the size of workers' own pools."""
    known = known_keys(system)
    problems = [
        f"{key} is set by the run itself; leave it out"
        if key in OUR_KEYS
        else f"{key} is unknown; {plugins.suggest(key, known)}"
        for key in settings
        if key not in known
    ]
    problems += _mistaken_kinds(settings, system)
    needed = ("cores", "memory", "processes")
    problems += [
        f"{key} is missing; give it a value" for key in needed if settings.get(key) is None
    ]
    if not problems:
        problems += _mistaken_cores(settings, inner)
    if settings.get("memory") is not None:
        problems += _mistaken_memory(settings, system)
    options = settings.get("scheduler-options") or {}
    if not settings.get("interface") and not {"host", "interface"} & set(options):
        problems.append("interface is missing; name the network that all nodes share, like ib0")
    problems += _mistaken_walltime(settings.get("walltime"), system)
    if not problems:
        problems += [*_undoing(settings, system)]
    return problems


def read_walltime(text: str, system: str) -> float:
    """Seconds of a time limit as the batch systems write it: ``[D-]HH:MM:SS``.

    LSF and OAR write ``HH:MM``; a bare number counts hours for OAR, minutes for Slurm and LSF, else
    seconds. Raises :class:`UserError` for what is no time of a minute or more.
    """
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text.strip())
    advice = "write it like '04:00:00', in quotes"
    if match is None:
        raise UserError(f"walltime {shown(text)} is no time; {advice}")
    days, *rest = match.groups()
    parts = [int(part) for part in rest if part is not None]
    if any(part > 59 for part in parts[1:]):
        raise UserError(f"walltime {shown(text)} is no time: 60 minutes are 1:00:00; {advice}")
    if len(parts) == 3:
        seconds = 3600 * parts[0] + 60 * parts[1] + parts[2]
    elif len(parts) == 2:
        in_hours = system in ("lsf", "oar") or days is not None
        seconds = (60 * parts[0] + parts[1]) * (60 if in_hours else 1)
    else:
        unit = {"slurm": 60, "lsf": 60, "oar": 3600}.get(system, 1)
        seconds = parts[0] * (3600 if days else unit)
    seconds += 86400 * int(days or 0)
    if seconds < SHORTEST:
        raise UserError(f"walltime {shown(text)} is shorter than a minute; {advice}")
    return float(seconds)


def write_walltime(seconds: float, system: str) -> str:
    """A time limit in a batch system's own words: of LSF ``HH:MM``, of all others ``HH:MM:SS``.

    After the manual pages of sbatch (--time), bsub (-W), qsub (h_rt), oarsub and pbs_resources.
    """
    whole = math.ceil(seconds / 60) * 60 if system == "lsf" else math.ceil(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    short = f"{hours:02d}:{minutes:02d}"
    return short if system == "lsf" else f"{short}:{whole % 60:02d}"


def asked_memory(settings: Settings, system: str) -> tuple[str, float | None]:
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
    cores = settings.get("cores")
    return key, asked * (cores if system == "sge" and isinstance(cores, int) else 1)


def _defaults(system: str) -> dict[str, Any]:
    """What dask-jobqueue knows of a batch system, with its defaults."""
    import dask
    import dask_jobqueue.config  # noqa: F401  (brings the defaults)

    return dict(dask.config.get(f"jobqueue.{system}"))


def _mistaken_kinds(settings: Settings, system: str) -> list[str]:
    """Values that are no list where one is meant, no count, no text."""
    defaults, problems = _defaults(system), []
    for key, value in settings.items():
        default = defaults.get(key)
        if value is None or key not in defaults:
            continue
        if isinstance(default, list):
            if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
                parts = value if isinstance(value, list) else [value]
                example = [part if isinstance(part, str) else "..." for part in parts]
                problems.append(
                    f"{key} is {shown(value)}; write it as a list of texts, like "
                    f"{shown(example or ['...'])}"
                )
        elif isinstance(default, dict):
            if not isinstance(value, Mapping):
                problems.append(f"{key} is {shown(value)}; write it as a mapping, key: value")
        elif key in COUNTS:
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                problems.append(f"{key} is {shown(value)}; give a whole number, 1 or more")
        elif key == WAIT:
            if not _is_positive(value):
                problems.append(f"{key} is {shown(value)}; give a number of seconds above 0")
        elif key == "lsf-units":
            if value not in UNITS:
                problems.append(f"{key} is {shown(value)}; choose one of {', '.join(UNITS)}")
        elif key not in CHECKED and not isinstance(value, str | int):
            problems.append(f"{key} is {shown(value)}; give it one text")
    return problems


def _is_positive(value: Any) -> bool:
    """Whether a value is a number above 0, finite, or a text that begins with one, as ``60s``."""
    if isinstance(value, str):
        found = re.match(r"\s*\d+(\.\d*)?", value)
        return found is not None and float(found[0]) > 0
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _mistaken_cores(settings: Settings, inner: int) -> list[str]:
    """Each process that evaluates has one core."""
    cores, processes = settings["cores"], settings["processes"]
    if inner == 1 and cores != processes:
        return [
            f"processes is {processes} and cores is {cores}; a worker has one thread, so give both "
            "the same number, the workers of a job"
        ]
    if cores != processes * inner:
        return [
            f"cores is {cores} and processes is {processes}, with {inner} processes inside each "
            f"(htinvert.pool.inner); set cores to {processes * inner}, or change the others"
        ]
    return []


def _mistaken_memory(settings: Settings, system: str) -> list[str]:
    """What the batch system is asked for must be what the workers are told that they may take."""
    from dask.utils import parse_bytes

    memory = settings["memory"]
    try:
        told = parse_bytes(memory)
        if isinstance(memory, bool) or not told >= LEAST_MEMORY:
            raise ValueError
    except (TypeError, ValueError, OverflowError, AttributeError):
        return [f"memory is {shown(memory)}; write it like 32GiB"]
    key, asked = asked_memory(settings, system)
    if asked is None or asked > 0.99 * told:
        return []
    return [
        f"{key} asks for {asked / 2**30:.3g} GiB and memory is {memory}; make them agree, or the "
        "batch system ends jobs whose workers are within their limits"
    ]


def _mistaken_walltime(walltime: Any, system: str) -> list[str]:
    if walltime is None:
        return []
    if not isinstance(walltime, str):
        return [f"walltime is {shown(walltime)}; write it in quotes, like '04:00:00'"]
    try:
        read_walltime(walltime, system)
    except UserError as error:
        return [str(error)]
    return []


def _undoing(settings: Settings, system: str) -> Iterator[str]:
    """What would undo what the run sets and its documentation promises."""
    for name, value in (settings.get("scheduler-options") or {}).items():
        option = str(name).replace("-", "_")
        if option.startswith(NOT_THEIRS):
            yield f"scheduler-options.{name} would undo what the run sets itself; leave it out"
        elif option not in SCHEDULER:
            yield f"scheduler-options.{name} is unknown; {plugins.suggest(option, SCHEDULER)}"
        elif name == "port" and not (type(value) is int and 0 <= value <= 65535):
            yield f"scheduler-options.port is {shown(value)}; give a number up to 65535"
    for word in _words(settings, "worker-extra-args"):
        if (option := word.partition("=")[0]) in OUR_ARGUMENTS:
            yield f"worker-extra-args has {option}, which is set by the run itself; leave it out"
    run_sets = dict(line.removeprefix("export ").split("=", 1) for line in set_by_the_run())
    for line in settings.get("job-script-prologue") or ():
        for name, value in re.findall(r"\b([A-Z][A-Z0-9_]*)=(\S*)", line):
            if run_sets.get(name, value).strip("\"'") != value.strip("\"';"):
                yield f"job-script-prologue sets {name}, which the run itself sets; leave it out"
    shell = str(settings.get("shebang") or "bash")
    if system != "htcondor" and re.search(r"\b(t?csh|fish|python\d*|perl|sbatch)\b", shell):
        yield f"shebang is {shell!r}, and the script is for bash; leave it out"
    lines = [*_words(settings, "job-extra-directives", whole=True)]
    spec = [str(settings.get("resource-spec") or "")]
    pattern = TIME_DIRECTIVES.get(system)
    for key, texts in (("job-extra-directives", lines), ("resource-spec", spec)):
        if pattern and any(re.search(pattern, text) for text in texts):
            yield f"{key} sets a time limit, of which the workers are not told; use walltime"


def set_by_the_run() -> list[str]:
    """Lines of a job's script that say how its workers behave: one thread each, our settings."""
    lines = [f"export {name}=1" for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")]
    return [*lines, *exports()]


def _words(settings: Settings, key: str, *, whole: bool = False) -> Sequence[str]:
    """Words, or whole lines, of a setting that is a list."""
    given = settings.get(key) or ()
    lines = [line for line in given if isinstance(line, str)] if isinstance(given, list) else []
    return lines if whole else [word for line in lines for word in line.split()]
