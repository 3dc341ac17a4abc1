"""How sure a run's ranking is, in numbers and in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from htinvert.core import ENERGIES, Objective, Region
from htinvert.energy.accuracy import CLASSES, UNKNOWN, Accuracy
from htinvert.geometry.duplicates import displacement
from htinvert.geometry.roles import region_mask
from htinvert.ranking.bounds import Bounds, bounds
from htinvert.ranking.confidence import (
    Claim,
    Evidence,
    by_weights,
    claim,
    energy_weight,
    weight_range,
)
from htinvert.ranking.decide import BEST
from htinvert.ranking.evidence import gather
from htinvert.ranking.rank import Ranked
from htinvert.report.page.facts import Facts
from htinvert.signals.seen import Seen

FIRM = 0.9  # share of draws that keep the first place, from which on data of this kind suffice
LATE = 0.8  # of all evaluations, after which a best is met late


@dataclass(frozen=True, eq=False)
class Surety:
    """What is known of the ranking's certainty; ``claim`` is None where no image could be made.

    ``by_weights`` is the share of weights in which each of the compared families is the first;
    ``ranges`` the factors of each weight between which the first stays the first; ``bounds`` what
    each image objective's cost is to be read between; ``better`` how many
    families the set would hold with a better class of engine that gave the same numbers;
    ``evidence`` what the claim rests on.
    """

    ranked: Sequence[Ranked]
    claim: Claim
    engine: Accuracy
    by_weights: NDArray[np.float64]
    ranges: Mapping[str, tuple[float, float]]
    bounds: Mapping[str, Bounds]
    better: Mapping[str, int]
    evidence: Evidence

    @property
    def faces(self) -> list[Ranked]:
        """The families of the claimed set, the best first."""
        return [
            entry for entry, inside in zip(self.ranked, self.claim.inside, strict=True) if inside
        ]


def assess(
    facts: Facts, ranked: Sequence[Ranked], seen_of: Sequence[dict[str, Seen]], engine: Accuracy
) -> Surety:
    """Compare families, the best first, whose signals are given."""
    evidence = gather(ranked, seen_of, facts.objectives, engine=engine)
    region = Region(**facts.config.region.model_dump()) if facts.config.region else None
    start = facts.start()
    found = {}
    for objective in facts.objectives:
        name, _, metric = objective.name.partition(".")
        if metric and name in seen_of[0]:
            seen = seen_of[0][name]
            found[objective.name] = bounds(
                seen.channel.metrics[metric], seen, region=region, start=start
            )
    return Surety(
        ranked,
        claim(evidence),
        engine,
        by_weights(ranked, facts.objectives),
        {o.name: weight_range(facts.ranked, facts.objectives, o.name) for o in facts.objectives},
        found,
        _better(evidence, engine),
        evidence,
    )


def _better(evidence: Evidence, engine: Accuracy) -> dict[str, int]:
    """Sizes of the set with the better classes of engine; none in nats, where kT has its error."""
    found: dict[str, int] = {}
    if evidence.nats:
        return found
    for name, better in CLASSES.items():
        if better.energy < engine.energy and better.position < engine.position:
            ratio = {
                "energy": better.energy / engine.energy,
                "position": better.position / engine.position,
            }
            errors = {kind: ratio[kind] * rows for kind, rows in evidence.engine.items()}
            found[name] = int(claim(replace(evidence, engine=errors)).inside.sum())
    return found


def composition(entry: Ranked) -> str:
    """What a family's region holds, such as ``Cd4Te3``; all of the structure without one."""
    atoms = entry.evaluation.atoms
    inside = region_mask(atoms)
    counts = Counter((atoms[inside] if inside.any() else atoms).get_chemical_symbols())
    return "".join(f"{s}{n if n > 1 else ''}" for s, n in sorted(counts.items())) or "nothing"


