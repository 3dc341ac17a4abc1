"""What an image shows: its pixels, their distortion, and from where the specimen is seen.

A forward model of images inherits :class:`Scene`, or :class:`Pixels` where it looks from one side
only, and so has these parameters under the same names, with the same units and bounds, as all
others. Lengths in the plane are (right, down) [Å].
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import numpy as np
from ase import Atoms

from htinvert.core import Floats, UserError
from htinvert.declaration.declared import Parameter
from htinvert.forward.interface import move_grain
from htinvert.forward.view import Direction, View, view_frame


@dataclass(frozen=True, eq=False)
class Window:
    """Where pixels lie, (right, down) [Å]: ``origin + per_pixel @ (column, row)``."""

    origin: Floats
    per_pixel: Floats
    shape: tuple[int, int]

    def corners(self) -> Floats:
        """Positions of the four corner pixels [Å], shape (4, 2)."""
        ny, nx = self.shape
        indices = np.array([[0, 0], [nx - 1, 0], [0, ny - 1], [nx - 1, ny - 1]])
        return np.asarray(self.origin + indices @ self.per_pixel.T)


@dataclass(frozen=True)
class Pixels:
    """The pixels of an image, and how the specimen is distorted in it.

    In the image x points right and y down; row 0 is the top. The order is: rotate, shear, stretch
    about the window's center, then shift.

    Args:
        sampling: pixel size [Å/px], one number or (y, x), > 0; None: the observed image's.
        shape: pixels (ny, nx); None: the observed image's.
        shift_x: the specimen's shift to the right in the image [Å].
        shift_y: the specimen's shift downward [Å].
        shear_x: shift to the right per distance downward [1], -0.5 to 0.5.
        shear_y: shift downward per distance to the right [1], -0.5 to 0.5.
        stretch_x: relative widening [1], -0.5 to 1.
        stretch_y: relative heightening [1], -0.5 to 1.
        rotation: counter-clockwise turn of the specimen in the image [degrees].
    """

    sampling: float | tuple[float, float] | None = None
    shape: tuple[int, int] | None = None
    _: KW_ONLY
    shift_x: float = 0.0
    shift_y: float = 0.0
    shear_x: float = 0.0
    shear_y: float = 0.0
    stretch_x: float = 0.0
    stretch_y: float = 0.0
    rotation: float = 0.0

    @property
    def pixel(self) -> tuple[float, float]:
        """Pixel size (y, x) [Å]. Raises :class:`~htinvert.core.UserError` where it is not set."""
        if self.sampling is None:
            raise UserError("sampling is not set; give it in Å/px or load an image that has one")
        if isinstance(self.sampling, int | float):
            return float(self.sampling), float(self.sampling)
        y, x = self.sampling
        return float(y), float(x)

    def window(self, middle: Floats) -> Window:
        """Positions of the pixels before distortion: the inverse affine map of the pixel grid.

        ``middle`` is what the window's center shows, (right, down) [Å], shape (2,).

        Raises:
            UserError: where sampling or shape is not set.
        """
        if self.shape is None:
            raise UserError("shape is not set; give (ny, nx) or load an image that has one")
        inverse: Floats = np.linalg.inv(_distortion(self)).astype(np.float64)
        ny, nx = self.shape
        dy, dx = self.pixel
        first = np.array([-(nx - 1) / 2 * dx - self.shift_x, -(ny - 1) / 2 * dy - self.shift_y])
        return Window(middle + inverse @ first, inverse @ np.diag([dx, dy]), self.shape)


def _distortion(pixels: Pixels) -> Floats:
    """Matrix that takes specimen to image coordinates (right, down), shape (2, 2)."""
    angle = np.radians(pixels.rotation)  # y points down: counter-clockwise is -angle
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    shear = np.array([[1.0, pixels.shear_x], [pixels.shear_y, 1.0]])
    return np.asarray(np.diag([1 + pixels.stretch_x, 1 + pixels.stretch_y]) @ shear @ turn)


PIXELS = {
    "shift_x": Parameter("Å", -np.inf, np.inf),
    "shift_y": Parameter("Å", -np.inf, np.inf),
    "shear_x": Parameter("1", -0.5, 0.5),
    "shear_y": Parameter("1", -0.5, 0.5),
    "stretch_x": Parameter("1", -0.5, 1.0),
    "stretch_y": Parameter("1", -0.5, 1.0),
    "rotation": Parameter("degrees", -np.inf, np.inf),
}


@dataclass(frozen=True, kw_only=True)
class Scene(Pixels):
    """What a projection shows: pixels, from where the specimen is seen, and its boundary.

    Args:
        beam: zone axis, from the specimen toward the viewer: "x", "-z" or a Cartesian vector.
        up: direction of the image's top; its part along the beam is dropped.
        center: Cartesian position [Å] along (up, right) that the window's center shows; None:
            the middle of the cell.
        interface_width: how much farther apart the grains beside a boundary are [Å], -5 to 20.
        interface_shift: how far the upper grain is moved to the right [Å].
        interface: the boundary's position along ``up`` [Å]; None: the middle of the cell.
    """

    beam: Direction = "x"
    up: Direction = "z"
    center: tuple[float, float] | None = None
    interface_width: float = 0.0
    interface_shift: float = 0.0
    interface: float | None = None

    def specimen(self, atoms: Atoms) -> Atoms:
        """The structure that is imaged: the given one with its upper grain moved."""
        right, down, _ = view_frame(self.beam, self.up)
        shift, width = self.interface_shift * right, self.interface_width
        return move_grain(atoms, normal=-down, width=width, along=shift, height=self.interface)

    def window_on(self, specimen: Atoms) -> Window:
        """Where in the plane of projection the pixels lie; raises as :meth:`Pixels.window`."""
        if self.center is not None:
            return self.window(np.array([self.center[1], -self.center[0]]))
        frame = view_frame(self.beam, self.up)[:2]
        return self.window(np.asarray(frame @ specimen.cell.sum(axis=0) / 2))

    def view(self, atoms: Atoms) -> View:
        """Where in the image of ``atoms`` positions appear, and which lines its pixels show.

        Raises:
            UserError: where sampling or shape is not set.
        """
        frame, height = view_frame(self.beam, self.up), self.interface
        if height is None:
            height = float(atoms.cell.sum(axis=0) @ -frame[1]) / 2
        window = self.window_on(self.specimen(atoms))
        moves = self.interface_width, self.interface_shift
        return View(frame, window.origin, window.per_pixel, height, *moves)


SCENE = {
    **PIXELS,
    "interface_width": Parameter("Å", -5.0, 20.0),
    "interface_shift": Parameter("Å", -np.inf, np.inf),
    "interface": Parameter("Å", -np.inf, np.inf),
}


def check_pixels(pixels: Pixels) -> None:
    """Raise ``ValueError`` for a pixel size or a shape that no image has."""
    if pixels.sampling is not None and min(pixels.pixel) <= 0:
        raise ValueError(f"sampling is {pixels.sampling} Å/px but must be positive")
    if pixels.shape is not None and (len(pixels.shape) != 2 or min(pixels.shape) < 1):
        raise ValueError(f"shape is {pixels.shape} but must be two positive numbers, (ny, nx)")


def check_scene(scene: Scene) -> None:
    """Raise ``ValueError`` as :func:`check_pixels`, and for directions that frame no image."""
    check_pixels(scene)
    view_frame(scene.beam, scene.up)
