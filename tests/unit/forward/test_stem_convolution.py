"""Incoherent images against Kirkland's incostem and against what geometry demands."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose

from htinvert.core import UserError
from htinvert.forward.cross_section import cross_section
from htinvert.forward.stem_convolution import StemConvolution, columns_of

FLOAT32 = 3e-7  # relative round-off of a Signal
SIGMA_CD = {200e3: 0.0019049149, 100e3: 0.00509301}  # Å², incostem's own

ROWS = {  # parameters; maximum, minimum, pixels (36, 48) and (32, 56) of incostem, (ix, iy)
    "src 1": ({}, 1.267707e-3, 1.9517e-7, 1.095652e-3, 7.131330e-4),
    "src 0": ({"source_size": 0.0}, 8.595928e-3, 0.0, 3.179633e-3, 3.718447e-6),
    "src 1.75": ({"source_size": 1.75}, 4.715947e-4, 3.3624e-7, 4.477192e-4, 3.834949e-4),
    "df 100": (
        {"source_size": 0.5, "defocus": 100.0},
        9.863319e-5, 4.3169e-7, 8.886043e-5, 7.878622e-5,
    ),
    "df -50": (
        {"source_size": 0.5, "defocus": -50.0},
        4.073319e-4, 1.6442e-7, 3.245493e-4, 3.942416e-4,
    ),
    "Cs 1.2 mm": (
        {"source_size": 0.0, "spherical_aberration": 1.2e7, "defocus": 450.0, "semiangle": 10.5},
        3.539362e-4, 1.7346e-9, 3.316628e-4, 2.732458e-4,
    ),
    "ddf 60": (
        {"source_size": 0.8, "defocus": 20.0, "defocus_spread": 60.0},
        1.149650e-3, 1.8285e-7, 9.728701e-4, 6.039910e-4,
    ),
    "100 kV": (
        {"beam_energy": 100e3, "semiangle": 25.0},
        2.594475e-3, 1.7724e-6, 2.308890e-3, 1.644432e-3,
    ),
}  # fmt: skip


def from_corner(shape, sampling, **parameters):
    """A model along z whose image, flipped and transposed, is indexed (ix, iy) from the origin."""
    center = tuple((size - 1) / 2 * step for size, step in zip(shape, sampling, strict=True))
    return StemConvolution(
        sampling=sampling, shape=shape, beam="z", up="y", center=center, **parameters
    )


def indexed_from_origin(signal):
    return signal.data[::-1].T.astype(float)


@pytest.fixture
def crystal():
    """Six atoms of three elements off every grid point in an orthogonal cell."""
    rng = np.random.default_rng(1)
    cell = [5.0, 7.3, 9.1]
    positions = rng.random((6, 3)) * cell
    return Atoms("CdTeCdTeSiAu", positions=positions, cell=cell, pbc=True)


@pytest.mark.parametrize("row", ROWS)
def test_single_atom_agrees_with_incostem(row):
    parameters, maximum, minimum, near, far = ROWS[row]
    atoms = Atoms("Cd", positions=[[2.0, 3.0, 1.0]], cell=[8, 10, 5], pbc=True)
    model = from_corner((160, 128), (0.0625, 0.0625), aperture="cell", **parameters)
    image = indexed_from_origin(model(atoms))
    # The cross-section has its own test; incostem's own one is put in here.
    ours = cross_section(48, beam_energy=model.beam_energy, inner=100, outer=150)
    image *= SIGMA_CD[model.beam_energy] / ours
    assert_allclose(image.max(), maximum, rtol=1e-5)
    assert_allclose(image[36, 48], near, rtol=1e-5)
    assert_allclose(image[32, 56], far, rtol=2e-5)  # src 0: incostem's float32 transform
    assert_allclose(image.min(), minimum, atol=1e-7 * maximum + 1e-4 * minimum)  # its float32 too


def test_cadmium_telluride_agrees_with_incostem():
    a = 6.482
    b = a / np.sqrt(2)
    positions = [[0, 0, 0], [0, a / 4, 0], [b / 2, a / 2, 0], [b / 2, 3 * a / 4, 0]]
    atoms = Atoms("CdTeCdTe", positions=positions, cell=[b, a, 5], pbc=True)
    model = from_corner((96, 64), (a / 96, b / 64), aperture="cell")
    image = indexed_from_origin(model(atoms))
    found = [image.max(), image.min(), image.mean(), image[0, 0], image[0, 24]]
    expected = [1.466239e-3, 1.94631e-5, 2.737661e-4, 1.296215e-3, 1.466239e-3]
    assert_allclose(found, expected, rtol=3e-5)  # 2.3e-5 of it is incostem's cross-section


@pytest.mark.parametrize("aperture", ["continuous", "cell"])
@pytest.mark.parametrize("defocus", [0.0, 80.0])
def test_image_integrates_to_the_sum_of_cross_sections(crystal, aperture, defocus):
    _, b, c = crystal.cell.lengths()
    shape = (96, 80)
    model = StemConvolution(
        sampling=(c / 96, b / 80), shape=shape, aperture=aperture, defocus=defocus, source_size=0.7
    )
    total = model(crystal).data.astype(float).sum() * (c / 96) * (b / 80)
    sigma = sum(
        cross_section(int(n), beam_energy=200e3, inner=100, outer=150) for n in crystal.numbers
    )
    assert total == pytest.approx(sigma, rel=FLOAT32)


def test_repeating_the_cell_changes_nothing(crystal):
    model = StemConvolution(
        sampling=0.2, shape=(90, 70), center=(3.0, 2.0), rotation=7.0, source_size=0.6
    )
    once, twice = model(crystal).data, model(crystal.repeat((1, 3, 2))).data
    assert_allclose(twice, once, atol=1e-5 * once.max())  # interpolation of the series


def test_repeating_the_cell_changes_nothing_exactly_when_aligned(crystal):
    model = StemConvolution(sampling=0.2, shape=(90, 70), center=(3.0, 2.0))
    once, twice = model(crystal).data, model(crystal.repeat((1, 3, 2))).data
    assert_allclose(twice, once, atol=FLOAT32 * once.max())


def test_thickness_adds_up(crystal):
    model = StemConvolution(sampling=0.25, shape=(40, 40), center=(3.0, 2.0))
    assert_allclose(model(crystal.repeat((4, 1, 1))).data, 4 * model(crystal).data, rtol=1e-5)


def test_shifting_atoms_by_a_fraction_of_a_pixel_is_the_shift_theorem(crystal):
    b, c = crystal.cell.lengths()[1:]
    shape = (64, 50)
    model = StemConvolution(sampling=(c / 64, b / 50), shape=shape)
    shifted = crystal.copy()
    shifted.translate([0.0, 0.3 * b / 50, 0.0])
    wave = np.exp(-2j * np.pi * np.fft.rfftfreq(50) * 0.3)
    expected = np.fft.irfft(np.fft.rfft(model(crystal).data.astype(float), axis=1) * wave, n=50)
    assert_allclose(model(shifted).data, expected, atol=1e-6 * expected.max())


@pytest.mark.parametrize(("axis", "shift"), [("x", [0, 0.37, 0]), ("y", [0, 0, -0.37])])
def test_shift_moves_the_specimen_right_and_down(crystal, axis, shift):
    model = StemConvolution(sampling=0.2, shape=(50, 40), center=(4.0, 3.0))
    moved = crystal.copy()
    moved.translate(shift)
    expected = model(moved).data
    found = replace(model, **{f"shift_{axis}": 0.37})(crystal).data
    assert_allclose(found, expected, atol=1e-6 * expected.max())


@pytest.fixture
def cluster():
    """Four free atoms around the middle of the image, (right, up) = (y, z)."""
    positions = [[0, 1.0, 0.5], [1, -2.0, 1.5], [0, 0.3, -2.2], [2, -1.1, -0.4]]
    return Atoms("Au4", positions=positions)


def about_origin(**parameters):
    return StemConvolution(sampling=0.15, shape=(81, 81), center=(0.0, 0.0), **parameters)


def test_rotation_turns_the_specimen_counter_clockwise(cluster):
    turned = cluster.copy()
    turned.rotate(25.0, "x")  # y toward z: right toward up
    expected = about_origin()(turned).data
    found = about_origin(rotation=25.0)(cluster).data
    assert_allclose(found, expected, atol=1e-4 * expected.max())  # a mesh's missing tails


def test_stretch_and_shear_act_on_column_positions(cluster):
    model = about_origin(stretch_x=0.06, stretch_y=-0.03, shear_x=0.02)
    image = model(cluster).data
    right, down = cluster.positions[:, 1], -cluster.positions[:, 2]
    columns = 40 + 1.06 * (right + 0.02 * down) / 0.15
    rows = 40 + 0.97 * down / 0.15
    for row, column in zip(rows, columns, strict=True):
        y, x = round(row), round(column)
        around = image[y - 3 : y + 4, x - 3 : x + 4].astype(float)
        dy, dx = np.mgrid[-3:4, -3:4]
        weight = around - around.min()
        found = (weight * dy).sum() / weight.sum() + y, (weight * dx).sum() / weight.sum() + x
        assert found == pytest.approx((row, column), abs=0.25)  # px; neighbors' tails


def test_distortion_equals_sampling_the_undistorted_image_elsewhere(crystal):
    """One pixel at a time: the image at p is the undistorted one at M^-1 p."""
    model = StemConvolution(
        sampling=0.2, shape=(21, 21), center=(4.0, 3.0), rotation=10.0, shear_x=0.03, stretch_y=0.05
    )
    found = model(crystal).data
    angle = np.radians(10.0)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    matrix = np.diag([1.0, 1.05]) @ np.array([[1.0, 0.03], [0.0, 1.0]]) @ turn
    for row, column in [(0, 0), (20, 3), (7, 19)]:
        right, down = np.linalg.solve(matrix, [(column - 10) * 0.2, (row - 10) * 0.2])
        pixel = StemConvolution(sampling=0.2, shape=(1, 1), center=(4.0 - down, 3.0 + right))
        assert found[row, column] == pytest.approx(
            pixel(crystal).data[0, 0], abs=1e-5 * float(found.max())
        )


def test_non_orthogonal_cell_equals_its_orthogonal_supercell():
    a, height = 3.2, 10.0
    cell = [[a, 0, 0], [a / 2, a * np.sqrt(3) / 2, 0], [0, 0, height]]
    hexagonal = Atoms(
        "MoS", scaled_positions=[[0.1, 0.2, 0.5], [0.43, 0.53, 0.6]], cell=cell, pbc=True
    )
    orthogonal = hexagonal.repeat((2, 2, 1))
    orthogonal = hexagonal + hexagonal
    orthogonal.positions[2:] += hexagonal.cell[1]
    orthogonal.set_cell([a, a * np.sqrt(3), height])
    model = StemConvolution(
        sampling=0.17, shape=(70, 90), beam="z", up="y", center=(1.0, 2.0), source_size=0.5
    )
    expected = model(orthogonal).data
    assert_allclose(model(hexagonal).data, expected, atol=FLOAT32 * expected.max())


def test_zone_axis_that_is_no_cell_vector(crystal):
    """Along [011] of a cubic cell the repeats are a and |b - c| / 2 after projection."""
    cubic = Atoms("Si", positions=[[0.4, 0.1, 0.9]], cell=[4, 4, 4], pbc=True)
    model = StemConvolution(sampling=0.2, shape=(40, 40), beam=(0, 1, 1), up="x", center=(0, 0))
    image = model(cubic).data
    beyond = replace(model, shift_y=4.0)(cubic).data
    assert_allclose(beyond, image, atol=1e-6 * image.max())


def test_free_atoms_are_not_repeated():
    atoms = Atoms("Au", positions=[[0, 0, 0]], cell=[5, 5, 5], pbc=False)
    model = StemConvolution(sampling=0.25, shape=(121, 121), center=(0.0, 0.0))
    image = model(atoms).data
    assert image[60, 60] == image.max()
    assert image[:, :20].max() < 1e-4 * image.max()


def test_partly_periodic_atoms_are_repeated_one_way_only():
    atoms = Atoms("Au", positions=[[0, 0, 0]], cell=[5, 5, 5], pbc=(False, True, False))
    image = StemConvolution(sampling=0.25, shape=(81, 81), center=(0.0, 0.0))(atoms).data
    assert_allclose(image[40, 20], image[40, 40], rtol=1e-4)
    assert image[20, 40] < 1e-3 * image[40, 40]


def test_free_and_periodic_images_agree_when_cells_are_far_apart():
    atoms = Atoms("Au", positions=[[20, 20, 20]], cell=[40, 40, 40], pbc=True)
    model = StemConvolution(sampling=0.2, shape=(60, 60), defocus=60.0, semiangle=25.0)
    free = atoms.copy()
    free.pbc = False
    expected = model(atoms).data
    assert_allclose(model(free).data, expected, atol=1e-4 * expected.max())


def test_aberrated_transfer_function_tends_to_the_ideal_one():
    atoms = Atoms("Au", positions=[[5, 5, 5]], cell=[10, 10, 10], pbc=True)
    model = StemConvolution(sampling=0.1, shape=(100, 100), source_size=0.0)
    ideal, nearly = model(atoms).data, replace(model, defocus=1e-6)(atoms).data
    assert_allclose(nearly, ideal, atol=1e-6 * ideal.max())


def test_continuous_aperture_is_the_limit_of_a_large_cell():
    atoms = Atoms("Au", positions=[[30, 30, 30]], cell=[60, 60, 60], pbc=True)
    model = StemConvolution(sampling=0.2, shape=(40, 40), defocus=30.0, spherical_aberration=1e4)
    exact = model(atoms).data
    assert_allclose(replace(model, aperture="cell")(atoms).data, exact, atol=3e-3 * exact.max())


def test_top_of_the_image_is_up(cluster):
    image = about_origin()(Atoms("Au", positions=[[0, 0, 3.0]])).data
    assert np.unravel_index(image.argmax(), image.shape) == (20, 40)


def test_right_of_the_image_is_up_cross_beam():
    image = about_origin()(Atoms("Au", positions=[[0, 3.0, 0]])).data  # z x x = y
    assert np.unravel_index(image.argmax(), image.shape) == (40, 60)


@pytest.mark.parametrize("missing", ["sampling", "shape"])
def test_what_the_image_should_have_told_is_asked_for(crystal, missing):
    model = replace(StemConvolution(sampling=0.2, shape=(20, 20)), **{missing: None})
    with pytest.raises(UserError, match=missing):
        model(crystal)


@pytest.mark.parametrize(
    "parameters",
    [
        {"source_size": -1.0},
        {"inner": 200.0},
        {"sampling": 0.0},
        {"shape": (0, 5)},
        {"up": "x"},
        {"beam": "north"},
        {"aperture": "square"},
        {"defocus": float("nan")},
    ],
)
def test_parameters_out_of_bounds_are_refused(parameters):
    with pytest.raises(ValueError, match="must|choose"):
        StemConvolution(**parameters)


def test_atoms_behind_each_other_are_one_column_and_none_is_lost() -> None:
    places = np.array([[1.0, -2.0], [3.0, 4.0], [1.0, -2.0], [1.0, -2.01]])
    found, weights = columns_of(places, np.array([1.0, 2.0, 4.0, 8.0]))
    assert {tuple(place): weight for place, weight in zip(found, weights, strict=True)} == {
        (1.0, -2.0): 5.0,
        (3.0, 4.0): 2.0,
        (1.0, -2.01): 8.0,
    }
