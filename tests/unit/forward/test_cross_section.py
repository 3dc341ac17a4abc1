"""Cross-sections against Kirkland's incostem and against limits."""

import numpy as np
import pytest
from ase.data import atomic_numbers

from htinvert.forward.cross_section import (
    cross_section,
    interaction_parameter,
    projected_potential,
    wavelength,
)

# Å², computed by incostem (C, Kirkland). Its quadrature stops at 1e-5 per step: changing the beam
# energy by 1e-9 there moves these numbers by up to 1e-4, so that is what they can confirm.
INCOSTEM_NOISE = 2e-4
ORACLE = {
    (200e3, 100, 150): {
        "B": 2.87718e-5, "C": 4.03513e-5, "O": 6.87182e-5, "Al": 1.74276e-4, "Si": 2.01846e-4,
        "Ti": 4.85715e-4, "Ni": 7.42728e-4, "Cu": 7.89724e-4, "Ga": 8.86224e-4, "As": 9.86818e-4,
        "Se": 1.03957e-3, "Mo": 1.52076e-3, "Pd": 1.77733e-3, "Cd": 1.90491e-3, "Sn": 2.03397e-3,
        "Te": 2.16188e-3, "Cs": 2.35201e-3, "Hf": 3.50356e-3, "Pt": 3.92978e-3, "Au": 3.99997e-3,
        "Pb": 4.20811e-3, "U": 4.85731e-3,
    },
    (200e3, 80, 200): {
        "Cd": 4.34031e-3, "Te": 4.90363e-3, "Si": 4.71774e-4, "Au": 9.08315e-3, "O": 1.58572e-4,
    },
    (200e3, 50, 200): {"Cd": 9.98139e-3, "Te": 1.12531e-2, "Si": 1.22197e-3, "Au": 2.04944e-2},
    (100e3, 100, 150): {"Cd": 5.09301e-3},
}  # fmt: skip
CASES = [
    (*setup, name, value) for setup, values in ORACLE.items() for name, value in values.items()
]


@pytest.mark.parametrize(("energy", "inner", "outer", "name", "expected"), CASES)
def test_cross_section_agrees_with_incostem(energy, inner, outer, name, expected):
    sigma = cross_section(atomic_numbers[name], beam_energy=energy, inner=inner, outer=outer)
    assert sigma == pytest.approx(expected, rel=INCOSTEM_NOISE)


def test_cross_sections_agree_with_incostem_on_average_to_2e_5():
    """The noise of its quadrature averages out over elements; a systematic error would not."""
    values = ORACLE[(200e3, 100, 150)]
    ratio = [
        cross_section(atomic_numbers[name], beam_energy=200e3, inner=100, outer=150) / value - 1
        for name, value in values.items()
    ]
    assert abs(np.mean(ratio)) < 2e-5


def test_weak_scattering_follows_the_born_approximation():
    """Hydrogen at a small angle: f is gamma times the parametrized f_e, Kirkland table C.1."""
    a = np.array([0.0042029832, 0.0627762505, 0.0300907347])
    b = np.array([0.225350888, 0.22536695, 0.225331756])
    c = np.array([0.0677756695, 0.0035660924, 0.0276135815])
    d = np.array([4.38854001, 0.403884823, 1.44490166])
    energy, inner, outer = 300e3, 20.0, 20.2
    q2 = (20.1e-3 / wavelength(energy)) ** 2
    born = (a / (q2 + b)).sum() + (c * np.exp(-d * q2)).sum()
    gamma = 1 + energy / 510_998.95
    expected = 2 * np.pi * (gamma * born) ** 2 * 20.1e-3 * 0.2e-3
    sigma = cross_section(1, beam_energy=energy, inner=inner, outer=outer)
    assert sigma == pytest.approx(expected, rel=2e-3)  # second Born term of hydrogen


def test_detector_rings_add_up():
    ring = {"beam_energy": 200e3}
    whole = cross_section(52, inner=80, outer=200, **ring)
    parts = cross_section(52, inner=80, outer=120, **ring) + cross_section(
        52, inner=120, outer=200, **ring
    )
    assert whole == pytest.approx(parts, rel=1e-7)


def test_wavelength_at_200_kilovolt():
    assert wavelength(200e3) == pytest.approx(0.0250793, abs=1e-7)  # Å, Kirkland table 2.2


def test_interaction_parameter_at_200_kilovolt():
    assert interaction_parameter(200e3) == pytest.approx(0.7288e-3, rel=1e-3)  # rad/(V Å)


def test_potential_falls_with_distance():
    potential = projected_potential(14, np.geomspace(0.01, 5, 50))
    assert (np.diff(potential) < 0).all()


def test_unknown_element_says_which_exist():
    with pytest.raises(ValueError, match="Z = 1 to 103"):
        cross_section(110, beam_energy=200e3, inner=100, outer=150)
