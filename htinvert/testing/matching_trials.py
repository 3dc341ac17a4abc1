"""Libraries and targets with a known answer: bicrystals, and images as a microscope spoils them.

Everything random comes from a generator that is handed in, so that what settings were chosen on and
what is reported are different draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from htinvert.core import Floats, Signal
from htinvert.forward.stem_convolution import StemConvolution

SIDE = 170.0  # Å of a bicrystal: more than the diagonal of any field below
CDTE = 6.48  # Å, lattice constant
Net = tuple[float, float, float, tuple[tuple[float, float, float, int], ...]]
_W, _SI = 3.165, 5.431  # Å, lattice constants of tungsten and silicon
_CU = 3.615  # Å, of copper
NETS: dict[str, Net] = {
    "fcc [110]": (_CU / 2**0.5, _CU, _CU / 2**0.5, ((0.0, 0.0, 0.0, 29), (0.5, 0.5, 0.5, 29))),
    "bcc [110]": (_W * 2**0.5, _W, _W * 2**0.5, (
        (0.0, 0.0, 0.0, 74), (0.0, 0.5, 0.5, 74), (0.5, 0.0, 0.5, 74), (0.5, 0.5, 0.0, 74),
    )),
    "Si [111]": (_SI / 6**0.5, _SI / 2**0.5, _SI * 3**0.5, (
        (0.0, 0.0, 0.0, 14), (0.0, 0.0, 0.25, 14), (0.5, 0.5, 1 / 3, 14), (0.5, 0.5, 7 / 12, 14),
    )),
}  # fmt: skip
"""Dense nets of one element: width, height and depth [Å] of a cell, and its atoms as fractions of
them to the right, up and along the beam, with atomic numbers."""
STATES = ((0.0, 0.0), (0.8, 0.0), (1.6, 0.0), (0.0, 0.8), (0.8, 0.8))
"""How far the upper grain is slid to the right and lifted [Å]."""


def tilt_boundary(
    angle: float,
    *,
    slide: float = 0.0,
    lift: float = 0.0,
    a: float = CDTE,
    side: float = SIDE,
    net: str | None = None,
) -> Atoms:
    """A symmetric tilt boundary of CdTe seen along [110], one repeat thick, not relaxed.

    Args:
        angle: misorientation [degrees]; each grain is turned by half of it.
        slide: how far the upper grain is moved to the right [Å].
        lift: how far it is moved up [Å].
        a: lattice constant [Å].
        side: width and height [Å]; the boundary is at half the height, normal to z.
        net: one of :data:`NETS` instead of CdTe, with its own lattice constant.
    """
    unit = NETS[net] if net else _zinc_blende(a)
    columns = _columns(unit, side)
    parts, numbers, grains = [], [], []
    for grain, sign in ((0, -1.0), (1, 1.0)):
        turn = np.radians(sign * angle / 2)
        right, up, depth, kind = columns
        y = np.cos(turn) * right - np.sin(turn) * up
        z = np.sin(turn) * right + np.cos(turn) * up
        half = z > 1e-6 if grain else z <= 1e-6  # before it is moved: a lift opens a gap
        if grain:
            y, z = y + slide, z + lift
        inside = half & (np.abs(y) < side / 2) & (np.abs(z) < side / 2)
        parts.append(np.stack([depth, y + side / 2, z + side / 2], axis=1)[inside])
        numbers.append(kind[inside])
        grains.append(np.full(int(inside.sum()), grain))
    cell = (unit[2], side, side)
    atoms = Atoms(
        np.concatenate(numbers), np.concatenate(parts), cell=cell, pbc=(True, False, False)
    )
    atoms.set_array("grain", np.concatenate(grains))
    return _without_collisions(atoms)


def _zinc_blende(a: float) -> Net:
    """CdTe along [110]; up is [001]."""
    half = a / np.sqrt(2)
    basis = ((0.0, 0.0, 0.0, 48), (0.5, 0.5, 0.5, 48), (0.5, 0.25, 0.0, 52), (0.0, 0.75, 0.5, 52))
    return half, a, half, basis


def _columns(net: Net, side: float) -> tuple[Floats, Floats, Floats, NDArray[np.int_]]:
    """Right, up, depth [Å] and atomic number of a net's columns."""
    width, height, thick, basis = net
    cells = np.arange(-int(side / width) - 2, int(side / width) + 3)
    i, k = (grid.ravel() for grid in np.meshgrid(cells, cells, indexing="ij"))
    lists = [
        ((i + x) * width, (k + z) * height, np.full(i.size, d * thick), np.full(i.size, number))
        for x, z, d, number in basis
    ]
    right, up, depth, number = (np.concatenate(part) for part in zip(*lists, strict=True))
    return right, up, depth, number.astype(np.int_)


