"""How sure: what is told apart and what is not, and costs that come with their floor and null."""

import sys
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from ase import Atoms

from htinvert.core import (
    Candidate,
    Channel,
    Evaluation,
    Objective,
    Region,
    Relaxation,
    Signal,
    UserError,
)
from htinvert.energy.accuracy import (
    CLASSES,
    DFT,
    MACHINE_LEARNED,
    POTENTIAL,
    UNKNOWN,
    Accuracy,
    accuracy_of,
)
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.image.evidence import noise_level, repeat_cost
from htinvert.metrics.correlation import Correlation
from htinvert.metrics.registration import Registration
from htinvert.metrics.ssim import ssim, ssim_map
from htinvert.ranking.bounds import bounds
from htinvert.ranking.confidence import (
    Evidence,
    by_weights,
    claim,
    declared_accuracy,
    energy_weight,
    stated,
    weight_range,
)
from htinvert.ranking.evidence import rattled, shared_sites, surroundings
from htinvert.ranking.rank import Ranked
from htinvert.signals.seen import see

OBJECTIVES = (Objective("energy", 1.0), Objective("haadf.registration", 10.0))


def ranked(*values: tuple[float, float]) -> list[Ranked]:
    """Families by energy [eV] and image cost, in the order given."""
    found = []
    for place, (energy, cost) in enumerate(values, 1):
        atoms = Atoms("CdTe", cell=[9, 9, 9], pbc=True, tags=[1, 1])
        evaluation = Evaluation(
            Candidate(place, atoms, "random"),
            Relaxation(atoms, energy, True, 1),
            objectives={"energy": energy, "haadf.registration": cost},
        )
        total = energy + 10 * cost
        found.append(Ranked(place, evaluation, total, total - values[0][0], 1, place, True))
    return found


def test_families_of_equal_sums_and_noisy_windows_are_claimed_together() -> None:
    rng = np.random.default_rng(0)
    costs = rng.normal(1.0, 0.2, size=(3, 40))
    costs -= costs.mean(axis=1, keepdims=True)
    costs[2] += 2.0  # ten times the scatter of a window: no draw makes up for it
    evidence = Evidence(costs.mean(axis=1), {"haadf": costs}, {})
    found = claim(evidence)
    assert list(found.inside) == [True, True, False]
    assert found.by_both.sum() == pytest.approx(1.0)
    assert found.p_values[2] == 0.0


def test_what_all_families_have_wrong_does_not_blur_their_difference() -> None:
    """Windows are paired: a common error ten times the difference is no reason for doubt."""
    rng = np.random.default_rng(1)
    common = rng.normal(1.0, 1.0, size=40)
    costs = np.array([common, common + 0.1 + rng.normal(0.0, 0.02, 40)])
    found = claim(Evidence(costs.mean(axis=1), {"haadf": costs}, {}))
    assert list(found.inside) == [True, False]


def test_an_engine_that_errs_more_claims_more_families() -> None:
    sums = np.array([0.0, 0.5, 3.0])
    sizes = [
        int(claim(Evidence(sums, {}, {"energy": error * np.eye(3)})).inside.sum())
        for error in (0.05, 0.5, 5.0)
    ]
    assert sizes == [1, 2, 3]


def test_the_set_holds_the_best_of_equal_means_as_often_as_it_claims() -> None:
    """Ten families, one truly lower by one standard error: inside in at least 90 % of 200 draws.

    Four standard deviations of a share of 200 below 0.9 are 0.815.
    """
    rng = np.random.default_rng(2)
    truth = np.r_[-1.0, np.zeros(9)]
    held = 0
    for seed in range(200):
        seen = truth + rng.normal(size=10)
        held += claim(Evidence(seen, {}, {"energy": np.eye(10)}), draws=400, seed=seed).inside[0]
    assert held / 200 > 0.815


