"""Near-coincidence site lattices: published cells, known coincidence boundaries, limits."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal
from hypothesis import given, settings
from hypothesis import strategies as st

from htinvert.core import UserError
from htinvert.structures.coincidence import Coincidence, coincidences, sigma, table_text
from htinvert.structures.oriented import Grain, oriented

Direction = tuple[int, int, int]

CDTE = bulk("CdTe", "zincblende", a=6.629, cubic=True)
NICKEL = bulk("Ni", "fcc", a=3.5058, cubic=True)
MO3B2 = crystal(
    ["Mo", "Mo", "B"],
    [(0, 0, 0), (0.172, 0.672, 0.5), (0.388, 0.888, 0)],
    spacegroup=127,
    cellpar=[6.0652, 6.0652, 3.1438, 90, 90, 90],
)
ALUMINIUM = bulk("Al", "fcc", a=4.039, cubic=True)
ALUMINA = crystal(
    ["Al", "O"],
    [(0, 0, 0.352), (0.306, 0, 0.25)],
    spacegroup=167,
    cellpar=[4.805, 4.805, 13.1, 90, 90, 120],
)
TWIN = (
    Grain(CDTE, (1, 1, 0), (0, 0, 1), 54.73538),
    Grain(CDTE, (1, 1, 0), (0, 0, 1), 125.26462, flip=True),
)


# Strains published with the examples of the peer program, (common - own) / own [%].


def test_the_cdte_twin_is_free_of_strain() -> None:
    first = coincidences(*TWIN, width=(30, 60), depth=(8, 20))[0]
    assert (first.width, first.depth) == pytest.approx((32.4756, 9.3748), abs=1e-3)
    assert first.rectangular
    assert first.sigma == 3
    assert max(first.top.largest, first.bottom.largest) < 1e-4


def test_molybdenum_boride_on_nickel_has_the_published_strain() -> None:
    top, bottom = Grain(MO3B2, (0, 0, -1), (1, 0, 0)), Grain(NICKEL, (0, 0, -1), (3, 1, 0))
    first = coincidences(top, bottom, width=(12, 40), depth=(12, 30))[0]
    found = (first.top.width, first.bottom.width, first.top.depth, first.bottom.depth)
    assert found == pytest.approx((-4.303, 4.708, -0.438, 0.442), abs=2e-3)
    assert first.sigma is None


def test_the_cdte_tilt_boundary_of_8_degrees_has_the_published_strain() -> None:
    top, bottom = Grain(CDTE, (1, 1, 0), (-1, 1, 0), 8.0), Grain(CDTE, (1, 1, 0), (0, 0, 1))
    first = coincidences(top, bottom, width=(30, 60), depth=(8, 20))[0]
    assert (first.top.width, first.bottom.width) == pytest.approx((-0.991, 1.011), abs=2e-3)
    assert first.top.turn == pytest.approx(0.05, abs=0.01)  # degrees


def test_aluminium_on_alumina_has_the_published_strain() -> None:
    top, bottom = Grain(ALUMINIUM, (0, 1, -1), (1, 1, 1)), Grain(ALUMINA, (2, 1, 0), (0, 0, 1))
    first = coincidences(top, bottom, width=(20, 50), depth=(8, 20))[0]
    found = (first.top.width, first.bottom.width, first.top.depth, first.bottom.depth)
    assert found == pytest.approx((-1.432, 1.475, -1.432, 1.474), abs=2e-3)


def test_the_silicon_tilt_boundary_is_in_the_table_with_something_better_before_it() -> None:
    """Published for a face-centered phase; by a shear out of the plane, as its figures imply."""
    silicon = bulk("Si", "fcc", a=3.862)
    top, bottom = Grain(silicon, (0, 1, -1), (1, 1, 1)), Grain(silicon, (-1, 1, 0), (1, 1, 1), 10)
    table = coincidences(top, bottom, width=(20, 50), depth=(8, 20), out_of_plane="shear")
    published = [
        (row.top.width, row.bottom.width) == pytest.approx((0.995, -0.975), abs=2e-3)
        for row in table
    ]
    assert any(published)
    assert table[0].top.largest < 0.8
    assert coincidences(top, bottom, width=(20, 50), depth=(8, 20))[0].top.largest < 0.8


# Known coincidence boundaries. fcc and diamond: a primitive cell of the plane (hkl) has the area
# a^2 sqrt(N) / 4, N = h^2 + k^2 + l^2, for indices that are all odd and twice that otherwise.

TILTS: list[tuple[int, Direction, Direction]] = [
    (3, (1, -1, 0), (1, 1, 1)),
    (3, (1, -1, 0), (1, 1, 2)),
    (5, (0, 0, 1), (2, 1, 0)),
    (5, (0, 0, 1), (3, 1, 0)),
    (9, (1, -1, 0), (2, 2, 1)),
    (9, (1, -1, 0), (1, 1, 4)),
    (11, (1, -1, 0), (1, 1, 3)),
    (11, (1, -1, 0), (3, 3, 2)),
    (13, (0, 0, 1), (3, 2, 0)),
    (13, (0, 0, 1), (5, 1, 0)),
]
TWISTS: list[tuple[int, Direction, Direction, Direction]] = [
    (3, (1, -1, 0), (-1, 1, 0), (1, 1, 1)),
    (5, (3, 1, 0), (3, -1, 0), (0, 0, 1)),
    (9, (1, -1, 4), (-1, 1, 4), (1, 1, 0)),
    (11, (1, -1, 3), (-1, 1, 3), (1, 1, 0)),
    (13, (5, 1, 0), (5, -1, 0), (0, 0, 1)),
]


def plane_cell(direction: Direction) -> float:
    """Area of the plane's primitive cell in units of a²."""
    size = float(np.linalg.norm(direction))
    return size / 4 if all(x % 2 for x in direction) else size / 2


