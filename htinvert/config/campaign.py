"""From a YAML file to validated objects: one file, one campaign.

Every mistake is reported at once, with its path and what was probably meant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from htinvert import plugins
from htinvert.config.components import component_problems, components
from htinvert.config.experiment import (
    PART,
    AnyExperiment,
    Bounds,
    Component,
    Experiment,
    experiment_model,
    of_its_kind,
)
from htinvert.config.numbers import with_numbers
from htinvert.config.potentials import ChemicalPotentials, PhasesPart
from htinvert.config.weights import Worth, named_objectives
from htinvert.config.yaml_file import TOO_DEEP, located, merge, read_yaml, too_deep
from htinvert.core import ENERGIES, Region, UserError
from htinvert.declaration.schema_words import either
from htinvert.declaration.wording import shown
from htinvert.signals.kind import Part

MOST_WORKERS = 50_000  # no Dask scheduler was ever seen to serve more (27 648, on Summit)
NAME = r"^\.*[A-Za-z0-9_-][A-Za-z0-9_.-]*$"  # that of a folder, too, and so no dots alone
LONGEST_NAME = 120  # characters: a file's name has 255
WEIGHTS = "give one a weight above 0, and none a lower one, or leave objectives out"
TOTAL = "total"  # in a stop rule: the weighted sum of all objectives


class RegionPart(Part):
    """The part that may change [Å]; see :class:`htinvert.core.Region`."""

    axis: Literal["x", "y", "z"] = "z"
    lower: float
    upper: float
    margin: float = Field(default=3.0, ge=0)
    below: Literal["frozen", "rigid"] = "frozen"
    above: Literal["frozen", "rigid"] = "frozen"
    move: str = "xyz"
    length: Literal["fixed", "free"] = "fixed"
    box: dict[Literal["x", "y", "z"], Bounds] = Field(default={})

    @model_validator(mode="after")
    def _is_a_region(self) -> RegionPart:
        try:
            Region(**self.model_dump())
        except UserError as error:
            raise ValueError(str(error)) from error
        return self


class ScreenPart(Part):
    """A cheap stage before the evaluation; see :class:`htinvert.campaign.screen.Screened`."""

    energy: Component
    tries: int = Field(default=8, ge=1)
    kappa: float = Field(default=1.0, ge=0)
    start: Literal["proposed", "relaxed"] = "proposed"
    repeat: float = Field(default=2e-3, ge=0)
    capture: float = Field(default=0.5, ge=0)


class RefinePart(Part):
    """Steps down energy and fit together after a relaxation, where each fit costs at most below."""

    steps: int = Field(default=20, ge=1)
    below: float = Field(default=0.5, ge=0)


class Search(Part):
    """Who proposes, and the shortest distance [Å] between atoms, one number or one per pair.

    A proposal nearer than ``novelty`` [Å rms] to a relaxed structure is refused; 0 refuses
    repetitions only, and so does any number where the energy model relaxes nothing.
    ``equivalents`` says whether what a symmetry of the host makes of a known structure, a shifted
    or mirrored copy, is known too (``same``) or worth an evaluation (``apart``); left out, it is
    apart where there is an experiment, for an image may tell.
    """

    generators: list[Component] = Field(
        default=[{"use": "genetic", "share": 0.6}, {"use": "basin_hopping", "share": 0.4}],
        min_length=1,
    )
    min_distance: float | dict[str, float] | None = None
    novelty: float = Field(default=0.3, ge=0)
    equivalents: Literal["same", "apart"] | None = None
    screen: ScreenPart | None = None

    @field_validator("min_distance")
    @classmethod
    def _distances(cls, given: float | dict[str, float] | None) -> float | dict[str, float] | None:
        for distance in given.values() if isinstance(given, dict) else [given or 1.0]:
            if distance <= 0.0 or given == 0.0:
                raise ValueError("atoms cannot be as close; give distances above 0 Å")
        return given


class Stop(Part):
    """When to end; the first rule that is met decides.

    Attributes:
        evaluations: how many in all, failed ones included.
        core_seconds: seconds that all evaluations took together, on whatever core [s].
        minutes: of this session, by the clock.
        patience: evaluations in a row that did not improve the best weighted sum.
        target: per objective, or ``total`` for the weighted sum, a value; the first candidate that
            reaches all of them ends the campaign.
    """

    evaluations: int | None = Field(default=None, gt=0)
    core_seconds: float | None = Field(default=None, gt=0)
    minutes: float | None = Field(default=None, gt=0)
    patience: int | None = Field(default=None, gt=0)
    target: dict[str, float] = Field(default={})


def _counts(value: Any) -> Any:
    """One number of atoms is the fewest and the most."""
    return (value, value) if isinstance(value, int) and not isinstance(value, bool) else value


Counts = Annotated[
    tuple[int, int], BeforeValidator(_counts, json_schema_input_type=int | tuple[int, int])
]


class Config(Part):
    """A campaign as its YAML file says it.

    ``cluster`` is the profile of a site where ``workers`` run, see docs/cluster.md; ``in_flight``
    is how many candidates may be out at once, so that one makes a campaign repeat itself exactly.
    """

    name: str = Field(pattern=NAME, max_length=LONGEST_NAME)
    seed: int = Field(default=1, ge=0)
    structure: Component
    region: RegionPart | None = None
    composition: dict[str, Counts] = Field(default={})
    energy: Component
    chemical_potentials: ChemicalPotentials = Field(default={})
    experiments: dict[str, AnyExperiment] = Field(default={})
    objectives: dict[str, Worth] | None = None
    refine: RefinePart | None = None
    search: Search = Search()
    stop: Stop = Stop(evaluations=200)
    workers: int = Field(default=2, ge=0, le=MOST_WORKERS)
    cluster: str | None = None
    in_flight: int | None = Field(default=None, ge=1)

    @field_validator("experiments", mode="before")
    @classmethod
    def _names(cls, experiments: Any) -> Any:
        for name in experiments if isinstance(experiments, Mapping) else ():
            if not re.fullmatch(PART, str(name)):
                raise ValueError(
                    f"{shown(name)} is no name for an experiment; use up to 80 letters, digits, _ "
                    "and -"
                )
        return experiments

    @field_validator("composition")
    @classmethod
    def _ranges(cls, composition: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        for symbol, (low, high) in composition.items():
            if not 0 <= low <= high:
                raise ValueError(f"{symbol} asks for {low} to {high} atoms; give fewest, most")
        return composition

    @field_validator("objectives")
    @classmethod
    def _weights(cls, weights: dict[str, Worth] | None) -> dict[str, Worth] | None:
        for name, weight in (weights or {}).items():
            if isinstance(weight, float) and weight < 0:
                raise ValueError(f"{name} weighs {weight:g}, which looks for the worst; {WEIGHTS}")
        if weights is not None and not any(weights.values()):
            raise ValueError(f"nothing ranks if all weights are 0; {WEIGHTS}")
        return weights

    @property
    def phases(self) -> PhasesPart | None:
        """The phases that chemical potentials follow from; None where they are numbers."""
        given = self.chemical_potentials
        return given if isinstance(given, PhasesPart) else None

    @property
    def given_potentials(self) -> dict[str, float]:
        """Chemical potentials that are given as numbers [eV]."""
        given = self.chemical_potentials
        return {} if isinstance(given, PhasesPart) else given

    def components(self) -> dict[str, plugins.Named]:
        """Every component by its place, such as ``experiments.haadf.forward``."""
        return {component.place: component for component in components(self.model_dump())}


def load(path: Path) -> Config:
    """Read and check a campaign file. Raises :class:`UserError` with one line per mistake."""
    return parse(read_yaml(path), source=path)


def stored(path: Path) -> Config:
    """The configuration of a run, as its readers take it: what it names is not looked for.

    Raises :class:`UserError` with one line per mistake.
    """
    try:
        return Config.model_validate(raw := read_yaml(path))
    except ValidationError as error:
        problems = either(_worded(e, raw) for e in error.errors())
        raise UserError("\n".join(located(path, problem) for problem in problems)) from error


def load_experiment(path: Path) -> Experiment:
    """Read a file that holds one experiment's block. Raises as :func:`load` does."""
    raw = read_yaml(path)
    problems = []
    try:
        experiment = of_its_kind(raw)
    except ValidationError as error:
        problems = plugins.words(error, experiment_model(raw))
    prefix = "experiments.this."
    inside = component_problems({"experiments": {"this": raw}})
    problems = with_numbers([*problems, *(p.replace(prefix, "") for p in inside)], raw)
    if problems:
        raise UserError("\n".join(located(path, problem) for problem in problems))
    return experiment


