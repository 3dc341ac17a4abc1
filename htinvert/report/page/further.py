"""Which further measurement would decide between the families of a run that are left."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from htinvert import plugins
from htinvert.campaign.further import declared_further
from htinvert.core import Channel, EvaluationFailed, UserError
from htinvert.declaration.abilities import HasMisfit, HasUsual, LooksAlong
from htinvert.declaration.measurement import Measurement
from htinvert.forward.view import sides, view_frame
from htinvert.metrics.likelihood import Likelihood
from htinvert.ranking.decide import POOR, Decision
from htinvert.ranking.further import (
    DECISIVE,
    Foreseen,
    best_first,
    foresee,
    model_error_of,
    told_apart,
)
from htinvert.ranking.rank import Ranked
from htinvert.report.page.facts import Facts
from htinvert.signals.kind import kind_of

MOST = 5  # families that are compared, the first ones that are left
WORDS = ("radiation", "quantity", "absorber", "edge")  # that make another measurement
SAME_SIDE = 0.99  # cosine of two directions of a beam

Watched = Callable[[Sequence[Measurement]], Iterable[Measurement]]


@dataclass(frozen=True, eq=False)
class Further:
    """What further measurements would say of the families that are left, the best first.

    ``failed`` has a sentence on each that could not be simulated.
    """

    families: Sequence[Ranked]
    left: int
    foreseen: Sequence[Foreseen]
    failed: Sequence[str]


def further(
    facts: Facts, decision: Decision, *, declared: Path | None = None, watched: Watched = iter
) -> Further | None:
    """What would decide between the families that all data leave; None where one is left.

    ``declared`` is a file of measurements that are looked at instead of the usual ones.
    """
    left = [decision.ranked[i] for i in np.flatnonzero(decision.inside[-1]).tolist()]
    if len(left) < 2:
        return None
    families = left[:MOST]
    structures = [entry.evaluation.atoms for entry in families]
    foreseen: list[Foreseen] = []
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="htinvert-") as folder:
        if declared is not None:
            asked = declared_further(declared, facts.channels)
        else:
            asked, failed = proposed(facts, decision.ranked, Path(folder))
        for measurement in watched(asked):
            try:
                foreseen.append(foresee(structures, measurement))
            except (EvaluationFailed, UserError, ValueError) as error:
                failed.append(f"{measurement.name} cannot be simulated: {error}")
    return Further(families, len(left), best_first(foreseen), failed)


def proposed(
    facts: Facts, ranked: Sequence[Ranked], folder: Path
) -> tuple[list[Measurement], list[str]]:
    """More of the run's own data, its images from other sides, and what else is usually measured.

    The second list says which installed models have nothing to propose, and why.
    """
    atoms = ranked[0].evaluation.atoms
    found: list[Measurement] = []
    failed: list[str] = []
    for channel in facts.channels:
        found += _more(channel, ranked, facts.channels)
    for name in plugins.names("forward"):
        model: Any = plugins.find("forward", name)
        if not isinstance(model, HasUsual):
            continue
        try:
            asked = model.usual(atoms, folder)
        except (EvaluationFailed, UserError, ValueError) as error:
            failed.append(f"{name} has nothing to propose: {error}")
            continue
        found += [one for one in asked if not _is_known(one, facts.channels)]
    return found, failed


def _more(
    channel: Channel, ranked: Sequence[Ranked], channels: Sequence[Channel]
) -> list[Measurement]:
    """The same data again, and images as noisy from other sides."""
    judge = next(((n, m) for n, m in channel.metrics.items() if isinstance(m, HasMisfit)), None)
    if judge is None:
        return []
    name, metric = judge
    cost = min(entry.evaluation.objectives[f"{channel.name}.{name}"] for entry in ranked)
    floor = model_error_of(channel.forward)
    misfit = float(Likelihood(1.0, floor, metric.misfit == "cost").misfit(cost))
    noise = float(np.sqrt(max(misfit**2 - floor**2, 0.0)))
    source = "beyond the model error in the best fit to"
    white = kind_of(channel.forward).noise(channel.observed)
    if misfit > POOR * floor and white is not None:  # so much is no noise: nothing found fits
        share = white / float(np.nanstd(channel.observed.data))
        noise, source = (share, "white noise of") if share < noise else (noise, source)
    again = Measurement(
        f"{channel.name} once more",
        channel.forward,
        name,
        f"of {channel.name}",
        noise,
        said=f"noise {noise:.0%}, {source} {channel.name}",
        free=channel.free,
        method=channel.method,
        before=1.0,
    )
    forward: Any = channel.forward
    if not isinstance(forward, LooksAlong):
        return [again]
    looking: list[Any] = [one.forward for one in channels if isinstance(one.forward, LooksAlong)]
    taken = np.array([view_frame(one.beam, one.up)[2] for one in looking])
    turn = partial(replace, channel.forward)  # type: ignore[type-var]
    shifts = {n: (-1.0, 1.0) for n in ("shift_x", "shift_y") if hasattr(forward, n)}
    views = [
        replace(
            again,
            name=f"{channel.name} {words}",
            forward=turn(beam=beam, up=up),
            free=shifts,
            before=0.0,
        )
        for words, beam, up in sides(ranked[0].evaluation.atoms)
        if np.abs(taken @ view_frame(beam, up)[2]).max() < SAME_SIDE
    ]
    return [again, *views]


def _is_known(measurement: Measurement, channels: Sequence[Channel]) -> bool:
    """Whether the run has such data, or images of which :func:`_more` has the other sides."""
    forward = measurement.forward
    known: list[Any] = [channel.forward for channel in channels]
    if isinstance(forward, LooksAlong) and any(isinstance(one, LooksAlong) for one in known):
        return True
    words = [n for n in WORDS if hasattr(forward, n)]
    return any(
        type(one) is type(forward)
        and all(getattr(one, n) in (None, getattr(forward, n)) for n in words)
        for one in known
    )


def row(one: Foreseen) -> tuple[str, ...]:
    """A measurement in words: nats after one unit (least, middle), most, units to be decisive."""
    nats, needed = one.nats(1.0), one.needed()
    unit = one.measurement.unit
    return (
        one.measurement.name,
        f"1 {unit}" if not unit[0].isdigit() else unit,
        f"{told_apart(one)} of {len(nats)}",
        f"{nats.min():.1f}",
        f"{np.median(nats):.1f}",
        f"{np.median(one.most):.1f}",
        "never" if np.isinf(needed) else f"{needed:.2g}" if needed >= 1e-3 else "< 0.001",
    )


HEADS = (
    "measurement",
    "exposure",
    "pairs told\napart",
    "least\n[nats]",
    "middle\n[nats]",
    "at most\n[nats]",
    "exposures\nto 3 nats",
)


def further_table(found: Further) -> Any:
    """A rich table with a row per measurement."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    view = Table(title="what further would decide", title_justify="left", box=SIMPLE_HEAD)
    view.padding = (0, 1, 0, 0)
    for place, head in enumerate(HEADS):
        view.add_column(head, justify="right" if place > 1 else "left")
    for one in found.foreseen:
        view.add_row(*row(one))
    return view


