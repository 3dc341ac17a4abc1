"""How wrong an engine's energies and positions are: by its class, or in numbers of its own."""

from __future__ import annotations

from dataclasses import dataclass

from htinvert.core import UserError
from htinvert.declaration.abilities import Given, HasAccuracy


@dataclass(frozen=True)
class Accuracy:
    """Standard errors of an engine.

    Attributes:
        name: of its class in :data:`CLASSES`, or another word for where the numbers come from.
        energy: of the energy of an atom whose surroundings differ [eV/atom]; atoms with the same
            surroundings err alike.
        position: of a relaxed position, per axis [Å]; a convention for every class.
    """

    name: str
    energy: float
    position: float


DFT = Accuracy("dft", 0.024, 0.03)
"""Hautier et al., Phys. Rev. B 85, 155208 (2012): PBE among ternaries."""
MACHINE_LEARNED = Accuracy("machine learned", 0.038, 0.05)
"""DFT's and CHGNet's 0.030 (Deng et al., Nat. Mach. Intell. 5, 1031 (2023))."""
POTENTIAL = Accuracy("interatomic potential", 0.1, 0.12)
"""A convention: no figure holds for all; see docs/confidence.md."""
UNKNOWN = Accuracy("unknown", 0.1, 0.12)
"""Of an engine that declares nothing: the largest of the classes."""
CLASSES = {known.name: known for known in (DFT, MACHINE_LEARNED, POTENTIAL)}


def accuracy_of(engine: object, given: Given) -> Accuracy:
    """What an engine, or its class, declares of itself; :data:`UNKNOWN` where it is silent.

    ``given`` are its parameters as plain values. Raises :class:`UserError` where it names a class
    that there is not.
    """
    declared = engine.accuracy if isinstance(engine, HasAccuracy) else UNKNOWN
    if callable(declared):
        declared = declared(given)
    if isinstance(declared, Accuracy):
        return declared
    if declared not in CLASSES:
        raise UserError(
            f"an engine declares its accuracy as {declared!r}; let it name one of "
            f"{', '.join(CLASSES)}, or give an Accuracy"
        )
    return CLASSES[declared]
