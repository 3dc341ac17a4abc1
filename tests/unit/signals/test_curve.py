"""Curves: what is read of every program's file, what steps do, and what is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import htinvert as ht
from htinvert.core import Signal, UserError
from htinvert.image.units import known_unit
from htinvert.signals.columns import named, read_columns
from htinvert.signals.curve_file import read_curve

X = np.arange(0.5, 10.0, 0.05)
Y = np.sin(X) / X

PDFGETX = "[PDF config]\nqmax = 25.0\n#### start data\n#S 1\n#L r($\\AA$)  G($\\AA^{-2}$)\n"
XDI = "# XDI/1.0\n# Column.1: energy eV\n# Column.2: mutrans\n#-----\n# energy mutrans\n"
BODIES = {
    "bare.gr": ("", " "),
    "header.gr": (PDFGETX, " "),
    "names.dat": ("# energy [eV], mu [1]\n", ", "),
    "comma.csv": ("r [nm],g\n", ","),
    "tabs.xy": ("", "\t"),
    "beam.xdi": (XDI, "  "),
}


@pytest.mark.parametrize("name", BODIES)
def test_columns_are_read_whatever_stands_before_them(name: str, tmp_path: Path) -> None:
    header, between = BODIES[name]
    rows = "\n".join(f"{x:.4f}{between}{y:.8f}" for x, y in zip(X, Y, strict=True))
    path = tmp_path / name
    path.write_text(f"{header}{rows}\n", encoding="utf-8")
    curve, said = read_curve(path)
    factor = 10.0 if name == "comma.csv" else 1.0  # nm become Å
    np.testing.assert_allclose(curve.coordinates(), factor * X, rtol=1e-5)
    np.testing.assert_allclose(curve.data, Y, atol=1e-6)
    assert f"{len(X)} points" in said


def test_what_a_file_says_of_its_axes_is_kept(tmp_path: Path) -> None:
    header, between = BODIES["header.gr"]
    path = tmp_path / "a.gr"
    path.write_text(header + "\n".join(f"{x}{between}{y}" for x, y in zip(X, Y, strict=True)))
    curve, _ = read_curve(path)
    assert (curve.axes[0].name, curve.axes[0].unit) == ("r", "Å")
    assert curve.quantity == "G [Å⁻²]"
    other, _ = read_curve(path, axis="q [1/nm]", quantity="S")
    assert (other.axes[0].name, other.axes[0].unit, other.quantity) == ("q", "1/Å", "S")
    assert other.axes[0].step == pytest.approx(0.1 * curve.axes[0].step)


def test_columns_are_chosen_by_number_or_name(tmp_path: Path) -> None:
    path = tmp_path / "three.dat"
    rows = (f"{x:.3f} {y:.6f} {2 * y:.6f}" for x, y in zip(X, Y, strict=True))
    path.write_text("# E [eV] one two\n" + "\n".join(rows))
    by_number, _ = read_curve(path, columns=(1, 3))
    by_name, _ = read_curve(path, columns=("E", "two"))
    np.testing.assert_array_equal(by_number.data, by_name.data)
    np.testing.assert_allclose(by_number.data, 2 * Y, atol=1e-5)
    with pytest.raises(UserError, match="has no column three; it has 1 E, 2 one, 3 two"):
        read_curve(path, columns=("E", "three"))


def test_uneven_steps_are_interpolated_and_said(tmp_path: Path) -> None:
    x = np.concatenate([np.arange(0.0, 5.0, 0.5), np.arange(5.0, 10.0, 0.1)])
    np.savez(tmp_path / "edge.npz", energy=x, mu=3.0 * x)
    curve, said = read_curve(tmp_path / "edge.npz")
    assert "uneven steps, interpolated at every 0.1" in said
    np.testing.assert_allclose(curve.data, 3.0 * curve.coordinates(), atol=1e-4)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"only words\nin here\n", "no three rows of two numbers"),
        (b"1 2\n3 4\n", "no three rows"),
        (b"\0\1\2" * 50, "is no text"),
        (b"1 2\n1 3\n1 4\n", "points with different x"),
    ],
)
def test_what_is_no_curve_is_said_in_a_sentence(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "bad.dat").write_bytes(content)
    with pytest.raises(UserError, match=words):
        read_curve(tmp_path / "bad.dat")


def test_a_file_of_two_columns_is_no_image(tmp_path: Path) -> None:
    """It was taken for an image of 159 x 2 px."""
    np.savetxt(tmp_path / "curve.txt", np.column_stack([X, Y]))
    with pytest.raises(UserError, match="rows of 2 numbers, which is a curve and no image"):
        ht.read(tmp_path / "curve.txt", sampling=0.2)
    assert ht.read(tmp_path / "curve.txt", kind="curve").data.ndim == 1


def test_a_key_of_another_kind_is_unknown_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="crop is unknown; known are axis, columns"):
        ht.read(tmp_path / "a.gr", kind="curve", crop=[0, 1, 0, 1])
    with pytest.raises(UserError, match="kind curv is unknown; did you mean curve"):
        ht.read(tmp_path / "a.gr", kind="curv")


def test_steps_cut_normalize_and_rebin(tmp_path: Path) -> None:
    line = 3.0 + 2.0 * X
    np.savez(tmp_path / "line.npz", r=X, g=line)
    flat = ht.read(tmp_path / "line.npz", kind="curve", prepare=[{"rebin": 0.2}, {"background": 1}],
                   range=(1.0, 8.0))  # fmt: skip
    assert np.abs(flat.data).max() < 1e-4 and flat.axes[0].step == pytest.approx(0.2)
    assert flat.coordinates()[0] == pytest.approx(1.0) and flat.coordinates()[-1] <= 8.0
    top = ht.read(tmp_path / "line.npz", kind="curve", prepare=[{"normalize": "maximum"}])
    assert top.data.max() == pytest.approx(1.0)
    with pytest.raises(UserError, match=r"prepare, step 1: range \[90.0, 95.0\] leaves 0 points"):
        ht.read(tmp_path / "line.npz", kind="curve", prepare=[{"range": [90, 95]}])


def test_a_curve_must_rise_evenly() -> None:
    with pytest.raises(ValueError, match="not evenly spaced"):
        Signal.curve(np.array([0.0, 1.0, 3.0]), np.zeros(3))


@pytest.mark.parametrize(
    ("given", "unit"),
    [("A", ("Å", 1.0)), ("nm", ("Å", 10.0)), ("nm^-1", ("1/Å", 0.1)), ("1/A", ("1/Å", 1.0)),
     ("keV", ("eV", 1e3)), ("degrees", ("degrees", 1.0)), ("Å⁻¹", ("1/Å", 1.0))],
)  # fmt: skip
def test_units_become_ours(given: str, unit: tuple[str, float]) -> None:
    found = known_unit(given)
    assert found is not None and found == (unit[0], pytest.approx(unit[1]))


def test_an_unknown_unit_is_none() -> None:
    assert known_unit("parsec") is None
    assert named("r($\\AA$)") == ("r", "Å")


@pytest.mark.parametrize(
    ("file", "points", "first", "last"),
    [
        ("cdse-pdf/CdSe.gr", 5001, 0.0, 50.0),
        ("pt-pdf/Pt-nanoparticles.gr", 6001, 0.0, 60.0),
        ("au144-pdf/Au144pMBA.gr", 2001, 0.0, 20.0),
        ("sto-eels/EELS_STO.dm3", 2048, 350.0, 861.75),
    ],
)
def test_measured_curves_are_read(
    file: str, points: int, first: float, last: float, shared_data: Path
) -> None:
    """Numbers of points and ranges as their README and their headers say."""
    curve, _ = read_curve(shared_data / file)
    x = curve.coordinates()
    assert len(x) == points
    assert (x[0], x[-1]) == (pytest.approx(first, abs=1e-3), pytest.approx(last, abs=0.3))


@pytest.mark.parametrize("ending", [".hspy", ".emd"])
def test_spectra_of_instruments_are_read(ending: str, tmp_path: Path) -> None:
    import h5py
    from rsciio.hspy import file_writer

    path, counts = tmp_path / f"loss{ending}", np.arange(64.0) ** 2
    if ending == ".emd":  # by Berkeley's rules
        with h5py.File(path, "w") as file:
            file.attrs.update({"version_major": 0, "version_minor": 2})
            group = file.create_group("signals/loss")
            group.attrs["emd_group_type"] = 1
            group["data"] = counts
            group["dim1"] = 400.0 + 0.5 * np.arange(64)
            group["dim1"].attrs.update({"name": "Energy", "units": "[e_V]"})
    else:
        axis = {"name": "Energy", "size": 64, "scale": 0.5, "offset": 400.0, "units": "eV"}
        signal = {"data": counts, "axes": [axis | {"navigate": False, "index_in_array": 0}]}
        signal |= {"metadata": {"General": {"title": "loss"}, "Signal": {"signal_type": "EELS"}}}
        rest = ("original_metadata", "tmp_parameters", "package_info", "learning_results", "models")
        signal |= {"attributes": {"_lazy": False}} | {key: {} for key in rest}
        file_writer(str(path), signal, show_progressbar=False)
    curve, _ = read_curve(path)
    assert curve.axes[0].unit == "eV" and curve.axes[0].name == "energy loss"
    np.testing.assert_allclose(curve.coordinates()[[0, -1]], [400.0, 431.5])
    np.testing.assert_allclose(curve.data, counts)


def test_the_longest_table_of_a_file_counts(tmp_path: Path) -> None:
    path = tmp_path / "two.dat"
    path.write_text("1 2 3\n4 5 6\n\nnow\n" + "\n".join(f"{i} {i * i}" for i in range(9)))
    assert len(read_columns(path).columns) == 2
