"""What a component may be able to do besides its call: one small protocol for each ability.

A component has an ability where it has the attributes that the protocol names; nothing is to be
inherited or registered, and none is required. ``isinstance(model, HasView)`` asks. As anywhere in
Python, such a question looks at names only, not at signatures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ase import Atoms

if TYPE_CHECKING:
    from htinvert.core import Axis, Signal
    from htinvert.declaration.measurement import Measurement

Given = Mapping[str, Any]
"""Parameters of a component as plain values, as a campaign's file gives them."""


# What any component may declare.


@runtime_checkable
class Cites(Protocol):
    """Says which publications are to be cited by who uses it: authors, journal, DOI.

    ``sources`` is a tuple of phrases that end with a period; where they depend on the parameters it
    is a class method that takes them as plain values and returns the tuple.
    """

    sources: tuple[str, ...] | Callable[[Given], tuple[str, ...]]


@runtime_checkable
class Declares(Protocol):
    """Says unit and bounds of its numbers in a table; the other way is to annotate each of them.

    Each is a :class:`htinvert.declaration.declared.Parameter`.
    """

    declares: Mapping[str, Any]


@runtime_checkable
class Versioned(Protocol):
    """Says by which version of what engine it works; results compare only within one."""

    version: str


@runtime_checkable
class Packaged(Protocol):
    """Names the distributions whose versions decide its results, for a run's record.

    Where they depend on the parameters it is a class method that takes them as plain values.
    """

    packages: tuple[str, ...] | Callable[[Given], tuple[str, ...]]


@runtime_checkable
class NamesCode(Protocol):
    """Says which of its parameters name code: a command, a class, a file that runs when loaded.

    Such a parameter needs trust where it is given (:mod:`htinvert.declaration.trust`). Where that
    depends on the values it is a class method that takes them as plain values.
    """

    names_code: tuple[str, ...] | Callable[[Given], tuple[str, ...]]


# Energy models.


@runtime_checkable
class HasOffer(Protocol):
    """Says what it can do and takes: an :class:`htinvert.energy.offer.Offer`, or None."""

    offer: Any


@runtime_checkable
class HasAccuracy(Protocol):
    """Says how wrong its energies and positions are.

    The name of a class of engine, or numbers of its own (:mod:`htinvert.energy.accuracy`); where
    it depends on the parameters, a class method that takes them as plain values.
    """

    accuracy: Any


@runtime_checkable
class Loads(Protocol):
    """Has something to load before its first structure: weights, a library."""

    def load(self) -> None:
        """Load it. Raises :class:`~htinvert.core.UserError` where that is impossible."""
        ...


@runtime_checkable
class ChecksElements(Protocol):
    """Knows which elements it covers."""

    def check_elements(self, symbols: set[str]) -> None:
        """Raise :class:`~htinvert.core.UserError` for elements that it does not cover."""
        ...


@runtime_checkable
class PricesAsItStands(Protocol):
    """Prices a structure without relaxing it."""

    def single_point(self, atoms: Atoms) -> Any:
        """Energy and forces, as :class:`htinvert.energy.offer.SinglePoint`."""
        ...


@runtime_checkable
class Differentiable(Protocol):
    """A forward model that knows how its signal changes with positions."""

    def gradient(self, atoms: Atoms, slope: Any) -> Any:
        """Change of a cost with positions [1/Å], shape (n, 3), of that with the signal's values."""
        ...


@runtime_checkable
class HasSlope(Protocol):
    """A metric that knows how its cost changes with the simulated values."""

    def slope(self, simulated: Signal, observed: Signal) -> Any:
        """Change of the cost with each value, shape of the simulated signal."""
        ...


@runtime_checkable
class Wraps(Protocol):
    """Does its work with another engine, which it holds."""

    engine: Any


# Forward models.


@runtime_checkable
class HasEstimate(Protocol):
    """Says what one simulation costs before it is made."""

    def estimate(self, atoms: Atoms) -> Any:
        """What ``atoms`` take, as :class:`htinvert.declaration.declared.Estimate`."""
        ...


@runtime_checkable
class Quick(Protocol):
    """Says whether a simulation takes milliseconds, so that structures may be tried by it alone."""

    quick: bool


@runtime_checkable
class HasMemory(Protocol):
    """An engine whose memory depends on the structure."""

    def memory_for(self, atoms: Atoms) -> float:
        """Memory of a worker [GB] while it prices ``atoms``."""
        ...


@runtime_checkable
class Sampled(Protocol):
    """Has a pixel size (y, x) [Å/px]; where it is None it takes that of what was observed."""

    sampling: float | tuple[float, float] | None


@runtime_checkable
class OnAxes(Protocol):
    """Simulates on given axes, one per dimension, ``shape`` points each; None: the experiment's."""

    axes: tuple[Axis, ...] | None


@runtime_checkable
class Framed(Protocol):
    """Has a shape [px]; where it is None it takes that of what was observed."""

    shape: tuple[int, ...] | None


@runtime_checkable
class ReadsHeader(Protocol):
    """Takes what is None from the header of the experiment's file: parameter and its key there."""

    header: Mapping[str, str]


