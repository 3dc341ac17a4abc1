"""The block of a first campaign on a measured absorption: absorber, edge, range of k, fits."""

from __future__ import annotations

from pathlib import Path

from ase import Atoms
from ase.data import atomic_numbers

from htinvert.core import UserError
from htinvert.forward.exafs.feff import HOLES, elements_of
from htinvert.forward.exafs.model import AROUND, BEYOND, Exafs
from htinvert.forward.exafs.neighborhood import neighborhoods
from htinvert.signals.curve_file import read_curve
from htinvert.signals.header import header_of

FARTHEST = 4.0  # Å: first shells, which decide about a structure


def exafs_lines(
    path: str, symbols: set[str], *, atoms: Atoms | None = None, structure: str | None = None
) -> list[str]:
    """Lines of YAML for a file of mu(E) or chi(k), of a structure with these elements.

    The absorber is the one whose edge the data show; the ``structure``'s file lends its phase
    shifts to all where its ``atoms`` have every element near an absorber. Raises
    :class:`~htinvert.core.UserError` where the data are neither, or show no edge.
    """
    model, told = _seen(path, symbols)
    lent = ""
    if structure is not None and atoms is not None and _has_all(atoms, model, symbols):
        lent = f", reference: {structure}"
    edge = f", edge: {model.edge}" if told and model.edge != "K" else ""
    named = f", absorber: {model.absorber}{edge}" if told else ""
    cluster = atoms is None or not atoms.pbc.any()
    soft = ["      softening: [0, 10]   # 1/Å, of longer bonds"] if cluster else []
    sorts = [f"sigma2.{symbol}1" for symbol in sorted(symbols)]
    return [
        "  exafs:",
        f"    data: {path}",
        f"    forward: {{use: exafs{named}, kmin: {model.kmin:g}, kmax: {model.kmax:g}, "
        f"rmax: {FARTHEST:g}{lent}}}   # 1/Å, Å",
        "    metrics: {rw: }   # its scale is the amplitude S0²",
        "    free:   # edge [eV], scale of distances, widths [Å²] of first shells and all others",
        "      e0: [-15, 15]",
        "      zoom: [0.98, 1.02]",
        *(f"      {name}: [0.001, 0.03]" for name in sorts),
        "      sigma2.*: [0.001, 0.04]",
        *soft,
        "    refit: true   # by every candidate, or its atoms would mimic a wrong width",
        "    method: least-squares",
    ]


def _has_all(atoms: Atoms, model: Exafs, symbols: set[str]) -> bool:
    """Whether the absorber that has most around it has every element there."""
    absorber = model.absorber or next(iter(symbols))
    found = neighborhoods(atoms, atomic_numbers[absorber], FARTHEST + BEYOND + AROUND)
    if not found:
        return False
    most = max(found, key=lambda hood: len(hood.numbers))
    return {atomic_numbers[symbol] for symbol in symbols} <= set(elements_of(most))


def _seen(path: str, symbols: set[str]) -> tuple[Exafs, bool]:
    """The model that takes a file, and whether the absorber is to be named."""
    curve, _ = read_curve(Path(path))
    header = header_of(Path(path))
    said = header.get("element.symbol")
    if said in symbols:
        edge = header.get("element.edge", "K")
        return Exafs(absorber=said, edge=edge).reduced(curve)[0], False
    problem = UserError(f"{path} names no absorber, and there is no element to choose from")
    for symbol in sorted(symbols):
        for edge in HOLES:
            try:
                return Exafs(absorber=symbol, edge=edge).reduced(curve)[0], True  # type: ignore[arg-type]
            except UserError as error:
                problem = UserError(f"{path}: {error}")
    raise problem
