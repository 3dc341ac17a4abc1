"""Bad input to a fit of G(r): one sentence each that says what does not fit, and exit code 2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import write

from htinvert.core import Axis
from htinvert.forward.pdf.model import Pdf

Command = Callable[..., "CompletedProcess[str]"]

HEADER = "[DEFAULT]\nmode = xray\nqmin = 1.0\nqmax = 20.0\n#L r G\n"
R = 0.01 * np.arange(3001)


def _g() -> np.ndarray:
    axes = (Axis("r", "Å", 0.01, 0.0),)
    simulate = Pdf(axes=axes, shape=(len(R),), qmin=1.0, qmax=20.0, u=0.004, qdamp=0.05)
    return np.asarray(simulate(molecule("C60")).data, dtype=float)


def rows(r: np.ndarray, g: np.ndarray) -> str:
    return "".join(f"{x:.5f} {y:.6f}\n" for x, y in zip(r, g, strict=True))


def with_gap(g: np.ndarray) -> np.ndarray:
    g = g.copy()
    g[500:503] = np.nan
    return g


FILES: dict[str, Callable[[np.ndarray], str]] = {
    "good": lambda g: HEADER + rows(R, g),
    "nm": lambda g: HEADER + rows(R / 10, g),
    "short nm": lambda g: HEADER + rows(R[:1200] / 10, g[:1200]),
    "pm": lambda g: HEADER + rows(R * 100, g),
    "two": lambda g: HEADER + rows(R, g) + "\n#S 2\n" + rows(R, g),
    "two in a row": lambda g: HEADER + rows(R, g) + rows(R, g),
    "nan": lambda g: HEADER + rows(R, with_gap(g)),
    "negative": lambda g: HEADER + rows(R - 5.0, g),
    "no limit": lambda g: rows(R, g),
    "neutron": lambda g: HEADER.replace("xray", "neutron") + rows(R, g),
    "electron": lambda g: HEADER.replace("xray", "electron") + rows(R, g),
}
CASES = [
    ("nm", "C60", (), "if it is in nm, say axis: r [nm]"),
    ("short nm", "C60", (), "such as axis: r [nm]"),
    ("pm", "C60", (), "if it is in pm, say axis: r [pm]"),
    ("good", "C60", ("--range", "0:8"), "begin at r = 0 Å"),
    ("two", "C60", (), "holds 2 data sets, which begin at lines 6, 3009"),
    ("two in a row", "C60", (), "x begins anew in row 3002"),
    ("nan", "C60", ("--range", "1.2:8"), "3 of 681 values are no numbers, the first at r = 5 Å"),
    ("negative", "C60", (), "r begins at -5 Å"),
    ("no limit", "C60", (), "set qmax"),
    ("neutron", "C60", ("--set", "radiation=x-ray"), "says mode = neutron but radiation is x-ray"),
    ("neutron", "C60", ("--set", "radiation=atomic number"), "says mode = neutron"),
    ("electron", "C60", (), "radiation"),
    ("good", "Lr2", ("--range", "1.2:3"), "no X-ray scattering factors of Lr"),
    ("neutron", "Po2", ("--range", "1.2:3"), "no neutron scattering length of Po"),
    ("good", "X2", ("--range", "1.2:3"), "has an atom 0 whose element is not known (X)"),
    ("good", "C60", (), "longest distance of the structure is 7.0 Å but the data go to 30.0 Å"),
]


@pytest.fixture(scope="module")
def curve() -> np.ndarray:
    return _g()


@pytest.mark.parametrize(("file", "atoms", "options", "sentence"), CASES)
def test_a_file_that_does_not_fit_is_one_sentence(
    tmp_path: Path,
    curve: np.ndarray,
    htinvert: Command,
    file: str,
    atoms: str,
    options: tuple[str, ...],
    sentence: str,
) -> None:
    data, structure = tmp_path / "a.gr", tmp_path / "a.xyz"
    data.write_text(FILES[file](curve))
    built = molecule("C60") if atoms == "C60" else Atoms(atoms, [[0, 0, 0], [0, 0, 2.4]])
    write(structure, built)
    done = htinvert("fit", structure, data, "-o", tmp_path / "out", *options)
    assert done.returncode == 2, done.stdout
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("file", "options"),
    [("nm", ("--axis", "r [nm]")), ("pm", ("--axis", "r [pm]")), ("good", ())],
)
def test_what_the_sentence_says_helps(
    tmp_path: Path, curve: np.ndarray, htinvert: Command, file: str, options: tuple[str, ...]
) -> None:
    (tmp_path / "a.gr").write_text(FILES[file](curve))
    write(tmp_path / "a.xyz", molecule("C60"))
    given = ("-o", tmp_path / "out", "--range", "1.2:8", *options)
    done = htinvert("fit", tmp_path / "a.xyz", tmp_path / "a.gr", *given)
    assert done.returncode == 0, done.stderr
    rw = float(done.stdout.split("rw ")[1].split(",")[0])
    assert rw < 0.01  # the data are those of this structure, without noise
