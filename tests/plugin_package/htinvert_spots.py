"""An instrument of one's own: forward models, a metric, an energy model, a generator, a kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import ceil
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from htinvert.core import (
    Axis,
    Candidate,
    Evaluation,
    EvaluationFailed,
    Infeasible,
    Objective,
    Relaxation,
    Score,
    Signal,
    Space,
    UserError,
)
from htinvert.declaration.declared import Parameter, check_bounds
from htinvert.energy.offer import Offer, SinglePoint
from htinvert.forward.scene import SCENE, Scene, check_scene
from htinvert.forward.view import view_frame
from htinvert.generators.operators import random_structure
from htinvert.geometry.roles import frozen_mask, rigid_bodies
from htinvert.signals.curve import Curve, CurveKeys
from htinvert.signals.curve_steps import STEPS as CURVE_STEPS
from htinvert.signals.kind import Step


@dataclass(frozen=True, kw_only=True)
class Spots(Scene):
    """Every atom is a round spot, as bright as a power of its atomic number.

    Args:
        width: standard deviation of a spot [Å], 0.1 to 3.
        power: of the atomic number [1], 0 to 2.
    """

    width: float = 0.6
    power: float = 1.7

    declares: ClassVar[Mapping[str, Parameter]] = {
        **SCENE,
        "width": Parameter("Å", 0.1, 3.0),
        "power": Parameter("1", 0.0, 2.0),
    }
    sources: ClassVar[tuple[str, ...]] = ("A. Nobody, Round spots, J. Imag. Res. 1, 1 (2026).",)

    def __post_init__(self) -> None:
        check_bounds(self, self.declares)
        check_scene(self)

    def __call__(self, atoms: Atoms) -> Signal:
        """Image of ``atoms`` and their periodic images, shape (ny, nx)."""
        (dy, dx), window, view = self.pixel, self.window_on(atoms), self.view(atoms)
        far = float(np.linalg.norm(np.ptp(window.corners(), axis=0))) + 10 * self.width
        across = np.linalg.norm(atoms.cell.array @ view_frame(self.beam, self.up)[:2].T, axis=1)
        repeats = zip(across, atoms.pbc, strict=True)
        counts = [ceil(far / a) if periodic and a > 1e-3 else 0 for a, periodic in repeats]
        ny, nx = window.shape
        image = np.zeros(window.shape)
        for steps in product(*(range(-count, count + 1) for count in counts)):
            moved = atoms.positions + np.array(steps) @ atoms.cell.array
            rows, columns = view.pixels(moved).T
            down = np.exp(-0.5 * ((np.arange(ny)[:, None] - rows) * dy / self.width) ** 2)
            right = np.exp(-0.5 * ((np.arange(nx)[:, None] - columns) * dx / self.width) ** 2)
            image += (down * atoms.numbers**self.power) @ right.T
        return Signal.image(image, self.pixel)


@dataclass(frozen=True)
class Misfit:
    """Part of the observed image that the simulated one, at its best gain and offset, leaves over.

    Args:
        power: to which that part is raised [1], 0.5 to 2.
    """

    power: Annotated[float, Parameter("1", 0.5, 2.0)] = 1.0

    sources: ClassVar[tuple[str, ...]] = ("A. Nobody, Misfits, J. Imag. Res. 1, 2 (2026).",)

    def __call__(self, simulated: Signal, observed: Signal) -> Score:
        """Compare images of one size."""
        if simulated.data.shape != observed.data.shape:
            raise UserError("misfit compares images of one size; leave the model's shape out")
        ours, theirs = (np.asarray(s.data, dtype=float).ravel() for s in (simulated, observed))
        if not np.isfinite(ours).all() or np.ptp(ours) == 0:
            raise EvaluationFailed("misfit: the simulated image is constant or not finite")
        correlation = float(np.corrcoef(ours, theirs)[0, 1])
        return Score(max(1.0 - max(correlation, 0.0) ** 2, 0.0) ** self.power)


@dataclass(frozen=True)
class Morse:
    """Relax with one Morse potential between all atoms, whatever they are.

    Args:
        depth: of a pair [eV].
        distance: of a pair at rest [Å].
        fmax: a relaxation ends when no atom feels a larger force [eV/Å].
        steps: a relaxation ends after so many steps [1].
    """

    depth: Annotated[float, Parameter("eV", 0.0, 10.0)] = 0.5
    distance: Annotated[float, Parameter("Å", 0.5, 6.0)] = 2.8
    fmax: Annotated[float, Parameter("eV/Å", 1e-6, 10.0)] = 0.05
    steps: Annotated[int, Parameter("1", 0, 100000)] = 500

    sources: ClassVar[tuple[str, ...]] = (
        "P. M. Morse, Phys. Rev. 34, 57 (1929), doi:10.1103/PhysRev.34.57.",
    )
    offer: ClassVar[Offer] = Offer("Morse 1.0")

    def single_point(self, atoms: Atoms) -> SinglePoint:
        """Energy [eV] and forces [eV/Å] as it stands; pairs count up to twice their distance."""
        first, apart, vector = neighbor_list("idD", atoms, 2 * self.distance)
        decay = np.exp(-3 * (apart / self.distance - 1))
        slope = 6 * self.depth / self.distance * (decay - decay**2)
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, first, (slope / apart)[:, None] * vector)
        return SinglePoint(float(0.5 * self.depth * (decay**2 - 2 * decay).sum()), forces)

    def __call__(self, atoms: Atoms) -> Relaxation:
        """Relax a structure by steepest descent; atoms that are held stay."""
        if rigid_bodies(atoms):
            raise EvaluationFailed("morse: knows no grains that move as one body")
        relaxed, held = atoms.copy(), frozen_mask(atoms)
        for step in range(self.steps + 1):
            point = self.single_point(relaxed)
            forces = np.where(held[:, None], 0.0, point.forces)
            largest = float(np.linalg.norm(forces, axis=1).max())
            if largest <= self.fmax or step == self.steps:
                break
            relaxed.positions += forces * min(0.05, 0.2 / largest)
        return Relaxation(relaxed, point.energy, largest <= self.fmax, step, largest)


@dataclass
class Compact:
    """Of several random structures propose the one whose atoms lie closest together.

    Args:
        draws: random structures for each proposal [1], 1 to 100.
    """

    space: Space
    objectives: tuple[Objective, ...]
    seed: int
    draws: Annotated[int, Parameter("1", 1, 100)] = 3

    sources: ClassVar[tuple[str, ...]] = ("A. Nobody, Compact guesses, J. Search 1, 3 (2026).",)

    def ask(self, indices: Sequence[int]) -> list[Candidate]:
        """Propose one structure per index, drawn from the index's own stream."""
        candidates = []
        for index in indices:
            rng = np.random.default_rng([self.seed, index])
            drawn = []
            for _ in range(self.draws):
                try:
                    drawn.append(random_structure(self.space, rng=rng))
                except Infeasible:
                    continue
            if drawn:
                candidates.append(Candidate(index, min(drawn, key=_spread), "compact"))
        return candidates

    def tell(self, evaluations: Iterable[Evaluation]) -> None:
        """Nothing to learn."""

    def state(self) -> None:
        """Nothing to remember."""

    def restore(self, state: None) -> None:
        """Nothing to remember."""


