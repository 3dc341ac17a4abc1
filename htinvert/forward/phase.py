"""Phase image of a thin specimen, as ptychography gives it: the projected potential, blurred.

``phi(r) = s sum_j v_j(r - r_j)`` with the interaction parameter s and each atom's projected
potential (E. J. Kirkland, *Advanced Computing in Electron Microscopy*, 2nd ed. (2010), eqs. 5.6 and
C.15), smeared by thermal motion and by the resolution of the reconstruction. The blur leaves few
spatial frequencies, so the image is a Fourier series that is summed at the pixels, exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import Floats, Signal
from htinvert.declaration.declared import KnownAnswer, Parameter, check_bounds
from htinvert.forward.cross_section import BORN, interaction_parameter, scattering_factor
from htinvert.forward.fourier import waves
from htinvert.forward.probe import source_transfer
from htinvert.forward.scene import SCENE, Scene, check_scene
from htinvert.forward.slab import displacements
from htinvert.forward.stem_convolution import Lattice, projected_lattice, sum_series
from htinvert.forward.view import view_frame

Complexes = NDArray[np.complex128]

_NEGLIGIBLE = 1e-5  # part of the blur's transfer function that may be left out
_TAIL = 6.0  # Å beyond which an atom's potential is negligible


@dataclass(frozen=True, kw_only=True)
class PhaseImage(Scene):
    """Simulate the phase [rad] that a thin specimen gives the electron wave, as a blurred image.

    ``PhaseImage(sampling=0.2, shape=(256, 256), beam="z", up="y")(atoms)`` is an image. It is right
    where all atoms are within the depth of focus and the phase is small: monolayers, thin films of
    light atoms. View and pixels are those of :class:`~htinvert.forward.scene.Scene`. A
    reconstruction's phase has no known zero: compare by a metric that fits an offset.

    Args:
        beam_energy: kinetic energy [eV], 1e4 to 3e6; it scales the image alone.
        blur: full width at half maximum of the resolution, a Gaussian [Å], 0.2 to 10.
        rms_displacement: of thermal motion per direction [Å], 0 to 1, one number or one per
            element.

    Raises:
        ValueError: for a parameter out of bounds.
        UserError: where an element's displacement is not given.
    """

    sources: ClassVar[tuple[str, ...]] = (
        "E. J. Kirkland, Advanced Computing in Electron Microscopy, 2nd ed. (2010), "
        "doi:10.1007/978-1-4419-6533-2.",
        "Phases from scans of patterns: Y. Jiang et al., Nature 559, 343 (2018), "
        "doi:10.1038/s41586-018-0298-5.",
    )
    declares: ClassVar[Mapping[str, Parameter]]

    beam_energy: float = 200e3
    blur: float = 0.8
    rms_displacement: float | dict[str, float] = 0.08

    def __post_init__(self) -> None:
        check_bounds(self, PARAMETERS)
        check_scene(self)
        motion = self.rms_displacement
        values = list(motion.values()) if isinstance(motion, Mapping) else [motion]
        if not all(0.0 <= value <= 1.0 for value in values):
            raise ValueError(f"rms_displacement is {motion} but must be 0 to 1 Å")

    @property
    def band_limit(self) -> float:
        """Highest frequency that the blur passes [1/Å]."""
        return float(np.sqrt(-np.log(_NEGLIGIBLE) * np.log(2.0)) / (np.pi * self.blur / 2))

    @property
    def margin(self) -> float:
        """Distance beyond which an atom's tail is negligible [Å]."""
        return _TAIL + 2 * self.blur

    def __call__(self, atoms: Atoms) -> Signal:
        """Phase [rad] of ``atoms``, repeated along its periodic directions: (ny, nx), float32.

        Only one cell's thickness counts along the beam.

        Raises:
            UserError: where sampling or shape is not set.
        """
        atoms = self.specimen(atoms)
        window = self.window_on(atoms)
        lattice = projected_lattice(self, atoms, window)
        positions = atoms.positions @ view_frame(self.beam, self.up).T
        series = _series(self, lattice, positions[:, :2], atoms.numbers)
        return Signal.image(sum_series(series, lattice, window), self.pixel)


PARAMETERS = {
    **SCENE,
    "beam_energy": Parameter("eV", 1e4, 3e6),
    "blur": Parameter("Å", 0.2, 10.0),
}
PhaseImage.declares = PARAMETERS

KNOWN_ANSWERS = (
    KnownAnswer(
        "integral of the phase over one C atom at 200 kV [rad Å²]",
        "0.7288e-3 rad/(V Å) (Kirkland, table 5.2) x 47.878 V Å² x 2.5068 Å, the sum of a_i of "
        "Doyle and Turner, Acta Cryst. A 24, 390 (1968), whose f(0) of C differ by some percent",
        {"sampling": 0.2, "shape": (60, 60), "beam": "z", "up": "y"},
        lambda: Atoms("C", positions=[[6.0, 6.0, 1.0]], cell=[12, 12, 2], pbc=True),
        lambda image: float(image.data.sum(dtype=float)) * 0.2**2,
        0.0875,
        0.02 * 0.0875,
    ),
)


def _series(
    model: PhaseImage, lattice: Lattice, positions: Floats, numbers: NDArray[np.int_]
) -> Complexes:
    """Coefficients [rad] of the image's series, shape (2 H + 1, L + 1): see Lattice.orders."""
    inside = lattice.shown(positions)
    fractional, kinds = np.linalg.solve(lattice.basis, positions[inside].T), numbers[inside]
    reciprocal, (h, k) = lattice.reciprocal, lattice.orders(model.band_limit)
    vectors = h[:, None, None] * reciprocal[0] + k[:, None] * reciprocal[1]
    squared = (vectors**2).sum(axis=-1)
    motion = displacements(numbers, model.rms_displacement)[inside]
    total = np.zeros(squared.shape, dtype=np.complex128)
    for number in np.unique(kinds):
        of_kind = kinds == number
        structure_factor = waves(h, -fractional[0, of_kind]) @ waves(k, -fractional[1, of_kind]).T
        smeared = np.exp(-2 * (np.pi * motion[of_kind][0]) ** 2 * squared)
        total += structure_factor * smeared * scattering_factor(int(number), squared)
    per_area = interaction_parameter(model.beam_energy) * BORN / lattice.area
    return np.asarray(total * per_area * source_transfer(model.blur, squared=squared))
