"""Compare candidates in pairs over many windows of one image: difference, standard error, verdict.

A figure of merit changes more from window to window than from candidate to candidate, and what one
window prefers may be its noise. Differences within one window leave that out; their mean over
windows that share no pixel has a standard error, by which a candidate is better or not (paired
comparison: Student, Biometrika 6, 1 (1908)). Contenders that are no structure say what a figure is
worth: null models, which know only the lattice, and the floor, which is the data's own average.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from ase import Atoms

from htinvert.core import Channel, EvaluationFailed, Floats, Metric, Signal, UserError
from htinvert.evaluation.fit import fit, with_steps
from htinvert.image.surface import SurfaceWindow

Role = Literal["candidate", "null", "floor"]

FEWEST = 10  # windows that a verdict takes
SIGNIFICANT = 3.0  # standard errors
ROLES = ("candidate", "null", "floor")
REFERENCE = "the reference"  # the verdict on what the others are compared with


@dataclass(frozen=True, eq=False)
class Contender:
    """What is compared: a structure with the forward model that shows it, a null, or the floor."""

    name: str
    atoms: Atoms
    forward: Any
    role: Role = "candidate"


@dataclass(frozen=True)
class Difference:
    """A contender against the reference, over windows.

    Attributes:
        name: of the contender.
        role: candidate, null or floor.
        cost: its mean over all windows.
        mean: of the difference to the reference, positive where the reference is better.
        error: standard error of that mean.
        wins: windows in which it is better than the reference.
        windows: in all.
    """

    name: str
    role: Role
    cost: float
    mean: float
    error: float
    wins: int
    windows: int

    @property
    def verdict(self) -> str:
        """What follows, in words."""
        if self.error == 0.0 and self.mean == 0.0:
            return REFERENCE
        if self.windows < FEWEST:
            return f"no verdict from less than {FEWEST} windows"
        if abs(self.mean) <= SIGNIFICANT * self.error:
            return "not separated"
        return "worse" if self.mean > 0 else "better"

    @property
    def ratio(self) -> float:
        """The mean in standard errors."""
        return self.mean / self.error if self.error else 0.0


@dataclass(frozen=True, eq=False)
class Comparison:
    """Costs of contenders in windows, shape (contenders, windows); nan where one failed."""

    contenders: tuple[Contender, ...]
    windows: tuple[SurfaceWindow, ...]
    costs: Floats
    measure: str = ""
    parameters: Mapping[tuple[str, int], Mapping[str, float]] = field(default_factory=dict)

    def row(self, name: str) -> Floats:
        """Costs of one contender, shape (windows,). Raises UserError for an unknown name."""
        names = [contender.name for contender in self.contenders]
        if name not in names:
            raise UserError(f"{name} is not among what was compared: {', '.join(names)}")
        return self.costs[names.index(name)]

    @property
    def best(self) -> str:
        """Name of the candidate with the lowest mean cost."""
        means = {
            c.name: np.nanmean(self.row(c.name))
            for c in self.contenders
            if c.role == "candidate" and np.isfinite(self.row(c.name)).any()
        }
        if not means:
            raise EvaluationFailed("no candidate could be fitted into any window")
        return min(means, key=lambda name: float(means[name]))

    def differences(self, reference: str | None = None) -> list[Difference]:
        """Every contender against one, the best candidate unless another is named.

        Windows in which either failed are left out.
        """
        own = self.row(reference or self.best)
        found = []
        for contender, costs in zip(self.contenders, self.costs, strict=True):
            both = np.isfinite(costs) & np.isfinite(own)
            apart = (costs - own)[both]
            count = len(apart)
            error = float(apart.std(ddof=1) / np.sqrt(count)) if count > 1 else float("nan")
            found.append(
                Difference(
                    contender.name,
                    contender.role,
                    float(np.nanmean(costs)) if both.any() else float("nan"),
                    float(apart.mean()) if count else float("nan"),
                    error,
                    int((apart < 0).sum()),
                    count,
                )
            )
        return sorted(found, key=lambda d: (ROLES.index(d.role), d.mean))


Refit = Callable[[Contender, Signal, SurfaceWindow], tuple[float, Mapping[str, float]]]


def compare(
    observed: Signal,
    contenders: Sequence[Contender],
    windows: Iterable[SurfaceWindow],
    *,
    refit: Refit,
    measure: str = "",
    observer: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Score every contender in every window of one image.

    Args:
        observed: the image.
        contenders: what is compared, each with its own forward model.
        windows: parts of the image; a paired comparison takes ones that share no pixel.
        refit: gives a contender's cost in a window, and the parameters it was fitted with: see
            :func:`in_place` and :func:`htinvert.image.compare_surfaces.refitted`.
        measure: what the cost is, in words.
        observer: told how many of how many are done.

    A contender that fails in a window has no cost there.
    """
    chosen = tuple(windows)
    check_apart(chosen)
    costs = np.full((len(contenders), len(chosen)), np.nan)
    parameters = {}
    for column, window in enumerate(chosen):
        for row, contender in enumerate(contenders):
            try:
                cost, found = refit(contender, observed, window)
            except EvaluationFailed:
                continue
            costs[row, column] = cost
            parameters[contender.name, column] = dict(found)
            if observer is not None:
                observer(column * len(contenders) + row + 1, len(chosen) * len(contenders))
    return Comparison(tuple(contenders), chosen, costs, measure, parameters)


