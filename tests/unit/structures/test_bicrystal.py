"""Bicrystals: periodic, strained as reported, of the promised composition, without collisions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list
from ase.spacegroup import crystal
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from htinvert.core import UserError
from htinvert.geometry.distances import covalent_distances
from htinvert.structures.bicrystal import bicrystal, join
from htinvert.structures.coincidence import coincidences
from htinvert.structures.collisions import collisions
from htinvert.structures.crystal import standard_crystal
from htinvert.structures.oriented import Grain, OrientedCrystal, oriented
from htinvert.structures.stacking import stacks

CDTE = bulk("CdTe", "zincblende", a=6.629, cubic=True)
COPPER = bulk("Cu", "fcc", a=3.615, cubic=True)
SILICON = bulk("Si", "diamond", a=5.431, cubic=True)
IRON = bulk("Fe", "bcc", a=2.87, cubic=True)
ZINC_OXIDE = bulk("ZnO", "wurtzite", a=3.25, c=5.2)
MO3B2 = crystal(
    ["Mo", "Mo", "B"],
    [(0, 0, 0), (0.172, 0.672, 0.5), (0.388, 0.888, 0)],
    spacegroup=127,
    cellpar=[6.0652, 6.0652, 3.1438, 90, 90, 90],
)
NICKEL = bulk("Ni", "fcc", a=3.5058, cubic=True)
TWIN = (
    Grain(CDTE, (1, 1, 0), (0, 0, 1), 54.73538),
    Grain(CDTE, (1, 1, 0), (0, 0, 1), 125.26462, flip=True),
)
BORIDE_ON_NICKEL = Grain(MO3B2, (0, 0, -1), (1, 0, 0)), Grain(NICKEL, (0, 0, -1), (3, 1, 0))
ON_NICKEL: dict[str, Any] = {"width": (12, 40), "depth": (12, 30), "height": 25.0}
CUTOFF = 3.4  # Å, of the neighborhoods that are compared


@pytest.fixture(scope="module")
def twin() -> Atoms:
    return bicrystal(*TWIN, width=(30, 60), depth=(8, 20), height=34.4458)


def test_the_twin_has_the_published_cell_and_composition(twin: Atoms) -> None:
    assert twin.get_chemical_formula() == "Cd288Te288"
    assert twin.cell.cellpar() == pytest.approx(
        [9.3748, 32.4756, 68.8916, 90, 90, 90], abs=2e-3
    )  # Å, degrees
    assert twin.info["bicrystal"]["taken_out"] == 0


def test_every_atom_of_the_twin_has_four_neighbors_of_the_other_element(twin: Atoms) -> None:
    i, j, length = neighbor_list("ijd", twin, 3.3)
    assert (np.bincount(i) == 4).all()
    assert (twin.numbers[i] != twin.numbers[j]).all()
    assert length == pytest.approx(np.sqrt(3) / 4 * 6.629, abs=1e-3)


def test_each_boundary_of_the_twin_is_one_coherent_twin_plane(twin: Atoms) -> None:
    """Cubic stacking has every second neighbor's opposite, too; hexagonal lacks six of twelve."""
    i, vectors = neighbor_list("iD", twin, 4.75)
    second = np.linalg.norm(vectors, axis=1) > 4.5
    i, vectors = i[second], vectors[second]
    assert (np.bincount(i) == 12).all()
    alone = [(cdist(vectors[i == k], -vectors[i == k]).min(axis=1) > 0.1).sum() for k in range(576)]
    hexagonal = np.array(alone) == 6
    assert hexagonal.sum() == 2 * 2 * 16  # a plane of each element at both boundaries
    middle, periodic = twin.info["bicrystal"]["boundaries"]
    height, cell = twin.positions[hexagonal, 2], twin.cell.array[2, 2]
    away = [np.abs((height - b + cell / 2) % cell - cell / 2) for b in (middle, periodic)]
    assert np.minimum(*away).max() < 3.0  # Å


def test_molybdenum_boride_on_nickel_is_built_like_the_published_one() -> None:
    atoms = bicrystal(*BORIDE_ON_NICKEL, **ON_NICKEL, gap=(1.0, 1.5), min_distance=1.0)
    assert atoms.cell.array[[0, 1], [0, 1]] == pytest.approx([28.1703, 17.4126], abs=1e-3)
    assert atoms.get_chemical_formula() == "B432Mo648Ni1080"
    boride, nickel = (atoms.positions[atoms.arrays["grain"] == g, 2] for g in (1, 0))
    assert boride.min() - nickel.max() == pytest.approx(1.0)
    assert nickel.min() + atoms.cell.array[2, 2] - boride.max() == pytest.approx(1.5)


