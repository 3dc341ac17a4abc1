"""From a YAML file to validated objects: one file, one campaign.

Every mistake is reported at once, with its path and what was probably meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from htinvert import plugins
from htinvert.config.yaml_file import located, merge, read_yaml
from htinvert.core import ENERGIES, Region, UserError
from htinvert.evaluation.optimize import METHODS
from htinvert.image.prepare import parse_step

MOST_WORKERS = 50_000  # no Dask scheduler was ever seen to serve more (27 648, on Summit)
TOTAL = "total"  # in a stop rule: the weighted sum of all objectives

Crop = tuple[int, int, int, int]
Bounds = tuple[float, float]
Component = dict[str, Any]


class Part(BaseModel):
    """A block of the YAML; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
    box: dict[Literal["x", "y", "z"], Bounds] = {}

    @model_validator(mode="after")
    def _is_a_region(self) -> RegionPart:
        try:
            Region(**self.model_dump())
        except UserError as error:
            raise ValueError(str(error)) from error
        return self


class CalibrationPart(Part):
    """A crystal that the image shows: a structure and its zone axis [uvw] toward the viewer.

    ``region`` (top, bottom, left, right) [px] is the part to look at; ``tolerance`` is how far the
    pixel size may be from the one before, relative.
    """

    phase: Component
    zone: tuple[int, int, int]
    region: Crop | None = None
    tolerance: float | None = Field(default=0.1, gt=0)


