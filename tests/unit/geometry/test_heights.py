"""Nothing depends on which image of an atom a file has, nor on the order of atoms."""

from collections import Counter

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111

from htinvert.config.starter import amounts, boundary, directions, top
from htinvert.core import EnergyModel, Recipe, Region, Relaxation, Space, UserError
from htinvert.evaluation.objectives import energies
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.forward.stm_atoms import AtomDensity
from htinvert.generators.library import _with_roles
from htinvert.generators.operators import cut_and_splice
from htinvert.geometry.distances import distance_outside
from htinvert.geometry.heights import area, in_one_piece, period
from htinvert.geometry.own_bulk import own_bulk
from htinvert.geometry.roles import roles
from htinvert.structures.region import search_space

AXES = {"x": (2, 1, 0), "y": (0, 2, 1), "z": (0, 1, 2)}  # where z of a column goes


def column(axis: str, *, vacuum: float = 0.0) -> Atoms:
    """Twelve layers of CdTe along an axis, 19.44 Å, and vacuum."""
    atoms = bulk("CdTe", "zincblende", a=6.48, cubic=True).repeat((1, 1, 3))
    atoms.cell[2, 2] += vacuum
    order = list(AXES[axis])
    return Atoms(
        atoms.numbers,
        atoms.positions[:, order],
        cell=np.diag(atoms.cell.lengths()[order]),
        pbc=True,
    )


def rewritten(atoms: Atoms, seed: int) -> tuple[Atoms, np.ndarray]:
    """The same crystal with atoms in other cells and another order, and that order."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(atoms))
    moved = atoms[order]
    moved.positions += rng.integers(-2, 3, size=(len(atoms), 3)) @ atoms.cell.array
    if seed % 3 == 0:
        moved.wrap(eps=1e-6)
    return moved, order


def shifted(atoms: Atoms, axis: str, by: float) -> Atoms:
    """The same crystal with its cell's origin elsewhere along an axis, wrapped."""
    moved = atoms.copy()
    moved.positions[:, "xyz".index(axis)] += by
    moved.wrap(eps=1e-6)
    return moved


REGIONS = {
    "inside": {"lower": 7.0, "upper": 12.0},
    "across the end": {"lower": 17.0, "upper": 22.0},
    "across the beginning": {"lower": -2.5, "upper": 2.5},
    "at the end": {"lower": 14.0, "upper": 19.44},
    "a cell higher": {"lower": 26.44, "upper": 31.44},
    "on layers": {"lower": 6.48, "upper": 11.34},
}


@pytest.mark.parametrize("axis", "xyz")
@pytest.mark.parametrize("name", REGIONS)
def test_roles_and_composition_do_not_depend_on_how_a_cell_is_written(axis: str, name: str) -> None:
    atoms = column(axis)
    region = Region(axis, margin=2.0, **REGIONS[name])
    first = search_space(atoms, region=region, composition={}, min_distance={})
    high = atoms.cell.lengths()["xyz".index(axis)]
    outside = (atoms.positions[:, "xyz".index(axis)] - region.lower + 1e-6) % high - 1e-6
    inside = outside <= region.upper - region.lower + 1e-6
    assert [role == "free" for role in roles(first.template)] == inside.tolist()
    height = first.template.positions[inside, "xyz".index(axis)]
    assert region.lower - 1e-6 <= height.min() and height.max() <= region.upper + 1e-6
    for seed in range(6):
        moved, order = rewritten(atoms, seed)
        again = search_space(moved, region=region, composition={}, min_distance={})
        assert roles(again.template) == [roles(first.template)[i] for i in order]
        assert again.composition == first.composition
        heights = again.template.positions[:, "xyz".index(axis)]
        expected = first.template.positions[order, "xyz".index(axis)]
        np.testing.assert_allclose(heights, expected, atol=1e-9)
        library = _with_roles(moved.copy(), Space(moved, region, {}, {}))
        assert roles(library) == roles(again.template)


@pytest.mark.parametrize("axis", "xyz")
@pytest.mark.parametrize("side", ["above", "below"])
@pytest.mark.parametrize("by", [0.0, 3.3, 8.0, 17.0, 24.0, -5.0])
def test_a_rigid_grain_is_the_same_wherever_the_cell_begins(
    axis: str, side: str, by: float
) -> None:
    atoms = column(axis, vacuum=12.0)
    given = {"margin": 2.0, side: "rigid", "move": "xyz"}
    first = search_space(
        atoms, region=Region(axis, 7.0, 10.0, **given), composition={}, min_distance={}
    )
    high = atoms.cell.lengths()["xyz".index(axis)]
    for whole in (0.0, high, -high):
        moved = shifted(atoms, axis, by)
        region = Region(axis, 7.0 + by + whole, 10.0 + by + whole, **given)
        if not -high <= region.lower < region.upper <= 1.5 * high:
            continue
        again = search_space(moved, region=region, composition={}, min_distance={})
        assert roles(again.template) == roles(first.template)
    assert set(Counter(roles(first.template))) == {"free", "host", "frozen", "rigid1-xyz"}


