"""Our image simulation ranks a peer program's structures as its own does (public run table)."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("HTINVERT_SHARED_DATA", ROOT.parent / "shared" / "data"))
FOLDER = SHARED / "cdte-tellurene"

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the CdTe-tellurene data are not here; set HTINVERT_SHARED_DATA"
)


@pytest.fixture(scope="module")
def scores():
    path = ROOT / "workflows" / "score_peer_structures.py"
    spec = importlib.util.spec_from_file_location("score_peer_structures", path)
    workflow = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(workflow)
    table, structures, experiment = workflow.load(FOLDER)
    labels = sorted(table)
    ours = [workflow.peer_mismatch(structures[label], experiment) for label in labels]
    return np.array(ours), np.array([table[label] for label in labels])


def test_all_structures_are_scored(scores):
    assert len(scores[0]) == 210


def test_ranking_agrees_with_the_peer(scores):
    assert spearmanr(*scores)[0] >= 0.99


def test_mismatch_agrees_within_a_point(scores):
    """The peer rounds atoms to pixels; that is worth about 0.7 points of 35 to 60."""
    assert np.abs(scores[0] - scores[1]).mean() <= 1.0


def test_the_peers_answer_is_among_our_best(scores):
    ours, peer = scores
    assert ours[peer.argmin()] <= np.sort(ours)[4]
