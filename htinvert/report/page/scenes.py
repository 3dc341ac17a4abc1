"""Scenes of a page: the best families' signals, and structures in the image's frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase.data import covalent_radii
from ase.data.colors import jmol_colors

from htinvert.core import Channel, EvaluationFailed
from htinvert.forward.view import view_frame
from htinvert.geometry.roles import region_mask
from htinvert.ranking.rank import Ranked
from htinvert.signals.seen import Seen, see

AROUND = 7.0  # Å of the grains that are drawn beside a region


def signals_of(
    ranked: Sequence[Ranked], channels: Sequence[Channel]
) -> tuple[list[dict[str, Seen]], list[str]]:
    """Images of families, by channel, up to the first that cannot be imaged; and what was wrong."""
    found: list[dict[str, Seen]] = []
    for entry in ranked:
        seen = {}
        for channel in channels:
            parameters = entry.evaluation.parameters.get(channel.name, {})
            try:
                seen[channel.name] = see(channel, entry.evaluation.atoms, parameters)
            except EvaluationFailed as failure:
                number = entry.evaluation.candidate.index
                return found, [f"#{number} could not be imaged again: {failure}"]
        found.append(seen)
    return found, _differences(ranked, found)


def _differences(ranked: Sequence[Ranked], pictures: Sequence[Mapping[str, Seen]]) -> list[str]:
    """Say where an image made again does not score as it did: other files, or another version."""
    for name, seen in pictures[0].items() if pictures else ():
        for metric, score in seen.scores.items():
            again = score.cost
            recorded = ranked[0].evaluation.objectives.get(f"{name}.{metric}", again)
            if abs(again - recorded) > 1e-3 * max(recorded, 0.01):
                return [
                    f"The best family's image scores {again:.4f} by {name}.{metric} today and "
                    f"{recorded:.4f} in the run: the image's file or the program is another one."
                ]
    return []


def structure(entry: Ranked, beam: Any = "x", up: Any = "z") -> dict[str, Any]:
    """Atoms and cell in the image's frame [Å]: right, up, toward the viewer; region marked."""
    atoms = entry.evaluation.atoms
    frame = view_frame(beam, up) * np.array([[1.0], [-1.0], [1.0]])
    middle = 0.5 * (atoms.positions.min(axis=0) + atoms.positions.max(axis=0))
    places = np.round((atoms.positions - middle) @ frame.T, 3)
    inside = region_mask(atoms)
    if inside.all():
        inside = np.zeros(len(atoms), dtype=bool)
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    cell = np.round((corners @ atoms.cell.array - middle) @ frame.T, 3)
    return {
        "atoms": [
            [symbol, *place, int(mark)]
            for symbol, place, mark in zip(
                atoms.get_chemical_symbols(), places.tolist(), inside.tolist(), strict=True
            )
        ],
        "cell": cell.tolist() if atoms.cell.rank == 3 else [],
    }


def projection(found: Mapping[str, Any]) -> str:
    """A structure along the beam as SVG markup; for where there is no 3D."""
    from ase.data import atomic_numbers

    places = np.array([atom[1:4] for atom in found["atoms"]])
    low, high = places[:, :2].min(axis=0) - 1.5, places[:, :2].max(axis=0) + 1.5
    inside = np.array([bool(atom[4]) for atom in found["atoms"]])
    if inside.any():
        low = np.maximum(low, places[inside, :2].min(axis=0) - AROUND)
        high = np.minimum(high, places[inside, :2].max(axis=0) + AROUND)
    width, height = high - low
    marks = []
    for i in np.argsort(places[:, 2], kind="stable"):
        symbol, x, y, _, mark = found["atoms"][i]
        number = atomic_numbers[symbol]
        red, green, blue = (round(255 * c) for c in jmol_colors[number])
        edge = ' class="region"' if mark else ""
        marks.append(
            f'<circle cx="{x - low[0]:.2f}" cy="{high[1] - y:.2f}" '
            f'r="{0.45 * covalent_radii[number]:.2f}" fill="rgb({red},{green},{blue})"{edge}/>'
        )
    return (
        f'<svg viewBox="0 0 {width:.2f} {height:.2f}" class="columns" role="img" '
        f'aria-label="Structure along the beam">{"".join(marks)}</svg>'
    )
