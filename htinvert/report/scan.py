"""What a scan of diffraction patterns shows: mean pattern and virtual images, in one picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htinvert.core import Signal, UserError
from htinvert.image.draw import ACCENT, draw_bar
from htinvert.image.panels import bar
from htinvert.report.figures import pyplot
from htinvert.report.save import drop_links, save
from htinvert.report.terminal import spinner
from htinvert.signals.defects import find_defects
from htinvert.signals.disk import find_disk
from htinvert.signals.pattern_file import words
from htinvert.signals.scan_image import DetectorPart, located
from htinvert.signals.scan_keys import open_scan
from htinvert.signals.scan_steps import middle_pattern, prepare_scan
from htinvert.signals.virtual import com, idpc, reach, virtual

BESIDE = 1.2  # of the disk's radius: where the annular detector begins, if nobody says
NAMES = {
    "bright": "bright disk [counts]",
    "annular": "annular [counts]",
    "com_x": "center of mass, right [mrad]",
    "com_y": "center of mass, down [mrad]",
    "idpc": "integrated [rad]",
}


@dataclass(frozen=True, eq=False)
class Reduced:
    """A scan's mean pattern, images of it by name, and the rings they are of [mrad].

    ``missing`` says why an image is not there.
    """

    pattern: Signal
    images: dict[str, Signal]
    rings: dict[str, float]
    missing: dict[str, str]
    words: str


def reduce_scan(
    path: Path,
    keys: DetectorPart,
    *,
    step: float | None,
    inner: float | None = None,
    outer: float | None = None,
    beam_energy: float | None = None,
    rotation: float = 0.0,
) -> Reduced:
    """Mean pattern, bright and annular image, center of mass and, with an energy, its integral.

    Args:
        path: the file.
        keys: how its patterns are read.
        step: between places [Å], 1 where neither it nor the file says.
        inner: of the annular detector [mrad]; None: 1.2 times the bright disk's radius.
        outer: of the same; None: as far as half of the ring is on the frame.
        beam_energy: of the electrons [eV].
        rotation: of the detector against the scan, counter-clockwise [degrees].

    Raises:
        UserError: where the file cannot be read so, or holds no scan.
    """
    scan = located(open_scan(path, keys, step=step), keys)
    try:
        scan = prepare_scan(scan, keys.prepare)
        if len(scan.places) != 2:
            raise UserError("it holds no scan of two axes; give --places, its rows and columns")
        radius = find_disk(middle_pattern(scan)).radius * scan.pattern.axes[-1].step
        first, last = inner or BESIDE * radius, outer or 0.999 * reach(scan)
        images: dict[str, Signal] = {}
        missing: dict[str, str] = {}
        asked: dict[str, Any] = {
            "bright": lambda: virtual(scan, outer=radius),
            "annular": lambda: virtual(scan, outer=last, inner=first),
            "com_x": lambda: com(scan, "x", rotation=rotation),
            "com_y": lambda: com(scan, "y", rotation=rotation),
        }
        if beam_energy is not None:
            asked["idpc"] = lambda: idpc(scan, beam_energy, rotation=rotation)
        for name, make in asked.items():
            try:
                images[name] = make()
            except UserError as error:
                missing[name] = str(error)
        if not images:
            raise UserError(next(iter(missing.values())))
        defects = str(find_defects(scan.sample()))
        said = "; ".join(part for part in (f"{path.name}: {words(scan)}", defects) if part)
        rings = {"disk": radius, "inner": first, "outer": last}
        return Reduced(scan.mean(), images, rings, missing, said)
    except UserError as error:
        raise UserError(f"{path.name}: {error}") from error


def scan_with_progress(
    path: Path, keys: DetectorPart, *, output: Path, console: Any, **settings: Any
) -> Reduced:
    """Reduce a scan, print what was found, write ``NAME.png`` and ``NAME-images.npz``.

    ``settings`` are those of :func:`reduce_scan`, which says what is raised.
    """
    with spinner(console, f"reading {path.name}"):
        found = reduce_scan(path, keys, **settings)
    console.print(found.words, soft_wrap=True)
    rings = found.rings
    console.print(
        f"bright disk to {rings['disk']:.4g} mrad; annular detector {rings['inner']:.4g} to "
        f"{rings['outer']:.4g} mrad",
        soft_wrap=True,
    )
    for name, reason in found.missing.items():
        console.print(f"note: no {name}: {reason}", soft_wrap=True)
    for written in write_scan(output, found, name=path.stem):
        console.print(f"written: {written}", soft_wrap=True)
    return found


def write_scan(folder: Path, found: Reduced, *, name: str) -> list[Path]:
    """Write ``NAME.png`` and ``NAME-images.npz`` (images, pattern, steps); returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    picture, archive = folder / f"{name}.png", folder / f"{name}-images.npz"
    draw_scan(picture, found, title=name)
    drop_links(archive)
    step = next(iter(found.images.values())).sampling
    arrays: dict[str, Any] = {key: image.data for key, image in found.images.items()}
    np.savez_compressed(
        archive, pattern=found.pattern.data, pixel_size_angstrom=np.array(step), **arrays
    )
    return [picture, archive]


