"""The numbers of a relaxation that rank: energies of the cell, per atom, per area."""

from __future__ import annotations

from htinvert.core import (
    Recipe,
    Relaxation,
)
from htinvert.geometry.heights import area


def energies(relaxation: Relaxation, recipe: Recipe) -> dict[str, float]:
    """The objectives of :data:`htinvert.core.ENERGIES` that a relaxed structure has.

    ``energy`` is the total energy less the chemical potentials of its atoms, for the whole cell;
    the formation energy is that per atom, the interface energy per area of the region's plane.
    """
    atoms = relaxation.atoms
    references = recipe.chemical_potentials
    energy = relaxation.energy - sum(references.get(s, 0.0) for s in atoms.get_chemical_symbols())
    found = {
        "energy": energy,
        "total_energy": relaxation.energy,
        "formation_energy": energy / max(len(atoms), 1),
    }
    if recipe.region is not None:
        found["interface_energy"] = energy / area(atoms, recipe.region.dimension)
    return found
