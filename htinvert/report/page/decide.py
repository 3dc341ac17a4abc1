"""Which datum of a run decides: a table, a picture, and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from htinvert.core import ENERGIES, UserError
from htinvert.energy.accuracy import Accuracy
from htinvert.metrics.likelihood import is_likely
from htinvert.ranking.confidence import LEVEL, declared_accuracy, stated
from htinvert.ranking.decide import Decision, contenders, decide
from htinvert.ranking.rank import Ranked, unit_of_sum
from htinvert.report.figures import pyplot
from htinvert.report.page.facts import Facts, read_run
from htinvert.report.page.further import Further, further, further_sentences, further_table
from htinvert.report.page.scenes import signals_of
from htinvert.report.save import drawn, save
from htinvert.report.terminal import counted_bar
from htinvert.signals.seen import Seen

SHOWN = 24  # families in the picture
LEFT, GONE, INK = "#00798c", "#e3e7ea", "#30363c"


def decided(
    facts: Facts, engine: Accuracy, ranked: Sequence[Ranked], seen: Sequence[dict[str, Seen]]
) -> Decision | None:
    """What each datum of a run leaves of families, whose signals are given; None of fewer than two.

    The run has two data at least.
    """
    weighty = [objective for objective in facts.objectives if objective.weight]
    return decide(ranked, seen, weighty, engine=engine) if len(ranked) > 1 else None


def show_decision(
    folder: Path,
    *,
    console: Any,
    error: tuple[float | None, float | None] = (None, None),
    declared: Path | None = None,
) -> tuple[Decision, Further | None]:
    """Print which data of a run leave which families, draw it into its folder; and what next.

    ``declared`` is a file of further measurements that are looked at instead of the usual ones.

    Raises :class:`UserError` where the folder is no run, or has fewer than two data or families, or
    an error of energies is given that likelihoods do not ask for.
    """
    facts = read_run(folder)
    if is_likely(facts.objectives) and error[0] is not None:
        raise UserError(
            f"{folder} ranks by likelihoods, where kT holds the error of an energy; leave "
            "--energy-error out, or run --fork with objectives: {energy: {kT: ...}} [eV]"
        )
    engine = stated(declared_accuracy(facts.config.energy), energy=error[0], position=error[1])
    several = sum(bool(objective.weight) for objective in facts.objectives) > 1
    chosen = contenders(facts.ranked, facts.objectives) if several and not facts.missing else []
    seen, _ = signals_of(chosen, facts.channels)
    found = decided(facts, engine, chosen[: len(seen)], seen)
    if found is None:
        why = facts.missing or "it has one objective, or one family, and nothing to decide between"
        raise UserError(f"{folder}: which datum decides cannot be said: {why}")
    console.print(decision_table(found, unit=unit_of_sum(facts.objectives)))
    off = [f"{name} {error} ({engine.name})." for name, error in found.misplaced.items()]
    for sentence in (*sentences(found, unit_of_sum(facts.objectives)), *off):
        console.print(sentence, soft_wrap=True)
    draw = partial(draw_decision, decision=found, title=facts.config.name)
    console.print(drawn(folder / "decide.png", draw), soft_wrap=True)
    with counted_bar(console) as bar:
        wanted = further(
            facts, found, declared=declared, watched=partial(bar.track, description="simulating")
        )
    if wanted is not None:
        console.print(further_table(wanted))
        for sentence in further_sentences(wanted):
            console.print(sentence, soft_wrap=True)
    return found, wanted


def decision_table(decision: Decision, *, unit: str = "") -> Any:
    """A rich table with a row per choice of data."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    view = Table(title=f"what is left at {LEVEL:.0%}", title_justify="left", box=SIMPLE_HEAD)
    view.padding = (0, 1, 0, 0)
    above = f"rank 1 above\nit [{unit}]" if unit else "rank 1\nabove it"
    for place, head in enumerate(
        ("data", "families\nleft", "lowest\nsum", "its joint\nrank", above)
    ):
        view.add_column(head, justify="right" if place else "left")
    for choice, left in zip(decision.choices, decision.left, strict=True):
        first = decision.first(choice)
        gap = sum(float(decision.worths[n][0] - decision.worths[n][first]) for n in choice)
        entry = decision.ranked[first]
        view.add_row(
            named(decision, choice),
            str(left),
            f"#{entry.evaluation.candidate.index}",
            str(entry.rank),
            f"{gap:.2f}",
        )
    view.caption = f"of {len(decision.ranked)} families, the best by all and by any choice of data"
    view.caption_justify = "left"
    return view


