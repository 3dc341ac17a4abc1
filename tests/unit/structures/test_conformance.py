"""What every builder of structures must keep, by the shipped checks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from ase import Atoms
from ase.build import bulk

from htinvert.structures.box import box
from htinvert.structures.prototype import prototype
from htinvert.structures.slab import slab
from htinvert.testing.pytest_checks import structure_checks

BUILDS = {
    "prototype": partial(prototype, formula="CdTe", crystal="zincblende", a=6.48),
    "slab": partial(slab, phase=bulk("Cu", a=3.6, cubic=True), miller=(1, 1, 1), layers=4, fixed=2),
    "box": partial(box, size=9.0),
}


@structure_checks
@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
def test_a_structure_is_what_a_campaign_can_use(
    build: Callable[[], Atoms], check: Callable[..., None]
) -> None:
    check(build)