def smallest(table: list[Coincidence]) -> Coincidence:
    return min((row for row in table if row.sigma), key=lambda row: row.area)


@pytest.mark.parametrize("structure", ["fcc", "diamond"])
@pytest.mark.parametrize(("number", "zone", "up"), TILTS)
def test_symmetric_tilt_boundaries_have_the_cell_of_their_plane(
    structure: str, number: int, zone: Direction, up: Direction
) -> None:
    phase = bulk("C", structure, a=4.0)
    h, k, l = up  # noqa: E741
    mirrored = (h, k, -l) if l else (h, -k, l)
    pair = Grain(phase, zone, up), Grain(phase, zone, mirrored)
    found = smallest(coincidences(*pair, width=(0, 30), depth=(0, 10), max_strain=1, height=100))
    assert found.sigma == number
    assert found.area == pytest.approx(16.0 * plane_cell(up), rel=1e-9)
    assert max(found.top.largest, found.bottom.largest) < 1e-9
    density = (4 if structure == "fcc" else 8) / 64.0
    assert found.atoms == round(2 * 100 * found.area * density)


@pytest.mark.parametrize("structure", ["fcc", "diamond"])
@pytest.mark.parametrize(("number", "first", "second", "up"), TWISTS)
def test_twist_boundaries_have_sigma_cells_of_their_plane(
    structure: str, number: int, first: Direction, second: Direction, up: Direction
) -> None:
    phase = bulk("C", structure, a=4.0)
    pair = Grain(phase, first, up), Grain(phase, second, up)
    found = smallest(coincidences(*pair, width=(0, 60), depth=(0, 30), max_strain=0.5))
    assert found.sigma == number
    cells = 1 if up == (1, 1, 1) else number  # half a turn maps a {111} plane's lattice to itself
    assert found.area == pytest.approx(16.0 * cells * plane_cell(up), rel=1e-9)
    assert max(found.top.largest, found.bottom.largest) < 1e-9