class Experiment(Part):
    """One micrograph, how to simulate it, how to compare, and what may be adjusted.

    ``credit`` is shown under every figure of the image. ``signal``, ``channel``, ``crop`` and
    ``prepare``, in that order, make the image that is compared; see docs/experiment.md.
    ``calibrate`` measures the pixel size from a known crystal in the image first. ``free``
    parameters of the forward model are fitted to the start structure by ``method``; those named in
    ``refit`` (or all, where it is true) again for each candidate, from its parent's values.
    ``keep`` says which simulated images stay in the run: ``best`` those of the best and of a
    sample, in 12 bits; ``exact`` all, bit for bit, so that a fork under other metrics need not
    simulate them again; ``auto`` is exact for an image that takes a second or more.
    """

    image: Path
    signal: str | None = None
    channel: int | None = Field(default=None, ge=0)
    sampling: float | tuple[float, float] | None = None
    crop: Crop | None = None
    prepare: tuple[dict[str, Any], ...] = ()
    forward: Component
    metrics: dict[str, Component | None] = Field(min_length=1)
    credit: str = ""
    calibrate: CalibrationPart | None = None
    free: dict[str, Bounds] = {}
    refit: bool | tuple[str, ...] = False
    method: str = "powell"
    keep: Literal["auto", "exact", "best"] = "auto"

    @property
    def refitted(self) -> tuple[str, ...]:
        """Names of the parameters that every candidate fits."""
        if isinstance(self.refit, bool):
            return tuple(self.free) if self.refit else ()
        return self.refit

    @field_validator("method")
    @classmethod
    def _method_is_known(cls, method: str) -> str:
        if method.lower() not in METHODS:
            raise ValueError(plugins.suggest(method, list(METHODS)))
        return method.lower()

    @model_validator(mode="after")
    def _refitted_are_free(self) -> Experiment:
        for name in self.refitted:
            if name not in self.free:
                raise ValueError(
                    f"refit names {name}, which is not free; "
                    + plugins.suggest(name, list(self.free))
                )
        return self

    @field_validator("prepare")
    @classmethod
    def _steps_are_known(cls, steps: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        for number, step in enumerate(steps, 1):
            try:
                parse_step(step)
            except UserError as error:
                raise ValueError(f"step {number}: {error}") from error
        return steps


class ScreenPart(Part):
    """A cheap stage before the evaluation; see :class:`htinvert.campaign.screen.Screened`."""

    energy: Component
    tries: int = Field(default=8, ge=1)
    kappa: float = Field(default=1.0, ge=0)
    start: Literal["proposed", "relaxed"] = "proposed"
    repeat: float = Field(default=2e-3, ge=0)
    capture: float = Field(default=0.5, ge=0)


class Search(Part):
    """Who proposes, and the shortest distance [Å] between atoms, one number or one per pair.

    A proposal nearer than ``novelty`` [Å rms] to a relaxed structure is refused; 0 refuses
    repetitions only. ``equivalents`` says whether what a symmetry of the host makes of a known
    structure, a shifted or mirrored copy, is known too (``same``) or worth an evaluation
    (``apart``); left out, it is apart where there is an experiment, for an image may tell.
    """

    generators: list[Component] = Field(
        default=[{"use": "genetic", "share": 0.6}, {"use": "basin_hopping", "share": 0.4}],
        min_length=1,
    )
    min_distance: float | dict[str, float] | None = None
    novelty: float = Field(default=0.3, ge=0)
    equivalents: Literal["same", "apart"] | None = None
    screen: ScreenPart | None = None


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
    target: dict[str, float] = {}


class Config(Part):
    """A campaign as its YAML file says it.

    ``cluster`` is the profile of a site where ``workers`` run, see docs/cluster.md; ``in_flight``
    is how many candidates may be out at once, so that one makes a campaign repeat itself exactly.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    seed: int = Field(default=1, ge=0)
    structure: Component
    region: RegionPart | None = None
    composition: dict[str, tuple[int, int]] = {}
    energy: Component
    chemical_potentials: dict[str, float] = {}
    experiments: dict[str, Experiment] = {}
    objectives: dict[str, float] | None = None
    search: Search = Search()
    stop: Stop = Stop(evaluations=200)
    workers: int = Field(default=2, ge=0, le=MOST_WORKERS)
    cluster: str | None = None
    in_flight: int | None = Field(default=None, ge=1)

    @field_validator("composition")
    @classmethod
    def _ranges(cls, composition: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        for symbol, (low, high) in composition.items():
            if not 0 <= low <= high:
                raise ValueError(f"{symbol} asks for {low} to {high} atoms; give fewest, most")
        return composition


def load(path: Path) -> Config:
    """Read and check a campaign file. Raises :class:`UserError` with one line per mistake."""
    return parse(read_yaml(path), source=path)


def load_experiment(path: Path) -> Experiment:
    """Read a file that holds one experiment's block. Raises as :func:`load` does."""
    raw = read_yaml(path)
    problems = []
    try:
        experiment = Experiment.model_validate(raw)
    except ValidationError as error:
        problems = [plugins.word(e, Experiment, ()) for e in error.errors()]
    prefix = "experiments.this."
    found = _component_problems({"experiments": {"this": raw}})
    problems += [problem.replace(prefix, "") for problem in found]
    if problems:
        raise UserError("\n".join(located(path, problem) for problem in problems))
    return experiment


class StructurePart(BaseModel):
    """What of a campaign makes its start structure; all else is left aside."""

    structure: Component
    region: RegionPart | None = None
    composition: dict[str, tuple[int, int]] = {}


def load_structure(path: Path) -> StructurePart:
    """Read the structure of a campaign, or a file that holds only a structure's block.

    Raises as :func:`load` does.
    """
    raw = read_yaml(path)
    bare = "structure" not in raw
    if bare:
        raw = {"structure": raw}
    problems = _component_problems({"structure": raw["structure"]})
    problems = [p.removeprefix("structure.") for p in problems] if bare else problems
    try:
        found = StructurePart.model_validate(raw)
    except ValidationError as error:
        problems += [plugins.word(e, StructurePart, ()) for e in error.errors()]
    if problems:
        raise UserError("\n".join(located(path, problem) for problem in problems))
    return found


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
    problems: list[str] = []
    config = None
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        problems += [plugins.word(e, Config, ()) for e in error.errors()]
    problems += _component_problems(raw)
    if config is not None and not problems:
        problems += _objective_problems(config)
    if problems or config is None:
        raise UserError(
            "\n".join(located(source, text, changes) for text in dict.fromkeys(problems))
        )
    return config


def objective_names(config: Config) -> list[str]:
    """Names of all the numbers that can rank a candidate, what ranks by default among them."""
    energies = [name for name in ENERGIES if config.region or name != "interface_energy"]
    return [*energies, *default_objectives(config)[1:]]


def default_objectives(config: Config) -> list[str]:
    """Names of the numbers that rank where the campaign does not say: energy and image costs."""
    metrics = [
        f"{channel}.{metric}" for channel, e in config.experiments.items() for metric in e.metrics
    ]
    return ["energy", *metrics]


def components(raw: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every component of a campaign: its kind, its path in the YAML, what was given for it."""
    for kind in ("structure", "energy"):
        if isinstance(raw.get(kind), dict):
            yield kind, kind, raw[kind]
            yield from _inside(raw[kind], kind)
    experiments = raw.get("experiments")
    for channel, experiment in experiments.items() if isinstance(experiments, dict) else ():
        if not isinstance(experiment, dict):
            continue
        known = experiment.get("calibrate")
        if isinstance(known, dict) and isinstance(known.get("phase"), dict):
            place = f"experiments.{channel}.calibrate"
            yield "structure", f"{place}.phase", known["phase"]
            yield from _inside(known["phase"], f"{place}.phase")
        if isinstance(experiment.get("forward"), dict):
            place = f"experiments.{channel}.forward"
            yield "forward", place, experiment["forward"]
            yield from _inside(experiment["forward"], place)
        metrics = experiment.get("metrics")
        for metric, given in metrics.items() if isinstance(metrics, dict) else ():
            if given is None or isinstance(given, dict):
                yield (
                    "metric",
                    f"experiments.{channel}.metrics.{metric}",
                    {"use": metric} | (given or {}),
                )
    search = raw.get("search")
    screen = search.get("screen") if isinstance(search, dict) else None
    if isinstance(screen, dict) and isinstance(screen.get("energy"), dict):
        yield "energy", "search.screen.energy", screen["energy"]
    generators = search.get("generators") if isinstance(search, dict) else None
    for i, given in enumerate(generators if isinstance(generators, list) else ()):
        if isinstance(given, dict):
            rest = {key: value for key, value in given.items() if key != "share"}
            yield "generator", f"search.generators.{i}", rest


def _inside(block: Mapping[str, Any], place: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """What a component is made of, such as the phases of two grains, or a density."""
    for inner, given in plugins.inner_blocks(block, place):
        yield plugins.inner_kind(inner.rpartition(".")[2]), inner, dict(given)


def _component_problems(raw: Mapping[str, Any]) -> list[str]:
    problems = []
    for kind, path, given in components(raw):
        if not isinstance(given.get("use"), str):
            problems.append(f"{path}.use is missing; known are {', '.join(plugins.names(kind))}")
            continue
        rest = {key: plugins.outlined(value) for key, value in given.items() if key != "use"}
        try:
            component = plugins.find(kind, given["use"])
            plugins.validate(component, rest, folder=Path(), kind=kind)
        except UserError as error:
            problems.append(f"{path}.use: {error}")
        except ValidationError as error:
            model = plugins.parameters(component, kind=kind)
            problems += [plugins.word(e, model, tuple(path.split("."))) for e in error.errors()]
    return problems


def _objective_problems(config: Config) -> list[str]:
    known = objective_names(config)
    given = {"objectives": config.objectives or {}, "stop.target": config.stop.target}
    allowed = {"objectives": known, "stop.target": [*known, TOTAL]}
    return [
        f"{place}.{name} is unknown; {plugins.suggest(name, allowed[place])}"
        for place, names in given.items()
        for name in names
        if name not in allowed[place]
    ]
