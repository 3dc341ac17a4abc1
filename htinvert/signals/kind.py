"""What can be done with a sort of data, whatever instrument made it.

A kind is one class, named in the entry-point group ``htinvert.kind``. A forward model says of what
kind its signals are by its class attribute ``kind``; without one they are images.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from htinvert import plugins
from htinvert.core import Floats, Metric, Signal, UserError
from htinvert.evaluation.placed import Placed

DEFAULT = "image"

Step = Callable[..., Signal]
"""A step of ``prepare``: a signal and parameters in, a signal out."""


class Part(BaseModel):
    """A block of the YAML, or what of one a kind of data may say; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Frame:
    """How a page shows an observed signal.

    Attributes:
        width: of the picture, in units of its own.
        height: the same.
        experiment: the observed signal as a data URI.
        panels: name and title of each picture of a simulation, in order.
        caption: what the colors and lines mean.
        bar: ``pixels`` and ``label`` of a bar for scale, None where axes have numbers.
    """

    width: float
    height: float
    experiment: str
    panels: tuple[tuple[str, str], ...]
    caption: str
    bar: Mapping[str, Any] | None = None


@runtime_checkable
class Kind(Protocol):
    """A sort of data: how it is read, laid over a simulation, cut into pieces, drawn, worded."""

    name: str
    keys: type[BaseModel]
    """What an experiment may say of such data besides what every one may."""
    steps: Mapping[str, Step]
    """What ``prepare`` may name."""

    def read(
        self, path: Path, keys: Any, prepare: Iterable[Mapping[str, Any]] = ()
    ) -> tuple[Signal, str]:
        """The prepared signal of a file, and a sentence on what the file holds.

        Raises :class:`UserError` where the file is missing, unreadable, or of another kind.
        """
        ...

    def place(
        self, simulated: Signal, observed: Signal, metric: Metric, detail: Mapping[str, float]
    ) -> Placed:
        """Both on one grid, at the place that the score's ``detail`` of ``metric`` says."""
        ...

    def shares(self, metric: Metric, simulated: Signal, placed: Placed) -> Floats:
        """Cost of each point [1] of a simulation at a place that is known.

        Their mean follows the metric's cost; NaN where nothing was measured.
        """
        ...

    def pieces(self, placed: Placed, shape: tuple[int, ...]) -> NDArray[np.intp]:
        """Number of the piece that each of the shares belongs to, of their ``shape``.

        Pieces are so large that one's residual says nothing of the next one's, so that they may be
        drawn with replacement.
        """
        ...

    def noise(self, observed: Signal) -> float | None:
        """Standard deviation of white noise per point, in the signal's unit; None if unknown."""
        ...

    def draw(self, figure: Any, placed: Placed, *, title: str, note: str = "") -> None:
        """Observation, simulation and residual with units, in a figure of matplotlib."""
        ...

    def frame(self, observed: Signal) -> Frame:
        """How a page shows the observed signal."""
        ...

    def panels(self, placed: Placed) -> dict[str, str]:
        """A data URI for each of the frame's panels."""
        ...

    def words(self, signal: Signal) -> str:
        """Size and range of a signal with units, such as ``120 x 110 px of 0.22 x 0.22 Å``."""
        ...


@runtime_checkable
class Repeating(Protocol):
    """A kind whose data may show the same thing more than once, as a crystal's image does."""

    def repeat_cost(self, metric: Metric, observed: Signal) -> float | None:
        """Cost of a part of the data against its own repeat, None where there is none."""
        ...


@functools.cache
def kind_named(name: str) -> Kind:
    """The kind of that name. Raises :class:`UserError` where none is installed."""
    found = plugins.find("kind", name)()
    if not isinstance(found, Kind):
        raise UserError(f"kind {name} lacks a part of htinvert.signals.kind.Kind; complete it")
    return found


def kind_of(forward: Any) -> Kind:
    """The kind of a forward model's signals, by the model or its class."""
    return kind_named(getattr(forward, "kind", DEFAULT))


def shared_out(shares: Floats, pieces: NDArray[np.intp], cost: float) -> Floats:
    """A cost shared out over pieces, shape (pieces,); its mean is the cost.

    Points that were not measured do not count, and pieces without any are left out. What is no
    point's, such as the shift of an image, all pieces have alike.
    """
    seen = np.isfinite(shares)
    counts = np.bincount(pieces[seen])
    sums = np.bincount(pieces[seen], weights=shares[seen])
    costs = sums[counts > 0] / counts[counts > 0]
    return np.asarray(costs + (cost - costs.mean()))