def _spread(atoms: Atoms) -> float:
    """How far atoms lie from one another, the mean [Å]."""
    return float(atoms.get_all_distances(mic=True).mean())


class Decay(Curve):
    """A kind of data: curves that decay over decades, prepared and compared by their logarithm."""

    name = "decay"
    steps: ClassVar[Mapping[str, Step]] = {**CURVE_STEPS}

    def read(
        self, path: Path, keys: CurveKeys, prepare: Iterable[Mapping[str, object]] = ()
    ) -> tuple[Signal, str]:
        """Read a curve and take its logarithm; values must be above zero."""
        curve, said = super().read(path, keys, prepare)
        if curve.data.min() <= 0.0:
            raise UserError(f"{path.name} has values of zero or less, which do not decay")
        return replace(curve, data=np.log(curve.data), quantity="log signal"), said


@dataclass(frozen=True)
class Shells:
    """How the number of pairs falls with their distance, as a logarithm.

    Args:
        reach: of the decay.
    """

    sources: ClassVar[tuple[str, ...]] = ("Pairs that decay, Proc. Test. Pack. 2, 7 (2026).",)
    kind: ClassVar[str] = "decay"

    axes: tuple[Axis, ...] | None = None
    shape: tuple[int, ...] | None = None
    reach: Annotated[float, Parameter("Å", 0.1, 50.0)] = 3.0

    def __post_init__(self) -> None:
        check_bounds(self, {"reach": Parameter("Å", 0.1, 50.0)})

    def __call__(self, atoms: Atoms) -> Signal:
        """Simulate on the experiment's axis. Raises :class:`UserError` where there is none."""
        if self.axes is None or self.shape is None:
            raise UserError("axes and shape are not set; load a curve that has them")
        (axis,) = self.axes
        x = axis.origin + axis.step * np.arange(self.shape[0])
        distances = neighbor_list("d", atoms, 4.0)
        level = np.log(len(distances) / max(len(atoms), 1) + 1.0)
        mean = distances.mean() if len(distances) else 4.0
        return Signal(np.float32(level - x / self.reach - 0.1 * mean), self.axes)
