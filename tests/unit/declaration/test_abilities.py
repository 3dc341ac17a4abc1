"""What a component can do besides its call is asked by name, and told by its attributes alone."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points

import pytest
from ase import Atoms

from htinvert.core import Relaxation, Signal
from htinvert.declaration import abilities
from htinvert.declaration.abilities import (
    ChecksElements,
    Framed,
    HasEstimate,
    HasOffer,
    HasView,
    Loads,
    PricesAsItStands,
    Resumable,
    Sampled,
    Structural,
    Versioned,
    Wraps,
)
from htinvert.energy.isolation import Isolated
from htinvert.energy.offer import Offer, offer_of
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.metrics.correlation import Correlation
from htinvert.metrics.registration import Registration

PROTOCOLS = [
    value
    for name, value in vars(abilities).items()
    if getattr(value, "_is_protocol", False) and value.__module__ == abilities.__name__
]


@dataclass(frozen=True)
class Plain:
    """An engine that can do nothing but its work."""

    def __call__(self, atoms: Atoms) -> Relaxation:
        return Relaxation(atoms, 0.0, True, 0)


@dataclass(frozen=True)
class Able(Plain):
    """One that can do more, and inherits nothing for it."""

    offer = Offer("able 1")

    def load(self) -> None: ...
    def check_elements(self, symbols: set[str]) -> None: ...
    def single_point(self, atoms: Atoms) -> None: ...


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.__name__)
def test_every_ability_can_be_asked_and_a_plain_function_has_none(protocol: type) -> None:
    def simulate(atoms: Atoms) -> Signal:
        raise NotImplementedError

    assert not isinstance(simulate, protocol)


def test_an_engine_has_the_abilities_whose_names_it_has() -> None:
    for ability in (HasOffer, Loads, ChecksElements, PricesAsItStands):
        assert isinstance(Able(), ability) and not isinstance(Plain(), ability)


def test_a_wrapper_offers_what_its_engine_does() -> None:
    assert offer_of(Isolated(Able())) == Offer("able 1")
    assert offer_of(Isolated(Plain())) is None and offer_of(Plain()) is None
    assert isinstance(Isolated(Plain()), Wraps)


def test_a_model_of_images_has_a_view_and_one_without_an_engine_no_version() -> None:
    model = StemConvolution()
    assert isinstance(model, HasView) and isinstance(model, Sampled) and isinstance(model, Framed)
    assert not isinstance(model, Versioned) and not isinstance(model, HasEstimate)


def test_only_the_registration_compares_by_structural_similarity() -> None:
    assert isinstance(Registration(), Structural) and not isinstance(Correlation(), Structural)


def test_all_generators_of_ours_can_be_resumed() -> None:
    for entry in entry_points(group="htinvert.generator"):
        if entry.value.startswith("htinvert."):
            loaded = entry.load()
            assert issubclass(loaded, Resumable), entry.name
