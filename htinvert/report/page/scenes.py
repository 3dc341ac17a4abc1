"""Pictures for a page: grayscale and residual images as data, structures in the image's frame."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase.data import covalent_radii
from ase.data.colors import jmol_colors
from numpy.typing import NDArray

from htinvert.core import Channel, EvaluationFailed, region_mask
from htinvert.forward.view import view_frame
from htinvert.image.evidence import Picture, picture
from htinvert.ranking.rank import Ranked
from htinvert.report.figures import Match

AROUND = 7.0  # Å of the grains that are drawn beside a region
LARGEST = 640  # px: larger images are thinned for the page; files keep all
Bytes = NDArray[np.uint8]


def pictures_of(
    ranked: Sequence[Ranked], channels: Sequence[Channel]
) -> tuple[list[dict[str, Picture]], list[str]]:
    """Images of families, by channel, up to the first that cannot be imaged; and what was wrong."""
    found: list[dict[str, Picture]] = []
    for entry in ranked:
        seen = {}
        for channel in channels:
            parameters = dict(entry.evaluation.parameters.get(channel.name, {}))
            try:
                seen[channel.name] = picture(channel, entry.evaluation.atoms, parameters)
            except EvaluationFailed as failure:
                number = entry.evaluation.candidate.index
                return found, [f"#{number} could not be imaged again: {failure}"]
        found.append(seen)
    return found, _differences(ranked, found)


def _differences(ranked: Sequence[Ranked], pictures: Sequence[Mapping[str, Picture]]) -> list[str]:
    """Say where an image made again does not score as it did: other files, or another version."""
    for name, seen in pictures[0].items() if pictures else ():
        for metric, chosen in seen.channel.metrics.items():
            again = chosen(seen.simulated, seen.channel.observed).cost
            recorded = ranked[0].evaluation.objectives.get(f"{name}.{metric}", again)
            if abs(again - recorded) > 1e-3 * max(recorded, 0.01):
                return [
                    f"The best family's image scores {again:.4f} by {name}.{metric} today and "
                    f"{recorded:.4f} in the run: the image's file or the program is another one."
                ]
    return []


def match_of(seen: Picture) -> Match:
    """A family's image over the experiment, as figures draw it."""
    return Match(seen.channel.observed, seen.simulated, seen.row, seen.column)


def panels(seen: Picture) -> dict[str, str]:
    """Fused image, simulation alone and residual over the whole field, as PNG data URIs."""
    match = match_of(seen)
    low, high = _range(match.observed.data)
    alone = np.full(match.observed.data.shape, np.nan)
    ny, nx = seen.simulated.data.shape
    alone[seen.row : seen.row + ny, seen.column : seen.column + nx] = match.scaled
    return {
        "fused": gray(match.fused, low, high),
        "simulated": gray(alone, low, high),
        "residual": diverging(match.residual, high - low),
    }


def experiment(channel: Channel) -> str:
    """The experiment as a PNG data URI."""
    return gray(channel.observed.data.astype(float), *_range(channel.observed.data))


def _range(data: NDArray[np.floating]) -> tuple[float, float]:
    low, high = np.percentile(data, (0.5, 99.5))
    return float(low), float(high)


def gray(data: NDArray[np.float64], low: float, high: float) -> str:
    """An image in gray between two values, transparent where it is not finite."""
    level = np.clip((np.nan_to_num(data) - low) / max(high - low, 1e-30), 0.0, 1.0)
    pixels = np.empty((*data.shape, 4))
    pixels[..., :3] = 255 * level[..., None]
    pixels[..., 3] = 255 * np.isfinite(data)
    return _uri(pixels)


def diverging(data: NDArray[np.float64], span: float) -> str:
    """Differences in red (positive) and blue, white at 0; transparent where not finite."""
    level = np.clip(np.nan_to_num(data) / max(span, 1e-30), -1.0, 1.0)[..., None]
    red, blue, white = np.array([178, 24, 43]), np.array([33, 102, 172]), np.full(3, 247)
    pixels = np.empty((*data.shape, 4))
    pixels[..., :3] = white + np.abs(level) * (np.where(level > 0, red, blue) - white)
    pixels[..., 3] = 255 * np.isfinite(data)
    return _uri(pixels)


def _uri(pixels: NDArray[np.float64]) -> str:
    """RGBA values, shape (ny, nx, 4), as a PNG data URI; thinned where larger than a page needs."""
    from PIL import Image

    image = Image.fromarray(np.round(pixels).astype(np.uint8), "RGBA")
    if max(image.size) > LARGEST:
        scale = LARGEST / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.BOX)
    target = io.BytesIO()
    image.save(target, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(target.getvalue()).decode()


def scale_bar(channel: Channel) -> dict[str, Any]:
    """A bar of a round length of about a fifth of the field: pixels and label."""
    step = channel.observed.sampling[1]
    width = channel.observed.data.shape[1]
    lengths = (1, 2, 5, 10, 20, 50, 100, 200, 500)
    length = max((v for v in lengths if v <= 0.25 * width * step), default=0.25 * width * step)
    label = f"{length:g} Å" if length < 10 else f"{length / 10:g} nm"
    return {"pixels": length / step, "label": label}


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
