"""Columns that a field shows become structures: elements by intensity, heights by the crystal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list

from htinvert.core import (
    Evaluation,
    Exhausted,
    Infeasible,
    Objective,
    Region,
    Relaxation,
    Space,
    UserError,
)
from htinvert.generators.columns import FromColumns
from htinvert.generators.operators.column_contents import layers, neighbors_of
from htinvert.generators.operators.columns import find_columns
from htinvert.generators.operators.guided import Guide, Look
from htinvert.geometry.roles import region_mask
from htinvert.structures.region import search_space

WIDTH = 0.5  # Å, standard deviation of a column's picture
AIM = (Objective("energy", 1.0),)


def crystal() -> Atoms:
    """Zincblende along <110>, which is x and the beam, four cells high."""
    cubic = bulk("CdTe", "zincblende", a=6.48, cubic=True)
    turned = Atoms(cell=[6.48 / 2**0.5, 6.48 / 2**0.5, 6.48], pbc=True)
    for symbol, u, v, w in (
        *(("Cd", 0.0, 0.0, 0.0), ("Cd", 0.5, 0.5, 0.5)),
        *(("Te", 0.5, 0.0, 0.25), ("Te", 0.0, 0.5, 0.75)),
    ):
        turned += Atoms(symbol, [turned.cell.cartesian_positions([u, v, w])])
    assert len(turned) * 2 == len(cubic)
    found = turned.repeat((1, 2, 4))
    found.positions[:, 2] += 0.5
    return found


def picture(atoms: Atoms, points: np.ndarray, noise: float) -> np.ndarray:
    gaps = points[:, None, 1:] - atoms.positions[None, :, 1:]
    lengths = atoms.cell.lengths()[1:]
    gaps -= lengths * np.round(gaps / lengths)
    height = (atoms.numbers / 48) ** 1.7
    seen = (height * np.exp(-0.5 * (gaps**2).sum(axis=-1) / WIDTH**2)).sum(axis=1)
    return seen + noise * np.sin(9.0 * points[:, 1] + 5.0 * points[:, 2])


def looks_at(truth: Atoms, noise: float = 0.01, tilt: float = 0.0) -> Look:
    """A guide along x that compares with ``truth``; with ``tilt`` it looks along no cell vector."""

    def look(atoms: Atoms) -> Guide:
        def field(points: np.ndarray) -> np.ndarray:
            points = points + np.outer(points[:, 0], [0.0, tilt, 0.0])
            return picture(truth, points, noise) - picture(atoms, points, 0.0)

        return Guide(field, 48, 0.02, again=look)

    return look


def test_two_columns_that_look_like_one_are_two(space: Space) -> None:
    """A peak between them is found first, then what is left of each: three, of which two stay."""
    truth = host(space) + Atoms("Te2", [[0.0, 2.1, 11.75], [0.0, 2.3, 12.65]])
    y, z = np.meshgrid(np.arange(0.0, 4.58, 0.25), np.arange(9.0, 15.5, 0.25))
    points = np.stack([0.0 * y, y, z], axis=-1).reshape(-1, 3)

    def look(atoms: Atoms) -> Guide:
        guide = looks_at(truth)(atoms)
        rms = float(np.sqrt((guide.field(points) ** 2).mean()))
        return replace(guide, rms=rms, again=look)

    found = find_columns(look, space, host(space))
    assert len(found.places) == 2
    gaps = found.places[:, None, 1:] - truth.positions[None, -2:, 1:]
    assert np.linalg.norm(gaps, axis=-1).min(axis=1).max() < 0.15  # Å
    assert found.intensities == pytest.approx((52 / 48) ** 1.7, rel=0.1)


class Looks:
    """What a campaign gives as residuals."""

    def __init__(self, look: Look) -> None:
        self.look = look

    def __call__(self, parameters: Mapping[str, object]) -> Look:
        return self.look


@pytest.fixture
def space() -> Space:
    return search_space(
        crystal(),
        region=Region("z", 9.5, 15.0, 1.0),
        composition={"Cd": (0, 8), "Te": (0, 8)},
        min_distance=dict.fromkeys(map(frozenset, [("Cd",), ("Te",), ("Cd", "Te")]), 2.0),
    )


def host(space: Space) -> Atoms:
    return space.template[~region_mask(space.template)]


def test_columns_are_found_where_they_are_with_what_they_hold(space: Space) -> None:
    found = find_columns(looks_at(crystal()), space, host(space))
    hidden = crystal()[region_mask(space.template)]
    assert len(found.places) == len(hidden)
    gaps = found.places[:, None, 1:] - hidden.positions[None, :, 1:]
    period = crystal().cell[1, 1]
    gaps[..., 0] -= period * np.round(gaps[..., 0] / period)
    apart = np.linalg.norm(gaps, axis=-1)
    assert apart.min(axis=1).max() < 0.1  # Å
    held = (hidden.numbers[apart.argmin(axis=1)] / 48) ** 1.7
    assert found.intensities == pytest.approx(held, abs=0.05)


def test_the_first_proposal_is_the_crystal_itself(space: Space) -> None:
    generator = FromColumns(space, AIM, 1, Looks(looks_at(crystal())))
    (first,) = generator.ask([0])
    names = np.array(first.atoms.get_chemical_symbols())
    inside = region_mask(first.atoms)
    i, j = neighbor_list("ij", first.atoms, 1.1 * 6.48 * 3**0.5 / 4)
    assert (np.bincount(i)[inside] == 4).all()  # heights fit: every atom has four neighbors
    assert (names[i] != names[j]).all()  # elements, too
    assert sorted(names[inside]) == sorted(crystal()[region_mask(space.template)].symbols)
    assert first.operator == FromColumns.operator and not first.given


def test_proposals_are_unlike_and_end(space: Space) -> None:
    generator = FromColumns(space, AIM, 1, Looks(looks_at(crystal())), most=5)
    found = generator.ask(range(9))
    assert 1 < len(found) <= 5
    rounded = {(one.atoms.positions.round(3).tobytes(), str(one.atoms.symbols)) for one in found}
    assert len(rounded) == len(found)
    with pytest.raises(Exhausted):
        generator.ask([9])


def test_a_resumed_campaign_goes_on_after_what_was_evaluated(space: Space) -> None:
    first = FromColumns(space, AIM, 1, Looks(looks_at(crystal())))
    begun = first.ask([0, 1])
    whole = [one.atoms for one in [*begun, *first.ask([2])]]
    for one in begun:
        first.tell([Evaluation(one, Relaxation(one.atoms, 0.0, True, 0))])
    again = FromColumns(space, AIM, 1, Looks(looks_at(crystal())))
    again.restore(first.state())
    (third,) = again.ask([2])
    assert np.array_equal(third.atoms.positions, whole[2].positions)


def test_nothing_is_proposed_where_the_experiment_looks_along_no_vector_of_the_cell(
    space: Space,
) -> None:
    with pytest.raises(Infeasible, match="along no vector of the cell"):
        find_columns(looks_at(crystal(), tilt=0.3), space, host(space))
    with pytest.raises(Exhausted):
        FromColumns(space, AIM, 1, Looks(looks_at(crystal(), tilt=0.3))).ask([0])


def test_a_host_tells_heights_and_neighbors() -> None:
    assert layers(crystal(), crystal().cell[0]) == pytest.approx([0.0, 6.48 / 2**0.5 / 2])
    known = neighbors_of(crystal(), ["Cd", "Te", "Se"])
    assert frozenset(("Cd", "Te")) in known and frozenset(("Te",)) not in known
    assert {frozenset(("Se", "Cd")), frozenset(("Se",))} <= known  # of which nothing is known


def test_without_an_image_or_atoms_to_put_it_is_refused(space: Space) -> None:
    with pytest.raises(UserError, match="columns follows images but the campaign has no"):
        FromColumns(space, AIM, 1, ())
    rigid = replace(space, composition={})
    with pytest.raises(UserError, match="columns has no atoms to propose; give composition"):
        FromColumns(rigid, AIM, 1, Looks(looks_at(crystal())))
