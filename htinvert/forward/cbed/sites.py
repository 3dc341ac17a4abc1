"""What an atom that moves, or a site that elements share, does to an electron on average.

The mean of ``exp(i phase)`` over displacements and occupations is what stays coherent. Its modulus
below 1 is what goes into diffuse scattering: an absorptive potential that follows from the motion,
without a parameter. Hall & Hirsch, Proc. R. Soc. A 286, 158 (1965); Kirkland, *Advanced Computing
in Electron Microscopy*, 2nd ed., eq. 5.10 and C.15.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray
from scipy import fft
from scipy.interpolate import CubicSpline
from scipy.special import j0

from htinvert.core import Floats, UserError
from htinvert.forward.cross_section import BORN, interaction_parameter, scattering_factor

Share = tuple[int, float, float]
"""Atomic number, occupancy [1] and rms displacement per direction [Å] of one element of a site."""
Kind = tuple[Share, ...]
"""All elements of a site; occupancies below 1 in sum leave vacancies."""

_BOX, _PIXELS = 8.0, 400  # Å and pixels of a box about one atom
_HIGHEST, _KNOTS = 20.0, 320  # 1/Å, of the tabulated transform


def kinds_of(
    atoms: Atoms, rms_displacement: float | Mapping[str, float]
) -> tuple[NDArray[np.int_], list[Kind]]:
    """Number of its kind for each atom, from 1, shape (n,), and the kinds in order.

    What shares a site ``info["occupancy"]`` and the array ``spacegroup_kinds`` tell, as ASE's CIF
    reader writes them; other atoms fill theirs.

    Raises:
        UserError: for an element whose displacement is not named.
    """
    shared = atoms.info.get("occupancy") or {}
    groups = atoms.arrays.get("spacegroup_kinds")
    found: dict[Kind, int] = {}
    labels = np.empty(len(atoms), dtype=int)
    for index, number in enumerate(atoms.numbers):
        site = {chemical_symbols[number]: 1.0}
        if shared and groups is not None:
            site = shared.get(str(groups[index]), shared.get(groups[index], site))
        kind = tuple(
            sorted(
                (atomic_numbers[symbol], float(share), _displacement(symbol, rms_displacement))
                for symbol, share in site.items()
                if share > 0.0
            )
        )
        labels[index] = found.setdefault(kind, len(found) + 1)
    return labels, list(found)


def _displacement(symbol: str, rms_displacement: float | Mapping[str, float]) -> float:
    if not isinstance(rms_displacement, Mapping):
        return float(rms_displacement)
    if symbol not in rms_displacement and "*" not in rms_displacement:
        raise UserError(f"rms_displacement names no value for {symbol}; add one [Å]")
    return float(rms_displacement.get(symbol, rms_displacement.get("*", 0.0)))


def mean_phase(
    kinds: list[Kind], beam_energy: float, strength: float = 1.0
) -> Callable[[int, Floats], NDArray[Any]]:
    """The Fourier transform [rad Å²] of each kind's complex phase, by number from 1.

    ``exp(i phase)`` of it is the mean over displacements and occupations; its imaginary part is
    what is lost. Takes squared spatial frequencies [1/Å²] of any shape. ``strength`` multiplies
    the phase [rad] of every atom.
    """
    scale = strength * interaction_parameter(beam_energy) * BORN
    return lambda number, squared: _transform(kinds[number - 1], scale, squared)


def _transform(kind: Kind, scale: float, squared: Floats) -> NDArray[Any]:
    phase = np.zeros_like(squared)
    for number, share, moved in kind:
        phase += share * scattering_factor(number, squared) * _damping(moved, squared)
    if all(moved == 0.0 for *_, moved in kind) and len(kind) == 1 and kind[0][1] == 1.0:
        return scale * phase
    q = np.sqrt(squared)
    rest = np.where(q <= _HIGHEST, _diffuse(kind, scale)(np.minimum(q, _HIGHEST)), 0.0)
    return np.asarray(scale * phase - 1j * rest)


def _damping(moved: float, squared: Floats) -> Floats:
    """Debye-Waller factor of a phase [1] at squared frequencies [1/Å²]."""
    return np.asarray(np.exp(-2.0 * (np.pi * moved) ** 2 * squared))


@lru_cache(maxsize=512)
def _diffuse(kind: Kind, strength: float) -> CubicSpline:
    """Transform [Å²] of ``log <exp(i phase)> - i <phase>`` over the frequency [1/Å], complex.

    It has the size of an atom's core, so a box of 8 Å holds it.
    """
    k = fft.fftfreq(_PIXELS, _BOX / _PIXELS)
    squared = k[:, None] ** 2 + k**2
    scale = strength * (_PIXELS / _BOX) ** 2
    passed = np.full(squared.shape, 1.0 - sum(share for _, share, _ in kind), dtype=complex)
    mean = np.zeros(squared.shape)
    for number, share, moved in kind:
        spectrum = scale * scattering_factor(number, squared)
        damping = _damping(moved, squared)
        wave = np.exp(1j * fft.ifft2(spectrum).real)
        passed += share * fft.ifft2(fft.fft2(wave) * damping)
        mean += share * fft.ifft2(spectrum * damping).real
    line = np.log(passed[0] * np.exp(-1j * mean[0]))[: _PIXELS // 2]
    line = line - line[-1]
    step = _BOX / _PIXELS
    r = step * np.arange(line.size)
    q = np.linspace(0.0, _HIGHEST, _KNOTS)
    values = 2.0 * np.pi * step * j0(2.0 * np.pi * np.outer(q, r)) @ (line * r)
    return CubicSpline(q, values)
