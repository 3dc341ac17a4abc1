"""The kind of 2D images (y, x) in Å: micrographs and scanning probe images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray
from pydantic import BaseModel, Field

from htinvert.core import Floats, Metric, Signal, UserError
from htinvert.evaluation.placed import Placed
from htinvert.image.draw import draw_image
from htinvert.image.evidence import local_costs, noise_level, repeat_cost, window_numbers
from htinvert.image.panels import bar, experiment, panels
from htinvert.image.place import place_image
from htinvert.image.prepare import STEPS
from htinvert.image.read import read_described
from htinvert.signals.correlated import blocks
from htinvert.signals.kind import Frame, Part, Step
from htinvert.signals.scan_image import DetectorPart, read_reduced, reduces
from htinvert.signals.virtual import REDUCTIONS

Crop = tuple[int, int, int, int]

TITLES = (
    ("experiment", "experiment"),
    ("fused", "simulation fused in"),
    ("simulated", "simulation alone"),
    ("residual", "simulation less experiment"),
)
CAPTION = (
    "One scale for all. Residual: red where the simulation is brighter, blue where the experiment "
    "is, full color at the range of the image."
)


class CalibrationPart(Part):
    """A crystal that the image shows: a structure and its zone axis [uvw] toward the viewer.

    ``region`` (top, bottom, left, right) [px] is the part to look at; ``tolerance`` is how far the
    pixel size may be from the one before, relative.
    """

    phase: dict[str, Any]
    zone: tuple[int, int, int]
    region: Crop | None = None
    tolerance: float | None = Field(default=0.1, gt=0)


class ImageKeys(Part):
    """What an experiment says of an image.

    ``signal`` names the one to take of a file with several, ``channel`` is the color or the frame
    of a series, ``sampling`` [Å/px] replaces the file's pixel size, ``crop`` is top, bottom, left,
    right [px]. ``calibrate`` measures the pixel size from a known crystal in the image first.
    ``place: auto`` finds the start structure in the image, whatever its turn, and appends to
    ``prepare`` what stands it upright. ``patterns`` says how patterns are read where ``prepare``
    begins with an image of a scan of them.
    """

    signal: str | None = None
    channel: int | None = Field(default=None, ge=0)
    sampling: float | tuple[float, float] | None = None
    crop: Crop | None = None
    calibrate: CalibrationPart | None = None
    place: Literal["auto"] | None = None
    patterns: DetectorPart | None = None


class Image:
    """Images are found in each other by registration, and judged by square windows of 3 Å."""

    name = "image"
    keys: type[BaseModel] = ImageKeys
    steps: Mapping[str, Step] = {**REDUCTIONS, **STEPS}

    def read(
        self, path: Path, keys: Any, prepare: Iterable[Mapping[str, Any]] = ()
    ) -> tuple[Signal, str]:
        """Read and prepare an image; see :func:`htinvert.image.read.read_described`.

        Where the first step makes one of a scan, the file is read as patterns.
        """
        prepare = list(prepare)
        if any(reduces(step) for step in prepare[1:]):
            raise UserError(
                f"{path.name}: virtual, com and idpc make an image of a scan, so only the first "
                "step of prepare can be one; steps before it belong into patterns: prepare"
            )
        if prepare and reduces(prepare[0]):
            return read_reduced(path, keys, prepare)
        if keys.patterns is not None:
            raise UserError(
                f"{path.name}: patterns says how a scan is read, so prepare must begin with a step "
                "that makes an image of it, such as virtual: {inner: 60, outer: 200}, com or idpc"
            )
        observed, source = read_described(
            path,
            sampling=keys.sampling,
            crop=keys.crop,
            signal=keys.signal,
            channel=keys.channel,
            prepare=prepare,
        )
        return observed, str(source)

    def place(
        self,
        simulated: Signal,
        observed: Signal,
        metric: Metric,  # noqa: ARG002  (the detail of an image's score says its place)
        detail: Mapping[str, float],
    ) -> Placed:
        """Where the registration put it, with gain and offset of least squares."""
        return place_image(simulated, observed, detail)

    def shares(self, metric: Metric, simulated: Signal, placed: Placed) -> Floats:
        """Local dissimilarity where the metric is one of SSIM, else squared normalized residual."""
        return local_costs(metric, simulated.data, placed.patch)

    def pieces(self, placed: Placed, shape: tuple[int, ...]) -> NDArray[Any]:
        """Blocks of four correlation lengths of the residual; of SSIM, windows of some 3 Å."""
        if shape == placed.matched.shape:
            return blocks(placed.residual, (0, 1))
        return window_numbers(shape, placed.observed.sampling)

    def noise(self, observed: Signal) -> float | None:
        """From the corners of the image's spectrum."""
        return noise_level(observed.data)

    def repeat_cost(self, metric: Metric, observed: Signal) -> float | None:
        """Of the image's middle against its best lattice repeat."""
        return repeat_cost(metric, observed)

    def draw(self, figure: Any, placed: Placed, *, title: str, note: str = "") -> None:
        """Experiment, simulation fused into it, residual."""
        draw_image(figure, placed, title=title, note=note)

    def frame(self, observed: Signal) -> Frame:
        """The image with a bar for scale."""
        ny, nx = observed.data.shape
        return Frame(nx, ny, experiment(observed), TITLES, CAPTION, bar(observed))

    def panels(self, placed: Placed) -> dict[str, str]:
        """Fused, alone and residual over the whole field."""
        return panels(placed)

    def words(self, signal: Signal) -> str:
        """Pixels, their size, and the field of view."""
        (ny, nx), (y, x) = signal.data.shape, signal.sampling
        return f"{ny} x {nx} px of {y:.4g} x {x:.4g} Å, {ny * y / 10:.2f} x {nx * x / 10:.2f} nm"


def calibration_asked(experiment: Any) -> CalibrationPart | None:
    """By what crystal an experiment is to be calibrated, if it is one of an image that says so."""
    return experiment.calibrate if isinstance(experiment, ImageKeys) else None


def require_image(experiment: Any) -> None:
    """Raise :class:`UserError` where an experiment's data is no image."""
    if not isinstance(experiment, ImageKeys):
        raise UserError(
            f"{experiment.data.name} is a {experiment.kind}, and this takes an image; check the "
            "experiment's forward model, or evaluate structures against it with htinvert run"
        )