class StructurePart(BaseModel):
    """What of a campaign makes its start structure; all else is left aside."""

    structure: Component
    region: RegionPart | None = None
    composition: dict[str, Counts] = Field(default={})


def load_structure(path: Path) -> StructurePart:
    """Read the structure of a campaign, or a file that holds only a structure's block.

    Raises as :func:`load` does.
    """
    raw = read_yaml(path)
    bare = "structure" not in raw
    if bare:
        raw = {"structure": raw}
    problems = component_problems({"structure": raw["structure"]})
    problems = [p.removeprefix("structure.") for p in problems] if bare else problems
    try:
        part = StructurePart.model_validate(raw)
    except ValidationError as error:
        problems += plugins.words(error, StructurePart)
    problems = with_numbers(problems, raw["structure"] if bare else raw)
    if problems:
        raise UserError("\n".join(located(path, problem) for problem in problems))
    return part


def _block(raw: Mapping[str, Any]) -> str:
    """What a file of one block of a campaign is, and who reads it; empty for all others."""
    if not {"name", "structure", "energy"}.isdisjoint(raw):
        return ""
    if "forward" in raw and not {"data", "image"}.isdisjoint(raw):
        return (
            "an experiment's block: a campaign has it under experiments, and htinvert register "
            "(of curves: fit) STRUCTURE FILE fits a structure to it"
        )
    if "use" in raw:
        return "a structure's block: a campaign has it under structure, and htinvert build shows it"
    return ""


