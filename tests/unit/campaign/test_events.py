"""What changes between two structures, column by column, and in which frame."""

import numpy as np
import pytest
from ase import Atoms
from ase.constraints import FixAtoms

from htinvert.campaign.events import atom_columns, differences, events_of, noise_of

ACROSS = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0]])  # beam x, up z


def boundary() -> Atoms:
    """Columns 3 Å apart, two atoms deep along the beam, with a frozen host below."""
    places = [(x, y, z) for z in (1.0, 4.0, 7.0) for y in (0.1, 3.1, 6.1) for x in (0.0, 2.0)]
    atoms = Atoms("Te18", places, cell=[4.0, 9.0, 20.0], pbc=True)
    atoms.set_constraint(FixAtoms(mask=atoms.positions[:, 2] < 2.0))
    return atoms


def without(atoms: Atoms, y: float, z: float) -> Atoms:
    here = np.hypot(atoms.positions[:, 1] - y, atoms.positions[:, 2] - z) < 0.5
    return atoms[~here]


def test_atoms_behind_each_other_are_one_column_also_across_the_edge_of_the_cell() -> None:
    atoms = boundary()
    atoms.positions[6, 1] -= 0.2  # to -0.1, whose neighbor at 0.1 lies in the next cell's image
    atoms.wrap()
    found = atom_columns(atoms, ACROSS)
    assert [column.formula for column in found] == ["Te2"] * 6
    edge = [c.place[1] % 9.0 for c in found if c.place[1] % 9.0 < 1.0 or c.place[1] % 9.0 > 8.0]
    assert min(edge) == pytest.approx(0.0, abs=0.11)


def test_a_lost_column_and_a_gained_one_are_named_with_their_places() -> None:
    atoms = boundary()
    fewer = without(atoms, 3.1, 7.0)
    ((kind, what, place, _),) = differences(atoms, fewer, ACROSS)
    assert (kind, what) == ("lost", "Te2")
    assert place[1:] == pytest.approx((3.1, 7.0))  # along the beam it is anywhere
    assert differences(fewer, atoms, ACROSS)[0][:2] == ("gained", "Te2")


def test_a_column_that_moves_across_the_beam_is_moved_and_along_it_is_not() -> None:
    atoms, along = boundary(), boundary()
    moved = boundary()
    moved.positions[-2:] += [0.0, 0.0, 0.8]
    along.positions[-2:] += [0.8, 0.0, 0.0]
    ((kind, what, _, by),) = differences(atoms, moved, ACROSS)
    assert (kind, what) == ("moved", "Te2")
    assert by == pytest.approx(0.8)
    assert differences(atoms, along, ACROSS) == []


def test_a_column_of_other_elements_is_changed() -> None:
    other = boundary()
    other.symbols[-2:] = "Se"
    assert differences(boundary(), other, ACROSS)[0][:2] == ("changed", "Te2 to Se2")


def test_a_relaxation_is_no_event() -> None:
    relaxed = boundary()
    relaxed.positions[6:] += np.random.default_rng(0).normal(0.0, 0.05, (12, 3))
    assert differences(boundary(), relaxed, ACROSS) == []


def test_an_event_is_dated_by_the_sums_and_says_what_it_gains() -> None:
    rng = np.random.default_rng(4)
    before, after = np.r_[np.zeros(6), np.full(6, 3.0)], np.r_[np.full(6, 2.0), np.zeros(6)]
    common = rng.normal(0.0, 5.0, 12)  # what all have alike, such as a worse focus
    totals = np.array([before, after]) + common + rng.normal(0.0, 0.1, (2, 12))
    path, events = events_of(totals, [boundary(), without(boundary(), 3.1, 7.0)], ACROSS)
    assert path == [0] * 6 + [1] * 6
    (event,) = events
    assert (event.frame, event.earliest, event.latest, event.kind) == (6, 6, 6, "lost")
    assert event.is_sure and event.gain == pytest.approx(3.0, abs=0.2)
    assert "frame 6: column Te2 lost" in str(event)


def test_the_noise_is_that_of_differences_whatever_steps_or_drifts_there_are() -> None:
    rng = np.random.default_rng(4)
    step = np.where(np.arange(200) < 90, 0.0, 3.0)
    totals = np.array([step, 2.0 - step]) + rng.normal(0.0, 5.0, 200)
    totals += rng.normal(0.0, 0.1, (2, 200))
    assert noise_of(totals) == pytest.approx(0.1 * np.sqrt(2.0), rel=0.2)


def test_what_scatters_about_two_answers_is_no_event() -> None:
    rng = np.random.default_rng(5)
    totals = rng.normal(0.0, 1.0, (2, 20))
    _, events = events_of(totals, [boundary(), without(boundary(), 3.1, 7.0)], ACROSS)
    assert not [event for event in events if event.is_sure]
