"""Build a bicrystal with every termination of its upper grain: which one fits an image best?

python workflows/choose_termination.py configs/structures/ni_mo3b2.yaml \
    configs/experiments/ni_m3b2.yaml
"""

from __future__ import annotations

import argparse
from pathlib import Path

import htinvert as ht
from htinvert import plugins
from htinvert.campaign.channels import make_channel
from htinvert.config.campaign import load_experiment, load_structure
from htinvert.core import UserError


def main() -> None:
    """Print a line per termination: its row, atoms, atoms taken out, figure of merit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("structure", type=Path)
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--smoke", action="store_true", help="the first termination only")
    given = parser.parse_args()
    block = load_structure(given.structure).structure
    experiment = load_experiment(given.experiment)
    channel = make_channel("image", experiment, folder=given.experiment.parent)
    metric, free = next(iter(channel.metrics.values())), channel.free
    for row in range(1 if given.smoke else 99):
        changed = {**block, "termination": [row, 0]}
        try:
            atoms = plugins.build("structure", changed, given.structure.parent)
        except UserError as end:
            print(end)
            return
        found = ht.register(
            atoms, channel.observed, forward=channel.forward, metric=metric, free=free
        )
        lost = atoms.info["bicrystal"]["taken_out"]
        print(f"{row}: {len(atoms)} atoms, {lost} taken out, {found.score.cost:.4f}", flush=True)


if __name__ == "__main__":
    main()
