"""What a report cites: the method behind every component that a run has used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SOURCES = {
    "htinvert": "htinvert: from one atomically resolved micrograph to ranked atomic structures.",
    "ase": "A. H. Larsen et al., The atomic simulation environment, J. Phys.: Condens. Matter 29, "
    "273002 (2017).",
    "lammps": "A. P. Thompson et al., LAMMPS, Comput. Phys. Commun. 271, 108171 (2022).",
    "chgnet": "B. Deng et al., CHGNet, Nat. Mach. Intell. 5, 1031 (2023).",
    "sevennet": "Y. Park et al., SevenNet, J. Chem. Theory Comput. 20, 4857 (2024).",
    "gpaw": "J. J. Mortensen et al., GPAW, J. Chem. Phys. 160, 092503 (2024).",
    "abinit": "X. Gonze et al., The ABINIT project, Comput. Phys. Commun. 248, 107042 (2020).",
    "espresso": "P. Giannozzi et al., Quantum ESPRESSO, J. Phys.: Condens. Matter 29, 465901 "
    "(2017).",
    "stem_convolution": "E. J. Kirkland, Advanced Computing in Electron Microscopy, 2nd ed. "
    "(2010), section 5.4.",
    "stem_multislice": "J. Madsen and T. Susi, The abTEM code, Open Res. Europe 1, 24 (2021).",
    "registration": "E. Schwenker et al., Ingrained, Small 18, 2102960 (2022); similarity: "
    "Z. Wang et al., IEEE Trans. Image Process. 13, 600 (2004).",
    "correlation": "J. P. Lewis, Fast normalized cross-correlation, Vision Interface 120 (1995).",
    "genetic": "D. M. Deaven and K. M. Ho, Phys. Rev. Lett. 75, 288 (1995); L. B. Vilhelmsen and "
    "B. Hammer, J. Chem. Phys. 141, 044711 (2014).",
    "basin_hopping": "D. J. Wales and J. P. K. Doye, J. Phys. Chem. A 101, 5111 (1997).",
    "replica_exchange": "R. H. Swendsen and J.-S. Wang, Phys. Rev. Lett. 57, 2607 (1986).",
    "confidence": "How sure: P. R. Hansen, A. Lunde and J. M. Nason, The model confidence set, "
    "Econometrica 79, 453 (2011); J. C. Hsu, Ann. Stat. 12, 1136 (1984).",
    "page": "This page: N. Rego and D. Koes, 3Dmol.js, Bioinformatics 31, 1322 (2015).",
}


def citations(config: Mapping[str, Any]) -> list[str]:
    """Sources of the components of a configuration, as plain values, in reading order."""
    used = ["htinvert", "ase", config["energy"]["use"]]
    for experiment in config.get("experiments", {}).values():
        used += [experiment["forward"]["use"], *experiment["metrics"]]
    used += [generator["use"] for generator in config["search"]["generators"]]
    used += ["confidence", "page"]
    return [SOURCES[name] for name in dict.fromkeys(used) if name in SOURCES]


def potential(config: Mapping[str, Any]) -> str:
    """Engine and potential in one phrase, such as ``lammps, potential CdTe.sw``."""
    rest = (f"{key} {value}" for key, value in config["energy"].items() if key != "use")
    return ", ".join([str(config["energy"]["use"]), *rest])
