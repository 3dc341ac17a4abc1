"""Edges of the elements: where they begin, and which a spectrum reaches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

from ase.data import atomic_numbers

from htinvert.core import UserError

SHELLS = ("K", "L", "M")


@dataclass(frozen=True)
class Edge:
    """All electrons of a shell that one edge shows, such as ``Ti L``: L3, L2 and L1 together.

    Attributes:
        symbol: of the element.
        shell: ``K``, ``L`` or ``M``.
        onset: of the outermost electrons, L3 or M5 [eV].
        split: from there to L2 or M4 [eV], 0 for K.
        inner: their binding energy in tables of photoabsorption [eV].
        last: onset of L1 [eV], 0 for other shells.
    """

    symbol: str
    shell: str
    onset: float
    split: float
    inner: float
    last: float

    @property
    def name(self) -> str:
        """As ``Ti L``."""
        return f"{self.symbol} {self.shell}"

    @property
    def number(self) -> int:
        """Atomic number."""
        return int(atomic_numbers[self.symbol])


@cache
def table() -> tuple[Edge, ...]:
    """Every edge from 40 to 4000 eV of lithium to uranium, in order of atomic numbers."""
    text = resources.files(__package__).joinpath("edges.csv").read_text(encoding="ascii")
    rows = [line.split(",") for line in text.splitlines() if not line.startswith(("#", "symbol"))]
    return tuple(Edge(row[0], row[1], *map(float, row[2:])) for row in rows)


def edge_named(name: str) -> Edge:
    """The edge ``Ti L``, ``Ti-L3`` or ``Ti L2,3``. Raises :class:`UserError` for an unknown one."""
    symbol, _, shell = name.replace("-", " ").replace("_", " ").strip().partition(" ")
    for edge in table():
        if edge.symbol == symbol and shell[:1] == edge.shell:
            return edge
    known = ", ".join(edge.name for edge in table() if edge.symbol == symbol)
    hint = f"{symbol} has {known}" if known else "write an element and a shell, such as Ti L"
    raise UserError(f'there is no edge "{name}" between 40 and 4000 eV; {hint}')


def edges_within(symbols: tuple[str, ...], low: float, high: float) -> dict[str, Edge]:
    """For every element its deepest edge that begins between two energies [eV].

    Deepest, for the formulas of K edges are better than those of L, and these than those of M.
    Elements that have none there are left out.
    """
    found: dict[str, Edge] = {}
    for edge in table():
        if edge.symbol in symbols and low <= edge.onset <= high:
            found.setdefault(edge.symbol, edge)
    return found
