"""The block of a first campaign on a core-loss spectrum: elements whose edges it shows, angles."""

from __future__ import annotations

from pathlib import Path

from htinvert.core import UserError
from htinvert.forward.eels.edges import edges_within
from htinvert.forward.eels.model import MARGIN
from htinvert.forward.eels.onsets import find_onsets, spectrum_of
from htinvert.signals.curve_file import read_curve


def eels_lines(path: str, symbols: set[str]) -> list[str]:
    """Lines of YAML for a spectrum of a structure with these elements.

    Raises :class:`~htinvert.core.UserError` where it shows no two of their edges.
    """
    spectrum = spectrum_of(read_curve(Path(path))[0])
    low, high = float(spectrum.energy[0]) + MARGIN, float(spectrum.energy[-1]) - MARGIN
    edges = edges_within(tuple(sorted(symbols)), low, high)
    if len(edges) < 2:
        raise UserError(
            f"{path} holds edges of {', '.join(edges) or 'none'} of {', '.join(sorted(symbols))}; "
            "a composition needs two elements"
        )
    _, seen = find_onsets(spectrum, edges)
    unseen = sorted(set(edges) - set(seen))
    note = f"   # {', '.join(unseen)} not seen" if unseen else ""
    return [
        "  eels:",
        f"    data: {path}",
        "    forward:",
        "      use: eels",
        f"      elements: [{', '.join(sorted(edges))}]{note}",
        "      beam_energy: 200000   # eV; correct it and the angles, or delete what is not known",
        "      semiangle: 10   # mrad, of convergence",
        "      collection: 20   # mrad",
        "    metrics: {rw: }",
    ]
