"""Boundaries with a known answer, for tests of a search: what is hidden, and what is given.

Double layers are stacked along [111], seen along <110>; the tilt boundary is the symmetric Sigma 5
(210) of a face-centered cubic metal, seen along [001] (Sutton & Balluffi, *Interfaces in
Crystalline Materials*, 1995, chapter 1). The beam is x, the boundary's normal z. Both ends of a
cell are vacuum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from scipy.optimize import linear_sum_assignment

from htinvert.core import Region, Space
from htinvert.energy.lammps import Lammps
from htinvert.geometry.distances import covalent_distances
from htinvert.geometry.roles import region_mask, rigid_mask
from htinvert.structures.region import search_space

VACUUM = 8.0  # Å, at either end
CDTE = 6.48  # Å, lattice constant
COPPER = 3.615
POLAR = ("CdTeSe.bop.table", "CdTeZnSeHgS0.sw")  # relaxes the truth, is searched with
# eV. Cu's is bulk copper's. Cd's and Te's are each the energy of a whole pair CdTe, twice what
# equilibrium with CdTe allows in sum (Se's as well), so each missing atom gains 2.2 eV. What was
# measured with these problems was measured so; with other values it is to be measured again.
BULK = {"Cd": -4.356, "Te": -4.356, "Se": -5.736, "Cu": -3.540}
METAL = ("Cu_zhou.eam.alloy", "Cu_mishin1.eam.alloy")


@dataclass(frozen=True, eq=False)
class Planted:
    """A boundary that is hidden, and the campaign that is to find it.

    Attributes:
        truth: the boundary, before its relaxation.
        region: bounds [Å] and, for a grain that moves, its role; see :class:`htinvert.core.Region`.
        composition: fewest and most atoms of each element in the region.
        potentials: the one that relaxes the truth, and the one that the search has.
        shift: of the upper grain in the start structure [Å], along x, y and z.
    """

    truth: Atoms
    region: Mapping[str, Any]
    composition: Mapping[str, tuple[int, int]]
    potentials: tuple[str, str]
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def middle(self) -> float:
        """Height of the region's middle [Å]."""
        return 0.5 * float(self.region["lower"] + self.region["upper"])

    def start(self, truth: Atoms) -> Atoms:
        """What the search is given [Å]: the grains of the relaxed truth, the region empty."""
        height = truth.positions[:, 2]
        inside = (height >= self.region["lower"]) & (height <= self.region["upper"])
        start = truth[~(inside & bool(self.composition))]
        start.positions[start.positions[:, 2] > self.middle] += self.shift
        return start


def relaxed(planted: Planted) -> Atoms:
    """Relax the truth with its own potential, as far from the boundary as the search may."""
    engine = Lammps(Path(planted.potentials[0]), fmax=0.01, steps=2000)
    atoms: Atoms = engine(space(planted, planted.truth).template).atoms
    atoms.set_constraint()
    return atoms


def space(planted: Planted, truth: Atoms) -> Space:
    """What the campaign searches, with a (relaxed) truth as its start structure."""
    return search_space(
        truth,
        region=Region(**planted.region),
        composition=planted.composition,
        min_distance=covalent_distances(truth.get_chemical_symbols()),
    )


def misplaced(found: Atoms, planted: Planted, truth: Atoms) -> float:
    """Rms distance in the plane of the image [Å] from the truth; inf where elements differ.

    Of the region's atoms, and where a grain is rigid of the grain's. Atoms are paired, element by
    element, so that the sum of squares is smallest.
    """
    rigid = "rigid" in planted.region.values()
    template = space(planted, truth).template
    ours, theirs = (
        atoms[rigid_mask(atoms) if rigid else region_mask(atoms)] for atoms in (found, template)
    )
    if sorted(ours.numbers) != sorted(theirs.numbers):
        return float("inf")
    gaps = ours.positions[:, None, 1:] - theirs.positions[None, :, 1:]
    gaps[..., 0] -= truth.cell[1, 1] * np.round(gaps[..., 0] / truth.cell[1, 1])
    squares = (gaps**2).sum(axis=-1)
    squares[ours.numbers[:, None] != theirs.numbers] = 1e6
    return float(np.sqrt(squares[linear_sum_assignment(squares)].mean()))


def campaign(kind: str, planted: Planted, sampling: float) -> dict[str, Any]:
    """Describe the campaign that is to find it, as its YAML says it; ``sampling`` is in Å/px."""
    elements = set(planted.truth.get_chemical_symbols())
    across = round(0.5 * float(planted.truth.cell[1, 1]), 2)
    return {
        "name": kind,
        "structure": {"use": "file", "path": "start.vasp"},
        "region": {
            key: float(value) if key in ("lower", "upper") else value
            for key, value in planted.region.items()
        },
        "composition": {symbol: list(pair) for symbol, pair in planted.composition.items()},
        "energy": {"use": "lammps", "potential": planted.potentials[1]},
        "chemical_potentials": {s: mu for s, mu in BULK.items() if s in elements},
        "experiments": {
            "haadf": {
                "image": "experiment.tif",
                "sampling": sampling,
                "forward": {
                    "use": "stem_convolution",
                    "shape": [72, 88],  # px, smaller than the image
                    "center": [round(planted.middle, 2), across],  # Å, of the boundary
                    "semiangle": 25.0,  # mrad, as the microscope's
                    "inner": 60.0,
                    "outer": 100.0,
                },
                "metrics": {"registration": {"alpha": 0.0}},
                "free": {"source_size": [0.5, 2.0]},  # Å
            }
        },
        "objectives": {"energy": 1.0, "haadf.registration": 100.0},
    }


