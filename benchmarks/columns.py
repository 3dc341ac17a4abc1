"""Columns of planted images: places against the bound of Cramér and Rao, species against Bayes's.

python benchmarks/columns.py     some two minutes

Images are sums of Moffat's profiles (heavier tails than what is fitted) with noise of counting. The
bound is that of a column whose background and shape are known.
"""

from __future__ import annotations

import time

import numpy as np
from scipy.stats import norm

from htinvert.core import Signal
from htinvert.statistics.columns import measure_columns
from htinvert.statistics.occupancy import occupancy

PIXEL, WIDTH, STEP = 0.2, 2.2, 13.0  # Å; px
PEAK, GROUND = 0.02, 0.005  # of the electrons, at a column and between


def planted(count: int, dose: float, rng: np.random.Generator) -> tuple:
    """Image of count² columns, their places, heights, which are the brighter ones, the bound."""
    i, j = np.indices((count, count))
    places = np.column_stack([i.ravel(), j.ravel()]) * STEP + STEP
    places = places + rng.uniform(-1, 1, places.shape)
    bright = rng.random(len(places)) < 0.4
    heights = dose * PIXEL**2 * PEAK * np.where(bright, 1.5, 1.0)
    size = int((count + 1) * STEP)
    ground = dose * PIXEL**2 * GROUND
    image = np.full((size, size), ground)
    for (y, x), height in zip(places, heights, strict=True):
        top, left = max(0, int(y) - 24), max(0, int(x) - 24)
        rows, columns = np.ogrid[top : min(size, top + 49), left : min(size, left + 49)]
        square = (rows - y) ** 2 + (columns - x) ** 2
        image[top : top + 49, left : left + 49] += height * (1 + square / (6 * WIDTH**2)) ** -3
    y, x = np.indices((49, 49)) - 24.0
    square = y**2 + x**2
    bounds = []
    for height in heights:
        slope = height * y * (1 + square / (6 * WIDTH**2)) ** -4 / WIDTH**2
        bounds.append(
            1 / (slope**2 / (height * (1 + square / (6 * WIDTH**2)) ** -3 + ground)).sum()
        )
    return image, places, heights, bright, float(np.mean(bounds) ** 0.5)


def places_row(dose: float) -> str:
    """Scatter of places over the bound, and stated errors over the scatter."""
    rng = np.random.default_rng(round(dose))
    image, places, _, bright, bound = planted(30, dose, rng)
    noisy = Signal.image(rng.poisson(image).astype(float), PIXEL)
    found = measure_columns(noisy, places + rng.normal(0, 1, places.shape))
    rms = float(np.sqrt(((found.places - places) ** 2).mean()))
    stated = float(np.sqrt((found.errors**2).mean()))
    told = occupancy(
        found.intensity, found.intensity_error, found.places, {"a": 1.0, "b": 1.5}, field=False
    )
    wrong = float(((told.likeliest == 1) != bright).mean())
    limit = _least_wrong(dose)
    return (
        f"| {dose:.0e} | {100 * PIXEL * rms:.2f} | {rms / bound:.2f} | {stated / rms:.2f} "
        f"| {100 * limit:.2f} % "
        f"| {100 * wrong:.2f} % |"
    )


def _least_wrong(dose: float) -> float:
    """Wrong species at best, where place, shape and background of each column are known."""
    y, x = np.indices((49, 49)) - 24.0
    shape = (1 + (x**2 + y**2) / (6 * WIDTH**2)) ** -3
    unit = dose * PIXEL**2
    heights = unit * PEAK * np.array([1.0, 1.5])
    errors = [(shape**2 / (h * shape + unit * GROUND)).sum() ** -0.5 for h in heights]
    grid = np.linspace(-1, 3, 20001) * heights[1]
    dense = [p * norm.pdf(grid, h, e) for p, h, e in zip((0.6, 0.4), heights, errors, strict=True)]
    return float(np.minimum(*dense).sum() * (grid[1] - grid[0]))


def species_row(apart: float, share: float) -> str:
    """Share of wrong species over that of Bayes, with the truth known, 20 000 columns."""
    rng = np.random.default_rng([round(10 * apart), round(10 * share)])
    i, j = np.indices((141, 141))
    places = np.column_stack([i.ravel(), j.ravel()]).astype(float)
    truth = rng.random(len(places)) < share
    scatter = 0.5 / (apart * 1.25)  # relative; means 1 and 1.5
    values = np.where(truth, 1.5, 1.0) * (1 + scatter * rng.normal(size=len(places)))
    values *= 1 + 0.08 * np.sin(places[:, 0] / 15) * np.cos(places[:, 1] / 20)
    found = occupancy(values, np.full(len(places), 1e-3), places, {"a": 1.0, "b": 1.6})
    grid = np.linspace(-1, 4, 50001)
    dense = ((1 - share) * norm.pdf(grid, 1, scatter), share * norm.pdf(grid, 1.5, 1.5 * scatter))
    limit = np.minimum(*dense).sum() * (grid[1] - grid[0])
    wrong = ((found.likeliest == 1) != truth).mean()
    return f"| {apart:g} | {100 * share:g} % | {100 * limit:.2f} % | {100 * wrong:.2f} % " \
           f"| {wrong / limit:.2f} | {100 * found.wrong:.2f} % |"  # fmt: skip


def main() -> None:
    """Print two tables and the cost."""
    print("| electrons/Å² | rms [pm] | over the bound | stated over rms | wrong at best | wrong |")
    print("|--:|--:|--:|--:|--:|--:|")
    for dose in (1e3, 1e4, 1e5):
        print(places_row(dose), flush=True)
    print("\n| apart [deviations] | brighter | Bayes | wrong | ratio | said |")
    print("|--:|--:|--:|--:|--:|--:|")
    for apart in (2.0, 3.0, 4.0):
        for share in (0.5, 0.2):
            print(species_row(apart, share), flush=True)
    rng = np.random.default_rng(0)
    image, places, *_ = planted(100, 1e4, rng)
    noisy = Signal.image(rng.poisson(image).astype(float), PIXEL)
    start = time.process_time()
    found = measure_columns(noisy, places + rng.normal(0, 1, places.shape))
    occupancy(found.intensity, found.intensity_error, found.places, {"a": 1.0, "b": 1.5})
    print(f"\n10 000 columns, {image.shape} px: {time.process_time() - start:.1f} CPU-s")


if __name__ == "__main__":
    main()
