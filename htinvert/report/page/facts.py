"""What a report needs of a run, of which only the best is held in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from ase import Atoms

from htinvert import plugins
from htinvert.campaign.channels import held, make_channels
from htinvert.campaign.funnel import objectives_of
from htinvert.campaign.identity import digest
from htinvert.campaign.inputs import changed_inputs
from htinvert.campaign.start import left_out
from htinvert.config.campaign import Config, stored
from htinvert.core import Channel, Objective, Region, UserError
from htinvert.declaration.abilities import LooksAlong
from htinvert.ranking.rank import Ranked, Yield, rank
from htinvert.ranking.survey import Survey
from htinvert.report.demo import FOLDER as DEMO
from htinvert.report.potentials import potentials_of
from htinvert.store import RunStore
from htinvert.store.provenance import begun_at, read_log, read_provenance
from htinvert.structures.region import search_space


@dataclass(frozen=True, eq=False)
class Facts:
    """A run as a report tells it: configuration, ranking of the best, and what became of the rest.

    ``channels`` are the experiments with the run's imaging parameters, none where their files
    are not there or are others; ``missing`` then says so. ``files`` has a sentence on the file of
    each, ``changed`` says by place which files are not what the run was made with.
    """

    folder: Path
    name: str
    config: Config
    provenance: Mapping[str, Any]
    objectives: tuple[Objective, ...]
    ranked: list[Ranked]
    done: Survey
    yields: Sequence[Yield]
    refused: Mapping[str, int]
    pending: int
    channels: tuple[Channel, ...]
    files: Mapping[str, str]
    calibrations: Mapping[str, Any]
    base: Path | None
    missing: str
    changed: Mapping[str, str]
    first_time: str
    last_time: str

    def start(self) -> Atoms | None:
        """The start structure as the campaign makes it, None where its files are not there."""
        if self.base is None or any(place.startswith("structure") for place in self.changed):
            return None
        try:
            atoms: Atoms = plugins.build("structure", self.config.structure, self.base)
        except (UserError, OSError):
            return None
        return atoms

    @property
    def potentials(self) -> Mapping[str, float]:
        """Chemical potentials [eV], given or from phases."""
        return potentials_of(self.folder)

    def start_out(self) -> str:
        """Why the start structure is no candidate; empty where it is one or is not there."""
        atoms = self.start()
        if atoms is None:
            return ""
        config = self.config
        region = Region(**config.region.model_dump()) if config.region else None
        space = search_space(atoms, region=region, composition=config.composition, min_distance={})
        return left_out(space, config)

    @property
    def view(self) -> tuple[Any, Any]:
        """Directions of the beam and of the image's top, those of the first experiment."""
        forward = self.channels[0].forward if self.channels else None
        return (forward.beam, forward.up) if isinstance(forward, LooksAlong) else ("x", "z")

    @property
    def evaluated(self) -> int:
        """Evaluations, ok and failed."""
        return self.done.good + self.done.failed


def read_run(folder: Path, *, data: Path | None = None) -> Facts:
    """Read a run; ``data`` is the folder that its campaign's paths are relative to.

    Raises :class:`UserError` where there is no run, or nothing to rank yet.
    """
    objectives = objectives_of(folder)
    config = stored(folder / "config.yaml")
    provenance = read_provenance(folder)
    done = Survey(objectives)
    with RunStore.open(folder) as store:
        counts, recipe = store.counts(), store.recipe
        done.read(store)
    ranked = rank(done.best(), objectives)
    if not ranked:
        raise UserError(
            f"{folder} has no successful evaluation to report yet; look at `htinvert status`"
        )
    config = config if data is None else _moved(config, data)
    base = _base(config, folder, data)
    changed = changed_inputs(folder, config.model_dump(mode="json"), base=base)
    if base is None or not (missing := _other_data(changed)):
        missing = _missing(config, base, folder)
    channels: tuple[Channel, ...] = ()
    files: Mapping[str, str] = {}
    calibrations: Mapping[str, Any] = {}
    try:
        parameters = begun_at(provenance) or {}
        channels, files, calibrations = _channels(config, None if missing else base, parameters)
    except UserError as error:  # a component that is not here, or not trusted
        missing = f"Nothing is pictured: {error}."
    if "inputs" not in provenance and (other := _unlike(channels, recipe)):
        channels, files, calibrations = (), {}, {}
        changed, missing = other, _other_data(other)
    first, last = _times(folder)
    return Facts(
        folder,
        folder.resolve().name,
        config,
        provenance,
        objectives,
        ranked,
        done,
        done.yields(counts.refused_by),
        counts.refused,
        counts.pending,
        channels,
        files,
        calibrations,
        base,
        missing,
        changed,
        first,
        last,
    )


