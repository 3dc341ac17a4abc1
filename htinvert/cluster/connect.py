"""From a profile to a pool of workers: on this machine, or in the jobs of a batch system.

Nothing else in the program knows how the workers came about.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from ase import Atoms

from htinvert.cluster import security
from htinvert.cluster.keeper import Keeper
from htinvert.cluster.needs import LOCAL, require_memory, require_memory_here
from htinvert.cluster.site import Site, load_site
from htinvert.config.campaign import Config
from htinvert.core import Recipe, UserError
from htinvert.pool.here import Connection, HerePool, Pool
from htinvert.pool.on_dask import DaskPool
from htinvert.pool.parcel import pack
from htinvert.pool.workers import (
    LOOPBACK_PAGES,
    SETTINGS,
    end_quietly,
    hush,
    local_workers,
    manners,
)

CLOSING_SECONDS = 20.0
JOB_BLOCK_SECONDS = 1.5  # of a block of candidates on other machines
TASKS_PER_SECOND = 250  # that one scheduler is asked to hand out


@contextmanager
def open_pool(
    config: Config, recipe: Recipe, start: Atoms, *, base: Path, folder: Path
) -> Iterator[Pool]:
    """Start the workers that a campaign asks for, or none, where it says 0.

    Args:
        config: of the campaign; the profile of its cluster lies relative to ``base``.
        recipe: what the workers evaluate by.
        start: a structure of the campaign's size, for what memory an image of it takes.
        base: the folder that the paths of the config are relative to.
        folder: of the run, where the recipe travels by.

    Raises :class:`UserError` where the profile of its cluster or that itself does not work.
    """
    folder = folder.resolve()
    site = None if config.cluster in (None, LOCAL) else load_site(config.cluster, base)
    if site is None:
        require_memory_here(config, recipe, start)
    if config.workers == 0 and site is None:
        yield HerePool(recipe)
        return
    if site is not None:
        require_memory(config, recipe, start, site)
    parcel = pack(recipe, folder / "recipe")
    workers = config.workers
    connect = partial(local, workers) if site is None else partial(jobs, site, folder, workers)
    pool = DaskPool(connect, parcel, in_flight=config.in_flight)
    try:
        yield pool
    finally:
        pool.close()


@contextmanager
def local(workers: int) -> Iterator[Connection]:
    """A cluster on this machine, which no other user of it can reach."""
    with local_workers(workers) as (cluster, client):
        yield Connection(client, workers, alive=lambda: len(cluster.scheduler.workers))


def run_name(folder: Path) -> str:
    """What all jobs of a run are called; short, for PBS keeps fifteen characters."""
    return f"hti-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]}"


@contextmanager
def jobs(site: Site, folder: Path, workers: int) -> Iterator[Connection]:
    """A scheduler in this process, workers in the jobs of a batch system, a keeper over them."""
    import dask
    from distributed import Client, Scheduler, SpecCluster

    hush()
    end_quietly()
    if len(str(folder).split()) > 1:
        raise UserError(
            f"{folder} has blanks in its path, which job scripts cannot take; rename it"
        )
    options = {"dashboard": False, "dashboard_address": LOOPBACK_PAGES, **listening(site)}
    host = str(options["host"])
    terms = site.terms
    security.require_safe(host, encrypt=terms.encrypt, trust_network=terms.trust_network)
    certificates = folder / "tls"
    ours, theirs = security.certificates(certificates) if terms.encrypt else (None, None)
    options["security"] = ours
    options["protocol"] = "tls://" if ours else "tcp://"
    with dask.config.set(SETTINGS):
        make = partial(
            SpecCluster,
            scheduler={"cls": Scheduler, "options": options},
            workers={},
            security=ours,
            silence_logs=logging.ERROR,
        )
        cluster = _started(make, host)
        try:
            with (
                cluster,
                closing(Client(cluster, set_as_default=False)) as client,
                _kept(site, folder, workers, cluster, theirs) as k,
            ):
                client.register_plugin(manners())
                many = k.most * site.processes
                yield Connection(
                    client,
                    many,
                    alive=k.alive,
                    inner=terms.inner,
                    block_seconds=min(10.0, max(JOB_BLOCK_SECONDS, many / TASKS_PER_SECOND)),
                    waiting=k.waiting,
                    survived=partial(_survived, cluster, k),
                    tend=partial(_tend, k),
                    resources=dict(terms.resources),
                )
        finally:
            security.remove(certificates)


@contextmanager
def _kept(
    site: Site, folder: Path, workers: int, cluster: Any, certificates: Any
) -> Iterator[Keeper]:
    """A keeper at work in the cluster's event loop; its jobs are canceled at the end."""
    keeper = Keeper(
        site,
        run_name(folder),
        most=site.jobs(workers),
        scheduler=cluster.scheduler,
        address=cluster.scheduler_address,
        folder=folder,
        security=certificates,
    )
    cluster.sync(keeper.start)
    try:
        yield keeper
    finally:
        with suppress(TimeoutError):
            cluster.sync(keeper.close, callback_timeout=CLOSING_SECONDS)


def listening(site: Site) -> dict[str, Any]:
    """Options of the scheduler, with the address that it listens on.

    Raises :class:`UserError` where this machine has no such address.
    """
    given = site.settings.get("scheduler_options") or {}
    options = {name.replace("-", "_"): value for name, value in given.items()}
    interface = options.pop("interface", None) or site.settings.get("interface")
    if "host" not in options:
        options["host"] = security.address_of(str(interface))
    security.require_here(str(options["host"]))
    return options


def _started(make: Callable[[], Any], host: str) -> Any:
    """The cluster that a function makes. Raises :class:`UserError` where it cannot begin."""
    try:
        return make()
    except (RuntimeError, OSError, ValueError, TypeError) as error:
        first: BaseException = error
        while (cause := first.__cause__ or first.__context__) is not None:
            first = cause
        raise UserError(
            f"the scheduler cannot listen on {host} ({' '.join(str(first).split())}); correct "
            "scheduler-options or interface in the site's file"
        ) from error


def _survived(cluster: Any, keeper: Keeper, worker: str) -> bool:
    try:
        return bool(cluster.sync(keeper.survived, worker, callback_timeout=CLOSING_SECONDS))
    except TimeoutError:
        return False


def _tend(keeper: Keeper, blocks: int) -> list[str]:
    """Tell the keeper how much there is to do; hand on what it says."""
    keeper.useful(blocks)
    if keeper.trouble is not None:
        raise keeper.trouble
    news, keeper.news = keeper.news, []
    return news


def job_script(profile: str, beside: Path, folder: Path) -> str:
    """The script of a run's jobs as it would be sent, with a stand-in for the driver's address."""
    site, name = load_site(profile, beside), run_name(folder)
    scheme = "tls" if site.terms.encrypt else "tcp"
    # dask-jobqueue makes the folder of the logs; where nothing is to be run, none is left behind
    with tempfile.TemporaryDirectory() as stand_in:
        place = Path(stand_in)
        theirs = security.of_jobs(place / "tls") if site.terms.encrypt else None
        job = site.job(f"{scheme}://DRIVER:PORT", f"{name}-1", place, run=name, security=theirs)
        return str(job.job_script()).replace(stand_in, str(folder.resolve()))
