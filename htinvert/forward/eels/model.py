"""Core losses of fast electrons: edges of the elements of a structure on their background.

R. F. Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd ed. (2011). What a
structure decides are the ratios of its edges; background and fine structure are solved for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from htinvert.core import Axis, Floats, Signal, UserError
from htinvert.declaration.declared import KnownAnswer, Parameter, check_bounds, declared
from htinvert.forward.eels.composition import (
    PLURAL,
    Assumed,
    Composition,
    analyze,
    groups_of,
    solve,
)
from htinvert.forward.eels.cross_section import ERRORS, Illumination, Model
from htinvert.forward.eels.edges import Edge, edges_within, table
from htinvert.forward.eels.low_loss import LowLoss, low_loss_of
from htinvert.forward.eels.onsets import Spectrum, find_onsets, spectrum_of

MODELS = ("photoabsorption", "hydrogenic")
ENERGIES, CONVERGENCES, COLLECTIONS = (6e4, 3e5), (0.5, 30.0), (5.0, 60.0)
"""What a microscope may have that nobody describes [eV, mrad, mrad]."""
USUAL = (2e5, 10.0, 20.0)
MARGIN = 30.0  # eV of data before and behind an edge


@dataclass(frozen=True, kw_only=True)
class Eels:
    """Simulate a core-loss spectrum in points of about 1 eV.

    Args:
        elements: those whose edges are in the data; the structure's where None.
        beam_energy: of the electrons [eV]; unknown where None, which widens intervals.
        semiangle: of convergence [mrad]; unknown where None.
        collection: semiangle of collection [mrad]; unknown where None.
        fine: how far beyond an edge its shape is not compared, for it depends on bonds [eV].
        cross_sections: ``photoabsorption``, or ``hydrogenic`` for K and L edges.
        low_loss: spectrum of the same place around its zero-loss peak, a file; its losses are added
            to each edge, and its peak is where the energy loss of the data is 0.
        shift: added to the energy loss of the data [eV], where their axis is off.
        factor: of the cross-section of each element [1], one number or one per symbol.
        observed: spectrum whose background is solved for; the experiment's where None.
        low: what was read of the low loss.

    Raises:
        ValueError: for a parameter out of bounds.
    """

    kind: ClassVar[str] = "curve"
    sources: ClassVar[tuple[str, ...]] = (
        "R. F. Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd ed. "
        "(2011).",
        "B. L. Henke, E. M. Gullikson and J. C. Davis, At. Data Nucl. Data Tables 54, 181 (1993), "
        "doi:10.1006/adnd.1993.1013.",
    )
    packages: ClassVar[tuple[str, ...]] = ("periodictable",)
    companions: ClassVar[Mapping[str, str]] = {"low_loss": "curve"}

    elements: tuple[str, ...] | None = None
    beam_energy: Annotated[float | None, Parameter("eV", 1e4, 1e6)] = None
    semiangle: Annotated[float | None, Parameter("mrad", 0.0, 150.0)] = None
    collection: Annotated[float | None, Parameter("mrad", 0.1, 300.0)] = None
    fine: Annotated[float, Parameter("eV", 5.0, 200.0)] = 40.0
    cross_sections: Model = "photoabsorption"
    low_loss: Path | None = None
    shift: Annotated[float, Parameter("eV", -500.0, 500.0)] = 0.0
    factor: Annotated[float | dict[str, float], Parameter("1", 0.1, 10.0)] = 1.0
    observed: Signal | None = field(default=None, repr=False, compare=False)
    low: LowLoss | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_bounds(self, declared(type(self)))
        if self.cross_sections not in MODELS:
            raise ValueError(
                f'cross_sections is "{self.cross_sections}", not {" or ".join(MODELS)}'
            )
        for symbol in self.elements or ():
            if symbol not in atomic_numbers:
                raise ValueError(f'elements has "{symbol}", which is none, such as [Ti, O]')

    def accompanied(self, *, low_loss: Signal) -> Eels:
        """The model with a low loss. Raises :class:`UserError` where there is no zero loss."""
        return replace(self, low=low_loss_of(low_loss))

    def reduced(self, observed: Signal) -> tuple[Eels, Signal]:
        """The model on these data, and them in points of 1 eV.

        Raises :class:`UserError` where they are no core losses.
        """
        spectrum = spectrum_of(observed)
        moved = self.shift - (self.low.zero if self.low is not None else 0.0)
        spectrum = replace(spectrum, energy=spectrum.energy + moved)
        if self.elements is not None:
            self._edges(spectrum, self.elements)
        axis = Axis("energy loss", "eV", spectrum.step, float(spectrum.energy[0]))
        signal = Signal(spectrum.counts.astype(np.float32), (axis,), observed.quantity)
        return replace(self, observed=signal), signal

    def __call__(self, atoms: Atoms) -> Signal:
        """The spectrum of this composition that is nearest to the data, shape (n,), float32.

        Beside the edges, where nothing is compared, it is the data.

        Raises:
            UserError: where there are no data, or they show no edge of the structure.
        """
        spectrum = self._spectrum()
        edges, onsets = self._onsets(spectrum, atoms)
        groups = groups_of(spectrum, edges, onsets, self._optics())
        powers = np.zeros((len(spectrum.energy), len(groups)))
        shape = np.zeros(len(spectrum.energy))
        for place, group in enumerate(groups):
            kept = np.flatnonzero(group.inside)[~group.nuisance.any(axis=1)]
            x = spectrum.energy[kept]
            powers[kept, place] = (x / x.mean()) ** -solve(spectrum, group)[2]
            counts = [(atoms.numbers == atomic_numbers[s]).sum() for s in group.symbols]
            factors = [self._factor(symbol) for symbol in group.symbols]
            shape[kept] = group.edges[~group.nuisance.any(axis=1)] @ np.multiply(counts, factors)
        values = _nearest(spectrum.counts, powers, shape)
        axis = Axis("energy loss", "eV", spectrum.step, float(spectrum.energy[0]))
        return Signal(values.astype(np.float32), (axis,), "counts")

    def composition(self, atoms: Atoms) -> Composition:
        """What the data say of the elements of a structure, whatever their number in it.

        Raises :class:`UserError` where they show none of its edges, or too little beside them.
        """
        spectrum = self._spectrum()
        edges, onsets = self._onsets(spectrum, atoms)
        return analyze(spectrum, edges, onsets, self._optics(varied=True))

    def findings(self, atoms: Atoms) -> tuple[list[str], dict[str, str]]:
        """Sentences on the composition, and a file's text with a block for a campaign."""
        found = self.composition(atoms)
        lines = [
            f"{symbol}: {100 * x:.1f} +- {100 * error:.1f} at% of what is seen, edge at "
            f"{found.onsets[symbol]:.0f} eV"
            for symbol, x, error in zip(found.symbols, found.fractions, found.errors(), strict=True)
        ]
        last = found.symbols[-1]
        for symbol in found.symbols[:-1]:
            ratio, low, high = found.ratio(symbol, last)
            lines.append(f"{symbol}/{last}: {ratio:.2f}, 95 % from {low:.2f} to {high:.2f}")
        unknown = [
            name for name in ("beam_energy", "semiangle", "collection") if not self._given(name)
        ]
        if unknown:
            lines.append(
                f"{', '.join(unknown)} not given: intervals allow for any; give what you know"
            )
        if self.low is None:
            lines.append(f"no low loss: {PLURAL:.0%} of each ratio allow for plural scattering")
        else:
            lines.append(
                f"low loss: {self.low.thickness:.2f} mean free paths thick, zero-loss peak at "
                f"{self.low.zero:.2f} eV of the file's axis"
            )
        return lines, {"composition.yaml": _block(found, atoms)}

    def check_reach(self, atoms: Atoms) -> None:
        """Raise :class:`UserError` where the data show no two edges of the structure."""
        self._onsets(self._spectrum(), atoms)

    def free_of(self, atoms: Atoms) -> Mapping[str, tuple[float, float]]:
        """Cross-sections of all elements but the heaviest, within their errors."""
        edges, _ = self._onsets(self._spectrum(), atoms)
        order = sorted(edges.values(), key=lambda edge: edge.number)
        return {
            f"factor.{edge.symbol}": (
                round(float(np.exp(-np.hypot(ERRORS[edge.shell], ERRORS[order[-1].shell]))), 3),
                round(float(np.exp(np.hypot(ERRORS[edge.shell], ERRORS[order[-1].shell]))), 3),
            )
            for edge in order[:-1]
        }

    def _given(self, name: str) -> bool:
        return getattr(self, name) is not None

    def _factor(self, symbol: str) -> float:
        if isinstance(self.factor, Mapping):
            return float(self.factor.get(symbol, self.factor.get("*", 1.0)))
        return float(self.factor)

    def _spectrum(self) -> Spectrum:
        if self.observed is None:
            raise UserError("eels has no data whose background it could solve for; give a spectrum")
        return spectrum_of(self.observed)

    def _optics(self, *, varied: bool = False) -> Assumed:
        given = (self.beam_energy, self.semiangle, self.collection)
        chosen = [usual if one is None else one for one, usual in zip(given, USUAL, strict=True)]
        ranges = [
            (one,) if one is not None else extremes
            for one, extremes in zip(given, (ENERGIES, CONVERGENCES, COLLECTIONS), strict=True)
        ]
        others = (
            tuple(Illumination(*one) for one in product(*ranges))
            if varied and None in given
            else ()
        )
        return Assumed(
            beam=Illumination(*chosen),
            others=others,
            model=self.cross_sections,
            fine=self.fine,
            low_loss=self.low,
        )

    def _edges(self, spectrum: Spectrum, symbols: tuple[str, ...]) -> dict[str, Edge]:
        low, high = float(spectrum.energy[0]) + MARGIN, float(spectrum.energy[-1]) - MARGIN
        edges = edges_within(symbols, low, high)
        if self.cross_sections == "hydrogenic":
            edges = {symbol: edge for symbol, edge in edges.items() if edge.shell != "M"}
        asked = symbols if self.elements is not None else ()
        for symbol in asked:
            if symbol not in edges:
                known = ", ".join(f"{e.name} {e.onset:g}" for e in table() if e.symbol == symbol)
                raise UserError(
                    f"no edge of {symbol} lies in the data, {low:.0f} to {high:.0f} eV ({known}); "
                    "take it out of elements, or give a spectrum that reaches it"
                )
        if len(edges) < 2:
            raise UserError(
                f"{low:.0f} to {high:.0f} eV hold edges of {', '.join(edges) or 'none'} of "
                f"{', '.join(symbols)}; a composition needs two elements"
            )
        return edges

    def _onsets(self, spectrum: Spectrum, atoms: Atoms) -> tuple[dict[str, Edge], dict[str, float]]:
        symbols = self.elements or tuple(sorted(set(atoms.get_chemical_symbols())))
        edges = self._edges(spectrum, symbols)
        return edges, find_onsets(spectrum, edges)[0]