def test_of_log_likelihoods_the_set_is_the_most_probable_families() -> None:
    """Bayes with equal priors; E / kT holds the engine's error, which is not drawn again."""
    sums = np.log([2.0, 4.0, 5.0, 20.0])  # chances 0.5, 0.25, 0.2, 0.05
    found = claim(Evidence(sums, {}, {"energy": 5.0 * np.eye(4)}, nats=True))
    assert found.p_values == pytest.approx([1.0, 0.5, 0.25, 0.05])
    assert list(found.inside) == [True, True, True, False]


def test_one_more_log_likelihood_leaves_fewer_and_holds_the_right_one_as_often() -> None:
    """Ten families; a datum of 30 pieces, and an energy that errs by kT, in 100 draws each."""
    rng = np.random.default_rng(5)
    held, left = np.zeros(2), np.zeros(2)
    for seed in range(100):
        energy = rng.normal(size=10)
        energy[0] -= 1.5  # the right one is low, as a rule
        pieces = 0.1 * rng.normal(size=(10, 30))  # sums scatter by half a nat
        pieces[1:] += 0.05  # 1.5 nats for the right one
        datum = Objective("g.rw", 30.0)
        for k, sums in enumerate((0.0, energy)):
            totals = 30.0 * pieces.mean(axis=1) + sums
            found = claim(
                Evidence(totals, {"g.rw": pieces}, {}, {"g.rw": datum}, nats=True),
                draws=300,
                seed=seed,
            )
            held[k] += found.inside[0]
            left[k] += found.inside.sum() / 100
    assert left[1] < left[0]
    assert (held >= 90).all()


def test_a_single_family_is_claimed_alone() -> None:
    found = claim(Evidence(np.array([1.0]), {}, {"energy": np.array([[0.1]])}))
    assert found.inside.all() and found.by_both[0] == 1.0


def test_weights_between_which_the_first_stays_first_are_where_sums_cross() -> None:
    families = ranked((0.0, 0.30), (-1.0, 0.50), (2.0, 0.29))  # sums 3, 4, 4.9
    lower, upper = weight_range(families, OBJECTIVES, "haadf.registration")
    assert lower == pytest.approx(0.5)  # 10 f 0.3 = -1 + 10 f 0.5
    assert upper == pytest.approx(20.0)  # 10 f 0.3 = 2 + 10 f 0.29
    shares = by_weights(families, OBJECTIVES)
    assert shares[0] > 0.5 and shares[1] > 0.0 and shares.sum() == pytest.approx(1.0)


@dataclass(frozen=True)
class Measured:
    """A plug-in's engine with numbers of its own."""

    accuracy: ClassVar[Accuracy] = Accuracy("against coupled cluster", 0.005, 0.01)

    def __call__(self, atoms: Atoms) -> Relaxation:
        return Relaxation(atoms, 0.0, True, 0)


