"""What interactions were found in images of occupations: a table, a figure, a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from htinvert.core import UserError
from htinvert.image.draw import ACCENT
from htinvert.report.figures import FRONT, PALE, pyplot
from htinvert.report.save import drop_links, save
from htinvert.report.terminal import spinner
from htinvert.statistics.clusters import MEMBERS
from htinvert.statistics.hamiltonian import Hamiltonian, hamiltonian
from htinvert.statistics.lattice import Occupations, read_occupations
from htinvert.statistics.order import Prediction, ShortRangeOrder, predict, short_range_order


@dataclass(frozen=True, eq=False)
class Law:
    """Interactions, the order they were seen in, and what they predict."""

    images: tuple[Occupations, ...]
    found: Hamiltonian
    observed: ShortRangeOrder
    prediction: Prediction


def hamiltonian_with_progress(
    paths: Sequence[Path],
    *,
    lattice: str,
    count: int,
    larger: Sequence[str],
    rates: tuple[float, float],
    temperatures: Sequence[float],
    seed: int,
    output: Path,
    console: Any,
) -> Law:
    """Fit interactions to files of occupations, print and write them.

    ``temperatures`` [K] are those at which each image's order was frozen in; J is for the first.
    Raises :class:`~htinvert.core.UserError` for what cannot be read or is too little.
    """
    images = tuple(read_occupations(path, lattice) for path in paths)
    if temperatures and len(temperatures) != len(paths):
        raise UserError(
            f"{len(paths)} images and {len(temperatures)} temperatures are given; give one each [K]"
        )
    if temperatures and min(temperatures) <= 0.0:
        raise UserError("a temperature is not above 0 K")
    scales = [temperatures[0] / kelvin for kelvin in temperatures] if temperatures else None
    with spinner(console, "fitting interactions"):
        found = hamiltonian(
            images, count=count, larger=larger, rates=rates, scales=scales, seed=seed
        )
        law = make_law(images, found, seed=seed)
    tell(law, console)
    output.mkdir(parents=True, exist_ok=True)
    draw_law(output / "hamiltonian.png", law, title=", ".join(path.stem for path in paths))
    drop_links(output / "hamiltonian.json")
    (output / "hamiltonian.json").write_text(json.dumps(record(law), indent=1), encoding="utf-8")
    for name in ("hamiltonian.png", "hamiltonian.json"):
        console.print(f"written: {output / name}")
    return law


def make_law(images: Sequence[Occupations], found: Hamiltonian, *, seed: int = 0) -> Law:
    """Add short-range order and a prediction, of the images' mean composition, to interactions."""
    observed = short_range_order(found.hidden, found.lattice)
    sites = np.concatenate([spins[spins != 0] for spins in found.hidden])
    fraction = float((sites == 1).mean())
    larger = [name for name in found.clusters if name in MEMBERS[found.lattice]]
    prediction = predict(
        found.lattice, found.couplings, fraction=fraction, larger=larger, seed=seed
    )
    return Law(tuple(images), found, observed, prediction)


