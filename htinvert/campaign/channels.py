"""From an experiment's block in the YAML to a channel: data, calibration, model, metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from htinvert import plugins
from htinvert.config.campaign import Config
from htinvert.config.experiment import Experiment
from htinvert.core import Channel, Metric, Signal, UserError
from htinvert.declaration.abilities import (
    ChecksData,
    Framed,
    OnAxes,
    ReadsCompanions,
    ReadsHeader,
    ReducesData,
    Sampled,
    Sheared,
)
from htinvert.declaration.declared import check_values, declared, value_of
from htinvert.evaluation.fit import adjusted, with_steps
from htinvert.image.calibration.calibrate import Calibration, calibrate
from htinvert.signals.curve_file import TEXTS, read_curve
from htinvert.signals.header import header_of
from htinvert.signals.image import calibration_asked
from htinvert.signals.kind import kind_named
from htinvert.signals.read import read

Read = tuple[Signal, str]
"""Prepared data, and a sentence on what their file holds."""


def make_channels(
    config: Config, folder: Path, known: Mapping[str, Read] = MappingProxyType({})
) -> tuple[tuple[Channel, ...], dict[str, Calibration], dict[str, str]]:
    """Every experiment of a campaign, calibrations where asked for, a sentence on each file.

    What is ``known`` already is not read again.
    """
    channels, measured, files = [], {}, {}
    for name, experiment in config.experiments.items():
        observed, files[name] = known.get(name) or read_experiment(experiment, folder=folder)
        calibration = measure(name, experiment, observed, folder)
        if calibration is not None:
            measured[name] = calibration
        channels.append(_channel(name, experiment, observed, calibration, folder))
    return tuple(channels), measured, files


def make_channel(name: str, experiment: Experiment, *, folder: Path) -> Channel:
    """Read an experiment and make its forward model and metrics; paths are relative to ``folder``.

    Raises :class:`UserError` for a file that is missing or does not fit, and unknown parameters.
    """
    return make_described(name, experiment, folder=folder)[0]


def make_described(
    name: str, experiment: Experiment, *, folder: Path, known: Read | None = None
) -> tuple[Channel, str]:
    """A channel as :func:`make_channel` makes it, and a sentence on what its file holds.

    What is ``known`` already is not read again.
    """
    observed, said = known or read_experiment(experiment, folder=folder)
    measured = measure(name, experiment, observed, folder)
    return _channel(name, experiment, observed, measured, folder), said


def observe(experiment: Experiment, *, folder: Path) -> Signal:
    """Read and prepare an experiment's data, as its kind is read."""
    return read_experiment(experiment, folder=folder)[0]


def read_experiment(experiment: Experiment, *, folder: Path) -> Read:
    """The prepared data of an experiment, and a sentence on what its file holds."""
    path = plugins.resolve(experiment.data, folder)
    return kind_named(experiment.kind).read(path, experiment, experiment.prepare)


def measure(
    name: str, experiment: Experiment, observed: Signal, folder: Path
) -> Calibration | None:
    """Calibrate an experiment by the crystal that its ``calibrate`` block names, if there is one.

    Raises :class:`UserError` where the image does not show that crystal.
    """
    asked = calibration_asked(experiment)
    if asked is None:
        return None
    try:
        return calibrate(
            observed,
            plugins.build("structure", asked.phase, folder, f"experiments.{name}.calibrate.phase"),
            zone=asked.zone,
            region=asked.region,
            tolerance=asked.tolerance,
        )
    except UserError as error:
        raise UserError(f"experiments.{name}.calibrate: {error}") from error


