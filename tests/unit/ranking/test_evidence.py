"""What speaks for each of the best families."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from htinvert.ranking.evidence import shared_sites


def test_thousands_of_atoms_share_sites_as_few_do(monkeypatch: pytest.MonkeyPatch) -> None:
    first = bulk("NaCl", "rocksalt", 5.64, cubic=True)
    second = first[::-1]
    second.rattle(0.1, rng=np.random.default_rng(1))
    second.positions[3] += 1.0  # at a site of its own
    few = shared_sites([first, second])
    monkeypatch.setattr("htinvert.ranking.evidence.MANY_PAIRS", 0)
    many = shared_sites([first, second])
    assert [sites.tolist() for sites in many] == [sites.tolist() for sites in few]
    assert len(set(few[1]) - set(few[0])) == 1