def tell(law: Law, console: Any) -> None:
    """Print interactions, fields, order and the transition."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    found = law.found
    console.print(f"{found.sites} sites have all their neighbors in {len(law.images)} image(s)")
    view = Table(box=SIMPLE_HEAD)
    for column in ("cluster", "J ± error [kT]", "uncorrected", "order", "predicted"):
        view.add_column(column, justify="right", no_wrap=True)
    fitted = {
        name: (f"{coupling:.4f} ± {error:.4f}", f"{plain:.4f}")
        for name, coupling, error, plain in zip(
            found.clusters, found.couplings, found.errors, found.uncorrected, strict=True
        )
    }
    ordered = {
        f"shell {k + 1}": (f"{alpha:.3f} ± {error:.3f}", f"{predicted:.3f}")
        for k, (alpha, error, predicted) in enumerate(
            zip(law.observed.alpha, law.observed.error, law.prediction.at_images, strict=True)
        )
    }
    for name in (*ordered, *(name for name in fitted if name not in ordered)):
        view.add_row(name, *fitted.get(name, ("", "")), *ordered.get(name, ("", "")))
    console.print(view)
    for image, field, error in zip(law.images, found.fields, found.field_errors, strict=True):
        first, second = image.species
        console.print(f"{image.name}: field {field:.4f} ± {error:.4f} kT, {first} -1, {second} +1")
    for note in notes(law):
        console.print(f"note: {note}", soft_wrap=True)


def notes(law: Law) -> list[str]:
    """What to know of a law, in sentences."""
    said = []
    transition = law.prediction.transition
    if np.isnan(transition):
        said.append("no transition is predicted between 0.2 and 5 times the images' temperature")
    else:
        said.append(
            f"a transition is predicted at {transition:.2f} times the temperature of the images"
        )
    off = (law.observed.alpha - law.prediction.at_images) / law.observed.error
    worst = int(np.abs(off).argmax())
    if abs(off[worst]) > 4.0:
        said.append(
            f"the order of shell {worst + 1} is {off[worst]:+.1f} standard errors from what the "
            "interactions predict; add shells, or look for domains and other causes"
        )
    weak = np.flatnonzero(np.abs(law.found.couplings) < 2.0 * law.found.errors)
    if len(weak):
        listed = ", ".join(law.found.clusters[k] for k in weak)
        said.append(f"J of {listed} does not differ from 0 by two standard errors")
    if law.found.rates == (0.0, 0.0) and not all(image.weighed for image in law.images):
        said.append(
            "no column is taken as misclassified: 1 % of them would make J some 5 % too small; "
            "give --error-rate, or probabilities"
        )
    return said


def record(law: Law) -> dict[str, Any]:
    """A law as plain values."""
    found, prediction = law.found, law.prediction
    return {
        "convention": "E/kT = - sum J product(s) - sum h s, s = -1 (first species), +1 (second)",
        "images": [image.name for image in law.images],
        "species": [list(image.species) for image in law.images],
        "lattice": found.lattice,
        "sites": found.sites,
        "rates": found.rates,
        "clusters": list(found.clusters),
        "couplings": found.couplings.tolist(),
        "standard_errors": found.errors.tolist(),
        "covariance": found.covariance.tolist(),
        "fields": found.fields.tolist(),
        "field_errors": found.field_errors.tolist(),
        "uncorrected": found.uncorrected.tolist(),
        "order": law.observed.alpha.tolist(),
        "order_errors": law.observed.error.tolist(),
        "predicted_order": prediction.at_images.tolist(),
        "prediction": {
            key: getattr(prediction, key).tolist()
            for key in ("temperature", "order", "heat_capacity", "alpha")
        },
        "transition": None if np.isnan(prediction.transition) else prediction.transition,
        "notes": notes(law),
    }


def draw_law(path: Path, law: Law, *, title: str) -> None:
    """Draw interactions, short-range order seen and predicted, and order over temperature."""
    plt = pyplot()
    figure, axes = plt.subplots(1, 3, figsize=(12.5, 3.8), layout="constrained")
    found = law.found
    shell = np.arange(1, len(found.couplings) + 1)
    axes[0].axhline(0.0, color=PALE, lw=0.8)
    axes[0].errorbar(shell, found.couplings, yerr=2 * found.errors, fmt="o", color=FRONT, capsize=4,
                     label="J ± two standard errors")  # fmt: skip
    if found.rates != (0.0, 0.0):
        axes[0].plot(shell, found.uncorrected, "x", color=ACCENT, label="without misclassification")
    axes[0].set_xticks(shell, [name.replace(" ", "\n") for name in found.clusters])
    axes[0].set(ylabel="J [kT]")
    axes[0].set_xlim(0.5, len(shell) + 0.5)
    order, predicted = law.observed, law.prediction.at_images
    shell = np.arange(1, len(order.alpha) + 1)
    axes[1].axhline(0.0, color=PALE, lw=0.8)
    axes[1].errorbar(shell, order.alpha, yerr=2 * order.error, fmt="o", color=FRONT, capsize=4,
                     label="seen")  # fmt: skip
    axes[1].plot(shell, predicted, "_", color=ACCENT, ms=16, mew=2, label="predicted by J")
    axes[1].set(xlabel="shell of neighbors", ylabel="Warren-Cowley parameter", xticks=shell)
    _draw_prediction(axes[2], law.prediction)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, fontsize=8)
    figure.suptitle(f"{title}: {found.sites} sites", fontsize=11)
    save(figure, path)
    plt.close(figure)


def _draw_prediction(axis: Any, prediction: Prediction) -> None:
    axis.semilogx(prediction.temperature, prediction.order, "o-", color=FRONT, ms=3, label="order")
    heat = prediction.heat_capacity / max(float(prediction.heat_capacity.max()), 1e-12)
    axis.semilogx(prediction.temperature, heat, "-", color=PALE, label="heat capacity, scaled")
    axis.axvline(1.0, color="k", lw=0.8, ls=":", label="the images")
    if not np.isnan(prediction.transition):
        label = f"transition, {prediction.transition:.2f}"
        axis.axvline(prediction.transition, color=ACCENT, lw=1.0, label=label)
    axis.set(xlabel="temperature over that of the images", ylabel="order parameter", ylim=(0, 1.05))
    axis.set_xticks((0.2, 0.5, 1.0, 2.0, 5.0), ("0.2", "0.5", "1", "2", "5"))
    axis.set_xticks((), minor=True)
