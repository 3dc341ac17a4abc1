"""What every generator must keep: it depends on seed, indices and what it was told, nothing else.

Each check takes ``make``, the generator's class or a function like it, which is given what a
campaign has of ``space``, ``objectives`` and ``seed`` where it has a parameter of that name, and
optionally a space to search instead of :func:`copper_layer`.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable
from itertools import combinations_with_replacement
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from ase import Atoms

from htinvert.core import (
    Candidate,
    Evaluation,
    Exhausted,
    Generator,
    Objective,
    Region,
    Relaxation,
    Space,
)
from htinvert.declaration.abilities import Resumable
from htinvert.geometry.roles import region_mask
from htinvert.store.checkpoint import Checkpoint
from htinvert.structures.region import search_space
from htinvert.testing.conformance import NotConforming, require, same_atoms

Make = Callable[..., Generator]
Check = Callable[..., None]

OBJECTIVES = (Objective("energy", 1.0),)
_COUNT = 30  # proposals that are compared
_HISTORIES = (3, 17, 40)  # what was told before a state is saved


def check_generator(make: Make, space: Space | None = None) -> None:
    """Run all of the checks. Raises :class:`~htinvert.testing.conformance.NotConforming`."""
    for check in CHECKS:
        check(make, space)


def check_proposals(make: Make, space: Space | None = None) -> None:
    """It keeps the protocol; proposals have asked indices, the host, a legal composition."""
    space = space or copper_layer()
    generator = made(make, space)
    require(isinstance(generator, Generator), "it has no ask or no tell")
    indices = list(range(5, 5 + _COUNT))
    candidates = _asked(generator, indices)
    require(bool(candidates), f"it proposes nothing for {_COUNT} indices")
    given = [candidate.index for candidate in candidates]
    known = set(given) <= set(indices) and len(given) == len(set(given))
    require(known, f"it was asked for {indices[0]} to {indices[-1]} and proposes {given}")
    for candidate in candidates:
        _check_legal(candidate, space)


def check_replay(make: Make, space: Space | None = None) -> None:
    """The same history once more gives the same proposals, to the bit."""
    space = space or copper_layer()
    first, second = (told(made(make, space), _COUNT) for _ in range(2))
    _require_same(first, second, "when the same history is told again")


def check_seed(make: Make, space: Space | None = None) -> None:
    """Where its first proposals are drawn at random, another seed draws others."""
    space = space or copper_layer()
    if not {"seed"} & set(inspect.signature(make).parameters):
        return
    first, second = (_asked(made(make, space, seed=seed), range(8)) for seed in (1, 2))
    pairs = zip(first, second, strict=False)
    differ = any(not same_atoms(a.atoms, b.atoms) for a, b in pairs)
    require(differ, "it has a seed but proposes the same with another; use default_rng([seed, i])")


def check_parents(make: Make, space: Space | None = None) -> None:
    """Parents of a proposal are older than it."""
    for candidate in told(made(make, space or copper_layer()), _COUNT):
        older = all(parent < candidate.index for parent in candidate.parents)
        require(older, f"{candidate.index} has the parents {candidate.parents}")


def check_failures(make: Make, space: Space | None = None) -> None:
    """It learns from a failed evaluation, and from those of others, without harm."""
    space = space or copper_layer()
    generator = made(make, space)
    for index in range(3):
        for candidate in _asked(generator, [index]):
            generator.tell([Evaluation(candidate, error="atoms fused")])
    generator.tell([priced(Candidate(50, space.template.copy(), "another generator's"))])
    require(bool(_asked(generator, range(60, 70))), "after failures it proposes nothing any more")


def check_state(make: Make, space: Space | None = None) -> None:
    """Restored from its state, as a checkpoint keeps it, it goes on as if all had been told."""
    space = space or copper_layer()
    for count in _HISTORIES:
        first, second = made(make, space), made(make, space)
        if not isinstance(first, Resumable) or not isinstance(second, Resumable):
            return
        told(first, count)
        with TemporaryDirectory() as folder:
            try:
                Checkpoint(Path(folder), lambda: None).save({"generator": first.state()}, b"")
            except TypeError as error:
                raise NotConforming(f"its state is no plain values: {error}") from error
            state = Checkpoint(Path(folder), lambda: None).load()[0]["generator"]
        second.restore(state)
        rest, again = told(first, _COUNT, count), told(second, _COUNT, count)
        _require_same(rest, again, f"when restored from the state after {count} evaluations")


CHECKS: tuple[Check, ...] = (
    *(check_proposals, check_replay, check_seed, check_parents, check_failures, check_state),
)


def copper_layer() -> Space:
    """Two to four Cu atoms in a slab of vacuum between two frozen ones, 8 x 8 x 20 Å."""
    cell = Atoms("Cu2", positions=[[1, 1, 1], [1, 1, 19]], cell=[8, 8, 20], pbc=True)
    return search_space(
        cell,
        region=Region("z", 6.0, 14.0, 1.0),
        composition={"Cu": (2, 4)},
        min_distance={frozenset({"Cu"}): 2.0},
    )


def priced(candidate: Candidate) -> Evaluation:
    """Evaluate by height alone: the lower the atoms, the better."""
    energy = float(candidate.atoms.positions[:, 2].sum())
    relaxation = Relaxation(candidate.atoms, energy, True, 0)
    return Evaluation(candidate, relaxation, objectives={"energy": energy})


def told(generator: Generator, count: int, first: int = 0) -> list[Candidate]:
    """Ask for ``count`` candidates one by one, and tell of each before the next."""
    candidates = []
    for index in range(first, first + count):
        for candidate in _asked(generator, [index]):
            candidates.append(candidate)
            generator.tell([priced(candidate)])
    return candidates


def made(make: Make, space: Space, *, seed: int = 1) -> Generator:
    """The generator with what it takes of a campaign's context."""
    context = {"space": space, "objectives": OBJECTIVES, "seed": seed}
    wanted = inspect.signature(make).parameters
    return make(**{name: value for name, value in context.items() if name in wanted})


