"""Refine a relaxed structure on energy and fit together: a few steps down their weighted sum.

A relaxation ends in a minimum of the energy, a fit at fixed forward parameters moves away from it
only as far as the data pay for. L-BFGS on analytic gradients: Liu & Nocedal, Math. Program. 45,
503 (1989). Restraining a fit by an energy: M. G. Tucker et al., J. Phys.: Condens. Matter 19,
335218 (2007); P. Cliffe & A. L. Goodwin, Phys. Status Solidi B 250, 949 (2013).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms

from htinvert.core import (
    Channel,
    EnergyModel,
    EvaluationFailed,
    Floats,
    Objective,
    Recipe,
    Relaxation,
    Score,
    UserError,
)
from htinvert.declaration.abilities import Differentiable, HasSlope, PricesAsItStands
from htinvert.energy.lennard_jones import minimize
from htinvert.evaluation.fit import adjusted
from htinvert.geometry.roles import frozen_mask, rigid_bodies
from htinvert.metrics.likelihood import slope

LONGEST = 0.1  # Å, that an atom moves in one step
FLAT = 1e-3  # per Å, of the weighted sum: less is not worth a step
ENERGY = ("energy", "total_energy")  # whose slope by positions is that of the engine's energy


def check_refinable(
    energy: EnergyModel, channels: Sequence[Channel], objectives: Sequence[Objective], atoms: Atoms
) -> None:
    """Raise :class:`UserError` where some part of the weighted sum has no gradient."""
    if not isinstance(energy, PricesAsItStands):
        raise UserError(
            f"refine needs forces but {type(energy).__name__} prices no structure as it stands; "
            "leave refine, or the energy's limits, out"
        )
    if rigid_bodies(atoms):
        raise UserError("refine moves single atoms but the region has a rigid grain; leave it out")
    parts = {channel.name: channel for channel in channels}
    for objective in objectives:
        name, _, metric = objective.name.partition(".")
        if not objective.weight or objective.name in ENERGY:
            continue
        channel = parts.get(name)
        if channel is None or not (
            isinstance(channel.forward, Differentiable)
            and isinstance(channel.metrics.get(metric), HasSlope)
        ):
            raise UserError(
                f"refine needs a gradient of every objective but {objective.name} has none; keep "
                "to energy and to rw of a pdf, or leave refine out"
            )


def refined(
    relaxation: Relaxation,
    recipe: Recipe,
    *,
    scores: Mapping[str, Score],
    parameters: Mapping[str, Mapping[str, float]],
) -> Relaxation | None:
    """The structure a few steps further down; None where none is asked for or the fit is too poor.

    Args:
        relaxation: in a minimum of the energy.
        recipe: with what to refine by.
        scores: of the relaxed structure, by channel and metric.
        parameters: fitted to it, by channel; they stay.

    Raises:
        EvaluationFailed: where engine or simulation gives up.
    """
    asked = recipe.refine
    if asked is None:
        return None
    fits = {o.name: o for o in asked.objectives if o.weight and o.name in scores}
    if not fits or any(scores[name].cost > asked.below for name in fits):
        return None
    weight = sum(o.weight for o in asked.objectives if o.name in ENERGY)
    channels = {channel.name: channel for channel in recipe.channels}
    atoms = relaxation.atoms.copy()
    mobile = ~frozen_mask(atoms)[:, None]
    engine: Any = recipe.energy
    models = {
        name: adjusted(channel.forward, parameters.get(name, {}))
        for name, channel in channels.items()
    }

    def field(positions: Floats) -> tuple[float, Floats]:
        atoms.positions = positions
        point = engine.single_point(atoms)
        value, forces = weight * point.energy, weight * point.forces
        for name, objective in fits.items():
            which, _, metric = name.partition(".")
            forward, observed = models[which], channels[which].observed
            judge: Any = channels[which].metrics[metric]
            simulated = forward(atoms)
            cost = judge(simulated, observed).cost
            value += objective.worth(cost)
            change = slope(objective, cost) * judge.slope(simulated, observed)
            forces = forces - forward.gradient(atoms, change)
        return float(value), np.asarray(forces * mobile)

    _, positions, steps, _ = minimize(field, atoms.positions.copy(), FLAT, asked.steps, LONGEST)
    found = relaxation.atoms.copy()
    found.positions = positions
    point = engine.single_point(found)
    force = float(np.linalg.norm(point.forces * mobile, axis=1).max(initial=0.0))
    if not np.isfinite(point.energy):
        raise EvaluationFailed("not finite: the energy of the refined structure is not finite")
    return Relaxation(
        found, float(point.energy), relaxation.converged, relaxation.steps + steps, force
    )
