"""Whether a run may go on under a recipe, and which stages of it two recipes have in common."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from htinvert.core import UserError


def require_recipe(folder: Path, held: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raise a UserError that names the fields in which a recipe is not the run's own."""
    old, new = _flat(held), _flat(json.loads(json.dumps(given)))
    absent = "absent"
    changed = [
        f"{name} is {json.dumps(new[name]) if name in new else absent} but was "
        f"{json.dumps(old[name]) if name in old else absent}"
        for name in sorted(old.keys() | new.keys())
        if json.dumps(old.get(name, absent)) != json.dumps(new.get(name, absent))
        or (name in old) != (name in new)
    ]
    if changed:
        more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
        raise UserError(
            f"run {folder} was made with another recipe: {', '.join(changed[:5])}{more}; "
            "restore what differs, name a new folder for the run, or give it one with --output and "
            f"--fork {folder} to reuse what still holds"
        )


def stage_keys(recipe: Mapping[str, Any]) -> dict[str, str]:
    """What decides each stage of an evaluation, hashed: structure, energy, image.*, score.*.

    Each stage builds on the ones before: where two recipes have a key in common, what came out of
    that stage for a structure is the same.
    """
    found = {name: recipe.get(name) for name in ("structure", "region", "composition")}
    keys = {"structure": _digest(found)}
    keys["energy"] = _digest([found, recipe.get("energy")])
    for name, experiment in (recipe.get("experiments") or {}).items():
        seen = {key: value for key, value in experiment.items() if key != "metrics"}
        keys[f"image.{name}"] = _digest([keys["energy"], seen])
        keys[f"score.{name}"] = _digest([keys["energy"], experiment])
    return keys


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Leaves of nested mappings and lists by dotted path."""
    if isinstance(value, dict | list) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        parts = [_flat(entry, f"{prefix}.{name}" if prefix else str(name)) for name, entry in items]
        return {path: leaf for part in parts for path, leaf in part.items()}
    return {prefix: value}
