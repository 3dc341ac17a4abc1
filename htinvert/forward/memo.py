"""What a process remembers of what was costly, such as waves and scans, so as not to repeat it."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Value = TypeVar("Value")


def fingerprint(parameters: Mapping[str, object], *arrays: NDArray[Any]) -> bytes:
    """A digest that names these parameters and arrays."""
    digest = hashlib.sha256(repr(sorted(parameters.items())).encode())
    for array in arrays:
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()


def remember(known: OrderedDict[bytes, Value], key: bytes, value: Value, *, most: int) -> Value:
    """Keep ``value`` as the latest of at most ``most``, and return it."""
    known[key] = value
    known.move_to_end(key)
    while len(known) > most:
        known.popitem(last=False)
    return value