def test_a_cut_at_the_nearest_plane_gives_up_the_composition() -> None:
    atoms = bicrystal(
        *BORIDE_ON_NICKEL, **ON_NICKEL, gap=(1.0, 1.5), min_distance=1.0, stoichiometry="as cut"
    )
    counts = atoms.symbols.formula.count()
    assert 2 * counts["Mo"] != 3 * counts["B"]
    top = atoms.positions[atoms.arrays["grain"] == 1, 2]
    assert np.ptp(top) == pytest.approx(25.0, abs=1.0)


def test_terminations_are_the_gaps_between_planes_widest_first() -> None:
    row = coincidences(*TWIN, width=(30, 60), depth=(8, 20))[0]
    top, _ = stacks(oriented(TWIN[0]), oriented(TWIN[1]), row)
    found = [(t.below, t.above, round(t.spacing, 3)) for t in top.terminations()]
    a = 6.629
    assert found == [
        ("Te", "Cd", round(np.sqrt(3) / 4 * a, 3)),
        ("Cd", "Te", round(np.sqrt(3) / 12 * a, 3)),
    ]


def test_the_other_termination_turns_the_grain_over_its_bilayer(twin: Atoms) -> None:
    other = bicrystal(*TWIN, width=(30, 60), depth=(8, 20), height=34.4458, termination=(1, 1))
    gap = other.info["bicrystal"]["gaps"][0]
    assert gap == pytest.approx(np.sqrt(3) / 12 * 6.629, abs=1e-3)
    assert other.get_chemical_formula() == twin.get_chemical_formula()


def test_a_rigid_shift_moves_the_top_grain_alone(twin: Atoms) -> None:
    moved = bicrystal(*TWIN, width=(30, 60), depth=(8, 20), height=34.4458, shift=(0.5, 1.25))
    for grain, shift in ((0, (0, 0, 0)), (1, (0.5, 1.25, 0))):
        ours, theirs = (a.positions[a.arrays["grain"] == grain] for a in (moved, twin))
        lengths = twin.cell.lengths()
        tree = cKDTree((theirs + shift) % lengths, boxsize=lengths)
        assert tree.query(ours % lengths)[0].max() < 1e-6


def test_vacuum_replaces_one_boundary(twin: Atoms) -> None:
    slab = bicrystal(*TWIN, width=(30, 60), depth=(8, 20), height=34.4458, vacuum=12.0)
    height = slab.positions[:, 2]
    assert slab.cell.array[2, 2] - np.ptp(height) == pytest.approx(12.0)
    assert len(slab.info["bicrystal"]["boundaries"]) == 1
    assert len(slab) == len(twin)


def test_boundaries_lie_midway_between_the_grains(twin: Atoms) -> None:
    middle, periodic = twin.info["bicrystal"]["boundaries"]
    top, bottom = (twin.positions[twin.arrays["grain"] == g, 2] for g in (1, 0))
    assert middle == pytest.approx((top.min() + bottom.max()) / 2)
    assert periodic == 0.0
    assert bottom.min() == pytest.approx(twin.cell.array[2, 2] - top.max())


def test_a_collision_takes_the_top_atom_across_every_face() -> None:
    atoms = Atoms("Cu2", positions=[[0.1, 5.0, 0.2], [4.9, 5.0, 9.9]], cell=[5, 9, 10], pbc=True)
    mask = np.array([False, True])
    np.testing.assert_array_equal(collisions(atoms, mask, 0.5), [[1, 0]])
    assert not len(collisions(atoms, mask, 0.3))


def test_collisions_take_whole_formula_units() -> None:
    near = bicrystal(*BORIDE_ON_NICKEL, **ON_NICKEL, gap=(0.2, 0.2))
    counts = near.symbols.formula.count()
    assert near.info["bicrystal"]["taken_out"] > 0
    assert 2 * counts["Mo"] == 3 * counts["B"]
    assert shortest_ratio(near) > 1 - 1e-6


