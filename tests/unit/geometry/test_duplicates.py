"""Which structures are the same: equal up to what keeps the host, and no further."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc100, fcc111
from ase.cluster import Icosahedron, Octahedron
from ase.constraints import FixAtoms

from htinvert.geometry.duplicates import displacement, host_operations
from htinvert.geometry.known import Known
from htinvert.geometry.roles import RigidBody

CU = 3.61 / np.sqrt(2)  # Å, repeat of the surface


@pytest.fixture
def slab() -> Atoms:
    """A frozen copper slab of 2 x 3 repeats with three unlike adatoms, the region."""
    slab = fcc100("Cu", size=(2, 3, 2), a=3.61, vacuum=8.0, periodic=True)
    slab.set_tags(0)
    slab.set_constraint(FixAtoms(range(len(slab))))
    top = slab.positions[:, 2].max()
    places = [[0.1, 0.2, top + 1.8], [CU, 0.0, top + 1.9], [0.3, CU, top + 2.2]]
    return slab + Atoms("AuAgAu", positions=places, tags=[1, 1, 1])


def moved(atoms: Atoms, shift: list[float]) -> Atoms:
    """The same host with its region shifted [Å]."""
    child = atoms.copy()
    child.positions[atoms.get_tags() == 1] += shift
    return child


def mirrored(atoms: Atoms) -> Atoms:
    """The same host with x of the region reversed, which keeps this host."""
    child = atoms.copy()
    region = atoms.get_tags() == 1
    child.positions[region, 0] = 2 * atoms.positions[0, 0] - child.positions[region, 0]
    return child


def test_a_host_that_repeats_in_its_cell_has_as_many_translations(slab: Atoms) -> None:
    operations = host_operations(slab)
    assert len(operations) == 6
    assert all((operation.signs == 1).all() for operation in operations)
    assert len(host_operations(slab, mirrors=True)) == 6 * 8  # and upside down: it has two layers


def test_a_region_moved_by_a_repeat_of_the_host_is_the_same(slab: Atoms) -> None:
    assert displacement(slab, moved(slab, [CU, -2 * CU, 0.0])) == pytest.approx(0.0, abs=1e-6)
    assert displacement(slab, moved(slab, [0.2, 0.0, 0.0])) == pytest.approx(0.2)


def test_the_order_of_atoms_and_the_cell_they_are_in_do_not_matter(slab: Atoms) -> None:
    order = [*range(12), 14, 13, 12]
    other = slab[order]
    other.positions[13] += slab.cell[0] - slab.cell[1]
    assert displacement(slab, other) == pytest.approx(0.0, abs=1e-6)


def test_other_elements_in_the_same_places_are_another_structure(slab: Atoms) -> None:
    swapped = slab.copy()
    swapped.positions[[12, 13]] = swapped.positions[[13, 12]]
    assert displacement(slab, swapped) > 0.5  # Å
    swapped.symbols[12] = "Ag"
    assert displacement(slab, swapped) == np.inf


def test_a_mirror_image_is_the_same_only_on_request(slab: Atoms) -> None:
    other = mirrored(slab)
    assert displacement(slab, other) > 0.1  # Å
    assert displacement(slab, other, host_operations(slab, mirrors=True)) < 1e-6


@pytest.mark.parametrize(("apart", "found"), [(True, None), (False, 0)])
def test_copies_by_a_symmetry_of_the_host_are_apart_where_an_image_may_tell(
    slab: Atoms, apart: bool, found: int | None
) -> None:
    """In the demo a copy half a cell away has the same energy, and fits the image far worse."""
    for copy in (mirrored(slab), moved(slab, [0.0, CU, 0.0])):
        for known in (Known.basins(apart=apart), Known.proposals(apart=apart)):
            known.add(slab)
            assert known.find(copy) == found
            assert known.find(slab.copy()) == 0


def test_a_shifted_rigid_grain_counts_even_where_no_atom_is_free() -> None:
    slab = fcc100("Cu", size=(1, 1, 4), a=3.61, vacuum=8.0, periodic=True)
    slab.set_tags(0)
    slab.set_constraint([FixAtoms([0, 1]), RigidBody([2, 3])])
    other = slab.copy()
    other.positions[[2, 3]] += [0.4, 0.0, 0.0]
    assert displacement(slab, other) == pytest.approx(0.4)
    other.positions[[2, 3]] += [CU - 0.4, 0.0, 0.0]
    assert displacement(slab, other) == pytest.approx(0.0, abs=1e-6)


def test_a_free_cluster_is_the_same_however_it_is_turned() -> None:
    rng = np.random.default_rng(4)
    cluster = Atoms("Ti2O3", positions=rng.uniform(0, 4, (5, 3)), tags=[1] * 5)
    turned = cluster.copy()
    turned.rotate(70, (1, 2, 3))
    turned.translate([1.0, 2.0, 3.0])
    assert displacement(cluster, turned[[1, 0, 4, 2, 3]]) == pytest.approx(0.0, abs=1e-9)
    turned.positions[0] += 1.0
    assert displacement(cluster, turned) > 0.1


def test_compact_clusters_of_one_size_are_not_the_same_for_their_like_distances() -> None:
    octahedron = Octahedron("Xe", 4, 1, latticeconstant=4.0)
    octahedron = Atoms("Xe38", octahedron.positions, tags=[1] * 38)
    moved_atom = octahedron.copy()  # from a corner to the far side
    moved_atom.positions[0] = 2 * octahedron.positions.mean(axis=0) - 1.3 * octahedron.positions[0]
    shells = Icosahedron("Xe", 4, latticeconstant=4.0).positions
    nearest = np.argsort(np.linalg.norm(shells - shells.mean(axis=0) - [0.7, 0.2, 0.4], axis=1))
    icosahedral = Atoms("Xe38", shells[nearest[:38]], tags=[1] * 38)
    known = Known.basins(within=0.3, apart=False)
    known.add(octahedron)
    assert known.find(moved_atom) is None
    assert known.find(icosahedral) is None
    shaken = octahedron.copy()
    shaken.positions += np.random.default_rng(1).normal(scale=0.1, size=(38, 3))
    shaken.rotate(40, (1, 2, 3))
    assert known.find(shaken) == 0


def test_what_lies_within_the_radius_of_a_basin_is_known(slab: Atoms) -> None:
    known = Known.basins(within=0.3, apart=True)
    known.add(slab)
    assert known.find(moved(slab, [0.25, 0.0, 0.0])) == 0
    assert known.find(moved(slab, [0.35, 0.0, 0.0])) is None


def test_the_nearest_of_several_known_structures_is_named(slab: Atoms) -> None:
    known = Known.basins(within=0.5, apart=True)
    for shift in (0.4, 0.1, 0.8):
        known.add(moved(slab, [shift, 0.0, 0.0]))
    assert known.find(slab) == 1


@pytest.mark.parametrize("missing", [0, 1])
@pytest.mark.parametrize(
    "host", [bulk("NaCl", "rocksalt", 5.64, cubic=True).repeat((2, 2, 1)), fcc111("Cu", (3, 3, 3))]
)
def test_a_large_host_has_the_symmetries_that_a_small_one_has(
    host: Atoms, missing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = host[missing:]
    host.center(vacuum=3.0, axis=2)
    host.pbc = True
    host.rattle(0.02, rng=np.random.default_rng(1))
    few = host_operations(host, mirrors=True)
    monkeypatch.setattr("htinvert.geometry.duplicates.MANY_PAIRS", 50)
    many = host_operations(host, mirrors=True)
    assert len(few) > 1
    assert [o.signs.tolist() for o in many] == [o.signs.tolist() for o in few]
    assert np.allclose([o.shift for o in many], [o.shift for o in few])
