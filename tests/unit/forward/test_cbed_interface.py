"""Patterns of strips across a boundary: those of a crystal where there is none, tilts, mirrors."""

from dataclasses import replace
from math import erf, sqrt

import numpy as np
import pytest
from ase import Atoms

from htinvert.forward.cbed.cell import Cell, make_cell
from htinvert.forward.cbed.interface import PLACES, Strips, strip_patterns
from htinvert.forward.cbed.table import scattering_table
from htinvert.forward.cross_section import wavelength
from htinvert.structures.perovskite_stack import perovskite_stack

A = 3.905  # Å
MRAD = wavelength(2e5) * 1e3


def cell_of(atoms: Atoms) -> Cell:
    return make_cell(
        atoms,
        beam="-z",
        up="-y",
        beam_energy=2e5,
        rms_displacement=0.08,
        outer=42.5,
        slice_thickness=4.2,
    )


def strips(**changes: object) -> Strips:
    given = {
        "centers": (2 * A,),
        "width": A,
        "semiangle": 9.0,
        "divisions": 4,
        "tilts": ((0, 0),),
        "outer": 24.0,
        "periods": (9,),
    }
    return Strips(**{**given, **changes})  # type: ignore[arg-type]


def test_without_a_boundary_a_strip_of_one_cell_shows_the_crystal() -> None:
    uniform = perovskite_stack(upper=("Sr", "Ti"), heights=(A, A), cells=2)
    cell = cell_of(uniform)
    wanted = strips()
    across = strip_patterns(cell, wanted)[0, 0, 0]
    one = cell_of(perovskite_cell())
    table = scattering_table(one, divisions=(4, 4), reach=12 / MRAD, outer=40 / MRAD, periods=[9])
    step = np.multiply(table.step, MRAD)
    radius = np.hypot(*(table.incoming * step).T)
    weights = np.clip((9.0 - radius) / step.min() + 0.5, 0.0, 1.0)
    crystal = table.pattern(weights / weights.sum(), table.values[0], wanted.reach(cell)[::-1])
    assert np.abs(across - crystal).max() < 2e-4 * crystal.max()


def perovskite_cell() -> Atoms:
    places = [(0, 0.25, 0), (0.5, 0.75, 0.5), (0.5, 0.25, 0.5), (0, 0.75, 0.5), (0.5, 0.75, 0)]
    return Atoms("SrTiO3", scaled_positions=places, cell=[A] * 3, pbc=True)


def test_a_mirror_of_the_specimen_mirrors_a_tilt() -> None:
    cell = cell_of(perovskite_stack(cells=2, intermixing=0.4))
    wanted = strips(tilts=((1, 1), (-1, 1)))
    found = strip_patterns(cell, wanted)[0]
    assert np.abs(found[0] - found[1][..., ::-1]).max() < 1e-4 * found.max()
    unknown = replace(cell, symmetries=np.eye(2, dtype=int)[None])
    assert np.abs(strip_patterns(unknown, wanted)[0] - found).max() < 1e-4 * found.max()


def test_places_that_weigh_unevenly_add_up_to_the_strip() -> None:
    cell = cell_of(perovskite_stack(cells=2))
    parts = tuple(map(tuple, np.eye(PLACES).tolist()))
    apart = strip_patterns(cell, strips(weights=parts))[0, 0]
    whole = strip_patterns(cell, strips())[0, 0, 0]
    assert np.abs(apart.sum(axis=0) - whole).max() < 1e-5 * whole.max()
    assert np.abs(apart[0] - apart[3]).max() > 1e-2 * whole.max(), "a cell is not even"


def test_intermixing_shares_sites_as_an_error_function_does() -> None:
    atoms = perovskite_stack(cells=6, intermixing=0.8)
    lanthanum = {
        float(atoms.positions[int(kind), 1]): site.get("La", 0.0)
        for kind, site in atoms.info["occupancy"].items()
        if set(site) & {"Sr", "La"}
    }
    below = atoms.info["boundary"] - 0.75 * A
    share = next(value for y, value in lanthanum.items() if abs(y - below) < 1e-6)
    assert share == pytest.approx(0.5 * (1 - erf(0.75 / (0.8 * sqrt(2)))), abs=1e-6)
    wide = perovskite_stack(cells=4, intermixing=2.0)
    last = wide.info["occupancy"][str(len(wide) - 5)]  # A of the uppermost cell, 3.25 x 3.75 Å up
    assert last["La"] == pytest.approx(0.5 * (1 + erf(3.25 * 3.75 / A / (2.0 * sqrt(2)))), abs=1e-6)
    sharp = perovskite_stack(cells=6)
    assert all(len(site) == 1 for site in sharp.info["occupancy"].values())
    assert (sharp.numbers == 57).sum() == (sharp.numbers == 38).sum() == 6


def test_beneath_a_step_the_beam_goes_through_the_other_terrace() -> None:
    atoms = perovskite_stack(cells=2, rise=1.0, depth=3 * A)
    above, below = cell_of(atoms), cell_of(atoms.info["beneath"])
    wanted = strips(periods=(3, 9))
    stepped = strip_patterns(above, wanted, beneath=(3, below))
    plain, other = strip_patterns(above, wanted), strip_patterns(below, wanted)
    assert np.array_equal(stepped[0], plain[0]), "nothing is known of what lies deeper"
    assert np.array_equal(strip_patterns(above, wanted, beneath=(0, below)), other)
    differences = [np.abs(stepped[1] - one[1]).max() for one in (plain, other)]
    assert min(differences) > 0.01 * plain[1].max()


def test_a_steps_lower_terrace_has_its_boundary_one_cell_on() -> None:
    atoms = perovskite_stack(cells=4, rise=1.0, depth=50.0)
    lanthanum = [(part.numbers == 57).sum() for part in (atoms, atoms.info["beneath"])]
    assert lanthanum == [4, 3] and atoms.info["depth"] == 50.0
