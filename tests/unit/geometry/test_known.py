"""What is found among many structures, of which little is at hand, is what comparing all finds."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from numpy.typing import NDArray

from htinvert.core import REGION_TAG
from htinvert.geometry import known as known_module
from htinvert.geometry import near as near_module
from htinvert.geometry.duplicates import displacement, is_free
from htinvert.geometry.fingerprint import fingerprint
from htinvert.geometry.known import TIES, Known
from htinvert.geometry.near import CODE, NearestFingerprints, code


def crowd(formula: str, count: int, *, seed: int) -> list[Atoms]:
    """Random structures, of which half are some that came before, rattled by little or more."""
    rng = np.random.default_rng(seed)
    found: list[Atoms] = []
    for _ in range(count):
        if found and rng.random() < 0.5:
            atoms = found[rng.integers(len(found))].copy()
            atoms.positions += rng.normal(0.0, rng.choice([0.0, 0.01, 0.05, 0.2]), (len(atoms), 3))
        else:
            atoms = Atoms(formula, cell=[8.0] * 3, pbc=True)
            atoms.positions = rng.uniform(0.0, 8.0, (len(atoms), 3))
            atoms.set_tags(REGION_TAG)
        found.append(atoms)
    return found


def plain(rows: NDArray[np.float64], vector: NDArray[np.float64], within: float) -> list[int]:
    """Numbers of all that are nearer than ``within`` by the product with all, nearest first."""
    apart = np.maximum(0.0, 1.0 - rows @ vector)
    close = np.flatnonzero(apart < within)
    return close[np.lexsort((close, np.round(apart[close], 12)))].tolist()


def unit_vectors(count: int, length: int) -> NDArray[np.float64]:
    """Vectors without anything of a fingerprint but their length, some near others."""
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(count, length))
    rows[::3] = rows[0] + rng.normal(0.0, 0.3, rows[::3].shape)
    rows[1::3] = rows[1] + rng.normal(0.0, 0.05, rows[1::3].shape)
    rows[7] = rows[11] = rows[13]
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    rows[17] = 0.0  # of a structure without neighbors
    return rows


@pytest.mark.parametrize("source", ["random", "Ar6", "Cd3Te3", "BaTi2O3", "one atom"])
def test_the_nearest_of_many_are_those_that_a_plain_product_finds(
    source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They, and hardly any other, whatever was added one by one, and whatever at once."""
    monkeypatch.setattr(near_module, "TAIL", 64)
    monkeypatch.setattr(near_module, "FEW", 4)
    monkeypatch.setattr(near_module, "MANY", 32)  # beyond which a tree is not asked
    if source in ("random", "one atom"):
        rows = unit_vectors(700, 242 if source == "random" else 7)
    else:
        rows = np.array([fingerprint(atoms) for atoms in crowd(source, 700, seed=2)])
    nearest = NearestFingerprints()
    codes = np.array([code(row) for row in rows[:300]])
    nearest.add_codes(np.full(300, rows.shape[1]), codes, np.arange(300))
    for number in range(300, len(rows)):
        nearest.add(rows[number], number)
    asked = fewest = 0
    for vector in rows[::9]:
        for within in (0.002, 0.03, 0.5):
            right = plain(rows, vector, within)
            found = nearest.near(vector, within=within, count=TIES)
            assert set(right[:TIES]) <= set(found.numbers.tolist())
            assert len(set(found.numbers.tolist())) == len(found.numbers)
            apart = 1.0 - rows[found.numbers] @ vector
            assert (found.least <= apart).all() and (apart <= found.most).all()
            if within < 0.1:  # what campaigns ask for
                asked, fewest = asked + len(found.numbers), fewest + len(right[:TIES])
    if source not in ("random", "one atom"):  # of these the codes hold but a part
        assert asked <= 1.5 * fewest  # 1.24 with ten pairs of elements, 1.0 with one
    assert not nearest.near(fingerprint(bulk("Cu"))[:9], within=0.9, count=TIES).numbers.size


