"""Operators that follow an experiment: atoms go where it shows too little, not where too much.

Image-guided moves: Yu et al., ACS Nano 10, 4031 (2016); Maldonis et al., Comput. Mater. Sci. 160, 1
(2019). There an operator reads an image; here it sees a :class:`Guide`, a field over positions
that any experiment can give, and does not know the instrument. Places are drawn by a power of what
they lack. The coordinate that the experiment does not see is left to chance and to the distances
between atoms.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import REGION_TAG, Floats, Infeasible, Space
from htinvert.generators.operators import composition_of, host_of, is_valid, shift_grain
from htinvert.geometry.distances import room
from htinvert.geometry.roles import region_mask

PLACES = 400  # points drawn at once for a new atom
CLIMBS = 3  # times that a chosen point is drawn anew around its best
CLIMB = 0.4  # Å, how far around
CLIMBERS = 60  # points, each time
BOND = 1.4  # of the shortest allowed distances, customarily 0.7 of the covalent sum, makes a bond
CROWDING = 4.0  # power of the distance by which a closer place is drawn less often
LEAST_NOISE = 0.03  # atoms, of a residual: models are not better than that
UNLIKELY = 4.0  # log likelihood: changes that are less likely than e^-4 are not tried
SHIFTS = 20  # of a grain, compared at once
STEPS = (0.3, 1.0, 3.0)  # Å, how far a grain may go: to mend its place, or to find another
LOOKS = 8  # atoms, after which a structure that is filled is searched for in the experiments again
SHARPNESS = 3.0  # power of what is missing: 1 would follow noise, infinity always the same place


@dataclass(frozen=True, eq=False)
class Guide:
    """What an experiment asks of a structure: a field, in atoms of one element.

    Attributes:
        field: positions [Å], shape (k, 3), to how many atoms are missing there, shape (k,);
            negative where there are too many, 0 where nothing is known.
        number: atomic number of the element that counts as 1.
        rms: root mean square of the field over all that the experiments show.
        again: the guide of a structure that differs by few atoms, which is not searched for in the
            experiments again.
    """

    field: Callable[[Floats], Floats]
    number: int
    rms: float
    again: Callable[[Atoms], Guide]

    def worth(self, numbers: NDArray[np.int_] | list[int]) -> Floats:
        """What atoms count, shape (n,): Z^1.7, as an annular dark field sees them.

        S. J. Pennycook & D. E. Jesson, Ultramicroscopy 37, 14 (1991), have Z^2 without screening;
        1.6 to 1.8 is usual for real detectors.
        """
        return np.asarray((np.asarray(numbers, dtype=float) / self.number) ** 1.7)


Look = Callable[[Atoms], Guide]
"""Compares a structure with the experiments."""


def guided_fill(atoms: Atoms, look: Look, *, space: Space, rng: np.random.Generator) -> Atoms:
    """Empty the region, then fill it atom by atom where the experiment still shows too little.

    Beyond the least composition atoms are added while a place lacks a share of an atom that is
    drawn anew for each child: one half is where an atom begins to gain.
    """
    child, share = host_of(atoms), float(rng.random())
    least = [s for s, (low, _) in space.composition.items() for _ in range(low)]
    more = [s for s, (low, most) in space.composition.items() for _ in range(most - low)]
    rng.shuffle(least)
    rng.shuffle(more)
    guide, shares = look(child), [-np.inf] * len(least) + [share] * len(more)
    for number, (symbol, enough) in enumerate(zip([*least, *more], shares, strict=True)):
        try:
            child = _put(child, symbol, guide, space=space, rng=rng, share=enough)
        except Infeasible:
            if number < len(least):
                raise
            continue  # another element may still be wanted
        guide = look(child) if (number + 1) % LOOKS == 0 else guide.again(child)
    return _checked(child, space)


def guided_add(atoms: Atoms, look: Look, *, space: Space, rng: np.random.Generator) -> Atoms:
    """Add an atom where the experiment shows more than the structure has."""
    counts = composition_of(atoms)
    symbols = [symbol for symbol, (_, most) in space.composition.items() if counts[symbol] < most]
    if not symbols:
        raise Infeasible("the composition allows no more atoms")
    symbol = symbols[int(rng.integers(len(symbols)))]
    return _checked(_put(atoms, symbol, look(atoms), space=space, rng=rng), space)


def guided_remove(atoms: Atoms, look: Look, *, space: Space, rng: np.random.Generator) -> Atoms:
    """Take an atom away where the structure has more than the experiment shows."""
    counts = composition_of(atoms)
    spare = [symbol for symbol, (least, _) in space.composition.items() if counts[symbol] > least]
    chosen = np.flatnonzero(region_mask(atoms) & np.isin(atoms.symbols, spare))
    if not len(chosen):
        raise Infeasible("the composition allows no fewer atoms")
    taken = chosen[_draw(_excess(atoms, chosen, look), rng, "every atom is wanted")]
    return _checked(_without(atoms, int(taken)), space)


def guided_move(atoms: Atoms, look: Look, *, space: Space, rng: np.random.Generator) -> Atoms:
    """Take the atom that is least wanted and put it where one is missing, near or far."""
    chosen = np.flatnonzero(region_mask(atoms))
    if not len(chosen):
        raise Infeasible("the region is empty")
    excess = _excess(atoms, chosen, look)
    taken = int(chosen[_draw(excess - excess.min() + 1e-3, rng)])
    rest = _without(atoms, taken)
    return _checked(_put(rest, atoms[taken].symbol, look(rest), space=space, rng=rng), space)


def guided_substitute(atoms: Atoms, look: Look, *, space: Space, rng: np.random.Generator) -> Atoms:
    """Change an element where an atom is too bright or too dark, or exchange two such atoms.

    A change by ``c`` at a place that lacks ``f`` lowers the squared residual by ``2 f c - c^2``. It
    is drawn by its likelihood with the residual's own noise, so that elements which the experiment
    hardly tells apart are exchanged, too, for the energy to decide.
    """
    if not region_mask(atoms).any():
        raise Infeasible("the region is empty")
    guide = look(atoms)
    moves = _exchanges(atoms, guide, space)
    if not moves:
        raise Infeasible("the composition allows no exchange of elements")
    gains = np.array([gain for _, gain in moves]) / (2.0 * max(guide.rms, LEAST_NOISE) ** 2)
    chance = np.exp(gains - gains.max())
    while gains.max() >= -UNLIKELY:  # drawn first, looked at then: most are never needed
        drawn = int(rng.choice(len(moves), p=chance / chance.sum()))
        child = _renamed(atoms, moves[drawn][0])
        if is_valid(child, space):
            return child
        gains[drawn], chance[drawn] = -np.inf, 0.0
    raise Infeasible("every element fits its place, or there is no room for another")


def _exchanges(atoms: Atoms, guide: Guide, space: Space) -> list[tuple[dict[int, str], float]]:
    """Changes of elements that the composition allows, by index, and what each gains."""
    chosen = list(map(int, np.flatnonzero(region_mask(atoms))))
    names = atoms.get_chemical_symbols()
    missing = guide.field(atoms.positions[chosen])
    symbols = sorted({*space.composition, *(names[i] for i in chosen)})
    worth = dict(zip(symbols, guide.worth(_numbers(*symbols)), strict=True))
    single: dict[tuple[int, str], float] = {}
    for place, i in enumerate(chosen):
        for symbol in space.composition:
            change = float(worth[symbol] - worth[names[i]])
            single[i, symbol] = 2.0 * float(missing[place]) * change - change**2
    counts = composition_of(atoms)
    moves: list[tuple[dict[int, str], float]] = [
        ({i: symbol}, single[i, symbol])
        for i in chosen
        for symbol, (_, most) in space.composition.items()
        if symbol != names[i]
        and counts[symbol] < most
        and counts[names[i]] > space.composition.get(names[i], (0, 0))[0]
    ]
    moves += [
        ({i: names[j], j: names[i]}, single[i, names[j]] + single[j, names[i]])
        for place, i in enumerate(chosen)
        for j in chosen[place + 1 :]
        if names[i] != names[j]
    ]
    return moves


def guided_shift(atoms: Atoms, look: Look, *, space: Space, rng: np.random.Generator) -> Atoms:
    """Shift a rigid grain several times at random, and keep the shift that fits best."""
    children = []
    for _ in range(SHIFTS):
        with suppress(Infeasible):
            child = shift_grain(atoms, space=space, rng=rng, amplitude=float(rng.choice(STEPS)))
            children.append((look(child).rms, child))
    if not children:
        raise Infeasible("a rigid grain has no room to shift")
    return min(children, key=lambda pair: pair[0])[1]


OPERATORS: dict[str, tuple[Callable[..., Atoms], float]] = {
    "guided_fill": (guided_fill, 0.3),
    "guided_move": (guided_move, 0.3),
    "guided_add": (guided_add, 0.15),
    "guided_remove": (guided_remove, 0.1),
    "guided_substitute": (guided_substitute, 0.15),
    "guided_shift": (guided_shift, 0.2),
}
"""Every guided operator with its share of the proposals."""


def _put(
    atoms: Atoms,
    symbol: str,
    guide: Guide,
    *,
    space: Space,
    rng: np.random.Generator,
    share: float = 0.0,
) -> Atoms:
    """Add one atom at a clear point of the region where at least a share of one is missing."""
    worth = float(guide.worth(_numbers(symbol))[0])
    points = _points(space, rng)
    open_ = _openness(points, symbol, atoms, space)
    if not open_.any():
        raise Infeasible(f"no room for {symbol}")
    points, open_ = points[open_ > 0.0], open_[open_ > 0.0]
    missing = guide.field(points) / worth
    if missing.max() <= share:
        raise Infeasible(f"the experiment asks for no {symbol} where there is room")
    place = points[_draw(open_ * (missing if missing.max() > 0.0 else np.exp(missing)), rng)]
    for _ in range(CLIMBS):
        around = _inside(place + rng.uniform(-CLIMB, CLIMB, (CLIMBERS, 3)), space)
        around = np.vstack([place, around])
        open_ = _openness(around, symbol, atoms, space)
        place = around[int(np.argmax(np.where(open_ > 0.0, open_ * guide.field(around), -np.inf)))]
    return atoms + Atoms(symbol, [place], tags=[REGION_TAG])


def _openness(points: Floats, symbol: str, atoms: Atoms, space: Space) -> Floats:
    """1 where a new atom has the room of a bond to all others, less where less, 0 where too little.

    In the direction that the experiment does not see this is all that is known. Shape (k,).
    """
    ratio = room(points, symbol, atoms, space.min_distance, most=BOND)
    return np.where(ratio >= 1.0, np.minimum(ratio / BOND, 1.0) ** CROWDING, 0.0)


def _excess(atoms: Atoms, chosen: NDArray[np.int64], look: Look) -> Floats:
    """How many atoms too many there are where each of the chosen lies, shape (len(chosen),)."""
    guide = look(atoms)
    return -guide.field(atoms.positions[chosen]) / guide.worth(atoms.numbers[chosen])


def _draw(gains: Floats, rng: np.random.Generator, otherwise: str = "") -> int:
    """Draw an index by gain, those without gain never."""
    weights = np.maximum(gains, 0.0)
    if not weights.max(initial=0.0) > 0.0:
        raise Infeasible(otherwise or "the experiment asks for nothing")
    weights = (weights / weights.max()) ** SHARPNESS
    return int(rng.choice(len(weights), p=weights / weights.sum()))


def _points(space: Space, rng: np.random.Generator) -> Floats:
    """Random points of the region, or of the whole cell [Å], shape (PLACES, 3)."""
    template = space.template
    points = rng.random((PLACES, 3))
    if not template.cell.rank:
        low, high = template.positions.min(axis=0) - 0.5, template.positions.max(axis=0) + 0.5
        return np.asarray(low + points * (high - low))
    points = points @ template.cell.complete().array
    for axis, (lower, upper) in space.region.bounds.items() if space.region else ():
        points[:, axis] = rng.uniform(lower, upper, size=PLACES)
    return np.asarray(points)


def _inside(points: Floats, space: Space) -> Floats:
    """Those of the points that the region's bounds allow."""
    keep = np.ones(len(points), dtype=bool)
    for axis, (lower, upper) in space.region.bounds.items() if space.region else ():
        keep &= (points[:, axis] >= lower) & (points[:, axis] <= upper)
    return np.asarray(points[keep])


def _renamed(atoms: Atoms, names: dict[int, str]) -> Atoms:
    child = atoms.copy()
    for index, symbol in names.items():
        child.symbols[index] = symbol
    return child


def _without(atoms: Atoms, index: int) -> Atoms:
    return atoms[np.arange(len(atoms)) != index]


def _numbers(*symbols: str) -> list[int]:
    return [int(number) for number in Atoms(symbols).numbers]


def _checked(child: Atoms, space: Space) -> Atoms:
    if not is_valid(child, space):
        raise Infeasible("the experiment leads to a structure that is not allowed")
    return child