def parse(
    raw: dict[str, Any],
    *,
    source: Path = Path("campaign"),
    changes: Mapping[str, Any] | None = None,
) -> Config:
    """Check plain objects against the schema and the parameters of every component they name.

    ``source`` is the file that they were read from, for mistakes are named with their lines in it.
    ``changes`` are merged into it, as a campaign is into the one that it extends; a mistake in
    these is named without file and line. Raises :class:`UserError` with one line per mistake.
    """
    raw = merge(raw, dict(changes or {}))
    if too_deep(raw):
        raise UserError(f"{source.name}: {TOO_DEEP}")
    if block := _block(raw):
        raise UserError(f"{source.name} is no campaign but {block}")
    problems: list[str] = []
    config = None
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        problems += either(_worded(e, raw) for e in error.errors())
    problems = with_numbers(problems + component_problems(raw), raw)
    if config is not None and not problems:
        problems += _objective_problems(config)
    if problems or config is None:
        raise UserError(
            "\n".join(located(source, text, changes) for text in dict.fromkeys(problems))
        )
    return config


def _worded(error: Any, raw: Mapping[str, Any]) -> str:
    """One sentence for an error; the keys of an experiment are those of its kind of data."""
    place = error["loc"]
    if place[0] == "chemical_potentials" and len(place) > 1:
        return plugins.word({**error, "loc": place[1:]}, PhasesPart, place[:1])
    if place[0] != "experiments" or len(place) < 3:
        return plugins.word(error, Config, ())
    experiments = {str(name): block for name, block in raw["experiments"].items()}
    model = experiment_model(experiments.get(str(place[1])))
    return plugins.word({**error, "loc": place[2:]}, model, place[:2])


def objective_names(config: Config) -> list[str]:
    """Names of all the numbers that can rank a candidate, what ranks by default among them."""
    energies = [name for name in ENERGIES if config.region or name != "interface_energy"]
    return [*energies, *default_objectives(config)[1:]]


def default_objectives(config: Config) -> list[str]:
    """Names of the numbers that rank where the campaign does not say: energy and image costs."""
    metrics = [
        f"{channel}.{plugins.short(metric)}"
        for channel, experiment in config.experiments.items()
        for metric in experiment.metrics
    ]
    return ["energy", *metrics]


def _objective_problems(config: Config) -> list[str]:
    known = objective_names(config)
    named, problems = named_objectives(config.objectives or {}, config.experiments)
    if problems:
        return problems
    given = {"objectives": [*named], "stop.target": [*config.stop.target]}
    allowed = {"objectives": known, "stop.target": [*known, TOTAL]}
    return [
        f"{place}.{name} is unknown; {plugins.suggest(name, allowed[place])}"
        for place, names in given.items()
        for name in names
        if name not in allowed[place]
    ]
