"""What the physics tests share: the workflow that scores by the peer's recipe."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def peer(script: Callable[[str], ModuleType]) -> ModuleType:
    """The workflow as a module, for its `load` and `peer_mismatch`."""
    return script("workflows/score_peer_structures.py")
