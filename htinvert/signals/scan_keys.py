"""What an experiment says of a detector of patterns, and how a file is opened so."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from htinvert.core import UserError
from htinvert.signals.kind import Part
from htinvert.signals.pattern_file import open_patterns
from htinvert.signals.scan import PatternScan
from htinvert.signals.scan_steps import scaled

Places = Annotated[int, Field(ge=1)]
FLATTER = 0.5  # of the other's contrast: what the sum over the detector's axes has


class DetectorKeys(Part):
    """What is said of the detector that patterns were recorded with.

    ``sampling`` is the step per pixel (y, x) in ``unit``; in its place ``disk``, the radius of the
    bright disk [mrad], finds center and step in the mean pattern. ``places`` are rows and columns
    of the scan where a file holds frames in a row; ``exchanged`` says that a file has the axes of
    the scan last, or, where it is false, that it has not.
    """

    sampling: float | tuple[float, float] | None = None
    unit: Literal["1/Å", "1/nm", "mrad"] | None = None
    disk: float | None = Field(default=None, gt=0)
    places: tuple[Places, Places] | None = None
    exchanged: bool | None = None


def open_scan(path: Path, keys: Any, *, step: float | None, bare: bool = False) -> PatternScan:
    """The patterns of a file as an experiment's keys say; ``step`` [Å] is that of the scan.

    Raises:
        UserError: as :func:`htinvert.signals.pattern_file.open_patterns`, and where no disk is
            found, or the axes of scan and detector seem to be exchanged.
    """
    if keys.disk is not None and keys.sampling is not None:
        raise UserError("disk finds the step per pixel, and sampling says it; leave one out")
    scan = open_patterns(
        path,
        sampling=keys.sampling,
        unit=keys.unit,
        scan=step,
        places=keys.places,
        exchanged=bool(keys.exchanged),
        bare=bare or keys.disk is not None,
    )
    if keys.exchanged is None and _seem_exchanged(scan):
        raise UserError(
            f"{path.name} seems to have the axes of the scan last: its sum over the first two axes "
            "has a bright disk, and that over the last two is flat; set exchanged: true (or false, "
            "if they are right)"
        )
    try:
        return scan if keys.disk is None else scaled(scan, keys.disk)
    except UserError as error:
        raise UserError(f"{path.name}: {error}") from error


def _seem_exchanged(scan: PatternScan) -> bool:
    """Whether the first two axes have the contrast of a detector, and the last two none.

    All electrons land on the detector wherever the beam stops, so that a scan's sum over it is
    nearly flat, while a mean pattern has a disk and dark around it.
    """
    if len(scan.places) != 2 or min(scan.places) < 4:
        return False
    sample = scan.sample().data
    sums, mean = sample.sum(axis=(1, 2), dtype=float), sample.mean(axis=0, dtype=float)
    return _contrast(sums) * FLATTER > _contrast(mean)


def _contrast(values: NDArray[np.float64]) -> float:
    values = values[np.isfinite(values)]
    mean = float(values.mean()) if values.size else 0.0
    return float(values.std() / mean) if mean > 0 else 0.0
