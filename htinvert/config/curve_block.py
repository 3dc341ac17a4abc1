"""The block of a first campaign on a measured curve: range, limits of Q, what is fitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase import Atoms

from htinvert import plugins
from htinvert.config.eels_block import eels_lines
from htinvert.config.exafs_block import exafs_lines
from htinvert.declaration.abilities import ChoosesFree, KnowsData
from htinvert.forward.pdf.data import LOWEST, upper_q
from htinvert.forward.pdf.model import Pdf
from htinvert.signals.curve_file import read_curve
from htinvert.signals.header import header_of

FARTHEST = 20.0  # Å, as far as is usual
ENDINGS = {
    "pdf": (".gr",),
    "exafs": (".xmu", ".xdi", ".chi", ".nor"),
    "eels": (".dm3", ".dm4", ".msa", ".emsa"),
}
"""Of files that show which model is meant."""
USUAL = {"delta2": (0.0, 5.0), "zoom": (0.97, 1.03), "qdamp": (0.0, 0.15)}  # without a structure


@dataclass(frozen=True)
class CurveBlock:
    """A curve's file, what simulates it, and what is known of a G(r); empty for other models.

    Attributes:
        path: of the file.
        forward: name of the forward model.
        span: what is compared [Å].
        limits: of Q [1/Å] that the header does not say, with where they come from.
        free: bounds of what each candidate fits.
        crystal: whether the start structure is one.
        written: its lines where another module knows them.
    """

    path: str
    forward: str
    span: tuple[float, float] | None = None
    limits: Mapping[str, float] | None = None
    free: Mapping[str, tuple[float, float]] | None = None
    crystal: bool = False
    written: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Lines of YAML."""
        if self.written:
            return list(self.written)
        limits = {"use": "pdf"} | {name: f"{q:g}" for name, q in (self.limits or {}).items()}
        guess = "   # 1/Å, seen in the curve; the header does not say it" if self.limits else ""
        free = [f"      {name}: [{a:.3g}, {b:.3g}]" for name, (a, b) in (self.free or {}).items()]
        size = ["      # diameter: [10, 200]   # Å, if the sample is particles of this crystal"]
        low, high = self.span or (LOWEST, FARTHEST)
        return [
            "  pdf:",
            f"    data: {self.path}",
            f"    range: [{low:g}, {high:g}]   # Å; what lies below is ripple of the transform",
            f"    forward: {{{', '.join(f'{key}: {v}' for key, v in limits.items())}}}{guess}",
            "    metrics: {rw: }",
            "    free:   # widths u [Å²], near neighbors moving together, scale of r, damping",
            *free,
            *(size if self.crystal else []),
            "    refit: true   # by every candidate, or its atoms would mimic a wrong width",
            "    method: least-squares",
        ]


def block_of(
    path: str, forward: str, *, atoms: Atoms, symbols: set[str], structure: str | None = None
) -> CurveBlock:
    """What is likely for a curve; ``atoms`` are none where the campaign begins from an empty box.

    ``structure`` is the file of the atoms. Raises :class:`~htinvert.core.UserError` where the file
    of the data holds no curve.
    """
    if forward == "exafs":
        lines = exafs_lines(path, symbols, atoms=atoms, structure=structure)
        return CurveBlock(path, forward, written=tuple(lines))
    if forward == "eels":
        return CurveBlock(path, forward, written=tuple(eels_lines(path, symbols)))
    if forward != "pdf":
        return CurveBlock(path, forward, written=tuple(_general(path, forward, atoms, symbols)))
    curve, _ = read_curve(Path(path))
    header = header_of(Path(path))
    limits = {} if "qmax" in header else {"qmax": upper_q(curve)}
    free = dict(USUAL)
    model = Pdf(qmin=1.0, qdamp=0.0)
    if len(atoms):
        free = dict(model.free_of(atoms))
    free = {f"u.{s}": (0.0005, 0.1) for s in sorted(symbols)} | free
    last = float(curve.coordinates()[-1])
    crystal = bool(atoms.pbc.any())
    span = (LOWEST, round(min(last, FARTHEST), 1))
    return CurveBlock(path, forward, span, limits, free, crystal)


def _general(path: str, forward: str, atoms: Atoms, symbols: set[str]) -> list[str]:
    """Lines of YAML of any other model, which may see in the data what it is to be told."""
    model: Any = plugins.find("forward", forward)
    told: dict[str, Any] = {"use": forward}
    free: Mapping[str, tuple[float, float]] = {}
    knows, chooses = isinstance(model, KnowsData), isinstance(model, ChoosesFree)
    if knows:
        likely = model.likely(read_curve(Path(path))[0], symbols)
        told |= likely
        free = model(**likely).free_of(atoms) if chooses else {}
    bounds = ", ".join(f"{name}: [{low:g}, {high:g}]" for name, (low, high) in free.items())
    return [
        "  curve:",
        f"    data: {path}",
        f"    forward: {{{', '.join(f'{key}: {value}' for key, value in told.items())}}}",
        "    metrics: {rw: }",
        *([f"    free: {{{bounds}}}", "    refit: true", "    method: least-squares"]
          if bounds else []),
    ]  # fmt: skip
