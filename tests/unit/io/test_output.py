"""Structures and tables out."""

import csv
from pathlib import Path

from ase.build import bulk
from ase.io import read

from htinvert.io import write_structures, write_table


def test_structures_come_back_as_they_went_out(tmp_path: Path) -> None:
    crystals = [bulk("Cu"), bulk("CdTe", "zincblende", a=6.48)]
    write_structures(tmp_path / "best.xyz", crystals)
    back = read(tmp_path / "best.xyz", ":")
    assert [a.get_chemical_formula() for a in back] == ["Cu", "CdTe"]
    write_structures(tmp_path / "best.cif", crystals)
    assert len(read(tmp_path / "best-02.cif")) == 2


def test_a_table_has_one_row_per_record(tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv", [{"rank": 1, "energy": -2.5}, {"rank": 2, "energy": -2.0}])
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["energy"] for row in rows] == ["-2.5", "-2.0"]
