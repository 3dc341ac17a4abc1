"""What a component declares where it is defined: units and bounds, known answers, a cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import packages_distributions
from typing import Any, TypeVar, get_args

from ase import Atoms

from htinvert.core import Signal
from htinvert.declaration.abilities import Cites, Declares, Given, NamesCode, Packaged
from htinvert.declaration.hints import hints_of

SLIPS: Mapping[str, Mapping[str, float]] = {
    "eV": {"keV": 1e3},
    "mrad": {"rad": 1e3},
    "Å": {"nm": 10.0, "pm": 0.01},
}
"""Units in which people give a number by mistake, and how much of the right one each is."""

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Parameter:
    """Unit and bounds, both allowed, of a parameter that holds a number.

    It stands beside the parameter, ``fmax: Annotated[float, Parameter("eV/Å", lower=0)] = 0.05``,
    or in the component's table (:class:`~htinvert.declaration.abilities.Declares`). A count and a
    ratio have the unit ``1``. ``takes_up`` says what of nature a fit puts into it because the model
    leaves that out, so that its value is not what its name says.
    """

    unit: str
    lower: float = -math.inf
    upper: float = math.inf
    takes_up: str = ""


def declared(component: Callable[..., Any]) -> dict[str, Parameter]:
    """Units and bounds of what a class or function takes, by name, as far as it declares them."""
    found = dict(component.declares) if isinstance(component, Declares) else {}
    for name, hint in hints_of(component).items():
        for parameter in _annotated(hint):
            found[name] = parameter
    return found


def unit_of(component: object, name: str) -> str:
    """Unit of a component's parameter; of a pixel size, which has no bounds of its own, Å/px.

    A number that declares none is a count or a ratio.
    """
    parameter = declared(type(component)).get(name.partition(".")[0])
    if parameter is None:
        return "Å/px" if name == "sampling" else "1"
    return parameter.unit


def takes_up(component: object, name: str) -> str:
    """What a fit of a component's parameter takes up beside it; empty where nothing is declared."""
    parameter = declared(type(component)).get(name.partition(".")[0])
    return parameter.takes_up if parameter else ""


def value_of(component: object, name: str) -> Any:
    """A parameter's value; ``u.Cd`` is the entry ``Cd`` of a mapping ``u``, or the number ``u``.

    An entry that is not there is that of ``*``, which stands for every other one.
    """
    field, _, entry = name.partition(".")
    value = getattr(component, field)
    if entry and isinstance(value, Mapping):
        return value.get(entry, value.get("*"))
    return value


def with_values(component: object, values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields by name for parameters by name, of which ``u.Cd`` is an entry of a mapping ``u``."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        field, _, entry = name.partition(".")
        if not entry:
            found[name] = value
            continue
        old = found.get(field, getattr(component, field))
        found[field] = {**(old if isinstance(old, Mapping) else {"*": old}), entry: value}
    return found


def _annotated(hint: Any) -> Iterator[Parameter]:
    """Parameters among an annotation's parts, such as those of ``Annotated[...] | None``."""
    for part in (*getattr(hint, "__metadata__", ()), *get_args(hint)):
        if isinstance(part, Parameter):
            yield part
        else:
            yield from _annotated(part)


def sources_of(component: object, given: Given) -> tuple[str, ...]:
    """What is to be cited for a component with these parameters; empty where it says nothing."""
    said = component.sources if isinstance(component, Cites) else ()
    return tuple(said(given) if callable(said) else said)


def cites(*sources: str) -> Callable[[Function], Function]:
    """Let a function that is a component cite: ``@cites("A. Author, J. Name 1, 1 (2026).")``."""

    def mark(function: Function) -> Function:
        vars(function)["sources"] = sources
        return function

    return mark


def packages_of(component: object, given: Given) -> tuple[str, ...]:
    """Distributions whose versions decide what a component does with these parameters.

    Those that it names, and that which its module belongs to.
    """
    said = component.packages if isinstance(component, Packaged) else ()
    module = str(getattr(component, "__module__", "")).partition(".")[0]
    origin = [] if module == "htinvert" else distributions_of(module)
    return tuple(dict.fromkeys([*(said(given) if callable(said) else said), *origin]))


def distributions_of(module: str) -> list[str]:
    """Names of the installed distributions that a module, or a part or name of it, comes from."""
    return _distributions().get(module.partition(":")[0].partition(".")[0], [])


@cache
def _distributions() -> Mapping[str, list[str]]:
    """Names of distributions by module: over a second of reading, so once per process."""
    return packages_distributions()


def code_of(component: object, given: Given) -> tuple[str, ...]:
    """Those of the given parameters that name code which the component would run."""
    said = component.names_code if isinstance(component, NamesCode) else ()
    return tuple(name for name in (said(given) if callable(said) else said) if name in given)


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
    check_values({name: getattr(model, name) for name in parameters}, parameters)


def check_values(values: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> None:
    """The same for values by name; of those without a bound, and of what is no number, no word.

    The entries of a mapping, such as ``u.Cd``, have the mapping's bounds.
    """
    for name, value in values.items():
        if isinstance(value, Mapping):
            check_values({f"{name}.{entry}": held for entry, held in value.items()}, parameters)
        bound = parameters.get(name, parameters.get(name.partition(".")[0]))
        if bound is None or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if not bound.lower <= value <= bound.upper:
            raise ValueError(
                f"{name} is {value} but must be {_between(bound)}{_slip(value, bound)}"
            )


def check_choices(**choices: tuple[str, Iterable[str]]) -> None:
    """Raise ``ValueError`` for a value, by its name, that is none of those that are known."""
    for name, (value, known) in choices.items():
        if value not in known:
            raise ValueError(f'{name} is "{value}" but must be one of {", ".join(known)}')


def _between(bound: Parameter) -> str:
    """The bounds in words."""
    unit = "" if bound.unit == "1" else f" {bound.unit}"
    if bound.upper == math.inf:
        return f"{bound.lower:g}{unit} or more"
    if bound.lower == -math.inf:
        return f"{bound.upper:g}{unit} or less"
    return f"from {bound.lower:g} to {bound.upper:g}{unit}"


def _slip(value: float, bound: Parameter) -> str:
    """A tail on the unit that was probably meant; empty where none brings it between the bounds."""
    for unit, factor in SLIPS.get(bound.unit, {}).items():
        if bound.lower <= value * factor <= bound.upper:
            return f"; {value:g} {unit} are {value * factor:g} {bound.unit}"
    return ""
