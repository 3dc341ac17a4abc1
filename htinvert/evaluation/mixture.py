"""Several structures at once in one curve, such as polymorphs: each with a share, none negative.

The measured curve is the sum of the phases' curves, each weighed by its share of the atoms and by
how strongly these scatter. For every trial of the other parameters the shares follow in closed form
by non-negative least squares: Lawson & Hanson, *Solving Least Squares Problems* (1974), chapter 23.
Parameters of the instrument and of motion are those of all phases, factors on lengths each one's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from numpy.polynomial.legendre import legvander
from scipy.optimize import nnls

from htinvert.core import Axis, Channel, EvaluationFailed, Floats, Signal, UserError
from htinvert.declaration.abilities import ChoosesFree
from htinvert.declaration.crystal_abilities import Coarsens, Mixes
from htinvert.declaration.declared import value_of
from htinvert.evaluation.fit import Fitted, Trial, adjusted, fit
from htinvert.evaluation.freed import Bounds, freed

OWN = ("zoom", "angle", "shift", "diameter")  # parameters that each phase has for itself
BETWEEN = ": "  # a phase's name and its own parameter's


@dataclass(frozen=True)
class Ingredient:
    """A structure of a mixture by name."""

    name: str
    atoms: Atoms


@dataclass(frozen=True, kw_only=True, eq=False)
class Blend:
    """Simulate the sum of several phases; a fit adjusts the entries of ``values`` and ``shares``.

    Args:
        forward: of each phase alone.
        phases: two or more.
        observed: what shares are solved for in; of the same axes as ``forward``.
        values: parameters by name, those of one phase as ``name: parameter``.
        shares: of the atoms by phase; solved for where empty. That of ``rest`` is what the others
            leave of 1.
        rest: name of a phase.
        background: degree of the polynomial that the metric adds; None where it adds none.
    """

    kind: ClassVar[str] = "curve"

    forward: Any
    phases: tuple[Ingredient, ...]
    observed: Signal
    values: Mapping[str, float] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)
    rest: str = ""
    background: int | None = None
    axes: tuple[Axis, ...] | None = None

    def __call__(self, atoms: Atoms) -> Signal:  # noqa: ARG002 -- as every forward model
        """The sum of the phases; ``atoms`` say nothing.

        Raises :class:`~htinvert.core.EvaluationFailed` where no phase has a share.
        """
        signals = [self.forward_of(phase)(phase.atoms) for phase in self.phases]
        columns = np.array([signal.data for signal in signals], dtype=float).T
        weights = self._weights() if self.shares else self._solved(columns)
        if not weights.any():
            raise EvaluationFailed("no phase takes part in the data")
        return replace(signals[0], data=(columns @ weights).astype(np.float32))

    def forward_of(self, phase: Ingredient) -> Any:
        """The forward model of one phase, by the parameters that are all phases' or its own."""
        return adjusted(self.forward, own(self.values, phase.name))

    def coarser(self, observed: Signal) -> Iterator[tuple[Blend, Signal]]:
        """The sum and the data as the phases' model makes them less resolved."""
        if isinstance(self.forward, Coarsens):
            for forward, data in self.forward.coarser(observed):
                yield replace(self, forward=forward, observed=data), data

    def solved(self) -> dict[str, float]:
        """Share of the atoms that each phase has, by the data."""
        signals = [self.forward_of(phase)(phase.atoms).data for phase in self.phases]
        weights = self._solved(np.array(signals, dtype=float).T)
        counts = weights / self._strengths()
        shares = counts / max(counts.sum(), 1e-300)
        return {phase.name: float(x) for phase, x in zip(self.phases, shares, strict=True)}

    def _solved(self, columns: Floats) -> Floats:
        """What each phase's curve is multiplied by in the data, beside their background."""
        measured = np.isfinite(self.observed.data)
        columns, values = columns[measured], self.observed.data[measured].astype(float)
        if self.background is not None:  # what a polynomial can take up decides no share
            x = np.linspace(-1.0, 1.0, len(self.observed.data))[measured]
            basis, _ = np.linalg.qr(legvander(x, self.background))
            columns = columns - basis @ (basis.T @ columns)
            values = values - basis @ (basis.T @ values)
        weights, _ = nnls(columns, values)
        return np.asarray(weights)

    def _strengths(self) -> Floats:
        """What an atom of each phase weighs in the sum."""
        return np.array([self.forward_of(p).scattering(p.atoms) for p in self.phases])

    def _weights(self) -> Floats:
        """What each phase's curve is multiplied by, for the shares that are set."""
        rest = 1.0 - sum(share for name, share in self.shares.items() if name != self.rest)
        shares = [rest if p.name == self.rest else self.shares[p.name] for p in self.phases]
        weights = np.array(shares) * self._strengths()
        return np.asarray(weights / np.abs(weights).sum())


