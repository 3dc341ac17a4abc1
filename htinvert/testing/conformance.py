"""What every conformance check needs: a sentence where something is not as promised.

Authors of plug-ins run the checks in their own tests, as plain functions (such as
:func:`htinvert.testing.forward.check_forward`) or one by one by pytest
(:mod:`htinvert.testing.pytest_checks`).
"""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
from ase import Atoms


class NotConforming(AssertionError):
    """A component breaks a promise that the rest of the program relies on; one sentence."""


def require(kept: bool, sentence: str) -> None:
    """Raise :class:`NotConforming` with ``sentence`` unless the promise is kept."""
    if not kept:
        raise NotConforming(sentence)


def check_travels(component: Any) -> None:
    """A component goes to other processes and is there what it was: pickled, it is equal."""
    try:
        there = pickle.loads(pickle.dumps(component))  # noqa: S301  (our own)
    except Exception as error:
        raise NotConforming(
            f"it cannot be sent to a worker ({error}); make it a frozen dataclass of plain values"
        ) from error
    require(there == component, "it comes out of pickle unequal; make it a frozen dataclass")


def same_atoms(first: Atoms, second: Atoms) -> bool:
    """Whether elements, positions, cell and periodicity are equal to the bit."""
    return (
        len(first) == len(second)
        and np.array_equal(first.numbers, second.numbers)
        and np.array_equal(first.positions, second.positions)
        and np.array_equal(first.cell.array, second.cell.array)
        and np.array_equal(first.pbc, second.pbc)
    )
