"""A costly datum asked last: image plus EXAFS of one cluster, against asking it of all.

    python benchmarks/joint_funnel.py [--evaluations 300] [--keep FOLDER]

The bundled example's cluster Pt12Cu26: a search by energy and its image (abTEM's multislice), then
campaigns on what it found with EXAFS of Pt (planted by FEFF8): one with `first: 10`, one of all.
Needs the extra xas. Candidates' EXAFS is by tables, so that asking all is possible at all.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from ase.io import read

import htinvert as ht
from htinvert.campaign.funnel import families, objectives_of
from htinvert.config.examples import write_example

sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))
import plant_joint as plant

EXAFS = {
    "data": "pt.chi",
    "forward": {
        "use": "exafs", "absorber": "Pt", "edge": "L3", "kmax": 13.0, "rmin": 1.5, "rmax": 4.5,
        "reference": "start.xyz", "scattering": "single",
    },
    "metrics": {"rw": None},
    "free": {"e0": [-15, 15], "zoom": [0.97, 1.03], "sigma2": [0.001, 0.02]},
    "refit": True,
    "method": "least-squares",
}  # fmt: skip
NOISE = 0.2  # rms of k^2 chi


def campaigns(folder: Path, evaluations: int, keep: Path) -> dict[str, Path]:
    """Data and three files: the search, and what is asked for EXAFS, too."""
    write_example("joint", folder)
    k, chi = plant.kept(
        keep / "joint-chi.pickle",
        lambda: plant.absorption(read(folder / "answer.xyz"), keep / "joint-feff"),
    )
    noise = NOISE * np.sqrt(np.mean((k**2 * chi) ** 2)) / k**2
    noise = noise * np.random.default_rng(1).normal(size=k.size)
    np.savetxt(folder / "pt.chi", np.transpose([k, chi + noise]), header="k chi")
    cheap = yaml.safe_load((folder / "joint.yaml").read_text())
    del cheap["experiments"]["xray"], cheap["objectives"]["xray"]
    cheap |= {"name": "cheap", "workers": 0, "stop": {"evaluations": evaluations}}
    both = {**cheap, "experiments": cheap["experiments"] | {"exafs": EXAFS}}
    both["objectives"] = cheap["objectives"] | {"exafs": "likelihood"}
    both["stop"] = {"evaluations": 10 * evaluations}
    files = {"cheap": cheap}
    for name, asked in (("first", {"first": 10}), ("all", {"top": 10 * evaluations})):
        store = {"use": "store", "run": "runs/cheap", **asked}
        files[name] = {**both, "name": name, "search": {"generators": [store]}}
    for name, block in files.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(block))
    return {name: folder / f"{name}.yaml" for name in files}


def main() -> None:
    """Run the three, and compare the first ten."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--evaluations", type=int, default=300)
    parser.add_argument("--keep", type=Path, default=Path("planted"))
    asked = parser.parse_args()
    keep = asked.keep.resolve()
    keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        files = campaigns(Path(place), asked.evaluations, keep)
        os.chdir(place)
        found, done = {}, {}
        for name, path in files.items():
            begun = time.process_time()
            run = ht.run(ht.load(path), Path("runs") / name)
            done[name] = run.counts().ok
            found[name] = families(run.path, objectives_of(run.path))
            print(f"{name}: {done[name]} evaluated, {len(found[name])} families, "
                  f"{time.process_time() - begun:.0f} CPU s", flush=True)  # fmt: skip
    totals = {name: np.array([e.total for e in ranked[:10]]) for name, ranked in found.items()}
    print(f"asked of {done['first'] / done['all']:.0%}; sums of the first ten differ by at most "
          f"{np.abs(totals['first'] - totals['all']).max():.2g} nats")  # fmt: skip
    print(np.round(totals["all"], 2).tolist())


if __name__ == "__main__":
    main()
