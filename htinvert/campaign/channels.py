"""From an experiment's block in the YAML to a channel: image, calibration, model, metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from htinvert import plugins
from htinvert.config.campaign import Config, Experiment
from htinvert.core import Channel, Metric, Signal, UserError
from htinvert.image.calibration.calibrate import Calibration, calibrate
from htinvert.image.read import read_image


def make_channels(
    config: Config, folder: Path
) -> tuple[tuple[Channel, ...], dict[str, Calibration]]:
    """Every experiment of a campaign, and the calibrations of those that asked for one."""
    channels, measured = [], {}
    for name, experiment in config.experiments.items():
        observed = observe(experiment, folder=folder)
        found = measure(name, experiment, observed, folder)
        if found is not None:
            measured[name] = found
        channels.append(_channel(name, experiment, observed, found, folder))
    return tuple(channels), measured


def make_channel(name: str, experiment: Experiment, *, folder: Path) -> Channel:
    """Read an experiment and make its forward model and metrics; paths are relative to ``folder``.

    Raises :class:`UserError` for a file that is missing or does not fit, and unknown parameters.
    """
    observed = observe(experiment, folder=folder)
    return _channel(name, experiment, observed, measure(name, experiment, observed, folder), folder)


def observe(experiment: Experiment, *, folder: Path) -> Signal:
    """Read and prepare an experiment's image, shape (ny, nx)."""
    return read_image(
        plugins.resolve(experiment.image, folder),
        sampling=experiment.sampling,
        crop=experiment.crop,
        signal=experiment.signal,
        channel=experiment.channel,
        prepare=experiment.prepare,
    )


def measure(
    name: str, experiment: Experiment, observed: Signal, folder: Path
) -> Calibration | None:
    """Calibrate an experiment by the crystal that its ``calibrate`` block names, if there is one.

    Raises :class:`UserError` where the image does not show that crystal.
    """
    asked = experiment.calibrate
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
        observed = Signal.image(observed.data, measured.sampling)
        if hasattr(forward, "shear_x"):
            forward = replace(forward, shear_x=measured.shear_x)
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
        if parameter not in adjustable:
            hint = plugins.suggest(parameter, adjustable)
            raise UserError(f"{place}.free.{parameter} is unknown; {hint}")
        if not low < high:
            raise UserError(f"{place}.free.{parameter} needs a lower bound below the upper")
    forward = _like(forward, observed)
    free, method, keep = experiment.free, experiment.method, experiment.keep
    return Channel(name, observed, forward, metrics, free, method, keep=keep)


def held(channel: Channel, parameters: Mapping[str, float], refitted: Sequence[str]) -> Channel:
    """A channel at fitted parameters, of which only those ``refitted`` stay free.

    A fitted pixel size is the experiment's, too.
    """
    if not parameters:
        return channel
    forward: Any = channel.forward
    observed = channel.observed
    if "sampling" in parameters:
        observed = Signal.image(observed.data, parameters["sampling"])
    free = {name: channel.free[name] for name in refitted}
    return replace(channel, forward=replace(forward, **parameters), observed=observed, free=free)


def _like(forward: Any, observed: Signal) -> Any:
    """Give a forward model the pixel size and shape of the experiment where it has none."""
    missing = {}
    if getattr(forward, "sampling", 0) is None:
        y, x = observed.sampling
        missing["sampling"] = y if y == x else (y, x)
    if getattr(forward, "shape", 0) is None:
        missing["shape"] = observed.data.shape
    return replace(forward, **missing) if missing else forward