@pytest.mark.parametrize(
    ("block", "name"),
    [
        ({"use": "vasp"}, "dft"),
        ({"use": "gpaw"}, "dft"),
        ({"use": "sevennet"}, "machine learned"),
        ({"use": "lammps", "potential": "CdTe.sw"}, "interatomic potential"),
        ({"use": "ase", "name": "emt"}, "interatomic potential"),
        ({"use": "ase", "name": "vasp"}, "dft"),
        ({"use": "ase", "name": "mace.calculators:MACECalculator"}, "machine learned"),
        ({"use": "ase", "name": "mopac"}, "unknown"),
        ({"use": "mine:silent"}, "unknown"),
        ({"use": "mine:learned"}, "machine learned"),
        ({"use": "mine:Measured"}, "against coupled cluster"),
        ({"use": "gone:Engine"}, "unknown"),
    ],
)
def test_an_engine_errs_as_it_declares(
    block: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent() -> Measured: ...
    def learned() -> Measured: ...

    vars(learned)["accuracy"] = "machine learned"
    mine = SimpleNamespace(silent=silent, learned=learned, Measured=Measured)
    monkeypatch.setitem(sys.modules, "mine", mine)
    assert declared_accuracy(block).name == name


def test_an_engine_that_declares_nothing_is_given_the_largest_error() -> None:
    assert max(c.energy for c in CLASSES.values()) == UNKNOWN.energy
    assert max(c.position for c in CLASSES.values()) == UNKNOWN.position


def test_a_class_that_there_is_not_is_refused() -> None:
    with pytest.raises(UserError, match="'exact'; let it name one of dft, "):
        accuracy_of(SimpleNamespace(accuracy="exact"), {})


def test_a_given_error_takes_the_place_of_the_declared_one() -> None:
    assert stated(DFT) == DFT and DFT.energy < MACHINE_LEARNED.energy < POTENTIAL.energy
    assert stated(DFT, energy=0.2) == Accuracy("given", 0.2, DFT.position)
    with pytest.raises(UserError, match="must be finite and not negative"):
        stated(DFT, energy=-1.0)


def test_an_error_that_two_families_share_does_not_tell_them_apart_less() -> None:
    sums = np.array([0.0, 0.5])
    shared = claim(Evidence(sums, {}, {"energy": np.array([[5.0, 5.0], [0.1, 0.0]])}))
    alone = claim(Evidence(sums, {}, {"energy": 5.0 * np.eye(2)}))
    assert list(shared.inside) == [True, False] and list(alone.inside) == [True, True]


def test_atoms_err_alike_where_their_surroundings_are_the_same() -> None:
    """A chain of six, bonded to its neighbors; one end is replaced: it and its neighbor differ."""
    first = Atoms("Cu6", positions=[[2.5 * i, 0, 0] for i in range(6)], cell=[30, 9, 9], pbc=True)
    second = first[[5, 0, 1, 2, 3, 4]]
    second[0].symbol = "Ag"
    sites = shared_sites([first, second])
    assert list(sites[1]) == [6, 0, 1, 2, 3, 4]
    found = surroundings([first, second], sites)
    assert found.sum(axis=0).tolist() == [2.0, 2.0]


def test_an_energy_per_atom_weighs_as_much_less_as_there_are_atoms() -> None:
    atoms, found = Atoms("Cd4"), {"energy": 2.0, "formation_energy": 0.5}
    assert energy_weight((Objective("formation_energy", 8.0),), atoms, found) == pytest.approx(2.0)


@pytest.fixture(scope="module")
def channel() -> Channel:
    """A crystal of CdTe with noise of a known size, and the model that made it."""
    atoms = crystal()
    model = StemConvolution(sampling=0.25, shape=(80, 90), source_size=1.0)
    clean = model(atoms).data.astype(float)
    noise = np.random.default_rng(3).normal(0.0, 0.1 * clean.std(), clean.shape)
    observed = Signal.image(clean + noise, 0.25)
    return Channel("haadf", observed, model, {"registration": Registration()})


def crystal() -> Atoms:
    """CdTe seen along x, its middle the region."""
    from htinvert.testing.planted import stacked

    atoms = stacked("ABCABCA").repeat((1, 2, 1))
    atoms.set_tags(np.abs(atoms.positions[:, 2] - 0.5 * atoms.cell[2, 2]) < 3.0)
    return atoms


def test_costs_by_window_have_the_cost_as_their_mean(channel: Channel) -> None:
    seen = see(channel, crystal(), {})
    for metric in (Registration(), Correlation()):
        cost = metric(seen.simulated, channel.observed).cost
        shares = seen.piece_costs(metric, seen.pieces(metric), cost)
        assert len(shares) >= 20 and shares.mean() == pytest.approx(cost)
    assert len(shares) > 200  # a white residual: blocks of four pixels, no windows of 3 Å


def test_a_jump_to_another_repeat_is_no_windows_and_blurs_nothing(channel: Channel) -> None:
    """``d_trans`` of 16 px costs 1.6: all windows have it alike, so they scatter as without."""
    seen = see(channel, crystal(), {})
    metric = Registration()
    pieces = seen.pieces(metric)
    near, far = (seen.piece_costs(metric, pieces, cost) for cost in (0.2, 1.8))
    np.testing.assert_allclose(far - near, 1.6)


def test_the_map_of_similarity_has_the_similarity_as_its_mean(channel: Channel) -> None:
    seen = see(channel, crystal(), {})
    local = ssim_map(seen.simulated.data, seen.placed.patch)
    assert local.mean() == pytest.approx(ssim(seen.simulated.data, seen.placed.patch), abs=1e-9)


def test_noise_is_measured_where_no_probe_passes_anything(channel: Channel) -> None:
    clean = channel.forward(crystal()).data
    assert noise_level(channel.observed.data) == pytest.approx(0.1 * clean.std(), rel=0.1)


def test_noise_of_counts_is_that_of_the_whole_image_however_few_its_pixels() -> None:
    """A bright spot in 40 px of vacuum, 50 counts at its peak: the variance is the mean count."""
    y, x = np.indices((40, 40)) - 19.5
    mean = 50.0 * np.exp(-(x**2 + y**2) / (2.0 * 5.0**2))
    found = [noise_level(np.random.default_rng(seed).poisson(mean)) for seed in range(20)]
    assert np.mean(found) == pytest.approx(np.sqrt(mean.mean()), rel=0.15)
    assert np.std(found) < 0.25 * np.mean(found)
    assert noise_level(mean) < 1e-3


def test_a_cost_lies_between_floor_and_null_model(channel: Channel) -> None:
    """The model that made the image scores as the floor says; scrambled atoms score worse."""
    seen, metric = see(channel, crystal(), {}), channel.metrics["registration"]
    cost = metric(seen.simulated, channel.observed).cost
    middle = 0.5 * float(crystal().cell[2, 2])
    region = Region("z", middle - 3.0, middle + 3.0, 2.0)
    perfect = crystal()[np.abs(crystal().positions[:, 2] - middle) > 3.0]  # the region is empty
    found = bounds(metric, seen, region=region, start=perfect)
    assert found.floor[0] == pytest.approx(cost, rel=0.1)
    assert found.start is not None and found.start > 2 * cost
    assert found.scrambled and min(found.scrambled) > 2 * cost


def test_what_cannot_be_simulated_is_no_null_model(channel: Channel) -> None:
    """An empty box is no bound; nor is a structure that the forward model refuses."""
    seen, metric = see(channel, crystal(), {}), channel.metrics["registration"]
    assert bounds(metric, seen, region=None, start=Atoms(cell=[9, 9, 9])).start is None

    class Refusing(StemConvolution):
        def __call__(self, atoms: Atoms) -> Signal:
            raise UserError("one atom has no G(r)")

    picky = replace(seen, forward=Refusing(sampling=0.25))
    found = bounds(metric, picky, region=None, start=crystal())
    assert found.start is None and found.scrambled == ()


def test_an_image_repeats_itself_but_noise_does_not(channel: Channel) -> None:
    metric = Registration()
    repeated = repeat_cost(metric, channel.observed)
    assert repeated is not None and repeated < 0.2
    noise = np.random.default_rng(4).normal(size=(60, 60))
    assert repeat_cost(metric, Signal.image(noise, 0.25)) is None


def test_atoms_that_no_image_shows_moving_cost_nothing(channel: Channel) -> None:
    """Twice the same family: the same misplacement, so their difference has no error."""
    seen, atoms = see(channel, crystal(), {}), crystal()
    found = rattled([seen, seen], shared_sites([atoms, atoms]), Registration(), 0.1)
    assert np.abs(found[:, 0]).max() > 0 and np.allclose(found[:, 0], found[:, 1])
