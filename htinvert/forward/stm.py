"""Scanning tunneling microscopy from a local density of states.

Tersoff & Hamann, Phys. Rev. B 31, 805 (1985). The height map is periodic; the image is one bicubic
sampling of it at the pixels' places, blurred before in Fourier space. Nothing is tiled or warped,
and no in-plane lattice is special.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
from ase import Atoms
from scipy import fft
from scipy.ndimage import map_coordinates

from htinvert.core import Floats, Signal, UserError
from htinvert.declaration.declared import KnownAnswer, Parameter, check_bounds
from htinvert.density.grid import Density, DensitySource, has_all_electrons
from htinvert.forward.memo import fingerprint, remember
from htinvert.forward.scene import PIXELS, Pixels, Scene, Window, check_pixels
from htinvert.forward.stm_surface import (
    SurfaceSlab,
    constant_current,
    constant_height,
    find_slab,
    round_tip,
    voxel_isosurface,
)
from htinvert.forward.view import View

Mode = Literal["constant_current", "constant_height", "isosurface"]

_FWHM = 2 * np.sqrt(2 * np.log(2))  # in standard deviations
_REMEMBERED = 8  # surfaces
_MAPS = 64


@dataclass(frozen=True, kw_only=True)
class Stm(Pixels):
    """Simulate an STM image: heights over the topmost atom [Å], or densities [1/Å³].

    Seen from above (z toward the viewer, y up); pixels and distortion are those of
    :class:`~htinvert.forward.scene.Pixels`.

    Args:
        density: where the density of states of a structure comes from, such as
            ``{use: gpaw, cache: densities}``, ``{use: file, path: PARCHG}`` or, approximately,
            ``{use: atoms}``.
        mode: "constant_current", the tip follows the isovalue; "constant_height", the density at
            ``height``; "isosurface", voxels within ``tolerance`` of the isovalue, as ingrained.
        isovalue: density that the tip follows [1/Å³], 1e-12 to 1e3.
        tolerance: of "isosurface" [1/Å³], 0 to 1e3; it costs accuracy, by up to ten voxels.
        height: of "constant_height", above the topmost atom [Å], 0 to 50.
        below: how far under the topmost atom the tip may go [Å], -1 to 50.
        above: how far over it the tip starts [Å], 0.1 to 50; at most the vacuum's middle.
        bias_low: lowest energy of the states, from the Fermi level [eV], -20 to 20; None: all.
        bias_high: highest energy of the states, from the Fermi level [eV], -20 to 20; None: all.
        tip_radius: of a round tip that touches the surface [Å], 0 to 100.
        blur: full width at half maximum of vibration and electronics [Å], 0 to 20; in the image,
            so that no distortion carries it.
        mirror: whether the surface is the mirror image of the structure, as its other domain is.

    Raises:
        ValueError: for a parameter out of bounds.
    """

    sources: ClassVar[tuple[str, ...]] = (
        "J. Tersoff and D. R. Hamann, Phys. Rev. B 31, 805 (1985), doi:10.1103/PhysRevB.31.805.",
    )
    declares: ClassVar[Mapping[str, Parameter]]

    density: Any = None
    mode: Mode = "constant_current"
    isovalue: float = 6e-5
    tolerance: float = 1e-5
    height: float = 4.0
    below: float = 4.0
    above: float = 50.0
    bias_low: float | None = None
    bias_high: float | None = None
    tip_radius: float = 0.0
    blur: float = 0.0
    mirror: bool = False

    def __post_init__(self) -> None:
        check_bounds(self, PARAMETERS)
        check_pixels(self)
        if self.mode not in ("constant_current", "constant_height", "isosurface"):
            raise ValueError(
                f'mode is "{self.mode}" but must be constant_current, constant_height or isosurface'
            )

    @property
    def scene(self) -> Scene:
        """The same pixels and distortion, looking down on the surface."""
        shared = {name: getattr(self, name) for name in Pixels.__dataclass_fields__}
        return Scene(beam="z", up="y", **shared)

    def specimen(self, atoms: Atoms) -> Atoms:
        """The structure that is imaged: the given one, mirrored where that is asked for."""
        if not self.mirror:
            return atoms
        turned = atoms.copy()
        turned.set_constraint()
        turned.set_cell(atoms.cell.array * [-1, 1, 1])
        turned.positions = atoms.positions * [-1, 1, 1]
        return turned

    def view(self, atoms: Atoms) -> View:
        """Where in the image positions appear, see :meth:`.Scene.view`."""
        return self.scene.view(self.specimen(atoms))

    def surface(self, atoms: Atoms) -> Surface:
        """The density of states of ``atoms``, checked.

        Raises:
            UserError: where no source is given, or its density is none that a tip could see.
        """
        if not isinstance(self.density, DensitySource):
            raise UserError(
                "forward.density is not set; give {use: gpaw}, {use: file, path: PARCHG} or "
                "{use: atoms}"
            )
        place = atoms.positions, atoms.cell.array, atoms.numbers
        key = fingerprint({"source": self.density}, *place)
        if key in _surfaces:
            return _surfaces[key]
        density = self.density(atoms)
        check_selected(density)
        return remember(
            _surfaces, key, Surface(key, density, find_slab(density.atoms)), most=_REMEMBERED
        )

    def label(self, atoms: Atoms) -> str:
        """What an image of ``atoms`` shows and where its density is from, approximate or not."""
        if self.mode == "constant_height":
            followed = f"{self.height:g} Å above the surface"
        else:
            followed = f"at {self.isovalue:g} 1/Å³"
        low, high = ("?" if b is None else f"{b:g}" for b in (self.bias_low, self.bias_high))
        states = "" if low == high == "?" else f", states from {low} to {high} eV"
        method = self.surface(atoms).density.method
        return f"{self.mode.replace('_', ' ')} {followed}{states}; {method}"

    def heights(self, atoms: Atoms) -> tuple[Floats, Floats]:
        """One period of the image and its vectors: shapes (n1, n2) and (2, 2), rows [Å].

        Heights over the topmost atom [Å], in "constant_height" densities [1/Å³]; without blur.
        """
        surface = self.surface(atoms)
        cell = surface.density.atoms.cell.array[:2, :2] * ([-1, 1] if self.mirror else [1, 1])
        settings = {name: getattr(self, name) for name in _MAPPED}
        key = surface.key + fingerprint(settings)
        if key not in _maps:
            found = self._map(surface)
            if self.tip_radius and self.mode != "constant_height":
                found = round_tip(found, cell, radius=self.tip_radius)
            remember(_maps, key, found, most=_MAPS)
        return _maps[key], np.asarray(cell)

    def _map(self, surface: Surface) -> Floats:
        values = surface.density.between(self.bias_low, self.bias_high)
        slab, limits = surface.slab, {"below": self.below, "above": self.above}
        if self.mode == "constant_height":
            return constant_height(values, slab, height=self.height)
        if self.mode == "isosurface":
            return voxel_isosurface(
                values, slab, isovalue=self.isovalue, tolerance=self.tolerance, **limits
            )
        return constant_current(values, slab, isovalue=self.isovalue, **limits)

    def __call__(self, atoms: Atoms) -> Signal:
        """Image, shape (ny, nx), float32: heights [Å], or densities [1/Å³].

        Raises:
            UserError: where sampling, shape or density is not set, or the density is none that a
                tip could see.
            EvaluationFailed: where the isovalue is met nowhere, or where the tip starts.
        """
        window = self.scene.window_on(self.specimen(atoms))
        heights, cell = self.heights(atoms)
        dy, dx = self.pixel
        spread = window.per_pixel @ np.diag([1 / dx, 1 / dy]) * (self.blur / _FWHM)
        return Signal.image(sample(heights, cell, window, spread=spread), (dy, dx))


@dataclass(frozen=True, eq=False)
class Surface:
    """A density of states and where in it the surface lies; ``key`` names both."""

    key: bytes
    density: Density
    slab: SurfaceSlab


_surfaces: OrderedDict[bytes, Surface] = OrderedDict()
_maps: OrderedDict[bytes, Floats] = OrderedDict()


def check_selected(density: Density) -> None:
    """Raise :class:`UserError` for a density of all electrons, which no tip sees."""
    unknown = density.kind == "window" and not density.edges
    if density.kind == "total" or (unknown and has_all_electrons(density.values[0], density.atoms)):
        raise UserError(
            "this is the density of all electrons, but a tip sees only those near the Fermi level; "
            "give an energy-selected one, such as VASP's PARCHG (LPARD, EINT)"
        )


def sample(heights: Floats, cell: Floats, window: Window, *, spread: Floats) -> Floats:
    """A periodic map, shape (n1, n2), at a window's pixels, bicubic, shape (ny, nx).

    ``cell`` has its vectors (x, y) [Å] as rows. ``spread`` times a vector of independent normal
    variables is how far the blur displaces a point of the surface, (right, down) [Å], shape (2, 2).
    """
    inverse: Floats = np.linalg.inv(cell * [1, -1]).astype(float)  # (right, down) to fractions
    coefficients = _spline(heights, inverse.T @ spread)
    counts = np.array(heights.shape)
    start = window.origin @ inverse * counts
    steps = (inverse.T @ window.per_pixel) * counts[:, None]
    ny, nx = window.shape
    columns, rows = np.arange(nx), np.arange(ny)[:, None]
    places = [start[i] + steps[i, 0] * columns + steps[i, 1] * rows for i in (0, 1)]
    return np.asarray(
        map_coordinates(coefficients, places, order=3, mode="grid-wrap", prefilter=False)
    )


def _spline(heights: Floats, spread: Floats) -> Floats:
    """Coefficients of the cubic spline through the map with a normal blur, shape (n1, n2).

    Both are exact for the map's Fourier series. ``spread`` is as in :func:`sample`, in fractions.
    """
    first, second, samples = _series(heights.shape)
    (a, b), (_, c) = -2 * np.pi**2 * (spread @ spread.T)
    damping = np.exp(a * first**2 + 2 * b * first * second + c * second**2) / samples
    return np.asarray(fft.irfft2(fft.rfft2(heights) * damping, heights.shape))


@lru_cache(maxsize=64)
def _series(shape: tuple[int, int]) -> tuple[Floats, Floats, Floats]:
    """Orders of the terms of a map's series, shapes (n1, 1) and (n,); what splines make of each."""
    first = fft.fftfreq(shape[0], 1 / shape[0])[:, None]
    second = fft.rfftfreq(shape[1], 1 / shape[1])
    turns = 2 * np.pi * first / shape[0], 2 * np.pi * second / shape[1]
    return first, second, (2 + np.cos(turns[0])) * (2 + np.cos(turns[1])) / 9


