"""Any ASE calculator as an energy model, relaxed with an ASE optimizer.

Named by its ASE name or as ``module:class``; with a model file, the way to run a machine-learned
potential such as MACE (Batatia et al., NeurIPS 2022) from weights of one's own.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import os
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from ase import Atoms, __version__
from ase.calculators.calculator import get_calculator_class

from htinvert.core import Relaxation, UserError
from htinvert.declaration.abilities import Given
from htinvert.declaration.declared import Parameter, distributions_of, sources_of
from htinvert.energy.abinit import Abinit
from htinvert.energy.accuracy import (
    DFT,
    MACHINE_LEARNED,
    POTENTIAL,
    UNKNOWN,
    Accuracy,
    accuracy_of,
)
from htinvert.energy.chgnet import Chgnet
from htinvert.energy.descent import check_optimizer, relax, single_point
from htinvert.energy.espresso import Espresso
from htinvert.energy.gpaw import Gpaw
from htinvert.energy.lammps import Lammps
from htinvert.energy.offer import Offer, SinglePoint
from htinvert.energy.sevennet import SevenNet
from htinvert.energy.vasp import Vasp

WRAPPED: Mapping[str, type] = {
    "abinit": Abinit,
    "chgnet": Chgnet,
    "espresso": Espresso,
    "gpaw": Gpaw,
    "lammpslib": Lammps,
    "lammpsrun": Lammps,
    "sevenn": SevenNet,
    "vasp": Vasp,
}
"""Engines of ours that ASE or a package of this name has, too: they declare the same."""
SOURCES = {
    "mace": (
        "I. Batatia et al., MACE, Adv. Neural Inf. Process. Syst. 35, 11423 (2022), "
        "arXiv:2206.07697.",
    )
}
KINDS = {
    **dict.fromkeys(("eam", "emt", "gulp", "lj", "morse", "tersoff"), POTENTIAL),
    **dict.fromkeys(
        ("deepmd", "fairchem", "mace", "matgl", "mattersim", "nequip", "orb_models"),
        MACHINE_LEARNED,
    ),
    **dict.fromkeys(
        ("aims", "castep", "cp2k", "elk", "nwchem", "octopus", "onetep", "siesta"), DFT
    ),
}
"""Classes of other calculators by ASE's name or by package. Those of many methods are missing."""