def named(decision: Decision, choice: Sequence[str]) -> str:
    """Data in words; ``all`` for all of them."""
    if len(choice) == len(decision.choices[-1]) > 1:
        return "all"
    return " + ".join(name.partition(".")[0].replace("_", " ") for name in choice)


def sentences(decision: Decision, unit: str = "") -> list[str]:
    """What decides, and whether the data can be of one structure."""
    left = dict(zip(decision.choices, decision.left, strict=True))
    whole = decision.choices[-1]
    found = [_deciding(decision, left[whole])]
    price = ", ".join(
        f"{name} {worth:.1f}" for name, worth in decision.price.items() if name not in ENERGIES
    )
    unit = unit or "of the sum"
    for name in decision.poor:
        best, floor = decision.misfits[name]
        found.append(
            f"Nothing that was found fits {name}: the best misfit is {best:.2f} where its model "
            f"errs by {floor:.2f}. Search longer, or doubt the model, before data are compared."
        )
    if decision.inconsistent:
        found.append(
            "The data are inconsistent: each is fitted by some family, and none is left by all of "
            f"them. What rank 1 pays against the best of each alone [{unit}]: {price}. They are "
            "not of one structure, or the right one was not found."
        )
    elif not decision.poor and len(decision.p_values) > 1:
        found.append(
            f"The data agree: what rank 1 pays against the best of each alone [{unit}]: {price}."
        )
    return found


def _deciding(decision: Decision, all_left: int) -> str:
    """Without which datum how many more families would be left."""
    whole = set(decision.choices[-1])
    without = {
        next(iter(whole - set(choice))): count
        for choice, count in zip(decision.choices, decision.left, strict=True)
        if len(choice) == len(whole) - 1
    }
    order = sorted(without, key=lambda name: -without[name])
    parts = ", ".join(f"{without[name]} without {named(decision, [name])}" for name in order)
    families = "family is" if all_left == 1 else "families are"
    return f"{all_left} {families} left by all data; {parts}."


def _shown(decision: Decision) -> list[int]:
    """Places of the families to draw, in their order: those first that some experiment leaves."""
    energies = [set(choice) <= set(ENERGIES) for choice in decision.choices]
    by_data = decision.inside[~np.array(energies)].any(axis=0)
    by_any = decision.inside.any(axis=0)
    order = [*np.flatnonzero(by_data).tolist(), *np.flatnonzero(by_any & ~by_data).tolist()]
    return sorted(order[:SHOWN])


def draw_decision(path: Path, decision: Decision, *, title: str) -> None:
    """Draw which choice of data leaves which family: a row per family, a column per choice."""
    plt = pyplot()
    shown = _shown(decision)
    names, choices = decision.choices[-1], decision.choices
    rows, columns = len(shown), len(choices)
    figure, (upper, lower) = plt.subplots(
        2,
        1,
        figsize=(1.9 + 0.36 * columns, 1.5 + 0.21 * rows + 0.26 * len(names)),
        height_ratios=(max(rows, 1), max(len(names), 1)),
        sharex=True,
        layout="constrained",
    )
    for x in range(columns):
        for y, i in enumerate(shown):
            color = LEFT if decision.inside[x, i] else GONE
            upper.plot(x, y, "s", ms=9, color=color)
        upper.text(x, -1.0, str(decision.left[x]), ha="center", va="center", fontsize=8, color=INK)
        used = [y for y, name in enumerate(names) if name in choices[x]]
        lower.plot([x] * len(names), range(len(names)), "o", ms=6, color=GONE)
        lower.plot([x] * len(used), used, "o-", ms=6, lw=1.5, color=INK)
    entries = [decision.ranked[i] for i in shown]
    labels = [f"rank {e.rank}, #{e.evaluation.candidate.index}" for e in entries]
    upper.set_yticks(range(rows), labels, fontsize=8)
    upper.set_ylim(rows - 0.4, -1.6)
    upper.set_xlim(-0.6, columns - 0.4)
    lower.set_yticks(range(len(names)), [named(decision, [n]) for n in names], fontsize=8)
    lower.set_ylim(len(names) - 0.5, -0.5)
    for axis in (upper, lower):
        axis.tick_params(length=0, bottom=False, labelbottom=False)
        axis.spines[:].set_visible(False)
    more = int(decision.inside.any(axis=0).sum()) - rows
    note = f", {more} more by few of them" if more > 0 else ""
    words = f"{title}\nfamilies left (blue) by the data marked below{note}"
    figure.suptitle(words, fontsize=8, x=0.02, ha="left")
    save(figure, path)
    plt.close(figure)
