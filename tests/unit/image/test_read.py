"""Images in: every kind of file, with its pixel size, and what is said of one that is no use."""

import gc
import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage.io import imsave

from htinvert.core import UserError
from htinvert.image.read import describe, read_image

PIXELS = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
PEER_PATCH = "best_patch_experiment.npy"


def signal(data: np.ndarray, name: str, step: float = 0.02, unit: str = "nm") -> dict[str, Any]:
    """A signal as rosettasciio's writers take it."""
    axes = [
        {"name": axis, "size": size, "scale": step, "offset": 0.0, "units": unit, "navigate": False}
        | {"index_in_array": i}
        for i, (axis, size) in enumerate(zip("yx", data.shape[-2:], strict=True))
    ]
    metadata = {"General": {"title": name}, "Signal": {"signal_type": ""}}
    rest = ("original_metadata", "tmp_parameters", "package_info", "learning_results", "models")
    found = {"data": data, "axes": axes, "metadata": metadata, "attributes": {"_lazy": False}}
    return found | {key: {} for key in rest}


def write_emd(path: Path, *signals: tuple[str, np.ndarray]) -> None:
    """An EMD file by Berkeley's rules, x first, with one group per signal."""
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs.update({"version_major": 0, "version_minor": 2})
        for name, data in signals:
            group = file.create_group(f"signals/{name}")
            group.attrs["emd_group_type"] = 1
            group["data"] = data.T
            for number, (axis, size) in enumerate(zip("xy", data.T.shape, strict=True), 1):
                group[f"dim{number}"] = np.arange(size) * 0.02
                group[f"dim{number}"].attrs.update({"name": axis, "units": "[n_m]"})


def write_mrc(path: Path, data: np.ndarray, *, step: float) -> None:
    """A MRC file of float32 (mode 2) whose cell has pixels of ``step`` Å."""
    ny, nx = data.shape
    header = struct.pack("<10I", nx, ny, 1, 2, 0, 0, 0, nx, ny, 1)
    header += struct.pack("<6f", nx * step, ny * step, 1, 90, 90, 90)
    path.write_bytes(header.ljust(1024, b"\0") + data.astype("<f4").tobytes())


def write_ser(path: Path, data: np.ndarray, *, step: float) -> None:
    """A TIA file, version 528, of one image of uint8 whose pixels are ``step`` m."""
    ny, nx = data.shape
    description, unit = b"Number", b""
    dimension = struct.pack("<IddII", 1, 0, 1, 0, len(description)) + description
    dimension += struct.pack("<I", len(unit)) + unit
    offsets = 30 + len(dimension)
    start = offsets + 8
    image = struct.pack("<ddIddIHII", 0, step, 0, 0, step, 0, 1, nx, ny) + data[::-1].tobytes()
    path.write_bytes(
        struct.pack("<HHHIIIIII", 0x4949, 0x0197, 528, 0x4122, 0x4152, 1, 1, offsets, 1)
        + dimension
        + struct.pack("<II", start, start + len(image))
        + image
        + struct.pack("<HHI", 0x4152, 0, 0)
    )


def test_a_png_of_colors_becomes_gray_and_loses_its_transparency(tmp_path: Path) -> None:
    colors = np.stack([PIXELS, PIXELS, PIXELS, np.full_like(PIXELS, 255)], axis=2)
    imsave(tmp_path / "image.png", colors)
    image = read_image(tmp_path / "image.png", sampling=0.25)
    np.testing.assert_allclose(image.data, PIXELS)
    assert image.sampling == (0.25, 0.25)


def test_a_gray_png_loses_its_transparency(tmp_path: Path) -> None:
    """It was refused as "64 x 96 px, which is no image"."""
    pixels = np.stack([PIXELS, np.full_like(PIXELS, 200)], axis=2)
    Image.fromarray(pixels, mode="LA").save(tmp_path / "image.png")
    np.testing.assert_allclose(read_image(tmp_path / "image.png", sampling=0.25).data, PIXELS)
    assert "colors are averaged" not in str(describe(tmp_path / "image.png"))