def further_sentences(found: Further) -> list[str]:
    """What would decide, in words, what was assumed, and what could not be looked at."""
    pairs = len(found.families) * (len(found.families) - 1) // 2
    whole = "" if len(found.families) == found.left else f", the first of {found.left} left"
    said = [
        f"Between {len(found.families)} families{whole}: expected log-likelihood of the right one "
        f"above another, simulated; a pair is told apart by {DECISIVE:g} nats (20 to 1)."
    ]
    if found.foreseen:
        first = found.foreseen[0]
        name = first.measurement.name
        told = told_apart(first)
        said.append(
            f"Measure {name}: it would tell {told} of {pairs} pairs apart."
            if told
            else f"None of these would tell any pair apart; the most by {name}, "
            f"{float(first.nats(1.0).max()):.1f} nats."
        )
    assumed: dict[str, list[str]] = {}
    for one in found.foreseen:
        words = f"{one.measurement.said}, model error {one.floor:g}"
        assumed.setdefault(words, []).append(one.measurement.name)
    said += [f"Assumed: {words} ({', '.join(names)})." for words, names in assumed.items()]
    return [*said, *(f"{line}." for line in found.failed)]


def further_values(found: Further) -> dict[str, Any]:
    """The same as plain values."""
    return {
        "families": [entry.evaluation.candidate.index for entry in found.families],
        "measurements": [
            {
                "name": one.measurement.name,
                "unit": one.measurement.unit,
                "assumed": one.measurement.said,
                "points": one.points,
                "floor": one.floor,
                "nats": one.nats(1.0).tolist(),
                "most": one.most.tolist(),
                "units_to_decide": one.needed(),
            }
            for one in found.foreseen
        ],
        "failed": list(found.failed),
    }
