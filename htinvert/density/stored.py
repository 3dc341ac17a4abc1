"""Densities on disk in our own format: a Zarr group with the grid, the surface and the energies."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import UserError
from htinvert.density.grid import Density

FORMAT = "htinvert density 1"


def write_zarr(density: Density, path: Path, *, bits: int | None = None) -> None:
    """Write a density as a Zarr folder, or into one file where the name ends in ``.zip``.

    ``bits`` of the mantissa are kept where that is given: 10 are right to 5e-4 and need half of the
    room. The folder appears whole or not at all.
    """
    import zarr
    from zarr.codecs import BloscCodec

    values = density.values if bits is None else rounded(density.values, bits)
    partial = path.with_name(f".{os.getpid()}.{path.name}")
    store: Any = zarr.storage.ZipStore(partial, mode="w") if path.suffix == ".zip" else str(partial)
    codec = BloscCodec(cname="zstd", clevel=7, shuffle="shuffle", typesize=4)
    root = zarr.create_group(
        store,
        attributes={
            "format": FORMAT,
            "kind": density.kind,
            "method": density.method,
            "edges": list(density.edges),
            "cell": density.atoms.cell.array.tolist(),
            "numbers": density.atoms.numbers.tolist(),
            "positions": density.atoms.positions.tolist(),
        },
    )
    chunks = (1, *values.shape[1:])
    array = root.create_array(
        "density", shape=values.shape, chunks=chunks, dtype="float32", compressors=[codec]
    )
    array[:] = values
    if path.suffix == ".zip":
        store.close()
    if path.is_dir():
        shutil.rmtree(path)
    partial.replace(path)


def read_zarr(path: Path) -> Density:
    """Read what :func:`write_zarr` wrote. Raises :class:`UserError` for anything else."""
    import zarr

    zipped = path.suffix == ".zip"
    store: Any = zarr.storage.ZipStore(path, mode="r") if zipped else str(path)
    try:
        root: Any = zarr.open_group(store, mode="r", zarr_format=3)
        about = dict(root.attrs)
        if about.get("format") != FORMAT:
            raise ValueError(f"its format is {about.get('format')!r}")
        values = np.asarray(root["density"][:], dtype=np.float32)
    except (ValueError, KeyError, OSError, RuntimeError, BadZipFile) as error:
        raise UserError(f"{path} is not a density of ours ({error}); compute it again") from error
    if zipped:
        store.close()
    atoms = Atoms(about["numbers"], about["positions"], cell=about["cell"], pbc=True)
    return Density(values, atoms, tuple(about["edges"]), about["kind"], about["method"])


def rounded(values: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """Values whose mantissa has only ``bits`` bits, rounded to the nearest."""
    drop = 23 - bits
    whole = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    half = np.uint32((1 << (drop - 1)) - 1) + ((whole >> np.uint32(drop)) & np.uint32(1))
    return ((whole + half) & ~np.uint32((1 << drop) - 1)).view(np.float32)
