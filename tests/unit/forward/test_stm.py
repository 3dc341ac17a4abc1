"""STM images from densities of states: heights, lattices, tips, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from htinvert.core import EvaluationFailed, UserError
from htinvert.density.grid import Density, GivenDensity, decay, valence_electrons
from htinvert.forward.stm import Stm
from htinvert.forward.stm_atoms import DECAY, AtomDensity
from htinvert.forward.stm_surface import find_slab, round_tip, voxel_isosurface

KAPPA = 1.1  # 1/Å
HEXAGONAL = np.array([[6.0, 0.0, 0.0], [-3.0, 3.0 * np.sqrt(3), 0.0], [0.0, 0.0, 24.0]])


def relief(x, y, cell):
    """A smooth periodic height [Å] at Cartesian places, low harmonics of a lattice."""
    one, two = np.linalg.inv(cell[:2, :2]).T @ np.array([np.ravel(x), np.ravel(y)])
    wave = (
        np.cos(2 * np.pi * one)
        + 0.6 * np.cos(2 * np.pi * two)
        + 0.3 * np.sin(2 * np.pi * (one + two))
    )
    return 0.2 * wave.reshape(np.shape(x))


def exponential(cell, counts, *, lattice=HEXAGONAL, top=8.0, turn=0.0):
    """A density exp(-2 kappa (z - relief)), the relief's lattice turned by an angle [degrees]."""
    cell = np.array(cell, dtype=float)
    i, j = np.meshgrid(*(np.arange(n) / n for n in counts[:2]), indexing="ij")
    x, y = np.moveaxis(np.stack([i, j], axis=-1) @ cell[:2, :2], -1, 0)
    angle = np.radians(-turn)
    x, y = x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)
    z = np.arange(counts[2]) * cell[2, 2] / counts[2] - top
    values = np.exp(-2 * KAPPA * (z - relief(x, y, lattice)[..., None]))
    values[:, :, z < -2] = 1.0
    values = np.minimum(values, 2e-3)  # less than gold's electrons in all
    atoms = Atoms("Au", positions=[[0, 0, top]], cell=cell, pbc=True)
    return Density(values[None].astype(np.float32), atoms, (0.0, 1.0))


def image(density, **parameters):
    settings = {"isovalue": 1e-4, "above": 8.0, "sampling": 0.3, "shape": (40, 50)} | parameters
    return Stm(density=GivenDensity(density), **settings)(density.atoms).data


def test_heights_over_an_exponential_density_are_right_to_a_ten_thousandth_of_a_spacing():
    density = exponential(HEXAGONAL, (24, 24, 200))
    model = Stm(density=GivenDensity(density), isovalue=1e-4, above=8.0)
    heights, cell = model.heights(density.atoms)
    i, j = np.meshgrid(*(np.arange(24) / 24,) * 2, indexing="ij")
    x, y = np.moveaxis(np.stack([i, j], axis=-1) @ cell, -1, 0)
    analytic = -np.log(1e-4) / (2 * KAPPA) + relief(x, y, HEXAGONAL)
    assert np.abs(heights - analytic).max() < 1e-4 * 24.0 / 200


