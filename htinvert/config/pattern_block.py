"""The block ``patterns`` of a library's description: what is simulated of each structure.

.. code-block:: yaml

    use: perovskite_stack
    vary: {intermixing: {from: 0, to: 2, by: 0.2}}
    patterns: {semiangle: 15, thickness: [45, 140], tilt: [3, 4]}
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic import Field, ValidationError

from htinvert import plugins
from htinvert.config.vary import Enumeration, read_enumeration
from htinvert.config.yaml_file import read_yaml
from htinvert.core import UserError
from htinvert.signals.kind import Part


class PatternsBlock(Part):
    """Simulated are ``rows`` strips of ``width``, ``thickness`` from, to, ``every`` this many Å.

    ``semiangle`` is in mrad, ``beam_energy`` in eV, ``tilt`` the largest to the right and down
    [mrad], ``rms_displacement`` per direction [Å].
    """

    semiangle: float = Field(gt=0.5, le=60)
    beam_energy: float = Field(default=2e5, ge=1e4, le=1e6)
    beam: str = "-z"
    up: str = "-y"
    rms_displacement: float | dict[str, float] = 0.08
    rows: int = Field(default=5, ge=1, le=50)
    width: float = Field(default=3.905, gt=0.5)
    thickness: tuple[float, float] = (45.0, 140.0)
    every: float = Field(default=7.8, gt=0)
    tilt: tuple[float, float] = (3.2, 3.9)
    outer: float = Field(default=40.0, gt=1.0, le=52.0)


def asks_for_patterns(path: Path) -> bool:
    """Whether a description has the block."""
    return "patterns" in read_yaml(path)


def read_patterns(path: Path) -> tuple[PatternsBlock, Enumeration, str]:
    """The block, the structures and the name of what varies.

    Raises :class:`UserError` where it is wrong, or not one number varies in even steps.
    """
    raw = dict(read_yaml(path))
    block = raw.pop("patterns", None)
    if not isinstance(block, Mapping):
        raise UserError(f"{path.name}: patterns is no block; give it, such as {{semiangle: 15}}")
    try:
        wanted = PatternsBlock.model_validate(block)
    except ValidationError as error:
        raise UserError(
            f"{path.name}: patterns: {plugins.words(error, PatternsBlock)[0]}"
        ) from error
    low, high = wanted.thickness
    if not 0.0 < low < high:
        raise UserError(f"{path.name}: patterns.thickness goes from {low:g} to {high:g} Å")
    structures = read_enumeration(path, leave=("patterns",))
    if len(structures.vary) != 1 or structures.rows:
        raise UserError(
            f"{path.name}: vary names {', '.join(structures.vary) or 'choice'}; a library of "
            "patterns needs one number, such as intermixing: {from: 0, to: 2, by: 0.2}"
        )
    ((name, values),) = structures.vary.items()
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    steps = np.diff(numbers)
    if len(numbers) != len(values) or len(values) < 2 or np.ptp(steps) > 1e-6 or steps[0] <= 0:
        raise UserError(
            f"{path.name}: vary.{name} must be at least two rising numbers in even steps, such as "
            "{from: 0, to: 2, by: 0.2}"
        )
    return wanted, structures, name