def test_sigma_is_none_for_different_lattices_and_general_angles() -> None:
    cubic, other = oriented(Grain(CDTE, (0, 0, 1), (1, 0, 0))), Grain(NICKEL, (0, 0, 1), (1, 0, 0))
    assert sigma(cubic, oriented(other)) is None
    assert sigma(cubic, oriented(Grain(CDTE, (0, 0, 1), (1, 0, 0), 7.3))) is None
    assert sigma(cubic, cubic) == 1


# What the table promises.

GRAINS = st.sampled_from(
    [
        Grain(NICKEL, (0, 0, 1), (3, 1, 0)),
        Grain(NICKEL, (1, 1, 0), (0, 0, 1), 8.0),
        Grain(CDTE, (1, 1, 0), (-1, 1, 2), 3.0),
        Grain(MO3B2, (0, 0, 1), (1, 0, 0)),
        Grain(ALUMINA, (2, 1, 0), (0, 0, 1)),
        Grain(ALUMINIUM, (1, 2, -3), (1, 1, 1)),
    ]
)


@settings(max_examples=8, deadline=None)
@given(
    top=GRAINS,
    bottom=GRAINS,
    low=st.floats(0, 30),
    strain=st.floats(0.5, 6),
    share=st.sampled_from(["equal", "top", "bottom", (3.0, 1.0)]),
    way=st.sampled_from(["turn", "shear"]),
)
def test_every_row_meets_the_limits_and_its_own_strain(
    top: Grain, bottom: Grain, low: float, strain: float, share: str, way: str
) -> None:
    try:
        table = coincidences(
            top, bottom, width=(low, 50), depth=(3, 40), max_strain=strain, share=share,
            out_of_plane=way,
        )  # fmt: skip
    except UserError as error:
        assert "nearest" in str(error) or "repeats" in str(error)  # noqa: PT017
        return
    crystals = oriented(top), oriented(bottom)
    for row in table[::10]:
        assert low - 1e-5 <= row.width <= 50 + 1e-5
        assert 3 - 1e-5 <= row.depth <= 40 + 1e-5
        assert abs(row.cell[1][0]) <= row.depth / 2 + 1e-5
        for view, matrix, state in zip(
            crystals, (row.top_matrix, row.bottom_matrix), (row.top, row.bottom), strict=True
        ):
            assert state.largest <= strain + 1e-5
            np.testing.assert_allclose(
                np.array(matrix) @ view.basis @ deformation(state),
                np.column_stack([row.cell, np.zeros(2)]),
                atol=2e-3,  # Å: EXACT and RECTANGULAR round leans
            )


def deformation(state: object) -> np.ndarray:
    """Matrix for row vectors from the named strain components."""
    width, depth, shear, lift = (
        getattr(state, name) / 100 for name in ("width", "depth", "shear", "lift")
    )
    angle = np.radians(getattr(state, "turn"))  # noqa: B009
    turn = np.array(
        [[1, 0, 0], [0, np.cos(angle), np.sin(angle)], [0, -np.sin(angle), np.cos(angle)]]
    )
    raised = np.eye(3)
    raised[1, 2] = 2 * lift
    stretch = np.diag([1 + depth, 1 + width, 1.0])
    stretch[1, 0] = 2 * shear * (1 + width)
    return turn @ raised @ stretch


def test_the_order_is_exact_then_rectangular_then_least_misfit_then_smallest() -> None:
    table = coincidences(*TWIN, width=(5, 60), depth=(4, 20))
    assert [row.sigma for row in table[:3]] == [3, 3, 3]
    keys = [
        (row.misfit >= 0.01, not row.rectangular, round(row.misfit / 0.05) * (row.misfit >= 0.01))
        for row in table
    ]
    assert keys == sorted(keys)
    exact = [row.area for row in table if row.misfit < 0.01 and row.rectangular]
    assert exact == sorted(exact)


