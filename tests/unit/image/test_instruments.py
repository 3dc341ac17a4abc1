"""Files of instruments: types and axes by their names, and patterns that are no images."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from htinvert.core import UserError
from htinvert.image.read import read_image
from htinvert.signals.pattern_file import read_pattern

ROWS, COLUMNS = 6, 8
RAMP = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)  # no symmetry, and not square
Y, X = 0.25, 0.2  # Å/px
CODES = {
    "i2": (2, 1),
    "i4": (3, 7),
    "u2": (4, 10),
    "u4": (5, 11),
    "f4": (6, 2),
    "f8": (7, 12),
    "i1": (9, 9),
    "u1": (10, 6),
}  # type in tags, type of an image
THUMBNAIL = 23  # type of colors


class Tags:
    """Writes the tags of DigitalMicrograph 3 (32 bits) or 4 (64 bits)."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.wide = ">q" if version == 4 else ">i"

    def count(self, number: int) -> bytes:
        return struct.pack(self.wide, number)

    def tag(self, kind: int, name: str, body: bytes) -> bytes:
        length = self.count(len(body)) if self.version == 4 else b""
        return bytes([kind]) + struct.pack(">H", len(name)) + name.encode() + length + body

    def value(self, name: str, about: list[int], raw: bytes) -> bytes:
        info = self.count(len(about)) + b"".join(map(self.count, about))
        return self.tag(21, name, b"%%%%" + info + raw)

    def group(self, name: str, *parts: bytes) -> bytes:
        return self.tag(20, name, self.parts(*parts))

    def parts(self, *parts: bytes) -> bytes:
        return b"\1\0" + self.count(len(parts)) + b"".join(parts)

    def number(self, name: str, number: int) -> bytes:
        return self.value(name, [5], struct.pack("<I", number))

    def calibration(self, name: str, step: float, unit: str) -> bytes:
        real = [self.value(key, [6], struct.pack("<f", v)) for key, v in
                (("Origin", 0.0), ("Scale", step))]  # fmt: skip
        raw = unit.encode("utf-16-le")
        return self.group(name, *real, self.value("Units", [20, 4, len(raw) // 2], raw))

    def image(
        self, data: np.ndarray, kind: int, steps: tuple[float, float], units: tuple[str, str]
    ) -> bytes:
        code = CODES[data.dtype.str[1:]][0]
        axes = [self.calibration("", *pair) for pair in zip(steps, units, strict=True)]
        raw = self.value("Data", [20, code, data.size], data.tobytes())
        sizes = [self.number("", n) for n in data.shape[::-1]]
        body = self.group(
            "ImageData",
            self.group("Calibrations", self.calibration("Brightness", 1.0, ""),
                       self.group("Dimension", *axes)),
            raw,
            self.number("DataType", kind),
            self.group("Dimensions", *sizes),
            self.number("PixelDepth", data.dtype.itemsize),
        )  # fmt: skip
        name = "HAADF".encode("utf-16-le")
        tags = self.group("ImageTags", self.number("a", 1))
        return self.group("", body, tags, self.value("Name", [20, 4, 5], name))


def dm(
    path: Path, data: np.ndarray, *, step: tuple[float, float], units: tuple[str, str], version: int
) -> None:
    """A file of DigitalMicrograph; ``step`` and ``units`` are those along x, then y."""
    tags = Tags(version)
    thumbnail = tags.image(np.zeros((4, 4), "<u4"), THUMBNAIL, (1.0, 1.0), ("", ""))
    image = tags.image(data, CODES[data.dtype.str[1:]][1], step, units)
    left_out = tags.group("Thumbnails", tags.group("", tags.number("ImageIndex", 0)))
    root = tags.parts(left_out, tags.group("ImageList", thumbnail, image))
    head = struct.pack(">i", version) + tags.count(len(root)) + struct.pack(">i", 1)
    path.write_bytes(head + root + bytes(8))


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("kind", CODES)
def test_digitalmicrograph_of_every_type(tmp_path: Path, kind: str, version: int) -> None:
    values = (RAMP - (20 if kind[0] in "if" else 0)).astype(f"<{kind}")
    path = tmp_path / f"a.dm{version}"
    dm(path, values, step=(X / 10, Y), units=("nm", "Å"), version=version)
    image = read_image(path)
    np.testing.assert_allclose(image.data, values)
    assert image.sampling == pytest.approx((Y, X))


@pytest.mark.parametrize("unit", ["1/nm", "nm-1", "nm^{-1}", "nm⁻¹", "mrad", "1/Å", "1/A", "rad"])
def test_digitalmicrographs_pattern_is_told_what_to_do(tmp_path: Path, unit: str) -> None:
    path = tmp_path / "a.dm3"
    dm(path, RAMP.astype("<u2"), step=(0.02, 0.02), units=(unit, unit), version=3)
    with pytest.raises(UserError, match="diffraction pattern .* of the kind pattern"):
        read_image(path)
    assert read_pattern(path)[0].axes[0].unit in ("1/Å", "mrad")


TIA = {"u1": 1, "u2": 2, "u4": 3, "i1": 4, "i2": 5, "i4": 6, "f4": 7, "f8": 8}


def ser(path: Path, data: np.ndarray, step: tuple[float, float]) -> None:
    """A TIA file, version 528, of one image, rows from below; ``step`` along y and x [m]."""
    ny, nx = data.shape
    dimension = struct.pack("<IddII", 1, 0, 1, 0, 6) + b"Number" + struct.pack("<I", 0)
    offsets = 30 + len(dimension)
    start = offsets + 8
    head = struct.pack("<ddIddIHII", 0, step[1], 0, 0, step[0], 0, TIA[data.dtype.str[1:]], nx, ny)
    image = head + data[::-1].tobytes()
    path.write_bytes(
        struct.pack("<HHHIIIIII", 0x4949, 0x0197, 528, 0x4122, 0x4152, 1, 1, offsets, 1)
        + dimension
        + struct.pack("<II", start, start + len(image))
        + image
        + struct.pack("<HHI", 0x4152, 0, 0)
    )


@pytest.mark.parametrize("kind", TIA)
def test_tia_of_every_type(tmp_path: Path, kind: str) -> None:
    values = (RAMP - (20 if kind[0] in "if" else 0)).astype(f"<{kind}")
    ser(tmp_path / "a.ser", values, (Y * 1e-10, X * 1e-10))
    image = read_image(tmp_path / "a.ser")
    np.testing.assert_allclose(image.data, values)
    assert image.sampling == pytest.approx((Y, X))


def test_tias_pattern_has_no_unit_and_is_told_what_to_do(tmp_path: Path) -> None:
    """0.02 1/Å is 2e8 1/m, which was taken for 2e8 m: "set sampling such as 2e+14"."""
    ser(tmp_path / "a.ser", RAMP.astype("<i2"), (2e8, 2e8))
    with pytest.raises(UserError, match="axes in 1/m; give an image, or .* kind pattern"):
        read_image(tmp_path / "a.ser")
    pattern, _ = read_pattern(tmp_path / "a.ser")
    assert pattern.axes[0].unit == "1/Å" and pattern.axes[0].step == pytest.approx(0.02)


def hspy(path: Path, data: np.ndarray, axes: list[dict[str, Any]], kind: str = "") -> None:
    """A file of HyperSpy, its axes in the order of the array's dimensions."""
    from rsciio.hspy import file_writer

    full = [
        {"offset": 0.0, "navigate": False, "size": n, "index_in_array": i} | axis
        for i, (axis, n) in enumerate(zip(axes, data.shape, strict=True))
    ]
    metadata = {"General": {"title": "a"}, "Signal": {"signal_type": kind}}
    rest = ("original_metadata", "tmp_parameters", "package_info", "learning_results", "models")
    found = {"data": data, "axes": full, "metadata": metadata, "attributes": {"_lazy": False}}
    file_writer(str(path), found | {key: {} for key in rest}, show_progressbar=False)


def axis(name: str, step: float, unit: str = "nm", **more: Any) -> dict[str, Any]:
    return {"name": name, "scale": step, "units": unit} | more


AXES = {"y": axis("y", Y / 10), "x": axis("x", X / 10), "t": axis("t", 1.0, "s", navigate=True)}


@pytest.mark.parametrize("order", ["yx", "xy", "tyx", "txy", "ytx", "yxt"])
def test_axes_of_hspy_are_told_by_their_names(tmp_path: Path, order: str) -> None:
    """An array that is x first came out with rows for columns, and with their pixel sizes."""
    whole = np.stack([RAMP, RAMP + 100]).astype(np.float32)
    data = np.einsum(f"tyx->{order}", whole) if "t" in order else whole[1].T
    data = whole[1] if order == "yx" else data
    hspy(tmp_path / "a.hspy", np.ascontiguousarray(data), [AXES[name] for name in order])
    image = read_image(tmp_path / "a.hspy", channel=1 if "t" in order else None)
    np.testing.assert_allclose(image.data, RAMP + 100)
    assert image.sampling == pytest.approx((Y, X))


@pytest.mark.parametrize("names", ["xy", "yx"])
def test_axes_of_emd_are_told_by_their_names(tmp_path: Path, names: str) -> None:
    """Berkeley's rule is x first; a file that says y first was read turned over the diagonal."""
    import h5py

    with h5py.File(tmp_path / "a.emd", "w") as file:
        file.attrs.update({"version_major": 0, "version_minor": 2})
        group = file.create_group("signals/HAADF")
        group.attrs["emd_group_type"] = 1
        group["data"] = RAMP.T if names == "xy" else RAMP
        for number, name in enumerate(names, 1):
            step, size = (X, COLUMNS) if name == "x" else (Y, ROWS)
            group[f"dim{number}"] = np.arange(size) * step / 10
            group[f"dim{number}"].attrs.update({"name": name, "units": "[n_m]"})
    image = read_image(tmp_path / "a.emd")
    np.testing.assert_allclose(image.data, RAMP)
    assert image.sampling == pytest.approx((Y, X))


def test_spectra_are_no_image(tmp_path: Path) -> None:
    energy = axis("Energy", 0.5, "eV")
    places = [AXES["y"] | {"navigate": True}, AXES["x"] | {"navigate": True}]
    hspy(tmp_path / "a.hspy", np.random.default_rng(1).random((6, 8, 20)), [*places, energy])
    hspy(tmp_path / "b.hspy", np.random.default_rng(1).random((8, 20)), [places[1], energy])
    for name in ("a.hspy", "b.hspy"):
        with pytest.raises(UserError, match="holds no image, only spectra"):
            read_image(tmp_path / name, sampling=0.2)


RECIPROCAL_UNITS = [
    "1/nm", "1 / nm", "nm-1", "nm^-1", "nm^{-1}", "nm⁻¹", "$nm^{-1}$", "1/Å", "1/A", "A-1",
    "$\\AA^{-1}$", "1/m", "m^-1", "1/pm", "1/µm", "1/(nm)", "mrad", "rad", "µrad", "deg",
]  # fmt: skip


@pytest.mark.parametrize("unit", RECIPROCAL_UNITS)
def test_a_diffraction_pattern_is_told_what_to_do_with_it(tmp_path: Path, unit: str) -> None:
    """Some were said to have no pixel size; a sampling that is given makes no image of one."""
    hspy(
        tmp_path / "a.hspy", RAMP.astype(np.float32), [axis("y", 0.02, unit), axis("x", 0.02, unit)]
    )
    for sampling in (None, 0.2):
        with pytest.raises(UserError, match="diffraction pattern.* of the kind pattern") as raised:
            read_image(tmp_path / "a.hspy", sampling=sampling)
        assert "sampling" not in str(raised.value)


@pytest.mark.parametrize(
    ("axes", "kind"),
    [
        ([axis("ky", 0.02, "k"), axis("kx", 0.02, "k")], ""),
        ([axis("y", 0.02, ""), axis("x", 0.02, "")], "electron_diffraction"),
    ],
)
def test_a_pattern_may_be_known_by_its_names_or_its_type(
    tmp_path: Path, axes: list[dict[str, Any]], kind: str
) -> None:
    hspy(tmp_path / "a.hspy", RAMP.astype(np.float32), axes, kind)
    with pytest.raises(UserError, match="of the kind pattern"):
        read_image(tmp_path / "a.hspy", sampling=0.2)
