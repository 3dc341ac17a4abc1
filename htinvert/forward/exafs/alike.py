"""FEFF's list of paths, and which of them are so alike that one is calculated for all.

FEFF adds up paths that are equal to 0.001 Å. Were that what decides, a signal would jump where a
structure becomes symmetric: of equal paths FEFF keeps those that are strong together, of nearly
equal ones each that is strong alone. Here those that differ by less than ``ALIKE`` count together,
and share one's amplitude and phase, each with its own length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from htinvert.core import Floats
from htinvert.forward.exafs.paths import LEGS, Paths

SINGLE = 0.3  # Å, of single scattering, which is interpolated
ALIKE = (0.5, 22.5)  # each leg [Å] and turn [degrees]
ROUGHLY = (2.0, 45.0)  # the same of paths below WEAK
WEAK = 0.5  # % of the strongest, one by one
RISE = 0.1  # of the criterion, below and above it, within which a path comes in
LEAST = 0.01  # %, where the quick estimate is none
QUICK = 0.025  # of the criterion, for one path by FEFF's quick estimate
DISCARDED = 2.0 / 3.0  # of the criterion, below which FEFF leaves a path out
DOUBT = 0.5  # of that by the quick estimate
RULE = (SINGLE, ALIKE, ROUGHLY, WEAK, RISE, LEAST, QUICK, DISCARDED, DOUBT)  # of kept paths
WIDTH = 10  # characters of a number in the list of weights


@dataclass(frozen=True, eq=False)
class ListedPaths:
    """n paths that FEFF has found.

    Attributes:
        legs: of each, shape (n,).
        degeneracy: how many are equal, shape (n,).
        weight: quick estimate of one's amplitude [% of the strongest], shape (n,).
        places: of its atoms from the absorber [Å], which stands last, shape (n, 4, 3).
        potentials: of these, 0 for the absorber, -1 beyond the last leg, shape (n, 4).
        leg: to each of them [Å], 0 beyond the last, shape (n, 4).
        turn: there, 0 for straight on [degrees], shape (n, 4).
    """

    legs: NDArray[np.intp]
    degeneracy: Floats
    weight: Floats
    places: Floats
    potentials: NDArray[np.intp]
    leg: Floats
    turn: Floats

    def __len__(self) -> int:
        return len(self.legs)

    @classmethod
    def read(cls, paths: str, weights: str) -> ListedPaths:
        """Of the contents of paths.dat and crit.dat. Raises ``ValueError`` where they are none."""
        heads = [line for line in paths.splitlines() if "index, nleg" in line]
        atoms = [line for line in paths.splitlines() if line[41:42] == line[48:49] == "'"]
        said = [line for line in weights.splitlines() if line[:WIDTH].split()[1:]]
        legs = np.array([int(line[6:11]) for line in heads], dtype=np.intp)
        at = 16 + 2 * WIDTH
        weight = np.array([float(line[at : at + WIDTH]) for line in said[-len(heads) :]])
        words = " ".join(line[:40] + line[49:] for line in atoms)
        rows = np.fromstring(words, sep=" ").reshape(-1, 7)
        if len(rows) != legs.sum() or len(weight) != len(legs):
            raise ValueError("FEFF's list of paths is not whole")
        owner = np.repeat(np.arange(len(legs)), legs)
        stop = np.arange(len(rows)) - np.repeat(np.cumsum(legs) - legs, legs)
        table = np.zeros((len(legs), LEGS, 7))
        table[..., 3] = -1.0
        table[owner, stop] = rows
        return cls(
            legs=legs,
            degeneracy=np.array([float(line[11:19]) for line in heads]),
            weight=weight,
            places=table[..., :3],
            potentials=table[..., 3].astype(np.intp),
            leg=table[..., 4],
            turn=table[..., 5],
        )

    @property
    def length(self) -> Floats:
        """Half of the whole way [Å], shape (n,)."""
        return np.asarray(self.leg.sum(axis=1) / 2.0)

    def alike(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The group of each path, shape (n,), and the path that is calculated for each group."""
        weak = (self.legs > 2) & (self.weight < WEAK)
        leg, turn = np.where(weak, np.reshape(ROUGHLY, (2, 1)), np.reshape(ALIKE, (2, 1)))
        shape = self._shape(np.where(self.legs > 2, leg, SINGLE), turn)
        marks = np.concatenate([np.floor(shape), weak[:, None]], axis=1).astype(np.intp)
        _, group = np.unique(marks, axis=0, return_inverse=True)
        group = group.ravel()
        share = self.degeneracy * (self.weight + LEAST)
        whole = np.bincount(group, share)
        middle = np.transpose([np.bincount(group, share * one) / whole for one in shape.T])
        off = ((shape - middle[group]) ** 2).sum(axis=1)
        order = np.lexsort((off, group))
        return group, order[np.searchsorted(group[order], np.arange(len(whole)))]

    def strong(self, alone: Floats, least: float) -> Floats:
        """1 for paths that have, like ones taken together, ``least`` [%] of the strongest, else 0.

        Within a tenth of that it rises, so that no signal jumps; shape (n,).

        Args:
            alone: how strong each is with those that are equal, shape (n,).
            least: at least this [%].
        """
        every = np.ones(len(self))
        tree = cKDTree(self._shape(ALIKE[0] * every, ALIKE[1] * every))
        near = tree.sparse_distance_matrix(tree, 1.0, p=np.inf, output_type="ndarray")
        like = np.minimum(2.0 - 2.0 * near["v"], 1.0)  # nothing jumps as two become less alike
        together = np.bincount(near["i"], like * alone[near["j"]], len(self))
        share = 100.0 / least * together / together.max()
        return np.asarray(np.clip((share - 1.0) / (2.0 * RISE) + 0.5, 0.0, 1.0))

    def at(self, places: NDArray[np.intp]) -> ListedPaths:
        """Those of some places."""
        return ListedPaths(*(getattr(self, field.name)[places] for field in fields(self)))

    def _shape(self, leg: Floats, turn: Floats) -> Floats:
        """Potentials, legs and turns in steps of each path's [Å] and [degrees], shape (n, 12).

        Of both directions, which are one path, that with the lesser whole parts.
        """
        steps = [self.potentials, self.leg / leg[:, None], self.turn / turn[:, None] + 0.5]
        shape = np.concatenate(steps, axis=1)
        place, legs = np.arange(LEGS), self.legs[:, None]
        atoms = np.where(place < legs - 1, legs - 2 - place, place)
        ways = np.where(place < legs, legs - 1 - place, place)
        back = np.concatenate([atoms, LEGS + ways, 2 * LEGS + atoms], axis=1)
        one, other = np.floor(shape), np.take_along_axis(np.floor(shape), back, axis=1)
        first = (one != other).argmax(axis=1)[:, None]
        turned = np.take_along_axis(one > other, first, axis=1)
        return np.take_along_axis(shape, np.where(turned, back, np.arange(3 * LEGS)), axis=1)

    def sharing(
        self,
        made: Paths,
        group: NDArray[np.intp],
        chosen: NDArray[np.intp],
        elements: Sequence[int],
    ) -> Paths:
        """All paths, by those that were calculated, one of each group.

        Args:
            made: the calculated paths.
            group: of each path, shape (n,).
            chosen: the path that was calculated for each group.
            elements: atomic numbers of the potentials after the absorber's.
        """
        legs = np.where(self.leg > 0.0, self.leg, 1.0).prod(axis=1)
        thinner = self.length**2 / legs  # of plane waves, one over each leg
        places, numbers = np.zeros_like(self.places), np.zeros_like(self.potentials)
        inside = np.arange(1, LEGS) < self.legs[:, None]
        places[:, 1:][inside] = self.places[:, :-1][inside]
        numbers[:, 0] = made.numbers[0, 0]
        atoms = np.array([made.numbers[0, 0], *elements])
        numbers[:, 1:][inside] = atoms[self.potentials[:, :-1][inside]]
        whole = made.at(group)
        amplitude = whole.amplitude * (thinner / thinner[chosen[group]])[:, None]
        phase = whole.phase
        for potential in np.unique(self.potentials[self.legs == 2, 0]):
            (mine,) = np.nonzero((self.legs == 2) & (self.potentials[:, 0] == potential))
            some = np.unique(group[mine])
            some = some[np.argsort(made.length[some], kind="stable")]
            amplitude[mine], phase[mine] = _between(made.at(some), self.length[mine])
        return replace(
            whole,
            amplitude=amplitude,
            phase=phase,
            degeneracy=self.degeneracy,
            length=self.length,
            places=places,
            numbers=numbers,
        )


