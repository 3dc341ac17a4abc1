"""A campaign as a table: the structure, the region, the experiments and the search."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, is_dataclass
from typing import Any

from htinvert.campaign.defaults import why
from htinvert.campaign.plan import Plan, has_start
from htinvert.cluster.needs import LOCAL, engine_memory, machine_memory
from htinvert.declaration.abilities import HasEstimate
from htinvert.energy.offer import offer_of
from htinvert.geometry.roles import frozen_mask, region_mask, rigid_bodies
from htinvert.metrics.likelihood import in_words
from htinvert.signals.kind import kind_of


def plan_table(plan: Plan) -> Any:
    """A table of the structure, the region, the experiments and the search."""
    from rich.table import Table

    space, config = plan.space, plan.config
    atoms = space.template
    view = Table(title=f"campaign {config.name}", title_justify="left", show_header=False)
    lengths = " x ".join(f"{length:.3f}" for length in atoms.cell.lengths())
    formula = atoms.get_chemical_formula() or "an empty box"
    view.add_row("structure", f"{formula}, cell {lengths} Å, {len(atoms)} atoms")
    held = f"{int(frozen_mask(atoms).sum())} atoms frozen"
    held += "".join(f", {len(b.index)} rigid along {b.move}" for b in rigid_bodies(atoms))
    inside = Counter(atoms.symbols[region_mask(atoms)])
    holds = ", ".join(f"{count} {symbol}" for symbol, count in sorted(inside.items())) or "nothing"
    if space.region is None:
        view.add_row("region", "the whole cell")
    else:
        region = space.region
        view.add_row(
            "region",
            f"{region.lower:g} to {region.upper:g} Å along {region.axis}, holds {holds}; "
            f"{region.margin:g} Å around it relax, {held}",
        )
    ranges = ", ".join(
        f"{low}-{high} {s}" if low < high else f"{low} {s}"
        for s, (low, high) in space.composition.items()
    )
    view.add_row("composition", f"{ranges} inside the region")
    closest = ", ".join(
        f"{'-'.join(sorted(pair) * (3 - len(pair)))} {d:.2f}"
        for pair, d in space.min_distance.items()
    )
    view.add_row("distances", f"at least {closest} [Å]")
    view.add_row("energy", _component(config.energy))
    if (offer := offer_of(plan.recipe.energy)) is not None:
        view.add_row("", str(offer))
    each = engine_memory(plan.recipe.energy, atoms)
    if each is not None and config.cluster in (None, LOCAL):  # elsewhere it is another machine's
        view.add_row("", _memory(each, max(config.workers, 1)))
    for channel in plan.recipe.channels:
        experiment = config.experiments[channel.name]
        words = kind_of(channel.forward).words(channel.observed)
        view.add_row(channel.name, f"{experiment.data}, {words}")
        view.add_row("", plan.files[channel.name])
        view.add_row("", _model(experiment.forward, channel.forward))
        if has_start(plan) and isinstance(channel.forward, HasEstimate):
            view.add_row("", str(channel.forward.estimate(atoms)))
    view.add_row("objectives", _objectives(plan))
    _generators(view, plan)
    return view


def _memory(each: float, workers: int) -> str:
    """What the workers' engines take of the machine's memory, in words."""
    there = machine_memory()
    text = f"{workers} workers take about {each * workers:.2g} of {there:.0f} GB of memory"
    return text if each * workers < there else f"{text}: too much; choose fewer workers"


def _model(spec: dict[str, Any], forward: Any) -> str:
    """What was asked of a forward model, and the numbers and words that it takes by itself."""
    rest = (
        {f.name: getattr(forward, f.name) for f in fields(forward)} if is_dataclass(forward) else {}
    )
    plain = {name: value for name, value in rest.items() if isinstance(value, int | float | str)}
    taken = ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in plain.items()
        if value and name not in spec
    )
    return f"{_component(spec)}; besides: {taken}" if taken else _component(spec)


def _component(spec: dict[str, Any]) -> str:
    rest = ", ".join(f"{key} {_in_words(value)}" for key, value in spec.items() if key != "use")
    return f"{spec['use']} ({rest})" if rest else str(spec["use"])


def _in_words(value: Any) -> str:
    """A value of the file as it stands there, without Python's quotes."""
    if isinstance(value, dict) and "use" in value:
        return _component(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_in_words(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_in_words, value)) + "]"
    return str(value)


def _objectives(plan: Plan) -> str:
    """Weights and names; derived weights follow once the start structure is fitted."""
    if plan.config.objectives is None and plan.recipe.channels:
        names = ", ".join(o.name for o in plan.objectives)
        return f"{names}; weights by noise and window, below"
    return ", ".join(map(in_words, plan.objectives))


def _generators(view: Any, plan: Plan) -> None:
    """Rows on who proposes, and why where the file does not say."""
    config = plan.config
    view.add_row("search", "; ".join(_component(g) for g in config.search.generators))
    if reason := why(config, plan.recipe.channels):
        view.add_row("", f"the default, because {reason}")
