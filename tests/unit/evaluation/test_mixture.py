"""Shares of a mixture in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk

from htinvert.core import Axis
from htinvert.evaluation.mixture import Blend, Ingredient
from htinvert.forward.powder.model import Powder


@pytest.mark.parametrize("degree", [None, 1])
def test_a_background_decides_no_share(degree):
    """30 % of the atoms of silicon: patterns are per volume, 20.0 Å³ an atom, of nickel 10.9."""
    axes = (Axis("2theta", "degrees", 0.1, 20.0),)
    model = Powder(axes=axes, shape=(900,), wavelength=1.54)
    nickel, silicon = bulk("Ni", "fcc", a=3.52), bulk("Si", "diamond", a=5.431)
    data = 0.7 * 3.52**3 / 4 * model(nickel).data + 0.3 * 5.431**3 / 8 * model(silicon).data
    if degree:
        data = data + data.max() * np.linspace(0.3, 0.1, 900)
    observed = replace(model(nickel), data=data.astype(np.float32))
    phases = (Ingredient("nickel", nickel), Ingredient("silicon", silicon))
    blend = Blend(forward=model, phases=phases, observed=observed, background=degree)
    assert blend.solved() == pytest.approx({"nickel": 0.7, "silicon": 0.3}, abs=1e-3)
    if not degree:
        assert blend(nickel).data == pytest.approx(data, rel=1e-3, abs=1e-4 * float(data.max()))
