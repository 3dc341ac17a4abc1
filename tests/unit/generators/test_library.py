"""A given set of structures as a generator: each once, in order, resumable."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

from htinvert.core import Evaluation, Exhausted, Region, Space, UserError
from htinvert.generators.library import Library
from htinvert.geometry.roles import frozen_mask, region_mask

COPPER = bulk("Cu", cubic=True).repeat((1, 1, 4))


def members() -> list[Atoms]:
    found = []
    for number in range(3):
        atoms = COPPER.copy()
        atoms.positions[0, 0] += 0.2 * number
        found.append(atoms)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "a.xyz", members()[:2], format="extxyz")
    write(tmp_path / "b.cif", members()[2])
    (tmp_path / "c.cif").write_text("nothing", encoding="utf-8")
    return tmp_path


def library(path: Path, region: Region | None = None) -> Library:
    return Library(Space(COPPER, region, {"Cu": (16, 16)}, {}), (), path)


def test_every_structure_is_proposed_once(folder: Path) -> None:
    generator = library(folder)
    found = generator.ask(range(10))
    assert [candidate.index for candidate in found] == [0, 1, 2]
    assert all(candidate.operator == "library" for candidate in found)
    np.testing.assert_allclose(found[1].atoms.positions, members()[1].positions, atol=1e-6)
    with pytest.raises(Exhausted):
        generator.ask([10])
    assert sum(generator.blocked.values()) == 1
    assert "c.cif" in next(iter(generator.blocked))


def test_what_was_evaluated_is_not_proposed_again(folder: Path) -> None:
    first = library(folder).ask([0, 1])
    resumed = library(folder)
    resumed.tell(Evaluation(candidate) for candidate in first)
    restored = library(folder)
    restored.restore(json.loads(json.dumps(resumed.state())))
    assert [one.atoms for one in restored.ask([2, 3])] == [library(folder).ask([0, 1, 2])[2].atoms]
    (left,) = resumed.ask([2, 3])
    assert left.atoms.positions[0, 0] == pytest.approx(0.4, abs=1e-5)  # Å, the third member


def test_the_region_gives_the_roles(folder: Path) -> None:
    region = Region("z", 5.0, 9.0, margin=2.0)
    (candidate, *_) = library(folder, region).ask([0])
    heights = candidate.atoms.positions[:, 2]
    assert (region_mask(candidate.atoms) == ((heights >= 5) & (heights <= 9))).all()
    assert (frozen_mask(candidate.atoms) == ((heights < 3) | (heights > 11))).all()


def test_without_a_region_all_atoms_are_free(folder: Path) -> None:
    assert region_mask(library(folder).ask([0])[0].atoms).all()


def test_a_folder_without_structures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no structure.*build --library"):
        library(tmp_path)
    with pytest.raises(UserError, match="there is no library"):
        library(tmp_path / "missing")
