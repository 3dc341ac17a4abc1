"""Clusters cut from the motifs that clusters are known for, in units of the nearest distance.

Close packings with and without a fault, body-centered and diamond crystals, five-fold twins
(decahedra) and Mackay's icosahedra with either overlayer: F. Baletto & R. Ferrando, Rev. Mod. Phys.
77, 371 (2005). A motif is many sites; a cut takes so many of them inside of a shape, then moves
atoms to better sites while that lowers the energy of pairs (dynamic lattice searching: X. Shao, L.
Cheng & W. Cai, J. Comput. Chem. 25, 1693 (2004)).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from ase.cluster import Icosahedron
from scipy.stats import qmc

from htinvert.core import Floats
from htinvert.generators.operators.bonds import attraction

BOND = 1.26  # of the nearest distance: sites closer are neighbors
TOO_CLOSE = 0.79  # and those closer exclude each other; anti-Mackay overlayers have 0.81
OUTER = 1.9  # beyond a ball of as many atoms that sites are made
ASPECTS = (1.0, 0.75, 1.35, 0.5, 2.0)  # height over width of the shapes
FACETS = (0.0, 0.87, 1.0)  # how near cube faces are to octahedron faces, of cubic polyhedra
CENTERS = 6  # of the symmetric points of a motif
POINTS = 64  # of no symmetry, around which balls are cut
ROUNDS = 60  # moves of one atom to a better site
FAR_APART = 1e6  # energy of atoms that exclude each other


@dataclass(frozen=True, eq=False)
class Cut:
    """A cluster in units of its nearest distance: motif, sites, shape (m, 3), and which are taken.

    ``pairs`` is the energy of each two sites, shape (m, m), in bonds.
    """

    motif: str
    sites: Floats
    pairs: Floats
    taken: tuple[int, ...]

    @property
    def positions(self) -> Floats:
        """Of its atoms, shape (n, 3), the mean in the origin."""
        found = self.sites[list(self.taken)]
        return np.asarray(found - found.mean(axis=0))

    @property
    def energy(self) -> float:
        """Of its pairs, in bonds."""
        chosen = list(self.taken)
        return float(self.pairs[np.ix_(chosen, chosen)].sum() / 2.0)


def cuts(motif: str, count: int) -> Iterator[Cut]:
    """Cuts of a motif with so many atoms, as they are and mended, like ones once."""
    return _cuts(motif, count, _orders, set())


def balls(motif: str, count: int) -> Iterator[Cut]:
    """More cuts of a motif, around points of no symmetry; none that :func:`cuts` makes, too."""
    seen: set[tuple[int, ...]] = set()
    for _ in _cuts(motif, count, _orders, seen):
        pass
    return _cuts(motif, count, _around, seen)


def _cuts(
    motif: str,
    count: int,
    orders: Callable[[str, Floats], Iterator[np.ndarray]],
    seen: set[tuple[int, ...]],
) -> Iterator[Cut]:
    """Cuts of a motif by orders in which its sites are taken, but for those like what was seen."""
    sites = MOTIFS[motif](_radius(count) + OUTER)
    if len(sites) < count:
        return
    pairs = pair_energies(sites)
    for order in orders(motif, sites):
        raw = _filled(order, pairs, count)
        if raw is None:
            continue
        for taken in (raw, settled(raw, pairs)):
            key = tuple(np.round(_profile(sites[list(taken)])).astype(int))
            if key not in seen:
                seen.add(key)
                yield Cut(motif, sites, pairs, taken)


def pair_energies(sites: Floats) -> Floats:
    """Energy of each two sites [bonds], shape (m, m); very high where both cannot be taken.

    Every bond counts 1, for those that a motif stretches are relaxed later; the rest attracts as
    Lennard-Jones atoms do.
    """
    apart = np.linalg.norm(sites[:, None] - sites, axis=-1)
    np.fill_diagonal(apart, np.inf)
    energies = np.where(apart < BOND, -1.0, attraction(apart, np.ones(1)))
    return np.where(apart < TOO_CLOSE, FAR_APART, energies)


def settled(taken: tuple[int, ...], pairs: Floats) -> tuple[int, ...]:
    """Sites after moves of one atom at a time to the vacant site that lowers the energy most."""
    held = np.zeros(len(pairs), dtype=bool)
    held[list(taken)] = True
    for _ in range(ROUNDS if not held.all() else 0):
        change = changes(held, pairs)
        best = int(np.argmin(change))
        i, j = divmod(best, change.shape[1])
        if change[i, j] > -1e-6:
            break
        held[np.flatnonzero(held)[i]], held[np.flatnonzero(~held)[j]] = False, True
    return tuple(map(int, np.flatnonzero(held)))


def changes(held: np.ndarray, pairs: Floats) -> Floats:
    """Change of energy where an atom goes to a vacant site, shape (atoms, vacant sites)."""
    each = pairs[:, held].sum(axis=1)
    return np.asarray(each[~held][None, :] - pairs[np.ix_(held, ~held)] - each[held][:, None])


def neighboring(
    cut: Cut, *, worse: float, most: int
) -> list[tuple[tuple[int, ...], tuple[int, int]]]:
    """Cuts with one atom elsewhere that lose up to ``worse`` bonds, the best held first.

    With each the number of the atom and the site that it goes to.
    """
    held = np.zeros(len(cut.pairs), dtype=bool)
    held[list(cut.taken)] = True
    if held.all():
        return []
    change = changes(held, cut.pairs)
    vacant, found = np.flatnonzero(~held), []
    for place in np.argsort(change, axis=None, kind="stable")[:most]:
        i, j = map(int, divmod(int(place), change.shape[1]))
        if change[i, j] <= worse:
            rest = (*cut.taken[:i], *cut.taken[i + 1 :])
            found.append((tuple(sorted((*rest, int(vacant[j])))), (i, int(vacant[j]))))
    return found


def _radius(count: int) -> float:
    """Of a ball of so many close-packed atoms."""
    return float((0.75 * count / np.sqrt(2.0) / np.pi) ** (1 / 3))


def _profile(positions: Floats) -> Floats:
    """What tells clusters apart quickly: moments of all distances, and neighbors by atom."""
    apart = np.linalg.norm(positions[:, None] - positions, axis=-1)
    near = np.sort(((apart < BOND) & (apart > 0)).sum(axis=1))
    return np.concatenate([[1e2 * apart.mean(), 1e2 * (apart**2).mean()], near])


def _filled(order: np.ndarray, pairs: Floats, count: int) -> tuple[int, ...] | None:
    """The first sites of an order that do not exclude each other; None where there are too few."""
    taken: list[int] = []
    for site in order:
        if len(taken) == count:
            break
        if not (pairs[site, taken] >= FAR_APART).any():
            taken.append(int(site))
    return tuple(taken) if len(taken) == count else None


def _orders(motif: str, sites: Floats) -> Iterator[np.ndarray]:
    """Orders in which sites are taken: from symmetric points outward, by several shapes."""
    for center in _centers(sites):
        from_here = sites - center
        for aspect in ASPECTS:
            scale = np.array([1.0, 1.0, aspect]) / aspect ** (1 / 3)
            yield _outward(np.linalg.norm(from_here / scale, axis=1), from_here)
        if motif == "fcc":
            cubic = np.abs(from_here @ CUBIC.T)
            for facet in FACETS:
                gauge = np.maximum(cubic.sum(axis=1) / np.sqrt(3), facet * cubic.max(axis=1))
                yield _outward(gauge, from_here)


def _around(_: str, sites: Floats) -> Iterator[np.ndarray]:
    """Orders outward from points that are evenly spread, up to half a bond from the middle."""
    for point in qmc.Sobol(3, scramble=False).random(POINTS) - 0.5:
        yield np.argsort(np.linalg.norm(sites - point, axis=1), kind="stable")


def _outward(gauge: Floats, from_here: Floats) -> np.ndarray:
    """By a gauge, equal ones by distance, then by direction, so that facets fill side by side."""
    tie = np.round(np.linalg.norm(from_here, axis=1), 3)
    along = from_here @ [0.61, 0.33, 0.72]
    return np.lexsort((-along, tie, np.round(gauge, 3)))


def _centers(sites: Floats) -> list[Floats]:
    """Symmetric points near the origin: sites, middles of two, three, four, and of holes."""
    near = sites[np.argsort(np.linalg.norm(sites, axis=1), kind="stable")[:14]]
    points: list[Floats] = [np.zeros(3), near[0]]
    for size in (2, 3, 4):
        for some in combinations(range(min(len(near), 9)), size):
            corner = near[list(some)]
            apart = np.linalg.norm(corner[:, None] - corner, axis=-1)
            if apart.max() < BOND or (size == 2 and abs(apart.max() - np.sqrt(2)) < 0.06):
                points.append(corner.mean(axis=0))
    found: dict[tuple[int, ...], Floats] = {}
    for point in points:
        around = np.sort(np.linalg.norm(sites - point, axis=1))[:24]
        found.setdefault(tuple(np.round(20 * around).astype(int)), point)
    return list(found.values())[:CENTERS]


def _layers(offset: Callable[[int], int]) -> Callable[[float], Floats]:
    """Sites of close-packed layers, each over one of three places, within a radius."""

    def sites(radius: float) -> Floats:
        n = int(np.ceil(radius)) + 2
        grid = np.array([(i, j, k) for i in range(-2 * n, 2 * n + 1) for j in range(-n, n + 1)
                         for k in range(-n, n + 1)], dtype=float)  # fmt: skip
        i, j, k = grid.T
        shift = np.array([offset(int(layer)) % 3 for layer in k])
        x = i + 0.5 * j + 0.5 * shift
        y = (j + shift / 3.0) * np.sqrt(0.75)
        return _within(np.stack([x, y, k * np.sqrt(2 / 3)], axis=1), radius)

    return sites


def _within(points: Floats, radius: float) -> Floats:
    return np.asarray(points[np.linalg.norm(points, axis=1) < radius])


def _cubic(basis: Floats, cell: float) -> Callable[[float], Floats]:
    """Sites of a cubic crystal of a cell length, within a radius."""

    def sites(radius: float) -> Floats:
        n = int(np.ceil(radius / cell)) + 1
        steps = np.stack(np.meshgrid(*[np.arange(-n, n + 1)] * 3), axis=-1).reshape(-1, 1, 3)
        return _within(cell * (steps + basis).reshape(-1, 3), radius)

    return sites


def _decahedral(radius: float) -> Floats:
    """Five fcc tetrahedra around an axis, each a little opened so that they close."""
    n, found = int(np.ceil(radius / 0.85)) + 1, set()
    turns = 2 * np.pi / 5 * np.arange(6)
    spokes = np.sqrt(0.75) * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    for sector in range(5):
        for i in range(n + 1):
            for j in range(n + 1):
                x, y = i * spokes[sector] + j * spokes[sector + 1]
                for k in range(-n, n + 1):
                    found.add((round(x, 6), round(y, 6), k + 0.5 * ((i + j) % 2)))
    return _within(np.array(sorted(found)), radius)


def _icosahedral(radius: float) -> Floats:
    """Shells of Mackay's icosahedron."""
    shells = int(np.ceil(radius)) + 2
    sites = np.asarray(Icosahedron("X", shells, latticeconstant=np.sqrt(2.0)).positions)
    sites = sites - sites.mean(axis=0)
    order = np.argsort(np.linalg.norm(sites, axis=1), kind="stable")
    return _within(sites[order] / np.linalg.norm(sites[order[1]]), radius)


