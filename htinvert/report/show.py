"""Signals as a notebook shows them: the pictures of a report, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from htinvert.core import Signal, UserError
from htinvert.signals.kind import Frame, kind_named
from htinvert.signals.seen import Seen

HEIGHT = 260  # px of a picture in a notebook
KINDS = {1: "curve", 2: "image"}  # by the number of axes


@dataclass(frozen=True)
class Shown:
    """Pictures that a notebook shows beside each other."""

    html: str

    def _repr_html_(self) -> str:
        return self.html


def show(*signals: Signal, titles: Sequence[str] = ()) -> Shown:
    """Pictures of images, with a bar for scale, or of curves, for a notebook.

    ``titles`` are written below, one per signal. Raises :class:`UserError` for signals of other
    axes and another number of titles.

    >>> import numpy as np
    >>> noise = np.random.default_rng(0).random((40, 60))
    >>> show(Signal.image(noise, 0.2), titles=["noise"]).html.count("<figure")
    1
    """
    if titles and len(titles) != len(signals):
        raise UserError(f"there are {len(titles)} titles for {len(signals)} signals; give as many")
    figures = []
    for number, signal in enumerate(signals):
        if len(signal.axes) not in KINDS:
            raise UserError(f"a signal of {len(signal.axes)} axes is not shown; give one or two")
        kind = kind_named(KINDS[len(signal.axes)])
        frame = kind.frame(signal)
        title = titles[number] if titles else kind.words(signal)
        figures.append(_figure(frame, frame.experiment, title))
    return Shown(_row(figures))


def panels_of(seen: Seen) -> Shown:
    """What an experiment shows of a structure: experiment, simulation, difference."""
    frame = seen.kind.frame(seen.placed.observed)
    pictures = {"experiment": frame.experiment, **seen.kind.panels(seen.placed)}
    return Shown(_row([_figure(frame, pictures[key], title) for key, title in frame.panels]))


def _row(figures: Sequence[str]) -> str:
    return f'<div style="display:flex;flex-wrap:wrap;gap:12px">{"".join(figures)}</div>'


def _figure(frame: Frame, uri: str, title: str) -> str:
    """One picture with its title below and its bar for scale inside."""
    width, height, unit = frame.width, frame.height, frame.width / 100
    bar = ""
    if frame.bar:
        long, label = frame.bar["pixels"], escape(str(frame.bar["label"]))
        bar = (
            f'<rect x="{3 * unit}" y="{height - 12 * unit}" width="{long + 4 * unit}" '
            f'height="{10 * unit}" fill="#000" fill-opacity="0.65"/>'
            f'<rect x="{5 * unit}" y="{height - 4.6 * unit}" width="{long}" '
            f'height="{1.3 * unit}" fill="#fff"/>'
            f'<text x="{5 * unit + long / 2}" y="{height - 6 * unit}" font-size="{4.6 * unit}" '
            f'fill="#fff" text-anchor="middle">{label}</text>'
        )
    return (
        f'<figure style="margin:0"><svg viewBox="0 0 {width:g} {height:g}" height="{HEIGHT}" '
        f'role="img" aria-label="{escape(title)}"><image href="{uri}" width="{width:g}" '
        f'height="{height:g}" preserveAspectRatio="none"/>{bar}</svg>'
        f"<figcaption>{escape(title)}</figcaption></figure>"
    )
