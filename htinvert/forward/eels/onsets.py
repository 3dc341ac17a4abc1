"""Where edges begin in a measured spectrum, and whether it can be one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from htinvert.core import Floats, Signal, UserError
from htinvert.forward.eels.edges import Edge, table

BEFORE, AFTER = 16.0, 5.0  # eV whose straight line is continued, and whose mean rises above it
TOLERANCE = 15.0  # eV that an edge may lie beside its tabulated energy
SURE = 6.0  # standard errors of a rise that is an edge
LEAST_RISE = 0.005  # of the counts before
FINE = 60.0  # eV beyond an edge in which bonds make it rise again
MINOR = 0.5  # of an edge's own rise, below which such a rise is no other edge
FLAT = 4  # adjacent points at the maximum that no noise makes equal
COARSEST = 1.0  # eV per point that is compared
SMALLEST = 40.0  # eV: where spectra of core losses may begin and end at least


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Losses [eV] and counts in points of about 1 eV, and the variance of one count per count."""

    energy: Floats
    counts: Floats
    gain: float

    @property
    def step(self) -> float:
        """Between points [eV]."""
        return float(self.energy[1] - self.energy[0])


def spectrum_of(observed: Signal) -> Spectrum:
    """A spectrum in points of 1 eV. Raises :class:`UserError` where the data are none."""
    axis, energy = observed.axes[0], observed.coordinates()
    counts = observed.data.astype(float)
    if axis.unit != "eV":
        raise UserError(
            f"energy loss is in eV but the data are over {axis.name} [{axis.unit}]; name the axis, "
            "such as axis: energy loss [eV]"
        )
    said = f"the energy loss goes from {energy[0]:g} to {energy[-1]:g} eV"
    if energy[-1] < SMALLEST:
        raise UserError(f"{said}; if these are keV, say axis: energy loss [keV]")
    if abs(axis.step - 1.0) < 1e-9 and abs(energy[0]) < 1.5 and len(energy) in (1024, 2048, 4096):
        raise UserError(f"{said} in steps of 1, which are channels; calibrate the energy outside")
    refuse_saturated(energy, counts)
    second = np.diff(counts, 2) ** 2 / np.maximum(np.abs(counts[1:-1]), 1e-30)
    gain = float(np.median(second)) / (6.0 * 0.455)  # of the square of a normal deviate
    many = max(int(COARSEST / axis.step + 1e-6), 1)
    count = len(counts) // many
    if count < 30:
        raise UserError(f"{said} in {count} points of 1 eV, too few for an edge")
    kept = count * many
    energy = energy[:kept].reshape(count, many).mean(axis=1)
    counts = counts[:kept].reshape(count, many).mean(axis=1)
    return Spectrum(energy, counts, max(gain / many, 1e-12))


def refuse_saturated(energy: Floats, counts: Floats) -> None:
    """Raise :class:`UserError` where adjacent points share the maximum, as no noise would make."""
    top = np.flatnonzero(counts == counts.max())
    runs = np.split(top, np.flatnonzero(np.diff(top) > 1) + 1)
    longest = max(runs, key=len)
    if len(longest) >= FLAT:
        raise UserError(
            f"the detector is saturated at {counts.max():g} from {energy[longest[0]]:g} to "
            f"{energy[longest[-1]]:g} eV; expose for less long, or give a range beside it"
        )


