"""Pixel size, shear and rotation from a known crystal: true within what is stated, or refused."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import mx2
from rich.console import Console
from scipy.ndimage import map_coordinates

from htinvert.core import Signal, UserError
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.image.calibration.calibrate import Calibration, calibrate
from htinvert.image.calibration.grains import misorientation
from htinvert.image.calibration.lattice import decompose
from htinvert.image.calibration.spots import find_spots
from htinvert.image.calibration.zone import low_index_patterns, pattern
from htinvert.report.calibration import report
from htinvert.structures.prototype import prototype

Case = tuple[Atoms, tuple[int, int, int], float]  # crystal, zone axis, its symmetry [degrees]

CDTE = prototype("CdTe", crystal="zincblende", a=6.48, cubic=True)
GOLD = prototype("Au", crystal="fcc", a=4.078, cubic=True)
SILICON = prototype("Si", crystal="diamond", a=5.431, cubic=True)
SRO = prototype("SrO", crystal="rocksalt", a=5.16, cubic=True)
MG = prototype("Mg", crystal="hcp", a=3.21, c=5.21)
CASES: list[Case] = [
    (CDTE, (1, 1, 0), 180),
    (SILICON, (1, 1, 0), 180),
    (GOLD, (1, 1, 0), 180),
    (SRO, (1, 0, 0), 90),
    (MG, (0, 0, 1), 60),
]


def micrograph(
    atoms: Atoms,
    zone: tuple[int, int, int],
    rng: np.random.Generator,
    *,
    size: int = 256,
    noise: float = 0.3,
    jitter: float = 0.0,
    **distortion: float,
) -> np.ndarray:
    """Image of a crystal at 0.16 Å/px with noise [of the mean] and displaced rows [px, rms]."""
    beam = np.array(zone) @ atoms.cell.array
    up = (0.0, 1.0, 0.0) if abs(beam[2]) > 0.1 else (0.0, 0.0, 1.0)
    simulate = StemConvolution(
        sampling=0.16, shape=(size, size + 16), beam=tuple(beam), up=up, **distortion
    )
    image = simulate(atoms).data.astype(float)
    rows, columns = np.indices((size, size)).astype(float)
    columns += 8 + rng.normal(0, jitter, (size, 1)) if jitter else 8
    image = map_coordinates(image, [rows, columns], order=5)
    image /= image.mean()
    return image + rng.normal(0, noise, image.shape)


def values(found: Calibration) -> np.ndarray:
    return np.array([*found.sampling[::-1], found.shear_x, found.rotation])


def sigmas(found: Calibration) -> np.ndarray:
    return np.array([*found.sampling_sigma[::-1], found.shear_sigma, found.rotation_sigma])


@pytest.mark.parametrize("seed", range(15))  # every crystal with every jitter
def test_a_known_distortion_is_recovered_within_the_stated_uncertainty(seed: int) -> None:
    """Four numbers at three sigma in 15 cases: one miss is expected in 6 such suites."""
    rng = np.random.default_rng(seed)
    atoms, zone, period = CASES[seed % len(CASES)]
    stretch_x, stretch_y, shear_x = rng.uniform(-0.05, 0.05, 3)
    rotation = rng.uniform(-90, 90)
    image = micrograph(
        atoms,
        zone,
        rng,
        jitter=(0.0, 0.1, 0.3)[seed % 3],
        stretch_x=stretch_x,
        stretch_y=stretch_y,
        shear_x=shear_x,
        rotation=rotation,
    )
    found = calibrate(Signal.image(image, 0.16), atoms, zone=zone)
    truth = np.array([0.16 / (1 + stretch_x), 0.16 / (1 + stretch_y), shear_x, rotation])
    error = values(found) - truth
    error[3] = (error[3] + period / 2) % period - period / 2
    assert np.all(np.abs(error) < 3 * sigmas(found))
    assert np.all(np.abs(error[:2] / truth[:2]) < 3e-3)
    assert found.match.share > 0.99


def test_stated_uncertainties_are_not_far_too_large() -> None:
    """Six images of one lattice scatter by as much as each says, within a factor of 2.5."""
    found = [
        calibrate(
            Signal.image(micrograph(GOLD, (1, 1, 0), np.random.default_rng(i), jitter=0.2), 0.16),
            GOLD,
            zone=(1, 1, 0),
        )
        for i in range(6)
    ]
    scatter = np.std([values(one) for one in found], axis=0)
    stated = np.mean([sigmas(one) for one in found], axis=0)
    assert np.all(stated < 2.5 * scatter + 1e-5) and np.all(scatter < 2.5 * stated)


def test_displaced_rows_make_the_shear_less_sure() -> None:
    """All spots tilt together, so that their residuals alone could not tell."""
    still, shaken = (
        calibrate(
            Signal.image(micrograph(SRO, (1, 0, 0), np.random.default_rng(3), jitter=jitter), 0.16),
            SRO,
            zone=(1, 0, 0),
        )
        for jitter in (0.0, 0.6)
    )
    assert shaken.shear_sigma > 2 * still.shear_sigma


def test_the_parameters_show_the_crystal_as_in_the_image() -> None:
    distortion = {"stretch_x": 0.03, "stretch_y": -0.02, "shear_x": 0.02, "rotation": 17.0}
    rng = np.random.default_rng(0)
    atom = GOLD.cell.sum(axis=0) / 2  # the window's center: keep an atom there
    centered = GOLD.copy()
    centered.positions += atom - centered.positions[0]
    image = micrograph(centered, (1, 1, 0), rng, noise=0.0, **distortion)
    found = calibrate(Signal.image(image, 0.16), centered, zone=(1, 1, 0))
    again = StemConvolution(shape=image.shape, **found.parameters)(centered).data
    assert np.corrcoef(image.ravel(), again.ravel())[0, 1] > 0.999
    assert found.stretch == pytest.approx((-0.02, 0.03), abs=1e-3)


def test_a_wrong_zone_axis_is_refused_and_the_right_one_named() -> None:
    image = Signal.image(micrograph(CDTE, (1, 1, 0), np.random.default_rng(1)), 0.165)
    with pytest.raises(UserError, match=r"do not fit CdTe \[111\].*CdTe \[110\] fits better"):
        calibrate(image, CDTE, zone=(1, 1, 1))


def test_a_wrong_phase_is_refused_and_the_right_one_named() -> None:
    image = Signal.image(micrograph(CDTE, (1, 1, 0), np.random.default_rng(1)), 0.165)
    with pytest.raises(UserError, match=r"do not fit Au \[110\].*CdTe \[110\] fits better"):
        calibrate(image, GOLD, zone=(1, 1, 0), others={"CdTe": CDTE})


def test_a_header_far_off_is_refused_with_the_size_that_would_fit() -> None:
    image = Signal.image(micrograph(CDTE, (1, 1, 0), np.random.default_rng(1)), 0.25)
    with pytest.raises(UserError, match=r"CdTe \[110\] would at 0.1(6|599)"):
        calibrate(image, CDTE, zone=(1, 1, 0))
    found = calibrate(image, CDTE, zone=(1, 1, 0), tolerance=None)
    assert found.sampling == pytest.approx((0.16, 0.16), rel=1e-3)
    assert "header was not used" in found.sentence


def test_nets_that_differ_by_their_size_alone_are_called_ambiguous() -> None:
    """The spots of Mg along c are a hexagonal net, as are those of silicon along [111]."""
    image = Signal.image(micrograph(MG, (0, 0, 1), np.random.default_rng(2)), 0.165)
    found = calibrate(image, MG, zone=(0, 0, 1), others={"Si": SILICON})
    assert any(other.pattern.name == "Si [111]" for other in found.ambiguous)
    assert "Si [111]" in found.evidence and "known beforehand" in found.evidence


@pytest.mark.parametrize("angle", range(0, 60, 7))
def test_three_waves_of_one_length_are_a_hexagonal_net_at_any_angle(angle: int) -> None:
    """All spots on one ring say nothing of how amplitudes fade; they fit all the same."""
    spacing, step = 5.431 / np.sqrt(8), 0.16
    y, x = np.indices((256, 256)) * step
    turns = np.radians(angle + np.array([0, 60, 120]))
    image = 3 + sum(np.cos(2 * np.pi * (x * np.cos(t) + y * np.sin(t)) / spacing) for t in turns)
    found = calibrate(Signal.image(image, 1.02 * step), SILICON, zone=(1, 1, 1))
    assert found.sampling == pytest.approx((step, step), rel=1e-4)
    assert (found.rotation + angle + 30) % 60 == pytest.approx(30, abs=0.1)  # down is positive


def bicrystal(case: Case, seed: int, angles: tuple[float, float], **distortion: float) -> Signal:
    """Two grains side by side."""
    rng = np.random.default_rng(seed)
    atoms, zone, _ = case
    left, right = (micrograph(atoms, zone, rng, rotation=a, **distortion) for a in angles)
    left[:, 128:] = right[:, 128:]
    return Signal.image(left, 0.16)


@pytest.mark.parametrize("number", range(len(CASES)))
def test_both_of_two_grains_are_found(number: int) -> None:
    atoms, zone, period = CASES[number]
    angles = (12.0 - 7 * number, 55.0 + 3 * number)
    distortion = {"stretch_x": 0.02, "stretch_y": -0.01, "shear_x": 0.01}
    found = calibrate(bicrystal(CASES[number], number, angles, **distortion), atoms, zone=zone)
    assert found.second is not None
    between = abs((angles[1] - angles[0] + period / 2) % period - period / 2)
    # turned before the image is distorted, so measured with the distortion taken out
    assert misorientation(found.match, found.second) == pytest.approx(between, abs=1.0)
    assert f"{misorientation(found.match, found.second):.1f} degrees from the first" in (
        found.evidence
    )
    truth = np.array([0.16 / 1.02, 0.16 / 0.99])
    assert values(found)[:2] == pytest.approx(truth, rel=0.01)


@pytest.mark.parametrize("number", range(len(CASES)))
def test_two_grains_of_another_phase_are_refused(number: int) -> None:
    """Two lattices could be laid over more spots than one; the wrong crystal gets neither."""
    wrong, zone, _ = CASES[(number + 1) % len(CASES)]
    with pytest.raises(UserError, match="do not fit"):
        calibrate(bicrystal(CASES[number], 20 + number, (-20.0, 33.0)), wrong, zone=zone)


def test_one_crystal_has_no_second_grain() -> None:
    image = Signal.image(micrograph(CDTE, (1, 1, 0), np.random.default_rng(1)), 0.165)
    assert calibrate(image, CDTE, zone=(1, 1, 0)).second is None


def test_a_region_shows_one_of_two_grains() -> None:
    rng = np.random.default_rng(5)
    image = micrograph(CDTE, (1, 1, 0), rng, rotation=10.0)
    image[:, 160:] = micrograph(CDTE, (1, 1, 0), rng, rotation=45.0)[:, 160:]
    signal = Signal.image(image, 0.16)
    both = calibrate(signal, CDTE, zone=(1, 1, 0))
    one = calibrate(signal, CDTE, zone=(1, 1, 0), region=(0, 256, 0, 160))
    assert 0.5 < both.match.share < 0.95 < one.match.share
    assert one.second is None and both.second is not None
    assert both.rotation == pytest.approx(10, abs=0.5)
    assert misorientation(both.match, both.second) == pytest.approx(35, abs=0.5)
    assert any(spot.second for spot in both.residuals)


def test_spots_that_are_near_by_chance_do_not_fit() -> None:
    """A lattice with spots everywhere explains anything, but loosely."""
    rng = np.random.default_rng(8)
    y, x = np.indices((256, 256))
    waves = rng.uniform(-0.2, 0.2, (24, 2))
    image = sum(np.cos(2 * np.pi * (fx * x + fy * y)) for fx, fy in waves)
    with pytest.raises(UserError, match="do not fit"):
        calibrate(Signal.image(np.asarray(image), 0.16), CDTE, zone=(1, 1, 0), tolerance=None)


def test_noise_alone_has_no_lattice() -> None:
    image = np.random.default_rng(0).normal(0, 1, (256, 256))
    with pytest.raises(UserError, match="too few"):
        calibrate(Signal.image(image, 0.16), CDTE, zone=(1, 1, 0))


def test_a_region_outside_of_the_image_is_refused() -> None:
    with pytest.raises(UserError, match="does not fit the image"):
        calibrate(Signal.image(np.ones((64, 64)), 0.2), CDTE, zone=(1, 1, 0), region=(0, 99, 0, 9))


def test_a_small_image_is_refused() -> None:
    with pytest.raises(UserError, match="too small"):
        calibrate(Signal.image(np.ones((16, 64)), 0.2), CDTE, zone=(1, 1, 0))


def test_an_image_of_one_value_is_refused() -> None:
    with pytest.raises(UserError, match="one value"):
        calibrate(Signal.image(np.ones((64, 64)), 0.2), CDTE, zone=(1, 1, 0))


def test_a_scale_bar_and_a_frame_leave_no_false_spots() -> None:
    image = micrograph(GOLD, (1, 1, 0), np.random.default_rng(4))
    image[236:242, 20:100] = 2 * image.max()
    image[:2] = image[:, :2] = 0
    found = calibrate(Signal.image(image, 0.16), GOLD, zone=(1, 1, 0))
    assert found.match.share > 0.99
    assert found.sampling == pytest.approx((0.16, 0.16), rel=1e-3)


def test_a_plane_wave_is_found_between_the_spectrums_pixels() -> None:
    y, x = np.indices((96, 128))
    spots = find_spots(np.cos(2 * np.pi * (0.1234 * x - 0.0567 * y)))
    assert len(spots.power) == 1
    assert spots.frequency[0] == pytest.approx([0.1234, -0.0567], abs=2e-5)


def test_forbidden_reflections_are_left_out() -> None:
    """Diamond: 200 and 222 vanish; zincblende shows them weakly."""
    indices = {tuple(hkl) for hkl in pattern(SILICON, (1, 1, 0), name="Si").indices.tolist()}
    assert (-1, 1, 1) in indices and (0, 0, 2) not in indices and (-2, 2, 2) not in indices
    zincblende = {tuple(hkl) for hkl in pattern(CDTE, (1, 1, 0), name="CdTe").indices.tolist()}
    assert (0, 0, 2) in zincblende and (0, 0, 1) not in zincblende


def test_a_cubic_crystal_has_six_different_zone_axes_of_low_index() -> None:
    names = {p.name for p in low_index_patterns(GOLD, name="Au")}
    assert names == {f"Au [{i}]" for i in ("100", "110", "111", "210", "211", "221")}


def test_a_monolayer_is_seen_from_above_only() -> None:
    layer = mx2("MoS2", a=3.16, thickness=3.17)
    (only,) = low_index_patterns(layer, name="MoS2")
    assert only.zone == (0, 0, 1)
    assert 1 / only.lengths[0] == pytest.approx(3.16 * np.sqrt(3) / 2)


def test_a_zone_axis_of_zeros_is_refused() -> None:
    with pytest.raises(UserError, match="no direction"):
        pattern(GOLD, (0, 0, 0), name="Au")


def test_the_decomposition_inverts_the_models_order_rotate_shear_stretch() -> None:
    angle, shear, px, py = np.radians(25.0), 0.03, 0.2, 0.21
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    toward = np.diag([1 / px, 1 / py]) @ np.array([[1, shear], [0, 1]]) @ turn
    assert decompose(np.linalg.inv(toward).T) == pytest.approx([px, py, shear, 25.0])


def test_the_report_prints_every_residual_and_draws_the_lattice(tmp_path: Path) -> None:
    image = Signal.image(micrograph(CDTE, (1, 1, 0), np.random.default_rng(1)), 0.165)
    text = StringIO()
    picture = tmp_path / "calibration.png"
    console = Console(file=text, width=120)
    found = report(image, CDTE, zone=(1, 1, 0), picture=picture, console=console)
    assert picture.stat().st_size > 20_000
    printed = text.getvalue()
    assert printed.count("│") >= 7 * len(found.residuals)
    assert "0.165 was 3.1% too large along x" in " ".join(printed.split())
