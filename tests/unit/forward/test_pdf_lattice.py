"""Factors along the vectors of a cell: which of them symmetry leaves free, and what they do."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.spacegroup import crystal

from htinvert.core import Axis, EvaluationFailed, UserError
from htinvert.forward.pdf import lattice, sites
from htinvert.forward.pdf.model import Pdf
from htinvert.forward.pdf.symmetry import conventional, symmetry_of

RUTILE = crystal(["Ti", "O"], [(0, 0, 0), (0.3053, 0.3053, 0)], spacegroup=136,
                 cellpar=[4.594, 4.594, 2.959, 90, 90, 90])  # fmt: skip
ANATASE = crystal(["Ti", "O"], [(0, 0, 0), (0, 0, 0.2081)], spacegroup=141,
                  cellpar=[3.785, 3.785, 9.514, 90, 90, 90], primitive_cell=True)  # fmt: skip
BADDELEYITE = crystal(
    ["Zr", "O", "O"],
    [(0.2754, 0.0395, 0.2083), (0.0700, 0.3317, 0.3447), (0.4496, 0.7569, 0.4792)],
    spacegroup=14,
    cellpar=[5.1505, 5.2116, 5.3173, 90, 99.23, 90],
)
WURTZITE = crystal(["Zn", "O"], [(1 / 3, 2 / 3, 0), (1 / 3, 2 / 3, 0.3819)], spacegroup=186,
                   cellpar=[3.25, 3.25, 5.207, 90, 90, 120])  # fmt: skip
QUARTZ = crystal(["Si", "O"], [(0.4697, 0, 1 / 3), (0.4133, 0.2672, 0.2145)], spacegroup=152,
                 cellpar=[4.916, 4.916, 5.405, 90, 90, 120])  # fmt: skip


def model(**parameters):
    axes = (Axis("r", "Å", 0.05, 1.5),)
    return Pdf(axes=axes, shape=(160,), qmin=0.5, qmax=20.0, **parameters)


@pytest.mark.parametrize(
    ("atoms", "free"),
    [
        (bulk("Ni", "fcc", a=3.52), ("zoom",)),
        (bulk("Mg", "hcp", a=3.2, c=5.2), ("zoom.ab", "zoom.c")),
        (RUTILE, ("zoom.ab", "zoom.c")),
        (RUTILE[[0, 1, 2, 3, 4, 5]].copy() * (1, 1, 2), ("zoom.ab", "zoom.c")),
        (BADDELEYITE, ("zoom.a", "zoom.b", "zoom.c")),
        (ANATASE, ("zoom",)),  # its primitive vectors are those of no length alone
        (conventional(ANATASE), ("zoom.ab", "zoom.c")),
        (molecule("C60"), ("zoom",)),
    ],
)
def test_symmetry_says_which_lengths_are_free(atoms, free):
    """International Tables A: one length of a cubic cell, two of a tetragonal or hexagonal."""
    assert lattice.usual(atoms) == free


@pytest.mark.parametrize(
    ("atoms", "angles"),
    [(BADDELEYITE, ["beta"]), (RUTILE, []), (WURTZITE, []), (ANATASE, []),
     (bulk("Ni", cubic=True), []), (molecule("C60"), [])],
)  # fmt: skip
def test_symmetry_says_which_angles_are_free(atoms, angles):
    """One of a monoclinic cell, all of a triclinic one."""
    free = [name.partition(".")[2] for name in lattice.free_of(atoms, 0.05) if "angle" in name]
    assert free == angles
    skewed = Atoms("SiC", scaled_positions=[[0, 0, 0], [0.23, 0.31, 0.42]], pbc=True,
                   cell=[4.0, 4.4, 5.1, 82.0, 97.0, 111.0])  # fmt: skip
    assert {f"angle.{name}" for name in lattice.ANGLES} < set(lattice.free_of(skewed, 0.05))


@pytest.mark.parametrize(
    ("atoms", "free"),
    [
        (RUTILE, "O1x"),
        (conventional(ANATASE), "O1z"),
        (bulk("NaCl", "rocksalt", a=5.64), ""),
        (WURTZITE, "O1z"),  # zinc holds the origin along the polar axis
        (QUARTZ, "Si1x O1x O1y O1z"),
        (BADDELEYITE, "Zr1x Zr1y Zr1z O1x O1y O1z O2x O2y O2z"),
    ],
)
def test_symmetry_says_which_coordinates_are_free(atoms, free):
    """International Tables A: 4f of 136, 8e of 141, 2b of 186, 3a and 6c of 152, 4e of 14."""
    assert sites.names(atoms) == tuple(free.split())
    moved = sites.moved(atoms, dict.fromkeys(sites.names(atoms), 0.05))
    if not free:
        return
    groups = [symmetry_of(each).number for each in (atoms, moved)]
    assert groups[0] == groups[1]
    assert np.linalg.norm(moved.positions - atoms.positions, axis=1).max() > 0.04


def test_an_angle_and_a_place_are_those_of_another_crystal():
    """As built from the Tables with that angle, and with 0.3053 + 0.03 / 4.594 of oxygen."""
    skewed = BADDELEYITE.copy()
    skewed.set_cell([5.1505, 1.01 * 5.2116, 5.3173, 90, 98.1, 90], scale_atoms=True)
    found = model(angle={"*": None, "beta": 98.1}, zoom={"b": 1.01})(BADDELEYITE)
    assert found.data == pytest.approx(model()(skewed).data, abs=1e-4)
    x = 0.3053 + 0.03 / 4.594
    other = crystal(["Ti", "O"], [(0, 0, 0), (x, x, 0)], spacegroup=136,
                    cellpar=[4.594, 4.594, 2.959, 90, 90, 90])  # fmt: skip
    assert model(shift={"O1x": 0.03})(RUTILE).data == pytest.approx(model()(other).data, abs=1e-4)
    fraction, error, _ = sites.derived(RUTILE, {"shift.O1x": 0.03}, {"shift.O1x": 0.01})["O1 x"]
    assert (fraction, error) == pytest.approx((x, 0.01 / 4.594))


def test_the_conventional_cell_is_the_same_crystal():
    turned = ANATASE.copy()
    turned.rotate(30, (1, 2, 3), rotate_cell=True)
    cell = conventional(turned)
    assert sorted(cell.cell.lengths()) == pytest.approx([3.785, 3.785, 9.514])
    assert model()(cell).data == pytest.approx(model()(turned).data, abs=1e-3)


def test_a_factor_along_c_is_a_longer_cell():
    longer = RUTILE.copy()
    longer.set_cell([4.594 * 1.01, 4.594 * 1.01, 2.959 * 0.98], scale_atoms=True)
    zoom = {"*": 1.3, "ab": 1.01, "c": 0.98}
    assert model(zoom=zoom)(RUTILE).data == pytest.approx(model()(longer).data, abs=1e-5)
    assert model(zoom={"abc": 1.02})(RUTILE).data == pytest.approx(
        model(zoom=1.02)(RUTILE).data, abs=0.01
    )


def test_a_gradient_goes_through_the_factors():
    """Of a weighted sum of G(r) by one position, by central differences of 1e-3 Å."""
    atoms = BADDELEYITE.copy()
    slope = np.cos(np.arange(160.0))
    simulate = model(zoom={"a": 1.01, "b": 0.98, "c": 1.02}, angle={"beta": 97.0})
    found = simulate.gradient(atoms, slope)[3]
    expected = []
    for axis in range(3):
        ends = []
        for change in (1e-3, -1e-3):
            moved = atoms.copy()
            moved.positions[3, axis] += change
            ends.append(slope @ simulate(moved).data)
        expected.append((ends[0] - ends[1]) / 2e-3)
    assert found == pytest.approx(expected, abs=0.02 * np.abs(expected).max())


def test_what_cannot_be_stretched_is_said():
    with pytest.raises(ValueError, match="each once"):
        model(zoom={"ab": 1.0, "bc": 1.0})
    with pytest.raises(ValueError, match="vectors"):
        model(zoom={"x": 1.0})
    with pytest.raises(UserError, match="need a crystal"):
        model(zoom={"c": 1.01})(Atoms("Ni2", positions=[[0, 0, 0], [0, 0, 2.5]]))
    with pytest.raises(ValueError, match="by name: angle.alpha"):
        model(angle={"delta": 90.0})
    with pytest.raises(ValueError, match="angle.beta is 200"):
        model(angle={"beta": 200.0})
    with pytest.raises(EvaluationFailed, match="no cell has the angles"):
        model(angle={"alpha": 30.0, "gamma": 140.0})(RUTILE)
    with pytest.raises(UserError, match="shift.O1z is no coordinate .* those are O1x"):
        model(shift={"O1z": 0.1})(RUTILE)
    with pytest.raises(UserError, match="C60 is none; leave it out"):
        sites.names(molecule("C60"))
    many = Atoms("Si20", positions=9 * np.random.default_rng(0).random((20, 3)), cell=[9, 9, 9],
                 pbc=True)  # fmt: skip
    with pytest.raises(UserError, match="57 coordinates free, more than 40; name those"):
        sites.names(many)