def _anti_mackay(radius: float) -> Floats:
    """The icosahedron that is filled at most, the other hollows of its faces, and its corners.

    They are those of twinned tetrahedra, as in the double icosahedron of 19 atoms.
    """
    sites = _icosahedral(radius)
    shell = _shells(sites)
    core = max(int(radius - OUTER), 1)  # the ball of a shell's atoms is wider than its number
    hollows = np.array(_hollows(sites[shell == core]))
    beyond = sites[(shell == core + 1) & (np.linalg.norm(sites, axis=1) > core + 0.9)]
    apart = np.linalg.norm(hollows[:, None] - sites[shell == core + 1], axis=-1).min(axis=1)
    return _within(np.concatenate([sites[shell <= core], hollows[apart > 0.3], beyond]), radius)


def _shells(sites: Floats) -> Floats:
    """Number of the shell of each site of an icosahedron: height over the nearest face."""
    corners = sites[np.argsort(np.linalg.norm(sites, axis=1))[1:13]]
    faces = [
        np.sum(corners[list(t)], axis=0)
        for t in combinations(range(12), 3)
        if max(np.linalg.norm(corners[a] - corners[b]) for a, b in combinations(t, 2)) < BOND
    ]
    normals = np.array(faces) / np.linalg.norm(faces, axis=1, keepdims=True)
    heights = (sites @ normals.T).max(axis=1)
    return np.asarray(np.round(heights / (corners @ normals.T).max()))


