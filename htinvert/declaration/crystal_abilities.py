"""What a forward model of crystals may be able to do besides its call.

As in :mod:`htinvert.declaration.abilities`: a model has an ability where it has what is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

from ase import Atoms

from htinvert.core import Signal


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


@runtime_checkable
class Shifts(Protocol):
    """Simulates a crystal with coordinates changed by its parameter ``shift``, each by its name."""

    def shifts(self, atoms: Atoms) -> tuple[str, ...]:
        """Names of the coordinates that symmetry leaves free.

        Raises :class:`~htinvert.core.UserError` where there is none, or too many for a fit.
        """
        ...


@runtime_checkable
class Coarsens(Protocol):
    """Simulates features so narrow that a fit from afar begins with coarser ones."""

    def coarser(self, observed: Signal) -> Iterable[tuple[Any, Signal]]:
        """The model and the data, both less resolved; the coarsest first."""
        ...
