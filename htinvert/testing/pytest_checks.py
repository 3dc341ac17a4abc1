"""The conformance checks one by one in pytest: each is a test of its own.

Three lines in the tests of a plug-in::

    from htinvert.testing.pytest_checks import forward_checks

    @forward_checks
    def test_my_model_conforms(check):
        check(MyModel(sampling=0.2, shape=(64, 64)), atoms, free=["width"])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from htinvert.testing import energy, forward, generator, kind, metric, structure


def _each(checks: Sequence[Callable[..., None]]) -> pytest.MarkDecorator:
    """Run a test once for every check, which it gets as ``check``."""
    names = [check.__name__.removeprefix("check_") for check in checks]
    return pytest.mark.parametrize("check", checks, ids=names)


structure_checks = _each(structure.CHECKS)
generator_checks = _each(generator.CHECKS)
energy_checks = _each(energy.CHECKS)
forward_checks = _each(forward.CHECKS)
metric_checks = _each(metric.CHECKS)
kind_checks = _each(kind.CHECKS)
