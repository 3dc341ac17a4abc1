"""What a campaign may say of chemical potentials: numbers, or the phases that they follow from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    SkipValidation,
    TypeAdapter,
    field_validator,
)

from htinvert.config.experiment import Component
from htinvert.signals.kind import Part

STRUCTURE = "structure"  # the phase that is the start structure's own crystal
NUMBERS: TypeAdapter[dict[str, float]] = TypeAdapter(
    dict[str, float], config=ConfigDict(allow_inf_nan=False)
)


class PhasesPart(Part):
    """Reference phases that the campaign's own engine prices.

    Each is a formula, whose crystal is known by its name; ``structure`` for the crystals that the
    start structure is made of; or the block of a structure. ``equilibrium`` names those that the
    sample is in equilibrium with (the first one, where it is left out), the others must not
    precipitate. ``at`` says where in the range that this leaves candidates are ranked: per element
    0 (poor) to 1 (rich), the middle where it is left out.
    """

    phases: list[str | Component] = Field(min_length=1)
    equilibrium: list[str] = Field(default=[])
    at: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default={})

    @field_validator("phases")
    @classmethod
    def _blocks_have_use(cls, phases: list[str | Component]) -> list[str | Component]:
        for phase in phases:
            if not isinstance(phase, str) and "use" not in phase:
                raise ValueError("a phase is a formula or a structure's block, such as {use: file}")
        return phases


def are_phases(raw: Mapping[str, Any]) -> bool:
    """Whether a file gives phases and no numbers."""
    return not set(raw).isdisjoint(PhasesPart.model_fields)


def _either(raw: Any) -> Any:
    """Numbers per element, or phases. Raises pydantic's ValidationError."""
    if isinstance(raw, PhasesPart):
        return raw
    if isinstance(raw, Mapping) and are_phases(raw):
        return PhasesPart.model_validate(raw)
    return NUMBERS.validate_python(raw)


ChemicalPotentials = Annotated[
    SkipValidation[dict[str, float] | PhasesPart], BeforeValidator(_either)
]
