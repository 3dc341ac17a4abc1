"""What is computed of an object once per process, for as long as the object lives.

Arrays and models are known by identity: equal ones are not the same. An entry goes with its object,
so that another object at the same address is never taken for it.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


class Once(Generic[Value]):
    """Values by object, and by what else decides them; the ``most`` that were used last."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._known: OrderedDict[tuple[int, Hashable], tuple[weakref.ref[Any], Value]]
        self._known = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def of(self, owner: Any, make: Callable[[], Value], *, also: Hashable = None) -> Value:
        """The value of an object, made where there is none; ``also`` tells several of one apart.

        For an object that cannot be referred to weakly, such as a number, it is made every time.
        """
        key = (id(owner), also)
        known = self._known.get(key)
        if known is not None and known[0]() is owner:
            self._known.move_to_end(key)
            return known[1]
        value = make()
        try:
            alive = weakref.ref(owner, lambda gone: self._forget(key, gone))
        except TypeError:
            return value
        self._known[key] = (alive, value)
        while len(self._known) > self.most:
            self._known.popitem(last=False)
        return value

    def _forget(self, key: tuple[int, Hashable], gone: weakref.ref[Any]) -> None:
        """Drop the entry of an object that is gone, unless another one has taken its place."""
        known = self._known.get(key)
        if known is not None and known[0] is gone:
            del self._known[key]
