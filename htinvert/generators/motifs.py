"""Clusters cut from known motifs, the ones first that a quick experiment fits as they stand."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from typing import Annotated, Any, ClassVar

import numpy as np
from ase import Atoms

from htinvert.core import REGION_TAG, Floats, Objective, Space, UserError
from htinvert.declaration.declared import Parameter
from htinvert.generators.listed import Listed
from htinvert.generators.operators.cages import cage
from htinvert.generators.operators.legal import bond_length, center, is_free_cluster, is_valid
from htinvert.generators.operators.motifs import MOTIFS, Cut, cuts, neighboring, pair_energies

CAGE = "cage"
CAGES = 8  # draws of a closed cage
COUNTS = 6  # numbers of atoms that are tried, where the composition leaves them open
HELD = 12  # cuts of each motif, the best held, of large clusters and open numbers of atoms
SMALL = 60  # atoms, up to which all cuts are compared with the data
HOPES, FIRM = 60, 4  # cuts that fit best, and those of the most bonds of each motif, that go on
SCALES = 0.8 * 1.015 ** np.arange(31)  # of the covalent bond: where a motif's may lie
AROUND = (0.97, 0.985, 1.0, 1.015, 1.03)  # of a motif's: where that of one of its cuts may
FEW = (0.985, 1.0, 1.015)  # the same for all cuts
FINER = 2  # times the step from one scale to the next is halved: EXAFS sees 0.3 % of a bond
ALIKE = 0.02  # of a bond, rms of sorted distances: closer cuts are the same
HOPEFUL = 1.1  # of the best motif's misfit, up to which cages are drawn one after the other
MENDED = 4  # best cuts, of which single atoms are tried elsewhere
WORSE = 3.0  # bonds that such a move may lose
TRIALS = 40  # moves of one atom that are compared
GAIN = 0.97  # of a misfit: a smaller one is worth a move
CLOSE = 1.2  # of the best misfit, up to which bonds decide: the data hardly tell
LOOSE = 2.5  # of the best misfit, up to which bonds have a say
ROUNDS = 4  # moves of one atom after the other

Cost = Callable[[Atoms], float]


@dataclass(frozen=True, eq=False)
class _Ranked:
    """A cluster to propose: cut, scale [Å], misfit, structure."""

    cut: Cut
    scale: float
    cost: float
    atoms: Atoms


@dataclass
class Motifs(Listed):
    """Propose cuts of known motifs, each once; then nothing more, so that others go on from there.

    The length of a bond, which motif and which cut are chosen by the quick experiments, such as a
    G(r), of structures that are not relaxed; of the best cuts single atoms are put elsewhere where
    these fit better then. Without such an experiment cuts come in the order of their bonds. Motifs:
    see :mod:`htinvert.generators.operators.motifs`, and closed cages, which only data bring in.

    Attributes:
        misfits: what prices a structure by the experiments; the campaign gives it.
        most: proposals.
    """

    sources: ClassVar[tuple[str, ...]] = (
        "F. Baletto and R. Ferrando, Rev. Mod. Phys. 77, 371 (2005), "
        "doi:10.1103/RevModPhys.77.371.",
        "S. Banerjee et al., Acta Cryst. A 76, 24 (2020), doi:10.1107/S2053273319013214.",
    )

    operator: ClassVar[str] = "motif"

    space: Space
    objectives: tuple[Objective, ...]
    seed: int
    misfits: Any
    most: Annotated[int, Parameter("1", 1)] = 20

    def __post_init__(self) -> None:
        if not (is_free_cluster(self.space) and self.space.puts_atoms):
            raise UserError(
                "motifs proposes free clusters but the structure is none, or has no composition; "
                "give structure: {use: box, size: ...} and composition, or leave motifs out of "
                "search.generators"
            )

    def structures(self) -> list[Atoms]:
        """The cuts, the best first."""
        return (self._by_data() if self.misfits else self._by_bonds())[: self.most]

    def _by_bonds(self) -> list[Atoms]:
        """All cuts that are legal, those of the most bonds by atom first."""
        rng, found = np.random.default_rng([self.seed, 43]), []
        for counts in self._compositions():
            for motif in MOTIFS:
                for cut in _held(motif, sum(counts.values()))[:HELD]:
                    found += [(cut.energy / len(cut.taken), cut, counts)]
        found.sort(key=lambda one: one[0])
        made = (atoms for _, cut, counts in found[: 4 * self.most]
                for atoms in self._built(cut, self._bond(), counts, rng))  # fmt: skip
        return [atoms for atoms in made if is_valid(atoms, self.space)]

    def _by_data(self) -> list[Atoms]:
        """Those that fit best as they stand, after single atoms of some were put elsewhere."""
        rng, found = np.random.default_rng([self.seed, 43]), []
        parameters: dict[str, dict[str, float]] = {}
        compositions = self._compositions()
        for counts in compositions:
            count = sum(counts.values())
            each = max(HELD, int(HELD * COUNTS / len(compositions) * min(1.0, SMALL / count)))
            groups = self._groups(count, each, rng)
            cost = self.misfits.at(parameters)
            first = {m: self._scaled(some[:1], _times(self._bond(), SCALES), counts, rng, cost)
                     for m, some in groups.items()}  # fmt: skip
            known = {motif: one[0] for motif, one in first.items() if one}
            if not known:
                continue
            best = min(known.values(), key=lambda one: one.cost)
            _, parameters = self.misfits.fitted(best.atoms)
            cost = self.misfits.at(parameters)
            if CAGE in known and known[CAGE].cost <= HOPEFUL * best.cost:
                groups[CAGE] += _cages(sum(counts.values()), rng, CAGES - 1)
            hopes = []
            for motif, one in known.items():
                scales = _times(one.scale, AROUND)
                for like in self._scaled(groups[motif][:1], scales, counts, rng, cost)[:1]:
                    scales = _times(like.scale, FEW)
                ranked = self._scaled(groups[motif], scales, counts, rng, cost)
                found += sorted(ranked, key=_bonds)[:FIRM]
                hopes += ranked
            found += sorted(hopes, key=_cost)[:HOPES]
        found = [self._at_its_scale(one, cost) for one in _unlike(found)]
        found = _told_apart(found)[: 2 * self.most]
        found += [better for one in found[:MENDED] if (better := self._mended(one, cost))]
        return [one.atoms for one in _told_apart([self._fitted(one, parameters) for one in found])]

    def _rescaled(self, one: _Ranked, scales: Floats, cost: Cost) -> list[_Ranked]:
        """A cut at some scales [Å] where it is legal."""
        some = [(scale, self._large(one.atoms, scale / one.scale)) for scale in scales]
        return [
            replace(one, scale=scale, cost=cost(atoms), atoms=atoms)
            for scale, atoms in some
            if is_valid(atoms, self.space)
        ]

    def _at_its_scale(self, one: _Ranked, cost: Cost) -> _Ranked:
        """A cut where its misfit is least between the scales that were tried."""
        step = AROUND[1] - AROUND[0]
        for _ in range(FINER):
            step /= 2.0
            near = self._rescaled(one, _times(one.scale, (1.0 - step, 1.0 + step)), cost)
            one = min([one, *near], key=_cost)
        return one

    def _fitted(self, one: _Ranked, parameters: Any) -> _Ranked:
        return replace(one, cost=self.misfits.fitted(one.atoms, parameters)[0])

    def _groups(self, count: int, each: int, rng: np.random.Generator) -> dict[str, list[Cut]]:
        """So many cuts by motif, those of the most bonds first, and a cage."""
        groups = {motif: list(_held(motif, count)[:each]) for motif in MOTIFS}
        groups[CAGE] = _cages(count, rng, 1)
        return {motif: some for motif, some in groups.items() if some}

    def _compositions(self) -> list[Counter[str]]:
        """Numbers of atoms of each element that the composition allows, a few of them."""
        allowed = self.space.composition
        shares = np.unique(np.round(np.linspace(0.0, 1.0, COUNTS), 6))
        found = [
            Counter({s: round(low + x * (high - low)) for s, (low, high) in allowed.items()})
            for x in shares
        ]
        different = {tuple(sorted(counts.items())): +counts for counts in found}
        return [counts for counts in different.values() if sum(counts.values()) > 2]

    def _bond(self) -> float:
        """Length [Å] of the shortest bond, by covalent radii."""
        return min(bond_length(symbol, symbol, self.space) for symbol in self.space.composition)

    def _scaled(
        self,
        some: Iterable[Cut],
        scales: Floats,
        counts: Counter[str],
        rng: np.random.Generator,
        cost: Cost,
    ) -> list[_Ranked]:
        """Every cut, in every order of its elements, at the scale [Å] where it fits best."""
        found = []
        for cut in some:
            for atoms in self._built(cut, 1.0, counts, rng):
                tried = self._rescaled(_Ranked(cut, 1.0, np.inf, atoms), scales, cost)
                if tried:
                    best = min(tried, key=_cost)
                    between = self._rescaled(best, _lowest(tried), cost)
                    found.append(min([best, *between], key=_cost))
        return sorted(found, key=_cost)

    def _large(self, atoms: Atoms, scale: float) -> Atoms:
        large = atoms.copy()
        large.positions *= scale
        center(large, self.space)
        return large

    def _built(
        self, cut: Cut, scale: float, counts: Counter[str], rng: np.random.Generator
    ) -> Iterator[Atoms]:
        """A cut as atoms: of one element, or with each element inside, and all mixed."""
        template = self.space.template[:0]
        positions = cut.positions * scale
        names = sorted(counts)
        outward = np.argsort(np.linalg.norm(positions, axis=1), kind="stable")
        orders = [np.repeat(names, [counts[name] for name in names])]
        if len(names) > 1:
            inner = names[::-1]
            orders += [np.repeat(inner, [counts[name] for name in inner])]
            orders += [rng.permutation(orders[0])]
        for order in orders:
            symbols = np.empty(len(positions), dtype=object)
            symbols[outward] = order
            atoms = template + Atoms(list(symbols), positions, tags=[REGION_TAG] * len(positions))
            center(atoms, self.space)
            yield atoms

    def _mended(self, one: _Ranked, cost: Cost) -> _Ranked | None:
        """A cut with single atoms at sites where the data want them; None where there is none."""
        found = one
        for _ in range(ROUNDS):
            tried = []
            for taken, (i, j) in neighboring(found.cut, worse=WORSE, most=TRIALS):
                cut = Cut(found.cut.motif, found.cut.sites, found.cut.pairs, taken)
                atoms = found.atoms.copy()
                shift = found.cut.sites[j] - found.cut.sites[found.cut.taken[i]]
                atoms.positions[i] += found.scale * shift
                order = np.argsort([*found.cut.taken[:i], j, *found.cut.taken[i + 1 :]])
                atoms = atoms[order]
                center(atoms, self.space)
                if is_valid(atoms, self.space):
                    tried.append(_Ranked(cut, found.scale, cost(atoms), atoms))
            best = min(tried, key=lambda each: each.cost, default=found)
            if best.cost >= GAIN * found.cost:
                break
            found = best
        return None if found is one else found


@functools.lru_cache(maxsize=64)
def _held(motif: str, count: int) -> tuple[Cut, ...]:
    """Cuts of a motif of the most bonds, the first of them first."""
    return tuple(sorted(cuts(motif, count), key=lambda cut: cut.energy))


def _lowest(tried: list[_Ranked]) -> Floats:
    """The scale [Å] where a parabola through the lowest squared misfit and those beside it is."""
    costs = np.array([one.cost for one in tried]) ** 2
    at = int(np.argmin(costs))
    if not 0 < at < len(tried) - 1 or not np.isfinite(costs[at - 1 : at + 2]).all():
        return np.zeros(0)
    a, b, _ = np.polyfit([one.scale for one in tried[at - 1 : at + 2]], costs[at - 1 : at + 2], 2)
    return np.array([-b / (2.0 * a)]) if a > 0.0 else np.zeros(0)


def _times(scale: float, some: Iterable[float]) -> Floats:
    return np.asarray(scale * np.array(list(some)), dtype=float)


def _cages(count: int, rng: np.random.Generator, draws: int) -> list[Cut]:
    """Closed cages as cuts of which every site is taken."""
    made = (cage(count, rng) for _ in range(draws))
    return [
        Cut(CAGE, sites, pair_energies(sites), tuple(range(count)))
        for sites in made
        if sites is not None
    ]


def _told_apart(some: list[_Ranked]) -> list[_Ranked]:
    """Unlike ones, by fit and by bonds in turn, for a quick simulation may favor the wrong ones.

    By fit: those first, by their bonds, that fit about as well as the best. By bonds: those that
    fit well enough for that the simulation leaves things out, such as multiple scattering.
    """
    found = _unlike(some)
    close, loose = (
        sorted((one for one in found if one.cost <= most * found[0].cost), key=_bonds)
        for most in (CLOSE, LOOSE)
    )
    in_turn = chain.from_iterable(zip_longest(close + found[len(close) :], loose))
    return list(dict.fromkeys(one for one in in_turn if one is not None))


def _cost(one: _Ranked) -> float:
    return one.cost


def _bonds(one: _Ranked) -> float:
    return one.cut.energy / len(one.cut.taken)


def _unlike(some: list[_Ranked]) -> list[_Ranked]:
    """Those of unlike distances, each the best of its like, the best fit first."""
    found: list[_Ranked] = []
    known: list[tuple[str, Floats]] = []
    for one in sorted(some, key=_cost):
        formula, distances = str(one.atoms.symbols), _distances(one)
        if not any(
            formula == name and len(other) == len(distances)
            and np.sqrt(np.mean((other - distances) ** 2)) < ALIKE
            for name, other in known
        ):  # fmt: skip
            known.append((formula, distances))
            found.append(one)
    return found


def _distances(one: _Ranked) -> Floats:
    """Sorted distances in units of the bond."""
    positions = one.atoms.positions
    apart = np.linalg.norm(positions[:, None] - positions, axis=-1)
    return np.asarray(np.sort(apart[np.triu_indices(len(positions), 1)]) / one.scale)
