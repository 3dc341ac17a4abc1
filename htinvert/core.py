"""The nouns and verbs of htinvert; every other module speaks in these.

A structure is an :class:`ase.Atoms`, never wrapped. Lengths are in Å, energies in eV, angles in
degrees unless a name says otherwise. Images are indexed ``(y, x)``, positions ``(x, y, z)``.
Atoms that a search may exchange carry tag 1 (the *region*), all others tag 0 (the *host*); atoms
that no relaxation may move are held by :class:`ase.constraints.FixAtoms`, a grain that moves as a
whole by :class:`htinvert.geometry.roles.RigidBody`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Reals = NDArray[np.floating]  # single precision stays single, double stays double
REGION_TAG = 1
HOST_TAG = 0
ENERGIES = {
    "energy": "eV",
    "total_energy": "eV",
    "formation_energy": "eV/atom",
    "interface_energy": "eV/Å²",
}
"""Objectives that are made of a relaxation's energy, and their units; docs/energy.md says how."""
DIRECTIONS = ("xyz", "xy", "xz", "yz", "x", "y", "z")  # in which a rigid grain may move


class UserError(Exception):
    """A user's mistake: one sentence that says what is wrong and what to do."""

    code = 2  # what the command line ends with


class Infeasible(Exception):
    """An operator could not make a valid structure; the proposal is counted and dropped."""


class Exhausted(Exception):
    """A generator with a finite supply has proposed all of it."""


class Interrupted(KeyboardInterrupt):
    """A person insists on the end; a KeyboardInterrupt that is none is a component's own."""


class EvaluationFailed(Exception):
    """A candidate could not be relaxed, imaged or scored; the message is the recorded reason."""


@dataclass(frozen=True)
class Axis:
    """One axis of a signal: ``value = origin + step * index`` in ``unit``."""

    name: str
    unit: str
    step: float
    origin: float = 0.0


@dataclass(frozen=True, eq=False)
class Signal:
    """Measured or simulated data, float32, one :class:`Axis` per dimension; images (y, x).

    ``quantity`` names the values and their unit, as ``G [Å⁻²]``; what was not measured is NaN.
    """

    data: NDArray[np.float32]
    axes: tuple[Axis, ...]
    quantity: str = ""

    def __post_init__(self) -> None:
        if self.data.ndim != len(self.axes):
            raise ValueError(
                f"data has {self.data.ndim} dimensions but {len(self.axes)} axes are given"
            )

    @classmethod
    def image(cls, data: NDArray[np.floating], sampling: float | tuple[float, float]) -> Signal:
        """Make an image, shape (ny, nx), from its pixel size [Å/px], one number or (y, x)."""
        steps = (sampling, sampling) if isinstance(sampling, int | float) else sampling
        axes = tuple(Axis(name, "Å", float(step)) for name, step in zip("yx", steps, strict=True))
        return cls(np.ascontiguousarray(data, dtype=np.float32), axes)

    @classmethod
    def curve(
        cls, x: Reals, y: Reals, *, name: str = "x", unit: str = "1", quantity: str = ""
    ) -> Signal:
        """Make a curve from evenly spaced x and the values y, both of shape (n,).

        Raises ValueError where x is not evenly spaced to 1 % of a step, or has fewer than 2 points.
        """
        places, count = np.asarray(x, dtype=float), len(x)
        step = (places[-1] - places[0]) / (count - 1) if count > 1 else 0.0
        even = places[0] + step * np.arange(count) if count else places
        if not step > 0.0 or np.abs(places - even).max() > 0.01 * step:
            raise ValueError(f"{name} is not evenly spaced and rising; rebin the curve")
        data = np.ascontiguousarray(y, dtype=np.float32)
        axis = Axis(name, unit, float(step), float(places[0]))
        return cls(data, (axis,), quantity)

    def coordinates(self, axis: int = 0) -> NDArray[np.float64]:
        """Where the points of an axis lie, in its unit: shape (n,)."""
        along = self.axes[axis]
        return along.origin + along.step * np.arange(self.data.shape[axis], dtype=float)

    @property
    def sampling(self) -> tuple[float, ...]:
        """Step of each axis in its unit, for an image (y, x) in Å/px."""
        return tuple(axis.step for axis in self.axes)


@dataclass(frozen=True, eq=False)
class Reused:
    """What an earlier evaluation of a structure tells, of the stages that were not changed since.

    ``scores`` and ``parameters`` are of ``channels`` alone; ``signals`` are exact, by channel.
    """

    relaxation: Relaxation
    channels: frozenset[str] = frozenset()
    scores: Mapping[str, Score] = field(default_factory=dict)
    parameters: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    signals: Mapping[str, Signal] = field(default_factory=dict)


