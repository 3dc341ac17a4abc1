"""The components keep what htinvert relies on: the checks that it ships."""

import numpy as np
from ase.build import bulk
from htinvert_spots import Compact, Decay, Misfit, Morse, Shells, Spots

from htinvert.core import Axis
from htinvert.metrics.rw import Rw
from htinvert.testing.pytest_checks import (
    energy_checks,
    forward_checks,
    generator_checks,
    kind_checks,
    metric_checks,
)

ATOMS = bulk("Cu", "fcc", a=3.9, cubic=True)
ATOMS.positions += np.random.default_rng(0).normal(scale=0.05, size=(4, 3))
MODEL = Spots(sampling=0.3, shape=(20, 24), rotation=10.0)


@forward_checks
def test_spots_conform(check):
    check(MODEL, ATOMS, free=["width", "shear_x"])


@metric_checks
def test_misfit_conforms(check):
    check(Misfit(), MODEL(ATOMS))


@energy_checks
def test_morse_conforms(check):
    check(Morse(), ATOMS)


@generator_checks
def test_compact_conforms(check):
    check(Compact)


CURVE = Shells(axes=(Axis("t", "ns", 0.1),), shape=(120,))


@forward_checks
def test_shells_conform(check):
    check(CURVE, ATOMS, free=["reach"])


@kind_checks
def test_decay_conforms(check):
    check(Decay(), CURVE(ATOMS), Shells(CURVE.axes, CURVE.shape, reach=2.0)(ATOMS), Rw())
