"""XANES and ELNES: the first tens of eV of an edge, by a program that the user has.

J. J. Rehr & R. C. Albers, Rev. Mod. Phys. 72, 621 (2000). FEFF9 or FEFF10, FDMNES, or Quantum
ESPRESSO calculates what an absorbing atom takes up; here it is averaged over absorbers, broadened,
moved to where the data have their edge, and compared.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from htinvert.core import Axis, Floats, Signal, UserError
from htinvert.declaration.declared import (
    KnownAnswer,
    Parameter,
    check_bounds,
    check_choices,
    declared,
)
from htinvert.forward.child import Allowed
from htinvert.forward.exafs.background import edge_energy
from htinvert.forward.exafs.neighborhood import Neighborhood, absorber_of, neighborhoods, spread
from htinvert.forward.xanes.absorber import Absorber, AbsorptionProgram, spectrum_of
from htinvert.forward.xanes.fdmnes import Fdmnes
from htinvert.forward.xanes.feff import Feff
from htinvert.forward.xanes.observed import BACKGROUNDS, Before, cut, edge_of
from htinvert.forward.xanes.unbroadened import Unbroadened, broadened
from htinvert.forward.xanes.xspectra import FUNCTIONALS, Xspectra

AROUND = 2.0  # Å beyond the cluster, of atoms whose potentials overlap
EDGES: tuple[Literal["K", "L3", "L2", "L1"], ...] = ("K", "L3", "L2", "L1")
PROGRAMS = ("feff", "fdmnes", "xspectra")
LOSSES = 0.05  # eV per eV, where a program has no inelastic losses of its own
LOSS = "energy loss"
MOVED = 15.0  # eV beyond what is compared
DISK = 10.0  # GB of a file of a program


@dataclass(frozen=True, kw_only=True)
class Xanes:
    """Simulate an absorption edge, of X-rays or in energy loss, by FEFF, FDMNES or xspectra.x.

    Args:
        absorber: symbol of the absorbing element; the structure's only one where None.
        edge: ``K``, ``L1``, ``L2`` or ``L3``; the file's where None, else ``K``.
        program: ``feff`` (FEFF9, FEFF10), ``fdmnes`` or ``xspectra`` (Quantum ESPRESSO).
        command: how that is started; the environment's ``HTINVERT_FEFF`` or ``HTINVERT_FDMNES``,
            or what the path has, where None. Of xspectra one per program: ``pw.x: ...``.
        radius: of the cluster around an absorber, of FEFF and FDMNES [Å].
        consistent: radius of self-consistent potentials of FEFF [Å]; none where None.
        finite_differences: of FDMNES, instead of muffin tins.
        pseudopotentials: folder of UPF files, of xspectra.
        core_hole: UPF file of the absorber with a hole; made by ld1.x for B to F where None.
        xc: functional of the UPF files, ``LDA`` or ``PBE``.
        size: least length of the cell that has the core hole [Å].
        cutoff: of plane waves [eV].
        density_cutoff: of the density [eV]; 4 times ``cutoff`` where None.
        kpoint_density: points of the Brillouin zone per 1/Å, times 2 pi [Å].
        absorbers: how many absorbing atoms are averaged over, spread evenly over the different
            neighborhoods; every different one where None [1].
        shift: of the simulation against the steepest rise of the data [eV].
        lifetime: of the core hole, FWHM of a Lorentzian [eV]; the tabulated one where None.
        growth: of that width per eV above the edge, by inelastic losses [1]; 0 for FEFF, which has
            them, and 0.05 for others where None.
        resolution: of the instrument, FWHM of a Gaussian [eV].
        background: what lies before the edge: ``line``, ``power`` or ``none``; a power law in
            energy loss, else a line, where None.
        background_window: length of the part before the edge that tells it [eV].
        below: how far below the edge it is compared [eV].
        above: how far above the edge it is compared [eV].
        edge_energy: where the data rise [eV]; found near the tabulated energy where None.
        seconds: limit of one run of a program [s].
        memory: limit of one run of a program [GB].
        energies: axis of the data; the experiment's where None.
        points: number of them [1].
        calculated: a spectrum that is used instead of any program's.

    Raises:
        ValueError: for a parameter out of bounds.
    """

    kind: ClassVar[str] = "curve"
    sources: ClassVar[tuple[str, ...]] = (
        "J. J. Rehr and R. C. Albers, Rev. Mod. Phys. 72, 621 (2000), "
        "doi:10.1103/RevModPhys.72.621.",
        "FEFF: J. J. Rehr et al., Phys. Chem. Chem. Phys. 12, 5503 (2010), doi:10.1039/b926434e.",
        "FDMNES: O. Bunau and Y. Joly, J. Phys.: Condens. Matter 21, 345501 (2009), "
        "doi:10.1088/0953-8984/21/34/345501.",
        "XSpectra: C. Gougoussis et al., Phys. Rev. B 80, 075102 (2009), "
        "doi:10.1103/PhysRevB.80.075102.",
    )
    names_code: ClassVar[tuple[str, ...]] = ("command",)
    model_error: ClassVar[float] = 0.3
    model_error_source: ClassVar[str] = "O K of strontium titanate by FEFF10, docs/xanes.md"
    header: ClassVar[Mapping[str, str]] = {"absorber": "element.symbol", "edge": "element.edge"}

    absorber: str | None = None
    edge: Literal["K", "L1", "L2", "L3"] | None = None
    program: Literal["feff", "fdmnes", "xspectra"] = "feff"
    command: str | dict[str, str] | None = None
    radius: Annotated[float, Parameter("Å", 2.0, 12.0)] = 5.0
    consistent: Annotated[float | None, Parameter("Å", 2.0, 12.0)] = None
    finite_differences: bool = False
    pseudopotentials: Path | None = None
    core_hole: Path | None = None
    xc: Literal["LDA", "PBE"] = "PBE"
    size: Annotated[float, Parameter("Å", 1.0, 40.0)] = 7.0
    cutoff: Annotated[float, Parameter("eV", 100.0, 3000.0)] = 680.0
    density_cutoff: Annotated[float | None, Parameter("eV", 400.0, 30000.0)] = None
    kpoint_density: Annotated[float, Parameter("Å", 0.1, 20.0)] = 2.5
    absorbers: Annotated[int | None, Parameter("1", 1, 10_000)] = None
    shift: Annotated[float, Parameter("eV", -40.0, 40.0)] = 0.0
    lifetime: Annotated[float | None, Parameter("eV", 0.0, 20.0)] = None
    growth: Annotated[float | None, Parameter("1", 0.0, 0.5)] = None
    resolution: Annotated[float, Parameter("eV", 0.0, 20.0)] = 0.5
    background: Before | None = None
    background_window: Annotated[float, Parameter("eV", 5.0, 500.0)] = 40.0
    below: Annotated[float, Parameter("eV", 0.0, 100.0)] = 10.0
    above: Annotated[float, Parameter("eV", 5.0, 300.0)] = 40.0
    edge_energy: Annotated[float | None, Parameter("eV", 10.0, 2e5)] = None
    seconds: Annotated[float, Parameter("s", 0.01, 1e6)] = 3600.0
    memory: Annotated[float, Parameter("GB", 0.1, 1000.0)] = 8.0
    energies: Axis | None = field(default=None, repr=False)
    points: Annotated[int | None, Parameter("1", 2, 10_000_000)] = field(default=None, repr=False)
    calculated: Unbroadened | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_bounds(self, declared(type(self)))
        check_choices(
            edge=(self.edge or "K", EDGES),
            program=(self.program, PROGRAMS),
            xc=(self.xc, tuple(FUNCTIONALS)),
            background=(self.background or "none", BACKGROUNDS),
        )
        if self.absorber is not None and self.absorber not in atomic_numbers:
            raise ValueError(f'absorber is "{self.absorber}" but must be an element, such as O')
        if self.program == "xspectra" and self.pseudopotentials is None:
            raise ValueError('program is "xspectra", which needs pseudopotentials, a folder')
        if isinstance(self.command, Mapping) != (self.program == "xspectra") and self.command:
            raise ValueError("command is one text, of xspectra one per program, as pw.x: ...")

    def __call__(self, atoms: Atoms) -> Signal:
        """The edge at the data's energies, its mean far above it 1, shape (n,), float32.

        Raises:
            UserError: where the structure lacks the absorber, the program is missing, or there are
                no data.
            EvaluationFailed: where the program fails.
        """
        if self.energies is None or self.points is None or self.edge_energy is None:
            raise UserError("xanes has no data that say where its edge is; give a spectrum")
        at = self.energies.origin + self.energies.step * np.arange(self.points, dtype=float)
        symbol = absorber_of(atoms, self.absorber)
        values = broadened(
            self.unbroadened(atoms),
            at - self.edge_energy - self.shift,
            lifetime=core_width(symbol, self.edge or "K")
            if self.lifetime is None
            else self.lifetime,
            growth=(LOSSES if self.program != "feff" else 0.0)
            if self.growth is None
            else self.growth,
            resolution=self.resolution,
        )
        return Signal(values.astype(np.float32), (self.energies,), "normalized absorption")

    def unbroadened(self, atoms: Atoms) -> Unbroadened:
        """What the program calculates, the mean over absorbers.

        Each is aligned by its own lowest empty state: differences of core levels are left out.
        """
        if self.calculated is not None:
            return self.calculated
        number = atomic_numbers[absorber_of(atoms, self.absorber)]
        places = [int(place) for place in np.flatnonzero(atoms.numbers == number)]
        every = zip(neighborhoods(atoms, number, self.radius + AROUND), places, strict=True)
        chosen = spread(sorted(every, key=lambda one: (one[0].key, one[1])), self.absorbers)
        counted = Counter(hood.key for hood, _ in chosen)
        different = {hood.key: self._asked(atoms, hood, place) for hood, place in reversed(chosen)}
        program, allowed = self._program(), Allowed(self.seconds, self.memory, DISK)
        parts = [spectrum_of(one, program, allowed) for one in different.values()]
        return Unbroadened.mean(parts, [float(counted[key]) for key in different])

    def reduced(self, observed: Signal) -> tuple[Xanes, Signal]:
        """The model on the data's energies, and the edge alone.

        Raises :class:`UserError` where the data are no spectrum, or show no such edge.
        """
        if self.absorber is None:
            raise UserError("name the absorber, such as absorber: O")
        name = self.edge or "K"
        where = f"the {name} edge of {self.absorber}"
        edge = edge_of(observed, tabulated(self.absorber, name), where, self.edge_energy)
        lossy = observed.axes[0].name == LOSS
        before: Before = self.background or ("power" if lossy else "line")
        kept = cut(observed, edge, before=before, window=self.background_window,
                   span=(-self.below, self.above))  # fmt: skip
        return replace(self, edge_energy=edge, energies=kept.axes[0], points=len(kept.data)), kept

    @classmethod
    def likely(cls, observed: Signal, symbols: set[str]) -> dict[str, str]:
        """The absorber and edge that the data show. Raises :class:`UserError` where they do not."""
        seen = UserError(f"there is no element whose edge the data could show, {observed.axes[0]}")
        for symbol in sorted(symbols):
            for edge in EDGES:
                try:
                    cls(absorber=symbol, edge=edge).reduced(observed)
                except UserError as problem:
                    seen = problem
                else:
                    return {"absorber": symbol} | ({"edge": edge} if edge != "K" else {})
        raise seen

    def check_reach(self, atoms: Atoms) -> None:
        """Raise :class:`UserError` where there is no absorber, or the program is missing."""
        number = atomic_numbers[absorber_of(atoms, self.absorber)]
        if self.calculated is None:
            hood = neighborhoods(atoms, number, self.radius + AROUND)[0]
            place = int(np.flatnonzero(atoms.numbers == number)[0])
            self._program().check(self._asked(atoms, hood, place))

    def free_of(self, atoms: Atoms) -> dict[str, tuple[float, float]]:  # noqa: ARG002
        """Bounds of what is usually fitted: where the edge is, and widths."""
        return {"shift": (-8.0, 8.0), "resolution": (0.1, 5.0), "growth": (0.0, 0.3)}

    def _program(self) -> AbsorptionProgram:
        one = self.command if isinstance(self.command, str) else None
        if self.program == "feff":
            return Feff(self.radius, self.consistent, one)
        if self.program == "fdmnes":
            return Fdmnes(self.radius, self.finite_differences, one)
        return Xspectra(
            self.pseudopotentials or Path(),
            core_hole=self.core_hole,
            xc=self.xc,
            size=self.size,
            cutoff=self.cutoff,
            density_cutoff=self.density_cutoff,
            kpoint_density=self.kpoint_density,
            commands=self.command if isinstance(self.command, dict) else {},
        )

    def _asked(self, atoms: Atoms, hood: Neighborhood, place: int) -> Absorber:
        """What a program is asked for; further than is compared, so that a fit may move it."""
        return Absorber(atoms, place, self.edge or "K", hood, self.above + MOVED)


def tabulated(symbol: str, edge: str) -> float:
    """Energy [eV] of an edge (W. T. Elam et al., Radiat. Phys. Chem. 63, 121 (2002))."""
    _need_tables("edge_energy")
    return edge_energy(symbol, edge)


def core_width(symbol: str, edge: str) -> float:
    """Lorentzian width [eV] of a core hole (O. Keski-Rahkonen & M. O. Krause, 1974)."""
    _need_tables("lifetime")
    from xraydb import core_width as width

    return float(width(symbol, edge))


def _need_tables(instead: str) -> None:
    if importlib.util.find_spec("xraydb") is None:
        raise UserError(
            'energies and widths of edges come with `pip install "htinvert[xas]"`, which is not '
            f"installed here; or set {instead} [eV]"
        )


def _step() -> Unbroadened:
    """Nothing below an edge, 1 above it."""
    energy: Floats = np.arange(0.0, 100.0, 0.5)
    return Unbroadened(energy, np.ones(len(energy)))


_ANSWERED = {
    "absorber": "O",
    "calculated": _step(),
    "edge_energy": 500.0,
    "energies": Axis("energy", "eV", 0.5, 490.0),
    "points": 80,
    "lifetime": 2.0,
    "growth": 0.0,
    "resolution": 0.0,
}
KNOWN_ANSWERS = tuple(
    KnownAnswer(
        f"a step with a lifetime, {above} eV above it",
        "the integral of a Lorentzian, 1/2 + atan(2 E / width) / pi",
        _ANSWERED,
        lambda: Atoms("O"),
        lambda signal, at=above: float(signal.data[20 + 2 * at]),  # type: ignore[misc]
        0.5 + float(np.arctan(above)) / np.pi,
        0.01,
    )
    for above in (-1, 1, 3)
)
