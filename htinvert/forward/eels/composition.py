"""How many atoms of which element a core-loss spectrum shows: edges and background at once.

Edges that overlap are fitted together with their backgrounds by weighted linear least squares,
which give no negative numbers (J. Verbeeck and S. Van Aert, Ultramicroscopy 101, 207 (2004)). Only
the exponent of a background's power law is searched for.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar, nnls

from htinvert.core import Floats, UserError
from htinvert.forward.eels.cross_section import ERRORS, Illumination, Model, differential
from htinvert.forward.eels.edges import Edge
from htinvert.forward.eels.low_loss import LowLoss
from htinvert.forward.eels.onsets import Spectrum

APART = 1.5  # ratio of onsets beyond which edges do not share a background
LOWER, UPPER = 0.80, 1.3  # of the first and the last onset: where a power law is believed
LEAST = 60.0  # eV beyond the fine structure that are compared at least
AHEAD = 5.0  # eV below an onset that its rise may begin
OWN = 25.0  # eV of an edge that are compared before the next one begins
NARROWEST = 15.0  # eV before an edge, or it has no background
VARIED = tuple(product((0.6, 1.0, 1.5), ((LOWER, UPPER), (0.88, UPPER), (LOWER, 1.2))))
"""Width of the fine structure over the given, and limits: what any analyst may choose."""
PLURAL = 0.10  # relative standard error of a ratio where nothing is known of plural scattering
KNOWN_PLURAL = 0.03  # where there is a low loss: of where it ends, and of surfaces
EXPONENTS = (1.0, 6.5)  # of power laws


@dataclass(frozen=True, eq=False)
class Group:
    """Edges on one background: by what columns they are described, and where.

    Attributes:
        inside: which points are compared, shape (n,).
        nuisance: columns of the fine structure, shape (m, k): one for each of its points.
        edges: columns of one atom of each element, shape (m, elements); 0 in its fine structure.
    """

    inside: NDArray[np.bool_]
    nuisance: Floats
    edges: Floats
    symbols: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Composition:
    """What was found.

    Attributes:
        symbols: elements, in order of atomic numbers.
        fractions: of them [1], shape (n,).
        log_errors: standard error of the logarithm of each element's number, shape (n,).
        onsets: [eV].
        exponents: of the backgrounds, by element.
    """

    symbols: tuple[str, ...]
    fractions: Floats
    log_errors: Floats
    onsets: dict[str, float]
    exponents: dict[str, float]

    def errors(self) -> Floats:
        """Standard errors of the fractions, shape (n,): what others' errors do to each, too."""
        n = self.fractions
        slopes = np.diag(n) - np.outer(n, n)
        return np.asarray(np.sqrt(((slopes * self.log_errors) ** 2).sum(axis=1)))

    def ratio(self, one: str, other: str) -> tuple[float, float, float]:
        """Atoms of one element per atom of another, with lower and upper end of 95 %."""
        i, j = self.symbols.index(one), self.symbols.index(other)
        value = float(self.fractions[i] / max(self.fractions[j], 1e-12))
        width = float(np.exp(1.96 * np.hypot(self.log_errors[i], self.log_errors[j])))
        return value, value / width, value * width


@dataclass(frozen=True, kw_only=True)
class Assumed:
    """The beam, or the mean of plausible ones and what they differ by, a model, a low loss."""

    beam: Illumination
    others: tuple[Illumination, ...] = ()
    model: Model = "photoabsorption"
    fine: float = 40.0
    low_loss: LowLoss | None = None


def groups_of(
    spectrum: Spectrum,
    edges: dict[str, Edge],
    onsets: dict[str, float],
    optics: Assumed,
    *,
    limits: tuple[float, float] = (LOWER, UPPER),
    fine: float | None = None,
) -> list[Group]:
    """Edges by backgrounds. Raises :class:`UserError` for one that has too little beside it."""
    width = optics.fine if fine is None else fine
    order = sorted(edges, key=lambda symbol: onsets[symbol])
    parts: list[list[str]] = []
    for symbol in order:
        if parts and onsets[symbol] < APART * onsets[parts[-1][-1]]:
            parts[-1].append(symbol)
        else:
            parts.append([symbol])
    found = []
    for place, part in enumerate(parts):
        ceiling = onsets[parts[place + 1][0]] - AHEAD if place + 1 < len(parts) else np.inf
        found.append(_group(spectrum, part, edges, onsets, optics, (*limits, width, ceiling)))
    return found


def _group(
    spectrum: Spectrum,
    part: list[str],
    edges: dict[str, Edge],
    onsets: dict[str, float],
    optics: Assumed,
    limits: tuple[float, float, float, float],
) -> Group:
    lower, upper, width, ceiling = limits
    first, last = onsets[part[0]], onsets[part[-1]]
    ends = {}
    for symbol, after in zip(part, [*part[1:], None], strict=True):
        white = onsets[symbol] + edges[symbol].split
        end = white + min(width, 0.2 * onsets[symbol])
        room = np.inf if after is None else onsets[after] - AHEAD - OWN
        ends[symbol] = max(min(end, room), white + AHEAD)
    high = min(max(upper * last, ends[part[-1]] + LEAST), ceiling)
    energy = spectrum.energy
    inside = (energy >= lower * first) & (energy <= high)
    before = float(spectrum.step * (energy[inside] < first - AHEAD).sum())
    behind = float(spectrum.step * (energy[inside] > ends[part[-1]]).sum())
    for extent, where in ((before, "before"), (behind, "beyond the fine structure of")):
        if extent < NARROWEST:
            name = edges[part[0] if where == "before" else part[-1]].name
            raise UserError(
                f"the data hold {extent:.0f} eV {where} {name}, too few for its background; give a "
                "spectrum or range that reaches farther, or leave the element out of elements"
            )
    x = energy[inside]
    columns, free = [], np.zeros(len(x), dtype=bool)
    for symbol in part:
        region = (x >= onsets[symbol] - AHEAD) & (x < ends[symbol])
        atom = differential(edges[symbol], x, optics.beam, onset=onsets[symbol], model=optics.model)
        if optics.low_loss is not None:
            atom = optics.low_loss.broadened(atom, spectrum.step)
        columns.append(np.where(region, 0.0, atom))
        free |= region
    return Group(inside, np.eye(len(x))[:, free], np.transpose(columns), tuple(part))


