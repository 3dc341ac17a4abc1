"""What `htinvert build --library` leaves behind: one file per structure and a table of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from htinvert.config.vary import read_enumeration
from htinvert.core import UserError
from htinvert.report.terminal import counted_bar
from htinvert.structures.write import write_structure, write_table


def write_library(config: Path, folder: Path, *, console: Any) -> list[Path]:
    """Build all that a description's ``vary`` block asks for, as extended XYZ; returns the paths.

    ``library.csv`` says with which values each was built, and why others could not be. Raises
    :class:`UserError` for a wrong description, and where nothing could be built.
    """
    wanted = read_enumeration(config)
    folder.mkdir(parents=True, exist_ok=True)
    table: list[Mapping[str, Any]] = []
    paths: list[Path] = []
    reasons: Counter[str] = Counter()
    with counted_bar(console) as bar:
        total = None if wanted.rows else wanted.combinations
        task = bar.add_task(f"building {config.stem}", total=total)
        for built in wanted.build():
            row = {"name": "", "formula": "", "atoms": 0, "reason": built.reason}
            if built.atoms is None:
                reasons[built.reason] += 1
            else:
                paths.append(folder / f"{config.stem}-{built.number:05d}.xyz")
                bare = built.atoms.copy()
                bare.info = {}
                write_structure(paths[-1], bare)
                formula = built.atoms.get_chemical_formula()
                row |= {"name": paths[-1].name, "formula": formula, "atoms": len(built.atoms)}
            table.append(row | {key: json.dumps(value) for key, value in built.values.items()})
            bar.advance(task)
    if not paths:
        raise UserError(f"{config.name}: nothing could be built: {next(iter(reasons))}")
    write_table(folder / "library.csv", table)
    console.print(f"written: {len(paths)} structures to {folder}")
    for reason, count in reasons.most_common(3):
        console.print(f"{count} could not be built: {reason}", soft_wrap=True)
    return paths