def test_a_box_finds_its_atoms_in_every_image() -> None:
    atoms = column("z").repeat((2, 2, 1))
    region = Region("z", 17.0, 22.0, 2.0, box={"x": (-3.0, 3.0), "y": (10.0, 16.0)})
    first = search_space(atoms, region=region, composition={}, min_distance={})
    assert Counter(roles(first.template))["free"] > 4
    for seed in range(4):
        moved, order = rewritten(atoms, seed)
        again = search_space(moved, region=region, composition={}, min_distance={})
        assert roles(again.template) == [roles(first.template)[i] for i in order]
        free = np.array(roles(again.template)) == "free"
        x, y, z = again.template.positions[free].T
        assert (abs(x) <= 3).all() and (abs(y - 13) <= 3).all() and (abs(z - 19.5) <= 2.5).all()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("axis", "xyz")
@pytest.mark.parametrize("width", [0.0, 1.5])
def test_images_do_not_depend_on_how_a_cell_is_written(axis: str, seed: int, width: float) -> None:
    atoms = column(axis)
    beam = "xyz"[("xyz".index(axis) + 1) % 3]
    model = StemConvolution(sampling=0.4, shape=(40, 30), beam=beam, up=axis, interface_width=width)
    image = model(atoms).data
    moved, _ = rewritten(atoms, seed)
    np.testing.assert_allclose(model(moved).data, image, rtol=1e-4, atol=1e-4 * image.max())


def test_an_oblique_cell_repeats_after_the_height_of_its_planes() -> None:
    normal = np.array([0.0, 0.0, 1.0])
    rise = period(bulk("Cu", a=3.6), normal)  # (0 0 2) planes of fcc are a / 2 apart
    assert rise is not None and rise[2] == pytest.approx(1.8)
    slab = fcc111("Cu", (1, 1, 4), vacuum=5.0)
    assert period(slab, normal) is None  # not periodic across
    oblique = Atoms("Cu", cell=[[3, 0, 1.0], [0, 3, 0.777], [0, 0, 9.1357]], pbc=True)
    assert period(oblique, normal) is None  # no plane of its lattice


def test_a_slab_is_in_one_piece_whichever_side_of_the_cell_it_is_cut_at() -> None:
    slab = fcc111("Cu", (1, 1, 4), vacuum=6.0)
    slab.pbc = True
    normal = np.array([0.0, 0.0, 1.0])
    whole = np.ptp(slab.positions[:, 2])
    for by in np.linspace(0.0, slab.cell[2, 2], 9):
        moved = slab.copy()
        moved.positions[:, 2] += by
        moved.wrap(eps=1e-6)
        assert np.ptp(in_one_piece(moved, normal)[:, 2]) == pytest.approx(whole)


def test_a_first_campaign_and_a_density_of_states_see_the_slab_in_one_piece() -> None:
    slab = fcc111("Cu", (2, 2, 4), vacuum=6.0)
    slab.pbc = True
    density, region = AtomDensity(step=0.4)(slab).values, top(slab)
    for seed in range(3):
        moved, _ = rewritten(slab, seed)
        assert top(moved) == region and boundary(moved, "z") == boundary(slab, "z")
        assert amounts(moved, "z", region) == amounts(slab, "z", region)
        np.testing.assert_allclose(AtomDensity(step=0.4)(moved).values, density, rtol=1e-4)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (1, 0, 2)])
def test_the_order_of_cell_vectors_changes_nothing(order: tuple[int, ...]) -> None:
    atoms = column("z")
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array[list(order)])
    assert area(turned, 2) == pytest.approx(6.48**2)
    assert area(bulk("Cu", a=3.6), 2) == pytest.approx(3.6**2 / 2)  # one atom per (0 0 1) plane
    assert directions(turned)[1] == "z"
    region = Region("z", 17.0, 22.0, 2.0)
    spaces = [
        search_space(one, region=region, composition={}, min_distance={}) for one in (atoms, turned)
    ]
    assert roles(spaces[0].template) == roles(spaces[1].template)
    crystals = [own_bulk(one, axis=2, lower=0.0, upper=19.0) for one in (atoms, turned)]
    assert [crystal.get_chemical_formula() for crystal in crystals] == ["Cd2Te2"] * 2
    assert crystals[1].get_volume() == pytest.approx(6.48**3 / 2)
    rng = np.random.default_rng(1)
    relaxation = Relaxation(turned, -10.0, True, 0)
    recipe = Recipe(EnergyModel, region=region)  # type: ignore[arg-type]
    assert energies(relaxation, recipe)["interface_energy"] == pytest.approx(-10.0 / 6.48**2)
    child = cut_and_splice(spaces[1].template, spaces[1].template.copy(), space=spaces[1], rng=rng)
    assert len(child) == len(turned)


def test_distance_to_a_region_is_that_of_the_nearest_image() -> None:
    atoms, region = column("z"), Region("z", 17.0, 22.0, 2.0)
    points = np.array([[0, 0, z] for z in (18.0, 2.0, 21.44, 3.56, 16.0, -2.0, 40.0)])
    expected = [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0]
    np.testing.assert_allclose(distance_outside(points, region, atoms), expected, atol=1e-9)
    atoms.pbc = (True, True, False)
    assert distance_outside(points, region, atoms)[1] == pytest.approx(15.0)


def test_a_region_far_from_all_images_is_a_mistake() -> None:
    with pytest.raises(UserError, match="lies outside of the structure"):
        search_space(
            column("z"), region=Region("z", 70.0, 75.0, 2.0), composition={}, min_distance={}
        )
