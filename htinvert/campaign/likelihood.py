"""Objectives of a campaign: weights by hand, or likelihoods whose numbers follow from the data.

Of an experiment: its independent points, and the error that its forward model declares. Of an
energy ``E / kT``, kT that of the sample and the engine's error of all that may be exchanged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ase.units import kB

from htinvert.config.campaign import Config
from htinvert.config.weights import LikelihoodPart, named_objectives
from htinvert.core import ENERGIES, Channel, Objective, Space, UserError
from htinvert.declaration.abilities import HasMisfit, HasModelError
from htinvert.metrics.likelihood import MODEL_ERROR, Likelihood
from htinvert.ranking.confidence import declared_accuracy
from htinvert.signals.independent import independent_points

ROOM = 300.0  # K


def likelihood_of(channel: Channel, metric: str, part: LikelihoodPart) -> tuple[Likelihood, str]:
    """The likelihood of an experiment's cost, and a sentence on its numbers.

    Raises :class:`UserError` where the metric is no residual of least squares.
    """
    judge = channel.metrics[metric]
    misfit = part.misfit or (judge.misfit if isinstance(judge, HasMisfit) else None)
    if misfit is None:
        raise UserError(
            f"objectives.{channel.name}.{metric} has no likelihood, because {metric} is no "
            "residual of least squares; take correlation, rw or cosine, or give a weight"
        )
    points, counted = independent_points(channel.forward, channel.observed)
    if part.points is not None:
        points, counted = part.points, "as given"
    forward = channel.forward
    floor, source = MODEL_ERROR, "a convention, because the model declares none"
    if isinstance(forward, HasModelError):
        floor, source = forward.model_error, forward.model_error_source
    if part.floor is not None:
        floor, source = part.floor, "as given"
    points = float(f"{points:.3g}")
    return Likelihood(points, floor, misfit == "cost"), (
        f"{channel.name}.{metric}: log-likelihood of {points:g} independent points ({counted}), "
        f"model error {floor:g} of the signal ({source}); the size of the noise is profiled out"
    )


def temperature(config: Config, space: Space, name: str, part: LikelihoodPart) -> tuple[float, str]:
    """The kT [eV] by which an energy counts, and a sentence on it.

    Raises :class:`UserError` for an energy per atom or area, of which there is no likelihood.
    """
    if name not in ("energy", "total_energy"):
        raise UserError(
            f"objectives.{name} has no likelihood, which is of the whole cell's energy; name energy"
        )
    if part.kT is not None:
        return part.kT, f"{name}: E / kT with kT = {part.kT:g} eV as given"
    engine = declared_accuracy(config.energy)
    atoms = max(sum(most for _, most in space.composition.values()), 1)
    kT = math.hypot(engine.energy * math.sqrt(atoms), kB * ROOM)
    kT = float(f"{kT:.3g}")
    return kT, (
        f"{name}: E / kT with kT = {kT:g} eV: the error of {atoms} atoms that may be exchanged, "
        f"{engine.energy:g} eV each ({engine.name}), and {ROOM:g} K"
    )


def objectives_in(
    config: Config, channels: Sequence[Channel], space: Space
) -> tuple[tuple[Objective, ...] | None, Mapping[str, str]]:
    """The objectives that a campaign gives, None where it gives none; a sentence on each.

    Raises :class:`UserError` where one has no likelihood.
    """
    if config.objectives is None:
        return None, {}
    given, _ = named_objectives(config.objectives, config.experiments)
    known = {channel.name: channel for channel in channels}
    found, said = [], {}
    for name, worth in given.items():
        if not isinstance(worth, LikelihoodPart):
            found.append(Objective(name, worth))
            said[name] = f"{name}: {worth:g} per {ENERGIES.get(name, 'unit of cost')}, by hand"
        elif name in ENERGIES:
            kT, said[name] = temperature(config, space, name, worth)
            found.append(Objective(name, 1.0 / kT))
        else:
            channel, _, metric = name.partition(".")
            likelihood, said[name] = likelihood_of(known[channel], metric, worth)
            found.append(Objective(name, 1.0, likelihood))
    return tuple(found), said