def _hollows(shell: Floats) -> list[Floats]:
    """Places above the middles of three touching atoms of a shell."""
    apart = np.linalg.norm(shell[:, None] - shell, axis=-1)
    found = []
    for i, j in zip(*np.nonzero(np.triu(apart < BOND, 1)), strict=True):
        for k in np.flatnonzero((apart[i] < BOND) & (apart[j] < BOND)):
            if k > j:
                middle = shell[[i, j, k]].mean(axis=0)
                side = apart[i, j]
                up = middle / np.linalg.norm(middle)
                found.append(middle + up * np.sqrt(max(1.0 - side**2 / 3.0, 0.2)))
    return found


_FCC = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
CUBIC = np.linalg.inv(
    np.array([[1.0, 0.5, 0.5], [0.0, np.sqrt(0.75), np.sqrt(1 / 12)], [0.0, 0.0, np.sqrt(2 / 3)]])
    @ np.linalg.inv(np.array([[1, 0, 1], [0, 1, 1], [1, 1, 0]]) / np.sqrt(2)).T
)  # from the axes of the layers to those of the cube
MOTIFS: dict[str, Callable[[float], Floats]] = {
    "fcc": _layers(lambda k: k),
    "hcp": _layers(lambda k: k % 2),
    "twin": _layers(abs),
    "fault": _layers(lambda k: k + (k > 0)),
    "bcc": _cubic(np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), 2 / np.sqrt(3)),
    "diamond": _cubic(np.concatenate([_FCC, _FCC + 0.25]), 4 / np.sqrt(3)),
    "decahedron": _decahedral,
    "icosahedron": _icosahedral,
    "anti-Mackay": _anti_mackay,
}
"""Sites of each motif within a radius, shape (m, 3), neighbors 1 apart."""
