"""What a component declares where it is defined: units and bounds, known answers, a cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ase import Atoms

from htinvert.core import Signal


@dataclass(frozen=True)
class Parameter:
    """Unit and bounds, both allowed, of a field that holds a number; its default is the field's."""

    unit: str
    lower: float
    upper: float


@dataclass(frozen=True)
class KnownAnswer:
    """A number that a model must reproduce, known from somewhere else.

    Attributes:
        name: what is computed, in words.
        source: where ``value`` comes from.
        parameters: of the model.
        atoms: what it looks at.
        measure: from the simulated signal to a number.
        value: that number as it must be.
        tolerance: absolute, in the unit of ``value``.
    """

    name: str
    source: str
    parameters: Mapping[str, Any]
    atoms: Callable[[], Atoms]
    measure: Callable[[Signal], float]
    value: float
    tolerance: float


@dataclass(frozen=True)
class Estimate:
    """What one simulation costs.

    Attributes:
        model: engine with its version.
        work: what is to be done, in words.
        seconds: of one core, measured on this machine at small scale.
        memory: of one worker [GB].
    """

    model: str
    work: str
    seconds: float
    memory: float

    def __str__(self) -> str:
        time = f"{self.seconds:.0f} s" if self.seconds < 120 else f"{self.seconds / 60:.0f} minutes"
        return f"{self.model}: {self.work}; about {time} per image; {self.memory:.1f} GB per worker"


def check_bounds(model: object, parameters: Mapping[str, Parameter]) -> None:
    """Raise ``ValueError`` for a field out of its bounds; one that is None is not set."""
    for name, bound in parameters.items():
        value = getattr(model, name)
        if value is not None and not bound.lower <= value <= bound.upper:
            raise ValueError(
                f"{name} is {value} but must be from {bound.lower:g} to {bound.upper:g}"
            )
