"""What an engine declares, in words, and what is said where an engine or an element is missing."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from htinvert.core import UserError
from htinvert.energy.chgnet import Chgnet
from htinvert.energy.gpaw import Gpaw
from htinvert.energy.network import ELEMENTS
from htinvert.energy.offer import Offer, check_covered
from htinvert.energy.sevennet import SevenNet


def test_an_offer_reads_as_one_line() -> None:
    offer = Offer(
        "CHGNet 0.3.0 (chgnet 0.4.2)",
        elements=frozenset({"Cd", "Te"}),
        properties=("energy", "forces", "stress"),
        batch=True,
        memory=1.1,
        cost="mlip",
    )
    assert str(offer) == (
        "CHGNet 0.3.0 (chgnet 0.4.2): 2 elements; energy, forces, stress; batches; "
        "1.1 GB per worker; seconds to a minute per relaxation of 200 atoms"
    )


@pytest.mark.parametrize(
    ("engine", "missing", "extra"),
    [(Chgnet, "chgnet", "mlip"), (SevenNet, "sevenn", "mlip"), (Gpaw, "gpaw", "dft")],
)
def test_an_engine_that_is_not_installed_says_how_to_install_it(
    engine: Any, missing: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == missing else real("ase")
    )
    with pytest.raises(UserError, match=rf'{missing} missing.*pip install "htinvert\[{extra}\]"'):
        engine()


def test_elements_that_are_not_covered_are_named_with_those_that_are() -> None:
    check_covered("potential x.sw", ("Cd", "Te"), {"Te"})
    with pytest.raises(UserError, match=r"does not know Fe, Zn \(it covers Cd, Te\); choose"):
        check_covered("potential x.sw", ("Cd", "Te"), {"Zn", "Te", "Fe"})


def test_chgnets_training_set_has_89_elements() -> None:
    """Deng et al., Nature Machine Intelligence 5, 1031 (2023)."""
    assert len(ELEMENTS) == 89
