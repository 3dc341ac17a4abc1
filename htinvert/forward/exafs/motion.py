"""Mean squared variation of the lengths of paths by thermal motion.

Correlated Debye model: E. Sevillano, H. Meuth & J. J. Rehr, Phys. Rev. B 20, 4908 (1979), of every
path as in FEFF (S. I. Zabinsky et al., Phys. Rev. B 52, 2995 (1995)); Einstein's as in IFEFFIT.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
from ase.data import atomic_masses

from htinvert.core import Floats, UserError
from htinvert.forward.exafs.paths import LEGS, Paths

EINSTEIN = 24.254360157751783  # Å² u K: hbar² / 2 k_B
DEBYE = 72.7630804732553  # three times that
WAVE = 4.5693349700844  # bohr/Å: (9 pi / 2)^(1/3) / bohr
COLDEST = 0.01  # K
FARTHEST, SPACING = 120.0, 0.05  # of Debye's distance, in a table
NODES = 160  # of Gauss and Legendre


def static(paths: Paths, given: float | Mapping[str, float] | None) -> Floats:
    """sigma2 [Å²] of each path, the same for all or by its sort: ``Cu1``, else ``Cu``, else ``*``.

    Raises :class:`UserError` where a sort is not given.
    """
    if not isinstance(given, Mapping):
        return np.full(len(paths), given or 0.0)
    return np.array([_of_sort(given, sort) for sort in paths.sorts])


def _of_sort(given: Mapping[str, float], sort: str) -> float:
    value = given.get(sort, given.get(sort.rstrip("1"), given.get("*")))
    if value is None:
        raise UserError(f"sigma2 [Å²] is given for {', '.join(given)}; give it for {sort}, too")
    return value


def einstein(paths: Paths, theta: float, temperature: float) -> Floats:
    """sigma2 [Å²] of each path at temperature [K] by Einstein's temperature theta [K]."""
    masses = np.where(paths.numbers > 0, atomic_masses[paths.numbers], np.inf)
    inverse = (1.0 / masses).sum(axis=1)
    return np.asarray(
        EINSTEIN * inverse / (theta * np.tanh(theta / (2.0 * max(temperature, COLDEST))))
    )


def debye(paths: Paths, theta: float, temperature: float) -> Floats:
    """sigma2 [Å²] of each path at temperature [K] by Debye's temperature theta [K].

    Half the sum over legs i and j of the cosine between them times what the motions of their ends
    have in common.
    """
    places, numbers = paths.places, paths.numbers
    legs = paths.legs
    following = (np.arange(LEGS)[None] + 1) % legs[:, None]
    ends = np.take_along_axis(places, following[:, :, None], axis=1)
    real = np.arange(LEGS)[None] < legs[:, None]
    ways = np.where(real[:, :, None], places - ends, 0.0)
    lengths = np.where(real, np.linalg.norm(ways, axis=2), 1.0)
    ways /= lengths[:, :, None]
    cosines = np.einsum("nik,njk->nij", ways, ways)
    apart = np.linalg.norm(places[:, :, None] - places[:, None, :], axis=3)
    masses = np.sqrt(np.where(numbers > 0, atomic_masses[numbers], 1.0))
    both = theta * masses[:, :, None] * masses[:, None, :]
    common = _correlation(WAVE * apart / paths.norman[:, None, None], theta, temperature)
    common *= DEBYE / both
    n = np.arange(len(paths))[:, None, None]
    i, j = following[:, :, None], following[:, None, :]
    rows, columns = np.arange(LEGS)[None, :, None], np.arange(LEGS)[None, None, :]
    pairs = common + common[n, i, j] - common[n, rows, j] - common[n, i, columns]
    return np.asarray((cosines * pairs).sum(axis=(1, 2)) / 4.0)


def _correlation(x: Floats, theta: float, temperature: float) -> Floats:
    """Debye's integral of sin(w x) / x coth(w theta / 2 T) over w from 0 to 1."""
    table = _table(float(theta), float(max(temperature, COLDEST)))
    return np.interp(x, SPACING * np.arange(len(table)), table)


@functools.lru_cache(maxsize=8)
def _table(theta: float, temperature: float) -> Floats:
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    w = 0.5 * (nodes + 1.0)
    thermal = 0.5 * weights * w / np.tanh(np.maximum(w * theta / (2.0 * temperature), 1e-12))
    x = SPACING * np.arange(round(FARTHEST / SPACING) + 1)
    return np.asarray(np.sinc(np.outer(x, w) / np.pi) @ thermal)