_MAPPED = (
    *("mode", "isovalue", "tolerance", "height", "below", "above"),
    *("bias_low", "bias_high", "tip_radius", "mirror"),
)

PARAMETERS = {
    **PIXELS,
    "isovalue": Parameter("1/Å³", 1e-12, 1e3),
    "tolerance": Parameter("1/Å³", 0.0, 1e3),
    "height": Parameter("Å", 0.0, 50.0),
    "below": Parameter("Å", -1.0, 50.0),
    "above": Parameter("Å", 0.1, 50.0),
    "bias_low": Parameter("eV", -20.0, 20.0),
    "bias_high": Parameter("eV", -20.0, 20.0),
    "tip_radius": Parameter("Å", 0.0, 100.0),
    "blur": Parameter("Å", 0.0, 20.0),
}
Stm.declares = PARAMETERS


# ---------------------------------------------------------------- known answers


@dataclass(frozen=True)
class Exponential:
    """A density ``exp(-2 kappa (z - relief))`` over one atom, with a cosine for a relief [Å]."""

    kappa: float = 1.1
    relief: float = 0.3
    planes: int = 120

    def __call__(self, atoms: Atoms) -> Density:
        """The density in the cell of ``atoms``, with 12 x 12 points in the plane."""
        n = 12
        crest = self.relief * np.cos(2 * np.pi * np.arange(n) / n)[:, None, None]
        length = atoms.cell.array[2, 2]
        z = np.arange(self.planes) * length / self.planes - atoms.positions[:, 2].max()
        values = np.exp(-2 * self.kappa * (z - crest)) * np.ones((n, n, 1))
        values[:, :, z < -2.0] = 1.0  # of the slab, or of its image
        values = np.minimum(values, 2e-3)  # less than an electron in all
        return Density(values[None].astype(np.float32), atoms, (0.0, 1.0), "window", "analytic")


def _one_atom() -> Atoms:
    return Atoms("H", positions=[[0.0, 0.0, 5.0]], cell=[4.0, 4.0, 24.0], pbc=True)


_ANSWERED = {"density": Exponential(), "sampling": 0.25, "shape": (17, 17)}
KNOWN_ANSWERS = (
    KnownAnswer(
        "mean height over an exponential density",
        "its logarithm: -log(isovalue) / (2 kappa) where the relief's mean is 0",
        {**_ANSWERED, "isovalue": 1e-4, "above": 8.0},
        _one_atom,
        lambda image: float(image.data[:16, :16].mean()),
        float(-np.log(1e-4) / 2.2),
        2e-5,  # 1e-4 grid spacings of 0.2 Å
    ),
    KnownAnswer(
        "corrugation over an exponential density",
        "the relief itself, from crest to trough",
        {**_ANSWERED, "isovalue": 1e-4, "above": 8.0},
        _one_atom,
        lambda image: float(np.ptp(image.data)),
        0.6,
        5e-3,  # of the bicubic sampling of twelve points per period
    ),
)