def shortest_ratio(atoms: Atoms, distances: dict[frozenset[str], float] | None = None) -> float:
    """Least ratio of a distance to the least one allowed."""
    distances = distances or covalent_distances(atoms.get_chemical_symbols())
    i, j, length = neighbor_list("ijd", atoms, max(distances.values()))
    symbols = atoms.get_chemical_symbols()
    allowed = [distances[frozenset((symbols[a], symbols[b]))] for a, b in zip(i, j, strict=True)]
    return float(np.min(length / allowed, initial=np.inf))


def deformation(state: dict[str, float]) -> NDArray[np.float64]:
    """Matrix for row vectors from the named strain components."""
    width, depth, shear, lift = (state[k] / 100 for k in ("width", "depth", "shear", "lift"))
    c, s = np.cos(np.radians(state["turn"])), np.sin(np.radians(state["turn"]))
    raised = np.array([[1, 0, 0], [0, c, s], [0, -s, c]])
    raised[1, 2] += 2 * lift
    stretch = np.diag([1 + depth, 1 + width, 1.0])
    stretch[1, 0] = 2 * shear * (1 + width)
    return raised @ stretch


def check_bulk(atoms: Atoms, grain: int, view: OrientedCrystal, state: dict[str, float]) -> int:
    """Compare every inner atom's neighborhood with the crystal's, strained as reported."""
    strain = deformation(state)
    ideal = Atoms(
        view.numbers, positions=view.positions @ strain, cell=view.basis @ strain, pbc=True
    )
    centers, ends, vectors = neighbor_list("ijD", ideal, CUTOFF)
    known = [
        np.column_stack([vectors[centers == k], 10.0 * ideal.numbers[ends[centers == k]]])
        for k in range(len(ideal))
    ]
    heights = atoms.positions[:, 2]
    own = atoms.arrays["grain"] == grain
    low, high = heights[own].min() + CUTOFF, heights[own].max() - CUTOFF
    # a removal reaches no deeper than the collision that caused it, and the units made whole
    inner = np.flatnonzero(own & (heights > low + 3.0) & (heights < high - 3.0))
    i, j, found = neighbor_list("ijD", atoms, CUTOFF)
    order = np.random.default_rng(0).permutation(inner)[:25]
    for k in order:
        mine = np.column_stack([found[i == k], 10.0 * atoms.numbers[j[i == k]]])
        likely = [
            other
            for number, other in zip(ideal.numbers, known, strict=True)
            if number == atoms.numbers[k] and len(other) == len(mine)
        ]
        assert any(cdist(mine, other).min(axis=1).max(initial=0) < 2e-3 for other in likely)
    return len(order)


PHASES = [COPPER, SILICON, IRON, CDTE, ZINC_OXIDE, MO3B2]
SMALL = st.tuples(*[st.integers(-2, 2)] * 3).filter(any)


@st.composite
def grains(draw: st.DrawFn) -> Grain:
    phase = draw(st.sampled_from(PHASES))
    zone = draw(SMALL)
    cell = standard_crystal(phase).cell
    grid = np.array([v for v in np.ndindex(5, 5, 5) if v != (2, 2, 2)]) - 2
    right = grid[np.abs(grid @ cell @ (zone @ cell)) < 1e-6].tolist()
    assume(right)
    up = draw(st.sampled_from(right))
    tilt = draw(st.sampled_from([0.0, 0.0, 7.3, 35.0]))
    return Grain(phase, zone, (up[0], up[1], up[2]), tilt)


@settings(max_examples=6, deadline=None)
@given(
    top=grains(),
    bottom=grains(),
    gap=st.sampled_from([None, 0.0, 0.7, 2.0]),
    height=st.floats(16, 24),
    share=st.sampled_from(["equal", "top", "bottom"]),
    way=st.sampled_from(["turn", "shear"]),
    shift=st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
)
def test_a_random_bicrystal_keeps_its_promises(
    top: Grain,
    bottom: Grain,
    gap: float | None,
    height: float,
    share: str,
    way: str,
    shift: tuple[float, float],
) -> None:
    try:
        atoms = bicrystal(
            top, bottom, width=(4, 30), depth=(3, 20), height=height, share=share, gap=(gap, gap),
            shift=shift, out_of_plane=way, max_strain=4.0, max_atoms=2500,
        )  # fmt: skip
    except UserError as error:
        assert "no common cell" in str(error) or "widen gap" in str(error)  # noqa: PT017
        return
    info = atoms.info["bicrystal"]
    upper, lower = oriented(top), oriented(bottom)
    for grain, view, state in (
        (1, upper, info["strain_top"]),
        (0, lower, info["strain_bottom"]),
    ):
        kinds = np.unique(view.numbers)
        counts = [(atoms.numbers[atoms.arrays["grain"] == grain] == k).sum() for k in kinds]
        ideal = [(view.numbers == k).sum() for k in kinds]
        assert np.ptp(np.array(counts) / ideal) == 0  # composition
        check_bulk(atoms, grain, view, state)  # periodic, and strained as reported
    across = atoms.arrays["grain"] == 1
    assert not len(collisions(atoms, across))