def own(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Parameters of one phase by their own names: those of all phases, and its own."""
    found = {}
    for key, value in values.items():
        phase, between, parameter = key.partition(BETWEEN)
        if not between:
            found[key] = value
        elif phase == name:
            found[parameter] = value
    return found


def mixed(
    channel: Channel, phases: Sequence[Ingredient], also: Bounds
) -> tuple[Blend, dict[str, tuple[float, float]]]:
    """A mixture for a channel, and the bounds of what is fitted of it.

    ``also`` are bounds of free parameters besides the usual ones.

    Raises:
        UserError: where there are fewer than two phases or the forward model cannot mix them.
    """
    forward = channel.forward
    if not isinstance(forward, Mixes) or not isinstance(forward, ChoosesFree):
        raise UserError("a mixture can be fitted of a G(r) only; fit each structure, without --mix")
    if len(phases) < 2:
        raise UserError("a mixture needs two structures or more; put them into one folder")
    free: dict[str, tuple[float, float]] = {}
    for phase in phases:
        for name, (low, high) in freed(channel, phase.atoms, also).items():
            if name.partition(".")[0] in OWN:
                free[phase.name + BETWEEN + name] = (low, high)
            else:  # within what every phase allows
                first, last = free.get(name, (low, high))
                free[name] = (max(low, first), min(high, last))
    metric = next(iter(channel.metrics.values()))
    return Blend(
        forward=forward,
        phases=tuple(phases),
        observed=channel.observed,
        background=getattr(metric, "background", None),
    ), free


def fit_mixture(
    channel: Channel,
    mixture: Blend,
    free: Bounds,
    *,
    max_evaluations: int,
    observer: Callable[[Trial], None] | None = None,
) -> tuple[Fitted, Channel]:
    """Fit all that is free of a mixture by least squares, shares solved for at every step.

    Returns the fit with its shares set, and the channel that it was made with; parameters are
    called ``values.NAME`` there.

    Raises:
        EvaluationFailed: where nothing could be simulated and compared.
    """
    initial = {
        key: start_of(channel.forward, key.rpartition(BETWEEN)[2], bounds)
        for key, bounds in free.items()
    }
    wide = replace(
        channel,
        forward=replace(mixture, values=initial),
        free={f"values.{name}": bounds for name, bounds in free.items()},
    )
    result = fit(wide, mixture.phases[0].atoms, max_evaluations=max_evaluations, observer=observer)
    fitted: Any = result.forward
    shares = fitted.solved()
    rest = max(shares, key=lambda name: shares[name])
    return replace(result, forward=replace(fitted, shares=shares, rest=rest)), wide


def start_of(forward: Any, name: str, bounds: tuple[float, float]) -> float:
    """A parameter's own value where it has one within bounds, else the middle of these."""
    value = value_of(forward, name)
    low, high = bounds
    if isinstance(value, int | float) and low <= value <= high:
        return float(value)
    return (low + high) / 2
