"""Calibrate published micrographs, whose headers are known to be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import mx2

from htinvert.core import Signal, UserError
from htinvert.image.calibration.calibrate import calibrate
from htinvert.image.calibration.grains import misorientation
from htinvert.structures.prototype import prototype

CDTE = prototype("CdTe", crystal="zincblende", a=6.48, cubic=True)
TWIN_HEADER = 0.20217  # Å/px, from the microscope's file


@pytest.fixture(scope="module")
def mos2_image(shared_data: Path) -> Signal:
    """HAADF image of MoS2 with its header's pixel size."""
    with np.load(shared_data / "mos2-se" / "MoS2_Se_implanted_haadf.npz") as file:
        return Signal.image(file["image"].astype(float), float(file["pixel_size_angstrom"]))


@pytest.fixture(scope="module")
def mos2() -> Atoms:
    return mx2("MoS2", a=3.16, thickness=3.17)


def test_mos2_has_larger_pixels_than_its_header_says(mos2_image: Signal, mos2: Atoms) -> None:
    """By hand, spots measured at 2.52 to 2.64 Å belong at 2.737 Å: 4 to 8 %."""
    found = calibrate(mos2_image, mos2, zone=(0, 0, 1))
    longer = np.array(found.sampling) / mos2_image.sampling - 1
    assert np.all((longer > 0.04) & (longer < 0.08))
    assert max(found.sampling_sigma) < 0.003 * min(found.sampling)
    assert found.match.share > 0.99


def test_mos2_spots_lie_on_the_calibrated_lattice(mos2_image: Signal, mos2: Atoms) -> None:
    """An image of 7 nm fixes a spot to some hundredths of 1/69 1/Å; spacings to 0.2 %."""
    found = calibrate(mos2_image, mos2, zone=(0, 0, 1))
    assert len(found.residuals) >= 9
    assert all(spot.explained and spot.pixels < 0.1 for spot in found.residuals)
    assert all(abs(spot.spacing / spot.ideal - 1) < 2e-3 for spot in found.residuals)


def test_mos2_is_not_cdte_and_the_sentence_says_what_it_is(mos2_image: Signal, mos2: Atoms) -> None:
    with pytest.raises(UserError, match=r"do not fit CdTe \[110\].*MoS2 \[001\] fits better"):
        calibrate(mos2_image, CDTE, zone=(1, 1, 0), others={"MoS2": mos2})


def test_a_hexagonal_net_of_another_size_needs_the_header(mos2_image: Signal, mos2: Atoms) -> None:
    """CdTe [111] explains the same spots with pixels 11 % smaller than the header's."""
    found = calibrate(mos2_image, mos2, zone=(0, 0, 1), others={"CdTe": CDTE})
    assert [other.pattern.name for other in found.ambiguous] == ["CdTe [111]"]


def test_the_twins_patch_is_cdte_along_110(shared_data: Path) -> None:
    """Two grains, 30 x 40 Å, turned in the plane: some per cent from the header, not alike."""
    patch = np.load(shared_data / "cdte-twin" / "best_patch_experiment.npy").astype(float)
    image = Signal.image(patch, TWIN_HEADER)
    found = calibrate(image, CDTE, zone=(1, 1, 0))
    assert all(abs(new / TWIN_HEADER - 1) < 0.05 for new in found.sampling)
    assert found.match.share > 0.8
    with pytest.raises(UserError, match=r"CdTe \[110\] fits better"):
        calibrate(image, CDTE, zone=(1, 0, 0))


def test_the_twins_header_is_wrong_along_one_direction(shared_data: Path) -> None:
    """By hand: factors 0.96 to 0.99 and anisotropic, that is pixels up to 4 % larger."""
    reader = pytest.importorskip("rsciio.digitalmicrograph", reason="needs rosettasciio")
    (signal,) = reader.file_reader(str(shared_data / "cdte-twin" / "HAADF26.dm3"))
    image = Signal.image(signal["data"].astype(float), TWIN_HEADER)
    found = calibrate(image, CDTE, zone=(1, 1, 0))
    y, x = (new / TWIN_HEADER for new in found.sampling)
    assert 1.0 < x < 1.02 < y < 1.045
    assert found.match.share > 0.8
    # Sigma 3 twins of cubic crystals: 70.53 degrees about <110>
    assert found.second is not None
    assert misorientation(found.match, found.second) == pytest.approx(70.53, abs=0.5)
