"""One structure evaluated as a campaign would: now, and in this process."""

from __future__ import annotations

from ase import Atoms

from htinvert.campaign.plan import Plan
from htinvert.core import Candidate, Evaluation, Recipe
from htinvert.evaluation import evaluate as evaluation
from htinvert.geometry.roles import region_mask
from htinvert.structures.region import search_space


def evaluate(atoms: Atoms, by: Plan | Recipe) -> Evaluation:
    """Relax a structure, image and score it; energies in eV.

    Args:
        atoms: the structure. Where it has no roles, by tags or constraints, its atoms get those
            that the plan's region gives.
        by: a plan or a recipe. Free imaging parameters are fitted to this structure; in the plan
            of a run, ``htinvert.open(folder).plan``, they are what the run's start structure gave,
            as for the run's own candidates.

    Never raises for the structure: a failure comes back with its reason, in ``error``. Raises
    :class:`~htinvert.core.UserError` where the plan's region does not fit to the structure.
    """
    if isinstance(by, Recipe):
        return evaluation.evaluate(Candidate(-1, atoms, "given"), by)
    by = by.priced()
    space = by.space
    if space.region is not None and not (region_mask(atoms).any() or atoms.constraints):
        atoms = search_space(
            atoms,
            region=space.region,
            composition=space.composition,
            min_distance=space.min_distance,
        ).template
    return evaluation.evaluate(Candidate(-1, atoms, "given"), by.recipe)
