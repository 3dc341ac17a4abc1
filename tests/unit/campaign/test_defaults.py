"""What a campaign takes where its file is silent."""

from pathlib import Path
from typing import Any

import numpy as np
from ase.build import bulk
from ase.io import write

from htinvert.campaign.defaults import why
from htinvert.campaign.load import load
from htinvert.campaign.plan import Plan


def plan(folder: Path, **changes: Any) -> Plan:
    crystal = bulk("Cu", "fcc", a=3.61, cubic=True).repeat((1, 1, 4))
    write(folder / "start.vasp", crystal, format="vasp")
    np.save(folder / "image.npy", np.random.default_rng(0).poisson(50, (60, 40)))
    raw: dict[str, Any] = {
        "name": "silent",
        "structure": {"use": "file", "path": "start.vasp"},
        "region": {"axis": "z", "lower": 5.0, "upper": 9.0, "margin": 2.0},
        "energy": {"use": "ase", "name": "emt"},
        "experiments": {
            "haadf": {
                "image": "image.npy",
                "sampling": 0.3,
                "forward": {"use": "stem_convolution"},
                "metrics": {"registration": None},
            }
        },
        "workers": 0,
    }
    return load({k: v for k, v in (raw | changes).items() if v is not None}, folder=folder)


def generators(made: Plan) -> dict[str, float]:
    return {g["use"]: g["share"] for g in made.config.search.generators}


GUIDED = {"guided": 0.5, "genetic": 0.3, "basin_hopping": 0.2}


def test_an_image_guides_where_nobody_says_who_proposes(tmp_path: Path) -> None:
    made = plan(tmp_path)
    assert generators(made) == {"grains": 1.0, "columns": 1.0} | GUIDED  # composition: the start's
    assert why(made.config, made.recipe.channels) == "haadf can show where atoms are missing"


def test_no_columns_are_read_off_it_where_only_a_grain_moves(tmp_path: Path) -> None:
    region = {"axis": "z", "lower": 6.0, "upper": 6.5, "margin": 2.0, "above": "rigid", "move": "z"}
    region |= {"length": "free"}
    assert generators(plan(tmp_path, region=region)) == GUIDED


def test_other_search_keys_do_not_undo_it(tmp_path: Path) -> None:
    assert "guided" in generators(plan(tmp_path, search={"novelty": 0.2}))


def test_without_an_image_there_is_nothing_to_follow(tmp_path: Path) -> None:
    made = plan(tmp_path, experiments=None)
    assert generators(made) == {"genetic": 0.6, "basin_hopping": 0.4}
    assert why(made.config, made.recipe.channels) == "only an energy counts"


def test_what_a_file_says_stays(tmp_path: Path) -> None:
    made = plan(tmp_path, search={"generators": [{"use": "random", "share": 1.0}]})
    assert generators(made) == {"random": 1.0}
    assert why(made.config, made.recipe.channels) == ""


def test_a_cluster_with_a_quick_curve_begins_with_cuts_of_motifs(tmp_path: Path) -> None:
    r = np.arange(1.5, 9.0, 0.05)
    np.savetxt(tmp_path / "cu.gr", np.transpose([r, np.sin(8.0 * r)]))
    curve = {
        "data": "cu.gr",
        "forward": {"use": "pdf", "qmax": 20.0},
        "metrics": {"rw": None},
        "free": {"u": [0.001, 0.05]},
        "refit": True,
    }
    changes: dict[str, Any] = {
        "structure": {"use": "box", "size": 20.0},
        "region": None,
        "composition": {"Cu": [13, 13]},
        "experiments": {"pdf": curve},
    }
    made = plan(tmp_path, **changes)
    assert generators(made) == {"motifs": 3.0, "genetic": 0.6, "basin_hopping": 0.4}
    assert why(made.config, made.recipe.channels).startswith("pdf can tell motifs")
    two = plan(tmp_path, **(changes | {"composition": {"Cu": [9, 9], "Au": [4, 4]}}))
    assert "motifs" not in generators(two)  # cuts say nothing of who sits where
