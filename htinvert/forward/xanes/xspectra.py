"""Quantum ESPRESSO: pw.x with one core hole in the cell, then xspectra.x's continued fraction.

C. Gougoussis, M. Calandra, A. P. Seitsonen & F. Mauri, Phys. Rev. B 80, 075102 (2009). The
potential with a hole in its 1s shell is made by ld1.x as N. Troullier & J. L. Martins, Phys. Rev. B
43, 1993 (1991) do.
"""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import spglib
from ase import Atoms
from ase.calculators.calculator import kptdensity2monkhorstpack
from ase.data import atomic_masses, atomic_numbers
from ase.units import Ry

from htinvert.core import EvaluationFailed, UserError
from htinvert.forward.xanes.absorber import Absorber, Runner, located, table_of
from htinvert.forward.xanes.unbroadened import Unbroadened

BELOW, WIDTH = 10.0, 0.2  # eV below the highest occupied level; half the width of its Lorentzian
SHELLS = {"B": "2p1", "C": "2p2", "N": "2p3", "O": "2p4", "F": "2p5"}
RADII = {"B": 1.5, "C": 1.4, "N": 1.35, "O": 1.3, "F": 1.3}  # bohr, of 2s and 2p
FUNCTIONALS = {"LDA": "PZ", "PBE": "PBE"}
HOLE, FULL = "hole.UPF", "full.UPF"
CUBIC = ("m-3m", "-43m", "432", "m-3", "23")  # sites that are alike in all directions


