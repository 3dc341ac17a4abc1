"""What the fluctuations of one or several series look like: figures, maps, a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from htinvert.core import UserError
from htinvert.image.draw import ACCENT
from htinvert.report.figures import FRONT, PALE, pyplot
from htinvert.report.save import drop_links, save
from htinvert.report.terminal import spinner
from htinvert.statistics.fluctuations import (
    BOLTZMANN,
    Arrhenius,
    Fluctuations,
    Uncertain,
    arrhenius,
    fluctuations,
)
from htinvert.statistics.series import read_series

LEFT_OUT = "#e4e4e4"  # pixels whose tau is not known


def fluctuations_with_progress(
    paths: Sequence[Path],
    *,
    temperatures: Sequence[float],
    interval: float | None,
    times: Path | None,
    output: Path,
    console: Any,
    **settings: Any,
) -> list[Fluctuations]:
    """Measure each series, print and write what came of it; with temperatures, Arrhenius's plot.

    ``settings`` are those of :func:`~htinvert.statistics.fluctuations.fluctuations`. Raises
    :class:`~htinvert.core.UserError` for what cannot be read or does not fluctuate.
    """
    if temperatures and len(temperatures) != len(paths):
        raise UserError(
            f"{len(paths)} series are given and {len(temperatures)} temperatures; give one each [K]"
        )
    names = [path.stem for path in paths]
    if len(set(names)) < len(names):
        raise UserError(
            "two series have the same name; rename one, because results are named by it"
        )
    found = []
    for path in paths:
        with spinner(console, f"correlating {path.name}"):
            found.append(
                fluctuations(read_series(path, interval=interval, times=times), **settings)
            )
        _tell(found[-1], console)
        for written in write_fluctuations(output, found[-1], name=path.stem):
            console.print(f"written: {written}")
    if temperatures:
        law = arrhenius(temperatures, [part.tau for part in found])
        console.print(
            f"barrier {law.barrier:.4f} ± {law.barrier_error:.4f} eV, ln tau0 "
            f"{law.log_prefactor:.2f} ± {law.log_prefactor_error:.2f}, chi-square per degree of "
            f"freedom {law.chi_square:.2f}",
            soft_wrap=True,
        )
        draw_arrhenius(output / "arrhenius.png", temperatures, found, law)
        console.print(f"written: {output / 'arrhenius.png'}")
    return found


def _tell(found: Fluctuations, console: Any) -> None:
    count, ny, nx = found.series.shape
    unit = found.series.unit
    length = count * found.series.interval / found.tau.value
    console.print(
        f"{found.series.name}: {count} frames of {ny} x {nx} px, every "
        f"{found.series.interval:.4g} {unit}; {length:.0f} tau long, "
        f"some {found.speckles:.0f} independent speckles",
        soft_wrap=True,
    )
    console.print(
        f"tau  {interval_words(found.tau)} {unit} (uncorrected {found.uncorrected[0]:.4g})"
    )
    console.print(f"beta {interval_words(found.beta)} (uncorrected {found.uncorrected[1]:.3f})")
    console.print(f"contrast {found.contrast:.4f}")
    trusted = 100 * found.map.trusted.mean()
    console.print(
        f"map: tau is known to better than half of it in {trusted:.0f} % of the pixels",
        soft_wrap=True,
    )
    for note in found.notes:
        console.print(f"note: {note}", soft_wrap=True)


def interval_words(value: Uncertain) -> str:
    """A value, its standard error and interval."""
    return f"{value.value:.4g} ± {value.error:.2g} (95 %: {value.low:.4g} to {value.high:.4g})"


def write_fluctuations(folder: Path, found: Fluctuations, *, name: str) -> list[Path]:
    """Write ``NAME.png``, ``NAME.json`` (values, g2) and ``NAME-maps.npz``; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}{ending}" for ending in (".png", ".json", "-maps.npz")]
    draw_fluctuations(paths[0], found, title=name)
    drop_links(paths[1])
    paths[1].write_text(json.dumps(record(found), indent=1), encoding="utf-8")
    drop_links(paths[2])
    pixels = found.map
    np.savez_compressed(
        paths[2],
        tau=pixels.tau,
        beta=pixels.beta,
        relative_error=pixels.relative_error,
        beta_error=pixels.beta_error,
    )
    return paths