def in_place(channel: Channel, *, metric: str | None = None) -> Refit:
    """One fit of the whole image per contender, then its cost in each window: for any channel.

    The channel's free parameters are fitted to the whole image, once; ``metric`` names the one that
    scores, the first unless it is given.
    """
    chosen = channel.metrics[metric] if metric else next(iter(channel.metrics.values()))
    images: dict[str, tuple[Signal, Mapping[str, float]]] = {}

    def refit(
        contender: Contender, observed: Signal, window: SurfaceWindow
    ) -> tuple[float, Mapping[str, float]]:
        if contender.name not in images:
            own = replace(channel, observed=observed, forward=contender.forward)
            fitted = fit(own, contender.atoms)
            image = fitted.forward(contender.atoms)
            if image.data.shape != observed.data.shape:
                raise UserError(
                    f"the simulated image of {contender.name} has {image.data.shape} px but the "
                    f"observed {observed.data.shape}; leave the forward model's shape out"
                )
            images[contender.name] = image, fitted.parameters
        image, parameters = images[contender.name]
        return windowed_cost(image, observed, window, chosen), parameters

    return refit


def windowed_cost(image: Signal, observed: Signal, window: SurfaceWindow, metric: Metric) -> float:
    """What a metric says of a window of two images of one shape."""
    simulated = window.cut(image)
    return metric(simulated, with_steps(window.cut(observed), simulated.sampling)).cost


def windows_of(
    shape: tuple[int, int], size: tuple[int, int], *, gap: int = 0
) -> list[SurfaceWindow]:
    """Windows of ``size`` (rows, columns) that share no pixel, as many as an image has room for.

    ``gap`` [px] stays free between them. What is left over is shared by the edges.
    """
    counts = [(have + gap) // (need + gap) for have, need in zip(shape, size, strict=True)]
    if min(counts) < 1:
        raise UserError(
            f"an image of {shape[0]} x {shape[1]} px has no room for a window of "
            f"{size[0]} x {size[1]}; take a smaller one"
        )
    margins = [
        (have - count * need - (count - 1) * gap) // 2
        for have, count, need in zip(shape, counts, size, strict=True)
    ]
    return [
        SurfaceWindow(
            margins[0] + row * (size[0] + gap), margins[1] + column * (size[1] + gap), *size
        )
        for row in range(counts[0])
        for column in range(counts[1])
    ]


def some(windows: Sequence[SurfaceWindow], most: int) -> list[SurfaceWindow]:
    """At most this many windows, evenly spread over the given ones."""
    count = min(most, len(windows))
    return [windows[int((index + 0.5) * len(windows) / count)] for index in range(count)]


def check_apart(windows: Sequence[SurfaceWindow]) -> None:
    """Raise :class:`UserError` where two windows share pixels, so that errors were too small."""
    for index, one in enumerate(windows):
        for other in windows[:index]:
            if (
                one.top < other.bottom
                and other.top < one.bottom
                and one.left < other.right
                and other.left < one.right
            ):
                raise UserError(f"{other} and {one} overlap; give windows that share no pixel")
