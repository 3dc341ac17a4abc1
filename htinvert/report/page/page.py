"""One HTML file about a run that opens offline anywhere: everything it needs is inside of it."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from htinvert.core import ENERGIES
from htinvert.energy.accuracy import Accuracy
from htinvert.metrics.likelihood import in_words, is_likely
from htinvert.ranking.bounds import SMOOTHED
from htinvert.ranking.decide import BEST, contenders
from htinvert.ranking.rank import Ranked, counts_of, fit_alone, raw_energies, unit_of_sum
from htinvert.report.demo import FOLDER as DEMO
from htinvert.report.figures import footnote, phrase
from htinvert.report.page import charts, checks, scenes
from htinvert.report.page.citations import citations, potential
from htinvert.report.page.decide import decided, draw_decision, sentences
from htinvert.report.page.facts import Facts
from htinvert.report.page.further import HEADS, further, further_sentences, row
from htinvert.report.page.surety import (
    Surety,
    assess,
    composition,
    faces,
    next_steps,
    stability,
    verdict,
    what_would_change,
)
from htinvert.report.potentials import references_of
from htinvert.report.save import drop_links
from htinvert.report.start import better_image, start_entry, start_words
from htinvert.report.summary import lineage
from htinvert.signals.kind import kind_of
from htinvert.signals.seen import Seen

TOP = 12  # families in the ranking table
MODELS = 60  # families whose structures are in the page
FRONT = 20  # families of the Pareto front beyond those compared that are pictured


def build(facts: Facts, engine: Accuracy, extra: Mapping[str, Any]) -> tuple[str, Surety | None]:
    """The page as text, and how sure the ranking is.

    ``extra`` holds what other parts have made: ``stages`` and ``scan`` tables, links to ``files``.
    """
    shown = _shown(facts.ranked)
    pictures: list[dict[str, Seen]] = []
    problems: list[str] = []
    compared = contenders(facts.ranked, facts.objectives)
    every = [*shown, *(entry for entry in compared if entry not in shown)]
    if not facts.missing:  # without experiments there are no images, yet energies to compare
        pictures, problems = scenes.signals_of(every, facts.channels)
    seen_of = {entry.rank: one for entry, one in zip(every, pictures, strict=False)}
    compared = [entry for entry in compared if entry.rank in seen_of]
    seen = [seen_of[entry.rank] for entry in compared]
    surety = assess(facts, compared, seen, engine) if compared else None
    context = {
        **_words(facts, surety),
        "problems": _problems(facts, problems),
        "ranking": ranking(facts, surety),
        "nats": is_likely(facts.objectives),
        "columns": [o.name for o in facts.objectives],
        "pareto": _pareto(facts, shown),
        "parallel": _parallel(facts),
        "families": len(facts.ranked),
        "pictured": len(shown),
        "models": _models(facts, shown, surety),
        "channels": _channels(facts, pictures),
        "floors": _floors(facts, surety),
        **_deciding(facts, engine, compared, seen),
        "data": _data(facts, shown, pictures),
        "checks": [checks.per_family(entry, facts) for entry in facts.ranked[:TOP]],
        "imaging": checks.imaging(facts, facts.ranked[0].evaluation.atoms),
        "strain": checks.strain(facts),
        "viewer": _asset("vendor/3Dmol-min.js"),
        "viewer_license": _asset("vendor/3Dmol-LICENSE.txt").strip(),
        "style": _asset("template/style.css"),
        "script": _asset("template/script.js"),
        **_search(facts, surety),
        **extra,
    }
    return _render(context), surety


def _deciding(
    facts: Facts, engine: Accuracy, ranked: Sequence[Ranked], seen: Sequence[dict[str, Seen]]
) -> dict[str, Any]:
    """What each datum leaves: a picture and sentences, empty where nothing is to be decided."""
    several = sum(o.weight > 0 and o.name not in ENERGIES for o in facts.objectives) > 1
    found = decided(facts, engine, ranked, seen) if several else None
    if found is None:
        return {"deciding": "", "decided": [], "wanted_words": []}
    wanted = further(facts, found)
    with tempfile.TemporaryDirectory(prefix="htinvert-") as folder:
        path = Path(folder) / "decide.png"
        draw_decision(path, found, title=facts.config.name)
        picture = base64.b64encode(path.read_bytes()).decode("ascii")
    return {
        "deciding": f"data:image/png;base64,{picture}",
        "decided": sentences(found, unit_of_sum(facts.objectives)),
        "wanted": [row(one) for one in wanted.foreseen] if wanted else [],
        "wanted_heads": [head.replace("\n", " ") for head in HEADS],
        "wanted_words": further_sentences(wanted) if wanted else [],
    }


def _problems(facts: Facts, problems: Sequence[str]) -> list[str]:
    """What speaks against the page as a whole: what is said first."""
    changed = [line for line in facts.changed.values() if line not in facts.missing]
    raw = raw_energies(facts.objectives, counts_of(facts.ranked), facts.potentials)
    said = (fit_alone(facts.objectives), raw, facts.missing, *changed, *problems)
    return [problem for problem in said if problem]


def _shown(ranked: Sequence[Ranked]) -> list[Ranked]:
    """Families that are pictured: the best, the rest of the Pareto front, the start structure."""
    rest = [entry for entry in ranked[BEST:] if entry.on_front]
    shown = [*ranked[:BEST], *rest[:FRONT]][:MODELS]
    start = start_entry(ranked)
    return shown if start is None or start in shown else [*shown, start]


def _render(context: Mapping[str, Any]) -> str:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(lambda name: _asset(f"template/{name}")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(context)


def _asset(name: str) -> str:
    return (files("htinvert.report.page") / name).read_text(encoding="utf-8")


def _words(facts: Facts, surety: Surety | None) -> dict[str, Any]:
    """Sentences and provenance."""
    plain = facts.config.model_dump(mode="json", exclude_none=True)
    return {
        "name": facts.config.name,
        "folder": facts.name,
        "verdict": verdict(facts, surety),
        "start": _start(facts, surety),
        "change": what_would_change(facts, surety),
        "next": next_steps(facts, surety),
        "stability": [*filter(None, (*stability(surety), faces(surety)))] if surety else [],
        "counts": f"{facts.done.good} evaluated, {facts.done.failed} failed, "
        f"{sum(facts.refused.values())} refused before any cost, {facts.pending} on their way; "
        f"{facts.done.seconds:.0f} core-seconds",
        "objectives": [
            {"name": o.name, "words": in_words(o), "unit": ENERGIES.get(o.name, "1")}
            for o in facts.objectives
        ],
        "potential": potential(plain),
        "chemical": _chemical(facts),
        "sources": citations(plain),
        "versions": facts.provenance.get("versions", {}),
        "python": facts.provenance.get("python", "not recorded"),
        "config_text": yaml.safe_dump(plain, sort_keys=False),
        "seed": facts.config.seed,
        "command": command(facts),
        "times": (facts.first_time, facts.last_time),
        "calibrated": [
            f"{name}: {found.sentence}; {found.evidence}"
            for name, found in facts.calibrations.items()
        ],
    }


def _chemical(facts: Facts) -> str:
    """Chemical potentials in words, and the phases that they follow from."""
    words = ", ".join(f"{symbol} {value:.4g} eV" for symbol, value in facts.potentials.items())
    found = references_of(facts.folder)
    return f"{words}. {str(found)[0].upper()}{str(found)[1:]}" if found is not None else words


def _start(facts: Facts, surety: Surety | None) -> list[str]:
    """Sentences on the start structure: its rank, and where it fits better than the answer."""
    words = start_words(facts.ranked, facts.objectives, facts.start_out())
    given = {name: limits.start for name, limits in surety.bounds.items()} if surety else {}
    return [words, *better_image(given, facts.ranked[0])]


def command(facts: Facts) -> str:
    """What reproduces the run, up to the order in which several workers finish."""
    origin = facts.folder / facts.provenance.get("folder", ".")
    if DEMO.resolve() in (origin.resolve(), facts.base and facts.base.resolve()):
        return f"htinvert demo --seed {facts.config.seed} --workers {facts.config.workers}"
    return f"htinvert run {facts.config.name}.yaml"


def ranking(facts: Facts, surety: Surety | None) -> list[dict[str, Any]]:
    """Rows of the ranking: what each family scores by everything, and how stable that is."""
    zero = {
        o.name: min(e.evaluation.objectives[o.name] for e in facts.ranked)
        for o in facts.objectives
        if o.name in ENERGIES
    }
    rows = []
    start = start_entry(facts.ranked[TOP:])
    last = [(_shown(facts.ranked).index(start), start)] if start else []
    for place, entry in [*enumerate(facts.ranked[:TOP]), *last]:
        values = entry.evaluation.objectives
        row: dict[str, Any] = {
            "rank": entry.rank,
            "number": place,
            "index": entry.evaluation.candidate.index,
            "composition": composition(entry),
            "values": [
                f"{values[o.name] - zero.get(o.name, 0.0):.4f}"
                if o.name not in ENERGIES
                else f"{values[o.name] - zero[o.name]:.3f}"
                for o in facts.objectives
            ],
            "details": "; ".join(
                f"{name}: {text}" if len(entry.evaluation.scores) > 1 else text
                for name, score in entry.evaluation.scores.items()
                if (text := phrase(score.detail))
            ),
            "above": f"{entry.above:.3f}",
            "front": entry.on_front,
            "members": entry.members,
            "first": entry.first,
        }
        if surety and len(surety.ranked) > 1 and entry in surety.ranked:
            at = surety.ranked.index(entry)
            row |= {
                "inside": bool(surety.claim.inside[at]),
                "p": f"{surety.claim.p_values[at]:.2f}",
                "weights": f"{surety.by_weights[at]:.0%}",
                "both": f"{surety.claim.by_both[at]:.0%}",
            }
        rows.append(row)
    return rows


def _pareto(facts: Facts, shown: Sequence[Ranked]) -> str:
    """The Pareto plot, empty where there is one objective."""
    if len(facts.objectives) < 2:
        return ""
    choices = {entry.rank: number for number, entry in enumerate(shown)}
    return charts.pareto(facts.ranked, facts.objectives, choices)


def _parallel(facts: Facts) -> str:
    """An axis per objective, empty where the Pareto plot has them all."""
    weighty = [objective for objective in facts.objectives if objective.weight]
    if len(weighty) < 3:
        return ""
    return charts.parallel(facts.ranked, weighty, unit_of_sum(facts.objectives))


def _models(facts: Facts, shown: Sequence[Ranked], surety: Surety | None) -> list[dict[str, Any]]:
    """The best families to look at: those that cannot be told apart first."""
    return [
        {
            "number": number,
            "rank": entry.rank,
            "index": entry.evaluation.candidate.index,
            "composition": composition(entry),
            "svg": scenes.projection(scenes.structure(entry, *facts.view)),
            "inside": bool(surety and number < len(surety.ranked) and surety.claim.inside[number]),
        }
        for number, entry in enumerate(shown[:6])
    ]


def _channels(facts: Facts, pictures: Sequence[Mapping[str, Seen]]) -> list[dict[str, Any]]:
    """One experiment each: its signal, size, scale bar, credit."""
    found = []
    for channel in facts.channels if pictures else ():
        kind = kind_of(channel.forward)
        frame = kind.frame(channel.observed)
        credit = facts.config.experiments[channel.name].credit
        metric = next(iter(channel.metrics.values()))
        found.append(
            {
                "name": channel.name,
                "width": frame.width,
                "height": frame.height,
                "experiment": frame.experiment,
                "panels": frame.panels,
                "bar": frame.bar,
                "caption": frame.caption,
                "what": kind.name.capitalize(),
                "credit": credit or "not given in the campaign (experiments.*.credit)",
                "definition": footnote(metric, "") or type(metric).__name__,
                "size": kind.words(channel.observed),
                "file": facts.files.get(channel.name, ""),
                "forward": str(channel.forward),
            }
        )
    return found


def _floors(facts: Facts, surety: Surety | None) -> list[dict[str, str]]:
    """Per image objective the cost of the best between its floor and its null models."""
    found = []
    for name, limits in surety.bounds.items() if surety else ():
        cost = facts.ranked[0].evaluation.objectives[name]
        items = [("noise alone", limits.floor[0], "floor"), ("best", cost, "best")]
        words = f"{name} {cost:.4f}; a perfect structure under this image's white noise would "
        words += f"score {limits.floor[0]:.4f} ± {limits.floor[1]:.4f}"
        if limits.noise < SMOOTHED:
            words += " (the image was smoothed, so its noise and this limit are too low)"
        if limits.repeat is not None:
            items.append(("image against its repeat", limits.repeat, "repeat"))
            words += f", the image's middle scores {limits.repeat:.4f} against its lattice repeat "
            words += "(both noisy)"
        if limits.start is not None:
            items.append(("start structure", limits.start, "null"))
            words += f", the start structure as given {limits.start:.4f}"
        if limits.scrambled:
            null = sum(limits.scrambled) / len(limits.scrambled)
            items.append(("scrambled", null, "null"))
            words += f", the same atoms at random places {null:.4f} (the best of "
            words += f"{len(limits.scrambled)} such: {min(limits.scrambled):.4f})"
        found.append({"name": name, "svg": charts.scale(items, words), "words": words + "."})
    return found


def _data(facts: Facts, shown: Sequence[Ranked], pictures: Sequence[Mapping[str, Seen]]) -> str:
    """What the page's script needs, as JSON."""
    families = []
    for number, entry in enumerate(shown):
        evaluation = entry.evaluation
        seen = pictures[number] if number < len(pictures) else {}
        values = ", ".join(
            f"{o.name} {evaluation.objectives[o.name]:.4f}" for o in facts.objectives
        )
        families.append(
            {
                "title": f"rank {entry.rank}, candidate #{evaluation.candidate.index}",
                "text": f"{composition(entry)} in the region; {values}; {entry.above:.3f} above "
                f"the best; candidates of it: {entry.members}, this one by {lineage(evaluation)}",
                "images": {name: one.kind.panels(one.placed) for name, one in seen.items()},
                "structure": scenes.structure(entry, *facts.view),
            }
        )
    return json.dumps({"families": families}, separators=(",", ":")).replace("<", "\\u003c")


