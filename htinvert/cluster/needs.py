"""Whether what a campaign needs in memory fits into what a site gives to each process."""

from __future__ import annotations

from ase import Atoms

from htinvert.cluster.site import Site
from htinvert.config.campaign import Config
from htinvert.core import Recipe, UserError
from htinvert.declaration.abilities import HasEstimate
from htinvert.energy.offer import offer_of


def needs(config: Config, recipe: Recipe, start: Atoms) -> dict[str, float]:
    """Memory [GB] of a process that parts of a campaign declare or may take, by what they are.

    Images are priced for the structure ``start``, where it has atoms.
    """
    energy, found = config.energy, {}
    if (offer := offer_of(recipe.energy)) is not None:
        found[f"energy {energy['use']}"] = float(offer.memory)
    if (limit := (energy.get("limits") or {}).get("memory")) is not None:
        found["energy.limits.memory"] = float(limit)
    for channel in recipe.channels:
        if len(start) and isinstance(channel.forward, HasEstimate):
            found[f"an image of {channel.name}"] = channel.forward.estimate(start).memory
    return found


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
