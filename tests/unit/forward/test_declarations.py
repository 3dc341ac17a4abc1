"""Every forward model declares units, bounds and known answers, and gives those answers."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import fields
from importlib.metadata import entry_points

import pytest

from htinvert.declaration.declared import Estimate, KnownAnswer

MODELS = sorted(entry_points(group="htinvert.forward"), key=lambda entry: entry.name)
NUMBERS = {"float", "int", "float | None", "int | None"}
DOCUMENTED = {model.__name__: inspect.getdoc(model) for model in (e.load() for e in MODELS)}

every_model = pytest.mark.parametrize("entry", MODELS, ids=lambda entry: entry.name)


def declared(entry):
    return importlib.import_module(entry.module)


def answers():
    for entry in MODELS:
        for answer in declared(entry).KNOWN_ANSWERS:
            yield pytest.param(entry, answer, id=f"{entry.name}: {answer.name}")


@every_model
def test_every_number_has_bounds_around_its_default_and_a_unit_in_the_docstring(entry):
    model, parameters = entry.load(), declared(entry).PARAMETERS
    text = "".join(part.__doc__ for part in model.__mro__ if part is not object)
    text += "".join(doc for name, doc in DOCUMENTED.items() if name in text)  # it refers to those
    numbers = {field.name: field.default for field in fields(model) if field.type in NUMBERS}
    assert set(numbers) == set(parameters)
    for name, default in numbers.items():
        bound = parameters[name]
        assert default is None or bound.lower <= default <= bound.upper
        line = text.partition(f"    {name}: ")[2].partition(".\n")[0]
        assert line, f"{name} is not in the docstring"
        assert bound.unit == "1" or bound.unit in line, f"{name} is in {bound.unit}: {line}"


@every_model
def test_a_value_beyond_a_bound_is_refused(entry):
    model = entry.load()
    for name, bound in declared(entry).PARAMETERS.items():
        if bound.upper < 1e300:
            with pytest.raises(ValueError, match=f"{name} is .* but must be"):
                model(**{name: bound.upper * 2 + 1})


@every_model
def test_the_sources_are_named_where_the_model_is(entry):
    text = inspect.getdoc(declared(entry))
    assert any(year in text for year in ("19", "20", "2nd ed.")), "no publication is named"


@pytest.mark.parametrize(("entry", "answer"), list(answers()))
def test_known_answers_are_given(entry, answer: KnownAnswer):
    if "multislice" in (entry.name + (inspect.getdoc(entry.load()) or "")):
        pytest.importorskip("abtem", reason="pip install htinvert[multislice]")
    signal = entry.load()(**answer.parameters)(answer.atoms())
    assert answer.measure(signal) == pytest.approx(answer.value, abs=answer.tolerance)


def test_an_estimate_reads_as_one_line():
    estimate = Estimate("abTEM 1.0", "300 probes x 4 configurations", 300.0, 0.42)
    assert str(estimate) == (
        "abTEM 1.0: 300 probes x 4 configurations; about 5 minutes per image; 0.4 GB per worker"
    )