def solve(spectrum: Spectrum, group: Group) -> tuple[Floats, Floats, float]:
    """Numbers of atoms and their covariance in arbitrary units, and the background's exponent.

    Points of a fine structure have a free value each, so they are left out.
    """
    kept = ~group.nuisance.any(axis=1)
    x, y = spectrum.energy[group.inside][kept], spectrum.counts[group.inside][kept]
    weights = 1.0 / np.sqrt(np.maximum(y, 0.01 * max(float(y.max()), 1e-30)))
    scales = np.maximum(group.edges[kept].max(axis=0), 1e-30)
    columns = group.edges[kept] / scales * max(float(y.mean()), 1e-30)

    def fitted(exponent: float) -> tuple[Floats, float, Floats]:
        power = float(y.mean()) * (x / x.mean()) ** -exponent
        rows = np.column_stack([power, columns]) * weights[:, None]
        values, distance = nnls(rows, y * weights)
        return values, float(distance), rows

    exponent = float(
        minimize_scalar(
            lambda r: fitted(r)[1], bounds=EXPONENTS, method="bounded", options={"xatol": 1e-3}
        ).x
    )
    values, distance, rows = fitted(exponent)
    slope = rows[:, :1] * np.log(x / x.mean())[:, None]
    rest = (y * weights - rows @ values) / max(distance, 1e-30)
    alike = float(np.clip(rest[1:] @ rest[:-1], 0.0, 0.95))
    inflated = distance**2 / max(len(x) - rows.shape[1] - 1, 1) * (1.0 + alike) / (1.0 - alike)
    inverse = np.linalg.pinv(np.hstack([rows, slope]).T @ np.hstack([rows, slope])) * inflated
    unit = max(float(y.mean()), 1e-30) / scales
    count = len(scales)
    errors = inverse[1 : count + 1, 1 : count + 1] * np.outer(unit, unit)
    return values[1:] * unit, errors, exponent


def analyze(
    spectrum: Spectrum, edges: dict[str, Edge], onsets: dict[str, float], optics: Assumed
) -> Composition:
    """Composition with errors of counting, of an analyst's choices, and of cross-sections."""
    symbols = tuple(sorted(edges, key=lambda symbol: edges[symbol].number))
    logs, statistical, exponents = [], np.zeros(len(symbols)), {}
    problem: UserError | None = None
    for share, limits in VARIED:
        values = np.zeros(len(symbols))
        try:
            found = groups_of(
                spectrum, edges, onsets, optics, limits=limits, fine=share * optics.fine
            )
        except UserError as error:
            problem = error
            continue
        for group in found:
            numbers, errors, exponent = solve(spectrum, group)
            for place, symbol in enumerate(group.symbols):
                at = symbols.index(symbol)
                values[at] = numbers[place]
                relative = errors[place, place] / max(numbers[place], 1e-30) ** 2
                statistical[at] = max(statistical[at], min(relative, 25.0))
                exponents[symbol] = exponent
        if values.max() <= 0.0:
            continue
        values = np.maximum(values / values.sum(), 1e-4)
        logs.append(np.log(values / values.sum()))
    if not logs:
        raise problem or UserError(
            "no element has more than nothing in this spectrum; check elements, energies and range"
        )
    fractions = np.exp(np.mean(logs, axis=0))
    spread = np.var(logs, axis=0)
    shells = np.array([ERRORS[edges[symbol].shell] for symbol in symbols])
    plural = PLURAL if optics.low_loss is None else KNOWN_PLURAL
    variance = statistical + spread + shells**2 + plural**2 / 2.0
    variance = variance + _angles(edges, onsets, optics, symbols) ** 2
    return Composition(
        symbols, fractions / fractions.sum(), np.sqrt(variance), dict(onsets), exponents
    )


def _angles(
    edges: dict[str, Edge], onsets: dict[str, float], optics: Assumed, symbols: tuple[str, ...]
) -> Floats:
    """Half the range of the logarithm of each cross-section over their mean, for unlike beams."""
    if not optics.others:
        return np.zeros(len(symbols))
    found = []
    for beam in optics.others:
        sizes = [
            differential(
                edges[symbol],
                onsets[symbol] + np.arange(1.0, 101.0),
                beam,
                onset=onsets[symbol],
                model=optics.model,
            ).sum()
            for symbol in symbols
        ]
        found.append(np.log(sizes) - np.mean(np.log(sizes)))
    return np.asarray(np.ptp(found, axis=0) / 2.0)