def verdict(facts: Facts, surety: Surety | None) -> str:
    """What was found and how sure it is, in one sentence."""
    best = facts.ranked[0]
    name = f"Candidate #{best.evaluation.candidate.index} ({composition(best)} in the region)"
    if surety is None:
        return (
            f"{name} is the best of {len(facts.ranked)} families by weighted sum; how sure that is "
            f"cannot be said without the images{' that it was made with' * bool(facts.changed)}."
        )
    level = surety.claim.level
    others = [face for face in surety.faces if face is not surety.ranked[0]]
    shown = min(len(facts.ranked), len(surety.ranked))
    if shown < 2:
        return (
            f"{name} is the only family that was found; how sure that is cannot be said without "
            "others to compare it with: search longer (htinvert run with --more)."
        )
    if not others:
        rest = f"none of the {shown - 1} next best" if shown > 2 else "not the other"
        return (
            f"{name} stands alone: at {level:.0%} confidence {rest} of "
            f"{len(facts.ranked)} families can take its place, if energies err no more than stated."
        )
    rest = ", ".join(f"#{f.evaluation.candidate.index} ({composition(f)})" for f in others[:3])
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    return (
        f"{name} ranks first, but {1 + len(others)} families cannot be told apart at {level:.0%} "
        f"confidence: it, {rest}{more}."
    )


def faces(surety: Surety) -> str:
    """What the families of the set are made of, and how far apart; empty where there is one."""
    if len(surety.faces) < 2:
        return ""
    counts = Counter(composition(entry) for entry in surety.faces)
    listed = ", ".join(f"{n} of {name}" for name, n in counts.most_common())
    best = surety.faces[0].evaluation.atoms
    like = [e for e in surety.faces[1:] if composition(e) == composition(surety.faces[0])]
    text = f"The {len(surety.faces)} families: {listed}"
    if like:
        apart = [displacement(e.evaluation.atoms, best) for e in like]
        text += "; those of the best's composition are "
        text += f"{min(apart):.2f} to {max(apart):.2f} Å (rms) from it"
    return text + "."


def what_would_change(facts: Facts, surety: Surety | None) -> list[str]:
    """Sentences on what would make another family the best, the nearest first."""
    if surety is None:
        return [facts.missing] if facts.missing else []
    if len(facts.ranked) < 2:
        return ["Only one family was found: a longer search is what could change the answer."]
    found = [_rival(facts, surety)]
    for objective in facts.objectives:
        low, high = surety.ranges[objective.name]
        if len(facts.objectives) > 1 and (low > 0.2 or high < 5.0):
            found.append(
                f"It stays the best while the weight of {objective.name} ({_weight(objective)}) is "
                f"multiplied by {low:.2g} to {_times(high)}."
            )
    found += potentials(facts, surety)
    if len(facts.ranked) > len(surety.ranked) and surety.claim.inside[:BEST][-1]:
        found.append(f"The set may be larger: only {len(surety.ranked)} families were compared.")
    return found


def next_steps(facts: Facts, surety: Surety | None) -> list[str]:
    """Sentences on what to measure, compute or search next; empty where nothing is known of it."""
    found = []
    if surety is not None and len(surety.faces) > 1:
        by_data, by_engine = surety.claim.by_image[0], surety.claim.by_engine[0]
        if not facts.channels:
            found.append("Measure: energies alone rank here; an image, a curve or a pattern could.")
        elif by_data >= FIRM:
            found.append(
                f"Measure: more data of the same kind would hardly help, as {by_data:.0%} of draws "
                "from these keep the first place; another direction of view or another kind of "
                "data could."
            )
        else:
            engine = f" ({by_engine:.0%} of the engine's errors do)"
            found.append(
                f"Measure: only {by_data:.0%} of draws from the data keep the first place"
                f"{engine * (not surety.evidence.nats)}: take a longer exposure or larger "
                "range, another direction of view, another kind of data."
            )
        if surety.better:
            sizes = [f"{size} with {name} energies" for name, size in surety.better.items()]
            found.append(
                f"Compute: of these {len(surety.faces)} families a better engine would leave "
                f"{', '.join(sizes[::-1])}, if energies came out the same: refine the best with "
                "one (a second campaign with the generator store)."
            )
    last = facts.done.steps()[-1].after
    if last > LATE * facts.evaluated:
        found.append(
            "Search longer (htinvert run with --more): the best was met late, in evaluation "
            f"{last} of {facts.evaluated}."
        )
    return found


