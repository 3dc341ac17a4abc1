"""What every forward model must keep: a signal with axes, the symmetries of a structure, bounds.

Each check takes a model that can simulate as it is, so with sampling and shape where it has them,
and a structure. ``free`` names parameters that a campaign may fit: those must be declared and
matter. ``tolerance`` is the part of the signal's range by which two computations of the same may
differ.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, get_args

import numpy as np
from ase import Atoms

from htinvert.core import ForwardModel, Signal, UserError
from htinvert.declaration.abilities import Framed, HasEstimate, HasView, Sampled, Shifted
from htinvert.declaration.declared import KnownAnswer, Parameter, declared
from htinvert.declaration.hints import hints_of
from htinvert.testing.conformance import NotConforming, check_travels, require, same_atoms

Check = Callable[..., None]

_EDGE = 2  # px that a check moves the image


def check_forward(
    model: Any, atoms: Atoms, *, free: Sequence[str] = (), tolerance: float = 1e-3
) -> None:
    """Run all of the checks. Raises :class:`~htinvert.testing.conformance.NotConforming`."""
    for check in CHECKS:
        check(model, atoms, free=free, tolerance=tolerance)


def check_signal(
    model: Any, atoms: Atoms, *, free: Sequence[str] = (), tolerance: float = 1e-3
) -> None:
    """It answers a finite float32 signal, with its own sampling and shape; the same each time."""
    del free
    require(isinstance(model, ForwardModel), "it cannot be called with a structure")
    check_travels(model)
    before = atoms.copy()
    signal = model(atoms)
    require(isinstance(signal, Signal), f"its answer is a {type(signal).__name__}, no Signal")
    require(signal.data.dtype == np.float32, f"its data are {signal.data.dtype}, not float32")
    require(bool(np.isfinite(signal.data).all()), "its signal has values that are no numbers")
    require(same_atoms(atoms, before), "it changes the atoms that it is given; work on a copy")
    for axis in signal.axes:
        named = bool(axis.name) and bool(axis.unit) and axis.step > 0
        require(named, f"an axis lacks a name, a unit or a step above 0: {axis}")
    if isinstance(model, Framed) and model.shape is not None:
        shape = signal.data.shape[-len(model.shape) :]
        require(shape == tuple(model.shape), f"it was asked for {model.shape} px and makes {shape}")
    if isinstance(model, Sampled) and model.sampling is not None:
        wanted = np.broadcast_to(model.sampling, 2)
        steps = signal.sampling[-2:]
        require(bool(np.allclose(steps, wanted)), f"its axes step {steps}, not {tuple(wanted)}")
    _require_near(model(atoms), signal, tolerance, "is asked for the same twice")


def check_symmetry(
    model: Any, atoms: Atoms, *, free: Sequence[str] = (), tolerance: float = 1e-3
) -> None:
    """It does not matter how a structure is written: in which order and in which cell its atoms."""
    del free
    signal = model(atoms)
    _require_near(model(atoms[::-1]), signal, tolerance, "has its atoms in another order")
    for axis in np.flatnonzero(atoms.pbc):
        moved = atoms.copy()
        moved.positions += atoms.cell.array[axis]
        what = f"is moved by a lattice vector along {'abc'[axis]}"
        _require_near(model(moved), signal, tolerance, what)
    rng = np.random.default_rng(0)
    moved = atoms[rng.permutation(len(atoms))]
    moved.positions += (rng.integers(-2, 3, size=(len(atoms), 3)) * atoms.pbc) @ atoms.cell.array
    _require_near(model(moved), signal, tolerance, "has its atoms in other cells")


def check_shift(
    model: Any, atoms: Atoms, *, free: Sequence[str] = (), tolerance: float = 1e-3
) -> None:
    """An image's shift moves it, to the right and downward, and where it says that atoms are."""
    del free
    signal = model(atoms)
    if not isinstance(model, Shifted):
        return
    dy, dx = signal.sampling[-2:]
    place = {"shift_x": model.shift_x + _EDGE * dx, "shift_y": model.shift_y + _EDGE * dy}
    moved: Any = _changed(model, **place)
    there, here = moved(atoms).data[..., _EDGE:, _EDGE:], signal.data[..., :-_EDGE, :-_EDGE]
    axes = signal.axes
    what = f"is shifted by {_EDGE} px to the right and downward and looked at there"
    _require_near(Signal(there, axes), Signal(here, axes), tolerance, what)
    if isinstance(model, HasView):
        off = moved.view(atoms).pixels(atoms.positions) - model.view(atoms).pixels(atoms.positions)
        require(bool(np.allclose(off, _EDGE, atol=1e-6)), "its view does not move with its image")


