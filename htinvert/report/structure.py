"""A structure as one sees it: its columns along the beam, beside the image it would give."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.data.colors import jmol_colors
from numpy.typing import NDArray

from htinvert.core import Floats
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.forward.view import Direction, view_frame
from htinvert.geometry.roles import has_roles, region_mask, rigid_mask, roles
from htinvert.image.draw import ACCENT, scale_bar
from htinvert.report.figures import FRONT, PALE, pyplot
from htinvert.report.save import save
from htinvert.structures.sanity import check
from htinvert.structures.write import write_structure

FINE = 0.1  # Å/px of the simulated image
FEWEST = 200  # pixels of its longer side
LARGEST = 80.0  # Å: of a larger structure the middle is shown
MARGIN = 1.5  # Å around the cell


def explain(atoms: Atoms) -> list[str]:
    """What was built and why so, in lines for a person to read."""
    lengths = " x ".join(f"{length:.3f}" for length in atoms.cell.lengths())
    lines = list(atoms.info.get("explanation", ()))
    if not lines and atoms.pbc.all():
        lines = check(atoms)
    counts = Counter(role.partition("-")[0].rstrip("0123456789") for role in roles(atoms))
    line = f"{atoms.get_chemical_formula()}: {len(atoms)} atoms, cell {lengths} Å"
    if has_roles(atoms):
        line += "; " + ", ".join(f"{count} {role}" for role, count in sorted(counts.items()))
    return [*lines, line]


def write_built(
    folder: Path, name: str, atoms: Atoms, *, beam: Direction = "x", up: Direction = "z"
) -> list[Path]:
    """Write a structure as CIF, POSCAR and extended XYZ, with a picture; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    bare = atoms.copy()
    bare.info = {}
    paths = [folder / f"{name}{ending}" for ending in (".cif", ".vasp", ".xyz")]
    for path in paths:
        write_structure(path, bare)
    picture = folder / f"{name}.png"
    draw_structure(picture, atoms, title=f"{name}: {title(atoms)}", beam=beam, up=up)
    return [*paths, picture]


def title(atoms: Atoms) -> str:
    """Formula, size, and strain of a bicrystal."""
    size = " x ".join(f"{length / 10:.2f}" for length in atoms.cell.lengths())
    words = f"{atoms.get_chemical_formula(empirical=True)}, {len(atoms)} atoms, {size} nm"
    built = atoms.info.get("bicrystal")
    if built:
        strains = " / ".join(
            f"{built[grain]['width']:+.2f}, {built[grain]['depth']:+.2f}"
            for grain in ("strain_top", "strain_bottom")
        )
        words += f"\nstrain along width, depth, top / bottom: {strains} %"
    return words


def draw_structure(
    path: Path,
    atoms: Atoms,
    *,
    title: str,
    note: str = "",
    beam: Direction = "x",
    up: Direction = "z",
) -> None:
    """Draw a structure along the beam and its simulated HAADF image at one scale, as a PNG.

    Where atoms have roles, free ones are framed, rigid ones dotted and frozen ones pale.
    """
    plt = pyplot()
    axes_of_view = view_frame(beam, up)
    places = atoms.positions @ axes_of_view.T  # right, down, toward the viewer
    center, width, height = _window(atoms, axes_of_view)
    sampling = min(FINE, max(width, height) / FEWEST)
    shape = (round(height / sampling), round(width / sampling))
    model = StemConvolution(
        sampling=sampling, shape=shape, beam=beam, up=up, center=(-center[1], center[0])
    )
    image = model(atoms)
    wide = width > 1.3 * height
    rows, columns = (2, 1) if wide else (1, 2)
    long = 7.5
    scale = long / max(width, height)
    size = (columns * width * scale + 0.6, rows * height * scale + 1.1)
    figure, panels = plt.subplots(rows, columns, figsize=size, layout="constrained")
    _draw_atoms(panels[0], atoms, places)
    _draw_cell(panels[0], atoms, axes_of_view)
    left, right = center[0] - width / 2, center[0] + width / 2
    top, bottom = center[1] - height / 2, center[1] + height / 2
    panels[0].set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=8, fontsize=8, frameon=False)
    panels[1].imshow(image.data, cmap="gray", interpolation="nearest")
    scale_bar(panels[1], image)
    for panel, name in zip(panels, ("along the beam", "simulated HAADF"), strict=True):
        panel.set_title(name, fontsize=10)
        panel.set_xticks([])
        panel.set_yticks([])
    figure.suptitle(title, fontsize=11)
    if note:
        figure.supxlabel(note, fontsize=8, color="#555555")
    save(figure, path)
    plt.close(figure)


def _window(atoms: Atoms, axes_of_view: Floats) -> tuple[Floats, float, float]:
    """Center (right, down), width and height [Å] of what is shown: cell and atoms with a margin."""
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    cell = corners @ atoms.cell.array if atoms.cell.any() else np.empty((0, 3))
    seen = np.vstack([cell, atoms.positions]) @ axes_of_view[:2].T
    low, high = seen.min(axis=0) - MARGIN, seen.max(axis=0) + MARGIN
    width, height = np.minimum(high - low, LARGEST)
    return (low + high) / 2, float(width), float(height)


def _draw_atoms(axis: Any, atoms: Atoms, places: Floats) -> None:
    """One disk per atom, the nearest to the viewer last; one entry of the legend per element."""
    from matplotlib.collections import EllipseCollection

    order = np.argsort(places[:, 2], kind="stable")
    radius = 0.45 * np.asarray(covalent_radii)[atoms.numbers]
    face = np.asarray(jmol_colors)[atoms.numbers]
    edge, line = _edges(atoms)
    axis.add_collection(
        EllipseCollection(
            2 * radius[order],
            2 * radius[order],
            np.zeros(len(atoms)),
            units="xy",
            offsets=places[order, :2],
            transOffset=axis.transData,
            facecolors=face[order],
            edgecolors=edge[order],
            linewidths=line[order],
        )
    )
    for number in sorted(set(atoms.numbers.tolist())):
        count = int((atoms.numbers == number).sum())
        symbol = atoms[int(np.argmax(atoms.numbers == number))].symbol
        label = f"{count} {symbol}"
        axis.plot([], [], "o", color=jmol_colors[number], mec="#333333", label=label)
    if has_roles(atoms):
        for color, name in ((ACCENT, "free"), (FRONT, "rigid grain")):
            if any(role.startswith(name[:4]) for role in roles(atoms)):
                axis.plot([], [], "o", color="w", mec=color, mew=1.5, label=name)


def _edges(atoms: Atoms) -> tuple[NDArray[Any], Floats]:
    """Color and width of each atom's outline, by its role."""
    edge = np.full(len(atoms), "#333333", dtype=object)
    line = np.full(len(atoms), 0.5)
    if has_roles(atoms):
        for mask, color in ((region_mask(atoms), ACCENT), (rigid_mask(atoms), FRONT)):
            edge[mask], line[mask] = color, 1.2
    return edge, line


def _draw_cell(axis: Any, atoms: Atoms, axes_of_view: Floats) -> None:
    """The cell's outline: every edge of the box."""
    vectors = atoms.cell.array @ axes_of_view[:2].T
    for index in range(3):
        others = [vectors[i] for i in range(3) if i != index]
        for i in (0, 1):
            for j in (0, 1):
                start = i * others[0] + j * others[1]
                end = start + vectors[index]
                axis.plot(*np.array([start, end]).T, color=PALE, lw=0.8, zorder=0)
