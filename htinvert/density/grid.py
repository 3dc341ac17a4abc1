"""The density of states on a grid, split by energy: what a tunneling microscope sees of a surface.

Tersoff & Hamann, Phys. Rev. B 31, 805 (1985): the current at small bias is proportional to the
local density of states at the tip's place, summed over the states that the bias opens.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import UserError

Kind = Literal["window", "total", "approximate"]


@dataclass(frozen=True, eq=False)
class Density:
    """Electrons per volume on a grid that spans the cell, for one or more intervals of energy.

    Attributes:
        values: density [1/Å³], shape (intervals, n1, n2, n3), float32; point (i, j, k) lies at
            ``i/n1 a1 + j/n2 a2 + k/n3 a3``.
        atoms: the surface, its cell, and where its atoms are.
        edges: borders of the intervals, from the Fermi level [eV], one more than intervals; empty
            where they are not known.
        kind: ``window`` for states of an interval of energy, ``total`` for all electrons,
            ``approximate`` for what was made without solving for any state.
        method: how it was computed, in words.
    """

    values: NDArray[np.float32]
    atoms: Atoms
    edges: tuple[float, ...] = ()
    kind: Kind = "window"
    method: str = ""

    def __post_init__(self) -> None:
        if self.values.ndim != 4 or not all(self.values.shape):
            raise ValueError(f"values have the shape {self.values.shape}, not (intervals, x, y, z)")
        if self.edges and len(self.edges) != len(self.values) + 1:
            raise ValueError(f"{len(self.values)} intervals need {len(self.values) + 1} edges")

    def between(self, low: float | None, high: float | None) -> NDArray[np.float32]:
        """Density [1/Å³] of the states from ``low`` to ``high`` [eV], shape (n1, n2, n3).

        None is the end of what there is. An interval that is cut counts in proportion.

        Raises:
            UserError: where these energies were not computed.
        """
        if len(self.values) == 1 and (low is None or high is None):
            return self.values[0]
        if not self.edges:
            raise UserError(
                "the energies of this density are not known; leave the bias out, or give a "
                "density that was computed for known energies"
            )
        edges = np.array(self.edges)
        first, last = edges[0] if low is None else low, edges[-1] if high is None else high
        if not edges[0] - 1e-6 <= first < last <= edges[-1] + 1e-6:
            raise UserError(
                f"the bias window from {first:g} to {last:g} eV is outside the computed bands, "
                f"{edges[0]:g} to {edges[-1]:g} eV from the Fermi level; choose one within, or "
                "compute more bands"
            )
        overlap = np.minimum(edges[1:], last) - np.maximum(edges[:-1], first)
        parts = np.clip(overlap / np.diff(edges), 0.0, 1.0)
        chosen = np.flatnonzero(parts > 1e-9)
        if len(chosen) == 1 and parts[chosen[0]] > 1 - 1e-9:
            return self.values[chosen[0]]
        return np.tensordot(parts[chosen].astype(np.float32), self.values[chosen], axes=1)


@runtime_checkable
class DensitySource(Protocol):
    """Where the density of a surface comes from: a file, an engine, or a rule for its atoms."""

    def __call__(self, atoms: Atoms) -> Density: ...


@dataclass(frozen=True, eq=False, repr=False)
class GivenDensity:
    """A source of the one density that it holds, whatever the structure; it is named by content."""

    density: Density

    def __call__(self, atoms: Atoms) -> Density:
        """The density; ``atoms`` are not looked at."""
        del atoms
        return self.density

    @cached_property
    def _digest(self) -> str:
        held = self.density
        digest = sha256(repr((held.kind, held.edges, held.method)).encode())
        digest.update(np.ascontiguousarray(held.values).tobytes())
        return digest.hexdigest()[:24]

    def __repr__(self) -> str:
        return f"Held({self._digest})"


def decay(values: NDArray[np.floating], slab_top: float, length: float) -> tuple[float, float]:
    """How the plane average falls outside of a surface: rate [1/Å], and up to which height [Å].

    The rate is the mean from 1.5 to 2.5 Å above the topmost atom at ``slab_top`` [Å]; the height is
    where the local rate falls below half of it: by noise, or by the tail of the next image.
    ``values`` has the shape (n1, n2, n3); the cell is ``length`` [Å] long.
    """
    count = values.shape[2]
    step = length / count
    average = np.log(np.maximum(values.mean(axis=(0, 1), dtype=np.float64), 1e-300))
    first = int(np.ceil((slab_top + 1.5) / step))
    profile = average[(first + np.arange(int(length / 2 / step))) % count]
    rates = -np.diff(profile) / step
    rate = float(rates[: max(1, round(1.0 / step))].mean())
    slow = np.flatnonzero(rates < 0.5 * rate)
    end = int(slow[0]) if len(slow) else len(rates)
    return rate, (first + end) * step - slab_top


def valence_electrons(atoms: Atoms) -> int:
    """Electrons outside of closed shells: what a total density holds at least."""
    count = 0
    for number in atoms.numbers:
        core = max(c for c in (0, 2, 10, 18, 36, 54, 86) if c < number)
        outer = int(number) - core
        if core >= 54 and outer > 16:  # a filled f shell
            outer -= 14
        if core >= 18 and outer > 12:  # a filled d shell
            outer -= 10
        count += outer
    return count


def has_all_electrons(values: NDArray[np.floating], atoms: Atoms) -> bool:
    """Whether a density [1/Å³], shape (n1, n2, n3), holds every valence electron of its atoms."""
    electrons = float(values.mean(dtype=np.float64)) * atoms.cell.volume
    return electrons > 0.95 * valence_electrons(atoms) > 0
