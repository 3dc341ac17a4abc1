"""What a run's folder tells of how the run was begun, so that it goes on in the same way."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from htinvert.campaign.identity import identity_like
from htinvert.campaign.inputs import changed_inputs
from htinvert.campaign.plan import Plan, fit_to_start, make_plan
from htinvert.campaign.weights import weighted
from htinvert.config.campaign import load
from htinvert.config.weights import LikelihoodPart
from htinvert.config.yaml_file import read_yaml, seen_from
from htinvert.core import ENERGIES, UserError
from htinvert.declaration.declared import value_of
from htinvert.metrics.likelihood import as_plain
from htinvert.store import RunStore, is_run
from htinvert.store.archive import write_durably
from htinvert.store.provenance import begun_at, read_provenance
from htinvert.store.trouble import explained


def calibration(plan: Plan, path: Path) -> Mapping[str, Mapping[str, float]]:
    """Imaging parameters that a run was begun with, or a new fit to the start structure."""
    fitted = begun_at(read_provenance(path))
    return fit_to_start(plan) if fitted is None else fitted


def ready(plan: Plan, path: Path) -> Plan:
    """The plan with what a run was begun with, or will be: imaging parameters, priced phases."""
    calibrated = plan.calibrated(calibration(plan, path))
    priced = calibrated.priced(read_provenance(path).get("references"))
    return weighted(priced, _weights(path))


def _weights(path: Path) -> Mapping[str, float] | None:
    """Weights that a run was begun with; None where it is not begun."""
    kept = path / "config.yaml"
    return read_yaml(kept).get("objectives") if kept.is_file() else None


def plan_of(folder: Path) -> Plan:
    """The plan that a run goes on with, at the imaging parameters that it was begun with.

    Raises :class:`UserError` where this machine lacks a file or an engine of it, and where a file
    is not what the run was made with.
    """
    if changed := changed_inputs(folder):
        raise UserError("\n".join(changed.values()))
    config = load(folder / "config.yaml")
    plan = make_plan(config, folder=folder)
    return ready(plan, folder)


def resumed(plan: Plan, path: Path) -> Plan:
    """The plan as a run in ``path`` knows it: keys that are younger than the run are left out."""
    if not is_run(path):
        return plan
    with suppress(UserError), RunStore.open(path) as store:
        return replace(plan, identity=identity_like(plan.identity, store.recipe))
    return plan  # whoever opens it for writing says what is wrong


def write_config(plan: Plan, path: Path) -> None:
    """Keep the configuration in the run's folder; it names files as seen from there."""
    target = path / "config.yaml"
    config = plan.config.model_copy(update={"objectives": _kept(plan)})
    raw = seen_from(path, config.model_dump(mode="json", exclude_none=True), plan.folder)
    text = yaml.safe_dump(raw, sort_keys=False)
    try:
        write_durably(target, text.encode())
    except OSError as error:
        raise explained(path, error) from error


def _kept(plan: Plan) -> dict[str, float | LikelihoodPart]:
    """What each objective is worth in numbers, so that a later reading of the data changes none."""
    given, found = plan.config.objectives or {}, {}
    for objective in plan.objectives:
        worth: Any = as_plain(objective)
        if isinstance(given.get(objective.name), LikelihoodPart) and objective.name in ENERGIES:
            worth = {"kT": 1.0 / objective.weight}
        found[objective.name] = LikelihoodPart(**worth) if isinstance(worth, dict) else worth
    return found


def parameters(plan: Plan) -> dict[str, dict[str, float]]:
    """Per channel, what its free parameters were found to be on the start structure."""
    return {
        channel.name: {name: value_of(channel.forward, name) for name in experiment.free}
        for channel in plan.recipe.channels
        if (experiment := plan.config.experiments[channel.name])
    }