def _search(facts: Facts, surety: Surety | None) -> dict[str, Any]:
    """History, operators, refusals, failures."""
    held = surety.faces if surety else facts.ranked[:1]
    met = [(facts.done.number_of(f.first), f.rank) for f in held[:8]]
    steps, (failures, examples) = facts.done.steps(), facts.done.failures()
    yields = facts.yields
    return {
        "course": charts.course(steps, facts.evaluated, met),
        "improvements": steps[::-1][:8],
        "yields": [
            {
                "name": y.operator,
                "proposed": y.proposed,
                "refused": y.refused.total(),
                "evaluated": y.evaluated,
                "failed": y.failed,
                "families": y.families,
                "improvements": y.improvements,
                "seconds": f"{y.seconds:.0f}" if y.seconds >= 10 else f"{y.seconds:.2g}",
            }
            for y in yields
        ],
        "refused": charts.shares(
            [
                (reason.replace("_", " "), float(n), str(n))
                for reason, n in sorted(facts.refused.items(), key=lambda item: -item[1])
            ]
        ),
        "failed": [
            {"reason": reason, "count": n, "example": examples[reason]}
            for reason, n in failures.most_common()
        ],
        "kept": min(facts.done.kept, facts.done.good),
        "all_kept": facts.done.good <= facts.done.kept,
        "unconverged": facts.done.unconverged,
        "families": len(facts.ranked),
    }


def write_page(path: Path, text: str) -> None:
    """Write the page at once, so that no half of it is ever read."""
    partial = path.with_name(path.name + ".partial")
    drop_links(partial)
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