def _asked(generator: Generator, indices: range | list[int]) -> list[Candidate]:
    """What it proposes; nothing where its supply has come to an end."""
    try:
        return generator.ask(list(indices))
    except Exhausted:
        return []


def _check_legal(candidate: Candidate, space: Space) -> None:
    atoms, template = candidate.atoms, space.template
    who = f"candidate {candidate.index} ({candidate.operator})"
    require(bool(np.isfinite(atoms.positions).all()), f"{who} has positions that are no numbers")
    cells = np.allclose(atoms.cell.array, template.cell.array, atol=1e-8)
    if space.region is None or space.region.length == "fixed":
        require(cells and np.array_equal(atoms.pbc, template.pbc), f"{who} has another cell")
    host, kept = template[~region_mask(template)], atoms[~region_mask(atoms)]
    same = np.array_equal(np.sort(host.numbers), np.sort(kept.numbers))
    require(same, f"{who} has another host; atoms that may be exchanged carry tag 1, all others 0")
    counts = Counter(atoms.symbols[region_mask(atoms)])
    for symbol in {*counts, *space.composition}:
        low, high = space.composition.get(symbol, (0, 0))
        allowed = low <= counts[symbol] <= high
        require(allowed, f"{who} has {counts[symbol]} {symbol}, not {low} to {high}")
    separations = atoms.get_all_distances(mic=True)
    for pair in combinations_with_replacement(sorted(set(atoms.symbols)), 2):
        masks = [atoms.symbols == symbol for symbol in pair]
        between = separations[np.ix_(*masks)]
        closest = min(between[between > 1e-9], default=np.inf)
        least = space.min_distance.get(frozenset(pair), 0.0)
        require(
            closest >= least - 1e-6,
            f"{who} has {'-'.join(pair)} at {closest:.3g} Å, closer than the {least:g} Å allowed",
        )


def _require_same(first: list[Candidate], second: list[Candidate], when: str) -> None:
    require(len(first) == len(second), f"it proposes {len(second)}, not {len(first)}, {when}")
    for a, b in zip(first, second, strict=True):
        same = (a.index, a.operator, a.parents) == (b.index, b.operator, b.parents)
        require(
            same and same_atoms(a.atoms, b.atoms),
            f"candidate {a.index} is another {when}; draw only from default_rng([seed, index])",
        )
