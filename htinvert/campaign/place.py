"""``place: auto``: an experiment in which the structure is found, turned upright and cut out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from ase import Atoms

from htinvert import plugins
from htinvert.campaign.channels import Read, read_experiment
from htinvert.config.campaign import Config, RegionPart
from htinvert.config.experiment import Experiment
from htinvert.core import Floats, Region, Signal, UserError
from htinvert.geometry.continued import continuations, joined
from htinvert.geometry.distances import covalent_distances
from htinvert.geometry.heights import around_region
from htinvert.matching.doubt import convolution
from htinvert.matching.locate import Located, locate
from htinvert.signals.image import ImageKeys, require_image

CHOSEN = ("rotation", "stretch_x", "stretch_y", "shear_x", "shear_y", "shift_x", "shift_y")
"""Parameters of a forward model that a place decides."""


REPEATS = 6  # along the beam, over which the atoms that fill an empty region are spread
GOLDEN = 1.2207440846057596  # the root of x**4 = x + 1: Roberts' sequence in three dimensions


def place_experiments(
    config: Config, atoms: Atoms, *, folder: Path
) -> tuple[Config, dict[str, Located], dict[str, Read]]:
    """The same configuration with its ``place: auto`` carried out, what was found, and the images.

    These are as the new configuration prepares them, so that no file is read twice.

    Raises :class:`UserError` where a structure is not found.
    """
    found: dict[str, Located] = {}
    images: dict[str, Read] = {}
    experiments = dict(config.experiments)
    for name, experiment in experiments.items():
        if is_auto(experiment):
            try:
                image, said = read_experiment(experiment, folder=folder)
                shown = filled(atoms, config.region, beam=experiment.forward.get("beam"))
                found[name] = located(experiment, shown, folder=folder, image=image)
            except UserError as error:
                raise UserError(f"experiments.{name}: {error}") from error
            del image  # a large frame is not kept
            images[name] = found[name].upright.image, said
            experiments[name] = at_its_place(experiment, found[name])
    if not found:
        return config, {}, {}
    return config.model_copy(update={"experiments": experiments}), found, images


def filled(atoms: Atoms, region: RegionPart | None, *, beam: object) -> Atoms:
    """A structure to look for: an empty region is filled by both grains' crystals up to its middle.

    A boundary that is to be found is no gap, which would draw the structure's columns to where
    the image has some, and grains alone fit a vector of the coincidence lattice away as well. Where
    nothing repeats in a grain the region is filled evenly. Any other structure is left as it is.
    """
    if region is None or region.box or beam not in ("x", "y", "z") or beam == region.axis:
        return atoms
    place = Region(**region.model_dump())
    axis, cell = place.dimension, np.asarray(atoms.cell)
    whole = atoms.copy()
    whole.positions = around_region(atoms, place)
    levels = whole.positions[:, axis]
    empty = (levels < place.lower).any() and (levels > place.upper).any()
    empty &= not ((levels >= place.lower) & (levels <= place.upper)).any()
    if not empty or not np.allclose(cell, np.diag(np.diag(cell)), atol=1e-6):
        return atoms
    try:
        grains = continuations(whole, axis=axis, lower=place.lower, upper=place.upper)
    except UserError:
        return _evenly(atoms, levels, place, along="xyz".index(str(beam)))
    least = covalent_distances(atoms.get_chemical_symbols())
    middle = 0.5 * (place.lower + place.upper)
    return joined(atoms, grains, axis=axis, at=middle, least=least)


def _evenly(atoms: Atoms, levels: Floats, place: Region, *, along: int) -> Atoms:
    """The region filled as dense as the rest is; ``levels`` are heights in one piece [Å].

    Atoms of several repeats along the beam, a vector of the cell, give the even brightness that
    unknown columns have on average.
    """
    axis = place.dimension
    below, above = levels[levels < place.lower], levels[levels > place.upper]
    many = np.ones(3, dtype=int)
    many[along] = REPEATS
    found = atoms.repeat(tuple(many))
    solid = float(np.ptp(below) + np.ptp(above))
    count = round(len(found) * (place.upper - place.lower) / max(solid, 1.0))
    shares = np.outer(np.arange(1, count + 1), GOLDEN ** -np.arange(1.0, 4.0)) % 1.0
    lengths = np.diag(np.asarray(found.cell)).copy()
    lengths[axis] = place.upper - place.lower
    places = shares * lengths
    places[:, axis] += place.lower
    return found + Atoms(atoms.numbers[np.arange(count) % len(atoms)], places)


def is_auto(experiment: Experiment) -> bool:
    """Whether an experiment leaves its structure's place to be found."""
    return isinstance(experiment, ImageKeys) and experiment.place == "auto"


def located(
    experiment: Experiment,
    atoms: Atoms,
    *,
    folder: Path,
    image: Signal,
    tolerance: float = 0.1,
    progress: Callable[[str], None] = lambda _: None,
) -> Located:
    """Find a structure in an experiment's ``image``, read and prepared as it says.

    Raises :class:`UserError` for what is no image of a scanning electron microscope, and where the
    structure is not found.
    """
    require_image(experiment)
    forward = convolution(plugins.build("forward", experiment.forward, folder, "forward"))
    if not len(atoms):
        raise UserError("the start structure has no atoms, so there is nothing to find a place for")
    for name in CHOSEN:
        if experiment.forward.get(name):
            raise UserError(f"place: auto decides forward.{name}; leave one of both out")
    if getattr(experiment, "calibrate", None) is not None:
        raise UserError("place: auto measures the pixel size, too; leave calibrate out")
    return locate(image, atoms, forward=forward, tolerance=tolerance, progress=progress)


def at_its_place(experiment: Experiment, found: Located) -> Experiment:
    """An experiment with the steps, pixel size and start values of what was found.

    A region's ``shape`` that it gives stays, as far as the prepared image allows.
    """
    changes = found.changes()
    forward = {**experiment.forward, **changes["forward"]}
    given = experiment.forward.get("shape")
    if given is not None:
        most = found.upright.image.data.shape
        forward["shape"] = [min(int(g), m) for g, m in zip(given, most, strict=True)]
    return experiment.model_copy(
        update={
            "sampling": found.upright.sampling,
            "prepare": (*experiment.prepare, *found.upright.steps),
            "forward": forward,
            "place": None,
        }
    )
