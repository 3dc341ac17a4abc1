"""Members of a library as they are compared: structures are imaged anew, images are warped."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from ase import Atoms
from scipy.ndimage import affine_transform, spline_filter

from htinvert.core import EvaluationFailed, Floats, Signal
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.forward.view import view_frame
from htinvert.matching.pose import Pose

SIDES = (48.0, 80.0)  # Å, least and greatest side of the image that describes a structure
CRYSTAL = 30.0  # Å: a periodic cell that is smaller is a crystal, and its repeats are meant
UNLIMITED = 1e4  # Å
RIM = 3.0  # Å of empty space around what is not periodic that still tells something


@dataclass(frozen=True, eq=False)
class Structure:
    """A structure, seen as ``forward`` says; its middle is the cell's, or the atoms'."""

    atoms: Atoms
    forward: StemConvolution

    @cached_property
    def extent(self) -> tuple[float, float]:
        """Height and width [Å] of what the image shows once; ``UNLIMITED`` for a crystal's."""
        frame = view_frame(self.forward.beam, self.forward.up)
        flat = self.atoms.positions @ frame[:2].T
        sizes = np.ptp(flat, axis=0) + 2 * RIM
        for vector in self.atoms.cell.array[self.atoms.pbc]:
            shown = np.abs(frame[:2] @ vector)
            along = int(np.argmax(shown))
            if shown[along] > 1.0:
                sizes[along] = shown[along] if along or shown[along] < CRYSTAL else UNLIMITED
                sizes[along] = UNLIMITED if shown[along] < CRYSTAL else sizes[along]
        return float(sizes[1]), float(sizes[0])

    @property
    def repeat(self) -> float | None:
        """How far to the right [Å] a periodic structure is the same again; None where it is not."""
        right = view_frame(self.forward.beam, self.forward.up)[0]
        shown = [abs(float(right @ vector)) for vector in self.atoms.cell.array[self.atoms.pbc]]
        return max((length for length in shown if length > 1.0), default=None)

    @property
    def radius(self) -> float:
        """How far from its middle [Å] the image means something."""
        return min(self.extent) / 2

    @property
    def resolves(self) -> bool:
        """The source size is a parameter of the forward model."""
        return True

    @property
    def center(self) -> tuple[float, float] | None:
        """The window's center, (up, right) [Å]; None for the middle of a periodic cell."""
        if self.forward.center is not None or self.atoms.pbc.any():
            return self.forward.center
        right, down, _ = view_frame(self.forward.beam, self.forward.up)
        flat = self.atoms.positions @ np.array([-down, right]).T
        up, across = (flat.max(axis=0) + flat.min(axis=0)) / 2
        return float(up), float(across)

    def render(self, pose: Pose, shape: tuple[int, int], sampling: float) -> Floats:
        """Image, shape (ny, nx), of square pixels [Å/px]."""
        settings: dict[str, Any] = {"sampling": sampling, "shape": shape, "center": self.center}
        model = replace(self.forward, **(settings | pose.parameters))
        return np.asarray(model(self.atoms).data, dtype=np.float64)

    def view(self, sampling: float) -> Signal:
        """The image that describes the structure, upright."""
        side = float(np.clip(2 * self.radius, *SIDES))
        count = round(side / sampling)
        pose = Pose.turned(0.0, 1.0)
        return Signal.image(self.render(pose, (count, count), sampling), sampling)


@dataclass(frozen=True, eq=False)
class MemberImage:
    """An image as a member of a library; it is warped by cubic splines."""

    image: Signal

    @cached_property
    def coefficients(self) -> Floats:
        """Of the splines, less the image's mean."""
        data = self.image.data.astype(np.float64)
        if not np.isfinite(data).all() or np.ptp(data) == 0:
            raise EvaluationFailed("the image is constant or not finite")
        return np.asarray(spline_filter(data - data.mean(), order=3))

    @property
    def radius(self) -> float:
        """Half the smaller side [Å]."""
        pairs = zip(self.image.data.shape, self.image.sampling, strict=True)
        return min(count * step for count, step in pairs) / 2

    @property
    def resolves(self) -> bool:
        """An image has the source size it has."""
        return False

    def render(self, pose: Pose, shape: tuple[int, int], sampling: float) -> Floats:
        """Image, shape (ny, nx), of square pixels [Å/px]; beyond its edges the picture is 0."""
        inverse = np.linalg.inv(pose.matrix)[::-1, ::-1]  # (down, right)
        steps = np.array(self.image.sampling)
        matrix = inverse * sampling / steps[:, None]
        own = (np.array(self.image.data.shape) - 1) / 2
        middle = (np.array(shape) - 1) / 2 + pose.shift[::-1] / sampling
        return np.asarray(
            affine_transform(
                self.coefficients, matrix, own - matrix @ middle, shape, order=3, prefilter=False
            )
        )

    def view(self, sampling: float) -> Signal:
        """The image itself at the pixel size of descriptors."""
        shape = tuple(
            int(count * step / sampling)
            for count, step in zip(self.image.data.shape, self.image.sampling, strict=True)
        )
        side = round(SIDES[1] / sampling)
        shape = (min(shape[0], side), min(shape[1], side))
        pose = Pose.turned(0.0, 1.0)
        return Signal.image(self.render(pose, shape, sampling), sampling)


Member = Structure | MemberImage
