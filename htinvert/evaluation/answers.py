"""What components answer, as plain numbers and names: what passes here can be stored and ranked.

An engine's answer is looked at in :mod:`htinvert.evaluation.validity`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import Axis, EvaluationFailed, Relaxation, Score, Signal
from htinvert.declaration.wording import LONGEST_VALUE, shortened, shown
from htinvert.evaluation.validity import is_number

Arrays = tuple[dict[str, NDArray[Any]], NDArray[Any], NDArray[Any]]


def plain_relaxation(answer: Relaxation) -> Relaxation:
    """A relaxation that was checked, its numbers those of Python."""
    return Relaxation(
        answer.atoms,
        float(answer.energy),
        bool(answer.converged),
        int(answer.steps),
        None if answer.force is None else float(answer.force),
    )


def plain_score(name: str, answer: Any) -> Score:
    """A metric's answer. Raises :class:`EvaluationFailed` where that is no score."""
    if not isinstance(answer, Score):
        kind = type(answer).__name__
        raise EvaluationFailed(f"garbage: {name} returned a {kind} instead of a score")
    if not is_number(answer.cost):
        raise EvaluationFailed(f"garbage: {name} is {shown(answer.cost)}, which is no number")
    if not np.isfinite(float(answer.cost)):
        raise EvaluationFailed(f"{name} is not finite")
    return Score(float(answer.cost), plain_numbers(f"the detail of {name}", answer.detail))


def plain_numbers(what: str, values: Any) -> dict[str, float]:
    """Numbers by name, which may be NaN. Raises :class:`EvaluationFailed` where they are none."""
    if not isinstance(values, Mapping):
        raise EvaluationFailed(f"garbage: {what} is {shown(values)}, no numbers by name")
    found = {}
    for name, value in values.items():
        if not isinstance(name, str) or not is_number(value):
            raise EvaluationFailed(f"garbage: {what} says {shown(name)}: {shown(value)}")
        found[shortened(name, LONGEST_VALUE)] = float(value)
    return found


def require_finite(what: str, values: Mapping[str, float]) -> None:
    """Raise :class:`EvaluationFailed` where one of these numbers is not finite."""
    for name, value in values.items():
        if not np.isfinite(value):
            raise EvaluationFailed(f"not finite: {what} {name} is {value}")


def plain_signal(name: str, answer: Any) -> Signal:
    """A simulated signal, float32. Raises :class:`EvaluationFailed` where that is none."""
    if not isinstance(answer, Signal):
        kind = type(answer).__name__
        raise EvaluationFailed(f"garbage: {name} simulated a {kind} instead of a signal")
    data: Any = answer.data
    if not isinstance(data, np.ndarray) or data.dtype.kind not in "fiub" or not data.size:
        raise EvaluationFailed(f"garbage: the signal of {name} holds no real numbers")
    if data.ndim != len(answer.axes) or not all(_is_axis(axis) for axis in answer.axes):
        raise EvaluationFailed(f"garbage: the axes of {name}'s signal are {shown(answer.axes)}")
    if data.dtype == np.float32:
        return answer
    with np.errstate(over="ignore"):
        return replace(answer, data=np.ascontiguousarray(data, dtype=np.float32))


def _is_axis(axis: Any) -> bool:
    if not isinstance(axis, Axis) or not isinstance(axis.name, str):
        return False
    numbers = (axis.step, axis.origin)
    return isinstance(axis.unit, str) and all(
        is_number(number) and np.isfinite(float(number)) for number in numbers
    )


def arrays_of(atoms: Atoms) -> Arrays:
    """Copies of all that a component may not change of a structure that it was given."""
    arrays = {name: values.copy() for name, values in atoms.arrays.items()}
    return arrays, atoms.cell.array.copy(), atoms.pbc.copy()


def is_unchanged(atoms: Atoms, before: Arrays) -> bool:
    """Whether a structure is what it was when its arrays were copied."""
    arrays, cell, pbc = before
    return (
        atoms.arrays.keys() >= arrays.keys()
        and all(_same(atoms.arrays[name], values) for name, values in arrays.items())
        and _same(atoms.cell.array, cell)
        and _same(atoms.pbc, pbc)
    )


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether two arrays are equal in every bit, at a tenth of what numpy takes for it."""
    alike = one.shape == other.shape and one.dtype == other.dtype
    return alike and one.tobytes() == other.tobytes()


def restored(atoms: Atoms, before: Arrays) -> Atoms:
    """The structure as it was, with the constraints that it has now, as far as these fit it."""
    arrays, cell, pbc = before
    found = Atoms(cell=cell, pbc=pbc)
    found.arrays = arrays
    if len(atoms) == len(found):
        found.set_constraint(atoms.constraints)
    return found
