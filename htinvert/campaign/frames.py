"""The frames of a series of images: where each is read, how each has moved against the last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from htinvert import plugins
from htinvert.core import Channel, Evaluation, Floats, Signal, UserError
from htinvert.declaration.abilities import HasView
from htinvert.evaluation.fit import adjusted
from htinvert.geometry.duplicates import host_operations
from htinvert.geometry.known import Known
from htinvert.image.read import KNOWN, count_frames, describe
from htinvert.ranking.rank import Ranked
from htinvert.signals.kind import DEFAULT

FINER = 20  # parts of a pixel that a shift between two images is looked for in
REPEATS = 3  # of the cell, along either direction, that a structure may have jumped
PLACES = (("row_refined", "column_refined"), ("row", "column"))  # of a score's detail
LEAST = 1.0  # px: a shorter vector of the cell, across the beam, is none


def frames_of(
    raw: Mapping[str, Any],
    experiment: str,
    *,
    folder: Path,
    frames: Path | None = None,
    chosen: slice = slice(None),
) -> list[dict[str, Any]]:
    """What each frame replaces in an experiment's block, in the order of time.

    Args:
        raw: a campaign, as its file says it.
        experiment: the name of the one that the series is of.
        folder: that the campaign's paths are relative to.
        frames: a file of several frames, or a folder with a file of each, taken in the order of
            their names; the experiment's own file unless it is given.
        chosen: which of them.

    Raises:
        UserError: where there are fewer than two frames, or files of unequal size.
    """
    block = raw["experiments"][experiment]
    key = "image" if "image" in block else "data"
    path = plugins.resolve(Path(str(block.get(key, ""))), folder) if frames is None else frames
    path = path.resolve()
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in KNOWN)[chosen]
        _require_like_files(files, block)
        found: list[dict[str, Any]] = [{key: str(file)} for file in files]
    else:
        count = count_frames(path, signal=block.get("signal"))
        found = [{key: str(path), "channel": number} for number in range(count)][chosen]
    if len(found) < 2:
        raise UserError(
            f"{path} gives {len(found)} frames and a series needs two; give a stack of images "
            "(t, y, x), a folder with one image per frame, or other frames of it"
        )
    return found


def _require_like_files(files: Sequence[Path], block: Mapping[str, Any]) -> None:
    """Raise :class:`UserError` where files of single frames differ in size."""
    shapes = [
        describe(file, signal=block.get("signal"), channel=block.get("channel")).shape
        for file in files
    ]
    for file, shape in zip(files, shapes, strict=True):
        if shape != shapes[0]:
            sizes = [" x ".join(map(str, one)) for one in (shape, shapes[0])]
            raise UserError(
                f"{file.name} is {sizes[0]} px, but {files[0].name} {sizes[1]}; give frames of one "
                "size"
            )


def series_experiment(raw: Mapping[str, Any], named: str | None) -> str:
    """Which experiment of a campaign the frames are of: the one that is named, or the only image.

    Raises :class:`UserError` where that is not clear.
    """
    blocks = raw.get("experiments")
    names = [str(name) for name in blocks] if isinstance(blocks, Mapping) else []
    if named is not None:
        if named not in names:
            raise UserError(f"the campaign has no experiment {named}; it has {', '.join(names)}")
        return named
    images = [name for name in names if _kind(dict(blocks or {})[name]) == DEFAULT]
    if len(images) != 1:
        raise UserError(
            f"the campaign has {len(images)} experiments with an image; say which one the frames "
            "are of, with --experiment NAME"
        )
    return images[0]


def _kind(block: Any) -> str:
    forward = block.get("forward") if isinstance(block, Mapping) else None
    use = forward.get("use") if isinstance(forward, Mapping) else None
    component = plugins.find("forward", use) if isinstance(use, str) else None
    return str(getattr(component, "kind", DEFAULT))


def require_equal_size(first: Signal, other: Signal, number: int) -> None:
    """Raise :class:`UserError` where a frame has another size than the first one."""
    if first.data.shape != other.data.shape:
        sizes = [" x ".join(map(str, one.data.shape)) for one in (other, first)]
        raise UserError(
            f"frame {number} is {sizes[0]} px, but the first one {sizes[1]}; give frames of one "
            "size"
        )


def image_shift(before: Signal, after: Signal) -> Floats:
    """By how much a picture has moved from one image to the next, (row, column) [px].

    The peak of their cross-correlation, found to a twentieth of a pixel: M. Guizar-Sicairos et al.,
    Opt. Lett. 33, 156 (2008). On a crystal it may be a repeat off.
    """
    from skimage.registration import phase_cross_correlation

    first, second = (one.data - one.data.mean() for one in (before, after))
    shift = phase_cross_correlation(second, first, upsample_factor=FINER, normalization=None)[0]
    return np.asarray(shift, dtype=float)


def nearest_repeat(
    step: Floats, expected: Floats, vectors: Sequence[Floats], others: Sequence[Floats] = ()
) -> Floats:
    """A step [px] less what of a lattice [px] brings it nearest to the expected.

    That are whole numbers of its ``vectors``, and at most one of the ``others``, by which a cell
    repeats within itself.
    """
    far = [vector for vector in vectors if np.linalg.norm(vector) > LEAST]
    counts = product(range(-REPEATS, REPEATS + 1), repeat=len(far))
    cells = [np.sum([n * v for n, v in zip(turn, far, strict=True)], axis=0) for turn in counts]
    moved = [step + cell + other for cell in cells for other in (np.zeros(2), *others)]
    return np.asarray(min(moved, key=lambda one: float(np.linalg.norm(one - expected))))


def repeats_of(atoms: Atoms, template: Atoms, forward: Any) -> tuple[list[Floats], list[Floats]]:
    """Vectors of a cell as a forward model shows them [px], and those within the cell.

    The latter are translations that keep the host of the ``template``.
    """
    view = forward.view(atoms)
    origin = atoms.positions.mean(axis=0)[None]

    def shown(vector: Floats) -> Floats:
        return np.asarray(view.pixels(origin + vector)[0] - view.pixels(origin)[0])

    pairs = zip(np.asarray(atoms.cell), atoms.pbc, strict=True)
    kept = host_operations(template) if len(template) else []
    return [shown(v) for v, periodic in pairs if periodic], [shown(one.shift) for one in kept]


def place_of(
    channel: Channel, found: Evaluation, parameters: Mapping[str, float], template: Atoms
) -> Floats:
    """Row and column [px] of a start structure's middle, where an evaluation was registered.

    ``parameters`` are those that its image has. NaN where metric or model say nothing of places.
    """
    forward: Any = adjusted(channel.forward, parameters)
    scores = (s for name, s in found.scores.items() if name.partition(".")[0] == channel.name)
    detail = next(scores).detail
    named = next((pair for pair in PLACES if set(pair) <= detail.keys()), None)
    if named is None or not isinstance(forward, HasView):
        return np.full(2, np.nan)
    held = template if len(template) else found.atoms
    view: Any = forward.view(found.atoms)
    corner = np.array([detail[key] for key in named])
    return np.asarray(corner + view.pixels(held.positions.mean(axis=0)[None])[0])


def unlike(found: Sequence[Evaluation]) -> list[Evaluation]:
    """One evaluation of each family, in the order in which they come."""
    known, kept = Known.families(), []
    for one in found:
        if known.find(one.atoms) is None:
            known.add(one.atoms)
            kept.append(one)
    return kept


def family_in(ranked: Sequence[Ranked], atoms: Atoms) -> Ranked | None:
    """The family that a structure is of, among those that were ranked."""
    known = Known.families()
    known.add(atoms)
    return next((e for e in ranked if known.find(e.evaluation.atoms) is not None), None)