@pytest.mark.parametrize("name", ["image.png", "image.tif"])
def test_a_channel_is_one_of_the_colors(tmp_path: Path, name: str) -> None:
    colors = np.stack([PIXELS, PIXELS // 2, PIXELS // 5], axis=2)
    imsave(tmp_path / name, colors, check_contrast=False)
    for channel in range(3):
        image = read_image(tmp_path / name, sampling=0.25, channel=channel)
        np.testing.assert_allclose(image.data, colors[..., channel])
    gray = read_image(tmp_path / name, sampling=0.25)
    np.testing.assert_allclose(gray.data, colors.mean(axis=2), rtol=1e-6)
    with pytest.raises(UserError, match="has no channel 3; give one from 0 to 2"):
        read_image(tmp_path / name, sampling=0.25, channel=3)


def test_a_jpeg_is_read_as_gray(tmp_path: Path) -> None:
    smooth = np.linspace(10, 240, 64 * 64).reshape(64, 64)
    imsave(tmp_path / "image.jpg", smooth.astype(np.uint8))
    image = read_image(tmp_path / "image.jpg", sampling=0.25)
    np.testing.assert_allclose(image.data, smooth, atol=4)  # gray levels, for it is lossy


@pytest.mark.parametrize("name", ["image.tif", "image.npy", "image.txt", "image.npz"])
def test_every_plain_file_gives_the_same_image(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("npz"):
        np.savez(path, image=PIXELS, sampling=np.array([0.2, 0.3]))
    elif name.endswith("npy"):
        np.save(path, PIXELS)
    elif name.endswith("txt"):
        np.savetxt(path, PIXELS)
    else:
        imsave(path, PIXELS)
    image = read_image(path, sampling=None if name.endswith("npz") else (0.2, 0.3))
    np.testing.assert_allclose(image.data, PIXELS)
    assert image.sampling == pytest.approx((0.2, 0.3))


@pytest.mark.parametrize("name", ["image.emd", "image.hspy", "image.mrc", "image.ser"])
def test_an_instruments_file_brings_its_pixel_size(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("emd"):
        write_emd(path, ("HAADF", PIXELS))
    elif name.endswith("hspy"):
        from rsciio.hspy import file_writer

        file_writer(str(path), signal(PIXELS, "HAADF"), show_progressbar=False)
    elif name.endswith("mrc"):
        write_mrc(path, PIXELS, step=0.2)
    else:
        write_ser(path, PIXELS, step=0.2e-10)
    image = read_image(path)
    np.testing.assert_allclose(image.data, PIXELS)
    assert image.sampling == pytest.approx((0.2, 0.2), rel=1e-6)


@pytest.mark.parametrize(
    ("resolution", "tags", "expected"),
    [
        # pixels per unit, TIFF's tags, Å/px
        ((50.0, 50.0), {"imagej": True, "metadata": {"unit": "nm"}}, 0.2),
        ((5e4, 5e4), {"imagej": True, "metadata": {"unit": "um"}}, 0.2),
        ((5e4, 5e4), {"imagej": True, "metadata": {"unit": "\\u00B5m"}}, 0.2),
        ((5.0, 5.0), {"imagej": True, "metadata": {"unit": "\\u00C5"}}, 0.2),
        ((5.0, 5.0), {"imagej": True, "metadata": {"unit": "\\u212b"}}, 0.2),
        ((5e8, 2.5e8), {"resolutionunit": "CENTIMETER"}, (0.4, 0.2)),
        ((72.0, 72.0), {"resolutionunit": "INCH"}, None),
        ((1.0, 1.0), {"resolutionunit": "NONE"}, None),
    ],
)
def test_a_tiff_says_its_pixel_size_where_it_is_not_one_for_printing(
    tmp_path: Path, resolution: tuple[float, float], tags: dict[str, Any], expected: Any
) -> None:
    tifffile.imwrite(tmp_path / "image.tif", PIXELS, resolution=resolution, **tags)
    source = describe(tmp_path / "image.tif")
    assert (source.sampling is None) == (expected is None)
    if expected is not None:
        assert np.allclose(source.sampling, expected, rtol=1e-6)


def test_a_tiff_that_pillow_compressed_is_read(tmp_path: Path) -> None:
    from imageio.v3 import imwrite

    imwrite(tmp_path / "image.tif", PIXELS, plugin="pillow", compression="tiff_lzw")
    np.testing.assert_allclose(read_image(tmp_path / "image.tif", sampling=0.2).data, PIXELS)


def test_heights_of_a_scanning_probe_come_in_angstrom(tmp_path: Path) -> None:
    path = tmp_path / "topography.txt"
    header = "Channel: Z\nWidth: 4 nm\nHeight: 1.5 nm\nValue units: m"
    np.savetxt(path, PIXELS * 1e-12, header=header)
    image = read_image(path)
    assert image.sampling == pytest.approx((2.5, 5.0))
    np.testing.assert_allclose(image.data, PIXELS * 0.01, atol=1e-6)
    assert "heights converted from m to Å" in str(describe(path))


def test_one_of_several_signals_is_chosen_by_its_name(tmp_path: Path) -> None:
    write_emd(tmp_path / "a.emd", ("HAADF", PIXELS), ("DF4", PIXELS[::-1]))
    np.savez(tmp_path / "a.npz", HAADF=PIXELS, DF4=PIXELS[::-1], sampling=0.2)
    for path in (tmp_path / "a.emd", tmp_path / "a.npz"):
        with pytest.raises(UserError, match=r"holds 2 signals: .*HAADF \(6 x 8\).*choose one"):
            read_image(path)
        with pytest.raises(UserError, match="no signal HAADE, did you mean HAADF"):
            read_image(path, signal="HAADE")
        np.testing.assert_allclose(read_image(path, signal="df4").data, PIXELS[::-1])


def test_a_series_needs_the_number_of_its_frame(tmp_path: Path) -> None:
    np.save(tmp_path / "series.npy", np.stack([PIXELS] * 5 + [PIXELS[::-1]]))
    with pytest.raises(UserError, match="a series of 6 images; choose one with channel"):
        read_image(tmp_path / "series.npy", sampling=0.2)
    image = read_image(tmp_path / "series.npy", sampling=0.2, channel=5)
    np.testing.assert_allclose(image.data, PIXELS[::-1])


def test_a_crop_is_top_bottom_left_right_and_may_count_from_the_end(tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", PIXELS)
    for crop in ((1, 4, 2, 7), (-5, -2, 2, -1)):
        image = read_image(tmp_path / "image.npy", sampling=1.0, crop=crop)
        np.testing.assert_allclose(image.data, PIXELS[1:4, 2:7])


def test_what_was_read_is_said_in_a_line(tmp_path: Path) -> None:
    write_emd(tmp_path / "a.emd", ("HAADF", PIXELS))
    source = describe(tmp_path / "a.emd")
    assert str(source) == "a.emd: HAADF, 6 x 8 px, uint8, 0.2 Å/px"


def test_a_saturated_image_is_noted_and_one_of_few_counts_is_not(tmp_path: Path) -> None:
    np.save(tmp_path / "clipped.npy", np.minimum(PIXELS, 200))
    (note,) = describe(tmp_path / "clipped.npy").notes
    assert "17% of the pixels have the largest value, 200" in note
    np.save(tmp_path / "particle.npy", PIXELS * (np.median(PIXELS) < PIXELS))
    (note,) = describe(tmp_path / "particle.npy").notes
    assert "have the smallest value, 0: empty, as around a particle" in note
    np.save(tmp_path / "counts.npy", PIXELS % 3)
    assert describe(tmp_path / "counts.npy").notes == ()


def test_an_image_that_is_mostly_cut_off_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "white.npy", np.minimum(PIXELS, np.median(PIXELS)))
    with pytest.raises(UserError, match=r"white.npy is saturated: 5\d% of its pixels"):
        read_image(tmp_path / "white.npy", sampling=0.2)


def test_an_mrc_without_a_cell_has_no_pixel_size(tmp_path: Path) -> None:
    write_mrc(tmp_path / "image.mrc", PIXELS, step=0.0)
    assert describe(tmp_path / "image.mrc").sampling is None


def test_a_fourier_transform_is_no_image(tmp_path: Path) -> None:
    from rsciio.hspy import file_writer

    path = tmp_path / "a.hspy"
    file_writer(str(path), signal(PIXELS, "FFT", unit="1/nm"), show_progressbar=False)
    with pytest.raises(UserError, match="axes in 1/nm; give an image"):
        read_image(path)
    np.save(tmp_path / "a.npy", np.fft.fft2(PIXELS))
    with pytest.raises(UserError, match="holds complex numbers"):
        read_image(tmp_path / "a.npy", sampling=0.2)


@pytest.mark.parametrize(("step", "meant"), [(2e-3, 0.2), (50.0, 0.5), (2.5e3, 0.25)])
def test_a_pixel_size_that_shows_no_atoms_is_refused(
    tmp_path: Path, step: float, meant: float
) -> None:
    """The suggestion is the slip of a unit that comes nearest to what micrographs have."""
    np.savez(tmp_path / "image.npz", image=PIXELS, sampling=step)
    message = rf"did the unit get lost, as nm for Å\? Set .* sampling \[Å/px\], such as {meant:g}$"
    with pytest.raises(UserError, match=message):
        read_image(tmp_path / "image.npz")
    assert read_image(tmp_path / "image.npz", sampling=0.2).sampling == (0.2, 0.2)


@pytest.mark.parametrize(
    ("name", "content", "crop", "message"),
    [
        ("none.png", None, None, "there is no image"),
        ("image.npy", PIXELS, None, "has no pixel size; set the experiment's sampling"),
        ("image.npy", PIXELS, (0, 7, 0, 8), "image.npy: crop .* does not fit .* is 6 x 8 px"),
        ("image.xyz", PIXELS, None, "of a kind that is not read"),
        ("image.npy", np.full((3, 3), np.nan), None, "not finite"),
        ("image.npy", np.zeros((2, 3, 4, 5)), None, "4 dimensions"),
        ("image.npy", np.full((9, 9), 7), None, "is the same everywhere"),
        ("image.npy", PIXELS[:1], None, "1 x 8 px, which is no image"),
        ("image.npy", np.arange(5), None, "has 1 dimensions"),
        ("image.npy", np.array([["a", "b"], ["c", "d"]]), None, "no numbers"),
        ("image.npy", PIXELS * 1e300, None, "not finite"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_sentence(
    tmp_path: Path, name: str, content: object, crop: object, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        with path.open("wb") as file:
            np.save(file, content)
    sampling = None if "pixel size" in message else 1.0
    with pytest.raises(UserError, match=message):
        read_image(path, sampling=sampling, crop=crop)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "kind", ["dm3", "dm4", "emd", "hspy", "jpg", "mrc", "npy", "npz", "png", "ser", "tif", "txt"]
)
@pytest.mark.parametrize("content", [b"not a picture", b""])
def test_a_file_that_is_none_of_its_kind_is_refused(
    tmp_path: Path, kind: str, content: bytes
) -> None:
    path = tmp_path / f"image.{kind}"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"image\.\w+"):
        read_image(path, sampling=1.0)


def test_a_file_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "stack.mrc"
    with path.open("wb") as file:
        file.truncate(5_000_000_000)  # sparse: it takes no room
    with pytest.raises(UserError, match=r"has 5\.0 GB, more than the 2 GB that are read"):
        read_image(path)


@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
def test_a_truncated_dm3_is_refused(tmp_path: Path, shared_data: Path, share: float) -> None:
    whole = (shared_data / "cdte-twin" / "HAADF26.dm3").read_bytes()
    (tmp_path / "half.dm3").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UserError, match="could not be read .* it may be truncated"):
        read_image(tmp_path / "half.dm3")


def test_headers_of_real_files_say_what_is_known_of_them(shared_data: Path) -> None:
    """Pixel sizes from the data's README."""
    twin = describe(shared_data / "cdte-twin" / "HAADF26.dm3")
    assert str(twin) == "HAADF26.dm3: HAADF26, 512 x 512 px, uint16, 0.20217 Å/px"
    topography = describe(shared_data / "cu2o-stm" / "03h_Cu2O_111_034_fwd_z_plane.txt")
    assert topography.shape == (512, 512)
    assert topography.sampling == pytest.approx((0.29297, 0.29297), abs=1e-5)
    sulfide = describe(shared_data / "mos2-se" / "MoS2_Se_implanted_haadf.npz")
    assert sulfide.sampling == pytest.approx((0.127, 0.127), abs=1e-4)
    assert describe(shared_data / "ni-m3b2" / "HAADF91.tif").sampling is None


# Linear interpolation is the peer's and gives its very patch; a cubic spline is sharper.
@pytest.mark.parametrize(("order", "least"), [(1, 0.99999), (3, 0.99)])
def test_the_peers_twin_patch_is_found_where_the_peer_has_it(
    shared_data: Path, order: int, least: float
) -> None:
    prepared = read_image(
        shared_data / "cdte-twin" / "HAADF26.dm3",
        prepare=[
            {"rotate": {"angle": 66, "order": order}},
            {"center": [328, 328]},
            {"crop": [0, -26, 0, -26]},
            {"flip": "left-right"},
        ],
    )
    assert best_match(prepared.data, shared_data / "cdte-twin" / PEER_PATCH, least) == (59, 135)


@pytest.mark.parametrize(("order", "least"), [(1, 0.99999), (3, 0.999)])
def test_the_peers_nickel_patch_is_found_where_the_peer_has_it(
    shared_data: Path, order: int, least: float
) -> None:
    """The peer's place is (74, 12) in a square that is 4 px wider, corners filled in."""
    prepared = read_image(
        shared_data / "ni-m3b2" / "HAADF91.tif",
        sampling=0.125,
        channel=0,
        crop=(380, -240, 370, -30),
        prepare=[{"rotate": {"angle": -2.3, "order": order}}, {"center": [378, 378]}],
    )
    assert best_match(prepared.data, shared_data / "ni-m3b2" / PEER_PATCH, least) == (72, 10)


def best_match(image: np.ndarray, patch: Path, least: float) -> tuple[int, int]:
    """Where a patch fits best, (row, column) of its top left; its correlation is at least that."""
    from skimage.feature import match_template

    correlation = match_template(image.astype(float), np.load(patch))
    assert correlation.max() > least
    row, column = np.unravel_index(correlation.argmax(), correlation.shape)
    return int(row), int(column)


def test_a_file_that_a_parser_left_open_is_closed_at_once(tmp_path: Path) -> None:
    """Collected later, it warned of itself in the middle of whatever ran then."""
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, np.arange(6400, dtype=np.float32).reshape(80, 80))
    raw = bytearray(path.read_bytes())
    path.write_bytes(raw[: len(raw) - 20_000])
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(UserError, match="could not be read as an image"):
            read_image(path, sampling=0.2)
        left = [kept for kept in gc.get_objects() if type(kept) is io.FileIO]
        assert not [kept for kept in left if str(kept.name) == str(path) and not kept.closed]
    finally:
        gc.enable()