def strength(paths: Paths) -> Floats:
    """How strong each path with its equals is, over all k as FEFF has it, shape (n,)."""
    k, length = paths.k[1:], paths.length[:, None]
    momentum = paths.momentum[:, 1:]
    waves = paths.amplitude[:, 1:] * np.exp(-2.0 * length * momentum.imag) / (k * length**2)
    return np.asarray(paths.degeneracy * np.trapezoid(waves, np.abs(momentum), axis=1))


def _between(some: Paths, length: Floats) -> tuple[Floats, Floats]:
    """Amplitude and phase of single scattering at lengths [Å], from those at rising ones."""
    if len(some) == 1:
        return some.amplitude, some.phase
    rounds = np.rint((some.phase - some.phase[0]).mean(axis=1) / (2.0 * np.pi))
    phase = some.phase - 2.0 * np.pi * rounds[:, None]
    low = np.clip(np.searchsorted(some.length, length) - 1, 0, len(some) - 2)
    gap = np.maximum(some.length[low + 1] - some.length[low], 1e-4)
    share = np.clip((length - some.length[low]) / gap, -1.0, 2.0)[:, None]
    amplitude, phase = (
        (1.0 - share) * values[low] + share * values[low + 1] for values in (some.amplitude, phase)
    )
    return amplitude, phase
