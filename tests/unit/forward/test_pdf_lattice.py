"""Factors along the vectors of a cell: which of them symmetry leaves free, and what they do."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.spacegroup import crystal

from htinvert.core import Axis, UserError
from htinvert.forward.pdf import lattice
from htinvert.forward.pdf.model import Pdf

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
        (lattice.conventional(ANATASE), ("zoom.ab", "zoom.c")),
        (molecule("C60"), ("zoom",)),
    ],
)
def test_symmetry_says_which_lengths_are_free(atoms, free):
    """International Tables A: one length of a cubic cell, two of a tetragonal or hexagonal."""
    assert lattice.usual(atoms) == free


def test_the_conventional_cell_is_the_same_crystal():
    turned = ANATASE.copy()
    turned.rotate(30, (1, 2, 3), rotate_cell=True)
    cell = lattice.conventional(turned)
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
    simulate = model(zoom={"a": 1.01, "b": 0.98, "c": 1.02})
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
    with pytest.raises(UserError, match="needs a crystal"):
        model(zoom={"c": 1.01})(Atoms("Ni2", positions=[[0, 0, 0], [0, 0, 2.5]]))
