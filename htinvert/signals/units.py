"""Units that axes may have in files, and what they are here: Å, 1/Å, eV, mrad, degrees."""

from __future__ import annotations

import re

LENGTHS = {
    "Å": 1.0,
    "A": 1.0,
    "angstrom": 1.0,
    "angstroms": 1.0,
    "ang": 1.0,
    "nm": 10.0,
    "pm": 0.01,
}
ENERGIES = {"eV": 1.0, "ev": 1.0, "keV": 1e3, "kev": 1e3, "meV": 1e-3}
ANGLES = {"mrad": 1.0, "rad": 1e3, "urad": 1e-3}
DEGREES = ("degrees", "degree", "deg", "°", "2theta", "two_theta")


def known_unit(unit: str) -> tuple[str, float] | None:
    """The unit that is used here for one of a file, and by how much values are multiplied.

    None where it is not known: ``nm^-1`` is ``1/Å`` times 0.1.
    """
    text = unit.strip().replace("\u212b", "Å").replace("\u2212", "-").replace("⁻¹", "^-1")
    inverse = re.fullmatch(r"1/\s*\(?(\w+|Å)\)?|\(?(\w+?|Å)\)?\s*\^?\{?-1\}?", text)
    if inverse and (inverse[1] or inverse[2]) in LENGTHS:
        return "1/Å", 1.0 / LENGTHS[inverse[1] or inverse[2]]
    for units, name in ((LENGTHS, "Å"), (ENERGIES, "eV"), (ANGLES, "mrad")):
        if text in units:
            return name, units[text]
    return ("degrees", 1.0) if text.lower() in DEGREES else None
