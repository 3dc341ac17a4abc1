"""The demonstration: a planted boundary, imaged by a model that the search does not use."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from ase import Atoms

from htinvert.core import Region
from htinvert.geometry.distances import covalent_distances
from htinvert.ranking.rank import Ranked, distance
from htinvert.structures.file import from_file
from htinvert.structures.region import search_space

FOLDER = Path(str(files("htinvert"))) / "data" / "demo"
CAMPAIGN = FOLDER / "demo.yaml"
CLOSE = 0.5  # Å: a family nearer than this to the planted structure is the planted one


def truth(region: Region | None) -> Atoms:
    """The planted structure, its region marked."""
    atoms = from_file(FOLDER / "truth.vasp")
    symbols = atoms.get_chemical_symbols()
    space = search_space(
        atoms, region=region, composition={}, min_distance=covalent_distances(symbols)
    )
    return space.template


def verdict(ranked: Sequence[Ranked], region: Region | None) -> str:
    """Say whether and where the planted structure was found, in one sentence."""
    planted = truth(region)
    gaps = [distance(entry.evaluation.atoms, planted) for entry in ranked]
    place = next((i for i, gap in enumerate(gaps) if gap < CLOSE), None)
    evaluated = sum(entry.members for entry in ranked)
    if place is None:
        return (
            f"The planted structure is not among the {evaluated} best evaluations "
            f"(nearest family: {min(gaps):.2f} Å away); try another --seed."
        )
    entry = ranked[place]
    return (
        f"The planted structure is rank {entry.rank} of {len(ranked)} families, "
        f"{gaps[place]:.2f} Å (rms) from the truth, first met as candidate #{entry.first}, "
        f"among the {evaluated} best evaluations."
    )
