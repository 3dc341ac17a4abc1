"""From a checked configuration to the objects of a campaign: space, recipe, generators."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ase.data import chemical_symbols

from htinvert import plugins
from htinvert.campaign.channels import held, make_channels
from htinvert.campaign.defaults import with_generators
from htinvert.campaign.identity import content, identity_of
from htinvert.campaign.likelihood import objectives_in
from htinvert.campaign.place import place_experiments
from htinvert.campaign.references import References, price
from htinvert.campaign.screen import Screened
from htinvert.config.campaign import Config, default_objectives
from htinvert.core import (
    Candidate,
    EnergyModel,
    Evaluation,
    EvaluationFailed,
    Generator,
    Objective,
    Recipe,
    Refinement,
    Region,
    Space,
    UserError,
)
from htinvert.declaration.abilities import ChecksElements
from htinvert.declaration.declared import packages_of
from htinvert.declaration.wording import no_element
from htinvert.energy.free_length import with_length
from htinvert.energy.offer import offer_of
from htinvert.evaluation.blame import answerable
from htinvert.evaluation.evaluate import evaluate
from htinvert.evaluation.fit import fit
from htinvert.evaluation.misfits import Misfits
from htinvert.evaluation.refine import check_refinable
from htinvert.generators.mixture import Mixture
from htinvert.geometry.distances import covalent_distances
from htinvert.image.calibration.calibrate import Calibration
from htinvert.image.residual import Residuals
from htinvert.metrics.likelihood import as_plain
from htinvert.structures.region import search_space

VACUUM = 6.0  # Å around a cluster whose file has no cell
IMAGE_WEIGHT = 10.0  # worth of one unit of image cost [eV], where the YAML gives no objectives

PACKAGES = ("htinvert", "numpy", "scipy", "ase", "dask", "distributed", "zarr")
"""Distributions that every run depends on; its components name theirs themselves."""


@dataclass(frozen=True, eq=False)
class Plan:
    """A campaign ready to run.

    ``identity`` is what a run folder must agree with to be resumed; ``measured`` holds what the
    calibration of each experiment that asked for one has found, ``files`` a sentence on the file of
    each; paths are relative to ``folder``. ``references`` are the phases that chemical potentials
    follow from, once they are :meth:`priced`; ``said`` a sentence on what each given objective is
    worth. ``first`` are structures that are evaluated before any generator is asked, as those that
    another run has found.
    """

    config: Config
    space: Space
    recipe: Recipe
    objectives: tuple[Objective, ...]
    identity: Mapping[str, Any]
    measured: Mapping[str, Calibration]
    files: Mapping[str, str]
    folder: Path
    references: References | None = None
    first: tuple[Candidate, ...] = ()
    said: Mapping[str, str] = field(default_factory=dict)

    def generator(self) -> Generator:
        """Make the campaign's generators, which share its proposals."""
        context = {
            "space": self.space,
            "objectives": self.objectives,
            "seed": self.config.seed,
            "residuals": Residuals(self.recipe.channels),
            "misfits": Misfits(self.recipe.channels, self.objectives),
        }
        generators = self.config.search.generators
        shares = tuple(block.get("share", 1.0) for block in generators)
        for number, share in enumerate(shares):
            if not isinstance(share, int | float) or share <= 0:
                raise UserError(
                    f"search.generators.{number}.share is {share!r}; give a positive number"
                )
        components = self.config.components()
        built = tuple(
            components[f"search.generators.{number}"].build(self.folder, **context)
            for number in range(len(generators))
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

    def priced(self, known: Mapping[str, Any] | None = None) -> Plan:
        """The same plan with the chemical potentials that the phases it names come to.

        ``known`` is the state of references that were priced before. Raises :class:`UserError`
        where a phase cannot be priced, or where they leave an element without limits.
        """
        asked = self.config.phases
        if asked is None or self.references is not None:
            return self
        if known:
            found = References.restored(known)
        else:
            energy: EnergyModel = self.config.components()["energy"].build(self.folder)
            found = price(asked, energy, self.space, self.folder)
        recipe = replace(self.recipe, chemical_potentials=found.limits.potentials)
        return replace(self, references=found, recipe=recipe)


def screened(generator: Generator, plan: Plan) -> Generator:
    """Let a generator's proposals pass the cheap stage that the configuration asks for."""
    asked = plan.config.search.screen
    assert asked is not None  # noqa: S101
    energy: EnergyModel = plan.config.components()["search.screen.energy"].build(plan.folder)
    if isinstance(energy, ChecksElements):
        symbols = plan.space.template.get_chemical_symbols()
        energy.check_elements({*symbols, *plan.space.composition})
    settings = asked.model_dump(exclude={"energy"})
    cheap = replace(plan.recipe, energy=with_length(energy, plan.space.region))
    return Screened(generator, cheap, plan.space, plan.objectives, **settings)


def make_plan(config: Config, *, folder: Path) -> Plan:
    """Build everything that a configuration names; paths are taken relative to ``folder``.

    Raises :class:`UserError` for files that are missing or do not fit, and for elements that the
    energy model does not know.
    """
    components = config.components()
    atoms = components["structure"].build(folder)
    if len(atoms) and atoms.cell.rank == 0:
        atoms.center(vacuum=VACUUM)
    region = Region(**config.region.model_dump()) if config.region else None
    if region is not None and not len(atoms):
        raise UserError("region: the start structure has no atoms to bound; leave the region out")
    symbols = set(atoms.get_chemical_symbols()) | set(config.composition)
    _check_symbols(symbols | set(config.given_potentials))
    space = search_space(
        atoms,
        region=region,
        composition=config.composition,
        min_distance=_min_distance(config, symbols),
    )
    energy: EnergyModel = components["energy"].build(folder)
    if isinstance(energy, ChecksElements):
        energy.check_elements(symbols)
    energy = with_length(energy, region)
    config, found, images = place_experiments(config, atoms, folder=folder)
    channels, measured, files = make_channels(config, folder, images)
    files |= {name: f"{files[name]}; {place.sentence}" for name, place in found.items()}
    config = with_generators(config, channels, space)
    objectives, said = objectives_in(config, channels, space)
    if objectives is None:
        names = default_objectives(config)
        objectives = tuple(Objective(n, 1.0 if n == "energy" else IMAGE_WEIGHT) for n in names)
    identity = identity_of(config, atoms, channels, folder)
    channels = tuple(
        replace(channel, imaging=content(identity["experiments"][channel.name]["forward"]))
        for channel in channels
    )
    refine = None
    if config.refine is not None:
        check_refinable(energy, channels, objectives, atoms)
        refine = Refinement(config.refine.steps, config.refine.below, objectives)
        identity["refine"]["objectives"] = {o.name: as_plain(o) for o in objectives}  # which decide
    recipe = Recipe(energy, channels, config.given_potentials, region, refine)
    if (offer := offer_of(energy)) is not None:
        identity["energy"]["model"] = offer.model  # energies of another version are others
    plan = Plan(config, space, recipe, objectives, identity, measured, files, folder, said=said)
    plan.generator()  # its parameters, too, are checked before anything begins
    return plan


def fit_to_start(plan: Plan) -> dict[str, dict[str, float]]:
    """Fit the free parameters to the start structure.

    The grains, which are known, decide the fit; without an atom there is nothing to fit to. Raises
    :class:`UserError` where the start structure cannot be imaged or compared, so that no campaign
    begins that could only fail.
    """
    if not has_start(plan):
        _check_all_refitted(plan)
        return {}
    parameters = {}
    for channel in plan.recipe.channels:
        try:
            with answerable([channel]):
                fitted = fit(channel, plan.space.template)
        except EvaluationFailed as failure:
            raise UserError(
                f"experiments.{channel.name}: the start structure does not fit in: {failure}"
            ) from failure
        if channel.free:
            parameters[channel.name] = fitted.parameters
    return parameters


def has_start(plan: Plan) -> bool:
    """Whether the start structure has atoms; a box has none before the first candidate."""
    return len(plan.space.template) > 0


def _check_all_refitted(plan: Plan) -> None:
    """Raise :class:`UserError` where a parameter could only be fitted to the start structure."""
    for channel in plan.recipe.channels:
        refitted = plan.config.experiments[channel.name].refitted
        if rest := [name for name in channel.free if name not in refitted]:
            raise UserError(
                f"experiments.{channel.name}.free.{rest[0]} is fitted to the start structure, but "
                f"that has no atoms; name it in refit, so that every candidate fits it, or give "
                "the forward model its value"
            )


def evaluate_start(plan: Plan) -> Evaluation:
    """Evaluate the start structure as it is given, as candidate -1; one without atoms fails."""
    start = Candidate(-1, plan.space.template, "start")
    if not has_start(plan):
        return Evaluation(start, error="the start structure has no atoms")
    return evaluate(start, plan.recipe)


def provenance(config: Config) -> dict[str, Any]:
    """Versions, of what the components name, too, and machine, for the record."""
    versions, packages = {}, dict.fromkeys(PACKAGES)
    for part in config.components().values():
        packages |= dict.fromkeys(packages_of(plugins.find(part.kind, part.use), part.given))
    for package in packages:
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
        raise UserError("; ".join(map(no_element, unknown)))
