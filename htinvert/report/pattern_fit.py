"""What a fit of a convergent-beam pattern leaves behind: thickness with its interval, a figure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from htinvert.campaign.channels import make_channel
from htinvert.config.experiment import Experiment, of_its_kind
from htinvert.core import Signal, UserError
from htinvert.declaration.declared import unit_of
from htinvert.forward.cbed.detector import brought
from htinvert.forward.cbed.model import Cbed
from htinvert.forward.cbed.profile import Profile, profile
from htinvert.forward.cbed.survey import guessed_sampling, survey
from htinvert.image.draw import ACCENT
from htinvert.report.figures import pyplot
from htinvert.report.save import save
from htinvert.report.terminal import progress_bar
from htinvert.signals.pattern_file import read_pattern
from htinvert.signals.pattern_steps import binned
from htinvert.structures.file import from_file
from htinvert.structures.write import write_table

THICKNESSES = (40.0, 1200.0)  # Å, where nobody says
STEP = 12.0  # Å
SEMIANGLES = 0.3  # mrad, between those that are tried
WIDTH = 36  # px of a semiangle, beyond which a pattern is binned
POOR = 0.5  # of the variance inside of the disk: explained by less, the structure is none of these


def pattern_block(
    path: Path, sampling: float | None, given: Mapping[str, float | str]
) -> Experiment:
    """The experiment of a pattern's file; its step from the bright disk where nobody gives it.

    Raises :class:`UserError` where the semiangle is not given, or the file is no pattern.
    """
    known = {field.name for field in fields(Cbed)}
    for name in given:
        if name.partition(".")[0] not in known:
            raise UserError(f"cbed has no parameter {name}; take it out of set")
    if "semiangle" not in given:
        raise UserError(
            "a convergent-beam pattern needs the semiangle of its disk in mrad; give it, such as "
            "--set semiangle=13.6"
        )
    forward: dict[str, Any] = {"use": "cbed"}
    for name, value in given.items():
        field, _, entry = name.partition(".")
        if entry:
            forward.setdefault(field, {})[entry] = value
        else:
            forward[field] = value
    if sampling is None:
        whole = read_pattern(path, sampling=1.0, unit="mrad")[0]
        sampling = guessed_sampling(whole.data, float(given["semiangle"]))
    return of_its_kind(
        {
            "data": path,
            "forward": forward,
            "metrics": {"rw": None},
            "sampling": sampling,
            "unit": "mrad",
            "prepare": [{"center": "symmetry"}],
        }
    )


def thickness_with_progress(
    structure: Path,
    experiment: Experiment,
    *,
    folder: Path,
    output: Path,
    also: Mapping[str, tuple[float, float]],
    console: Any,
) -> dict[str, Any]:
    """Fit thickness and instrument to a pattern, print and write what came of it; returns numbers.

    ``also`` may bound ``thickness`` [Å] and ``semiangle`` [mrad]. Raises :class:`UserError` where
    structure or data cannot be used.
    """
    atoms, name = from_file(structure), structure.stem
    channel = make_channel(name, experiment, folder=folder)
    wanted = {"thickness": THICKNESSES, **experiment.free, **also}
    if unknown := set(wanted) - {"thickness", "semiangle"}:
        raise UserError(
            f"free {min(unknown)}: of a pattern, thickness and semiangle are bounded; all of the "
            "instrument is fitted as it is"
        )
    model: Any = channel.forward
    observed = channel.observed
    factor = int(model.semiangle / observed.axes[-1].step // WIDTH)
    if factor > 1 and observed.axes[-1].unit == "mrad":
        observed = binned(observed, factor)
    model = replace(model, axes=observed.axes, shape=observed.data.shape, observed=None)
    low, high = wanted["thickness"]
    thicknesses = np.arange(low, high + STEP / 2.0, STEP)
    angles = (
        np.arange(wanted["semiangle"][0], wanted["semiangle"][1] + 0.01, SEMIANGLES)
        if ("semiangle" in wanted)
        else np.array([model.semiangle])
    )
    with progress_bar(console) as bar:
        task = bar.add_task("comparing every thickness, scale and turn", total=None)
        first = survey(model, atoms, observed, thicknesses=thicknesses, semiangles=angles.tolist())
        bar.update(task, description="fitting the instrument at each thickness")
        found = profile(
            *(first, atoms, observed),
            semiangle="semiangle" in wanted,
            observer=lambda: bar.update(task, advance=1),
        )
    values = _values(found, observed)
    for line in _lines(name, found, values):
        console.print(line, soft_wrap=True)
    for path in _write(output, name, found, values, experiment.credit, atoms):
        console.print(f"written: {path}")
    return values


def _values(found: Profile, observed: Signal) -> dict[str, Any]:
    """Thickness and instrument as plain numbers."""
    low, high = found.answer.interval()
    best = found.best
    return {
        "thickness": found.answer.mean,
        "standard_error": found.answer.spread,
        "interval_90": [low, high],
        "determined": found.answer.determined,
        "none_of_these": found.explained < POOR,
        "explained": found.explained,
        "independent_points": found.independent,
        "instrument": {
            **{name: getattr(best, name) for name in found.fitted},
            "semiangle": best.semiangle,
            "mrad_per_px": observed.axes[-1].step * best.scale,
        },
    }


def _lines(name: str, found: Profile, values: Mapping[str, Any]) -> list[str]:
    """The answer in sentences."""
    low, high = values["interval_90"]
    lines = []
    if values["none_of_these"]:
        lines.append(
            f"none of these: no thickness of {name} explains more than {found.explained:.0%} of "
            "what the disk shows; try another structure, beam, tilt or semiangle"
        )
    elif not values["determined"]:
        lines.append(f"thickness: not determined, 90 % from {low:.0f} to {high:.0f} Å")
    else:
        lines.append(
            f"thickness: {values['thickness']:.0f} ± {values['standard_error']:.0f} Å, "
            f"90 % from {low:.0f} to {high:.0f} Å"
        )
    lines.append(
        f"explained: {found.explained:.1%} of the variance inside of the disk; "
        f"{found.independent:.0f} independent points"
    )
    best = found.best
    told = [
        f"{key} {getattr(best, key):.4g} {unit_of(best, key)}"
        for key in (*found.fitted, *(() if "semiangle" in found.fitted else ("semiangle",)))
        if unit_of(best, key) != "1"
    ]
    step = values["instrument"]["mrad_per_px"]
    lines.append(f"instrument: {', '.join(told)}, {step:.4g} mrad/px")
    return lines


def _write(
    folder: Path,
    name: str,
    found: Profile,
    values: Mapping[str, Any],
    credit: str,
    atoms: Any,
) -> list[Path]:
    """Figure, numbers, and the misfit over thickness as a table."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "fit.png", folder / "parameters.json", folder / "thickness.csv"]
    draw_profile(paths[0], found, atoms, title=name, note=credit)
    paths[1].write_text(json.dumps(values, indent=1), encoding="utf-8")
    rows: list[Mapping[str, Any]] = [
        {"thickness": float(t), "misfit": float(m), "probability": float(w)}
        for t, m, w in zip(found.thicknesses, found.misfit, found.answer.weights, strict=True)
    ]
    write_table(paths[2], rows)
    return paths


