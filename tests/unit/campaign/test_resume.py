"""A resumed campaign goes on from what it was begun with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from htinvert.campaign import resume


def test_a_parameter_without_a_value_at_first_has_none_after_a_resume(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From an empty box nothing is fitted before the first candidate, as an EXAFS' widths."""
    told = {"exafs": {"zoom": 1.0, "sigma2.Cu1": None}, "haadf": {}}
    monkeypatch.setattr(resume, "read_provenance", lambda _: {"calibration": told})
    plan: Any = None
    assert resume.calibration(plan, Path()) == {"exafs": {"zoom": 1.0}}
