"""Clusters cut from known motifs, the ones first that a quick experiment fits."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import numpy as np
from ase import Atoms

from htinvert.core import REGION_TAG, Floats, Objective, Space, UserError
from htinvert.declaration.declared import Parameter
from htinvert.generators.listed import Listed
from htinvert.generators.operators.cages import cage
from htinvert.generators.operators.contraction import contracted, mean_bond
from htinvert.generators.operators.hopes import Hope, Hopes, cost_of, lowest, told_apart, unlike
from htinvert.generators.operators.legal import bond_length, center, is_free_cluster, is_valid
from htinvert.generators.operators.motifs import (
    MOTIFS,
    Cut,
    balls,
    cuts,
    neighboring,
    pair_energies,
)

CAGE = "cage"
CAGES = 8  # draws of a closed cage
COUNTS = 6  # numbers of atoms that are tried, where the composition leaves them open
HELD = 12  # cuts of each motif, the best held, of large clusters and open numbers of atoms
SMALL = 60  # atoms, up to which all cuts are compared with the data
SCALES = 0.8 * 1.015 ** np.arange(31)  # of the covalent bond: where a motif's may lie
AROUND = (0.97, 0.985, 1.0, 1.015, 1.03)  # of a motif's: where that of one of its cuts may
FEW = (0.985, 1.0, 1.015)  # the same for all cuts
QUICK = 6  # simulations per free parameter of a fit of every cut
FINER = 2  # times the step from one scale to the next is halved: EXAFS sees 0.3 % of a bond
HOPEFUL = 1.1  # of the best motif's misfit, up to which cages are drawn one after the other
BALLED = 1.3  # the same, up to which balls of a motif are cut
NEAR = 2.0  # of the best cut's misfit, up to which cuts of a motif are contracted
MENDED = 4  # best cuts, of which single atoms are tried elsewhere
WORSE = 3.0  # bonds that such a move may lose
TRIALS = 40  # moves of one atom that are compared
GAIN = 0.97  # of a misfit: a smaller one is worth a move
ROUNDS = 4  # moves of one atom after the other

Cost = Callable[[Atoms], float]


@dataclass
class Motifs(Listed):
    """Propose cuts of known motifs, each once; then nothing more, so that others go on from there.

    The length of a bond, which motif and which cut are chosen by the quick experiments, such as a
    G(r), of structures as they are cut and as a metal contracts them; of the best cuts single atoms
    are put elsewhere where these fit better then. Without such an experiment cuts come in the order
    of their bonds. Motifs: see :mod:`htinvert.generators.operators.motifs`, and closed cages, which
    only data bring in.

    Attributes:
        misfits: what prices a structure by the experiments; the campaign gives it.
        most: proposals.
    """

    sources: ClassVar[tuple[str, ...]] = (
        "F. Baletto and R. Ferrando, Rev. Mod. Phys. 77, 371 (2005), "
        "doi:10.1103/RevModPhys.77.371.",
        "F. Cleri and V. Rosato, Phys. Rev. B 48, 22 (1993), doi:10.1103/PhysRevB.48.22.",
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
        """Those that fit best, as cut or contracted, after single atoms of some were moved."""
        rng = np.random.default_rng([self.seed, 43])
        cut, relaxed = Hopes(), Hopes()
        compositions = self._compositions()
        for counts in compositions:
            count = sum(counts.values())
            each = max(HELD, int(HELD * COUNTS / len(compositions) * min(1.0, SMALL / count)))
            groups = self._groups(count, each, rng)
            cost = self.misfits.at(cut.parameters)
            first = {m: self._scaled(some[:1], _times(self._bond(), SCALES), counts, rng, cost)
                     for m, some in groups.items()}  # fmt: skip
            known = {motif: one[0] for motif, one in first.items() if one}
            if not known:
                continue
            best = min(known.values(), key=cost_of)
            _, cut.parameters = self.misfits.fitted(best.atoms)
            cost = self.misfits.at(cut.parameters)
            if CAGE in known and known[CAGE].cost <= HOPEFUL * best.cost:
                groups[CAGE] += _cages(sum(counts.values()), rng, CAGES - 1)
            ranked = {}
            for motif, one in known.items():
                scales = _times(one.scale, AROUND)
                for like in self._scaled(groups[motif][:1], scales, counts, rng, cost)[:1]:
                    scales = _times(like.scale, FEW)
                ranked[motif] = self._scaled(groups[motif], scales, counts, rng, cost)
            self._add_balls(ranked, counts, rng, cost)
            cut.add(ranked)
            relaxed.add(self._contracted(ranked, relaxed))
        found = [better for pool in (cut, relaxed) for better in self._best(pool)]
        return [one.atoms for one in told_apart(found)]

    def _add_balls(
        self,
        ranked: dict[str, list[Hope]],
        counts: Counter[str],
        rng: np.random.Generator,
        cost: Cost,
    ) -> None:
        """Rank balls of no symmetry, too, of the motifs that fit best; of small clusters."""
        count = sum(counts.values())
        fitting = {motif: some[0] for motif, some in ranked.items() if some and motif != CAGE}
        least = min((one.cost for one in fitting.values()), default=0.0)
        for motif, one in fitting.items():
            if count <= SMALL and one.cost <= BALLED * least:
                scales = _times(one.scale, FEW)
                ranked[motif] += self._scaled(_round(motif, count), scales, counts, rng, cost)
                ranked[motif].sort(key=cost_of)

    def _best(self, pool: Hopes) -> list[Hope]:
        """Hopes of a pool, each at its scale, after a fit of what is free, and some mended."""
        cost = self.misfits.at(pool.parameters)
        hopes = [
            one if one.relaxed else self._at_its_scale(one, cost) for one in unlike(pool.hopes)
        ]
        found = [self._fitted(one, pool.parameters) for one in told_apart(hopes)[: self.most]]
        mended = [self._mended(one) for one in told_apart(found)[:MENDED]]
        return found + [self._fitted(one, one.parameters) for one in mended if one]

    def _contracted(self, ranked: dict[str, list[Hope]], pool: Hopes) -> dict[str, list[Hope]]:
        """The same cuts as a metal contracts them, at the bond of the best and quickly fitted.

        Contracted cuts are all of one bond in the bulk, so that one scale is near that of each.
        """
        near = NEAR * min((some[0].cost for some in ranked.values() if some), default=0.0)
        forms = {motif: [form for one in some if (form := self._relaxed(one))]
                 for motif, some in ranked.items()
                 if some and some[0].cost <= near and motif != CAGE}  # fmt: skip
        forms = {motif: some for motif, some in forms.items() if some}
        if not forms:
            return {}
        cost = self.misfits.at(pool.parameters)
        first = (self._at_best(some[0], _times(some[0].scale, AROUND), cost)
                 for some in forms.values())  # fmt: skip
        best = min(first, key=cost_of)
        best = self._fitted(best, pool.parameters or None)
        pool.parameters = best.parameters
        return {
            motif: [
                self._fitted(new, best.parameters, fits=QUICK)
                for one in some
                for new in self._rescaled(one, np.array([best.scale]), _unpriced)
            ]
            for motif, some in forms.items()
        }

    def _relaxed(self, one: Hope) -> Hope | None:
        """A cut as a metal contracts it, with bonds as long in the mean; None where it is none."""
        positions = _pulled_in(one.cut)
        if positions is None:
            return None
        scale = one.scale * mean_bond(one.cut.positions) / mean_bond(positions)
        atoms = one.atoms.copy()
        atoms.positions = scale * positions
        center(atoms, self.space)
        return replace(one, scale=scale, atoms=atoms, relaxed=True)

    def _at_best(self, one: Hope, scales: Floats, cost: Cost) -> Hope:
        """A cluster at, or between, the scales [Å] where it fits best."""
        tried = self._rescaled(one, scales, cost)
        if not tried:
            return replace(one, cost=np.inf)
        best = min(tried, key=cost_of)
        return min([best, *self._rescaled(best, lowest(tried), cost)], key=cost_of)

    def _rescaled(self, one: Hope, scales: Floats, cost: Cost) -> list[Hope]:
        """A cut at some scales [Å] where it is legal."""
        some = [(scale, self._large(one.atoms, scale / one.scale)) for scale in scales]
        return [
            replace(one, scale=scale, cost=cost(atoms), atoms=atoms)
            for scale, atoms in some
            if is_valid(atoms, self.space)
        ]

    def _at_its_scale(self, one: Hope, cost: Cost) -> Hope:
        """A cut where its misfit is least between the scales that were tried."""
        step = AROUND[1] - AROUND[0]
        for _ in range(FINER):
            step /= 2.0
            near = self._rescaled(one, _times(one.scale, (1.0 - step, 1.0 + step)), cost)
            one = min([one, *near], key=cost_of)
        return one

    def _fitted(self, one: Hope, start: Any, **few: int) -> Hope:
        """A cluster with its misfit after a fit of what is free, and where that ends."""
        cost, parameters = self.misfits.fitted(one.atoms, start, **few)
        return replace(one, cost=cost, parameters=parameters)

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
    ) -> list[Hope]:
        """Every cut, in every order of its elements, at the scale [Å] where it fits best."""
        found = [
            self._at_best(Hope(cut, 1.0, np.inf, atoms), scales, cost)
            for cut in some
            for atoms in self._built(cut, 1.0, counts, rng)
        ]
        return sorted((one for one in found if np.isfinite(one.cost)), key=cost_of)

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

    def _mended(self, one: Hope) -> Hope | None:
        """A cut with single atoms at sites where the data want them; None where there is none."""
        cost, found = self.misfits.at(one.parameters), one
        for _ in range(ROUNDS):
            tried = []
            for taken, (i, j) in neighboring(found.cut, worse=WORSE, most=TRIALS):
                cut = Cut(found.cut.motif, found.cut.sites, found.cut.pairs, taken)
                positions = _pulled_in(cut) if found.relaxed else cut.positions
                if positions is None:
                    continue
                order = np.argsort([*found.cut.taken[:i], j, *found.cut.taken[i + 1 :]])
                atoms = found.atoms[order]
                atoms.positions = found.scale * positions
                center(atoms, self.space)
                if is_valid(atoms, self.space):
                    tried.append(replace(found, cut=cut, cost=cost(atoms), atoms=atoms))
            best = min(tried, key=cost_of, default=found)
            if best.cost >= GAIN * found.cost:
                break
            found = best
        return None if found is one else found


@functools.lru_cache(maxsize=64)
def _held(motif: str, count: int) -> tuple[Cut, ...]:
    """Cuts of a motif of the most bonds, the first of them first."""
    return tuple(sorted(cuts(motif, count), key=lambda cut: cut.energy))


@functools.lru_cache(maxsize=64)
def _round(motif: str, count: int) -> tuple[Cut, ...]:
    """Balls of a motif, those of the most bonds first."""
    return tuple(sorted(balls(motif, count), key=lambda cut: cut.energy))


@functools.lru_cache(maxsize=1024)
def _pulled_in(cut: Cut) -> Floats | None:
    """Positions of a cut as a metal contracts it; None where none does."""
    return contracted(cut.positions)


def _unpriced(_: Atoms) -> float:
    return np.inf


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
