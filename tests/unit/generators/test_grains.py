"""Both grains go on into the region until they meet: elements and heights are their crystals'."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from htinvert.campaign.place import filled
from htinvert.config.campaign import RegionPart
from htinvert.core import REGION_TAG, Exhausted, Objective, Region, Space, UserError
from htinvert.generators.grains import Continued
from htinvert.generators.operators.guided import Guide, Look
from htinvert.geometry.continued import continuations
from htinvert.geometry.distances import covalent_distances
from htinvert.geometry.roles import region_mask
from htinvert.structures.bicrystal import bicrystal
from htinvert.structures.oriented import Grain
from htinvert.structures.region import search_space

AIM = (Objective("energy", 1.0),)
HALF = 4.0  # Å of the region on either side of the boundary


@pytest.fixture(scope="module")
def boundary() -> Atoms:
    """Sigma 9 of CdTe along <110>, which is x, as built."""
    crystal = bulk("CdTe", "zincblende", a=6.48)
    grains = [Grain(crystal, (1, 1, 0), (0, 0, 1), angle) for angle in (19.471, -19.471)]
    return bicrystal(*grains, width=(8, 30), depth=(2, 9), height=20.0, vacuum=10.0)


def middle(boundary: Atoms) -> float:
    return float(boundary.info["bicrystal"]["boundaries"][0])


def space(boundary: Atoms, start: Atoms | None = None) -> Space:
    at = middle(boundary)
    inside = abs(boundary.positions[:, 2] - at) <= HALF
    return search_space(
        boundary[~inside] if start is None else start,
        region=Region("z", at - HALF, at + HALF, 1.0),
        composition=dict.fromkeys(("Cd", "Te"), (0, 20)),
        min_distance=covalent_distances(("Cd", "Te")),
    )


def held(atoms: Atoms) -> Atoms:
    return atoms[region_mask(atoms)]


def away(found: Atoms, boundary: Atoms) -> float:
    """Å from the atoms that were taken out, elements exact; infinite where the number differs."""
    inside = abs(boundary.positions[:, 2] - middle(boundary)) <= HALF
    truth, own = boundary[inside], held(found)
    if len(own) != len(truth):
        return np.inf
    gaps = own.positions[:, None] - truth.positions
    gaps -= np.round(gaps / boundary.cell.lengths()) * boundary.cell.lengths()
    apart = np.linalg.norm(gaps, axis=-1)
    apart[own.numbers[:, None] != truth.numbers] = np.inf
    return float(apart.min(axis=1).max())


class Looks:
    """What a campaign gives as residuals: how far columns are from those of a truth."""

    def __init__(self, truth: Atoms) -> None:
        self.truth = truth

    def __call__(self, parameters: Mapping[str, object]) -> Look:
        def look(atoms: Atoms, truth: Atoms) -> Guide:
            gaps = truth.positions[:, None, 1:] - atoms.positions[None, :, 1:]
            nearest = np.linalg.norm(gaps, axis=-1).min(axis=1)
            again = partial(look, truth=truth)
            return Guide(lambda points: points[:, 0], 48, float(nearest.max()), again)

        return partial(look, truth=self.truth)


def test_what_was_taken_out_is_among_them_and_first_where_an_image_shows_it(
    boundary: Atoms,
) -> None:
    generator = Continued(space(boundary), AIM, 1, (), most=60)
    found = [one.atoms for one in generator.ask(range(60))]
    met = [away(atoms, boundary) for atoms in found]
    assert min(met) < 0.01
    assert len({one.positions.round(3).tobytes() for one in found}) == len(found) > 5
    truth = found[int(np.argmin(met))]
    (first,) = Continued(space(boundary), AIM, 1, Looks(truth), most=1).ask([0])
    assert away(first.atoms, boundary) < 0.01
    assert first.operator == "grains" and not first.given


def test_a_grain_alone_is_among_them(boundary: Atoms) -> None:
    """Where they meet at the region's end, all of it is one grain's: its other end fits, too."""
    whole = bulk("CdTe", "zincblende", a=6.48, cubic=True).repeat((1, 1, 5))
    height = whole.positions[:, 2]
    start = whole[(height < 11.0) | (height > 19.0)]
    below, above = continuations(start, axis=2, lower=11.5, upper=18.5)
    inside = whole[(height >= 11.0) & (height <= 19.0)]
    for part in (below, above):
        assert sorted(part.symbols) == sorted(inside.symbols)
        gaps = part.positions[:, None] - inside.positions
        gaps[..., :2] -= np.round(gaps[..., :2] / 6.48) * 6.48
        assert np.linalg.norm(gaps, axis=-1).min(axis=1).max() < 0.01


def test_nothing_is_proposed_where_a_grain_repeats_nowhere(boundary: Atoms) -> None:
    at = middle(boundary)
    start = boundary[abs(boundary.positions[:, 2] - at) > HALF]
    upper = start.positions[:, 2] > at
    rng = np.random.default_rng(1)
    start.positions[upper] += rng.normal(0.0, 0.5, (int(upper.sum()), 3))
    with pytest.raises(Exhausted):
        Continued(space(boundary, start), AIM, 1, ()).ask([0])


def test_what_is_looked_for_in_an_image_is_the_boundary_itself(boundary: Atoms) -> None:
    at = middle(boundary)
    start = boundary[abs(boundary.positions[:, 2] - at) > HALF]
    shown = filled(start, RegionPart(axis="z", lower=at - HALF, upper=at + HALF), beam="x")
    added = shown[len(start) :]
    added.set_tags(REGION_TAG)
    assert away(added, boundary) < 0.01


def test_without_atoms_to_put_it_is_refused(boundary: Atoms) -> None:
    with pytest.raises(UserError, match="grains has no atoms to propose; give composition"):
        Continued(replace(space(boundary), composition={}), AIM, 1, ())
