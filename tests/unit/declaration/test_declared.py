"""A component says unit and bounds of its numbers where it is defined."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest

from htinvert import plugins
from htinvert.core import UserError
from htinvert.declaration.declared import (
    Parameter,
    check_values,
    cites,
    declared,
    packages_of,
    sources_of,
    unit_of,
)
from htinvert.declaration.hints import hints_of
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.forward.stem_multislice import StemMultislice
from htinvert.forward.stm import Stm

KINDS = (*plugins.GROUPS, "density")
NUMBERS = {float, int}
SHIPPED = [
    pytest.param(kind, entry, id=f"{kind}: {entry.name}")
    for kind in KINDS
    for entry in sorted(entry_points(group=f"htinvert.{kind}"), key=lambda entry: entry.name)
    if entry.value.startswith("htinvert.")
]


def numbers(component: Any) -> dict[str, Any]:
    """Defaults of the parameters that hold one number."""
    signature, hints = inspect.signature(component), hints_of(component)
    return {
        name: parameter.default
        for name, parameter in signature.parameters.items()
        if name not in plugins.CONTEXT and _is_number(hints.get(name))
    }


def _is_number(hint: Any) -> bool:
    parts = [part for part in getattr(hint, "__args__", ()) if part is not type(None)]
    if hasattr(hint, "__metadata__"):
        return _is_number(hint.__origin__)
    return hint in NUMBERS or (len(parts) == 1 and _is_number(parts[0]))


@pytest.mark.parametrize(("kind", "entry"), SHIPPED)
def test_every_number_of_a_component_has_a_unit_and_a_default_within_its_bounds(
    kind: str, entry: Any
) -> None:
    component = entry.load()
    known, found = declared(component), numbers(component)
    assert set(found) <= set(known), f"without a unit: {set(found) - set(known)}"
    for name, default in found.items():
        if default not in (None, inspect.Parameter.empty):
            assert known[name].lower <= default <= known[name].upper, name


def test_a_bound_is_looked_up_in_the_signature_at_any_depth() -> None:
    def build(
        length: Annotated[float, Parameter("Å", 0.0)] | None = None,
        *,
        count: Annotated[int | None, Parameter("1", 1, 9)] = None,
        name: str = "",
    ) -> None: ...

    assert declared(build) == {"length": Parameter("Å", 0.0), "count": Parameter("1", 1, 9)}


def test_a_value_out_of_bounds_is_refused_with_the_bounds() -> None:
    known = {
        "a": Parameter("Å", 0.0),
        "b": Parameter("eV", -2.0, 3.0),
        "c": Parameter("1", upper=1),
    }
    check_values({"a": 0.0, "b": None, "c": 1, "d": -5, "e": "text"}, known)
    for name, value, said in (
        ("a", -1.0, "a is -1.0 but must be 0 Å or more"),
        ("b", 4, "b is 4 but must be from -2 to 3 eV"),
        ("c", 2, "c is 2 but must be 1 or less"),
        ("b.Cd", 4, "b.Cd is 4 but must be from -2 to 3 eV"),
        ("b", {"Cd": 1, "Te": -3}, "b.Te is -3 but must be from -2 to 3 eV"),
    ):
        with pytest.raises(ValueError, match=said):
            check_values({name: value}, known)


@pytest.mark.parametrize(
    ("value", "bound", "said"),
    [
        (200, Parameter("eV", 1e4, 3e6), "200 keV are 200000 eV"),
        (0.025, Parameter("mrad", 0.1, 200.0), "0.025 rad are 25 mrad"),
        (0.648, Parameter("Å", 1.5, 200.0), "0.648 nm are 6.48 Å"),
        (648, Parameter("Å", 1.5, 200.0), "648 pm are 6.48 Å"),
    ],
)
def test_a_number_in_another_unit_is_said_in_the_right_one(
    value: float, bound: Parameter, said: str
) -> None:
    with pytest.raises(ValueError, match=f"; {said}$"):
        check_values({"it": value}, {"it": bound})


def test_a_campaign_with_a_number_out_of_bounds_is_a_mistake_that_says_where() -> None:
    block = {"use": "lennard_jones", "fmax": -0.1}
    with pytest.raises(UserError, match=r"energy: fmax is -0.1 but must be 0 eV/Å or more"):
        plugins.build("energy", block, Path(), "energy")


def test_a_function_cites_by_a_mark_and_a_class_by_an_attribute_or_of_its_parameters() -> None:
    @cites("A. One, J. Name 1, 1 (2001).")
    def build() -> None: ...

    @dataclass(frozen=True)
    class Engine:
        packages: ClassVar[tuple[str, ...]] = ("numpy",)

        @classmethod
        def sources(cls, given: Any) -> tuple[str, ...]:
            return (f"The file {given['path']}.",)

    assert sources_of(build, {}) == ("A. One, J. Name 1, 1 (2001).",)
    assert sources_of(Engine, {"path": "x"}) == ("The file x.",)
    assert "numpy" in packages_of(Engine, {}) and sources_of(object(), {}) == ()


def test_the_package_that_a_plug_in_comes_from_is_recorded() -> None:
    assert packages_of(pytest.Item, {}) == ("pytest",)


@pytest.mark.parametrize(
    ("model", "name", "unit"),
    [
        (StemConvolution(), "source_size", "Å"),
        (StemConvolution(), "inner", "mrad"),  # a table by name called this and the next two ratios
        (StemMultislice(), "thickness", "Å"),
        (Stm(density=None), "bias_low", "eV"),
        (StemConvolution(), "stretch_x", "1"),
        (StemConvolution(), "sampling", "Å/px"),
    ],
)
def test_a_parameter_has_the_unit_that_its_component_declares(
    model: Any, name: str, unit: str
) -> None:
    assert unit_of(model, name) == unit
