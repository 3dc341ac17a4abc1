"""Convergent-beam patterns of crystals: abTEM's answers, conservation, symmetry, motion."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms

from htinvert.core import Axis, Floats, Signal, UserError
from htinvert.forward import multislice
from htinvert.forward.cbed.cell import Cell, make_cell
from htinvert.forward.cbed.model import Cbed
from htinvert.forward.cbed.posterior import independent_points, posterior
from htinvert.forward.cbed.profile import inside, profile
from htinvert.forward.cbed.sites import kinds_of, mean_phase
from htinvert.forward.cbed.survey import survey
from htinvert.forward.cbed.table import scattering_table
from htinvert.forward.cross_section import (
    BORN,
    interaction_parameter,
    scattering_factor,
    wavelength,
)
from htinvert.forward.multislice import Supercell

A = 3.905  # Å
MRAD = wavelength(2e5) * 1e3
AXES = (Axis("ky", "mrad", 0.8, -20.0), Axis("kx", "mrad", 0.8, -20.0))
MODEL = Cbed(semiangle=10.0, thickness=120.0, step=0.8, axes=AXES, shape=(51, 51))
MOTION = {"Sr": 0.08, "Ti": 0.07, "O": 0.09}


def titanate() -> Atoms:
    places = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    return Atoms("SrTiO3", scaled_positions=places, cell=[A] * 3, pbc=True)


def static(band: float = 52.0) -> Cell:
    return make_cell(
        *(titanate(),),
        beam="z",
        up="y",
        beam_energy=2e5,
        rms_displacement=0.0,
        outer=band,
        slice_thickness=2.0,
    )


def summed(cell: Cell, periods: int, semiangle: float, divisions: int, outer: float) -> Floats:
    """The pattern of a hard aperture, shape (2 n + 1, 2 n + 1)."""
    table = scattering_table(
        cell,
        divisions=(divisions, divisions),
        reach=semiangle / MRAD,
        outer=outer / MRAD,
        periods=[periods],
    )
    weights = np.full(len(table.incoming), 1 / len(table.incoming))
    reach = int(outer / MRAD * A * divisions)
    return table.pattern(weights, table.values[0], (reach, reach))


def test_a_plane_wave_leaves_as_abtem_says() -> None:
    pytest.importorskip("abtem")
    cell, periods = static(42.5), 12  # no beam lies where abTEM's band limit tapers
    atoms = titanate().repeat((1, 1, periods))
    atoms.positions[:, 2] += A / 2 + 0.5  # TiO2 first
    atoms.wrap()
    slab = Supercell(
        *(atoms.numbers, atoms.positions, (A, A, A * periods)), cell.slices.shape[1:], 2 * periods
    )
    wave = multislice.exit_wave(slab, beam_energy=2e5)
    theirs = np.abs(np.fft.fft2(wave) / wave.size) ** 2
    table = scattering_table(
        cell, divisions=(1, 1), reach=1e-6, outer=cell.limit, periods=[periods]
    )
    _, x, y = table.entries.T
    ours = table.values[0]
    assert np.abs(ours - theirs[x, y]).max() < 1e-5, "in parts of the beam"
    assert abs(ours.sum() - theirs.sum()) < 1e-5


def test_all_that_leaves_is_all_that_came() -> None:
    narrow, wide = (summed(static(band), 8, 2.0, 1, band).sum() for band in (50.0, 100.0))
    assert 0.9 < narrow < wide < 1.0
    assert wide == pytest.approx(1.0, abs=0.02), "but for what the band does not hold"
    moving = make_cell(
        titanate(),
        beam="z",
        up="y",
        beam_energy=2e5,
        rms_displacement=0.08,
        outer=52.0,
        slice_thickness=2.0,
    )
    assert 0.8 < summed(moving, 8, 2.0, 1, 50.0).sum() < narrow, "some goes into diffuse scattering"


def test_a_pattern_has_the_symmetry_of_its_crystal() -> None:
    assert len(static().symmetries) == 8, "4mm"
    cell = replace(static(), symmetries=np.eye(2, dtype=int)[None])  # each direction by itself
    whole = summed(cell, 10, 8.0, 3, 30.0)
    for other in (whole.T, whole[::-1], np.rot90(whole)):
        assert np.abs(whole - other).max() < 1e-5 * whole.max()


def test_an_average_of_abtems_probes_is_a_sum_over_plane_waves() -> None:
    abtem = pytest.importorskip("abtem")
    cells, periods, pixels = 5, 8, 28  # atoms lie on pixels
    atoms = titanate().repeat((cells, cells, periods))
    atoms.positions[:, 2] += A / 2 + 0.5  # TiO2 first
    atoms.wrap()
    potential = abtem.Potential(
        atoms,
        gpts=pixels * cells,
        slice_thickness=A / 2,
        projection="infinite",
        parametrization="kirkland",
    )
    probe = abtem.Probe(energy=2e5, semiangle_cutoff=10.0, soft=False)
    probe.grid.match(potential)
    middle = A * cells / 2
    places = (np.arange(5) / 5 - 0.5) * A + middle
    scan = abtem.CustomScan(np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2))
    detector = abtem.PixelatedDetector(max_angle=20.0)
    theirs = probe.scan(potential, scan=scan, detectors=detector, lazy=False)
    average = np.asarray(theirs.array).mean(axis=0)
    ours = summed(static(59.8), periods, 10.0, cells, 32.0)
    n, m = len(average) // 2, len(ours) // 2
    part = ours[m - n :, m - n :][: len(average), : len(average)]
    assert np.abs(part - average).max() < 4e-3 * average.max(), "0.27 % in 7 x 7 cells"


def test_the_mean_wave_is_that_of_many_draws() -> None:
    atoms = titanate()
    labels, kinds = kinds_of(atoms, MOTION)
    phase = mean_phase(kinds, 2e5)
    k = np.fft.fftfreq(96, A / 96)
    squared = k[:, None] ** 2 + k**2
    ours = np.exp(1j * np.fft.ifft2(phase(int(labels[0]), squared)) * (96 / A) ** 2)
    rng = np.random.default_rng(0)
    scale = interaction_parameter(2e5) * BORN * (96 / A) ** 2
    drawn = np.zeros((96, 96), dtype=complex)
    for x, y in rng.normal(scale=MOTION["Sr"], size=(600, 2)):
        turn = np.exp(-2j * np.pi * (k[:, None] * x + k * y))
        drawn += np.exp(1j * np.fft.ifft2(scale * scattering_factor(38, squared) * turn).real) / 600
    assert np.abs(ours - drawn).max() < 0.06, "600 draws are good to 0.04 at the core"
    assert np.abs(ours[0, 0]) < 0.95, "the core loses what is scattered diffusely"


def test_a_shared_site_scatters_by_its_shares() -> None:
    mixed = titanate()
    mixed.set_array("spacegroup_kinds", np.arange(5))
    mixed.info["occupancy"] = {"0": {"Sr": 0.5, "La": 0.5}}
    pure, other = titanate(), titanate()
    other.numbers[0] = 57
    low, here, high = (replace(MODEL, thickness=60.0)(atoms).data for atoms in (pure, mixed, other))
    assert np.abs(here - 0.5 * (low + high)).max() < 0.4 * np.abs(high - low).max()
    assert np.abs(here - low).max() > 0.2 * np.abs(high - low).max()


def test_a_planted_thickness_is_found_in_an_unknown_instrument() -> None:
    atoms, rng = titanate(), np.random.default_rng(1)
    truth = replace(
        *(MODEL,), thickness=231.0, rotation=31.0, scale=0.93, center_x=0.2, tilt_x=0.4, blur=0.3
    )
    pattern = truth(atoms)
    counts = rng.poisson(4e5 * pattern.data + 40.0)
    observed = replace(pattern, data=counts.astype(np.float32))
    model = replace(MODEL, rms_displacement=0.08)
    first = survey(
        *(model, atoms, observed),
        thicknesses=np.arange(172.0, 300.0, 12.0),
        scales=(0.85, 0.89, 0.93, 0.97),
    )
    found = profile(first, atoms, observed)
    low, high = found.answer.interval()
    assert low < 231.0 < high and high - low < 24.0, found.answer.mean
    assert found.answer.determined and found.explained > 0.9
    assert found.best.scale == pytest.approx(0.93, abs=0.01)
    tilt = np.hypot(found.best.tilt_x, found.best.tilt_y)  # its direction up to a quarter turn
    assert tilt == pytest.approx(0.4, abs=0.15)


def test_only_the_disk_is_compared_however_wide_the_frame() -> None:
    rng = np.random.default_rng(2)
    axes = tuple(Axis(name, "mrad", 0.5, -30.0) for name in ("ky", "kx"))
    wide = Signal(rng.random((121, 121)).astype(np.float32), axes)
    center, radius = (-4.0, 2.0), 0.94 * MODEL.semiangle
    seen = inside(replace(MODEL, center_x=center[0], center_y=center[1]), wide)
    y, x = (
        axis.origin + axis.step * np.arange(n)
        for axis, n in zip(seen.axes, seen.data.shape, strict=True)
    )
    for middle, line in zip(center, (x, y), strict=True):
        assert radius - 0.5 < middle - line[0] <= radius and radius - 0.5 < line[-1] - middle
    row, column = (round((line[0] + 30.0) / 0.5) for line in (y, x))
    part = wide.data[row : row + len(y), column : column + len(x)]
    apart = np.hypot(y[:, None] - center[1], x - center[0])
    assert np.array_equal(np.isfinite(seen.data), apart <= radius)
    assert np.array_equal(seen.data[apart <= radius], part[apart <= radius])


def test_independent_points_are_counted_by_the_residuals_smoothness() -> None:
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(0).normal(size=(64, 64))
    assert independent_points(noise) == pytest.approx(64**2, rel=0.1)
    smooth = gaussian_filter(noise, 2.0, mode="wrap")
    assert independent_points(smooth) == pytest.approx(64**2 / (16 * np.pi), rel=0.3), "4 pi s^2"


def test_an_even_misfit_determines_nothing() -> None:
    values = np.arange(10.0)
    assert not posterior(values, np.ones(10), 50.0).determined
    sharp = posterior(values, 1.0 + (values - 4.0) ** 2, 50.0)
    assert sharp.determined and sharp.mean == pytest.approx(4.0, abs=0.01)


def test_what_has_no_cell_across_the_beam_is_told() -> None:
    alone = Atoms("Sr", cell=[A] * 3, pbc=[True, False, True])
    with pytest.raises(UserError, match="repeats in both directions"):
        MODEL(alone)