@dataclass(frozen=True)
class AseCalculator:
    """Relax with an ASE calculator; constraints of the structure are honored, the cell is fixed.

    A rigid body (:class:`htinvert.geometry.roles.RigidBody`) is one particle to the optimizer, so
    that its total force is what ``fmax`` limits.

    Attributes:
        name: ASE's name of the calculator, such as ``emt`` or ``lj``, or ``module:class`` of one
            that is installed, such as ``mace.calculators:MACECalculator``.
        parameters: keyword arguments of the calculator.
        model: a file that the calculator loads, once per process. Its content is part of the
            engine's identity. Loading a file of torch's runs code that it contains: name only
            files whose origin you trust.
        model_argument: the keyword by which the calculator takes the file.
        fmax: the relaxation ends when no atom and no rigid body feels a larger force [eV/Å].
        steps: the relaxation ends after this many steps.
        optimizer: ``lbfgs`` or ``fire``.
    """

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    model: Path | None = None
    model_argument: str = "model"
    fmax: Annotated[float, Parameter("eV/Å", 0.0)] = 0.05
    steps: Annotated[int, Parameter("1", 0)] = 300
    optimizer: str = "lbfgs"

    @classmethod
    def sources(cls, given: Given) -> tuple[str, ...]:
        """What is behind the calculator's name, as far as that is known; ASE itself always is."""
        engine = WRAPPED.get(_family(given))
        return sources_of(engine, {}) if engine else SOURCES.get(_family(given), ())

    @classmethod
    def accuracy(cls, given: Given) -> Accuracy:
        """The class of what is behind the calculator's name; unknown where the name is not."""
        engine = WRAPPED.get(_family(given))
        return accuracy_of(engine, {}) if engine else KINDS.get(_family(given), UNKNOWN)

    @classmethod
    def names_code(cls, given: Given) -> tuple[str, ...]:
        """What it imports, a file of torch's, and words: to some calculators they are commands."""
        imported = ("name",) if ":" in str(given.get("name", "")) else ()
        words = ("parameters",) if _has_words(given.get("parameters")) else ()
        return (*imported, *words, "model")

    @classmethod
    def packages(cls, given: Given) -> tuple[str, ...]:
        """The distribution that a calculator given as ``module:class`` comes from."""
        name = str(given.get("name", ""))
        found = distributions_of(name)
        return tuple(dict.fromkeys([*found, "torch"])) if ":" in name else ()

    def __post_init__(self) -> None:
        check_optimizer(self.optimizer)
        _class(self.name)
        if self.model is not None and not self.model.is_file():
            raise UserError(f"there is no model file {self.model}; give the path of one")

    @property
    def offer(self) -> Offer:
        """What ASE says of the calculator; which elements it knows, only a trial tells."""
        known = tuple(_class(self.name).implemented_properties) or ("energy", "forces")
        offered = tuple(name for name in ("energy", "forces", "stress") if name in known)
        origin = _origin(self.name)
        if self.model is None:
            return Offer(f"{self.name} ({origin})", properties=offered)
        content = _sha256(self.model, self.model.stat().st_mtime_ns)
        named = f"{self.name} {self.model.name} ({origin}, sha256 {content[:16]})"
        return Offer(named, properties=offered, memory=1.2, cost="mlip")

    def load(self) -> None:
        """Load the model file."""
        if self.model is not None:
            self._calculator()

    def check_elements(self, symbols: set[str] | tuple[str, ...]) -> None:
        """Raise :class:`UserError` where the calculator refuses one of the elements."""
        for symbol in sorted(symbols):
            pair = Atoms([symbol, symbol], positions=[[0, 0, 0], [0, 0, 2.5]])
            try:
                pair.calc = self._calculator()
                pair.get_potential_energy()
            except Exception as error:  # every calculator has its own way to say no
                raise UserError(
                    f"calculator {self.name} does not know {symbol} ({error}); "
                    "choose another calculator or leave the element out"
                ) from error

    def __call__(self, atoms: Atoms) -> Relaxation:
        """Relax a structure. Raises :class:`EvaluationFailed` where the calculator gives up."""
        return relax(
            atoms,
            self._calculator(),
            engine=self.name,
            fmax=self.fmax,
            steps=self.steps,
            optimizer=self.optimizer,
        )

    def single_point(self, atoms: Atoms) -> SinglePoint:
        """Price a structure as it stands. Raises as a relaxation does."""
        stress = "stress" in self.offer.properties and bool(atoms.pbc.all())
        return single_point(atoms, self._calculator(), engine=self.name, stress=stress)

    def _calculator(self) -> Any:
        if self.model is None:
            return _class(self.name)(**self.parameters)
        return _loaded(_Spec(self, self.model.stat().st_mtime_ns))


def _has_words(value: Any) -> bool:
    """Whether there is text anywhere in plain values."""
    if isinstance(value, Mapping):
        return any(map(_has_words, value.values()))
    return isinstance(value, str) or (isinstance(value, list) and any(map(_has_words, value)))


def _family(given: Given) -> str:
    """ASE's name, or the first part of a module's, of what parameters ask for."""
    return str(given.get("name", "")).partition(":")[0].partition(".")[0].lower()


@dataclass(frozen=True)
class _Spec:
    """A calculator with a model file, as a key: equal where the same file would be loaded."""

    engine: AseCalculator
    changed: int

    def __hash__(self) -> int:
        return hash((self.engine.name, self.engine.model, self.changed))


@functools.lru_cache(maxsize=2)
def _loaded(spec: _Spec) -> Any:
    """Load a model file once per process, on one thread."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # read when torch is imported
    engine = spec.engine
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch has renamed is no business of a campaign
        found = _class(engine.name)(
            **engine.parameters, **{engine.model_argument: str(engine.model)}
        )
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    return found


def _class(name: str) -> Any:
    """The class of a calculator. Raises :class:`UserError` where there is none of that name."""
    try:
        if ":" not in name:
            return get_calculator_class(name)
        module, _, attribute = name.partition(":")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return getattr(importlib.import_module(module), attribute)
    except (KeyError, ImportError, AttributeError) as error:
        advice = "`ase info --calculators` lists those that are installed"
        if ":" in name:
            advice = "install its package, or give module:class of one that is"
        if name.startswith("mace."):
            advice = 'run `pip install "htinvert[mace]"` in an environment without the extra mlip'
        raise UserError(f"ASE has no calculator {name} here ({error}); {advice}") from error


@functools.lru_cache(maxsize=8)
def _origin(name: str) -> str:
    """The package of a calculator with its version."""
    if ":" not in name:
        return f"ase {__version__}"
    packages = distributions_of(name)
    return f"{packages[0]} {version(packages[0])}" if packages else f"ase {__version__}"


@functools.lru_cache(maxsize=8)
def _sha256(path: Path, changed: int) -> str:  # noqa: ARG001  (a file that changed is read again)
    return hashlib.sha256(path.read_bytes()).hexdigest()