def draw_profile(path: Path, found: Profile, atoms: Any, *, title: str, note: str = "") -> None:
    """Measured and best pattern side by side, their difference, and the misfit over thickness."""
    plt = pyplot()
    seen = found.observed.data.astype(float)
    best = replace(found.best, observed=found.observed, axes=found.observed.axes, shape=seen.shape)
    matched = np.where(np.isfinite(seen), brought(best.columns(atoms), seen)[0], np.nan)
    high = float(np.nanmax(seen))
    figure, axes = plt.subplots(1, 4, figsize=(11.5, 3.1), layout="constrained")
    for axis, data, words in zip(
        axes, (seen, matched, matched - seen), ("measured", "best fit", "difference"), strict=False
    ):
        difference = words == "difference"
        shown = axis.imshow(
            data,
            cmap="RdBu_r" if difference else "inferno",
            vmin=-0.3 * high if difference else 0.0,
            vmax=0.3 * high if difference else high,
        )
        axis.set_title(words, fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
    figure.colorbar(shown, ax=axes[2], fraction=0.046, label="counts")
    low, high = found.answer.interval()
    axes[3].plot(found.thicknesses / 10, found.misfit / found.misfit.min(), ".-", ms=3, lw=0.8)
    axes[3].axvspan(low / 10, high / 10, color=ACCENT, alpha=0.3, label="90 %")
    axes[3].set(xlabel="thickness [nm]", ylabel="misfit / least", yscale="log")
    for numbers in (axes[3].yaxis.set_major_formatter, axes[3].yaxis.set_minor_formatter):
        numbers("{x:g}")
    axes[3].legend(fontsize=8)
    words = f"{title}: {found.answer.mean / 10:.1f} ± {found.answer.spread / 10:.1f} nm"
    figure.suptitle(f"{words}. {note}" if note else words, fontsize=9)
    save(figure, path)
    plt.close(figure)
