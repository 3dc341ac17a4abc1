"""What a careful reader would look for in the best structures: contacts, strain, composition."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import covalent_radii

from htinvert.declaration.declared import unit_of
from htinvert.geometry.distances import near_pairs
from htinvert.geometry.roles import region_mask
from htinvert.ranking.rank import Ranked
from htinvert.report.page.facts import Facts
from htinvert.report.page.surety import composition
from htinvert.store.provenance import begun_at

CLOSE = 0.75  # of the covalent sum: a shorter bond deserves a look
NEAR_BOUND = 0.02  # of a parameter's range


def closest(atoms: Atoms) -> tuple[float, float, str]:
    """Shortest distance [Å] relative to the covalent sum: distance, ratio, pair of elements."""
    first, second, apart = near_pairs(atoms, cutoff=4.0)
    if not len(apart):
        return float("inf"), float("inf"), "no pair"
    radii = np.asarray(covalent_radii)[atoms.numbers]
    ratio = apart / (radii[first] + radii[second])
    least = int(ratio.argmin())
    i, j = first[least], second[least]
    pair = "-".join(sorted((atoms[int(i)].symbol, atoms[int(j)].symbol)))
    return float(apart[least]), float(ratio[least]), pair


def per_family(entry: Ranked, facts: Facts) -> dict[str, Any]:
    """Checks of one family, as words; ``fine`` is False where one of them needs a look."""
    evaluation = entry.evaluation
    gap, ratio, pair = closest(evaluation.atoms)
    relaxation = evaluation.relaxation
    converged = bool(relaxation and relaxation.converged)
    at_limit = _at_limit(evaluation.atoms, facts)
    return {
        "index": evaluation.candidate.index,
        "contact": f"{pair} {gap:.2f} Å, {ratio:.2f} of the covalent sum",
        "relaxed": "converged" if converged else "stopped before its force threshold",
        "composition": composition(entry) + (f" ({at_limit})" if at_limit else ""),
        "fine": ratio >= CLOSE and converged and not at_limit,
    }


def _at_limit(atoms: Atoms, facts: Facts) -> str:
    """Which element has as many or as few atoms in the region as the campaign allows."""
    symbols = atoms.symbols[region_mask(atoms)]
    found = []
    for symbol, (low, high) in facts.config.composition.items():
        number = int((symbols == symbol).sum())
        if low < high and number in (low, high):
            found.append(f"{symbol} at its {'fewest' if number == low else 'most'}, {number}")
    return "; ".join(found)


def strain(facts: Facts) -> str:
    """What periodicity costs: the strain of a bicrystal's grains, or that nothing is recorded."""
    atoms = facts.start()
    if atoms is None:
        return "The start structure was not found, so its strain is not known."
    built = atoms.info.get("bicrystal")
    if not built:
        return (
            "The start structure came with its cell; strain that its making may have put into the "
            "grains is not recorded in it."
        )
    return "Strain that makes the grains fit one cell: " + "; ".join(
        f"{name.removeprefix('strain_')} grain {built[name]['width']:+.2f} % along the width, "
        f"{built[name]['depth']:+.2f} % along the depth"
        for name in ("strain_top", "strain_bottom")
    )


def imaging(facts: Facts, atoms: Atoms) -> list[dict[str, str]]:
    """Fitted imaging parameters with standard errors and bounds, one row each."""
    rows = []
    for channel in facts.channels:
        free = facts.config.experiments[channel.name].free
        values = (begun_at(facts.provenance) or {}).get(channel.name, {})
        best = facts.ranked[0].evaluation.parameters.get(channel.name, {})
        values |= {key: float(value) for key, value in best.items()}
        errors = _errors(channel, atoms, values, free)
        for name, value in values.items():
            low, high = free[name]
            near = min(value - low, high - value) < NEAR_BOUND * (high - low)
            refitted = name in facts.config.experiments[channel.name].refitted
            rows.append(
                {
                    "channel": channel.name,
                    "name": name,
                    "value": f"{value:.4g}",
                    "error": f"± {errors[name]:.1g}" if name in errors else "not known",
                    "unit": unit_of(channel.forward, name),
                    "bounds": f"{low:g} to {high:g}" + (", at its bound" if near else ""),
                    "when": "for each candidate" if refitted else "once, to the start structure",
                }
            )
    return rows


def _errors(channel: Any, atoms: Atoms, values: dict[str, float], free: Any) -> dict[str, float]:
    """Standard errors of fitted parameters at the place where the data lie."""
    from htinvert.core import EvaluationFailed
    from htinvert.signals.intervals import intervals
    from htinvert.signals.seen import see

    with suppress(EvaluationFailed, ValueError):
        seen = see(channel, atoms, values)
        return intervals(seen, {name: free[name] for name in values})
    return {}