def compared_with_all(known: Known, many: Sequence[Atoms], atoms: Atoms) -> int | None:
    """What :meth:`Known.find` is to find, from all structures and their whole fingerprints."""
    vector = fingerprint(atoms)
    rows = np.array([fingerprint(one) for one in many])
    for number in plain(rows, vector, known.perhaps)[:TIES]:
        trusted = not known.apart and not is_free(atoms)
        if trusted and 1.0 - rows[number] @ vector < known.surely:
            return number
        if displacement(many[number], atoms, known._keep(atoms)) <= known.within:
            return number
    return None


def slabs(count: int, rng: np.random.Generator) -> list[Atoms]:
    """A slab with three atoms on it that a search may move."""
    found = []
    for _ in range(count):
        slab = fcc111("Cu", (3, 2, 2), vacuum=6.0, periodic=True)
        slab.set_tags(0)
        for place in rng.uniform(0.0, 4.0, (3, 3)):
            slab += Atoms("Cu", [place + np.array([0.0, 0.0, 9.0])], tags=[REGION_TAG])
        found.append(slab)
    return found


@pytest.mark.parametrize(
    "which",
    [
        partial(Known.proposals, apart=True),
        partial(Known.proposals, apart=False),
        partial(Known.basins, apart=True),
        partial(Known.basins, apart=False),
        Known.families,
    ],
)
@pytest.mark.parametrize("kind", ["cluster", "crystal", "slab"])
def test_what_is_kept_elsewhere_is_found_as_if_all_were_compared(
    kind: str, which: Callable[[], Known], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 120 structures 40 are known by codes, and next to none of the others is at hand."""
    monkeypatch.setattr(known_module, "AT_HAND", 0)
    monkeypatch.setattr(known_module, "PAGE", 16)
    monkeypatch.setattr(near_module, "TAIL", 32)
    rng = np.random.default_rng(7)
    many = slabs(120, rng) if kind == "slab" else crowd("Cd3Te3", 120, seed=3)
    for atoms in many if kind == "cluster" else ():
        atoms.pbc = False
        atoms.set_tags(REGION_TAG)
    read: list[int] = []

    def fetch(numbers: Sequence[int]) -> list[Atoms]:
        read.extend(numbers)
        return [many[number].copy() for number in numbers]

    kept = which()
    kept.keep_elsewhere(fetch)
    vectors = [fingerprint(atoms) for atoms in many[:40]]
    codes = np.array([code(vector) for vector in vectors])
    kept.restore(None, np.array([len(vector) for vector in vectors]), codes)
    for atoms in many[40:]:
        kept.add(atoms)
        kept.kept()
    asked = [atoms.copy() for atoms in many[::2]]
    for number, atoms in enumerate(asked):
        moved = atoms.get_tags() == REGION_TAG
        atoms.positions[moved] += rng.normal(0.0, 0.03 * (number % 5), (moved.sum(), 3))
    found = [kept.find(atoms) for atoms in asked]
    first = len(read)
    assert [kept.has(atoms) for atoms in asked] == [number is not None for number in found]
    again = len(read)
    assert [kept.find(atoms) for atoms in asked] == found
    assert kind != "cluster" or again - first < 0.6 * (len(read) - again), "most are surely known"
    assert found == [compared_with_all(kept, many, atoms) for atoms in asked]
    assert found.count(None) > 3 and len(set(found)) > 10
    assert len(kept._at_hand) <= TIES and read


def test_a_structure_that_nobody_else_keeps_is_never_asked_for() -> None:
    def refuse(numbers: Sequence[int]) -> list[Atoms]:
        raise AssertionError(numbers)

    many = crowd("Ar6", 40, seed=4)
    kept = Known.proposals(apart=False)
    kept.keep_elsewhere(refuse)
    for atoms in many:
        kept.add(atoms)
    assert all(kept.find(atoms) is not None for atoms in many)


def test_a_code_takes_two_bytes_a_number() -> None:
    assert code(fingerprint(bulk("Cu"))).nbytes == 2 * CODE