def _channel(
    name: str,
    experiment: Experiment,
    observed: Signal,
    measured: Calibration | None,
    folder: Path,
) -> Channel:
    """Forward model and metrics for an observation, whose pixels may have been measured."""
    place = f"experiments.{name}"
    forward: Any = plugins.build("forward", experiment.forward, folder, f"{place}.forward")
    if measured is not None:
        observed = with_steps(observed, measured.sampling)
        sheared = {"shear_x": measured.shear_x} if isinstance(forward, Sheared) else {}
        forward = replace(forward, **sheared) if sheared else forward
    metrics: dict[str, Metric] = {
        plugins.short(metric): plugins.build(
            "metric", {"use": metric} | (spec or {}), folder, f"{place}.metrics.{metric}"
        )
        for metric, spec in experiment.metrics.items()
    }
    adjustable: list[str] = (
        [field.name for field in fields(forward)] if is_dataclass(forward) else []
    )
    for parameter, (low, high) in experiment.free.items():
        if parameter.partition(".")[0] not in adjustable:
            hint = plugins.suggest(parameter, adjustable)
            raise UserError(f"{place}.free.{parameter} is unknown; {hint}")
        if not low < high:
            raise UserError(f"{place}.free.{parameter} needs a lower bound below the upper")
    path = plugins.resolve(experiment.data, folder)
    asked = isinstance(forward, ReadsHeader | ChecksData) and path.suffix.lower() in TEXTS
    header = header_of(path) if asked else {}
    if isinstance(forward, ChecksData):
        try:
            forward.check_data(observed, _whole(experiment, observed, path), header)
        except UserError as error:
            raise UserError(f"{path.name}: {error}") from error
    forward = _told(forward, header, f"{place}: the header of {path.name}")
    forward = _accompanied(forward)
    if isinstance(forward, ReducesData):
        try:
            forward, observed = forward.reduced(observed)
        except UserError as error:
            raise UserError(f"{path.name}: {error}") from error
    forward = _like(forward, observed)
    for parameter in experiment.free:
        _check_bounds(forward, parameter, experiment.free, f"{place}.free.{parameter}")
    free, method, keep = experiment.free, experiment.method, experiment.keep
    return Channel(name, observed, forward, metrics, free, method, keep=keep)


def _accompanied(forward: Any) -> Any:
    """The model with what was read of the other files that it names."""
    if not isinstance(forward, ReadsCompanions):
        return forward
    named = {name: getattr(forward, name) for name in forward.companions}
    signals = {
        name: read(path, kind=forward.companions[name])
        for name, path in named.items()
        if path is not None
    }
    try:
        return forward.accompanied(**signals) if signals else forward
    except UserError as error:
        files = ", ".join(Path(named[name]).name for name in signals)
        raise UserError(f"{files}: {error}") from error


def _check_bounds(
    forward: Any, parameter: str, free: Mapping[str, tuple[float, float]], place: str
) -> None:
    """Raise :class:`UserError` where a fit could leave what a forward model takes.

    Each bound is given to it as the fit would, with the other entries of its mapping that are free,
    for models check more than what they declare.
    """
    now = value_of(forward, parameter)
    one = now[0] if isinstance(now, tuple) and now else now  # a pixel size may be a pair
    if isinstance(one, str | bool) or (one is not now and not isinstance(one, float)):
        raise UserError(f"{place} is {now!r}, which is no number that could be fitted")
    name = parameter.partition(".")[0]
    entries = {
        other: float(low) for other, (low, _) in free.items() if other.startswith(name + ".")
    }
    for bound in free[parameter]:
        try:
            check_values({name: bound}, declared(type(forward)))
            adjusted(forward, {**entries, parameter: float(bound)})
        except (ValueError, TypeError) as error:
            raise UserError(f"{place}: {error}; set its bounds so that all between fits") from error


def held(channel: Channel, parameters: Mapping[str, float], refitted: Sequence[str]) -> Channel:
    """A channel at fitted parameters, of which only those ``refitted`` stay free.

    A fitted pixel size is the experiment's, too.
    """
    if not parameters:
        return channel
    forward: Any = channel.forward
    observed = channel.observed
    if "sampling" in parameters:
        observed = with_steps(observed, (parameters["sampling"],) * len(observed.axes))
    free = {name: channel.free[name] for name in refitted}
    return replace(channel, forward=adjusted(forward, parameters), observed=observed, free=free)


def _whole(experiment: Any, observed: Signal, path: Path) -> Signal:
    """All of a curve that a file holds, before any range; other data as they are compared."""
    if experiment.kind != "curve":
        return observed
    return read_curve(path, columns=experiment.columns, axis=experiment.axis)[0]


def _told(forward: Any, said: Mapping[str, Any], place: str) -> Any:
    """Give a forward model what it lacks and the header of the experiment's file says."""
    if not isinstance(forward, ReadsHeader):
        return forward
    missing = {
        name: said[key]
        for name, key in forward.header.items()
        if getattr(forward, name) is None and key in said
    }
    try:
        return adjusted(forward, missing)
    except ValueError as error:
        raise UserError(f"{place} does not fit: {error}") from error


def _like(forward: Any, observed: Signal) -> Any:
    """Give a forward model the experiment's pixel size, axes and shape where it has none."""
    missing: dict[str, Any] = {}
    if isinstance(forward, Sampled) and forward.sampling is None:
        steps = observed.sampling
        missing["sampling"] = steps[0] if len(set(steps)) == 1 else steps
    if isinstance(forward, OnAxes) and forward.axes is None:
        missing["axes"] = observed.axes
    if isinstance(forward, Framed) and forward.shape is None:
        missing["shape"] = observed.data.shape
    return replace(forward, **missing) if missing else forward
