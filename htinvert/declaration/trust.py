"""Whose code may run: what is installed, always; what a configuration names, where it is trusted.

A configuration names code as ``use: "module:attribute"`` of no installed plug-in, or in a parameter
that its component declares to (:class:`~htinvert.declaration.abilities.NamesCode`), such as the
command of an engine. A Python program answers for what it loads, and so does who says ``htinvert
run``; other commands run none of it but with ``--trust`` (docs/security.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from htinvert.core import UserError
from htinvert.declaration.wording import LONGEST_VALUE, shortened

_trusted = True  # of this process, all threads of it


@contextmanager
def distrusting() -> Iterator[None]:
    """Refuse what configurations name until the end of the block, or until :func:`trust`."""
    global _trusted
    before, _trusted = _trusted, False
    try:
        yield
    finally:
        _trusted = before


def trust() -> None:
    """Run what configurations name: whoever started the program said so."""
    global _trusted
    _trusted = True


def require_trust(named: str) -> None:
    """Raise :class:`UserError` where code that a configuration names is not to be run."""
    if not _trusted:
        raise UserError(
            f"{shortened(named, LONGEST_VALUE)} is code that no installed package registers, and "
            "this command runs none of that: add --trust if you know who wrote it"
        )
