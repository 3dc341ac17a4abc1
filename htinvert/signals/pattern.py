"""The kind of diffraction patterns (ky, kx), and of scans of them (y, x, ky, kx)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from htinvert.core import Floats, Signal, UserError
from htinvert.evaluation.placed import Placed
from htinvert.image.draw import caption, draw_bar, name_panels
from htinvert.image.panels import diverging, gray
from htinvert.signals.correlated import blocks
from htinvert.signals.equal_axes import place_equal, squared_shares
from htinvert.signals.kind import Frame, Step
from htinvert.signals.pattern_file import words
from htinvert.signals.pattern_steps import mean_pattern
from htinvert.signals.scan_keys import DetectorKeys, open_scan
from htinvert.signals.scan_steps import STEPS, prepare_scan

TITLES = (
    ("experiment", "experiment"),
    ("fused", "left half experiment, right half simulation"),
    ("simulated", "simulation alone"),
    ("residual", "simulation less experiment"),
)
CAPTION = (
    "Square root of the intensity, one scale for all; of a scan its mean. Residual: red where the "
    "simulation is brighter, blue where the experiment is, full color at half the range."
)


class PatternKeys(DetectorKeys):
    """What an experiment says of patterns; ``scan`` is the step between places [Å]."""

    scan: float | None = Field(default=None, gt=0)


class Pattern:
    """Patterns are compared pixel by pixel on equal axes, and judged by blocks of pixels."""

    name = "pattern"
    keys: type[BaseModel] = PatternKeys
    steps: Mapping[str, Step] = STEPS
    place = staticmethod(place_equal)
    shares = staticmethod(squared_shares)

    def read(
        self, path: Path, keys: Any, prepare: Iterable[Mapping[str, Any]] = ()
    ) -> tuple[Signal, str]:
        """Read, then prepare."""
        scan = open_scan(path, keys, step=keys.scan)
        try:
            pattern = prepare_scan(scan, prepare).load()
        except UserError as error:
            raise UserError(f"{path.name}: {error}") from error
        seen = pattern.data[np.isfinite(pattern.data)]
        if seen.size < 4 or np.ptp(seen) == 0:
            raise UserError(f"{path.name} is the same everywhere; check the file and its prepare")
        return pattern, f"{path.name}: {words(scan)}"

    def pieces(
        self,
        placed: Placed,
        shape: tuple[int, ...],  # noqa: ARG002  (shares are as many as pixels)
    ) -> NDArray[np.intp]:
        """Blocks of four correlation lengths along ky and kx, of each pattern apart."""
        return blocks(placed.residual, (-2, -1))

    def noise(self, observed: Signal) -> float | None:
        """From second differences along kx, which a smooth pattern has none of."""
        second = np.diff(observed.data.astype(float), 2, axis=-1)
        second = second[np.isfinite(second)]
        return float(np.sqrt(np.median(second**2) / (0.4549 * 6.0))) if second.size else None

    def draw(self, figure: Any, placed: Placed, *, title: str, note: str = "") -> None:
        """Experiment, simulation and residual on a scale of square roots, with a bar in 1/Å."""
        from matplotlib.colors import PowerNorm

        observed, matched, residual = _means(placed)
        ny, nx = observed.shape
        panel = min(max(3.0, 3.4 * nx / ny), 5.0)  # inches
        figure.set_size_inches(3 * panel + 2.0, panel * ny / nx + 1.2)
        axes = figure.subplots(1, 3)
        low, high = _range(observed)
        norm = PowerNorm(0.5, vmin=low, vmax=high, clip=True)
        span = 0.5 * (high - low)
        shown = axes[0].imshow(observed, cmap="inferno", norm=norm, interpolation="nearest")
        axes[1].imshow(matched, cmap="inferno", norm=norm, interpolation="nearest")
        apart = axes[2].imshow(residual, cmap="RdBu_r", vmin=-span, vmax=span)
        figure.colorbar(shown, ax=axes[:2], fraction=0.03, pad=0.01, label="intensity (root scale)")
        figure.colorbar(apart, ax=axes[2], fraction=0.046, pad=0.02, label="residual")
        draw_bar(axes[0], observed.shape, *bar(placed.observed))
        scan = "" if placed.observed.data.ndim == 2 else ", mean of the scan"
        names = (f"experiment{scan}", f"simulation{scan}", "simulation - experiment")
        name_panels(axes, names)
        caption(figure, title, note)

    def frame(self, observed: Signal) -> Frame:
        """The mean pattern with a bar for scale."""
        image = mean_pattern(observed)
        ny, nx = image.shape
        pixels, label = bar(observed)
        shown = gray(_root(image, *_range(image)), 0.0, 1.0)
        return Frame(nx, ny, shown, TITLES, CAPTION, {"pixels": pixels, "label": label})

    def panels(self, placed: Placed) -> dict[str, str]:
        """Halves side by side, the simulation alone, the residual; all over the whole frame."""
        whole = mean_pattern(placed.observed)
        low, high = _range(whole)
        _, matched, residual = _means(placed)
        rows, columns = placed.window[-2:]
        alone, apart = np.full(whole.shape, np.nan), np.full(whole.shape, np.nan)
        alone[rows, columns], apart[rows, columns] = matched, residual
        half = whole.shape[1] // 2
        both = whole.copy()
        both[:, half:] = np.where(np.isfinite(alone), alone, whole)[:, half:]
        return {
            "fused": gray(_root(both, low, high), 0.0, 1.0),
            "simulated": gray(_root(alone, low, high), 0.0, 1.0),
            "residual": diverging(apart, 0.5 * (high - low)),
        }

    def words(self, signal: Signal) -> str:
        """Pixels, their size, and the scan."""
        return words(signal)


def bar(observed: Signal) -> tuple[float, str]:
    """Pixels and label of a bar of a round length, about a fifth of the width."""
    axis, width = observed.axes[-1], observed.data.shape[-1]
    power = 10.0 ** np.floor(np.log10(0.25 * width * axis.step))
    length = max(power * f for f in (1, 2, 5) if power * f <= 0.25 * width * axis.step + 1e-12)
    return length / axis.step, f"{length:g} {axis.unit}"


def _means(placed: Placed) -> tuple[Floats, Floats, Floats]:
    """Observed, simulated and residual where both are, averaged over the scan: (ny, nx) each."""
    parts = (placed.patch, placed.matched, placed.residual)
    observed, matched, residual = (p.reshape(-1, *p.shape[-2:]).mean(axis=0) for p in parts)
    return observed, matched, residual


def _range(image: Floats) -> tuple[float, float]:
    """Values that are shown black and white; one bright pixel in a thousand may be beyond."""
    low, high = np.nanpercentile(image, (0.5, 99.9))
    low = max(low, 0.0) if high > 0.0 else low
    return float(low), float(max(high, low + 1e-30))


def _root(image: Floats, low: float, high: float) -> Floats:
    """Square root of the share of the range, 0 to 1."""
    return np.sqrt(np.clip((image - low) / (high - low), 0.0, 1.0))