def stacked(sequence: str, *, cation: str = "Cd", anion: str = "Te", a: float = CDTE) -> Atoms:
    """Stack double layers along z by a sequence such as ABCABC; beam <110> is x.

    ABC repeats are zincblende, AB repeats wurtzite, a reversal is a twin. ``a`` is the cubic
    lattice constant [Å].
    """
    x, y, d = a / np.sqrt(2.0), a * np.sqrt(1.5), a / np.sqrt(3.0)
    atoms = Atoms(cell=[x, y, (len(sequence) - 1) * d + 2 * VACUUM], pbc=True)
    for layer, (here, above) in enumerate(pairwise(sequence)):
        for symbol, site, height in ((cation, here, 0.0), (anion, above, 0.25 * d)):
            shift = "ABC".index(site) / 3.0
            for u, v in ((0.0, 0.0), (0.5, 0.5)):
                place = [u * x, (v + shift) % 1.0 * y, VACUUM + layer * d + height]
                atoms += Atoms(symbol, [place])
    return atoms


def tilt(*, symbol: str = "Cu", a: float = COPPER, planes: int = 30, gap: float = 0.0) -> Atoms:
    """Make the symmetric Sigma 5 (210) tilt boundary along [001], which is x and the beam.

    ``planes`` of each grain are ``a / sqrt(20)`` apart; ``gap`` [Å] widens the boundary.
    """
    period, spacing = a * np.sqrt(5.0), a / np.sqrt(20.0)
    positions = []
    for plane in range(planes):
        for first in (0, 1):  # lattice points (first, second, third) a / 2 with an even sum
            second = plane - 2 * first
            x = (first + second) % 2 * 0.5 * a
            y = (first - 2 * second) * 0.1 * period % period
            positions.append([x, y, -plane * spacing])
            if plane:
                positions.append([x, y, plane * spacing + gap])
    half = (planes - 1) * spacing
    places = np.array(positions)
    places[:, 2] += VACUUM + half
    cell = [a, period, 2 * half + gap + 2 * VACUUM]
    return Atoms(f"{symbol}{len(places)}", places, cell=cell, pbc=True)


def vacancy_row() -> Planted:
    """Plant a twin in CdTe of whose boundary one column of tellurium is missing."""
    truth = stacked("ABCABCACBACBA")
    middle = _height(6)
    del truth[_nearest(truth, "Te", middle)]
    return _polar(truth, middle - 1.5, middle + 2.5, {"Cd": (1, 3), "Te": (0, 3)})


def substituted_column() -> Planted:
    """Plant a twin in CdTe with selenium in one of the boundary's columns of tellurium."""
    truth = stacked("ABCABCACBACBA")
    middle = _height(6)
    truth.symbols[_nearest(truth, "Te", middle)] = "Se"
    return _polar(truth, middle - 1.5, middle + 2.5, {"Cd": (2, 2), "Se": (0, 2), "Te": (0, 2)})


def other_phase() -> Planted:
    """Plant two double layers of wurtzite stacking between grains of zincblende."""
    truth = stacked("ABCABCBCABCAB")
    middle = _height(6)
    return _polar(truth, middle - 4.6, middle + 1.9, {"Cd": (3, 5), "Te": (3, 5)})


def extra_column() -> Planted:
    """Plant a tilt boundary in copper that has one column more than the coincidence lattice."""
    truth = tilt(gap=0.6)
    middle = 0.5 * float(truth.cell[2, 2])
    truth += Atoms("Cu", [[0.0, 0.5 * float(truth.cell[1, 1]), middle]])
    region = {"lower": middle - 1.3, "upper": middle + 1.3, "margin": 4.0, "axis": "z"}
    inside = int((np.abs(truth.positions[:, 2] - middle) <= 1.3).sum())
    return Planted(truth, region, {"Cu": (inside - 2, inside + 1)}, METAL)


def shifted_grain() -> Planted:
    """Plant a tilt boundary in copper whose upper grain is not where the start structure has it."""
    truth = tilt(gap=0.3)
    middle = 0.5 * float(truth.cell[2, 2])
    region = {"lower": middle - 1.0, "upper": middle + 1.0, "margin": 3.0, "axis": "z"}
    return Planted(truth, region | {"above": "rigid"}, {}, METAL, shift=(0.0, 1.4, 0.3))


KINDS: Mapping[str, Callable[[], Planted]] = {
    "vacancy_row": vacancy_row,
    "substituted_column": substituted_column,
    "other_phase": other_phase,
    "extra_column": extra_column,
    "shifted_grain": shifted_grain,
}


def _polar(
    truth: Atoms, lower: float, upper: float, composition: Mapping[str, tuple[int, int]]
) -> Planted:
    region = {"lower": lower, "upper": upper, "margin": 3.0, "axis": "z"}
    return Planted(truth, region, composition, POLAR)


def _height(layer: int) -> float:
    """Of the cations of a double layer in :func:`stacked` [Å]."""
    return VACUUM + layer * CDTE / 3.0**0.5


def _nearest(atoms: Atoms, symbol: str, height: float) -> int:
    """Index of the atom of an element that is nearest to a height [Å]."""
    away = np.abs(atoms.positions[:, 2] - height) + np.where(atoms.symbols == symbol, 0.0, np.inf)
    return int(np.argmin(away))
