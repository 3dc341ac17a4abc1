"""An experiment's image that is made of a scan of diffraction patterns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import field_validator

from htinvert.core import Signal, UserError
from htinvert.evaluation.steps import parse_step
from htinvert.image.plausible import check_steps
from htinvert.image.read import pre_processed
from htinvert.signals.defects import find_defects
from htinvert.signals.disk import find_disk
from htinvert.signals.pattern_file import words
from htinvert.signals.scan import PatternScan
from htinvert.signals.scan_keys import DetectorKeys, open_scan
from htinvert.signals.scan_steps import STEPS, centered, middle_pattern, prepare_scan
from htinvert.signals.virtual import REDUCTIONS


class DetectorPart(DetectorKeys):
    """How patterns are read of which an image is made.

    ``prepare`` are steps of the kind pattern, before the one that makes the image. Without
    ``disk`` or a step ``center`` the zero is the center of the bright disk.
    """

    prepare: tuple[dict[str, Any], ...] = ()

    @field_validator("prepare")
    @classmethod
    def _steps_are_known(cls, steps: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        for number, step in enumerate(steps, 1):
            try:
                parse_step(step, STEPS)
            except UserError as error:
                raise ValueError(f"step {number}: {error}") from error
        return steps


def reduces(step: Mapping[str, Any]) -> bool:
    """Whether a step makes an image of a scan of patterns."""
    return len(step) == 1 and next(iter(step)) in REDUCTIONS


def read_reduced(path: Path, keys: Any, steps: Sequence[Mapping[str, Any]]) -> tuple[Signal, str]:
    """The image that the first of the ``steps`` makes of a scan, after the others.

    ``keys`` are those of an image. Nothing but a block of the scan is held in memory at a time.

    Raises:
        UserError: where the file holds no scan, no step between places is known, a step does not
            fit, or nothing is left to compare.
    """
    part = keys.patterns or DetectorPart()
    if keys.signal is not None or keys.channel is not None:
        raise UserError(f"{path.name}: a scan has no signal or channel to choose; leave them out")
    step = keys.sampling if isinstance(keys.sampling, int | float) else None
    scan = located(open_scan(path, part, step=step), part)
    try:
        name, given = parse_step(steps[0], REDUCTIONS)
        image = REDUCTIONS[name](prepare_scan(scan, part.prepare), **given)
    except UserError as error:
        raise UserError(f"{path.name}: {error}") from error
    if isinstance(keys.sampling, tuple):
        image = Signal.image(image.data, keys.sampling)
    check_steps((image.axes[0].step, image.axes[1].step), path.name)
    image, notes = pre_processed(image, path.name, crop=keys.crop, prepare=steps[1:])
    said = (f"{path.name}: {words(scan)}", str(find_defects(scan.sample())), *notes)
    return image, "; ".join(part for part in said if part)


def located(scan: PatternScan, part: DetectorPart) -> PatternScan:
    """The scan with its zero at the center of the bright disk, unless a step or disk says it."""
    if part.disk is not None or any("center" in step for step in part.prepare):
        return scan
    try:
        found = find_disk(middle_pattern(scan))
    except UserError as error:
        raise UserError(
            f"{scan.name}: {error}, in patterns: {{prepare: [center: symmetry]}}"
        ) from error
    return centered(scan, (found.row, found.column))
