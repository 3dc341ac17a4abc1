"""Every forward model declares units, bounds and known answers, and gives those answers."""

from __future__ import annotations

import importlib
import inspect
from importlib.metadata import entry_points

import numpy as np
import pytest
from ase.build import bulk

from htinvert.core import Axis, Signal
from htinvert.declaration.declared import Estimate, KnownAnswer
from htinvert.forward.stm_atoms import AtomDensity
from htinvert.forward.xanes.unbroadened import Unbroadened
from htinvert.testing.forward import check_answer, check_documented
from htinvert.testing.pytest_checks import forward_checks

MODELS = sorted(entry_points(group="htinvert.forward"), key=lambda entry: entry.name)
DOCUMENTED = {model.__name__: inspect.getdoc(model) for model in (e.load() for e in MODELS)}

every_model = pytest.mark.parametrize("entry", MODELS, ids=lambda entry: entry.name)


def declared(entry):
    return importlib.import_module(entry.module)


def answers():
    for entry in MODELS:
        for answer in declared(entry).KNOWN_ANSWERS:
            yield pytest.param(entry, answer, id=f"{entry.name}: {answer.name}")


def needs_its_extra(entry):
    if "multislice" in (entry.name + (inspect.getdoc(entry.load()) or "")):
        pytest.importorskip("abtem", reason="pip install htinvert[multislice]")
    if entry.name in ("exafs", "xanes"):
        pytest.importorskip("larch", reason="pip install htinvert[xas]")


@pytest.fixture(autouse=True)
def own_folder_of_paths(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


QUICK = {"phonons": 2, "rms_displacement": 0.1, "thickness": 5.0}
ON_R = {"axes": (Axis("r", "Å", 0.02, 1.0),), "shape": (400,)}
ON_K = {"absorber": "Si", "kmax": 12.0, "rmax": 3.0, "theta": 400.0, "temperature": 300.0}


def eels_spectrum():
    """A power law with steps at the Si L and C K edges."""
    energy = np.arange(60.0, 500.0)
    counts = 1e6 * (energy / 60.0) ** -2.5 + 3e4 * (energy > 99.0) + 1e4 * (energy > 284.0)
    return Signal.curve(energy, counts, name="energy loss", unit="eV", quantity="counts")


ON_K_PLANE = {
    "axes": (Axis("ky", "mrad", 1.5, -21.0), Axis("kx", "mrad", 1.5, -21.0)),
    "shape": (29, 29),
}
ABOVE_AN_EDGE = np.arange(0.0, 80.0, 0.25)
AT_AN_EDGE = {
    "absorber": "C",
    "calculated": Unbroadened(ABOVE_AN_EDGE, 1.0 + np.sin(ABOVE_AN_EDGE / 3.0) / 3.0),
    "edge_energy": 284.0,
    "energies": Axis("energy", "eV", 0.5, 274.0),
    "points": 100,
}
CASES = {  # parameters beside sampling and shape, and what may be fitted
    "cbed": (
        {**ON_K_PLANE, "semiangle": 10.0, "thickness": 60.0, "step": 1.0},
        ["thickness", "semiangle", "tilt_x", "rotation", "center_y", "scale", "blur"],
    ),
    "eels": ({"observed": eels_spectrum(), "elements": ("C", "Si")}, ["fine"]),
    "exafs": (ON_K, ["e0", "zoom", "theta", "s02", "third"]),
    "pdf": ({**ON_R, "qmax": 20.0, "diameter": 30.0}, ["delta2", "qdamp", "zoom", "diameter"]),
    "phase": ({"rotation": 8.0}, ["blur"]),
    "powder": (
        {"axes": (Axis("2theta", "degrees", 0.05, 20.0),), "shape": (1600,), "wavelength": 1.54},
        ["zoom", "zero", "width", "width_tan", "lorentz", "strain", "polarization"],
    ),
    "stem_convolution": ({"shear_x": 0.03, "rotation": 8.0}, ["source_size", "defocus"]),
    "stem_multislice": ({**QUICK, "outer": 110.0, "semiangle": 15.0}, ["source_size"]),
    "stm": ({"density": AtomDensity(), "isovalue": 1e-4, "above": 8.0}, ["blur"]),
    "tem": (QUICK, ["defocus", "illumination"]),
    "xanes": (AT_AN_EDGE, ["shift", "resolution", "growth", "lifetime"]),
}


@forward_checks
@every_model
def test_a_model_keeps_what_it_promises(entry, check):
    needs_its_extra(entry)
    atoms = bulk("SiC", "zincblende", a=4.36, cubic=True)
    atoms.rattle(0.1, seed=1)
    if entry.name == "stm":
        atoms.center(8.0, axis=2)
    parameters, free = CASES[entry.name]
    frame = (
        {}
        if {"axes", "kmax", "observed", "energies"} & set(parameters)
        else {"sampling": 0.3, "shape": (12, 14)}
    )
    check(entry.load()(**frame, **parameters), atoms, free=free)


@every_model
def test_every_number_is_declared_and_has_its_unit_in_the_docstring(entry):
    model = entry.load()
    text = "".join(inspect.getdoc(part) or "" for part in model.__mro__)
    others = "".join(doc for name, doc in DOCUMENTED.items() if name in text)  # it refers to those
    check_documented(model, elsewhere=others)


@every_model
def test_the_sources_are_named_where_the_model_is(entry):
    text = inspect.getdoc(declared(entry))
    assert any(year in text for year in ("19", "20", "2nd ed.")), "no publication is named"


@pytest.mark.parametrize(("entry", "answer"), list(answers()))
def test_known_answers_are_given(entry, answer: KnownAnswer):
    needs_its_extra(entry)
    check_answer(entry.load(), answer)


def test_an_estimate_reads_as_one_line():
    estimate = Estimate("abTEM 1.0", "300 probes x 4 configurations", 300.0, 0.42)
    assert str(estimate) == (
        "abTEM 1.0: 300 probes x 4 configurations; about 5 minutes per image; 0.4 GB per worker"
    )