def rises(spectrum: Spectrum) -> Floats:
    """By how many standard errors counts rise above what is before them, of each point.

    What is before is continued as a line, after the slope of all is divided out: a power law is
    convex, and would lie above its continuation everywhere.
    """
    found = np.zeros(len(spectrum.energy))
    energy = np.maximum(spectrum.energy, spectrum.step)
    slope = np.polyfit(np.log(energy), np.log(np.maximum(spectrum.counts, 1e-12)), 1)[0]
    law = (energy / energy.mean()) ** slope
    flat = spectrum.counts / law
    before = max(round(BEFORE / spectrum.step), 4)
    after = max(round(AFTER / spectrum.step), 2)
    x = np.arange(-before, 0) - 0.5
    ahead = np.arange(after).mean() + 0.5
    weights = 1.0 / before + (ahead - x.mean()) * (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    size = np.sqrt((weights**2).sum() + 1.0 / after)
    for place in range(before, len(found) - after):
        line = flat[place - before : place]
        scatter = np.std(np.diff(line, 2)) / np.sqrt(6.0)
        counted = np.sqrt(spectrum.gain * max(spectrum.counts[place], 1e-12)) / law[place]
        rise = flat[place : place + after].mean() - weights @ line
        noise = max(scatter, counted, LEAST_RISE / SURE * abs(line.mean()))
        found[place] = rise / (noise * size)
    return found


@dataclass(frozen=True)
class Rise:
    """Where a spectrum rises as at an edge.

    Attributes:
        energy: [eV].
        size: in standard errors.
        edges: of any element that begin within :data:`TOLERANCE`, the nearest first.
    """

    energy: float
    size: float
    edges: tuple[Edge, ...]


def rises_seen(spectrum: Spectrum) -> list[Rise]:
    """Rises of a spectrum by energy, but for small ones in the fine structure of large ones."""
    steep, energy = rises(spectrum), spectrum.energy
    found: list[Rise] = []
    for place in np.argsort(-steep, kind="stable"):
        size, at = float(steep[place]), float(energy[place])
        if size <= SURE:
            break
        if any(
            abs(at - rise.energy) < BEFORE
            or (0.0 < at - rise.energy < FINE and size < MINOR * rise.size)
            for rise in found
        ):
            continue
        onset = _threshold(spectrum, int(place))
        near = sorted(table(), key=lambda edge: abs(edge.onset - onset))
        edges = tuple(edge for edge in near if abs(edge.onset - onset) <= TOLERANCE)
        found.append(Rise(onset, size, edges))
    return sorted(found, key=lambda rise: rise.energy)


def find_onsets(spectrum: Spectrum, edges: dict[str, Edge]) -> tuple[dict[str, float], list[str]]:
    """Onset [eV] of each edge by its element, and of which elements it was seen.

    Edges that are not seen are moved by the median of those that are.

    Raises:
        UserError: where none is seen.
    """
    steep = rises(spectrum)
    found: dict[str, float] = {}
    for symbol, edge in edges.items():
        near = np.flatnonzero(np.abs(spectrum.energy - edge.onset) <= TOLERANCE)
        if len(near) and steep[near].max() > SURE:
            found[symbol] = _threshold(spectrum, int(near[np.argmax(steep[near])]))
    if not found:
        names = ", ".join(f"{edge.name} at {edge.onset:g} eV" for edge in edges.values())
        raise UserError(f"no edge is seen within {TOLERANCE:g} eV of {names}; {named(spectrum)}")
    shift = float(np.median([onset - edges[symbol].onset for symbol, onset in found.items()]))
    onsets = {symbol: found.get(symbol, edge.onset + shift) for symbol, edge in edges.items()}
    return onsets, list(found)


def _threshold(spectrum: Spectrum, place: int) -> float:
    """Where counts grow most from one point to the next but one, at a rise [eV]."""
    reach = round(1.5 * AFTER / spectrum.step)
    around = np.arange(max(place - 1, 1), min(place + reach, len(spectrum.counts) - 1))
    growth = spectrum.counts[around + 1] - spectrum.counts[around - 1]
    return float(spectrum.energy[around[np.argmax(growth)]])


def named(spectrum: Spectrum) -> str:
    """Where a spectrum rises most, and which edges lie there."""
    steep = rises(spectrum)
    if steep.max() < SURE:
        return "the spectrum rises nowhere; check its energy axis and range"
    place = float(spectrum.energy[np.argmax(steep)])
    near = sorted((abs(edge.onset - place), edge.name) for edge in table())
    names = ", ".join(name for apart, name in near[:3] if apart <= TOLERANCE) or "no known edge"
    return f"it rises most at {place:.0f} eV, where {names} would be; check elements and energies"
