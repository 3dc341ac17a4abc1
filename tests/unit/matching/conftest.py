"""A small library of boundaries, and images of its members."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from htinvert.core import Signal
from htinvert.matching.index import Index, build_index
from htinvert.matching.library import LibraryView, entries
from htinvert.structures.write import write_structure
from htinvert.testing.matching_trials import Spoiled, tilt_boundary

ANGLES = (8.0, 18.0, 30.0, 44.0)
SPOILED = Spoiled(
    rotation=237.0, magnification=1.06, stretch=(0.01, -0.01), shear=0.01, shift=(3.0, -2.0),
    source_size=1.1, jitter=0.3, drift=(0.5, -0.5), peak=50.0,
)  # fmt: skip


def boundary(angle: float) -> Atoms:
    return tilt_boundary(angle, side=110.0)


@pytest.fixture(scope="session")
def picture() -> Callable[[float], Signal]:
    """Image of a boundary: turned by 237 degrees, magnified by 1.06, distorted, noisy."""

    def take(angle: float) -> Signal:
        rng = np.random.default_rng(0)
        return SPOILED.take(boundary(angle), sampling=0.2, size=280, rng=rng)

    return take


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("library")
    for angle in ANGLES:
        write_structure(made / f"tilt{angle:.0f}.xyz", boundary(angle))
    return made


@pytest.fixture(scope="session")
def index(folder: Path) -> Index:
    return build_index(entries(folder), LibraryView(), folder.with_name("index.zarr"))