@dataclass(frozen=True)
class Keep:
    """Keep the simulated signals where the weighted sum of objectives is not above ``below``."""

    objectives: tuple[Objective, ...]
    below: float


@dataclass(frozen=True, eq=False)
class Candidate:
    """A proposed structure. ``index`` names its random stream, ``default_rng([seed, index])``.

    ``start`` holds, per channel, the parameters from which its fits begin: those of its first
    parent. It is not stored, for the parents' evaluations tell it; nor are ``keep`` and ``reused``.
    A ``given`` structure is evaluated as it is, however close its atoms or near to a known minimum;
    only an equal one is refused.
    """

    index: int
    atoms: Atoms
    operator: str
    parents: tuple[int, ...] = ()
    start: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    given: bool = False
    keep: Keep | None = None
    reused: Reused | None = None


@dataclass(frozen=True, eq=False)
class Relaxation:
    """What an energy model returns: relaxed atoms and their potential energy [eV].

    ``force`` is the largest left on an atom or rigid body [eV/Å], None where that is not known.
    """

    atoms: Atoms
    energy: float
    converged: bool
    steps: int
    force: float | None = None


@dataclass(frozen=True)
class Score:
    """A comparison of two signals: ``cost`` is 0 for identical ones, lower is better, always."""

    cost: float
    detail: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All that is known of a candidate after its evaluation; a failure has an ``error``.

    ``objectives`` holds the numbers that rank, all to be made small: the :data:`ENERGIES` and
    ``channel.metric`` [1]. ``parameters`` holds, per channel, the fitted forward parameters.
    ``exact`` names those of ``signals`` that are to be kept bit for bit, and says by what imaging
    they were made; the others are there to be looked at.
    """

    candidate: Candidate
    relaxation: Relaxation | None = None
    scores: Mapping[str, Score] = field(default_factory=dict)
    objectives: Mapping[str, float] = field(default_factory=dict)
    parameters: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    signals: Mapping[str, Signal] = field(default_factory=dict)
    exact: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """True where the candidate was relaxed, imaged and scored."""
        return self.error is None

    @property
    def atoms(self) -> Atoms:
        """The relaxed structure, or the proposed one where there is none."""
        return self.relaxation.atoms if self.relaxation else self.candidate.atoms


@runtime_checkable
class EnergyModel(Protocol):
    """Relax a structure and price it. Raises :class:`EvaluationFailed` with the reason."""

    def __call__(self, atoms: Atoms) -> Relaxation: ...


@runtime_checkable
class ForwardModel(Protocol):
    """Simulate what an instrument records of a structure."""

    def __call__(self, atoms: Atoms) -> Signal: ...


@runtime_checkable
class Metric(Protocol):
    """Compare a simulated with an observed signal."""

    def __call__(self, simulated: Signal, observed: Signal) -> Score: ...


@runtime_checkable
class Generator(Protocol):
    """Propose structures. The only stateful part: its state is what it was told, in that order.

    What it may be able to do besides: :class:`htinvert.declaration.abilities.Resumable`.
    """

    def ask(self, indices: Sequence[int]) -> list[Candidate]:
        """Propose one candidate per index; an index that came to nothing is left out.

        Raises :class:`Exhausted` where there is nothing more to propose, for any index.
        """
        ...

    def tell(self, evaluations: Iterable[Evaluation]) -> None:
        """Learn from evaluations, one's own and those of other generators, in commit order."""
        ...


@dataclass(frozen=True, eq=False)
class Channel:
    """One experiment: what was observed, how to simulate it, how to compare, what may be adjusted.

    ``free`` maps a parameter of the forward model to its lower and upper bound; ``method`` is what
    fits it (see :data:`htinvert.evaluation.optimize.METHODS`). ``imaging`` is a name for all that
    decides a simulated signal besides the structure, empty where that is not known; ``keep`` says
    which signals are kept exactly: ``exact`` all, ``best`` none, ``auto`` those that are costly.
    """

    name: str
    observed: Signal
    forward: ForwardModel
    metrics: Mapping[str, Metric]
    free: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    method: str = "powell"
    imaging: str = ""
    keep: str = "auto"


@dataclass(frozen=True, eq=False)
class Recipe:
    """All that is needed to evaluate a candidate anywhere: energy, experiments, references [eV].

    Where a ``region`` is given, atoms that a search may exchange must still be in it when relaxed.
    """

    energy: EnergyModel
    channels: tuple[Channel, ...] = ()
    chemical_potentials: Mapping[str, float] = field(default_factory=dict)
    region: Region | None = None
    refine: Any = None  # or a htinvert.evaluation.refine.Refinement


