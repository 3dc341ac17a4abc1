"""What every scanning transmission microscope has: a view, a probe, and a detector of a ring."""

from __future__ import annotations

from dataclasses import dataclass

from htinvert.declaration.declared import Parameter
from htinvert.forward.probe import PROBE, Probe
from htinvert.forward.scene import SCENE, Scene


@dataclass(frozen=True, kw_only=True)
class Stem(Probe, Scene):
    """A view through the specimen, a probe that scans it, and a detector of a ring of angles.

    A scan's distortion carries the probe with it.

    Args:
        inner: inner detector angle [mrad], >= 0.
        outer: outer detector angle [mrad], > inner, 1 or more.
    """

    inner: float = 100.0
    outer: float = 150.0


STEM = {
    **SCENE,
    **PROBE,
    "inner": Parameter("mrad", 0.0, 1e3),
    "outer": Parameter("mrad", 1.0, 1e3),
}


def check_ring(stem: Stem) -> None:
    """Raise ``ValueError`` for a detector that is no ring."""
    if stem.outer <= stem.inner:
        raise ValueError(f"outer is {stem.outer} mrad but must exceed inner, {stem.inner} mrad")
