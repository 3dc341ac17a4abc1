"""Run a funnel: campaigns one after the other, each on the best of the one before it.

From the folder that shall hold runs/; the same command goes on where it was stopped:
python workflows/screen_then_refine.py configs/funnel/*.yaml
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import htinvert as ht
from htinvert.core import UserError
from htinvert.report.session import run_with_progress
from htinvert.report.terminal import terminal


def main() -> None:
    """Run every stage into runs/NAME; the last one's tables show all of them side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("campaigns", type=Path, nargs="+")
    parser.add_argument("--workers", type=int, help="worker processes of every stage")
    parser.add_argument("--smoke", action="store_true", help="30 candidates, then one per stage")
    given = parser.parse_args()
    for number, path in enumerate(given.campaigns):
        changes = {"workers": given.workers} if given.workers is not None else {}
        if given.smoke:
            changes["stop"] = {"evaluations": 1 if number else 30}
        plan = ht.load(path, **changes)
        run_with_progress(plan, Path("runs") / plan.config.name, console=terminal())


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from error
