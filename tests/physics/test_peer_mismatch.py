"""Our image simulation ranks a peer program's structures as its own does (public run table)."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.stats import spearmanr

Scores = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def scores(peer: ModuleType, shared_data: Path) -> Scores:
    """Our mismatch and the peer's, in points, of its 210 structures."""
    table, structures, experiment = peer.load(shared_data / "cdte-tellurene")
    labels = sorted(table)
    ours = [peer.peer_mismatch(structures[label], experiment) for label in labels]
    return np.array(ours), np.array([table[label] for label in labels])


def test_all_structures_are_scored(scores: Scores) -> None:
    assert len(scores[0]) == 210


def test_ranking_agrees_with_the_peer(scores: Scores) -> None:
    assert spearmanr(*scores)[0] >= 0.99


def test_mismatch_agrees_within_a_point(scores: Scores) -> None:
    """The peer rounds atoms to pixels; that is worth about 0.7 points of 35 to 60."""
    assert np.abs(scores[0] - scores[1]).mean() <= 1.0


def test_the_peers_answer_is_among_our_best(scores: Scores) -> None:
    ours, peer = scores
    assert ours[peer.argmin()] <= np.sort(ours)[4]