def _base(config: Config, folder: Path, data: Path | None) -> Path | None:
    """The folder that the experiments' paths are relative to, if they are there.

    That is the run's own; a run that was migrated names them as seen from its campaign's file.
    """
    bundled = [DEMO] if config.name == "demo" else []
    for base in [data] if data is not None else [folder, Path(), *bundled]:
        if all(_is_in(base, e.data) for e in config.experiments.values()):
            return base
    if data is not None:
        names = ", ".join(str(e.data) for e in config.experiments.values())
        raise UserError(f"{data} has no {names}; give --data the folder that holds them")
    return None


def _is_in(folder: Path, file: Path) -> bool:
    """Whether a file is where its path says, as seen from a folder."""
    return (folder / file.expanduser()).is_file()


def _moved(config: Config, data: Path) -> Config:
    """The same with the bare names of images that lie in ``data`` itself, wherever they were."""
    found = {
        name: e.model_copy(update={"data": Path(e.data.name)})
        if not _is_in(data, e.data) and (data / e.data.name).is_file()
        else e
        for name, e in config.experiments.items()
    }
    return config.model_copy(update={"experiments": found})


def _channels(
    config: Config, base: Path | None, parameters: Mapping[str, Mapping[str, float]]
) -> tuple[tuple[Channel, ...], Mapping[str, str], Mapping[str, Any]]:
    """Experiments at the parameters that the run was begun with, their files and calibrations."""
    if base is None:
        return (), {}, {}
    channels, measured, files = make_channels(config, base)
    fitted = (
        held(c, parameters.get(c.name, {}), config.experiments[c.name].refitted) for c in channels
    )
    return tuple(fitted), files, measured


def _missing(config: Config, base: Path | None, folder: Path) -> str:
    """What to do where the experiments' images were not found, empty where nothing is missing."""
    if base is not None or not config.experiments:
        return ""
    names = ", ".join(str(e.data) for e in config.experiments.values())
    return (
        f"The data ({names}) were not found from here, so nothing is pictured and how sure the "
        f"ranking is cannot be said. Run htinvert report {quote(str(folder))} --data FOLDER with "
        "the folder of the campaign's file."
    )


def _other_data(changed: Mapping[str, str]) -> str:
    """What is not claimed where an experiment's file is another one; empty where none is."""
    other = [line for place, line in changed.items() if place.startswith("experiments.")]
    if not other:
        return ""
    return f"Nothing is pictured and how sure the ranking is cannot be said: {other[0]}."


def _unlike(channels: Sequence[Channel], recipe: Mapping[str, Any]) -> dict[str, str]:
    """The same as of changed files, for a run without a record of them: by its prepared data."""
    found = {}
    for channel in channels:
        then = recipe.get("experiments", {}).get(channel.name, {}).get("image")
        if then not in (None, digest(channel.observed.data.tobytes())):
            place = f"experiments.{channel.name}.data"
            found[place] = f"{place} is not what the run was made with; put that back"
    return found


def _times(folder: Path) -> tuple[str, str]:
    """First and last time in a run's log, empty where there is none."""
    times = [str(event["time"]) for event in read_log(folder) if "time" in event]
    return (times[0], times[-1]) if times else ("", "")
