"""The image stage of one candidate: simulated, fitted, or taken over as it was simulated before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from ase import Atoms

from htinvert.core import Candidate, Channel, Score, Signal
from htinvert.evaluation.fit import fit, scores_of

FITS = 25  # signals simulated per parameter that is fitted for every candidate
COSTLY = 1.0  # s: a signal that takes as long is kept exactly unless the experiment says otherwise


@dataclass(frozen=True, eq=False)
class Imaged:
    """What a channel says of a structure: scores by metric, and the parameters fitted.

    ``signal`` simulates it where that was not done, and is None where nobody asks for it.
    ``exact`` is the :func:`imaging` of a signal that is to be kept bit for bit, else empty.
    """

    scores: Mapping[str, Score]
    parameters: dict[str, float]
    signal: Callable[[], Signal] | None
    exact: str = ""


def image(candidate: Candidate, channel: Channel, atoms: Atoms) -> Imaged:
    """Image and score the relaxed ``atoms`` of a candidate, as far as that is not known."""
    name, reused = channel.name, candidate.reused
    known = reused.signals.get(name) if reused else None
    if reused and name in reused.channels:
        named = {key.partition("."): score for key, score in reused.scores.items()}
        own = {metric: score for (of, _, metric), score in named.items() if of == name}
        return _kept(channel, own, dict(reused.parameters.get(name, {})), known)
    if known is not None:
        return _kept(channel, scores_of(channel, known), {}, known)
    if channel.free:
        start, most = candidate.start.get(name, {}), FITS * len(channel.free)
        fitted = fit(channel, atoms, start=start, max_evaluations=most)
        return Imaged(fitted.scores, fitted.parameters, lambda: fitted.forward(atoms))
    begun = perf_counter()
    signal = channel.forward(atoms)
    costly = perf_counter() - begun >= COSTLY
    exact = channel.keep == "exact" or (channel.keep == "auto" and costly)
    made = imaging(channel) if exact else ""
    return Imaged(scores_of(channel, signal), {}, lambda: signal, made)


def _kept(
    channel: Channel,
    scores: Mapping[str, Score],
    parameters: dict[str, float],
    known: Signal | None,
) -> Imaged:
    """With an exact signal that was kept before, which is kept again, or with none at all."""
    if known is None:
        return Imaged(scores, parameters, None)
    exact = "" if channel.keep == "best" else imaging(channel)
    return Imaged(scores, parameters, lambda: known, exact)


def imaging(channel: Channel) -> str:
    """Name of all that decides a channel's signal besides the structure, empty where not known.

    It is known where every parameter of the forward model is a plain value and none is fitted.
    """
    forward: Any = channel.forward
    if channel.free or not channel.imaging or not is_dataclass(forward):
        return ""
    values = {field.name: getattr(forward, field.name) for field in fields(forward)}
    try:
        text = json.dumps([channel.imaging, values], sort_keys=True, default=_plain)
    except TypeError:
        return ""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [value.dtype.str, value.tolist()]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no plain value")
