"""What a forward model of crystals may be able to do besides its call.

As in :mod:`htinvert.declaration.abilities`: a model has an ability where it has what is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from ase import Atoms


@runtime_checkable
class Mixes(Protocol):
    """Simulates a curve that, of several phases at once, is the sum of theirs."""

    def scattering(self, atoms: Atoms) -> float:
        """What an atom of ``atoms`` weighs in that sum, relative to those of other phases."""
        ...


@runtime_checkable
class Reframes(Protocol):
    """Fits a structure best in another cell of it, which shows what symmetry leaves free."""

    def reframed(self, atoms: Atoms) -> Atoms:
        """The same structure in that cell."""
        ...


@runtime_checkable
class Derives(Protocol):
    """Knows what follows from fitted parameters and is what people ask for, such as lengths."""

    def derived(
        self, atoms: Atoms, parameters: Mapping[str, float], errors: Mapping[str, float]
    ) -> Mapping[str, tuple[float, float | None, str]]:
        """By name: value, standard error where there is one, unit."""
        ...
