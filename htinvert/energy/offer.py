"""What an energy engine declares about itself, and the answer of one that relaxes nothing."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from htinvert.core import UserError
from htinvert.declaration.abilities import HasOffer

Cost = Literal["potential", "mlip", "dft"]
COSTS = {
    "potential": "milliseconds per relaxation of 200 atoms",
    "mlip": "seconds to a minute per relaxation of 200 atoms",
    "dft": "minutes to hours per relaxation of ten atoms",
}


@dataclass(frozen=True)
class Offer:
    """What an engine can do and what it takes.

    Attributes:
        model: engine and model with their versions; energies compare only where these are equal.
        elements: symbols that it covers; None where only a trial tells.
        properties: what :class:`SinglePoint` holds: ``energy``, ``forces``, ``stress``.
        native: whether it relaxes by itself, without an optimizer in Python.
        batch: whether it prices several structures at once.
        memory: of one worker [GB].
        cost: class of cost, see :data:`COSTS`.
        lowest: energy [eV/atom] below which nothing real lies, -inf where its zero is not known.
    """

    model: str
    elements: frozenset[str] | None = None
    properties: tuple[str, ...] = ("energy", "forces")
    native: bool = False
    batch: bool = False
    memory: float = 0.3
    cost: Cost = "potential"
    lowest: float = -np.inf

    def __str__(self) -> str:
        known = f"{len(self.elements)} elements" if self.elements else "elements by trial"
        words = [known, ", ".join(self.properties)]
        words += ["native relaxation"] if self.native else []
        words += ["batches"] if self.batch else []
        words += [f"{self.memory:g} GB per worker", COSTS[self.cost]]
        return f"{self.model}: " + "; ".join(words)


def offer_of(engine: object) -> Offer | None:
    """What an engine declares; None where it declares nothing."""
    # The class is asked first: an offer is often a property that reads files, asked only once so.
    if isinstance(type(engine), HasOffer) or isinstance(engine, HasOffer):
        offer: Offer | None = engine.offer  # type: ignore[attr-defined]
        return offer
    return None


@dataclass(frozen=True, eq=False)
class SinglePoint:
    """Energy [eV], forces (n, 3) [eV/Å] and, where offered, stress (6,) [eV/Å³], as it stands.

    Forces are those on single atoms, before any constraint. Stress has ASE's order (xx, yy, zz, yz,
    xz, xy) and sign: positive is tension.
    """

    energy: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64] | None = None


def check_installed(engine: str, modules: Collection[str], extra: str) -> None:
    """Raise :class:`UserError` with the install line where a module of an engine is missing."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise UserError(
            f"the {engine} engine is not installed ({', '.join(missing)} missing); "
            f'`pip install "htinvert[{extra}]"`'
        )


def check_covered(engine: str, covered: Collection[str], symbols: Collection[str]) -> None:
    """Raise :class:`UserError` where an engine does not cover an element."""
    missing = sorted(set(symbols) - set(covered))
    if missing:
        shown = f" (it covers {', '.join(covered)})" if len(covered) <= 12 else ""
        raise UserError(
            f"{engine} does not know {', '.join(missing)}{shown}; "
            "choose another engine or leave them out"
        )
