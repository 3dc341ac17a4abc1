"""Powder patterns against another program's reflections, by hand, and what cannot be simulated."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.spacegroup import crystal
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.io.ase import AseAtomsAdaptor

from htinvert.core import Axis, UserError
from htinvert.forward.powder import peaks
from htinvert.forward.powder.model import Powder

COPPER = 1.54059
RUTILE = crystal(["Ti", "O"], [(0, 0, 0), (0.3053, 0.3053, 0)], spacegroup=136,
                 cellpar=[4.594, 4.594, 2.959, 90, 90, 90])  # fmt: skip
NICKEL = bulk("Ni", "fcc", a=3.524)


def model(first=10.0, count=12000, step=0.01, unit="degrees", **parameters):
    axes = (Axis("2theta" if unit == "degrees" else "Q", unit, step, first),)
    return Powder(axes=axes, shape=(count,), **{"wavelength": COPPER} | parameters)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("atoms", [RUTILE, bulk("NaCl", "rocksalt", a=5.64)])
def test_reflections_are_those_of_pymatgen(atoms):
    """Places to 0.02 degrees; areas of peaks that stand alone to 0.7 of the strongest's 100, for
    its scattering factors are others, as are its Debye-Waller factors exp(-B s^2), B = 8 pi^2 u."""
    factors = dict.fromkeys(set(atoms.get_chemical_symbols()), 0.5)
    known = XRDCalculator(wavelength=COPPER, debye_waller_factors=factors).get_pattern(
        AseAtomsAdaptor.get_structure(atoms), two_theta_range=(12, 125)
    )
    signal = model(width=0.01, u=0.5 / (8 * np.pi**2))(atoms)
    x, y = signal.coordinates(), signal.data.astype(float)
    apart = np.abs(known.x[:, None] - known.x) + 9.0 * np.eye(len(known.x))
    alone = (apart.min(axis=1) > 1.2) & (known.x < 119.0)
    areas = np.array([y[np.abs(x - place) < 0.6].sum() for place in known.x])
    tops = [x[np.argmax(np.where(np.abs(x - place) < 0.6, y, 0))] for place in known.x[alone]]
    assert alone.sum() > 8
    assert tops == pytest.approx(known.x[alone], abs=0.02)
    assert 100 * areas[alone] / areas.max() == pytest.approx(known.y[alone], abs=0.7)


def test_neutrons_see_no_nickel_factor_fall():
    """|F|^2 is (4 b)^2 at 111 and 200 alike, so areas are as multiplicity 8 : 6 and Lorentz's."""
    signal = model(radiation="neutron", width=0.01, u=1e-5)(NICKEL)
    x, y = signal.coordinates(), signal.data
    first, second = (y[np.abs(x - place) < 1.0].sum() for place in (44.494, 51.847))
    lorentz = [1 / (np.sin(t) ** 2 * np.cos(t)) for t in np.radians([22.247, 25.9235])]
    assert second / first == pytest.approx(6 * lorentz[1] / (8 * lorentz[0]), rel=0.01)


def test_a_peak_has_its_area_and_its_width():
    """Of the pseudo-Voigt function; a Gaussian alone, a Lorentzian alone, both (Thompson 1987)."""
    x = np.arange(0.0, 60.0, 0.01)
    for gauss, lorentz, wide in ((0.3, 1e-9, 0.3), (1e-9, 0.3, 0.3), (0.3, 0.3, 0.490)):
        width, share = peaks.pseudo_voigt(np.array([gauss]), np.array([lorentz]))
        y = peaks.pattern(x, np.array([30.0]), np.array([2.0]), width, share)
        above = x[y > y.max() / 2]
        assert np.ptp(above) == pytest.approx(wide, abs=0.02)
        assert y.sum() * 0.01 == pytest.approx(2.0, rel=0.02)


def test_a_supercell_and_q_show_the_same_crystal():
    degrees = model(first=40.0, count=400, step=0.1)
    once, more = degrees(NICKEL), degrees(NICKEL * (2, 1, 1))
    assert more.data == pytest.approx(once.data, rel=1e-4)
    q = 4 * np.pi / COPPER * np.sin(np.radians(44.494 / 2))
    over_q = model(first=q, count=5, step=0.01, unit="1/Å")(NICKEL)
    assert over_q.data[0] == pytest.approx(model(first=44.494, count=5)(NICKEL).data[0], rel=1e-4)


def test_lengths_change_one_by_one():
    longer = RUTILE.copy()
    longer.set_cell([4.594 * 1.01, 4.594 * 1.01, 2.959 * 0.98], scale_atoms=True)
    changed = model(zoom={"ab": 1.01, "c": 0.98})(RUTILE).data
    assert changed == pytest.approx(model()(longer).data, rel=1e-4, abs=1e-5 * float(changed.max()))


@pytest.mark.parametrize(
    ("atoms", "parameters", "said"),
    [
        (NICKEL, {"wavelength": None}, "does not say its wavelength"),
        (molecule("C60"), {}, "has no reflections"),
        (NICKEL, {"unit": "Å"}, "2theta .degrees."),
        (NICKEL, {"unit": "1/Å", "first": 1.0, "count": 100, "step": 0.2}, "reaches 8.16"),
        (NICKEL, {"count": 20000}, "from 0 to 180"),
        (NICKEL, {"u": {"Zn": 0.01}}, "give it for Ni"),
        (Atoms("Ni", cell=[3, 3, 3], pbc=(1, 1, 0)), {}, "does not repeat"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(atoms, parameters, said):
    with pytest.raises(UserError, match=said) as caught:
        model(**parameters)(atoms)
    assert "\n" not in str(caught.value)


def test_the_displacement_of_one_element_has_the_bounds_of_all() -> None:
    with pytest.raises(ValueError, match=r"u\.Ni is 3.0 but must be from 1e-05 to 1 Å²"):
        Powder(u={"Ni": 3.0})
