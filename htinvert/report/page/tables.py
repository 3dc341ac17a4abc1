"""A funnel's stages and a scan of a chemical potential as a page shows them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from htinvert.campaign.funnel import history, stages
from htinvert.ranking.chemical_potentials import Scan, read_scan, reigns, totals
from htinvert.report.page.charts import Chart
from htinvert.report.page.facts import Facts
from htinvert.report.page.surety import composition
from htinvert.report.potentials import draw_scan, references_of
from htinvert.report.stages import cells_of, draw_stages

TOP = 12
LINES = 40  # families drawn in a scan


def stage_table(facts: Facts, figures: Path) -> dict[str, Any] | None:
    """What each stage of a funnel thought of the last one's best; None where there is one stage."""
    if not any(g["use"] == "store" for g in facts.config.search.generators):
        return None
    chain = stages(facts.folder)
    if len(chain) < 2:
        return None
    figures.mkdir(parents=True, exist_ok=True)
    for ending in (".png", ".pdf"):
        draw_stages(figures / f"stages{ending}", chain, top=TOP)
    rows = [history(entry, chain) for entry in chain[-1].ranked[:TOP]]
    heads = ["region"]
    for stage in chain:
        heads.append(f"{stage.folder.name} ({stage.engine}): rank")
        heads += [o.name for o in stage.objectives]
    said = zip(chain[-1].ranked, cells_of(chain, rows, digits=4), strict=False)
    cells = [[composition(entry), *line] for entry, line in said]
    return {"heads": heads, "rows": cells}


def default_scan(facts: Facts, figures: Path) -> dict[str, Any] | None:
    """The scan over the whole range that a run's phases allow; None where they allow one point."""
    found = references_of(facts.folder)
    scan = found.scan() if found is not None else None
    return _scanned(facts, scan, figures) if scan is not None else None


def scan_table(facts: Facts, wanted: str, ties: Sequence[str], figures: Path) -> dict[str, Any]:
    """Which family is the best at which chemical potential, with its chart.

    Raises :class:`~htinvert.core.UserError` as
    :func:`~htinvert.ranking.chemical_potentials.read_scan` does.
    """
    return _scanned(facts, read_scan(wanted, ties, facts.potentials), figures)


def _scanned(facts: Facts, scan: Scan, figures: Path) -> dict[str, Any]:
    """A scan as rows and a chart; its figures are written."""
    figures.mkdir(parents=True, exist_ok=True)
    for ending in (".png", ".pdf"):
        path = figures / f"potentials{ending}"
        draw_scan(path, scan, facts.ranked, facts.objectives, title=facts.config.name)
    values, sums = totals(scan, facts.ranked, facts.objectives)
    sums = sums - sums.min(axis=0)
    best = list(dict.fromkeys(sums.argmin(axis=0).tolist()))
    top = 1.1 * float(np.percentile(sums[: max(8, len(best))], 90)) or 1.0
    label = f"chemical potential of {scan.element} [eV]"
    chart = Chart((scan.lower, scan.upper), (0.0, top), labels=(label, "sum above the lowest"))
    for place in [*range(min(LINES, len(sums))), *best]:
        css = "front" if place in best else "other"
        inside = [(x, y) for x, y in zip(values, sums[place], strict=True) if y <= top]
        if len(inside) > 1:
            chart.line(inside[:: max(1, len(inside) // 80)] + inside[-1:], css)
    rows = [
        [
            f"{reign.lower:.3f}",
            f"{reign.upper:.3f}",
            str(reign.entry.rank),
            f"#{reign.entry.evaluation.candidate.index}",
            composition(reign.entry),
        ]
        for reign in reigns(scan, facts.ranked, facts.objectives)
    ]
    title = f"Weighted sums of {min(LINES, len(sums))} families over the {label}"
    return {"element": scan.element, "rows": rows, "svg": chart.svg(title)}