def test_all_strain_can_go_to_one_grain_or_by_stiffness() -> None:
    top, bottom = Grain(ALUMINIUM, (0, 1, -1), (1, 1, 1)), Grain(ALUMINA, (2, 1, 0), (0, 0, 1))
    limits = {"width": (20.0, 50.0), "depth": (8.0, 20.0)}
    soft = coincidences(top, bottom, share="top", **limits)[0]
    assert soft.bottom.largest < 1e-9
    assert soft.top.width == pytest.approx(-2.864, abs=0.01)
    stiff = coincidences(top, bottom, share=(1.0, 4.0), **limits)[0]
    assert stiff.top.width / stiff.bottom.width == pytest.approx(-4.0, rel=0.05)


def test_limits_on_area_and_atoms_are_kept() -> None:
    for limit in ({"max_area": 310.0}, {"max_atoms": 520}):
        table = coincidences(*TWIN, width=(30, 60), depth=(8, 20), **limit)
        assert [round(row.area) for row in table if row.rectangular] == [304]


def test_impossible_limits_name_the_nearest_solutions() -> None:
    with pytest.raises(UserError, match="33 to 36 Å wide.*nearest are .*36.53 x 9.37 Å with 0.00"):
        coincidences(*TWIN, width=(33, 36), depth=(8, 20))
    with pytest.raises(UserError, match="100 atoms.*the nearest are"):
        coincidences(*TWIN, width=(30, 60), depth=(8, 20), max_atoms=100)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": (60, 30)}, "width \\(60, 30\\) is no range"),
        ({"depth": (0, 1e9)}, "from 0 to 1000 Å"),
        ({"depth": 8.0}, "depth 8.0 is no range"),
        ({"max_strain": -1}, "max_strain is -1 %"),
        ({"max_turn": 90}, "max_turn is 90 degrees"),
        ({"max_area": 0}, "max_area is 0; give a positive number"),
        ({"share": "mine"}, "share is mine; choose equal, top, bottom"),
        ({"share": (0, 0)}, "give the stiffnesses"),
        ({"out_of_plane": "bend"}, "out_of_plane is bend; choose turn or shear"),
    ],
)
def test_a_mistake_gets_a_sentence(changes: dict[str, object], message: str) -> None:
    settings = {"width": (30, 60), "depth": (8, 20)} | changes
    with pytest.raises(UserError, match=message):
        coincidences(*TWIN, **settings)  # type: ignore[arg-type]


def test_the_table_reads_as_text() -> None:
    table = coincidences(*TWIN, width=(30, 60), depth=(8, 20))
    lines = table_text(table, rows=3).splitlines()
    assert lines[0].split()[:4] == ["row", "width", "depth", "lean"]
    assert lines[1].split()[:3] == ["0", "32.475", "9.375"]
    assert lines[-1] == f"... and {len(table) - 3} more"


def test_the_same_crystal_in_another_cell_gives_the_same_table() -> None:
    other = tuple(
        Grain(phase, grain.zone_axis, grain.up, grain.tilt, grain.flip)
        for grain, phase in zip(
            TWIN, (bulk("CdTe", "zincblende", a=6.629), CDTE.repeat((1, 2, 1))), strict=True
        )
    )
    limits = {"width": (30.0, 60.0), "depth": (8.0, 20.0)}
    assert table_text(coincidences(*other, **limits)) == table_text(coincidences(*TWIN, **limits))


def test_a_random_atom_order_changes_nothing() -> None:
    shuffled: Atoms = MO3B2[np.random.default_rng(0).permutation(len(MO3B2))]
    bottom = Grain(NICKEL, (0, 0, -1), (3, 1, 0))
    tables = [
        coincidences(Grain(p, (0, 0, -1), (1, 0, 0)), bottom, width=(12, 40), depth=(12, 30))
        for p in (MO3B2, shuffled)
    ]
    assert tables[0] == tables[1]
