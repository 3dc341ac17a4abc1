"""Whether what a campaign needs in memory fits into what a site gives to each process."""

from __future__ import annotations

from htinvert.cluster.site import Site
from htinvert.core import UserError
from htinvert.plan import Plan


def needs(plan: Plan) -> dict[str, float]:
    """Memory [GB] of a process that parts of a campaign declare or may take, by what they are."""
    energy, found = plan.config.energy, {}
    if (offer := getattr(plan.recipe.energy, "offer", None)) is not None:
        found[f"energy {energy['use']}"] = float(offer.memory)
    if (limit := (energy.get("limits") or {}).get("memory")) is not None:
        found["energy.limits.memory"] = float(limit)
    for channel in plan.recipe.channels:
        if callable(offer := getattr(channel.forward, "offer", None)):
            found[f"an image of {channel.name}"] = float(offer(plan.space.template).memory)
    return found


def require_memory(plan: Plan, site: Site) -> None:
    """Raise :class:`UserError` where a part of a campaign needs more than its process will have.

    Without this, the batch system would end whole jobs, and nobody could tell whose fault it was.
    """
    for what, need in needs(plan).items():
        if need > site.share:
            fewer = "inner" if site.terms.inner > 1 else "processes"
            raise UserError(
                f"{what} takes {need:.3g} GB, and each process has {site.share:.3g} GB in the jobs "
                f"of {site.name} (memory {site.settings['memory']} for {site.slots}); raise memory "
                f"there, or lower {fewer}"
            )