@pytest.fixture(scope="module")
def boride() -> Atoms:
    return bicrystal(*BORIDE_ON_NICKEL, **ON_NICKEL)


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 1000), repeat=st.sampled_from([(1, 1, 1), (2, 1, 1), (1, 2, 3)]))
def test_order_noise_and_cell_of_the_phase_do_not_matter(
    boride: Atoms, seed: int, repeat: tuple[int, int, int]
) -> None:
    rng = np.random.default_rng(seed)
    others = []
    for grain in BORIDE_ON_NICKEL:
        phase = grain.phase.repeat(repeat)
        phase = phase[rng.permutation(len(phase))]
        phase.positions += rng.uniform(-2, 2, 3) + rng.normal(scale=1e-9, size=(len(phase), 3))
        others.append(Grain(phase, grain.zone_axis, grain.up))
    one, two = boride, bicrystal(*others, **ON_NICKEL)
    assert one.get_chemical_formula() == two.get_chemical_formula()
    np.testing.assert_allclose(one.cell.array, two.cell.array, atol=1e-5)
    lengths = one.cell.lengths()
    for kind in np.unique(one.numbers):
        ours, theirs = (a.positions[a.numbers == kind] % lengths % lengths for a in (one, two))
        assert cKDTree(ours, boxsize=lengths).query(theirs)[0].max() < 1e-4  # Å


def test_the_primitive_cell_gives_the_same_twin(twin: Atoms) -> None:
    primitive = bulk("CdTe", "zincblende", a=6.629)
    pair = [Grain(primitive, g.zone_axis, g.up, g.tilt, g.flip) for g in TWIN]
    other = bicrystal(*pair, width=(30, 60), depth=(8, 20), height=34.4458)
    np.testing.assert_array_equal(other.numbers, twin.numbers)
    np.testing.assert_allclose(other.positions, twin.positions, atol=1e-5)


@pytest.mark.parametrize(("up", "planes"), [((2, 1, 0), 20), ((3, 1, 0), 24), ((1, 1, 1), 12)])
def test_a_symmetric_boundary_has_one_atom_per_plane_of_the_primitive_cell(
    up: tuple[int, int, int], planes: int
) -> None:
    zone = (1, -1, 0) if up == (1, 1, 1) else (0, 0, 1)
    down = (1, 1, -1) if up == (1, 1, 1) else (up[0], -up[1], 0)
    pair = Grain(COPPER, zone, up), Grain(COPPER, zone, down)
    row = min(
        (row for row in coincidences(*pair, width=(0, 12), depth=(0, 6)) if row.sigma),
        key=lambda row: row.area,
    )
    spacing = 3.615**3 / 4 / row.area
    atoms = join(*pair, row, height=planes * spacing, min_distance=0.0)
    assert len(atoms) == 2 * planes
    assert atoms.cell.volume == pytest.approx(2 * planes * 3.615**3 / 4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"choice": 999}, "choice is 999, but the table has rows 0 to"),
        ({"termination": (5, 0)}, "termination 5 does not exist; choose one of 0: Te|Cd 2.87 Å"),
        ({"shift": (0.0, float("inf"))}, "shift is"),
        ({"gap": (-1.0, None)}, "gap is .*not negative"),
        ({"vacuum": 0.0}, "vacuum is 0.0 Å"),
        ({"vacuum": 10.0, "gap": (1.0, 1.0)}, "vacuum replaces the periodic boundary"),
        ({"min_distance": -2.0}, "min_distance is -2.0 Å"),
        ({"stoichiometry": "some"}, "choose keep or as cut"),
        ({"termination": (0,)}, "termination two rows"),
        ({"height": (30.0, 30.0, 30.0)}, "height is one length or two"),
        ({"height": (30.0, -1.0)}, "height is -1.0 Å"),
        ({"height": 0.0}, "height is 0.0; give a positive number"),
    ],
)
def test_a_mistake_gets_a_sentence(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        bicrystal(*TWIN, **({"width": (30, 60), "depth": (8, 20)} | changes))