@runtime_checkable
class ChecksData(Protocol):
    """Knows whether data can be what it simulates."""

    def check_data(self, observed: Signal, whole: Signal, header: Mapping[str, Any]) -> None:
        """Raise :class:`~htinvert.core.UserError` for data that cannot.

        ``observed`` is what is compared, ``whole`` all of a curve that the file holds, ``header``
        what a text file says, by small keys; empty for other files.
        """
        ...


@runtime_checkable
class ReadsCompanions(Protocol):
    """Needs other measured files besides the experiment's: parameter that names one, its kind."""

    companions: Mapping[str, str]

    def accompanied(self, **signals: Signal) -> Any:
        """The same model with what was read of them; UserError for data that do not fit."""
        ...


@runtime_checkable
class ReducesData(Protocol):
    """Compares something else than what files hold, such as chi(k) of a mu(E)."""

    def reduced(self, observed: Signal) -> tuple[Any, Signal]:
        """The model that simulates what is compared of such data, and that.

        Raises :class:`~htinvert.core.UserError` for data that cannot be what it simulates.
        """
        ...


@runtime_checkable
class ChecksReach(Protocol):
    """Knows how much of the data one structure can say anything about."""

    def check_reach(self, atoms: Atoms) -> None:
        """Raise :class:`~htinvert.core.UserError` where ``atoms`` say nothing about most of it."""
        ...


@runtime_checkable
class KnowsData(Protocol):
    """A class that sees in data what its models are to be told, for a first campaign."""

    def likely(self, observed: Signal, symbols: set[str]) -> Mapping[str, Any]:
        """Parameters of a model of these data, for a structure with these elements.

        Raises :class:`~htinvert.core.UserError` for data that it cannot simulate.
        """
        ...


@runtime_checkable
class ChoosesFree(Protocol):
    """Knows what is usually fitted."""

    def free_of(self, atoms: Atoms) -> Mapping[str, tuple[float, float]]:
        """Lower and upper bound of each parameter that is usually fitted of ``atoms``."""
        ...


@runtime_checkable
class HasFindings(Protocol):
    """Knows what its data say whatever the structure, such as a composition."""

    def findings(self, atoms: Atoms) -> tuple[list[str], dict[str, str]]:
        """Sentences to print, and texts to write by the names of their files."""
        ...


@runtime_checkable
class CountsPoints(Protocol):
    """Knows how many independent points its data have, where a Fourier transform says so."""

    def independent_points(self, observed: Signal) -> tuple[float, str] | None:
        """Their number [1] and a phrase on where it comes from; None where that is not known."""
        ...


@runtime_checkable
class HasModelError(Protocol):
    """Says by how much its signals are wrong of a right structure, and by what measurement.

    ``model_error`` is relative, the root of the mean squared residual over that of the signal.
    """

    model_error: float
    model_error_source: str


@runtime_checkable
class HasUsual(Protocol):
    """Says what is usually measured with it, for who asks which measurement would decide."""

    def usual(self, atoms: Atoms, folder: Path) -> Sequence[Measurement]:
        """Measurements that could be made of ``atoms``; a class method. ``folder`` takes files."""
        ...


@runtime_checkable
class HasMisfit(Protocol):
    """A metric whose cost is a residual of least squares, so that it has a likelihood.

    ``misfit`` is ``cost`` where the cost is the relative root mean square residual, ``correlation``
    where it is 1 less a correlation.
    """

    misfit: str


@runtime_checkable
class HasView(Protocol):
    """Shows each atom at a place: knows where in its image a position appears."""

    def view(self, atoms: Atoms) -> Any:
        """Where positions appear in the image of ``atoms``: a :class:`htinvert.forward.view.View`.

        Raises:
            UserError: where sampling or shape is not set.
        """
        ...


@runtime_checkable
class HasSpecimen(Protocol):
    """Images another structure than the given one, such as one with its upper grain moved."""

    def specimen(self, atoms: Atoms) -> Atoms:
        """The structure that is imaged."""
        ...


@runtime_checkable
class LooksAlong(Protocol):
    """Looks along a direction: ``beam`` and ``up``, the direction of the image's top."""

    beam: Any
    up: Any


@runtime_checkable
class Shifted(Protocol):
    """Can move its specimen in the image: to the right and downward [Å]."""

    shift_x: float
    shift_y: float


@runtime_checkable
class Sheared(Protocol):
    """Can shear its image: shift to the right per distance downward [1]."""

    shear_x: float


@runtime_checkable
class Blurred(Protocol):
    """Has a source of a size: full width at half maximum [Å]."""

    source_size: float


# Metrics and generators.


@runtime_checkable
class Structural(Protocol):
    """A metric that compares by structural similarity.

    ``ssim`` names the definition, ``intensity`` how the images are brought to one scale, ``beta``
    the share of the similarity in the cost.
    """

    ssim: str
    intensity: str
    beta: float


@runtime_checkable
class Resumable(Protocol):
    """A generator that need not be told everything again when its campaign is resumed."""

    def state(self) -> Any:
        """What it has learned, as plain values and atoms; None where it must be told all."""
        ...

    def restore(self, state: Any) -> None:
        """Go on from such a state as if all had been told."""
        ...
