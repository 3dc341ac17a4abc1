"""What `init` asks for, and what it takes where it does not ask."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from htinvert.core import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ase import Atoms

    from htinvert.config.curve_block import CurveBlock
    from htinvert.config.starter import Answers, Microscope
    from htinvert.image.read import Opened

HEIGHTS = (".txt", ".asc")  # of files that are an image of heights more often than a micrograph


@dataclass(frozen=True)
class Given:
    """What the command line has said, by the names of its options."""

    structure: str | None
    image: str | None
    stm: str | None
    curve: str | None
    forward: str | None
    composition: str | None
    energy: str | None
    sampling: float | None
    minutes: float | None


def answered(name: str, given: Given, *, asks: bool) -> Answers:
    """Ask for what options and files do not tell, with what is likely as the default.

    Raises :class:`UserError` for what is missing and what cannot be.
    """
    from htinvert.config import starter

    structure = given.structure
    if structure is None and given.composition is None:
        structure = _ask("start structure (file)", None, asks)
    atoms = _read(structure) if structure else _nothing()
    image, looks = _image(given, asks)
    only_curve = given.curve is not None and image is None
    kind = starter.subject(atoms, stm=looks == "stm", curve=only_curve)
    scope, held = starter.Microscope(), None
    if image:
        held = _opened(image)
        scope = _microscope(held, looks, given.sampling, asks)
    beam, up, region = _place(kind, atoms, held, scope, asks)
    if given.composition is not None:
        amounts = starter.amounts_of(given.composition)
    elif region is None:
        amounts = {s: (n, n) for s, n in sorted(atoms.symbols.formula.count().items())}
    else:
        amounts = starter.amounts(atoms, up, region)
    symbols = set(amounts) | set(atoms.get_chemical_symbols())
    energy = starter.engine_of(given.energy) if given.energy else starter.engines(symbols)[0]
    _covers(energy, symbols)
    minutes = given.minutes
    if minutes is None:
        minutes = _number("budget [minutes]", 10.0, asks)
    return starter.Answers(
        name=name,
        structure=structure,
        beam=beam,
        up=up,
        region=region,
        composition=amounts,
        energy=energy,
        phases=_phases(atoms, up, region, amounts),
        image=image,
        looks=looks,
        curve=_curve(given, atoms, symbols),
        microscope=scope,
        minutes=minutes,
        workers=len(os.sched_getaffinity(0)),
    )


def _image(given: Given, asks: bool) -> tuple[str | None, Literal["haadf", "stm"]]:
    """The image, and what made it."""
    if given.stm is not None:
        return given.stm, "stm"
    image = given.image
    if image is None and given.curve is None and given.structure is not None:
        image = _ask("micrograph (file, or nothing)", "", asks) or None
    if image and image.endswith(HEIGHTS):
        looks = _ask("what made it, haadf or stm", "stm", asks)
        if looks not in ("haadf", "stm"):
            raise UserError(f"{looks} is no kind of image that init knows; choose haadf or stm")
        return image, "stm" if looks == "stm" else "haadf"
    return image, "haadf"


def _place(
    kind: str, atoms: Atoms, image: Opened | None, scope: Microscope, asks: bool
) -> tuple[str, str, tuple[float, float] | None]:
    """Beam, normal, and what may change [Å], by what the structure is of."""
    from htinvert.config import starter

    if kind in ("cluster", "crystal"):
        return "z", "y", None
    if kind == "surface":
        low, high = starter.top(atoms)
        return (
            "z",
            "z",
            (_number("what may change, from [Å]", low, asks), _number("to [Å]", high, asks)),
        )
    likely = starter.directions(atoms)
    if image:
        likely = _seen_along(image, atoms, scope, likely), likely[1]
    beam = _ask("beam along (x, y, z)", likely[0], asks) if image else likely[0]
    up = _ask("normal of the boundary, up in the image (x, y, z)", likely[1], asks)
    for direction in (beam, up):
        if direction not in ("x", "y", "z"):
            raise UserError(f"{direction} is no direction; choose x, y or z")
    low, high = starter.boundary(atoms, up)
    low = _number("what may change, from [Å]", low, asks)
    return beam, up, (low, _number("to [Å]", high, asks))


def _seen_along(image: Opened, atoms: Atoms, scope: Microscope, likely: tuple[str, str]) -> str:
    """The axis along which the image shows the structure; the likely one where none is found."""
    from htinvert.forward.stem_convolution import StemConvolution
    from htinvert.matching.locate import seen_along

    beam, up = likely
    forward = StemConvolution(
        beam=beam,
        up=up,
        beam_energy=1e3 * scope.beam_energy,
        semiangle=scope.semiangle,
        inner=scope.inner,
        outer=scope.outer,
    )
    typer.echo(f"looking for {atoms.get_chemical_formula()} in {image.source.file}")
    found = seen_along(image.image(scope.sampling)[0], atoms, forward=forward)
    if not found:
        typer.echo(f"not found; beam: {beam} is a guess, which htinvert check will question")
        return beam
    best = max(found, key=lambda axis: found[axis])
    typer.echo(f"found, seen along {best}: correlation {found[best]:.2f}")
    return best


def _phases(
    atoms: Atoms,
    up: str,
    region: tuple[float, float] | None,
    composition: Mapping[str, tuple[int, int]],
) -> tuple[str, ...]:
    """Phases that chemical potentials can follow from; none where some element's is not known."""
    from htinvert.campaign.references import likely_phases
    from htinvert.config.starter import compound
    from htinvert.core import Region
    from htinvert.structures.region import search_space

    axis: Any = up
    place = Region(axis, *region, margin=4.0) if region else None
    with suppress(UserError):
        space = search_space(
            atoms,
            region=place,
            composition=composition,
            min_distance={},
        )
        found = likely_phases(space, compound=compound(composition))
        if found is not None:
            return tuple(str(phase) for phase in found.phases)
    return ()