def test_a_hexagonal_cell_and_a_turned_rectangular_one_of_the_same_surface_agree():
    oblique = exponential(HEXAGONAL, (60, 60, 200))
    turn = 37.0
    angle = np.radians(turn)
    rotation = np.array(
        [[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    rectangular = HEXAGONAL.copy()
    rectangular[1] = 2 * HEXAGONAL[1] + HEXAGONAL[0]
    upright = exponential(rectangular @ rotation, (60, 100, 200), turn=turn)
    first = image(oblique, rotation=turn)
    middle = (oblique.atoms.cell.sum(axis=0) @ rotation - upright.atoms.cell.sum(axis=0)) / 2
    second = image(upright, shift_x=-middle[0], shift_y=middle[1])
    assert np.ptp(first) > 0.3
    assert np.abs(first - second).max() < 1e-3  # Å


def test_an_image_lies_where_its_view_says():
    density = exponential(HEXAGONAL, (40, 40, 200))
    for mirror in (False, True):
        model = Stm(
            density=GivenDensity(density), isovalue=1e-4, above=8.0, sampling=0.3, shape=(41, 51),
            rotation=25.0, shear_x=0.1, stretch_y=-0.1, shift_x=0.7, mirror=mirror,
        )  # fmt: skip
        sign = -1 if mirror else 1
        places = np.array([[1.3, 0.7, 9.0], [-2.0, 1.1, 9.0]])
        for place in places:
            row, column = model.view(density.atoms).pixels((place * [sign, 1, 1])[None])[0]
            moved = Stm(**{**vars(model), "shape": (1, 1),
                           "shift_x": model.shift_x - (column - 25) * 0.3,
                           "shift_y": -(row - 20) * 0.3})  # fmt: skip
            found = float(moved(density.atoms).data[0, 0])
            expected = -np.log(1e-4) / (2 * KAPPA) + relief(place[0], place[1], HEXAGONAL)
            assert found == pytest.approx(float(np.squeeze(expected)), abs=1e-3)


def test_blur_is_that_of_the_image_however_the_scan_is_distorted():
    from scipy.ndimage import gaussian_filter

    density = exponential(HEXAGONAL, (40, 40, 200))
    distorted = {"rotation": 20.0, "stretch_x": 0.2, "shear_x": 0.15, "shape": (121, 121)}
    sharp = image(density, **distorted)
    sigma = 3.0  # px
    blurred = image(density, **distorted, blur=sigma * 0.3 * 2 * np.sqrt(2 * np.log(2)))
    expected = gaussian_filter(sharp.astype(float), sigma, truncate=6)
    inner = np.s_[20:-20, 20:-20]
    assert np.abs(blurred[inner] - expected[inner]).max() < 1e-4


def test_constant_height_gives_the_density_there():
    density = exponential(HEXAGONAL, (24, 24, 100))
    model = Stm(density=GivenDensity(density), mode="constant_height", height=3.3)
    values, _ = model.heights(density.atoms)
    expected = np.exp(-2 * KAPPA * (3.3 - relief(0.0, 0.0, HEXAGONAL)))
    assert values[0, 0] == pytest.approx(float(np.squeeze(expected)), rel=1e-5)


def test_the_isosurface_of_voxels_depends_on_its_tolerance_and_the_interpolated_one_does_not():
    density = exponential(HEXAGONAL, (24, 24, 200))
    slab, values = find_slab(density.atoms), density.values[0]
    exact, _ = Stm(density=GivenDensity(density), isovalue=1e-3, above=8.0).heights(density.atoms)
    limits = {"below": 2.0, "above": 8.0}
    tight, loose = (
        voxel_isosurface(values, slab, isovalue=1e-3, tolerance=part * 1e-3, **limits) - exact
        for part in (0.15, 0.9)
    )
    step = 24.0 / 200
    assert np.abs(tight).max() <= 1.0 * step
    assert loose.mean() == pytest.approx(np.log(10) / (2 * KAPPA), abs=step)  # where 0.1 iso is


def test_a_round_tip_widens_a_bump_by_the_sphere_over_it():
    heights = np.zeros((80, 80))
    heights[40, 40] = 1.0
    cell = np.array([[8.0, 0.0], [0.0, 8.0]])
    found = round_tip(heights, cell, radius=2.0)
    for distance in (0.5, 1.0, 1.5):
        expected = max(1.0 + np.sqrt(4.0 - distance**2) - 2.0, 0.0)
        assert found[40, 40 + round(distance * 10)] == pytest.approx(expected, abs=1e-12)
    assert found.max() == 1.0
    assert found[0, 0] == 0.0


def test_a_bias_window_sums_its_intervals():
    density = exponential(HEXAGONAL, (12, 12, 100))
    three = np.concatenate([density.values, 2 * density.values, 4 * density.values])
    split = Density(three, density.atoms, (-1.0, 0.0, 1.0, 2.0))
    assert np.allclose(split.between(0.0, 2.0), 6 * density.values[0])
    assert np.allclose(split.between(0.5, 1.0), density.values[0])
    assert np.allclose(split.between(None, None), 7 * density.values[0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bias_high": 2.0, "bias_low": 0.0}, "outside the computed bands, 0 to 1 eV"),
        ({"above": 0.3, "below": -0.2}, "planes of the grid"),
        ({"mode": "constant_height", "height": 20.0}, "go lower"),
    ],
)
def test_what_a_density_does_not_hold_is_refused_in_one_sentence(change, words):
    density = exponential(HEXAGONAL, (12, 12, 100))
    with pytest.raises(UserError, match=words) as caught:
        image(density, **change)
    assert "\n" not in str(caught.value)


def test_an_isovalue_that_is_met_nowhere_or_at_once_fails():
    density = exponential(HEXAGONAL, (12, 12, 100))
    with pytest.raises(EvaluationFailed, match="where the tip starts"):
        image(density, isovalue=1e-11)
    with pytest.raises(EvaluationFailed, match="no density of 500"):
        image(density, isovalue=500.0)


def slab_at(*heights, length=20.0):
    places = [[0.0, 0.0, z] for z in heights]
    return Atoms(f"Cu{len(heights)}", positions=places, cell=[3, 3, length], pbc=True)


@pytest.mark.parametrize(
    ("atoms", "words"),
    [
        (slab_at(0, 4, 8, 12, 16), "has no vacuum: the widest gap .* is 4.0 Å"),
        (slab_at(0, 2, 17), "cut by the cell's face: its vacuum lies inside, from 2.0 to 17.0"),
        (slab_at(0, 2, 17, length=-20.0), "along z"),
        (Atoms(cell=[3, 3, 20], pbc=True), "without atoms"),
    ],
)
def test_a_cell_without_a_surface_is_refused(atoms, words):
    with pytest.raises(UserError, match=words):
        find_slab(atoms)


def test_a_density_of_all_electrons_is_refused():
    density = exponential(HEXAGONAL, (12, 12, 100))
    total = Density(density.values, density.atoms, (), "total")
    with pytest.raises(UserError, match="all electrons"):
        image(total)
    heavy = Density(density.values * 50, density.atoms)  # more than gold's 11 electrons
    with pytest.raises(UserError, match="all electrons"):
        image(heavy)


def test_a_model_without_a_density_says_what_to_give():
    with pytest.raises(UserError, match="use: gpaw"):
        Stm(sampling=0.3, shape=(8, 8))(slab_at(5, 7))


def test_atoms_alone_decay_with_the_work_function_and_say_that_they_are_approximate():
    density = AtomDensity(work_function=4.7)(slab_at(0, 2, 4))
    assert density.kind == "approximate"
    assert density.method.startswith("approximate")
    top, length = density.atoms.positions[:, 2].max(), density.atoms.cell.array[2, 2]
    rate, reach = decay(density.values[0], top, length)
    twice = 2 * DECAY * np.sqrt(4.7)  # the plane average of exp(-2 kappa d) is known in closed form
    assert rate == pytest.approx(twice - 1 / (2.0 + 1 / twice), rel=0.02)
    assert reach > 5.0
    heights, _ = Stm(density=AtomDensity(), isovalue=1e-4).heights(slab_at(0, 2, 4))
    assert np.unravel_index(heights.argmax(), heights.shape) == (0, 0)  # the atom is the bump


def test_valence_electrons_are_those_outside_of_closed_shells():
    known = {"H": 1, "O": 6, "Si": 4, "Cu": 11, "Ga": 3, "Te": 6, "Au": 11, "Pb": 4}
    found = {symbol: valence_electrons(Atoms(symbol)) for symbol in known}
    assert found == known
