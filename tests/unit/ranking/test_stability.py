"""Chemical potentials that reference phases allow."""

from __future__ import annotations

import pytest

from htinvert.core import UserError
from htinvert.ranking.stability import Phase, limits, outside

CADMIUM, TELLURIUM = Phase("Cd", {"Cd": 1}, -1.0), Phase("Te", {"Te": 1}, -2.0)
TELLURIDE = Phase("CdTe", {"Cd": 1, "Te": 1}, -4.0)  # 1 eV below its elements
BINARY = [TELLURIDE, CADMIUM, TELLURIUM]


def test_a_compound_is_stable_over_its_formation_energy() -> None:
    """From -2 - 1 eV, cadmium-rich, to -2 eV, tellurium-rich: the heat of formation is 1 eV."""
    found = limits(BINARY, ["CdTe"], {})
    assert found.ranges["Te"] == pytest.approx((-3.0, -2.0), abs=1e-4)
    assert found.ranges["Cd"] == pytest.approx((-2.0, -1.0), abs=1e-4)
    assert found.potentials["Te"] == pytest.approx(-2.5, abs=1e-4)
    assert sum(found.potentials.values()) == pytest.approx(-4.0, abs=1e-4)
    assert found.unstable == 0.0


@pytest.mark.parametrize(("at", "tellurium"), [(0.0, -3.0), (0.25, -2.75), (1.0, -2.0)])
def test_a_place_in_the_range_is_named_from_poor_to_rich(at: float, tellurium: float) -> None:
    found = limits(BINARY, ["CdTe"], {"Te": at}).potentials
    assert found["Te"] == pytest.approx(tellurium, abs=1e-4)
    assert found["Cd"] == pytest.approx(-4.0 - tellurium, abs=1e-4)


def test_a_third_phase_cuts_the_range_off() -> None:
    """CdTe2 at -6.5 eV: mu(Te) <= -6.5 + 4 = -2.5."""
    rich = Phase("CdTe2", {"Cd": 1, "Te": 2}, -6.5)
    found = limits([*BINARY, rich], ["CdTe"], {})
    assert found.ranges["Te"] == pytest.approx((-3.0, -2.5), abs=1e-4)


def test_a_compound_that_the_engine_finds_unstable_is_said() -> None:
    found = limits([Phase("CdTe", {"Cd": 1, "Te": 1}, -2.6), *BINARY[1:]], ["CdTe"], {})
    assert found.unstable == pytest.approx(0.2, abs=1e-4)  # -2.6 + 3.0, half from each
    assert found.potentials["Te"] == pytest.approx(-1.8, abs=1e-3)


def test_an_element_has_no_range() -> None:
    found = limits([Phase("Cu", {"Cu": 1}, -3.54)], ["Cu"], {})
    assert found.potentials == {"Cu": pytest.approx(-3.54, abs=1e-4)}


def test_two_grains_in_equilibrium_fix_two_potentials() -> None:
    found = limits([*BINARY], ["CdTe", "Te"], {})
    assert found.ranges["Cd"] == pytest.approx((-2.0, -2.0), abs=1e-4)


def test_what_no_phase_bounds_is_one_sentence() -> None:
    with pytest.raises(UserError, match=r"potential of Cd no upper limit; name more of them"):
        limits([TELLURIDE, TELLURIUM], ["CdTe"], {})


def test_what_lies_outside_is_named_with_what_it_gains() -> None:
    assert outside(BINARY, ["CdTe"], {"Cd": -2.5, "Te": -1.5}) == [("Te", pytest.approx(0.5))]
    assert outside(BINARY, ["CdTe"], {"Cd": -1.5, "Te": -2.5}) == []
    [(name, gain)] = outside(BINARY, ["CdTe"], {"Cd": -4.0, "Te": -4.0})
    assert (name, gain) == ("CdTe", pytest.approx(-4.0))
