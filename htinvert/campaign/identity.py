"""What decides proposals and evaluations of a campaign: its identity, by which a run goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ase import Atoms
from pydantic import ValidationError

from htinvert import plugins
from htinvert.config.campaign import Config
from htinvert.config.components import components
from htinvert.core import (
    Channel,
    UserError,
)
from htinvert.declaration.abilities import Versioned

UNCOUNTED: Any = {  # may change when a run is resumed
    **dict.fromkeys(("name", "stop", "workers", "cluster", "in_flight", "objectives"), True),
    "experiments": {"__all__": {"keep"}},
}


def identity_like(identity: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """An identity without the keys that a stored one lacks, where their values are the defaults.

    So a run goes on that was begun before these keys existed: what it lacks counts as the default.
    """
    like: dict[str, Any] = _known_keys(dict(identity), stored, _completed(stored))
    return like


def _known_keys(new: Any, old: Any, full: Any) -> Any:
    """``new`` less what ``old`` lacks and ``full``, which is old with its defaults, has alike."""
    if isinstance(new, dict) and isinstance(old, dict) and isinstance(full, dict):
        return {
            key: _known_keys(value, old[key], full[key]) if key in old else value
            for key, value in new.items()
            if key in old or key not in full or value != full[key]
        }
    lists = isinstance(new, list) and isinstance(old, list) and isinstance(full, list)
    if lists and len(new) == len(old) == len(full):
        return [_known_keys(*parts) for parts in zip(new, old, full, strict=True)]
    return new


def _completed(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A stored identity with the defaults of what it lacks, in its blocks and its components."""
    try:
        config = Config.model_validate({"name": "any", **stored})
    except ValidationError:
        return dict(stored)
    full = _plain(config)
    for component in list(components(full)):
        block: Any = component.block
        with suppress(UserError):
            model = plugins.parameters(plugins.find(component.kind, component.use))
            for name, field in model.model_fields.items() if isinstance(block, dict) else ():
                if not field.is_required():
                    block.setdefault(name, json.loads(json.dumps(field.default, default=str)))
    return full


def identity_of(
    config: Config, atoms: Atoms, channels: tuple[Channel, ...], folder: Path
) -> dict[str, Any]:
    """What decides proposals and evaluations, with the contents of files instead of their paths."""
    identity = _plain(config)
    for component in list(components(identity)):
        for key, value in component.given.items():
            path = plugins.resolve(Path(value), folder) if isinstance(value, str) else None
            if path is not None and path.is_file() and isinstance(component.block, dict):
                component.block[key] = digest(path.read_bytes())
    identity["structure"]["atoms"] = digest(
        atoms.numbers.tobytes()
        + atoms.positions.round(6).tobytes()
        + atoms.cell.array.round(6).tobytes()
    )
    for channel in channels:
        block = identity["experiments"][channel.name]
        block["image"] = digest(channel.observed.data.tobytes())
        if isinstance(channel.forward, Versioned):
            block["forward"]["model"] = channel.forward.version
    return identity


def _plain(config: Config) -> dict[str, Any]:
    """What of a configuration counts, as plain values; the data are named as in older runs."""
    plain = config.model_dump(mode="json", exclude=UNCOUNTED)
    for block in plain["experiments"].values():
        block["image"] = block.pop("data")
    return plain


def content(block: Any) -> str:
    """A name for what plain values say: 16 hexadecimal digits of their SHA-256."""
    return digest(json.dumps(block, sort_keys=True).encode())


def digest(content: bytes) -> str:
    """A name for bytes: the first 16 hexadecimal digits of their SHA-256."""
    return hashlib.sha256(content).hexdigest()[:16]
