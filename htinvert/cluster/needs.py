"""Whether what a campaign asks for fits: processes here, memory into what a site gives to each."""

from __future__ import annotations

import os
from pathlib import Path

from ase import Atoms

from htinvert.cluster.site import Site, load_site
from htinvert.config.campaign import Config
from htinvert.core import Recipe, UserError
from htinvert.declaration.abilities import HasEstimate, HasMemory
from htinvert.energy.offer import offer_of

LOCAL = "local"
CROWD = 16  # worker processes per core: many more than can be of use
LEAST_CROWD = 64


def require_room(config: Config, base: Path) -> None:
    """Raise :class:`UserError` where this machine cannot start so many workers, or no cluster can.

    The profile of its cluster lies relative to ``base``.
    """
    if config.cluster not in (None, LOCAL):
        load_site(config.cluster, base)
        return
    cores = len(os.sched_getaffinity(0))
    if config.workers > max(CROWD * cores, LEAST_CROWD):
        raise UserError(
            f"workers: {config.workers} processes are too many for the {cores} cores of this "
            f"machine; ask for {cores}, or name a cluster"
        )


def needs(config: Config, recipe: Recipe, start: Atoms) -> dict[str, float]:
    """Memory [GB] of a process that parts of a campaign declare or may take, by what they are.

    Images are priced for the structure ``start``, where it has atoms.
    """
    energy, found = config.energy, {}
    if (memory := engine_memory(recipe.energy, start)) is not None:
        found[f"energy {energy['use']}"] = memory
    if (limit := (energy.get("limits") or {}).get("memory")) is not None:
        found["energy.limits.memory"] = float(limit)
    for channel in recipe.channels:
        if len(start) and isinstance(channel.forward, HasEstimate):
            found[f"an image of {channel.name}"] = channel.forward.estimate(start).memory
    return found


def engine_memory(engine: object, start: Atoms) -> float | None:
    """Memory [GB] of a worker that prices ``start``, or that the engine declares; None for none."""
    if len(start) and isinstance(engine, HasMemory):
        return float(engine.memory_for(start))
    offer = offer_of(engine)
    return None if offer is None else float(offer.memory)


def machine_memory() -> float:
    """Memory of this machine [GB]."""
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)


def require_memory_here(config: Config, recipe: Recipe, start: Atoms) -> None:
    """Raise :class:`UserError` where one worker alone needs more than this machine has."""
    need = engine_memory(recipe.energy, start)
    if need is not None and need > machine_memory():
        raise UserError(
            f"energy {config.energy['use']} takes {need:.0f} GB for the {len(start)} atoms of the "
            f"start structure, and this machine has {machine_memory():.0f} GB; cut the structure "
            "to fewer atoms around its region, or choose another engine"
        )


def require_memory(config: Config, recipe: Recipe, start: Atoms, site: Site) -> None:
    """Raise :class:`UserError` where a part of a campaign needs more than its process will have.

    Without this, the batch system would end whole jobs, and nobody could tell whose fault it was.
    """
    for what, need in needs(config, recipe, start).items():
        if need > site.share:
            fewer = "inner" if site.terms.inner > 1 else "processes"
            raise UserError(
                f"{what} takes {need:.3g} GB, and each process has {site.share:.3g} GB in the jobs "
                f"of {site.name} (memory {site.settings['memory']} for {site.slots}); raise memory "
                f"there, or lower {fewer}"
            )
