"""What the physics tests share: the workflow that scores by the peer's recipe."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

WORKFLOW = Path(__file__).parents[2] / "workflows" / "score_peer_structures.py"


@pytest.fixture(scope="session")
def peer() -> ModuleType:
    """The workflow as a module, for its `load` and `peer_mismatch`."""
    spec = importlib.util.spec_from_file_location("score_peer_structures", WORKFLOW)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