def _without_collisions(atoms: Atoms, nearest: float = 1.3) -> Atoms:
    """Drop the upper grain's columns that lie within ``nearest`` [Å] of a lower one's."""
    from scipy.spatial import cKDTree

    flat = atoms.positions[:, 1:]
    upper = atoms.arrays["grain"] == 1
    distance, _ = cKDTree(flat[~upper]).query(flat[upper], distance_upper_bound=nearest)
    lost = np.flatnonzero(upper)[np.isfinite(distance)]
    return atoms[np.setdiff1d(np.arange(len(atoms)), lost)]


def library(
    angles: Sequence[float],
    states: Sequence[tuple[float, float]] = STATES,
    *,
    net: str | None = None,
) -> list[tuple[str, Atoms]]:
    """Bicrystals of all misorientations [degrees] in all rigid-body states, by name."""
    return [
        (f"tilt{angle:06.2f}-state{number}", tilt_boundary(angle, slide=slide, lift=lift, net=net))
        for angle in angles
        for number, (slide, lift) in enumerate(states)
    ]


@dataclass(frozen=True)
class Spoiled:
    """How a target is taken; angles in degrees, lengths in Å, jitter in px, dose as peak counts."""

    rotation: float
    magnification: float
    stretch: tuple[float, float]
    shear: float
    shift: tuple[float, float]
    source_size: float
    jitter: float
    drift: tuple[float, float]
    peak: float

    @classmethod
    def draw(cls, rng: np.random.Generator, *, peak: float, scale: float = 0.25) -> Spoiled:
        """Any rotation, a magnification of 1 / (1 + scale) to 1 + scale, distortions of 1 %."""
        return cls(
            rotation=float(rng.uniform(0, 360)),
            magnification=float(np.exp(rng.uniform(-1, 1) * np.log1p(scale))),
            stretch=(float(rng.normal(0, 0.01)), float(rng.normal(0, 0.01))),
            shear=float(rng.normal(0, 0.01)),
            shift=(float(rng.uniform(-8, 8)), float(rng.uniform(-8, 8))),
            source_size=float(rng.uniform(0.8, 1.4)),
            jitter=0.5,
            drift=(float(rng.normal(0, 1.0)), float(rng.normal(0, 1.0))),
            peak=peak,
        )

    def take(self, atoms: Atoms, *, sampling: float, size: int, rng: np.random.Generator) -> Signal:
        """Image of a structure, shape (size, size), drifted, jittered and with Poisson noise."""
        forward = StemConvolution(
            sampling=sampling,
            shape=(size + 16, size + 16),
            rotation=self.rotation,
            stretch_x=self.magnification * (1 + self.stretch[0]) - 1,
            stretch_y=self.magnification * (1 + self.stretch[1]) - 1,
            shear_x=self.shear,
            shift_x=self.shift[0],
            shift_y=self.shift[1],
            source_size=self.source_size,
        )
        return self.scan(forward(atoms), size=size, rng=rng)

    def scan(self, image: Signal, *, size: int, rng: np.random.Generator) -> Signal:
        """Scan an image that has at least 8 pixels more on each side: drift, jitter, counting."""
        margin = np.array(image.data.shape) - size
        rows, columns = np.mgrid[:size, :size].astype(float)
        along = np.linspace(-0.5, 0.5, size)[:, None]
        pixel = image.sampling[0]
        rows += margin[0] / 2 + along**2 * self.drift[0] / pixel
        columns += margin[1] / 2 + along**2 * self.drift[1] / pixel
        columns += rng.normal(0, self.jitter, (size, 1))
        data = map_coordinates(image.data.astype(float), [rows, columns], order=1, mode="nearest")
        counts = rng.poisson(np.maximum(data, 0) * self.peak / data.max())
        return replace(image, data=counts.astype(np.float32))
