"""Which family is the best at which chemical potential, as a table and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from htinvert.campaign.references import References
from htinvert.config.potentials import are_phases
from htinvert.config.yaml_file import read_yaml
from htinvert.core import Objective
from htinvert.ranking.chemical_potentials import Scan, reigns, totals
from htinvert.ranking.rank import Ranked
from htinvert.report.figures import PALE, pyplot
from htinvert.report.save import save
from htinvert.store.provenance import read_provenance


def references_of(folder: Path) -> References | None:
    """The phases that a run's chemical potentials follow from; None where they are numbers."""
    state = read_provenance(folder).get("references")
    return References.restored(state) if state else None


def potentials_of(folder: Path) -> dict[str, float]:
    """The chemical potentials of a run [eV], given or from its phases; none if those are lost."""
    found = references_of(folder)
    if found is not None:
        return dict(found.limits.potentials)
    given: dict[str, float] = read_yaml(folder / "config.yaml").get("chemical_potentials", {})
    return {} if are_phases(given) else given


def scan_table(scan: Scan, ranked: Sequence[Ranked], objectives: Sequence[Objective]) -> Any:
    """A rich table: range of the potential [eV], and the family that is the best there."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    view = Table(title=f"the best at each potential of {scan.element}", box=SIMPLE_HEAD)
    view.title_justify = "left"
    for name in (f"{scan.element} from\n[eV]", "to\n[eV]", "rank", "candidate", "formula"):
        view.add_column(name, justify="left" if name == "formula" else "right", no_wrap=True)
    for reign in reigns(scan, ranked, objectives):
        evaluation = reign.entry.evaluation
        view.add_row(
            f"{reign.lower:.3f}",
            f"{reign.upper:.3f}",
            str(reign.entry.rank),
            f"#{evaluation.candidate.index}",
            evaluation.atoms.get_chemical_formula(),
        )
    return view


def draw_scan(
    path: Path,
    scan: Scan,
    ranked: Sequence[Ranked],
    objectives: Sequence[Objective],
    *,
    title: str,
    top: int = 30,
) -> None:
    """Draw the weighted sum above the lowest over the potential to a PNG; the best are in color."""
    plt = pyplot()
    values, table = totals(scan, ranked, objectives)
    table = table - table.min(axis=0)
    best = list(dict.fromkeys(table.argmin(axis=0).tolist()))
    figure, axis = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    for row in table[: max(top, 1)]:
        axis.plot(values, row, color=PALE, lw=0.8)
    for place in best:
        entry = ranked[place]
        formula = entry.evaluation.atoms.get_chemical_formula()
        label = f"rank {entry.rank}, #{entry.evaluation.candidate.index}, {formula}"
        axis.plot(values, table[place], lw=2, label=label)
    shown = table[best + list(range(min(top, len(table))))]
    axis.set_ylim(0.0, 1.05 * float(np.percentile(shown.max(axis=1), 75)) or 1.0)
    axis.set_xlim(scan.lower, scan.upper)
    axis.set_xlabel(f"chemical potential of {scan.element} [eV]")
    axis.set_ylabel("weighted sum above the lowest")
    ties = ", ".join(f"{name} at {energy:g} eV" for name, energy in scan.tied.items())
    axis.set_title(f"{title}{', in equilibrium with ' + ties if ties else ''}", fontsize=11)
    axis.legend(frameon=False, fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    save(figure, path)
    plt.close(figure)
