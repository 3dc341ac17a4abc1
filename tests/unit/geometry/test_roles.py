"""A grain stays one body whatever ASE does to a structure, and roles can be told in words."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.constraints import FixAtoms, FixedPlane
from ase.io import read, write

from htinvert.core import UserError
from htinvert.geometry.roles import (
    RigidBody,
    frozen_mask,
    motion,
    region_mask,
    rigid_bodies,
    rigid_mask,
    roles,
    set_motion,
    set_roles,
)

WORDS = ["frozen", "frozen", "host", "free", "free", "host", "rigid1-xy", "rigid1-xy"]


@pytest.fixture
def atoms() -> Atoms:
    made = bulk("CdTe", "zincblende", a=6.48, cubic=True)
    set_roles(made, WORDS)
    return made


def test_words_come_back_as_they_went_in(atoms: Atoms) -> None:
    assert roles(atoms) == WORDS
    assert np.flatnonzero(region_mask(atoms)).tolist() == [3, 4]
    assert np.flatnonzero(frozen_mask(atoms)).tolist() == [0, 1]
    assert np.flatnonzero(rigid_mask(atoms)).tolist() == [6, 7]


def test_bytes_come_back_as_they_went_in(atoms: Atoms) -> None:
    codes = motion(atoms)
    assert codes.tolist() == [1, 1, 0, 0, 0, 0, 11, 11]
    bare = Atoms(atoms.numbers, atoms.positions)
    set_motion(bare, codes)
    assert motion(bare).tolist() == codes.tolist()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (lambda a: a.copy(), WORDS),
        (lambda a: Atoms(a), WORDS),
        (lambda a: pickle.loads(pickle.dumps(a)), WORDS),  # noqa: S301
        (lambda a: a[::-1], WORDS[::-1]),
        (lambda a: a[1:7], WORDS[1:7]),
        (lambda a: a[region_mask(a)], ["free", "free"]),
        (lambda a: a.repeat((2, 1, 1)), WORDS * 2),
        (lambda a: a + Atoms("Cd"), [*WORDS, "host"]),
    ],
    ids=["copy", "copied", "pickled", "reversed", "sliced", "region", "repeated", "joined"],
)
def test_roles_follow_the_atoms(atoms: Atoms, changed: object, words: list[str]) -> None:
    assert roles(changed(atoms)) == words  # type: ignore[operator]


def test_a_body_moves_as_a_whole_and_only_where_it_may(atoms: Atoms) -> None:
    before = atoms.get_positions()
    moves = np.random.default_rng(0).normal(size=(8, 3))
    atoms.set_positions(before + moves)
    moved = atoms.positions - before
    np.testing.assert_array_equal(moved[:2], 0.0)
    np.testing.assert_allclose(moved[6], moved[7], atol=1e-14)
    np.testing.assert_allclose(moved[6, :2], moves[6:, :2].mean(axis=0), atol=1e-14)
    assert moved[6, 2] == 0.0


def test_a_bodys_force_is_the_sum_of_its_members(atoms: Atoms) -> None:
    forces = np.random.default_rng(1).normal(size=(8, 3))
    body = rigid_bodies(atoms)[0]
    adjusted = forces.copy()
    body.adjust_forces(atoms, adjusted)
    np.testing.assert_allclose(adjusted[6:].sum(axis=0)[:2], forces[6:].sum(axis=0)[:2])
    np.testing.assert_array_equal(adjusted[:6], forces[:6])
    assert (adjusted[6:, 2] == 0.0).all()
    assert atoms.get_number_of_degrees_of_freedom() == 3 * 8 - 3 * 2 - (3 * 2 - 2)


def test_a_body_turns_not_even_in_dynamics(atoms: Atoms) -> None:
    atoms.set_momenta(np.random.default_rng(2).normal(size=(8, 3)))
    velocities = atoms.get_velocities()
    np.testing.assert_allclose(velocities[6], velocities[7], atol=1e-15)


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        ([FixAtoms([0]), RigidBody([0, 1])], "atom 0 is in rigid body 1 and also frozen"),
        ([RigidBody([0, 1]), RigidBody([1, 2])], "atom 1 is in rigid body 2"),
        ([RigidBody([i]) for i in range(31)], "31 rigid bodies but at most 30"),
        ([FixedPlane([0], (0, 0, 1))], "FixedPlane constraint"),
    ],
)
def test_what_no_role_can_say_is_refused(constraints: list[object], message: str) -> None:
    atoms = Atoms("Cu40", positions=np.arange(120.0).reshape(40, 3), constraint=constraints)
    with pytest.raises(UserError, match=message):
        motion(atoms)


@pytest.mark.parametrize(
    "word", ["loose", "rigid", "rigid0-xyz", "rigid1-", "rigid1-zx", "rigid40-x"]
)
def test_an_unknown_role_is_a_mistake(word: str) -> None:
    with pytest.raises(UserError, match=f"role {word} is unknown; write free, host, frozen"):
        set_roles(Atoms("Cu"), [word])


def test_one_grain_has_one_set_of_directions() -> None:
    with pytest.raises(UserError, match="rigid1-z contradicts another of rigid1"):
        set_roles(Atoms("Cu2"), ["rigid1-xy", "rigid1-z"])


@pytest.mark.parametrize("name", ["grain.traj", "grain.json"])
def test_ases_own_formats_hold_a_grain_as_frozen(tmp_path: Path, atoms: Atoms, name: str) -> None:
    write(tmp_path / name, atoms)
    assert np.flatnonzero(frozen_mask(read(tmp_path / name))).tolist() == [0, 1, 6, 7]


def test_every_atom_needs_a_role() -> None:
    with pytest.raises(UserError, match="2 roles are given for 1 atoms"):
        set_roles(Atoms("Cu"), ["free", "free"])


def test_a_body_moves_along_axes() -> None:
    with pytest.raises(UserError, match="cannot move along 'up'; choose one of xyz"):
        RigidBody([0], "up")