def record(found: Fluctuations) -> dict[str, Any]:
    """What was found as plain values."""
    return {
        "series": found.series.name,
        "frames": list(found.series.shape),
        "interval": found.series.interval,
        "unit": found.series.unit,
        "convention": "g2 - 1 = A exp(-2 (t / tau)^beta)",
        **{key: vars(getattr(found, key)) for key in ("tau", "beta")},
        "contrast": found.contrast,
        "uncorrected": {"tau": found.uncorrected[0], "beta": found.uncorrected[1]},
        "speckles": found.speckles,
        "time": found.time.tolist(),
        "g2_minus_1": found.g2.tolist(),
        "fit": found.model.tolist(),
        "notes": list(found.notes),
    }


def draw_fluctuations(path: Path, found: Fluctuations, *, title: str) -> None:
    """Draw g2 with its fit, and the maps of tau and of its error; unknown pixels are gray."""
    plt = pyplot()
    figure, axes = plt.subplots(1, 3, figsize=(13.0, 4.0), layout="constrained")
    unit = found.series.unit
    _draw_g2(axes[0], found)
    tau = np.where(found.map.trusted, found.map.tau, np.nan)
    colors = plt.get_cmap("viridis").with_extremes(bad=LEFT_OUT)
    shown = tau[np.isfinite(tau)]
    low, high = np.percentile(shown, (2, 98)) if len(shown) else (0.5, 2.0)
    norm = plt.matplotlib.colors.LogNorm(low, max(high, 1.2 * low))
    picture = axes[1].imshow(tau, cmap=colors, norm=norm, interpolation="nearest")
    bar = figure.colorbar(picture, ax=axes[1], shrink=0.85, label=f"tau [{unit}]")
    _plain(bar.ax.yaxis)
    axes[1].set_title("tau, where it is known to better than half", fontsize=10)
    error = found.map.relative_error
    picture = axes[2].imshow(error, cmap="magma_r", vmin=0, vmax=1, interpolation="nearest")
    figure.colorbar(picture, ax=axes[2], shrink=0.85, label="standard error over tau [1]")
    axes[2].set_title("how sure", fontsize=10)
    for axis in axes[1:]:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.suptitle(f"{title}: tau {found.tau.value:.4g} ± {found.tau.error:.2g} {unit}, beta "
                    f"{found.beta.value:.3f} ± {found.beta.error:.2g}", fontsize=11)  # fmt: skip
    save(figure, path)
    plt.close(figure)


def _draw_g2(axis: Any, found: Fluctuations) -> None:
    axis.axhline(0.0, color=PALE, lw=0.8)
    axis.semilogx(found.time, found.g2, "o", color=FRONT, ms=4, label="all pixels")
    axis.semilogx(found.time, found.model, "-", color=ACCENT, lw=1.5,
                  label="fit, with the series' length")  # fmt: skip
    ideal = np.exp(-2 * (found.time / found.tau.value) ** found.beta.value)
    axis.semilogx(found.time, found.contrast * ideal, "--", color="k", lw=1.0,
                  label="the same of an endless series")  # fmt: skip
    axis.set_xlabel(f"time [{found.series.unit}]")
    axis.set_ylabel("g2 - 1")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8)


def _plain(axis: Any) -> None:
    """Numbers as they are said, on a logarithmic axis of little more than a decade."""
    from matplotlib.ticker import FormatStrFormatter

    axis.set_major_formatter(FormatStrFormatter("%g"))
    axis.set_minor_formatter(FormatStrFormatter("%g"))


def draw_arrhenius(
    path: Path, temperatures: Sequence[float], found: Sequence[Fluctuations], law: Arrhenius
) -> None:
    """Draw ln tau over the inverse temperature, with the fitted barrier."""
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(5.6, 4.2), layout="constrained")
    inverse = 1e3 / np.asarray(temperatures)
    taus = [part.tau for part in found]
    bars = np.array([[t.value - t.low for t in taus], [t.high - t.value for t in taus]])
    axis.errorbar(inverse, [t.value for t in taus], yerr=bars, fmt="o", color=FRONT, capsize=3,
                  label="tau, 95 %")  # fmt: skip
    line = np.linspace(inverse.min(), inverse.max(), 50)
    fitted = np.exp(law.log_prefactor + law.barrier * line / (1e3 * BOLTZMANN))
    label = f"barrier {law.barrier:.3f} ± {law.barrier_error:.3f} eV"
    axis.plot(line, fitted, "-", color=ACCENT, label=label)
    axis.set_yscale("log")
    _plain(axis.yaxis)
    axis.set_xlabel("1000 / temperature [1/K]")
    axis.set_ylabel(f"tau [{found[0].series.unit}]")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=9)
    save(figure, path)
    plt.close(figure)
