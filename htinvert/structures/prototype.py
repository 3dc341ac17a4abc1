"""Textbook crystals by name and lattice constant, without a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from ase import Atoms
from ase.data import atomic_numbers
from ase.formula import Formula
from ase.spacegroup import crystal as build

from htinvert.core import UserError
from htinvert.declaration.declared import Parameter, check_values

Position = tuple[float, float, float]
LATTICE = Parameter("Å", 1.5, 200.0)  # that of beryllium, the shortest, is 2.29 Å
Site = tuple[str, Position]  # role of the element, fractions of the conventional cell
IDEAL = math.sqrt(8 / 3)  # c/a of close-packed spheres
Z = (0.0, 0.0, 0.0)  # the origin


@dataclass(frozen=True)
class Prototype:
    """A structure type: space group, occupied sites as a function of its internal parameters.

    Attributes:
        roles: how often each role occurs in the formula; a role is a letter.
        group: number of the space group, in ASE's first setting (origin choice 1).
        sites: the occupied sites, from the internal parameters.
        internal: internal parameters by name, with the values of the prototype compound.
        ratio: c/a where it may be left out; None where ``c`` must be given.
        source: where the internal parameters come from.
    """

    roles: Mapping[str, int]
    group: int
    sites: Callable[[Mapping[str, float]], tuple[Site, ...]]
    internal: Mapping[str, float] = field(default_factory=dict)
    ratio: float | None = None
    source: str = "fixed by symmetry"

    @property
    def cubic(self) -> bool:
        """Whether the lattice is cubic: groups 195 to 230 of the International Tables."""
        return self.group >= 195


def _fixed(*sites: Site) -> Callable[[Mapping[str, float]], tuple[Site, ...]]:
    return lambda _: sites


def _m3b2(metal: str, ligand: str, pair: str) -> Callable[[Mapping[str, float]], tuple[Site, ...]]:
    """Sites 2a, 4h and 4g of P4/mbm, the type of U3Si2 and of Mo2FeB2."""
    return lambda p: (
        (metal, Z),
        (pair, (p["u"], p["u"] + 0.5, 0.5)),
        (ligand, (p["x"], p["x"] + 0.5, 0.0)),
    )


U3SI2 = {"x": 0.388, "u": 0.181}
U3SI2_SOURCE = "U3Si2: Zachariasen, Acta Cryst. 2, 94 (1949); AFLOW A2B3_tP10_127_g_ah"

PROTOTYPES: Mapping[str, Prototype] = {
    "fcc": Prototype({"A": 1}, 225, _fixed(("A", Z))),
    "bcc": Prototype({"A": 1}, 229, _fixed(("A", Z))),
    "hcp": Prototype({"A": 1}, 194, _fixed(("A", (1 / 3, 2 / 3, 0.25))), ratio=IDEAL),
    "diamond": Prototype({"A": 1}, 227, _fixed(("A", Z))),
    "zincblende": Prototype({"A": 1, "B": 1}, 216, _fixed(("A", Z), ("B", (0.25, 0.25, 0.25)))),
    "rocksalt": Prototype({"A": 1, "B": 1}, 225, _fixed(("A", Z), ("B", (0.5, 0.5, 0.5)))),
    "cesiumchloride": Prototype({"A": 1, "B": 1}, 221, _fixed(("A", Z), ("B", (0.5, 0.5, 0.5)))),
    "wurtzite": Prototype(
        {"A": 1, "B": 1},
        186,
        lambda p: (("A", (1 / 3, 2 / 3, 0.0)), ("B", (1 / 3, 2 / 3, p["u"]))),
        {"u": 0.375},
        IDEAL,
        "regular tetrahedra: u = 3/8",
    ),
    "fluorite": Prototype({"A": 1, "B": 2}, 225, _fixed(("A", Z), ("B", (0.25, 0.25, 0.25)))),
    "rutile": Prototype(
        {"A": 1, "B": 2},
        136,
        lambda p: (("A", Z), ("B", (p["u"], p["u"], 0.0))),
        {"u": 0.3048},
        source="TiO2: Burdett et al., J. Am. Chem. Soc. 109, 3639 (1987)",
    ),
    "anatase": Prototype(
        {"A": 1, "B": 2},
        141,
        lambda p: (("A", Z), ("B", (0.0, 0.0, p["u"]))),
        {"u": 0.2081},
        source="TiO2: Burdett et al., J. Am. Chem. Soc. 109, 3639 (1987)",
    ),
    "perovskite": Prototype(
        {"A": 1, "B": 1, "X": 3},
        221,
        _fixed(("A", Z), ("B", (0.5, 0.5, 0.5)), ("X", (0.5, 0.5, 0.0))),
    ),
    "cuprite": Prototype({"A": 2, "B": 1}, 224, _fixed(("A", (0.25, 0.25, 0.25)), ("B", Z))),
    "corundum": Prototype(
        {"A": 2, "B": 3},
        167,
        lambda p: (("A", (0.0, 0.0, p["u"])), ("B", (p["x"], 0.0, 0.25))),
        {"u": 0.35216, "x": 0.30624},
        source="Al2O3: Finger & Hazen, J. Appl. Phys. 49, 5823 (1978)",
    ),
    "M3B2": Prototype({"M": 3, "B": 2}, 127, _m3b2("M", "B", "M"), U3SI2, source=U3SI2_SOURCE),
    "Mo2FeB2": Prototype(
        {"P": 2, "M": 1, "B": 2}, 127, _m3b2("M", "B", "P"), U3SI2, source=U3SI2_SOURCE
    ),
}

CRYSTALS = tuple(PROTOTYPES)
CUBIC = tuple(name for name, prototype in PROTOTYPES.items() if prototype.cubic)


def prototype(
    formula: str,
    *,
    crystal: str,
    a: Annotated[float, LATTICE],
    c: Annotated[float | None, LATTICE] = None,
    u: Annotated[float | None, Parameter("1")] = None,
    x: Annotated[float | None, Parameter("1")] = None,
    cubic: bool = False,
    repeat: tuple[int, int, int] = (1, 1, 1),
) -> Atoms:
    """Build a crystal: ``formula`` such as Si or CdTe, lattice constants ``a`` and ``c`` [Å].

    ``c`` may be left out for cubic crystals and, where spheres would be close-packed, for hcp and
    wurtzite. ``u`` and ``x`` [fractions] replace the internal parameters of `PROTOTYPES`. Elements
    take their sites by how often they occur in the formula; equal numbers go by order (SrTiO3: Sr
    in the cage; Mo2FeB2: Mo in the pairs). The cell is the conventional one, except for cubic
    crystals, where ``cubic`` asks for it and the primitive one is the default.

    Raises :class:`UserError` for an unknown crystal, a formula that does not fit it, lattice
    constants that are missing or not positive, or internal parameters that it does not have.
    """
    if crystal not in PROTOTYPES:
        raise UserError(f"crystal {crystal} is unknown; choose one of {', '.join(CRYSTALS)}")
    kind = PROTOTYPES[crystal]
    elements = _assign(formula, crystal, kind)
    c = _height(crystal, kind, a, c)
    if cubic and not kind.cubic:
        raise UserError(f"{crystal} is not cubic; leave cubic out, its cell is conventional anyway")
    if min(repeat) < 1:
        raise UserError(f"repeat is {list(repeat)}; give three numbers of at least 1")
    sites = kind.sites(_internal(crystal, kind, {"u": u, "x": x}))
    gamma = 120.0 if 143 <= kind.group <= 194 else 90.0
    atoms = build(
        [elements[role] for role, _ in sites],
        [position for _, position in sites],
        spacegroup=kind.group,
        cellpar=[a, a, c, 90.0, 90.0, gamma],
        primitive_cell=kind.cubic and not cubic,
    )
    return Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True).repeat(repeat)


def _assign(formula: str, crystal: str, kind: Prototype) -> dict[str, str]:
    """Element of each role: by count, elements of equal count by their order in the formula."""
    try:
        counts = dict(Formula(formula).count())
    except (ValueError, TypeError) as error:
        raise UserError(f"{formula} is no chemical formula; write it like CdTe or Mo3B2") from error
    unknown = [symbol for symbol in counts if not atomic_numbers.get(symbol)]
    if unknown or not counts:
        raise UserError(
            f"{formula} names {', '.join(unknown) or 'no element'}, which is no element; "
            "write it like CdTe or Mo3B2"
        )
    divisor = math.gcd(*counts.values())
    counts = {symbol: count // divisor for symbol, count in counts.items()}
    if sorted(counts.values()) != sorted(kind.roles.values()):
        wanted = "".join(f"{role}{n if n > 1 else ''}" for role, n in kind.roles.items())
        raise UserError(
            f"{formula} cannot be built as {crystal}, which has the composition {wanted}; "
            "change the formula or the crystal"
        )
    left = list(counts)
    elements: dict[str, str] = {}
    for role, number in kind.roles.items():
        elements[role] = next(symbol for symbol in left if counts[symbol] == number)
        left.remove(elements[role])
    return elements


def _height(crystal: str, kind: Prototype, a: float, c: float | None) -> float:
    """Lattice constant c [Å], given or from the prototype's ratio."""
    for name, value in (("a", a), ("c", c)):
        if value is not None:
            called = f"lattice constant {name}"
            try:
                check_values({called: value}, {called: LATTICE})
            except ValueError as error:
                raise UserError(str(error)) from error
    if kind.cubic:
        if c is not None and not math.isclose(a, c):
            raise UserError(f"{crystal} is cubic but c is {c} Å and a {a} Å; leave c out")
        return a
    if c is None and kind.ratio is None:
        raise UserError(f"{crystal} needs its second lattice constant; give c [Å]")
    return c if c is not None else a * float(kind.ratio or 1.0)


def _internal(
    crystal: str, kind: Prototype, given: Mapping[str, float | None]
) -> Mapping[str, float]:
    """Internal parameters [fractions of a lattice constant], the given ones first."""
    named = {name: value for name, value in given.items() if value is not None}
    for name, value in named.items():
        if name not in kind.internal:
            known = ", ".join(kind.internal) or "no internal parameter"
            raise UserError(f"{crystal} has no parameter {name}; it has {known}")
        if not -1.0 < value < 1.0:
            raise UserError(f"{name} is {value}; give a fraction of the lattice constant")
    return {**kind.internal, **named}
