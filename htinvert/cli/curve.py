"""Commands on one curve: fit, edges."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from htinvert.cli.app import (
    YAML,
    Json,
    Trust,
    answer_for,
    app,
    console,
    say_json,
    two_numbers,
)
from htinvert.core import UserError

if TYPE_CHECKING:
    from htinvert.config.experiment import Experiment

PATTERN = "cbed"  # the forward model whose data are a pattern
Mix = Annotated[
    bool, typer.Option("--mix", help="Fit a folder's structures together, as phases of a mixture.")
]
Sampling = Annotated[
    float | None, typer.Option(help="Step of a pattern [mrad per px; from its disk].", min=1e-4)
]


@app.command()
def fit(
    structure: Annotated[
        Path, typer.Argument(help="A structure file, a folder of them, a library, several in one.")
    ],
    experiment: Annotated[
        Path,
        typer.Argument(help="A curve or pattern, a YAML file of an experiment, known patterns."),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder that results are written to.")
    ] = Path("fit"),
    model: Annotated[str, typer.Option(help="Forward model, for data.")] = "pdf",
    span: Annotated[
        str | None,
        typer.Option(
            "--range",
            help="Range that is compared, LOWER:UPPER in x's unit [all; of G(r) above 1.5 Å].",
        ),
    ] = None,
    axis: Annotated[
        str | None, typer.Option(help="Name and unit of x, such as 'r [nm]' [the file's].")
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option("--set", help="Hold a parameter, such as qmax=20 [none]; repeatable."),
    ] = None,
    free: Annotated[
        list[str] | None,
        typer.Option(help="Fit this parameter, too, such as diameter=10:200 [none]; repeatable."),
    ] = None,
    sampling: Sampling = None,
    mix: Mix = False,
    as_json: Json = False,
    trust: Trust = False,
) -> None:
    """Fit the forward model's free parameters to measured data; the same on every run.

    Example: htinvert fit Pt.cif Pt.gr --range 1.5:50 --set qdamp=0.0376 --free diameter=10:200
    """
    answer_for(trust)
    also = dict(_bounds(text) for text in free or ())
    out = console(quiet=as_json)
    if any(structure.glob("patterns.zarr")) or any(structure.glob("*/patterns.zarr")):
        values = _asked(structure, experiment, sampling, output, out)
    elif model == PATTERN and experiment.suffix not in YAML:
        from htinvert.report.pattern_fit import pattern_block

        block = pattern_block(experiment, sampling, dict(map(_value, given or ())))
        values = _fitted(structure, block, Path(), output, also, out)
    else:
        block = _experiment(experiment, model=model, span=span, axis=axis, given=given or ())
        values = _fitted(structure, block, _folder(experiment), output, also, out, mix=mix)
    if as_json:
        say_json(values)


def _folder(experiment: Path) -> Path:
    """What paths of an experiment are relative to."""
    return experiment.parent if experiment.suffix in YAML else Path()


def _asked(library: Path, data: Path, sampling: float | None, output: Path, out: Any) -> Any:
    """Ask a library of patterns, or each in a folder, what data show; the answer as values."""
    if data.is_dir():
        from htinvert.report.pattern_trials import trials_with_progress

        return trials_with_progress(library, data, sampling=sampling, output=output, console=out)
    from htinvert.config.campaign import load_experiment
    from htinvert.report.pattern_library import answer_with_progress

    return answer_with_progress(
        library,
        load_experiment(data) if data.suffix in YAML else data,
        sampling=sampling,
        folder=_folder(data),
        output=output,
        console=out,
    )


def _fitted(
    structure: Path,
    block: Experiment,
    folder: Path,
    output: Path,
    also: dict[str, tuple[float, float]],
    out: Any,
    *,
    mix: bool = False,
) -> Any:
    """Fit and report as the data want it; what came of it as plain values."""
    from htinvert.report.as_json import fit_values
    from htinvert.report.curve_fit import fit_with_progress
    from htinvert.report.curve_rank import rank_with_progress
    from htinvert.report.pattern_fit import thickness_with_progress

    if block.forward["use"] == PATTERN:
        return thickness_with_progress(
            structure, block, folder=folder, output=output, also=also, console=out
        )
    if mix:
        from htinvert.report.curve_mixture import mix_with_progress

        return mix_with_progress(
            structure, block, base=folder, output=output, also=also, console=out
        )
    if structure.is_dir():
        return fit_values(
            rank_with_progress(structure, block, base=folder, output=output, also=also, console=out)
        )
    return fit_values(
        fit_with_progress(structure, block, folder=folder, output=output, also=also, console=out)
    )


@app.command()
def edges(
    spectrum: Annotated[Path, typer.Argument(help="A spectrum of core losses.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Picture that is drawn.")] = Path(
        "edges.png"
    ),
    axis: Annotated[
        str | None, typer.Option(help="Name and unit of x, 'energy loss [keV]' [the file's].")
    ] = None,
    as_json: Json = False,
) -> None:
    """Find where a core-loss spectrum rises [eV], and name the edges that begin there.

    Example: htinvert edges EELS_STO.dm3
    """
    from htinvert.report.edges import show_edges

    found = show_edges(spectrum, axis=axis, output=output, console=console(quiet=as_json))
    if as_json:
        say_json(found)


def _experiment(
    path: Path, *, model: str, span: str | None, axis: str | None, given: Sequence[str]
) -> Experiment:
    """The block of a YAML file, or one made of a curve and the command's options."""
    from pydantic import ValidationError

    from htinvert import plugins
    from htinvert.config.campaign import load_experiment
    from htinvert.config.components import component_problems
    from htinvert.config.experiment import experiment_model, of_its_kind
    from htinvert.forward.pdf.data import LOWEST

    if path.suffix in YAML:
        if span or given or axis:
            raise UserError("range, axis and set belong into the YAML file; leave the options out")
        return load_experiment(path)
    block: dict[str, Any] = {"data": path, "metrics": {"rw": None}}
    forward: dict[str, Any] = {"use": model}
    for name, value in map(_value, given):
        field, _, entry = name.partition(".")
        if entry:
            forward.setdefault(field, {})[entry] = value
        else:
            forward[field] = value
    block["forward"] = forward
    if axis is not None:
        block["axis"] = axis
    if span is not None:
        block["range"] = two_numbers(
            span, f"range {span} is not of the form LOWER:UPPER, like 1.5:20"
        )
    elif model == "pdf" and forward.get("quantity", "G") == "G":
        block["range"] = (LOWEST, None)
    try:
        experiment = of_its_kind(block)
    except ValidationError as error:
        raise UserError(plugins.words(error, experiment_model(block))[0]) from error
    problems = component_problems({"experiments": {"this": block}})
    if problems:
        raise UserError("\n".join(problem.replace("experiments.this.", "") for problem in problems))
    return experiment


def _bounds(text: str) -> tuple[str, tuple[float, float]]:
    """Name and bounds of a free parameter."""
    name, _, span = text.partition("=")
    return name, two_numbers(span, f"free {text} is not of the form NAME=LOWER:UPPER")


def _value(text: str) -> tuple[str, float | str]:
    """Name and value of a parameter that is held."""
    name, equals, value = text.partition("=")
    if not equals or not value:
        raise UserError(f"set {text} is not of the form NAME=VALUE, such as qmax=20")
    try:
        return name, float(value)
    except ValueError:
        return name, value
