"""Cross-sections of inner shells against exspy's, and what a pair of apertures collects."""

from __future__ import annotations

import numpy as np
import pytest

from htinvert.core import UserError
from htinvert.forward.eels.cross_section import Illumination, differential, share_collected
from htinvert.forward.eels.edges import edge_named, edges_within

# exspy 0.3.2, hydrogenic [barn]: 200 keV, 10 mrad, 50 eV; 100 keV, 5 mrad, 100 eV. Ti is all of L.
ORACLE = {
    "C K": (3300, 3898),
    "N K": (1529, 1658),
    "O K": (801.8, 781.9),
    "Ti L": (3064, 3501),
    "Al K": (45.25, 22.26),
}


def barns(name, model):
    """Cross-sections over the two windows, in steps of 0.5 eV at their middles."""
    edge = edge_named(name)
    for beam, width in ((Illumination(2e5, 0.0, 10.0), 50), (Illumination(1e5, 0.0, 5.0), 100)):
        energy = edge.onset + 0.25 + 0.5 * np.arange(2 * width)
        yield 0.5 * differential(edge, energy, beam, onset=edge.onset, model=model).sum()


@pytest.mark.parametrize("name", ORACLE)
def test_hydrogenic_cross_sections_are_those_of_exspy(name):
    assert tuple(barns(name, "hydrogenic")) == pytest.approx(ORACLE[name], rel=0.01)


@pytest.mark.parametrize("name", ORACLE)
def test_photoabsorption_agrees_within_what_models_differ_by(name):
    rel = 0.15 if name.endswith("K") else 0.30
    assert tuple(barns(name, "photoabsorption")) == pytest.approx(ORACLE[name], rel=rel)


def test_l3_and_l2_are_one_edge_whose_strength_is_counted_once():
    assert edge_named("Ti L3") == edge_named("Ti-L2,3") == edge_named("Ti L")


def test_a_cone_loses_at_the_rim_of_the_aperture_what_geometry_says():
    angle = np.linspace(0.0, 40.0, 81)
    assert share_collected(angle, 10.0, 30.0)[angle <= 20.0] == pytest.approx(1.0)
    assert share_collected(np.zeros(1), 20.0, 10.0) == pytest.approx(0.25)
    parallel = share_collected(angle, 0.0, 10.0)
    assert share_collected(angle, 0.01, 10.0) == pytest.approx(parallel, abs=0.51)


def test_the_deepest_edge_within_reach_is_chosen():
    found = edges_within(("Sr", "Ti", "O"), 350.0, 860.0)
    assert {edge.name for edge in found.values()} == {"Ti L", "O K"}
    with pytest.raises(UserError, match="Ti has Ti L"):
        edge_named("Ti K")
