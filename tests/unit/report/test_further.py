"""What a run could measure further: no side that it has, and no noise larger than its data's."""

from __future__ import annotations

import numpy as np
from ase.cluster import Octahedron

from htinvert.core import Candidate, Channel, Evaluation, Objective, Relaxation
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.metrics.correlation import Correlation
from htinvert.ranking.rank import rank
from htinvert.report.page.further import _more


def test_no_side_is_proposed_that_an_image_of_the_run_shows() -> None:
    atoms = Octahedron("Cu", 3, cutoff=1)
    atoms.center(vacuum=4.0)
    channels = []
    for name, beam, up in (("top", "-z", "-y"), ("side", "x", "z")):
        forward = StemConvolution(beam=beam, up=up, sampling=0.4, shape=(30, 30))
        channels.append(Channel(name, forward(atoms), forward, {"correlation": Correlation()}))
    values = {"top.correlation": 0.8, "side.correlation": 0.02}
    found = Evaluation(
        Candidate(0, atoms, "random"), Relaxation(atoms, 0.0, True, 1), objectives=values
    )
    ranked = rank([found], [Objective(name, 1.0) for name in values])
    proposed = _more(channels[0], ranked, channels)
    names = [one.name for one in proposed]
    assert names[0] == "top once more" and "top along y" in names and "top along [110]" in names
    assert not {"top along x", "top along z"} & set(names)
    assert all(one.noise < 0.1 for one in proposed)  # a cost of 0.8 is a poor fit, not noise
    assert np.isclose(_more(channels[1], ranked, channels)[0].noise, np.sqrt(1 - 0.98**2 - 0.15**2))
