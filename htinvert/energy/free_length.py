"""A cell whose length along the normal of a boundary is relaxed too, with any engine.

Atoms keep their Cartesian places where the length changes, so what it opens or closes is the
boundary at the cell's end; a frozen grain is never strained. Around the engine's own relaxation the
length is then the one number that is left: its force is the slope of the energy at fixed places
(the other terms vanish in a relaxed structure), and the secant method finds where it is zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms

from htinvert.core import EnergyModel, EvaluationFailed, Region, Relaxation, UserError
from htinvert.declaration.abilities import ChecksElements, Loads, PricesAsItStands
from htinvert.energy.isolation import Isolated
from htinvert.energy.offer import Offer, offer_of

PRESSURE = 3e-4  # eV/Å³, 0.05 GPa: where less is left the length is relaxed
STIFFNESS = 0.25  # eV/Å³, 40 GPa, about CdTe's bulk modulus: for the first step only
LONGEST_STEP = 0.3  # Å
MOST_STEPS = 20
DIFFERENCE = 0.01  # Å to both sides for a slope; ten times what single precision asks for


@dataclass(frozen=True)
class FreeLength:
    """An engine that relaxes the cell's length along a Cartesian axis (0, 1, 2) as well.

    The relaxation's force is then the largest on an atom or body, the length aside.
    """

    engine: EnergyModel
    axis: int

    @property
    def offer(self) -> Offer | None:
        """What the engine declares, None where it declares nothing."""
        return offer_of(self.engine)

    def load(self) -> None:
        """Load the engine, where there is something to load."""
        if isinstance(self.engine, Loads):
            self.engine.load()

    def check_elements(self, symbols: set[str]) -> None:
        """Ask the engine, where it can tell, whether it covers these elements."""
        if isinstance(self.engine, ChecksElements):
            self.engine.check_elements(symbols)

    def __call__(self, atoms: Atoms) -> Relaxation:
        """Relax atoms and length. Raises :class:`EvaluationFailed` where the engine does."""
        current, taken = atoms, 0
        area = atoms.get_volume() / abs(atoms.cell.array[self.axis, self.axis])
        stiffness = STIFFNESS * area / abs(atoms.cell.array[self.axis, self.axis])
        before = step = 0.0
        for _ in range(MOST_STEPS):
            relaxation = self.engine(current)
            taken += relaxation.steps
            slope = self.slope(relaxation.atoms)
            if abs(slope) <= PRESSURE * area:
                return replace(relaxation, steps=taken)
            if step:
                secant = (slope - before) / step
                stiffness = secant if secant > 0.1 * stiffness else stiffness
            before, step = slope, float(np.clip(-slope / stiffness, -LONGEST_STEP, LONGEST_STEP))
            current = longer(relaxation.atoms, self.axis, step)
        raise EvaluationFailed(
            f"not converged: after {MOST_STEPS} steps the cell's length along {'xyz'[self.axis]} "
            f"still feels {slope / area * 160.2:.2g} GPa, more than {PRESSURE * 160.2:.2g}"
        )

    def slope(self, atoms: Atoms) -> float:
        """Slope [eV/Å] of the energy over the length, atoms at fixed places."""
        ends = [longer(atoms, self.axis, step) for step in (-DIFFERENCE, DIFFERENCE)]
        assert isinstance(self.engine, PricesAsItStands)  # noqa: S101  (see with_length)
        low, high = (float(self.engine.single_point(end).energy) for end in ends)
        return (high - low) / (2.0 * DIFFERENCE)


def longer(atoms: Atoms, axis: int, step: float) -> Atoms:
    """A copy with another length [Å] along an axis, every atom where it was."""
    changed = atoms.copy()
    cell = atoms.cell.array.copy()
    cell[axis, axis] += step
    changed.set_cell(cell, scale_atoms=False)
    return changed


def with_length(engine: EnergyModel, region: Region | None) -> EnergyModel:
    """The engine as the region asks for it: with a free length, where there is one.

    Raises :class:`UserError` where the engine prices no structure as it stands.
    """
    if region is None or region.length == "fixed":
        return engine
    inner = engine.engine if isinstance(engine, Isolated) else engine
    if not isinstance(inner, PricesAsItStands):
        raise UserError(
            f"region.length is free but {type(inner).__name__} prices no structure as it stands "
            "(it has no single_point); leave region.length out or choose another engine"
        )
    free = FreeLength(inner, region.dimension)
    return replace(engine, engine=free) if isinstance(engine, Isolated) else free