def _curve(given: Given, atoms: Atoms, symbols: set[str]) -> CurveBlock | None:
    """A curve's file, what simulates it, and what is likely of it."""
    from htinvert.config.curve_block import ENDINGS, block_of
    from htinvert.config.starter import curve_models

    if given.curve is None:
        return None
    if not Path(given.curve).is_file():
        raise UserError(f"there is no file {given.curve}; check --curve")
    models = curve_models()
    ending = Path(given.curve).suffix.lower()
    meant = [name for name in models if ending in ENDINGS.get(name, ())]
    likely = meant or [name for name in models if name not in ENDINGS]
    chosen = given.forward or (likely[0] if len(likely) == 1 else None)
    if chosen is None:
        known = f"installed are {', '.join(models)}" if models else "none is installed"
        raise UserError(
            f"no forward model is known for {given.curve}; name one with --forward: "
            f'{known}, and "module:attribute" is one of your own (docs/plugin.md)'
        )
    return block_of(given.curve, chosen, atoms=atoms, symbols=symbols, structure=given.structure)


def _opened(image: str) -> Opened:
    """The image's file, read once, and what it holds said."""
    from htinvert.image.read import opened

    found = opened(Path(image))
    typer.echo(str(found.source))
    return found


def _microscope(image: Opened, looks: str, sampling: float | None, asks: bool) -> Microscope:
    """How the image was taken; a pixel size that the file has is not asked for."""
    from htinvert.config.starter import Microscope

    source = image.source
    if source.sampling is None and sampling is None:
        sampling = _float(_ask("pixel size [Å/px]", None, asks), "pixel size")
    if looks == "stm":
        return Microscope(sampling=sampling)
    likely = Microscope()
    return Microscope(
        beam_energy=_number("beam energy [keV]", likely.beam_energy, asks),
        semiangle=_number("convergence semiangle [mrad]", likely.semiangle, asks),
        inner=_number("detector from [mrad]", likely.inner, asks),
        outer=_number("to [mrad]", likely.outer, asks),
        sampling=sampling,
    )


def _read(structure: str) -> Atoms:
    from htinvert.structures.file import from_file

    atoms = from_file(Path(structure))
    lengths = " x ".join(f"{length:.2f}" for length in atoms.cell.lengths())
    typer.echo(f"{structure}: {atoms.get_chemical_formula()}, cell {lengths} Å")
    return atoms


def _nothing() -> Atoms:
    from ase import Atoms

    return Atoms()


def _covers(energy: Mapping[str, str], symbols: set[str]) -> None:
    """Make sure that the engine can be made and knows the elements."""
    from htinvert import plugins
    from htinvert.declaration.abilities import ChecksElements

    engine: Any = plugins.build("energy", dict(energy), Path(), "--energy")
    if isinstance(engine, ChecksElements):
        engine.check_elements(symbols)


def _ask(question: str, likely: str | None, asks: bool) -> str:
    """An answer; what is likely where nothing is to be asked."""
    if asks:
        return str(typer.prompt(question, default=likely))
    if likely is None:
        raise UserError(
            f"{question} is not given; answer in a terminal, or see `htinvert init --help`"
        )
    return likely


def _number(question: str, likely: float, asks: bool) -> float:
    return _float(_ask(question, f"{likely:g}", asks), question)


def _float(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UserError(f"{what} is {text!r}, which is no number") from error