@dataclass(frozen=True)
class Xspectra:
    """Settings of pw.x, ld1.x and xspectra.x.

    Attributes:
        pseudopotentials: folder with one UPF file an element, the absorber's with its core states
            (GIPAW) where ``core_hole`` is given; else it is made, as the one with the hole is.
        core_hole: UPF file of the absorber with a hole; made of B, C, N, O and F where None.
        xc: functional of the files, ``LDA`` or ``PBE``.
        size: the structure is repeated until its cell is so long along every vector [Å].
        cutoff: of plane waves [eV].
        density_cutoff: of the density [eV]; 4 times ``cutoff`` if None.
        kpoint_density: points per 1/Å, times 2 pi.
        commands: how pw.x, ld1.x and xspectra.x are started, by these names; the others by name.
    """

    title: ClassVar[str] = "Quantum ESPRESSO"

    pseudopotentials: Path
    core_hole: Path | None = None
    xc: Literal["LDA", "PBE"] = "PBE"
    size: float = 7.0
    cutoff: float = 680.0
    density_cutoff: float | None = None
    kpoint_density: float = 2.5
    commands: Mapping[str, str] = field(default_factory=dict)

    def check(self, absorber: Absorber) -> None:
        """Raise for a missing program or file, another edge than K, and what is no crystal."""
        symbol = absorber.atoms.symbols[absorber.index]
        if absorber.edge != "K":
            raise UserError(f"xspectra.x is asked for K edges, not {absorber.edge}; use fdmnes")
        if absorber.atoms.cell.rank < 3:
            raise UserError("xspectra.x needs a cell; give the structure one, with vacuum around")
        for name in ("pw.x", "xspectra.x", *(() if self.core_hole else ("ld1.x",))):
            self._words(name)
        if self.core_hole is None and symbol not in SHELLS:
            raise UserError(
                f"a core hole is made in {', '.join(SHELLS)}, not in {symbol}; give core_hole, a "
                "UPF file that ld1.x made"
            )
        for other in sorted(set(absorber.atoms.get_chemical_symbols())):
            if other != symbol or self.core_hole is not None:
                self._file(other)

    def local(self) -> bool:
        """It is given the whole cell."""
        return False

    def spectrum(self, absorber: Absorber, runner: Runner) -> Unbroadened:
        """Potentials, density, and the mean of three polarizations; one at a cubic site."""
        folder, symbol = runner.folder, str(absorber.atoms.symbols[absorber.index])
        files = self._potentials(symbol, set(absorber.atoms.get_chemical_symbols()), runner)
        (folder / "core.wfc").write_text(core_state(folder / files[symbol]), encoding="ascii")
        cell, index = self._cell(absorber)
        self._run(runner, "pw.x", self.pw_input(cell, index, files))
        found = []
        for axis in range(1 if _cubic(absorber) else 3):
            self._run(runner, "xspectra.x", self.xspectra_input(cell, axis, absorber.above))
            found.append(table_of(folder / "xanes.dat", (0, 1), name="xspectra.x"))
            (folder / "xanes.dat").unlink()
        values = np.mean([one[1] for one in found], axis=0)
        empty = found[0][0] >= -2.0 * WIDTH
        return Unbroadened.of(
            found[0][0][empty], values[empty], width=2.0 * WIDTH, name="xspectra.x"
        )

    def pw_input(self, cell: Atoms, index: int, files: Mapping[str, str]) -> str:
        """Input of pw.x: one electron less, and the atom with the hole first and of its own."""
        symbols, order = sorted(set(cell.get_chemical_symbols())), _first(index, len(cell))
        absorber = cell.symbols[index]
        kinds = [(f"{absorber}h", absorber, HOLE), *((s, s, files[s]) for s in symbols)]
        if absorber not in [cell.symbols[place] for place in order[1:]]:
            kinds = [kind for kind in kinds if kind[0] != absorber]
        density = f", ecutrho = {self.density_cutoff / Ry:.3f}" if self.density_cutoff else ""
        lines = [
            "&control calculation = 'scf', prefix = 'x', pseudo_dir = '.', outdir = 'out' /",
            f"&system ibrav = 0, nat = {len(cell)}, ntyp = {len(kinds)}, tot_charge = 1.0,",
            f" ecutwfc = {self.cutoff / Ry:.3f}{density},",
            " occupations = 'smearing', smearing = 'gaussian', degauss = 0.002 /",
            "&electrons conv_thr = 1e-7 /",
            "ATOMIC_SPECIES",
            *(f"{kind} {atomic_masses[atomic_numbers[s]]:.3f} {name}" for kind, s, name in kinds),
            "CELL_PARAMETERS angstrom",
            *(" ".join(f"{value:.8f}" for value in row) for row in cell.cell.array),
            "ATOMIC_POSITIONS angstrom",
        ]
        for place in order:
            name = f"{absorber}h" if place == index else cell.symbols[place]
            lines.append(name + " " + " ".join(f"{value:.8f}" for value in cell.positions[place]))
        return "\n".join([*lines, "K_POINTS automatic", f"{self._mesh(cell)} 0 0 0", ""])

    def xspectra_input(self, cell: Atoms, axis: int, above: float) -> str:
        """Input of xspectra.x for light polarized along x, y or z."""
        along = ", ".join(f"xepsilon({i + 1}) = {float(i == axis)}" for i in range(3))
        return "\n".join(
            [
                "&input_xspectra calculation = 'xanes_dipole', prefix = 'x', outdir = 'out',",
                " xniter = 1000, xcheck_conv = 20, xerror = 0.005, xiabs = 1,",
                f" xcoordcrys = .false., {along}, x_save_file = 'x{axis}.sav' /",
                f"&plot xnepoint = {round((above + BELOW) / (WIDTH / 2.0))}, xgamma = {WIDTH},",
                f" xemin = {-BELOW}, xemax = {above:.2f}, terminator = .true.,",
                " cut_occ_states = .true. /",
                "&pseudos filecore = 'core.wfc', r_paw(1) = 2.0 /",
                f"&cut_occ cut_desmooth = {WIDTH / 2.0} /",
                f"{self._mesh(cell)} 0 0 0",
                "",
            ]
        )

    def _potentials(self, absorber: str, symbols: set[str], runner: Runner) -> dict[str, str]:
        """Put UPF files into the folder; their names by element."""
        files = {}
        for symbol in symbols if self.core_hole else symbols - {absorber}:
            files[symbol] = self._file(symbol).name
            shutil.copy(self._file(symbol), runner.folder)
        if self.core_hole is not None:
            shutil.copy(self.core_hole, runner.folder / HOLE)
            return files
        for electrons, name in ((2, FULL), (1, HOLE)):
            self._run(runner, "ld1.x", ld1_input(absorber, electrons, name, self.xc))
        return files | {absorber: FULL}

    def _file(self, symbol: str) -> Path:
        """The one UPF file of an element. Raises :class:`UserError` where there is not one."""
        found = [
            path
            for path in sorted(self.pseudopotentials.glob("*"))
            if path.suffix.lower() == ".upf"
            and re.split(r"[^A-Za-z]", path.name)[0].lower() == symbol.lower()
        ]
        if len(found) != 1:
            raise UserError(
                f"{self.pseudopotentials} has {len(found)} UPF files of {symbol}; give a folder "
                "with one of each element"
            )
        return found[0]

    def _run(self, runner: Runner, name: str, text: str) -> None:
        log = f"{name}.log"
        runner([*self._words(name)], log=log, given=text)
        said = (runner.folder / log).read_text(errors="replace")
        if error := re.search(r"%{20,}(.*?)%{20,}", said, re.DOTALL):
            raise EvaluationFailed(f"crashed: {name} says {' '.join(error[1].split())[:150]}")
        if "convergence NOT achieved" in said:
            raise EvaluationFailed(f"not converged: {name} found no density")

    def _words(self, name: str) -> list[str]:
        return located(
            self.title, self.commands.get(name), (name,), "`apt-get install quantum-espresso`"
        )

    def _cell(self, absorber: Absorber) -> tuple[Atoms, int]:
        """The structure repeated, and the absorber in it; the first block keeps its order."""
        lengths = absorber.atoms.cell.lengths()
        times = np.maximum(np.ceil(self.size / lengths - 0.01), 1).astype(int)
        return absorber.atoms.repeat(tuple(int(n) for n in times)), absorber.index

    def _mesh(self, cell: Atoms) -> str:
        whole = cell.copy()
        whole.pbc = True
        mesh = kptdensity2monkhorstpack(whole, self.kpoint_density, even=False)
        return " ".join(str(int(number)) for number in mesh)


