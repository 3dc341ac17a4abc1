"""The residual of a registered image says, in atoms, what is missing and where."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms

from htinvert.core import Channel, Infeasible, Signal
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.image.residual import Residuals
from htinvert.metrics.correlation import Correlation
from htinvert.metrics.registration import Registration

CELL = (4.6, 8.0, 30.0)  # Å; the beam is x
MISSING = np.array([[2.3, 5.0, 15.2]])  # Å
MODEL = StemConvolution(0.2, (100, 90), source_size=1.2)


def crystal() -> Atoms:
    """Rows of tellurium columns above and below an empty layer."""
    places = [
        (0.0, y + 2.0 * (row % 2), z)
        for row, z in enumerate((6.0, 8.5, 11.0, 19.5, 22.0, 24.5))
        for y in (0.0, 4.0)
    ]
    return Atoms(f"Te{len(places)}", places, cell=CELL, pbc=True)


def with_one_more(symbol: str = "Te") -> Atoms:
    return crystal() + Atoms(symbol, MISSING)


def channel(model: StemConvolution, *, noise: float = 0.0, truth: Atoms | None = None) -> Channel:
    """What ``model`` records of a truth: brighter, on a background, larger than the simulation."""
    scene = replace(model, shape=(112, 104))(truth or with_one_more()).data.astype(float)
    rng = np.random.default_rng(0)
    image = 700.0 * scene + 3.0 + noise * 700.0 * scene.std() * rng.normal(size=scene.shape)
    return Channel("haadf", Signal.image(image, 0.2), model, {"registration": Registration()})


def strongest(field, sign: float = 1.0) -> tuple[np.ndarray, float]:
    """Where in the empty layer a field is largest (y, z) [Å], and how large."""
    y, z = np.meshgrid(np.arange(0.0, 8.0, 0.1), np.arange(12.0, 18.5, 0.1))
    points = np.column_stack([np.full(y.size, 1.0), y.ravel(), z.ravel()])
    values = sign * field(points)
    return points[int(np.argmax(values)), 1:], float(values.max())


@pytest.mark.parametrize("noise", [0.0, 0.3])  # of the image's standard deviation
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"beam": "-x"},
        {"shear_x": 0.04, "stretch_y": 0.03},
        {"rotation": 5.0},
        {"shift_x": 0.33, "shift_y": -0.57},
        {"interface_width": 0.8},
    ],
)
def test_a_missing_column_is_one_missing_atom_at_its_place(changes: dict, noise: float) -> None:
    model = replace(MODEL, **changes)
    guide = Residuals((channel(model, noise=noise),))({})(crystal())
    place, amount = strongest(guide.field)
    assert np.abs(place - MISSING[0, 1:]).max() < 0.25  # Å: sum of grid, pixel and registration
    assert 0.8 < amount < 1.25  # atoms
    assert abs(guide.field(crystal().positions)).max() < 0.35  # atoms, where none is missing


def test_a_column_too_many_is_one_atom_too_many() -> None:
    wanted = channel(MODEL, truth=crystal())
    guide = Residuals((wanted,))({})(with_one_more())
    assert -1.25 < guide.field(MISSING)[0] < -0.8  # atoms


def test_a_heavier_column_lacks_the_difference_of_the_elements() -> None:
    dark = crystal() + Atoms("Se", MISSING)
    guide = Residuals((channel(MODEL, truth=with_one_more()),))({})(dark)
    lacking = float(np.diff(guide.worth([34, 52]))[0])
    assert abs(guide.field(MISSING)[0] - lacking) < 0.15  # atoms; Z^1.7 is a rule of thumb


def test_the_fitted_parameters_of_the_parent_are_used() -> None:
    stretched = channel(replace(MODEL, stretch_x=0.05))
    nominal = replace(stretched, forward=MODEL)
    parameters = {"haadf": {"stretch_x": 0.05}}
    place, _ = strongest(Residuals((nominal,))(parameters)(crystal()).field)
    assert np.abs(place - MISSING[0, 1:]).max() < 0.25  # Å
    good, bad = (Residuals((nominal,))(known)(crystal()).rms for known in (parameters, {}))
    assert good < 0.8 * bad


def test_channels_are_averaged_and_those_without_a_view_left_out() -> None:
    class Scale:
        def __call__(self, atoms: Atoms) -> Signal:
            raise AssertionError("a channel without a view is not simulated")

    seen = channel(MODEL, noise=0.2)
    other = replace(seen, name="other", metrics={"correlation": Correlation()})
    blind = replace(seen, name="balance", forward=Scale())
    residuals = Residuals((seen, other, blind))
    assert [c.name for c in residuals.channels] == ["haadf", "other"]
    assert not Residuals((blind,))
    one, two = (Residuals(c)({})(crystal()).field(MISSING)[0] for c in ((seen,), (seen, other)))
    assert one == pytest.approx(two, abs=0.1)  # atoms: Correlation places to whole pixels


def test_an_image_of_something_else_is_no_guide() -> None:
    dark = channel(MODEL)
    inverted = replace(dark, observed=Signal.image(-dark.observed.data, 0.2))
    with pytest.raises(Infeasible, match="does not resemble"):
        Residuals((replace(inverted, metrics={"correlation": Correlation(0.0)}),))({})(crystal())


def test_a_structure_that_differs_by_an_atom_need_not_be_searched_for_again() -> None:
    """Where the crystal was found, its like with one more atom is compared as well as anew."""
    made = channel(MODEL, noise=0.1)
    look = Residuals((made,))({})
    again, anew = look(crystal()).again(with_one_more()), look(with_one_more())
    points = np.random.default_rng(3).uniform((0, 0, 10), (4.6, 8, 20), (200, 3))
    assert np.abs(again.field(points) - anew.field(points)).max() < 0.03  # atoms
    assert again.rms == pytest.approx(anew.rms, abs=2e-3)
    assert strongest(look(crystal()).field)[1] > 0.8 > 0.3 > strongest(again.field)[1]
