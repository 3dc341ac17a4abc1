"""What each two elements scatter, relative to the mean, and how far their atoms are displaced."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np

from htinvert.core import Floats, UserError

RADIATIONS = ("x-ray", "neutron", "atomic number")


def u_of(u: float | Mapping[str, float], symbol: str) -> float:
    """Mean squared displacement [Å²] of one element; one number is that of any, ``*``.

    Raises :class:`UserError` where none is given for it.
    """
    known = u if isinstance(u, Mapping) else {"*": float(u)}
    value = known.get(symbol, known.get("*"))
    if value is None:
        raise UserError(f"u [Å²] is given for {', '.join(known)}; give it for {symbol}, too")
    return value


@functools.lru_cache(maxsize=64)
def factors(
    symbol: str, radiation: str, last: float, step: float, count: int, first: float = 0.0
) -> Floats:
    """Scattering factor of an element at Q from ``first`` to ``last`` [1/Å], shape (count,).

    X-rays: f0 by Waasmaier & Kirfel, Acta Cryst. A 51, 416 (1995), in electrons; zero beyond
    ``last``, which is not looked at. Neutrons: bound coherent length [fm] (Sears, Neutron News 3,
    26 (1992)), as that of the atomic number the same at every Q.

    Raises:
        UserError: for an element that the tables lack.
    """
    import periodictable  # here: its tables are loaded only where a G(r) is simulated

    element = getattr(periodictable, symbol, None)
    if element is None or element.number < 1:
        raise UserError(f"{symbol} is in no table of elements; name its atoms by their element")
    if radiation == "atomic number":
        return np.full(count, float(element.number))
    if radiation == "neutron":
        length = element.neutron.b_c
        if length is None:
            raise UserError(f"no neutron scattering length of {symbol} is known; take X-rays")
        return np.full(count, float(length))
    from periodictable.cromermann import fxrayatq

    q = np.minimum(first + step * np.arange(count), last)
    try:
        values = np.asarray(fxrayatq(symbol, q), dtype=float)
    except (KeyError, ValueError) as error:
        raise UserError(f"no X-ray scattering factors of {symbol} are known") from error
    if not np.isfinite(values).all():
        raise UserError(
            f"X-ray factors of {symbol} end before Q = {last:g} 1/Å; give a smaller qmax"
        )
    return values


@functools.lru_cache(maxsize=64)
def pair_weights(
    symbols: tuple[str, ...],
    shares: tuple[float, ...],
    radiation: str,
    last: float,
    step: float,
    count: int,
    *,
    first: float = 0.0,
) -> Floats:
    """f_a f_b / <f>^2 [1] of each two elements at each Q, shape (element pairs, count).

    ``shares`` are the elements' fractions of all atoms, of which <f> is the mean.
    """
    f = np.array([factors(symbol, radiation, last, step, count, first) for symbol in symbols])
    mean = np.array(shares) @ f
    if np.abs(mean).min() < 1e-6 * np.abs(f).max():
        raise UserError("the scattering lengths of this composition cancel; G(r) has no scale")
    upper = np.triu_indices(len(symbols))
    return np.asarray(f[upper[0]] * f[upper[1]] / mean**2)


def mean_square(symbols: tuple[str, ...], shares: tuple[float, ...], radiation: str) -> float:
    """Square of the mean scattering factor of a composition at Q = 0 [electrons² or fm²]."""
    mean = sum(
        x * factors(s, radiation, 1.0, 1.0, 1)[0] for s, x in zip(symbols, shares, strict=True)
    )
    return float(mean**2)