def ld1_input(symbol: str, electrons: int, name: str, xc: str) -> str:
    """Input of ld1.x: so many electrons in 1s, with what restores all-electron states."""
    radius, shell = RADII[symbol], SHELLS[symbol]
    waves = [
        f"2S 1 0 2.0 0.0 {radius} {radius} 0.0",
        f"2P 2 1 {shell[2:]}.0 0.0 {radius} {radius} 0.0",
    ]
    return "\n".join(
        [
            f"&input title = '{symbol}', zed = {atomic_numbers[symbol]}.0, rel = 1, iswitch = 3,",
            f" dft = '{FUNCTIONALS[xc]}', config = '1s{electrons} 2s2 {shell} 3s-1 3p-1' /",
            f"&inputp lloc = 1, pseudotype = 1, tm = .true., file_pseudopw = '{name}',",
            " lgipaw_reconstruction = .true. /",
            "2",
            *waves,
            "&test /",
            "4",
            *waves,
            f"3S 2 0 0.0 0.1 {radius} {radius} 0.0",
            f"3P 3 1 0.0 0.1 {radius} {radius} 0.0",
            "",
        ]
    )


def core_state(path: Path) -> str:
    """The 1s state of a UPF file as xspectra.x reads it: a heading, then radius and wave.

    Raises :class:`UserError` where the file has none.
    """
    text = path.read_text(errors="replace")
    radii = re.search(r"<PP_R(?:\s[^>]*)?>([^<]*)</PP_R>", text)
    tag = r"PP_GIPAW_CORE_ORBITAL\.1"
    wave = re.search(rf"<{tag}(?:\s[^>]*)?>([^<]*)</{tag}>", text)
    if radii is None or wave is None:
        raise UserError(f"{path.name} holds no core states; make it with lgipaw_reconstruction")
    pairs = zip(radii[1].split(), wave[1].split(), strict=False)
    return "# 1s\n" + "".join(f"{r} {value}\n" for r, value in pairs)


def _first(index: int, count: int) -> list[int]:
    """All places, one of them first."""
    return [index, *(place for place in range(count) if place != index)]


def _cubic(absorber: Absorber) -> bool:
    """Whether an absorber's site is alike along all directions."""
    atoms = absorber.atoms
    if not atoms.pbc.all():
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib 2 and 3 fail differently
        found = spglib.get_symmetry_dataset(
            (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), symprec=1e-3
        )
    if found is None:
        return False
    return found.site_symmetry_symbols[absorber.index].strip(".") in CUBIC