@dataclass(frozen=True)
class Objective:
    """A number to be made small; ``weight`` is its worth per unit (per eV, per unit of cost).

    Or per nat of what a ``likelihood`` (:mod:`htinvert.metrics.likelihood`) makes of the number.
    """

    name: str
    weight: float
    likelihood: Any = None

    def worth(self, value: Any) -> Any:
        """What a value adds to the weighted sum; of a number one, of an array one."""
        return self.weight * (value if self.likelihood is None else self.likelihood(value))


@dataclass(frozen=True)
class Region:
    """The part of a cell that may change: ``lower <= position along axis <= upper`` [Å].

    Host atoms up to ``margin`` [Å] outside of it relax. Those beyond are frozen, or move as one
    rigid grain where ``below`` or ``above``, the sides of the region's middle plane, says so.

    Attributes:
        axis: normal of the boundary, ``x``, ``y`` or ``z``.
        below: ``frozen`` or ``rigid``, for the grain at smaller positions along the axis.
        above: the same for the grain at larger positions.
        move: directions in which a rigid grain may move, such as ``xyz``, ``xy`` or ``z``.
        length: of the cell along the axis, ``fixed`` or ``free`` to relax with the atoms.
        box: bounds [Å] along other axes, where the region is a box instead of a slab. Images in the
            plane of the boundary count: bounds may lie beyond the cell's edge.
    """

    axis: str
    lower: float
    upper: float
    margin: float
    below: str = "frozen"
    above: str = "frozen"
    move: str = "xyz"
    length: str = "fixed"
    box: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for axis, (lower, upper) in {self.axis: (self.lower, self.upper), **self.box}.items():
            if not lower < upper:
                span = f"{lower:g} to {upper:g} Å along {axis}"
                raise UserError(
                    f"the region goes from {span}; its lower bound must be below its upper"
                )
        wrong = sorted(set(self.box) - set("xyz".replace(self.axis, "")))
        if wrong:
            raise UserError(
                f"region.box bounds {wrong[0]}, but lower and upper bound {self.axis} and a box "
                "the two others; leave it out or name another axis"
            )
        for name, role in (("below", self.below), ("above", self.above)):
            if role not in ("frozen", "rigid"):
                raise UserError(f"region.{name} is {role}; choose frozen or rigid")
        if self.below == self.above == "rigid":
            raise UserError(
                "region.below and region.above are both rigid, but only the shift of one grain "
                "against the other counts; leave one of them frozen"
            )
        if self.length not in ("fixed", "free"):
            raise UserError(f"region.length is {self.length!r}; choose fixed or free")
        if self.move not in DIRECTIONS:
            raise UserError(f"region.move is {self.move!r}; choose one of {', '.join(DIRECTIONS)}")

    @property
    def dimension(self) -> int:
        """Index of the Cartesian axis: x 0, y 1, z 2."""
        return "xyz".index(self.axis)

    @property
    def bounds(self) -> dict[int, tuple[float, float]]:
        """Lower and upper bound [Å] by index of the Cartesian axis; others are free."""
        bounds = {self.axis: (self.lower, self.upper), **self.box}
        return {"xyz".index(axis): pair for axis, pair in bounds.items()}


@dataclass(frozen=True, eq=False)
class Space:
    """What a search may visit: a start structure, its region, composition and closest distances.

    Attributes:
        template: start structure with tags and constraints set (see the module's docstring).
        region: the part that may change; None where all of the cell may.
        composition: fewest and most atoms of each element inside the region.
        min_distance: shortest allowed distance [Å] per unordered pair of elements.
    """

    template: Atoms
    region: Region | None
    composition: Mapping[str, tuple[int, int]]
    min_distance: Mapping[frozenset[str], float]


def region_mask(atoms: Atoms) -> NDArray[np.bool_]:
    """Which atoms a search may exchange, shape (n,)."""
    return np.asarray(atoms.get_tags() == REGION_TAG)


def frozen_mask(atoms: Atoms) -> NDArray[np.bool_]:
    """Which atoms no relaxation may move, shape (n,)."""
    from ase.constraints import FixAtoms  # here: it loads half of scipy, which no help page needs

    held = [c.get_indices() for c in atoms.constraints if isinstance(c, FixAtoms)]
    return np.isin(range(len(atoms)), np.concatenate(held)) if held else np.zeros(len(atoms), bool)


def weighted_sum(values: Mapping[str, float], objectives: Iterable[Objective]) -> float:
    """One number for a candidate, lower is better: the sum of weight times value."""
    return float(sum(objective.worth(values[objective.name]) for objective in objectives))
