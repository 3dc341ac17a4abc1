"""GPAW's mesh of k-points."""

import pytest
from ase import Atoms

pytest.importorskip("gpaw", reason="the extra dft is missing")

from htinvert.energy.gpaw import Gpaw


def test_a_mesh_off_gamma_is_that_of_half_as_many_points_in_twice_the_cell() -> None:
    """Two points a quarter off Gamma fold onto the one at the border of the doubled cell's zone."""
    chain = Atoms("H", cell=[2.0, 4.0, 4.0], pbc=True)
    price = Gpaw(cutoff=150, kpoint_density=0.6, gamma=False).single_point
    one, two = price(chain), price(chain.repeat((2, 1, 1)))
    assert two.energy / 2 == pytest.approx(one.energy, abs=2e-3)  # eV
    with_gamma = Gpaw(cutoff=150, kpoint_density=0.6).single_point(chain)
    assert abs(with_gamma.energy - one.energy) > 0.05