def potentials(facts: Facts, surety: Surety) -> list[str]:
    """The nearest chemical potential at which another composition would be the best, per element.

    An energy falls by one potential per atom, so where sums cross is exact.
    """
    best, found = surety.ranked[0], []
    counts = [Counter(entry.evaluation.atoms.get_chemical_symbols()) for entry in surety.ranked]
    for element, value in facts.potentials.items():
        crossings = []
        for entry, count in zip(surety.ranked[1:], counts[1:], strict=True):
            atoms, scored = entry.evaluation.atoms, entry.evaluation.objectives
            slope = energy_weight(facts.objectives, atoms, scored) * count[element]
            slope -= counts[0][element] * energy_weight(
                facts.objectives, best.evaluation.atoms, best.evaluation.objectives
            )
            if abs(slope) > 1e-9:
                crossings.append((entry.above / slope, entry))
        if crossings:
            change, entry = min(crossings, key=lambda pair: abs(pair[0]))
            found.append(
                f"With the chemical potential of {element} at {value + change:.3f} eV instead of "
                f"{value:g}, #{entry.evaluation.candidate.index} ({composition(entry)}) would be "
                "the best."
            )
    return found


def _rival(facts: Facts, surety: Surety) -> str:
    """By how much the runner-up would have to be better, against what is uncertain."""
    order = np.argsort(-surety.claim.p_values, kind="stable")
    place = next(int(i) for i in order if i != 0)
    rival = surety.ranked[place]
    weight = energy_weight(facts.objectives, rival.evaluation.atoms, rival.evaluation.objectives)
    error = float(surety.claim.errors[place])
    gap = rival.above
    number = rival.evaluation.candidate.index
    text = f"The nearest rival is #{number} ({composition(rival)}), {gap:.2f} above in the sum, "
    text += f"where the two scatter by {error:.2f}"
    if weight > 0:
        text += f"; it would be the best if its energy were {gap / weight:.2f} eV lower"
    image = next((o for o in facts.objectives if o.name not in ENERGIES and o.weight > 0), None)
    if image is not None and image.likelihood is None:
        text += f", or its {image.name} lower by {gap / image.weight:.4f}"
    return text + "."


def stability(surety: Surety) -> list[str]:
    """Shares of draws in which the best stays the best, one sentence per source of doubt.

    None where there is one family, which nothing could take the place of.
    """
    if len(surety.ranked) < 2:
        return []
    found, engine = surety.claim, surety.engine
    by_data = f"{found.by_image[0]:.0%} of bootstraps of the data keep it first"
    weights = (
        f"{surety.by_weights[0]:.0%} of weights between a third and three times those given do."
    )
    if surety.evidence.nats:
        off = surety.evidence.misplaced.items()
        return [
            f"{by_data}; kT holds the error of energies.",
            weights,
            *(f"{name} {error} ({engine.name})." for name, error in off),
        ]
    named = engine.name
    if engine == UNKNOWN:
        named = (
            "of a class that is unknown, because the engine declares none, so the largest is taken"
        )
    return [
        f"{by_data}.",
        f"{found.by_engine[0]:.0%} of draws of the engine's error do ({named}: "
        f"{engine.energy:g} eV per atom whose surroundings differ, {engine.position:g} Å "
        "per axis).",
        f"{found.by_both[0]:.0%} of both together do.",
        weights,
    ]


def _weight(objective: Objective) -> str:
    """A weight by hand, or how many points a likelihood counts."""
    told = objective.likelihood
    return f"{objective.weight:g}" if told is None else f"{told.points:g} independent points"


def _times(factor: float) -> str:
    return "any more" if factor == float("inf") else f"{factor:.2g}"
