"""What any kind of data must do, for authors of one: checks on two signals of that kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from htinvert.core import Metric, Signal
from htinvert.signals.kind import Frame, Kind, shared_out
from htinvert.testing.conformance import require


def check_parts(kind: Any, *_: Any) -> None:
    """It has every part of :class:`htinvert.signals.kind.Kind`, and a name of one word."""
    require(isinstance(kind, Kind), f"{type(kind).__name__} lacks a part of the protocol Kind")
    require(kind.name.isidentifier(), f"the name {kind.name!r} is not one word")
    require("data" not in kind.keys.model_fields, "data is every experiment's own key")


def check_place(kind: Kind, _: Signal, observed: Signal, m: Metric) -> None:
    """Placed on itself nothing is left, and everywhere is a number where something was measured."""
    detail = m(observed, observed).detail
    placed = kind.place(observed, observed, m, detail)
    seen = np.isfinite(placed.patch)
    spread = float(np.nanstd(placed.patch)) or 1.0
    require(
        bool(np.abs(placed.residual[seen]).max() < 1e-3 * spread),
        "a signal placed on itself leaves a residual",
    )


def check_pieces(kind: Kind, simulated: Signal, observed: Signal, m: Metric) -> None:
    """Pieces are numbered from 0, more than one, and their shared costs have the cost as mean."""
    score = m(simulated, observed)
    placed = kind.place(simulated, observed, m, score.detail)
    shares = kind.shares(m, simulated, placed)
    pieces = kind.pieces(placed, shares.shape)
    require(pieces.shape == shares.shape, f"pieces {pieces.shape} but shares {shares.shape}")
    require(int(pieces.min()) == 0 and int(pieces.max()) > 0, "there is one piece only")
    mean = shared_out(shares, pieces, score.cost).mean()
    require(bool(np.isclose(mean, score.cost)), f"shared costs have mean {mean}, not {score.cost}")


def check_shown(kind: Kind, simulated: Signal, observed: Signal, m: Metric) -> None:
    """A figure, a page's frame with all its panels, and words with a unit."""
    from matplotlib.figure import Figure

    placed = kind.place(simulated, observed, m, m(simulated, observed).detail)
    figure = Figure(layout="constrained")
    kind.draw(figure, placed, title="shown", note="noted")
    require(bool(figure.axes), "the figure has no axes")
    frame = kind.frame(observed)
    require(isinstance(frame, Frame), "frame returns no Frame")
    panels: Mapping[str, str] = {"experiment": frame.experiment, **kind.panels(placed)}
    missing = sorted({name for name, _ in frame.panels} - set(panels))
    require(not missing, f"panels lacks {', '.join(missing)}")
    require(all(v.startswith("data:image/") for v in panels.values()), "a panel is no data URI")
    unit = observed.axes[-1].unit
    require(unit in kind.words(observed), f"words lack the unit {unit}")


CHECKS: tuple[Callable[..., None], ...] = (check_parts, check_place, check_pieces, check_shown)


def check_kind(kind: Any, simulated: Signal, observed: Signal, metric: Metric) -> None:
    """Run all of the checks. Raises :class:`~htinvert.testing.conformance.NotConforming`.

    ``simulated`` and ``observed`` are signals of that kind, ``metric`` one that compares them.
    """
    for check in CHECKS:
        check(kind, simulated, observed, metric)
