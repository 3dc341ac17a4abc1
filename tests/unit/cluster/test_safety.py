"""Who may talk to a scheduler, and that a recipe arrives as it was sent."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from htinvert.cluster.connect import _started
from htinvert.cluster.security import (
    address_of,
    certificates,
    is_loopback,
    require_here,
    require_safe,
)
from htinvert.core import Axis, Channel, Recipe, Signal, UserError
from htinvert.energy.lennard_jones import LennardJones
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.pool.parcel import _opened, pack


@pytest.mark.parametrize("host", ["10.0.0.5", "0.0.0.0", "node17"])  # noqa: S104
def test_plain_tcp_beyond_loopback_is_refused_unless_the_user_insists(host: str) -> None:
    with pytest.raises(UserError, match="anybody there could run programs as you"):
        require_safe(host, encrypt=False, trust_network=False)
    require_safe(host, encrypt=False, trust_network=True)
    require_safe(host, encrypt=True, trust_network=False)


def test_loopback_needs_no_encryption() -> None:
    assert is_loopback(address_of("lo"))
    require_safe("127.0.0.1", encrypt=False, trust_network=False)


def test_an_interface_that_is_not_there_is_named_beside_those_that_are() -> None:
    names = ", ".join(sorted(name for _, name in socket.if_nameindex()))
    with pytest.raises(UserError, match=f"no network interface ib9 .* only {names}"):
        address_of("ib9")


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("login.cluster.invalid", "host login.cluster.invalid is not known"),
        ("tcp://127.0.0.1", "is not known"),
        ("a..b", "is not known"),
        ("192.0.2.1", "another machine's address"),  # RFC 5737: nobody's
    ],
)
def test_a_host_that_is_none_of_ours_is_a_sentence(host: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        require_here(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])  # noqa: S104
def test_a_host_of_ours_is_taken(host: str) -> None:
    require_here(host)


def test_a_scheduler_that_cannot_begin_says_why() -> None:
    def taken() -> None:
        try:
            raise OSError("Address already in use")
        except OSError as error:
            raise RuntimeError("Cluster failed to start") from error

    with pytest.raises(UserError, match="cannot listen on lo .Address already in use.; correct"):
        _started(taken, "lo")


def test_certificates_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "tls"
    ours, theirs = certificates(folder)
    assert ours.require_encryption and theirs.require_encryption
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    before = (folder / "key.pem").read_text()
    certificates(folder)  # as a resumed run does
    assert (folder / "key.pem").read_text() != before


def test_certificates_that_cannot_be_written_are_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(UserError, match="certificates of this run cannot be written into"):
        certificates(tmp_path / "run" / "tls")


@pytest.fixture
def recipe() -> Recipe:
    _opened.clear()
    data = np.arange(60_000, dtype=np.float32).reshape(200, 300)
    axes = (Axis("y", "Å", 0.1), Axis("x", "Å", 0.1))
    forward = StemConvolution(sampling=0.1, shape=(200, 300))
    return Recipe(LennardJones(), (Channel("haadf", Signal(data, axes), forward, {}),))


def test_a_recipe_arrives_with_its_image_mapped_not_copied(recipe: Recipe, tmp_path: Path) -> None:
    parcel = pack(recipe, tmp_path)
    found = parcel.open()
    image = found.channels[0].observed.data
    np.testing.assert_array_equal(image, recipe.channels[0].observed.data)
    assert not image.flags.owndata and not image.flags.writeable
    assert found.energy == recipe.energy
    assert parcel.open() is found


def test_a_recipe_is_written_once_and_alone(recipe: Recipe, tmp_path: Path) -> None:
    first = pack(recipe, tmp_path)
    written = Path(first.path).stat().st_mtime_ns
    assert pack(recipe, tmp_path) == first
    assert Path(first.path).stat().st_mtime_ns == written
    other = pack(replace(recipe, chemical_potentials={"Ar": -1.0}), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [Path(other.path).name]


def test_a_recipe_that_was_changed_on_the_way_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    parcel = pack(recipe, tmp_path)
    content = bytearray(Path(parcel.path).read_bytes())
    content[-1000] ^= 1
    Path(parcel.path).write_bytes(content)
    with pytest.raises(UserError, match="finds another .* than the driver wrote"):
        parcel.open()


def test_a_recipe_that_a_node_does_not_see_is_a_sentence(recipe: Recipe, tmp_path: Path) -> None:
    parcel = pack(recipe, tmp_path)
    Path(parcel.path).unlink()
    with pytest.raises(UserError, match="put the run on a file system that all nodes share"):
        parcel.open()


def test_another_version_on_a_node_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    parcel = replace(pack(recipe, tmp_path), versions=(("htinvert", "0.0.1"), ("numpy", "1.0")))
    with pytest.raises(UserError, match=r"the driver htinvert 0\.0\.1 numpy 1\.0; let the site's"):
        parcel.open()
