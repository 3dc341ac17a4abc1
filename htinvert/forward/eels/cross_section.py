"""Cross-sections of inner shells, per loss, into a collecting aperture.

R. F. Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd ed. (2011),
sections 3.2 and 3.6; photoabsorption of B. L. Henke, E. M. Gullikson and J. C. Davis, At. Data
Nucl. Data Tables 54, 181 (1993).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from htinvert.core import Floats
from htinvert.forward.eels.edges import Edge
from htinvert.forward.eels.hydrogenic import RYDBERG, strength_k, strength_l

Model = Literal["photoabsorption", "hydrogenic"]
REST = 510_999.0  # eV, an electron's energy
BARN = 3.5166e8  # 4 pi a0^2 in barn
NODES, WEIGHTS = np.polynomial.legendre.leggauss(64)
POINTS = 90  # losses at which a cross-section is integrated; straight lines between
DIPOLE = 1e-4  # of (q a0)^2, where a strength is that of light
EDGE_WIDTH = 0.03  # of an edge's energy: where its step lies in a table of photoabsorption
ERRORS = {"K": 0.07, "L": 0.20, "M": 0.35}
"""Relative standard error of a cross-section (docs/eels.md): against other tables and spectra."""


@dataclass(frozen=True)
class Illumination:
    """Energy of the electrons [eV], semiangles of the illumination and of the collection [mrad]."""

    energy: float
    convergence: float
    collection: float


def differential(
    edge: Edge, energy: Floats, beam: Illumination, *, onset: float, model: Model
) -> Floats:
    """Cross-section per loss [barn/eV] of an edge that begins at ``onset`` [eV].

    Args:
        edge: of which element and shell.
        energy: losses [eV], rising, shape (n,); 0 where they lie below the onset.
        beam: energy and angles.
        onset: where the edge begins in the spectrum.
        model: ``hydrogenic`` (K and L only), or ``photoabsorption``: the strength of Henke's
            tables, which falls off with angle as the hydrogenic one; as dipoles to the
            Bethe ridge for M.

    Returns shape (n,).
    """
    found = np.zeros(len(energy))
    above = energy >= onset
    if above.any():
        # Close together at the onset, where a cross-section is steep.
        reach = max(float(energy[-1]) - onset, 1.0)
        grid = onset + reach * np.linspace(0.0, 1.0, POINTS) ** 2
        found[above] = np.interp(energy[above], grid, _at(edge, tuple(grid), beam, onset, model))
    return found


@lru_cache(maxsize=128)
def _at(
    edge: Edge, grid: tuple[float, ...], beam: Illumination, onset: float, model: Model
) -> Floats:
    """Cross-sections [barn/eV] at these losses [eV], by Gauss's rule over ln q^2."""
    energy = np.array(grid)[:, None]
    gamma = 1.0 + beam.energy / REST
    kinetic = REST * (1.0 - gamma**-2) / 2.0
    lowest = energy**2 / (4.0 * RYDBERG * kinetic) + energy**3 / (
        8.0 * gamma**3 * RYDBERG * kinetic**2
    )
    before = kinetic / (RYDBERG * (1.0 - 2.0 * kinetic / REST))
    after = before - energy / RYDBERG * (gamma - energy / (2.0 * REST))
    scale = 4.0 * np.sqrt(before * after)
    widest = 1e-3 * (beam.convergence + beam.collection)
    low, high = np.log(lowest), np.log(lowest + scale * np.sin(widest / 2.0) ** 2)
    half = (high - low) / 2.0
    q = np.exp(half * NODES + (high + low) / 2.0)
    angle = 2e3 * np.arcsin(np.sqrt(np.clip((q - lowest) / scale, 0.0, 1.0)))
    seen = share_collected(angle, beam.convergence, beam.collection)
    sums = (WEIGHTS * seen * _strength(edge, energy, q, onset, model)).sum(axis=1)
    return np.asarray(BARN * RYDBERG**2 / (kinetic * energy[:, 0]) * half[:, 0] * sums)


def share_collected(angle: Floats, convergence: float, collection: float) -> Floats:
    """Which share [1] of an evenly filled cone of illumination is collected after a deflection.

    The overlap of two disks of these radii [mrad], ``angle`` [mrad] apart, over that of the first;
    of the shape of ``angle``.
    """
    a, b = convergence, collection
    if a <= 0.0:
        return np.where(angle <= b, 1.0, 0.0)
    inside = min(1.0, (b / a) ** 2)
    d = np.clip(angle, max(abs(a - b), 1e-9), a + b)
    lens = (
        a**2 * np.arccos(np.clip((d**2 + a**2 - b**2) / (2.0 * d * a), -1.0, 1.0))
        + b**2 * np.arccos(np.clip((d**2 + b**2 - a**2) / (2.0 * d * b), -1.0, 1.0))
        - 0.5 * np.sqrt(np.maximum((a + b - d) * (d + a - b) * (d - a + b) * (a + b + d), 0.0))
    )
    return np.where(angle <= abs(a - b), inside, lens / (np.pi * a**2))


def _strength(edge: Edge, energy: Floats, q: Floats, onset: float, model: Model) -> Floats:
    """df/dE [1/eV] of losses, shape (n, 1), and (q a0)^2, shape (n, m)."""
    if edge.shell == "M":
        ridge = energy / RYDBERG
        return np.where(q < ridge, photoabsorption(edge, energy, onset=onset), 0.0)
    light = np.full_like(energy, DIPOLE)
    if edge.shell == "K":
        strength = strength_k(energy, q, edge.number)
        dipole = strength_k(energy, light, edge.number)
    else:
        limits = {"onset": onset, "last": edge.last + onset - edge.onset}
        strength = strength_l(energy, q, edge.number, **limits)
        dipole = strength_l(energy, light, edge.number, **limits)
    if model == "hydrogenic":
        return strength
    return np.asarray(strength / dipole * photoabsorption(edge, energy, onset=onset))


def photoabsorption(edge: Edge, energy: Floats, *, onset: float) -> Floats:
    """Optical oscillator strength df/dE = 2 f2 / (pi E) [1/eV] of one edge; that of ``energy``.

    What outer shells absorb is continued as a power law and taken away; the edge is moved to
    ``onset`` [eV].
    """
    table, f2, slope = _table(edge)
    moved = energy - onset + edge.inner
    outer = np.exp(slope[1] + slope[0] * np.log(moved))
    alone = np.interp(moved, table, f2) - outer
    return np.asarray(2.0 / np.pi * np.maximum(alone, 0.0) / moved)


@lru_cache(maxsize=64)
def _table(edge: Edge) -> tuple[Floats, Floats, Floats]:
    """Energies [eV] and f2 of an element, its step at ``edge.inner``; power law below the edge."""
    import periodictable

    energy, _, f2 = getattr(periodictable, edge.symbol).xray.sftable
    energy = 1000.0 * np.asarray(energy, dtype=float)
    good = np.isfinite(f2) & (np.asarray(f2) > 0.0)
    energy, f2 = energy[good], np.asarray(f2, dtype=float)[good]
    near = np.flatnonzero(np.abs(energy[:-1] / edge.inner - 1.0) < EDGE_WIDTH)
    if edge.shell != "M" and len(near):
        step = near[np.argmax(f2[near + 1] / f2[near])]
        energy = energy + edge.inner - energy[step + 1]
    below = (energy < edge.inner - 3.0) & (energy > 0.8 * edge.inner)
    if below.sum() < 3:  # the tables begin at 30 eV
        return energy, f2, np.array([0.0, -50.0])
    return energy, f2, np.polyfit(np.log(energy[below]), np.log(f2[below]), 1)
