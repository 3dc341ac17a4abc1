"""PhaseImage images: against abTEM's projected potential, and what blurs them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from scipy import ndimage

from htinvert.core import UserError
from htinvert.forward.cross_section import interaction_parameter
from htinvert.forward.phase import PhaseImage

A = 2.504  # Å


@pytest.fixture
def sheet() -> Atoms:
    """Boron nitride without one of its atoms."""
    bond, row = A / 3**0.5, A * 3**0.5
    places = [[0, 0, 3], [0, bond, 3], [A / 2, row / 2, 3], [A / 2, row / 2 + bond, 3]]
    atoms = Atoms("BNBN", positions=places, cell=[A, row, 6], pbc=True) * (4, 3, 1)
    del atoms[21]
    return atoms


def test_it_is_abtems_projected_potential_times_the_interaction_parameter(sheet: Atoms) -> None:
    """What is left is abTEM's grid of 0.05 Å."""
    abtem = pytest.importorskip("abtem", reason="pip install htinvert[multislice]")
    potential = abtem.Potential(
        sheet, sampling=0.05, slice_thickness=6, parametrization="kirkland",
        projection="infinite",
    ).build(lazy=False)  # fmt: skip
    phase = interaction_parameter(80e3) * np.asarray(potential.array).sum(axis=0).T
    ny, nx = phase.shape
    steps = sheet.cell.lengths()[1] / ny, sheet.cell.lengths()[0] / nx
    width = np.hypot(0.8 / (2 * np.sqrt(2 * np.log(2))), 0.07)
    phase = ndimage.gaussian_filter(phase, [width / step for step in steps], mode="wrap")
    model = PhaseImage(
        sampling=steps, shape=(ny, nx), beam="-z", up="-y", beam_energy=80e3, blur=0.8,
        rms_displacement=0.07, center=(-(ny - 1) / 2 * steps[0], (nx - 1) / 2 * steps[1]),
    )  # fmt: skip
    assert model(sheet).data == pytest.approx(phase, abs=3e-3 * float(phase.max()))


def test_the_sum_of_a_phase_does_not_depend_on_its_blur(sheet: Atoms) -> None:
    model = PhaseImage(sampling=0.2, shape=(65, 50), beam="z", up="y")
    sharp, blurred = (replace(model, blur=blur)(sheet).data for blur in (0.5, 2.0))
    assert sharp.max() > 2 * blurred.max()
    assert sharp.mean() == pytest.approx(blurred.mean(), rel=2e-3)


def test_a_missing_atom_is_a_hole_at_its_place(sheet: Atoms) -> None:
    whole = sheet.copy()
    whole.append("N")
    whole.positions[-1] = [5.0, 6.0, 3.0]
    model = PhaseImage(sampling=0.1, shape=(120, 90), beam="z", up="y", center=(6.0, 5.0))
    row, column = np.unravel_index(np.argmax(model(whole).data - model(sheet).data), (120, 90))
    assert (row, column) == pytest.approx((59.5, 44.5), abs=0.6)


def test_motion_by_element_names_every_one(sheet: Atoms) -> None:
    with pytest.raises(UserError, match="names no value for N"):
        PhaseImage(sampling=0.2, shape=(9, 9), beam="z", up="y", rms_displacement={"B": 0.1})(sheet)
    still = PhaseImage(sampling=0.2, shape=(9, 9), beam="z", up="y", rms_displacement=0.0)
    assert np.isfinite(still(sheet).data).all()
    with pytest.raises(ValueError, match="rms_displacement"):
        replace(still, rms_displacement=2.0)