def draw_scan(path: Path, found: Reduced, *, title: str) -> None:
    """The mean pattern with the detectors' rings, and the images with a bar for scale."""
    plt = pyplot()
    count = 1 + len(found.images)
    columns = min(count, 3)
    figure, axes = plt.subplots(
        -(-count // columns),
        columns,
        figsize=(3.7 * columns, 3.4 * -(-count // columns) + 0.4),
        squeeze=False,
        layout="constrained",
    )
    _draw_pattern(figure, axes.flat[0], found)
    for place, (name, image) in zip(axes.flat[1:], found.images.items(), strict=False):
        _draw_image(figure, place, image, name)
    for place in axes.flat[count:]:
        place.axis("off")
    figure.suptitle(title)
    save(figure, path)
    plt.close(figure)


def _draw_pattern(figure: Any, place: Any, found: Reduced) -> None:
    from matplotlib.colors import PowerNorm
    from matplotlib.patches import Circle

    y, x = (found.pattern.coordinates(i) for i in (0, 1))
    half = 0.5 * found.pattern.axes[0].step
    values: NDArray[np.float32] = found.pattern.data
    top = float(np.nanpercentile(values, 99.9))
    shown = place.imshow(
        values,
        cmap="inferno",
        norm=PowerNorm(0.4, vmin=0.0, vmax=top, clip=True),
        extent=(x[0] - half, x[-1] + half, y[-1] + half, y[0] - half),
    )
    for name, style in (("disk", "-"), ("inner", "--"), ("outer", "--")):
        place.add_patch(Circle((0, 0), found.rings[name], fill=False, color=ACCENT, ls=style))
    place.set_title("mean pattern (root scale)", fontsize=10)
    place.set_xlabel(f"kx [{found.pattern.axes[1].unit}]")
    place.set_ylabel(f"ky [{found.pattern.axes[0].unit}]")
    figure.colorbar(
        shown, ax=place, shrink=0.8, ticks=[0.0, 0.05 * top, 0.3 * top, top], format="%.2g"
    )


def _draw_image(figure: Any, place: Any, image: Signal, name: str) -> None:
    low, high = np.nanpercentile(image.data, (0.5, 99.5))
    signed = name.startswith("com")
    span = max(abs(low), abs(high))
    limits = {"vmin": -span, "vmax": span} if signed else {"vmin": low, "vmax": high}
    shown = place.imshow(image.data, cmap="RdBu_r" if signed else "gray", **limits)
    if name in ("annular", "idpc"):  # which are dark between columns
        known = bar(image)
        draw_bar(place, image.data.shape, known["pixels"], known["label"])
    place.set_title(NAMES[name], fontsize=10)
    place.set_xticks([])
    place.set_yticks([])
    figure.colorbar(shown, ax=place, shrink=0.8)
