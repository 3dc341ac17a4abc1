"""Which line through the specimen a pixel shows, and where in an image a position appears.

Image coordinates are (right, down) [Å], pixels (row, column); see ``docs/conventions.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from ase import Atoms

from htinvert.core import Floats

Direction = str | tuple[float, float, float]

ON_BOUNDARY = 1e-6  # Å: an atom so little below the boundary belongs to the upper grain


@dataclass(frozen=True, eq=False)
class View:
    """The map of a projection from positions [Å] to pixels, and back to lines along the beam.

    Attributes:
        frame: unit vectors of the image's right, its down and the beam, shape (3, 3), one per row.
        origin: what pixel (0, 0) shows, (right, down) [Å], shape (2,).
        per_pixel: step of (right, down) [Å] per (column, row), shape (2, 2).
        height: position of a boundary along the image's up [Å].
        width: how much farther up [Å] the specimen beyond the boundary lies than positions say.
        slide: how much farther to the right [Å].
    """

    frame: Floats
    origin: Floats
    per_pixel: Floats
    height: float = 0.0
    width: float = 0.0
    slide: float = 0.0

    def pixels(self, points: Floats) -> Floats:
        """Row and column, shape (k, 2), at which positions [Å], shape (k, 3), appear."""
        flat = points @ self.frame[:2].T
        upper = -flat[:, 1] >= self.height - ON_BOUNDARY
        flat += np.outer(upper, [self.slide, -self.width])
        steps = np.linalg.solve(self.per_pixel, (flat - self.origin).T)  # column, row
        return np.asarray(steps[::-1].T, dtype=np.float64)

    def lines(self, pixels: Floats) -> Floats:
        """A point [Å], shape (k, 3), of the line along ``frame[2]`` that each pixel shows.

        ``pixels`` are rows and columns, shape (k, 2), and need not be whole. A pixel in a gap that
        the specimen's positions do not know shows the boundary.
        """
        flat = self.origin + pixels[:, ::-1] @ self.per_pixel.T
        up = -flat[:, 1]
        below = np.minimum(up, self.height) if self.width > 0 else up
        upper = up >= self.height + self.width - ON_BOUNDARY
        flat[:, 1] = -np.where(upper, up - self.width, below)
        flat[:, 0] -= self.slide * upper
        return np.asarray(flat @ self.frame[:2])


def sides(atoms: Atoms) -> list[tuple[str, Direction, Direction]]:
    """Directions from which a specimen may be looked at: words, toward the viewer, up.

    Along the axes; of a free cluster also between each two of them.
    """
    found: list[tuple[str, Direction, Direction]] = [
        ("along x", "x", "z"), ("along y", "y", "z"), ("along z", "z", "y")
    ]  # fmt: skip
    if not atoms.pbc.any():
        found += [
            ("along [110]", (1.0, 1.0, 0.0), "z"),
            ("along [101]", (1.0, 0.0, 1.0), "y"),
            ("along [011]", (0.0, 1.0, 1.0), "x"),
        ]
    return found


def view_frame(beam: Direction, up: Direction) -> Floats:
    """Unit vectors of the image's right, its down and the beam, shape (3, 3), one per row."""
    return _frame(*(way if isinstance(way, str) else tuple(way) for way in (beam, up)))


@lru_cache(maxsize=256)
def _frame(beam: Direction, up: Direction) -> Floats:
    """What :func:`view_frame` answers; every image of a fit asks for it anew."""
    toward = _vector(beam)
    top = _vector(up) - (_vector(up) @ toward) * toward
    if np.linalg.norm(top) < 1e-6:
        raise ValueError(f"up is {up}, along the beam {beam}; choose a direction across it")
    top /= np.linalg.norm(top)
    frame = np.asarray([np.cross(top, toward), -top, toward], dtype=np.float64)
    frame.flags.writeable = False
    return frame


def _vector(direction: Direction) -> Floats:
    """Unit vector, shape (3,), of "x", "-z" or a Cartesian vector."""
    if isinstance(direction, str):
        name = direction.removeprefix("-")
        if name not in ("x", "y", "z"):
            raise ValueError(f'direction is "{direction}" but must be x, y, z, -x, -y or -z')
        axis: Floats = np.eye(3)["xyz".index(name)]
        return -axis if direction.startswith("-") else axis
    vector = np.array(direction, dtype=np.float64)
    if vector.shape != (3,) or not np.linalg.norm(vector) > 0:
        raise ValueError(f"direction is {direction} but must be three numbers, not all 0")
    return np.asarray(vector / np.linalg.norm(vector))
