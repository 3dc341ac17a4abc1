"""FDMNES: finite differences or multiple scattering, without a muffin tin where that is wanted.

O. Bunau & Y. Joly, J. Phys.: Condens. Matter 21, 345501 (2009).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from htinvert.core import EvaluationFailed
from htinvert.forward.xanes.absorber import Absorber, Runner, located, table_of
from htinvert.forward.xanes.unbroadened import Unbroadened

BELOW, STEP, FINE = -10.0, 0.2, 20.0  # eV: where its grid begins, its step, up to where


@dataclass(frozen=True)
class Fdmnes:
    """Settings of FDMNES.

    Attributes:
        radius: of the cluster [Å].
        finite_differences: beyond the muffin-tin approximation, which takes far longer.
        command: how it is started.
    """

    title: ClassVar[str] = "FDMNES"

    radius: float
    finite_differences: bool = False
    command: str | None = None

    def check(self, absorber: Absorber) -> None:  # noqa: ARG002  (it does every edge)
        """Raise where there is no FDMNES."""
        self._words()

    def local(self) -> bool:
        """Its potentials are those of the whole crystal."""
        return False

    def spectrum(self, absorber: Absorber, runner: Runner) -> Unbroadened:
        """Run it on ``in.txt``; what ``out.txt`` holds."""
        (runner.folder / "fdmfile.txt").write_text("1\nin.txt\n", encoding="ascii")
        (runner.folder / "in.txt").write_text(self.written(absorber), encoding="ascii")
        runner(self._words(), log="said")
        return read_out(runner.folder / "out.txt")

    def written(self, absorber: Absorber) -> str:
        """Text of in.txt: a crystal, or a molecule where the structure is not periodic."""
        atoms = absorber.atoms
        if atoms.cell.rank == 3 and atoms.pbc.all():
            cell = " ".join(f"{value:.6f}" for value in atoms.cell.cellpar())
            places, head = atoms.get_scaled_positions(), ["Crystal", cell]
        else:
            places, head = atoms.positions, ["Molecule", "1.0 1.0 1.0 90 90 90"]
        return "\n".join(
            [
                "Filout", "out", "",
                "Range", f"{BELOW} {STEP} {FINE} 0.5 {max(absorber.above, FINE + 1.0):.1f}", "",
                "Radius", f"{self.radius:.3f}", "",
                "Edge", absorber.edge, "",
                *([] if self.finite_differences else ["Green", ""]),
                "SCF", "",
                "Absorber", str(absorber.index + 1), "",
                *head,
                *(f"{number} {x:.6f} {y:.6f} {z:.6f}"
                  for number, (x, y, z) in zip(atoms.numbers, places, strict=True)),
                "", "End", "",
            ]
        )  # fmt: skip

    def _words(self) -> list[str]:
        return located(self.title, self.command, ("fdmnes", "fdmnes_linux64"),
                       "get it from https://fdmnes.neel.cnrs.fr")  # fmt: skip


def read_out(path: Path) -> Unbroadened:
    """What was not convoluted, above the Fermi level that the heading says."""
    energy, mu = table_of(path, (0, 1), name="FDMNES")
    heading = next((line for line in path.read_text(errors="replace").splitlines()
                    if "= E_edge" in line), "")  # fmt: skip
    values, _, names = heading.partition("=")
    known = dict(zip((name.strip() for name in names.split(",")), values.split(), strict=False))
    fermi = known.get("E_cut", known.get("E_Fermi"))
    if fermi is None:
        raise EvaluationFailed(f"garbage: {path.name} has no heading of FDMNES with E_cut")
    empty = energy >= float(fermi)
    return Unbroadened.of(energy[empty] - float(fermi), mu[empty], name="FDMNES")
