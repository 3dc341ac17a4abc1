"""The demonstration: a planted boundary, imaged by a model that the search does not use."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
from ase import Atoms
from scipy.spatial.distance import pdist

from htinvert.core import Region, UserError
from htinvert.geometry.distances import covalent_distances
from htinvert.ranking.rank import Ranked, distance
from htinvert.structures.file import from_file
from htinvert.structures.region import search_space

FOLDER = Path(str(files("htinvert"))) / "data" / "demo"
CAMPAIGN = FOLDER / "demo.yaml"
CAMPAIGNS = {"image": CAMPAIGN, "pdf": FOLDER.with_name("demo_pdf") / "demo.yaml"}
CLOSE = 0.5  # Å: a family nearer than this to the planted structure is the planted one


def campaign_of(kind: str) -> Path:
    """The campaign of a demonstration. Raises :class:`UserError` where there is none."""
    if kind not in CAMPAIGNS:
        raise UserError(f"there is no demo {kind!r}; choose one of {', '.join(CAMPAIGNS)}")
    return CAMPAIGNS[kind]


def truth(region: Region | None, folder: Path = FOLDER) -> Atoms:
    """The planted structure, its region marked."""
    atoms = from_file(next(folder.glob("truth.*")))
    symbols = atoms.get_chemical_symbols()
    space = search_space(
        atoms, region=region, composition={}, min_distance=covalent_distances(symbols)
    )
    return space.template


def verdict(ranked: Sequence[Ranked], region: Region | None, folder: Path = FOLDER) -> str:
    """Say whether and where the planted structure was found, in one sentence."""
    planted = truth(region, folder)
    gaps = [_gap(entry.evaluation.atoms, planted) for entry in ranked]
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


def _gap(atoms: Atoms, planted: Atoms) -> float:
    """Distance of two structures [Å]; of free clusters, which turn, the rms of sorted distances."""
    if planted.pbc.any() or len(atoms) != len(planted):
        return distance(atoms, planted)
    first, second = (np.sort(pdist(each.positions)) for each in (atoms, planted))
    return float(np.sqrt(np.mean((first - second) ** 2)))
