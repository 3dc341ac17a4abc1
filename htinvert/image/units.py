"""Units that axes may have in files, and what they are here: Å, 1/Å, eV, mrad, degrees."""

from __future__ import annotations

import re
import unicodedata

LENGTHS = {
    **dict.fromkeys(("Å", "A", "angstrom", "angstroms", "ang", "ångström", "ångstrom"), 1.0),
    **dict.fromkeys(("nm", "nanometer", "nanometers", "nanometre", "nanometres"), 10.0),
    **dict.fromkeys(("pm", "picometer", "picometers", "picometre"), 0.01),
    **dict.fromkeys(("µm", "um", "micron", "microns", "micrometer", "micrometers"), 1e4),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1e10),
    **{"fm": 1e-5, "mm": 1e7, "cm": 1e8},
}  # in Å
ENERGIES = {"eV": 1.0, "ev": 1.0, "keV": 1e3, "kev": 1e3, "meV": 1e-3}
ANGLES = {"mrad": 1.0, "rad": 1e3, "urad": 1e-3, "µrad": 1e-3, "radian": 1e3, "radians": 1e3}
DEGREES = ("degrees", "degree", "deg", "°", "2theta", "two_theta")
RECIPROCAL = ("1/Å", "mrad")  # what the axes of a diffraction pattern are in
INVERSE = (r"1/(.+)", r"(.+?)\*{0,2}\^?-1", r"(?:inv|inverse|rec|reciprocal)[._]?(.+)")


def known_unit(unit: str) -> tuple[str, float] | None:
    """The unit that is used here for one of a file, and by how much values are multiplied.

    None where it is not known: ``nm^-1`` is ``1/Å`` times 0.1. Spaces, brackets and LaTeX's marks
    do not count; what is no symbol may be in capitals.
    """
    text = _plain(unit)
    for pattern in INVERSE:
        inverse = re.fullmatch(pattern, text, flags=re.IGNORECASE)
        if inverse and (length := _of(LENGTHS, inverse[1])):
            return "1/Å", 1.0 / length
    for units, name in ((LENGTHS, "Å"), (ENERGIES, "eV"), (ANGLES, "mrad")):
        if factor := _of(units, text):
            return name, factor
    return ("degrees", 1.0) if text.lower() in DEGREES else None


def angstrom(unit: str) -> float:
    """Length of a unit [Å]; 0 where it is none of length."""
    return _of(LENGTHS, _plain(unit))


def _of(units: dict[str, float], text: str) -> float:
    """A unit's factor, also where a word is written in capitals; 0 for an unknown one."""
    return units.get(text) or (units.get(text.lower(), 0.0) if len(text) > 3 else 0.0)


def _plain(unit: str) -> str:
    """A unit as ``Å``, ``nm^-1`` or ``1/µm``, whatever signs it was written with."""
    text = re.sub(r"\\u([0-9A-Fa-f]{4})", lambda code: chr(int(code[1], 16)), unit)  # ImageJ's
    text = unicodedata.normalize("NFC", text).replace("\N{GREEK SMALL LETTER MU}", "µ")
    text = text.replace("\\AA", "Å").replace("\\mu", "µ").replace("\\mathrm", "")
    text = text.replace("\N{MINUS SIGN}", "-").replace("⁻¹", "^-1").replace("-¹", "^-1")
    return re.sub(r"[\s()\[\]{}$\\·_]", "", text)