def _nearest(counts: Floats, powers: Floats, shape: Floats) -> Floats:
    """Backgrounds and one scale of a shape, by weighted least squares; counts where there is none.

    Counts and shape (n,), powers (n, groups).
    """
    inside = powers.any(axis=1)
    weights = 1.0 / np.sqrt(np.maximum(counts[inside], 1e-2 * counts.max()))
    scale = max(float(np.abs(shape).max()), 1e-30)
    columns = np.column_stack([powers, shape / scale])[inside]
    solved, *_ = np.linalg.lstsq(columns * weights[:, None], counts[inside] * weights, rcond=None)
    found = counts.copy()
    found[inside] = columns @ solved
    return found


def _block(found: Composition, atoms: Atoms) -> str:
    """Lines of YAML: as many atoms of the heaviest element as built, of others within 95 %."""
    symbols = list(dict.fromkeys(atoms.get_chemical_symbols()))
    count = {symbol: int((atoms.numbers == atomic_numbers[symbol]).sum()) for symbol in symbols}
    anchor = found.symbols[-1]
    lines = [
        f"# From a core-loss spectrum: 95 % of the ratio to {anchor}, whose number is",
        "# the structure's; so is that of elements without an edge. In a region, count its atoms.",
        "composition:",
    ]
    for symbol in symbols:
        low = high = count[symbol]
        if symbol in found.symbols and symbol != anchor:
            _, least, most = found.ratio(symbol, anchor)
            low, high = (
                int(np.floor(least * count[anchor] + 0.5)),
                int(np.ceil(min(most * count[anchor], 20.0 * len(atoms)))),
            )
        lines.append(f"  {symbol}: [{low}, {high}]")
    return "\n".join(lines) + "\n"


def _planted() -> Signal:
    """A power law with the edges of one titanium and three oxygen atoms, 300 to 900 eV."""
    from htinvert.forward.eels.cross_section import differential

    energy = np.arange(300.0, 900.0)
    counts = 1e5 * (energy / 300.0) ** -3.0
    for edge in edges_within(("Ti", "O"), 300.0, 900.0).values():
        number = {"Ti": 1.0, "O": 3.0}[edge.symbol]
        beam = Illumination(2e5, 10.0, 20.0)
        atom = differential(edge, energy, beam, onset=edge.onset, model="photoabsorption")
        counts += 300.0 * number * atom
    return Signal.curve(energy, counts, name="energy loss", unit="eV", quantity="counts")


KNOWN_ANSWERS = (
    KnownAnswer(
        "background at 400 eV, of TiO3 in a planted spectrum",
        "the power law that was planted, 1e5 (300 / 400)^3",
        {"elements": ("Ti", "O"), "observed": _planted()},
        lambda: Atoms("TiO3", positions=np.arange(12.0).reshape(4, 3)),
        lambda signal: float(signal.data[100]),
        42187.5,
        400.0,
    ),
)
