"""EXAFS: the fine structure chi(k) of an absorption edge, averaged over absorbing atoms.

FEFF's multiple-scattering paths of every different neighborhood, summed with the nuisance
parameters of a fit: J. J. Rehr & R. C. Albers, Rev. Mod. Phys. 72, 621 (2000); S. I. Zabinsky et
al., Phys. Rev. B 52, 2995 (1995). What is compared is weighted, transformed and filtered as IFEFFIT
does: M. Newville, J. Phys.: Conf. Ser. 430, 012007 (2013).
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_numbers

from htinvert.core import Axis, Floats, Signal, UserError
from htinvert.declaration.declared import (
    KnownAnswer,
    Parameter,
    check_bounds,
    check_choices,
    declared,
)
from htinvert.forward.exafs.background import Background, chi_of
from htinvert.forward.exafs.feff import HOLES, Settings, elements_of, program
from htinvert.forward.exafs.kept import paths_of
from htinvert.forward.exafs.motion import debye, einstein, static
from htinvert.forward.exafs.multiple import tabulated
from htinvert.forward.exafs.neighborhood import absorber_of, neighborhoods, spread
from htinvert.forward.exafs.paths import BIN, Paths, averaged, chi
from htinvert.forward.exafs.tables import reference_of, single_scattering
from htinvert.forward.exafs.transform import (
    SPACES,
    STEP,
    WINDOWS,
    Reduction,
    Space,
    Window,
)
from htinvert.forward.exafs.usual import usual
from htinvert.forward.memo import fingerprint, remember

WARM = 150.0  # K, above which the third cumulant of first shells is usually seen
SOFTENING = 0.0, 10.0  # 1/Å; three times Morse's exponent, 4.1 for copper, at high temperature
SIGMA2 = 0.003  # Å², where nobody says anything of motion
BEYOND = 1.0  # Å beyond rmax: peaks lie up to 0.5 below their distance, and have a width
AROUND = 2.3  # Å beyond the longest path of atoms whose potentials overlap
LONGEST_K = 20.0  # 1/Å of FEFF's tables
FEWEST_K = 3.0  # 1/Å from kmin to kmax
REMEMBERED = 16  # structures whose paths stay merged
HOLE: Literal["K"] = "K"
POWERS = ("", "", "²", "³", "⁴", "⁵")
MODELS = ("debye", "einstein")
SCATTERINGS = ("full", "tables", "single")
_merged: OrderedDict[bytes, Paths] = OrderedDict()


@dataclass(frozen=True, kw_only=True)
class Exafs:
    """Simulate chi(k) times a power of k, its transform to R, or what a range of R leaves of it.

    Data over energy [eV] are brought to chi(k) first, by larch's autobk. S0² is the scale that a
    metric such as ``rw`` solves for, times ``s02``.

    Args:
        absorber: symbol of the absorbing element; the structure's only one where None, or the
            file's (XDI).
        edge: ``K``, ``L1``, ``L2`` or ``L3``; the file's where None, else ``K``.
        kmin: lower limit of the transform [1/Å].
        kmax: upper limit of the transform [1/Å]; as far as the data reach where None.
        weight: power of k.
        dk: over how much k the window rises and falls [1/Å].
        window: ``hanning``, ``parzen`` (straight) or ``welch``.
        rmin: lower limit of R, phase shifts not corrected [Å].
        rmax: upper limit of R, phase shifts not corrected [Å].
        compare: what is compared: ``q``, the part of ``rmin`` to ``rmax`` transformed back, as good
            as the complex chi(R) there; ``R``, the real part of chi(R); ``k``, all of chi(k).
        e0: FEFF's edge above that of the data [eV].
        zoom: factor on all distances [1].
        s02: passive electrons' reduction of the amplitude [1].
        sigma2: mean squared variation of path lengths [Å²], one number or one per sort: ``Cu1``
            for the first shell of copper, ``Cu`` for the others, ``*`` for all other paths; 0.003
            where neither it nor ``theta`` is given. With ``theta`` it comes on top.
        softening: of longer bonds: sigma2 of a first shell grows by ``exp(softening d)`` with the
            distance d above the shell's mean [1/Å].
        third: cumulant of distances in first shells, of anharmonic motion [Å³].
        theta: Debye's or Einstein's temperature [K].
        temperature: of the sample [K].
        motion: ``debye``, the correlated model, or ``einstein``.
        reach: half the length of the longest path [Å]; 1 beyond ``rmax`` where None.
        legs: most legs of a path [1], 2 for single scattering only.
        criterion: amplitude of the weakest paths that are kept, like ones taken together [% of the
            strongest]; with 0 all are, and none shares another's amplitude.
        absorbers: how many absorbing atoms are averaged over, spread evenly over the different
            neighborhoods; every one where None.
        scattering: ``full``, FEFF's paths of every neighborhood; ``tables``, single and multiple
            scattering by tables of the ``reference``, a hundred times as fast; ``single``, single
            scattering by tables.
        reference: structure file whose potentials and phase shifts are used for every structure;
            each neighborhood has its own where None.
        rbkg: what lies at shorter R than this is background [Å].
        background_weight: power of k with which that is judged.
        edge_energy: of the edge in the data [eV]; where mu rises most steeply if None.
        seconds: limit of one run of FEFF [s].
        span: of k in the data [1/Å]; the experiment's where None.

    Raises:
        ValueError: for a parameter out of bounds.
    """

    kind: ClassVar[str] = "curve"
    sources: ClassVar[tuple[str, ...]] = (
        "J. J. Rehr and R. C. Albers, Rev. Mod. Phys. 72, 621 (2000), "
        "doi:10.1103/RevModPhys.72.621.",
        "FEFF6: S. I. Zabinsky et al., Phys. Rev. B 52, 2995 (1995), doi:10.1103/PhysRevB.52.2995.",
        "Larch: M. Newville, J. Phys.: Conf. Ser. 430, 012007 (2013), "
        "doi:10.1088/1742-6596/430/1/012007.",
    )
    packages: ClassVar[tuple[str, ...]] = ("xraylarch",)
    model_error: ClassVar[float] = 0.1
    model_error_source: ClassVar[str] = "copper at 10 K, R-factor 0.0094, docs/exafs.md"
    usual = classmethod(usual)
    header: ClassVar[Mapping[str, str]] = {"absorber": "element.symbol", "edge": "element.edge"}

    absorber: str | None = None
    edge: Literal["K", "L1", "L2", "L3"] | None = None
    kmin: Annotated[float, Parameter("1/Å", 0.0, 15.0)] = 3.0
    kmax: Annotated[float | None, Parameter("1/Å", 5.0, LONGEST_K)] = None
    weight: Annotated[int, Parameter("1", 0, 4)] = 2
    dk: Annotated[float, Parameter("1/Å", 0.0, 5.0)] = 2.0
    window: Window = "hanning"
    rmin: Annotated[float, Parameter("Å", 0.0, 10.0)] = 1.0
    rmax: Annotated[float, Parameter("Å", 1.0, 10.0)] = 5.0
    compare: Space = "q"
    e0: Annotated[float, Parameter("eV", -30.0, 30.0)] = 0.0
    zoom: Annotated[float, Parameter("1", 0.8, 1.25)] = 1.0
    s02: Annotated[float, Parameter("1", 0.1, 2.0)] = 1.0
    sigma2: Annotated[float | dict[str, float] | None, Parameter("Å²", 0.0, 0.1)] = None
    softening: Annotated[float, Parameter("1/Å", -20.0, 20.0)] = 0.0
    third: Annotated[float, Parameter("Å³", -0.005, 0.005)] = 0.0
    theta: Annotated[float | None, Parameter("K", 20.0, 3000.0)] = None
    temperature: Annotated[float | None, Parameter("K", 0.0, 3000.0)] = None
    motion: Literal["debye", "einstein"] = "debye"
    reach: Annotated[float | None, Parameter("Å", 1.5, 10.0)] = None
    legs: Annotated[int, Parameter("1", 2, 4)] = 4
    criterion: Annotated[float, Parameter("%", 0.0, 50.0)] = 4.0
    absorbers: Annotated[int | None, Parameter("1", 1, 10_000)] = None
    scattering: Literal["full", "tables", "single"] = "full"
    reference: Path | None = None
    rbkg: Annotated[float, Parameter("Å", 0.5, 2.5)] = 1.0
    background_weight: Annotated[int, Parameter("1", 0, 4)] = 2
    edge_energy: Annotated[float | None, Parameter("eV", 200.0, 2e5)] = None
    seconds: Annotated[float, Parameter("s", 0.01, 1e5)] = 60.0
    span: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        check_bounds(self, declared(type(self)))
        check_choices(
            edge=(self.edge or "K", tuple(HOLES)),
            window=(self.window, WINDOWS),
            compare=(self.compare, SPACES),
            motion=(self.motion, MODELS),
            scattering=(self.scattering, SCATTERINGS),
        )
        if not self.rmin < self.rmax:
            raise ValueError(f"rmin is {self.rmin} but must be below rmax, {self.rmax}")
        if self.kmax is not None and self.kmax - self.kmin < FEWEST_K:
            raise ValueError(
                f"kmin is {self.kmin} but must be {FEWEST_K:g} below kmax, {self.kmax}"
            )
        if self.absorber is not None and self.absorber not in atomic_numbers:
            raise ValueError(f'absorber is "{self.absorber}" but must be an element, such as Cu')
        if self.quick and self.reference is None:
            raise ValueError(
                f'scattering is "{self.scattering}", which needs a reference, a structure file'
            )
        if self.quick and self.absorbers is not None:
            raise ValueError(
                f'absorbers is {self.absorbers} but scattering "{self.scattering}" takes all atoms '
                "at once, a sample would save nothing; leave absorbers out"
            )
        if self.theta is not None and self.temperature is None:
            raise ValueError(f"theta is {self.theta} but means nothing without temperature (K)")

    @property
    def quick(self) -> bool:
        """Whether FEFF is not asked about each structure."""
        return self.scattering != "full"

    def __call__(self, atoms: Atoms) -> Signal:
        """What is compared, of ``atoms``, shape (n,), float32.

        Raises:
            UserError: where the structure lacks the absorber, FEFF is not installed, or ``kmax`` is
                not set.
            EvaluationFailed: where FEFF fails.
        """
        reduction = self._reduction()
        paths = self.paths(atoms)
        low, high = reduction.seen
        if self.span is not None:
            low, high = max(low, self.span[0]), min(high, self.span[1])
        first = STEP * max(np.ceil(low / STEP - 1e-6), 1.0)
        count = int(np.floor((high - first) / STEP + 1e-6)) + 1
        values = self.s02 * chi(
            paths,
            (float(first), STEP, count),
            sigma2=self._sigma2(paths),
            e0=self.e0,
            zoom=self.zoom,
            third=self._third(paths),
        )
        return self._signal(reduction, float(first), values)

    def paths(self, atoms: Atoms) -> Paths:
        """Paths of the average absorber, those that are alike merged."""
        number = atomic_numbers[absorber_of(atoms, self.absorber)]
        arrays = (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
        settings = self._settings()
        known = {"settings": settings, "absorber": number, "sample": self.absorbers}
        key = fingerprint(known | {"by": (self.scattering, self.reference)}, *arrays)
        if key not in _merged:
            remember(_merged, key, self._average(atoms, number, settings), most=REMEMBERED)
        return _merged[key]

    def _average(self, atoms: Atoms, number: int, settings: Settings) -> Paths:
        radius = settings.reach + AROUND
        shared = None
        if self.reference is not None:
            shared = reference_of(self.reference, number, settings, radius)
            if self.scattering == "tables":
                return tabulated(atoms, number, shared, settings)
            if self.scattering == "single":
                return single_scattering(atoms, number, shared, settings)
        # Potentials of atoms that no path reaches matter only where they are to be made.
        found = neighborhoods(atoms, number, radius if shared is None else settings.reach)
        chosen = spread(sorted(found, key=lambda one: one.key), self.absorbers)
        counted = Counter(one.key for one in chosen)
        parts = []
        for hood in {one.key: one for one in found if one.key in counted}.values():
            phases, elements = None, None
            if shared is not None:
                shared.check(elements_of(hood))
                phases, elements = shared.phases, shared.elements
            paths = paths_of(hood, settings, phases=phases, elements=elements)
            parts.append((paths, counted[hood.key] / counted.total()))
        return averaged(*zip(*parts, strict=True))

    def reduced(self, observed: Signal) -> tuple[Exafs, Signal]:
        """The model that simulates what is compared of these data, and that.

        Raises :class:`UserError` where the data are no mu(E) or chi(k), or end before ``kmax``.
        """
        axis = observed.axes[0]
        if axis.unit == "eV":
            if self.absorber is None:
                raise UserError("name the absorber, such as absorber: Cu")
            background = Background(self.rbkg, self.background_weight, self.edge_energy)
            observed = chi_of(observed, background, absorber=self.absorber, edge=self.edge or HOLE)
        elif axis.unit != "1/Å":
            raise UserError(
                f"EXAFS is over energy [eV] or k [1/Å] but the data are over {axis.name} "
                f"[{axis.unit}]; name the axis, such as axis: energy [eV]"
            )
        k = observed.coordinates()
        first = STEP * max(np.ceil(k[0] / STEP - 1e-6), 1.0)
        grid = first + STEP * np.arange(int(np.floor((k[-1] - first) / STEP + 1e-6)) + 1)
        values = np.interp(grid, k, observed.data.astype(float))
        told = self._with_span(float(grid[0]), float(grid[-1]))
        seen = told._reduction().seen
        inside = (grid >= seen[0] - 1e-6) & (grid <= seen[1] + 1e-6)
        return told, told._signal(told._reduction(), float(grid[inside][0]), values[inside])

    def independent_points(
        self,
        observed: Signal,  # noqa: ARG002  (the limits of k and R say it)
    ) -> tuple[float, str] | None:
        """Of the range of R within that of k, ``2 dk dR / pi`` [1]; None without ``kmax``.

        E. A. Stern, Phys. Rev. B 48, 9825 (1993).
        """
        if self.kmax is None:
            return None
        k, r = self.kmax - self.kmin, self.rmax - self.rmin
        return 2.0 * k * r / np.pi, f"by {k:.3g} 1/Å of k times {r:.3g} Å of R"

    def check_reach(self, atoms: Atoms) -> None:
        """Raise :class:`UserError` where the structure has no absorber, or FEFF is missing."""
        absorber_of(atoms, self.absorber)
        program()

    def free_of(self, atoms: Atoms) -> dict[str, tuple[float, float]]:
        """Bounds of what is usually fitted: edge, distances, thermal motion."""
        free = {"e0": (-20.0, 20.0), "zoom": (0.95, 1.05)}
        if self.temperature is None and self.sigma2 is not None:
            return free
        paths = self.paths(atoms)
        if self.temperature is not None:
            free["theta"] = (50.0, 2000.0)
            if self.temperature >= WARM:
                free["third"] = (-0.001, 0.001)
        else:
            free |= {f"sigma2.{name}1": (0.0005, 0.03) for name in sorted(paths.nearest)}
            free["sigma2.*"] = (0.0005, 0.05)
        if np.ptp(paths.stretch) > BIN:
            free["softening"] = SOFTENING
        return free

    def _with_span(self, first: float, last: float) -> Exafs:
        kmax = self.kmax
        if kmax is None:
            kmax = min(np.floor(10.0 * (last - self.dk / 2)) / 10.0, LONGEST_K - self.dk / 2)
        if kmax > last + 1e-6:
            raise UserError(f"the data end at k = {last:.2f} 1/Å but kmax is {kmax:g}; lower it")
        if kmax - self.kmin < FEWEST_K:
            raise UserError(
                f"the data end at k = {last:.2f} 1/Å, too near to kmin, {self.kmin:g}; lower kmin"
            )
        return replace(self, kmax=float(kmax), span=(first, last))

    def _reduction(self) -> Reduction:
        if self.kmax is None:
            raise UserError("kmax [1/Å] is not set; an experiment's data say it, or you")
        return Reduction(
            self.compare,
            (self.kmin, self.kmax),
            self.weight,
            self.dk,
            self.window,
            (self.rmin, self.rmax),
        )

    def _signal(self, reduction: Reduction, first: float, values: Floats) -> Signal:
        start, step, compared = reduction.compared(first, values)
        name, unit = ("R", "Å") if self.compare == "R" else (self.compare, "1/Å")
        what = {"k": f"k{POWERS[self.weight]} chi(k)", "q": "chi(q)", "R": "Re chi(R)"}[
            self.compare
        ]
        power = self.weight + (self.compare == "R")
        quantity = f"{what} [Å⁻{POWERS[power] or '¹'}]" if power else what
        return Signal(compared.astype(np.float32), (Axis(name, unit, step, start),), quantity)

    def _settings(self) -> Settings:
        reach = self.rmax + BEYOND if self.reach is None else self.reach
        return Settings(
            edge=self.edge or HOLE,
            reach=reach,
            legs=self.legs,
            criterion=self.criterion,
            seconds=self.seconds,
        )

    def _sigma2(self, paths: Paths) -> Floats:
        """Mean squared variation of each path's length [Å²]."""
        given = self.sigma2
        if given is None and self.theta is None:
            given = SIGMA2
        found = static(paths, given)
        if self.theta is not None and self.temperature is not None:
            thermal = debye if self.motion == "debye" else einstein
            found = found + thermal(paths, self.theta, self.temperature)
        return np.asarray(found * np.exp(self.softening * paths.stretch))

    def _third(self, paths: Paths) -> Floats | None:
        """Third cumulant of each path [Å³]; None where there is none."""
        if self.third == 0.0:
            return None
        return np.array([self.third * sort.endswith("1") for sort in paths.sorts])


ALL_OF_COPPER = {"kmin": 3.0, "kmax": 14.0, "compare": "k", "weight": 0, "reach": 5.2}
KNOWN_ANSWERS = tuple(
    KnownAnswer(
        f"chi({k}) of copper",
        "larch's ff2chi of all of FEFF's 26 paths",
        {**ALL_OF_COPPER, "sigma2": 0.003, "criterion": 0.0},
        lambda: bulk("Cu", "fcc", a=3.61),
        lambda signal, k=k: float(signal.data[round((k - 3) / STEP)]),  # type: ignore[misc]
        value,
        2e-4,
    )
    for k, value in ((4, -0.02876), (6, 0.04302), (10, -0.01723), (14, -0.00737))
)