def check_declarations(
    model: Any, atoms: Atoms, *, free: Sequence[str] = (), tolerance: float = 1e-3
) -> None:
    """Bounds that it declares hold its defaults, and a value beyond them is refused."""
    del atoms, tolerance
    bounds = declared(type(model))
    for name in free:
        require(hasattr(model, name), f"it has no parameter {name} that could be fitted")
        require(name in bounds, f"{name} may be fitted but declares no unit and bounds")
    for name, bound in bounds.items():
        value = getattr(model, name)
        inside = value is None or bound.lower <= value <= bound.upper
        require(inside, f"{name} is {value} but its bounds are {bound.lower:g} to {bound.upper:g}")
        require(bool(bound.unit), f'{name} has no unit; a count or a ratio has the unit "1"')
        if bound.upper < 1e300:
            _require_refusal(model, name, bound.upper * 2 + 1)


def check_free(
    model: Any, atoms: Atoms, *, free: Sequence[str] = (), tolerance: float = 1e-3
) -> None:
    """What may be fitted matters: within its bounds it changes the signal, which stays finite."""
    signal = model(atoms)
    bounds, spread = declared(type(model)), float(np.ptp(signal.data))
    check_declarations(model, atoms, free=free)
    for name in free:
        other = _changed(model, **{name: _elsewhere(getattr(model, name), bounds[name])})(atoms)
        finite = bool(np.isfinite(other.data).all())
        require(finite, f"another {name} gives values that are no numbers")
        same_shape = other.data.shape == signal.data.shape
        change = np.abs(other.data - signal.data).max() if same_shape else np.inf
        require(
            name == "sampling" or change > 1e-2 * tolerance * spread,
            f"{name} changes nothing in the signal, so that it cannot be fitted",
        )


def check_estimate(
    model: Any, atoms: Atoms, *, free: Sequence[str] = (), tolerance: float = 1e-3
) -> None:
    """Where it says what a simulation costs, that is time and memory above 0, by a version."""
    del free, tolerance
    if isinstance(model, HasEstimate):
        estimate = model.estimate(atoms)
        require(estimate.seconds > 0 and estimate.memory > 0, f"its estimate is {estimate}")


CHECKS: tuple[Check, ...] = (
    *(check_signal, check_symmetry, check_shift, check_declarations, check_free, check_estimate),
)


def check_answer(component: Callable[..., Any], answer: KnownAnswer) -> None:
    """The model with the answer's parameters gives the number that is known from elsewhere."""
    found = answer.measure(component(**answer.parameters)(answer.atoms()))
    require(
        abs(found - answer.value) <= answer.tolerance,
        f"{answer.name} is {found:.6g}, not {answer.value:.6g} ± {answer.tolerance:.2g}, "
        f"known from {answer.source}",
    )


def check_documented(component: Callable[..., Any], *, elsewhere: str = "") -> None:
    """Every number that a class takes is declared, and its docstring names it with its unit.

    ``elsewhere`` is the text of other docstrings that it refers to.
    """
    bounds = declared(component)
    text = elsewhere
    for part in inspect.getmro(component) if inspect.isclass(component) else (component,):
        text += inspect.getdoc(part) or ""
    hints = hints_of(component)
    for field in fields(component) if is_dataclass(component) else ():
        if not _is_number(hints[field.name]):
            continue
        require(field.name in bounds, f"{field.name} declares no unit and bounds")
        unit = bounds[field.name].unit
        line = text.partition(f"    {field.name}: ")[2].partition(".\n")[0]
        require(bool(line), f"{field.name} is not in the docstring")
        named = unit == "1" or unit in line
        require(named, f"{field.name} is in {unit}, but its line says: {line}")


def _is_number(hint: Any) -> bool:
    """Whether an annotation is a number, or a number or None."""
    parts = [getattr(part, "__origin__", part) for part in (get_args(hint) or (hint,))]
    return bool({float, int} & set(parts)) and set(parts) <= {float, int, type(None)}


def _changed(model: Any, **changes: Any) -> Any:
    """The model with other parameters."""
    require(is_dataclass(model), "make it a frozen dataclass, whose fields are its parameters")
    return replace(model, **changes)


def _elsewhere(value: float | None, bound: Parameter) -> float:
    """Another value within bounds: a twentieth of the way to the farther one."""
    least = bound.lower if math.isfinite(bound.lower) else 0.0
    here = least if value is None else value
    if not math.isfinite(bound.lower + bound.upper):
        return here + 0.1 * max(1.0, abs(here))
    far = max(bound.lower, bound.upper, key=lambda end: abs(end - here))
    return here + 0.05 * (far - here)


def _require_refusal(model: Any, name: str, value: float) -> None:
    try:
        _changed(model, **{name: type(getattr(model, name) or 0.0)(value)})
    except (ValueError, UserError) as error:
        require(name in str(error), f"it refuses a {name} of {value:g} without naming it: {error}")
    else:
        raise NotConforming(f"it takes a {name} of {value:g}, which is beyond its own bounds")


def _require_near(other: Signal, signal: Signal, tolerance: float, what: str) -> None:
    require(other.data.shape == signal.data.shape, f"its shape changes where the structure {what}")
    spread = float(np.ptp(signal.data)) or 1.0
    off = float(np.abs(other.data - signal.data).max()) / spread
    require(
        off <= tolerance, f"its signal changes by {off:.2g} of its range where the structure {what}"
    )
