"""Densities of states from files, and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.io.cube import write_cube
from ase.units import Bohr

from htinvert.core import UserError
from htinvert.density.files import FileDensity, read_density, same_surface
from htinvert.density.grid import Density
from htinvert.density.stored import read_zarr, rounded, write_zarr
from htinvert.forward.stm import Stm

SLAB = Atoms(
    "CuO", positions=[[0.1, 0.2, 5.0], [1.0, 1.0, 6.0]],
    cell=[[3.0, 0, 0], [-1.5, 2.6, 0], [0, 0, 16.0]], pbc=True,
)  # fmt: skip


@pytest.fixture
def density():
    z = np.arange(64) * 16.0 / 64 - 6.0
    lateral = 1 + 0.1 * np.random.default_rng(1).random((8, 10, 1))
    values = np.minimum(1e-2 * np.exp(-2 * z) * lateral, 5e-3)
    return Density(values[None].astype(np.float32), SLAB, (0.0, 1.0), "window", "made up")


def write_vasp(density, path, *, augmentation=False):
    """As VASP writes it: electrons per cell, five numbers a line, the first axis fastest."""
    from ase.io import write

    write(path, density.atoms, format="vasp", direct=True)
    values = density.values[0] * density.atoms.cell.volume
    lines = ["", " ".join(map(str, values.shape))]
    flat = values.ravel(order="F")
    lines += [
        " ".join(f"{v:.10E}" for v in flat[start : start + 5]) for start in range(0, flat.size, 5)
    ]
    if augmentation:
        lines += ["augmentation occupancies   1   2", " 0.1 0.2"]
        lines += ["augmentation occupancies   2   2", " 0.1 0.2"]
    with path.open("a") as file:
        file.write("\n".join(lines) + "\n")


def test_zarr_gives_back_what_was_written(density, tmp_path):
    for name in ("a.zarr", "a.zip"):
        write_zarr(density, tmp_path / name)
        found = read_zarr(tmp_path / name)
        assert np.array_equal(found.values, density.values)
        assert (found.edges, found.kind, found.method) == ((0.0, 1.0), "window", "made up")
        assert np.allclose(found.atoms.positions, SLAB.positions)
        assert same_surface(found.atoms, SLAB)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zarr", "a.zip"]  # nothing half done


def test_fewer_bits_cost_half_a_unit_of_the_last(density, tmp_path):
    error = np.abs(rounded(density.values, 10) / density.values - 1)
    assert 1e-5 < error.max() <= 2.0**-11


def test_a_parchg_and_a_cube_hold_the_same_density(density, tmp_path):
    write_vasp(density, tmp_path / "PARCHG")
    with (tmp_path / "slab.cube").open("w") as file:
        write_cube(file, SLAB, density.values[0] * Bohr**3)
    for name in ("PARCHG", "slab.cube"):
        found = read_density(tmp_path / name)
        assert np.allclose(found.values, density.values, rtol=2e-4, atol=1e-9)
        assert found.kind == "window"
        assert same_surface(found.atoms, SLAB)


def test_a_chgcar_is_a_density_of_all_electrons(density, tmp_path):
    for name, augmentation in (("CHGCAR", False), ("charge", True)):
        write_vasp(density, tmp_path / name, augmentation=augmentation)
        source = FileDensity(tmp_path / name)
        assert source(SLAB).kind == "total"
        with pytest.raises(UserError, match="all electrons"):
            Stm(density=source, sampling=0.2, shape=(8, 8))(SLAB)


def test_both_spins_are_read_as_pymatgen_reads_them(density, tmp_path):
    outputs = pytest.importorskip("pymatgen.io.vasp.outputs", reason="the extra mp is missing")
    path = tmp_path / "CHGCAR"
    write_vasp(density, path, augmentation=True)
    lines = path.read_text().splitlines()
    grid = next(i for i, line in enumerate(lines) if line == "8 10 64")
    last = next(i for i, line in enumerate(lines) if line.startswith("augmentation"))
    difference = [line.replace("E-", "E-1") for line in lines[grid + 1 : last]]
    path.write_text("\n".join([*lines, "0.0 0.5", lines[grid], *difference]) + "\n")
    found, theirs = read_density(path), outputs.Chgcar.from_file(str(path))
    volume = theirs.structure.volume
    assert np.allclose(found.values[0] * volume, theirs.data["total"], rtol=1e-6)
    assert np.allclose(found.atoms.positions, theirs.structure.cart_coords)
    assert found.kind == "total" and theirs.is_spin_polarized


def test_a_truncated_file_is_refused_in_one_sentence(density, tmp_path):
    write_vasp(density, tmp_path / "PARCHG")
    text = (tmp_path / "PARCHG").read_text()
    for part in (0.5, 0.02):
        (tmp_path / "PARCHG").write_text(text[: int(part * len(text))])
        with pytest.raises(UserError, match="PARCHG cannot be read .* truncated") as caught:
            read_density(tmp_path / "PARCHG")
        assert "\n" not in str(caught.value)
    write_zarr(density, tmp_path / "a.zip")
    (tmp_path / "a.zip").write_bytes((tmp_path / "a.zip").read_bytes()[:500])
    with pytest.raises(UserError, match="not a density of ours"):
        read_density(tmp_path / "a.zip")
    with pytest.raises(UserError, match="is missing"):
        read_density(tmp_path / "none")


def test_a_folder_gives_the_density_of_the_structure_that_is_asked_for(density, tmp_path):
    other = SLAB.copy()
    other.positions[1] += [0.5, 0, 0]
    write_zarr(replace(density, atoms=other, values=2 * density.values), tmp_path / "a.zarr")
    write_zarr(density, tmp_path / "b.zarr")
    source = FileDensity(tmp_path, energies=(-1.0, 0.0))
    assert np.array_equal(source(SLAB).values, density.values)
    assert source(SLAB).edges == (-1.0, 0.0)
    wrapped = SLAB[[1, 0]]  # in another order, one atom in another cell
    wrapped.positions[0] += SLAB.cell[0]
    assert np.array_equal(source(wrapped).values, density.values)
    other.positions[1] += [0.5, 0, 0]
    with pytest.raises(UserError, match=r"no density of this structure, CuO"):
        source(other)
