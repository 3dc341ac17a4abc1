"""Chemical potentials from reference phases, priced by the campaign's own engine."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.formula import Formula

from htinvert import plugins
from htinvert.config.potentials import STRUCTURE, PhasesPart
from htinvert.core import EnergyModel, Space, UserError
from htinvert.energy.bulk_energy import bulk_energy
from htinvert.forward.memo import fingerprint, remember
from htinvert.geometry.own_bulk import own_bulk
from htinvert.geometry.roles import region_mask
from htinvert.ranking.chemical_potentials import Scan
from htinvert.ranking.stability import Phase, Stability, limits, outside
from htinvert.structures.phases import phases_of

_energies: OrderedDict[bytes, float] = OrderedDict()  # per atom [eV], that this process has priced


@dataclass(frozen=True)
class References:
    """What phases make of the chemical potentials: their energies, the limits, the chosen point.

    Attributes:
        phases: with their energies per formula unit, by this engine.
        tied: names of those in equilibrium with the sample.
        limits: the range of the potentials, and the point that candidates are ranked at.
    """

    phases: tuple[Phase, ...]
    tied: tuple[str, ...]
    limits: Stability

    def __str__(self) -> str:
        priced = ", ".join(f"{p.name} {p.energy:.3f}" for p in self.phases)
        points = ", ".join(
            f"{s} {self.limits.potentials[s]:.3f} of {low:.3f} to {high:.3f}"
            for s, (low, high) in self.limits.ranges.items()
        )
        text = f"phases by this engine [eV per formula]: {priced}; in equilibrium with "
        text += f"{', '.join(self.tied)} the chemical potentials are [eV] {points}"
        if self.limits.unstable:
            text += (
                f"; by this engine {', '.join(self.tied)} is not stable, the others lie "
                f"{self.limits.unstable:.3f} eV lower: another engine or other phases would do "
                "better"
            )
        return text

    @property
    def chosen(self) -> str:
        """A sentence on the point that candidates are ranked at."""
        points = ", ".join(
            f"{s} {mu:.3f} eV ({_place(mu, self.limits.ranges[s])})"
            for s, mu in self.limits.potentials.items()
        )
        return (
            f"ranked at chemical potentials {points}, in equilibrium with {', '.join(self.tied)}; "
            "chemical_potentials.at says where else"
        )

    def state(self) -> dict[str, Any]:
        """Plain values, for :meth:`restored`."""
        return {
            "phases": [[p.name, dict(p.counts), p.energy] for p in self.phases],
            "tied": list(self.tied),
            "potentials": dict(self.limits.potentials),
            "ranges": {s: list(pair) for s, pair in self.limits.ranges.items()},
            "unstable": self.limits.unstable,
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> References:
        """The references of a :meth:`state`."""
        ranges = {s: (float(low), float(high)) for s, (low, high) in state["ranges"].items()}
        return cls(
            tuple(Phase(name, counts, energy) for name, counts, energy in state["phases"]),
            tuple(state["tied"]),
            Stability(state["potentials"], ranges, state["unstable"]),
        )

    def scan(self) -> Scan | None:
        """The range of the element whose potential is the least certain; None where none is."""
        widths = {s: high - low for s, (low, high) in self.limits.ranges.items()}
        element = max(widths, key=lambda s: (round(widths[s], 3), s))
        if widths[element] < 1e-3:
            return None
        low, high = self.limits.ranges[element]
        binary = {
            p.name: p.energy
            for p in self.phases
            if p.name in self.tied and len(p.counts) == 2 and element in p.counts
        }
        return Scan(element, low, high, self.limits.potentials, dict(list(binary.items())[:1]))


def price(asked: PhasesPart, energy: EnergyModel, space: Space, folder: Path) -> References:
    """Price the phases that a campaign names. Raises :class:`UserError` where one cannot be."""
    known: dict[str, tuple[Phase, bool]] = {}
    for number, given in enumerate(asked.phases):
        own = given == STRUCTURE
        for options in _structures(given, space, folder, f"chemical_potentials.phases.{number}"):
            phase = _priced(options, energy)
            before, first = known.get(phase.name, (phase, not known))
            lower = min(before, phase, key=lambda one: one.energy)
            known[phase.name] = (lower, own or first)
    phases = tuple(phase for phase, _ in known.values())
    names = [phase.name for phase in phases]
    tied = [_reduced(name) for name in asked.equilibrium]
    for name in tied:
        if name not in names:
            hint = plugins.suggest(name, names)
            raise UserError(
                f"chemical_potentials.equilibrium names {name}, which is no phase; {hint}"
            )
    tied = tied or [phase.name for phase, first in known.values() if first]
    held = {symbol for phase in phases for symbol in phase.counts}
    free = {symbol for symbol, (low, high) in space.composition.items() if low < high}
    if missing := sorted(free - held):
        raise UserError(
            f"chemical_potentials: no phase holds {', '.join(missing)}, whose number may change; "
            "name one that does"
        )
    if foreign := sorted(set(asked.at) - held):
        raise UserError(f"chemical_potentials.at names {foreign[0]}, which no phase holds")
    return References(phases, tuple(tied), limits(phases, tied, asked.at))


def likely_phases(space: Space, *, compound: str = "") -> PhasesPart | None:
    """Phases that a start structure suggests: its own crystal, and its elements; None without.

    Where it shows no crystal, that of its formula or of ``compound`` is taken, if it is known.
    """
    symbols = sorted(set(space.template.get_chemical_symbols()) | set(space.composition))
    first: list[str] = []
    with suppress(UserError):
        first = [STRUCTURE] if _grains(space) else []
    if not first and len(symbols) > 1:
        for formula in (_reduced(space.template.get_chemical_formula()), compound):
            with suppress(UserError):
                if formula and not first and phases_of(formula):
                    first = [formula]
    for symbol in symbols:
        try:
            phases_of(symbol)
        except UserError:
            return None
    return PhasesPart(phases=list(dict.fromkeys([*first, *symbols]))) if symbols else None


def strays(given: Mapping[str, float], energy: EnergyModel, space: Space, folder: Path) -> str:
    """What is wrong with given chemical potentials by the phases that are likely; empty if nothing.

    Empty, too, where no phases are known or the engine cannot price them.
    """
    asked = likely_phases(space)
    held = set(space.template.get_chemical_symbols())
    changes = any(low < high for low, high in space.composition.values())
    if asked is None or not changes or not held <= set(given):
        return ""
    try:
        found = price(asked, energy, space, folder)
    except UserError:
        return ""
    wrong = outside(found.phases, found.tied, given)
    if not wrong:
        return ""
    name, gain = max(wrong, key=lambda pair: abs(pair[1]))
    what = "would precipitate" if gain > 0 else "would dissolve"
    ranges = ", ".join(f"{s} {a:.3f} to {b:.3f}" for s, (a, b) in found.limits.ranges.items())
    return (
        "chemical potentials lie outside of the range in which "
        f"{', '.join(found.tied)} is stable ({ranges} eV): {name} {what}, by {abs(gain):.3f} eV "
        "per formula; let phases decide, with "
        f"chemical_potentials: {{phases: [{', '.join(map(str, asked.phases))}]}}"
    )


def _structures(given: Any, space: Space, folder: Path, place: str) -> list[list[Atoms]]:
    """Per phase that an entry stands for, the structures that it may have."""
    if given == STRUCTURE:
        if grains := _grains(space):
            return [[grain] for grain in grains]
        raise UserError(f"{place}: the start structure has no grains; name its phase by a formula")
    if isinstance(given, str):
        try:
            return [phases_of(given)]
        except UserError as error:
            raise UserError(f"{place}: {error}") from error
    return [[plugins.build("structure", given, folder, place)]]


def _grains(space: Space) -> list[Atoms]:
    """The crystals below and above the region, one per composition; none without a region."""
    region, template = space.region, space.template
    if region is None or not template.pbc.all():
        return []
    height = template.positions[~region_mask(template), region.dimension]
    if not len(height):
        return []
    found: dict[str, Atoms] = {}
    for lower, upper in ((height.min(), region.lower), (region.upper, height.max())):
        with suppress(UserError):
            crystal = own_bulk(template, axis=region.dimension, lower=lower, upper=upper)
            found.setdefault(_name(crystal), crystal)
    return list(found.values())


def _priced(options: list[Atoms], engine: EnergyModel) -> Phase:
    name = _name(options[0])
    counts = dict(Formula(name).count())
    return Phase(name, counts, _energy(options, engine, name) * sum(counts.values()))


def _energy(options: list[Atoms], engine: EnergyModel, name: str) -> float:
    arrays = [part for a in options for part in (a.positions, a.cell.array, a.numbers)]
    key = fingerprint({"engine": repr(engine)}, *arrays)
    if key not in _energies:
        remember(_energies, key, bulk_energy(engine, options, name=name)[1], most=64)
    return _energies[key]


def _name(atoms: Atoms) -> str:
    return _reduced(atoms.get_chemical_formula())


def _place(value: float, limits: tuple[float, float]) -> str:
    """Where in a range a potential lies, in words."""
    low, high = limits
    if high - low < 1e-3:
        return "fixed"
    return (
        f"{(value - low) / (high - low):.0%} of the way from {low:.3f}, poor, to {high:.3f}, rich"
    )


def _reduced(formula: str) -> str:
    """A formula with the fewest atoms, metals first, such as TiO2."""
    return str(Formula(formula).reduce()[0].convert("metal"))
