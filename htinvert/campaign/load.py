"""From a campaign, as a file or as a mapping, to a plan; and what may still change before it runs.

>>> plan = load("campaign.yaml", workers=2, stop={"minutes": 10})  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from htinvert import plugins
from htinvert.campaign.plan import Plan, make_plan
from htinvert.config.campaign import Config, Stop, parse
from htinvert.config.yaml_file import read_yaml
from htinvert.core import UserError
from htinvert.store import RunStore, is_run

WHILE_IT_RUNS = ("workers", "cluster", "in_flight", "stop")  # no evaluation depends on these


def load(
    campaign: str | Path | Mapping[str, Any], *, folder: str | Path | None = None, **changes: Any
) -> Plan:
    """Read and check a campaign, and build all that it names; nothing is run.

    Args:
        campaign: the path of a YAML file, or a mapping of what would stand in one.
        folder: what its paths are relative to: the file's folder, or for a mapping this one,
            unless it is given.
        changes: keys with what is to hold in place of what the campaign says, merged into it as
            into a campaign that is extended: ``workers=2``, ``stop={"minutes": 10}`` [min].

    Raises :class:`UserError`, with one line per mistake, for what a campaign may not say, changes
    included, for files that are missing or do not fit, and for elements unknown to the energy
    model.
    """
    other = _plain(changes)
    if isinstance(campaign, Mapping):
        return make_plan(parse(_plain(campaign), changes=other), folder=Path(folder or ""))
    path = Path(campaign)
    config = parse(read_yaml(path), source=path, changes=other)
    return make_plan(config, folder=path.parent if folder is None else Path(folder))


def changed(plan: Plan, **changes: Any) -> Plan:
    """The same plan with other workers, cluster, number in flight or rules to stop.

    What else would change is another plan: :func:`load` it. Raises :class:`UserError` for what a
    campaign may not say.
    """
    for name in changes:
        if name not in WHILE_IT_RUNS:
            raise UserError(f"{name} makes another plan; give it to load")
    try:
        config = Config.model_validate({**plan.config.model_dump(), **_plain(changes)})
    except ValidationError as error:
        raise UserError("\n".join(plugins.words(error, Config))) from error
    return replace(plan, config=config)


def further(plan: Plan, folder: Path, more: int) -> Plan:
    """The plan with a stop rule of this many evaluations beyond those that a folder holds.

    Of the other rules only the minutes of the session stay: one that is met would end it at once.
    """
    done = 0
    if is_run(folder):
        with RunStore.open(folder) as store:
            counts = store.counts()
            done = counts.ok + counts.failed
    stop = Stop(evaluations=done + more, minutes=plan.config.stop.minutes)
    return replace(plan, config=plan.config.model_copy(update={"stop": stop}))


def _plain(value: Any) -> Any:
    """What a script gives, as YAML would have it: paths as text, tuples as lists."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(part) for part in value]
    if isinstance(value, np.generic):
        return value.item()
    return str(value) if isinstance(value, Path) else value
