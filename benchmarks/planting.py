"""Plant patterns across LaAlO3/SrTiO3 by a multislice that shares only the crystal with a library.

    python benchmarks/planting.py [KEPT [SEED]]    # eleven stacks of five strips

Lobato's potentials, two slices per cell, draws of displacements and occupations, one boundary, a
wedge, a scan with a source and noise, tail and halo that are no Gaussians and wrap around nowhere.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import gettempdir

import numpy as np
from abtem.parametrizations import LobatoParametrization
from numpy.random import Generator, default_rng
from scipy import fft
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.signal import fftconvolve
from scipy.special import erf

A, C, CELLS, ALONG, SIZE, PX = 3.905, 3.75, 5, 4, (15.62, 38.275), (144, 352)  # Å; cells; Å, px
WAVE, PHASE = 0.0250793, 7.2884e-4 * 47.878  # Å; rad per Å of a scattering factor and 1/Å² (200 kV)
MOTION = {"Sr": 0.079, "Ti": 0.066, "O": 0.085, "La": 0.072, "Al": 0.065}  # Å
SITES = (  # planes of a cell: x and height [cells], elements below and above the boundary
    ((0.0, 0.25, "Sr", "La"), (0.5, 0.75, "O", "O")),
    ((0.5, 0.75, "Ti", "Al"), (0.0, 0.75, "O", "O"), (0.5, 0.25, "O", "O")),
)
DRAWS = 40  # of a plane
LINES, SCAN, SOURCE = 12, 0.2, 0.3  # of a scan in a strip; noise of each, and of the source [Å]
STEP, FRAME, SHOWN = 1.6, 96, slice(24, 72)  # mrad per px, px
K = [fft.fftfreq(n, side / n) for n, side in zip(PX, SIZE, strict=True)]
FINE = [fft.fftfreq(2 * n, side / n / 2) for n, side in zip(PX, SIZE, strict=True)]
LIMIT = min(map(max, K)) / 1.5  # 1/Å, of waves: 77 mrad
INNER = np.ix_(*(fft.fftfreq(n, 1 / n).astype(int) for n in PX))

Profile = Callable[[np.ndarray], np.ndarray]


def draws(share: Profile, rng: Generator) -> np.ndarray:
    """Transmission of draws of both planes, (2, draws, nx, ny); ``share`` of the upper material.

    The boundary is so long that each layer of it has its share.
    """
    motion = {name: moved * rng.uniform(0.85, 1.15) for name, moved in MOTION.items()}
    squared = FINE[0][:, None] ** 2 + FINE[1] ** 2
    atom = {name: LobatoParametrization().scattering_factor(name)(squared) for name in MOTION}
    passed = squared[INNER] <= LIMIT**2
    bottom = np.repeat(np.r_[np.arange(CELLS) * A, CELLS * A + np.arange(CELLS) * C], ALONG)
    found = np.empty((2, DRAWS, *PX), dtype=np.complex64)
    for plane, sites in enumerate(SITES):
        ranks = np.tile(np.arange(DRAWS * ALONG), (len(sites), 2 * CELLS, 1))
        chance = rng.permuted(ranks, axis=2) + rng.random(ranks.shape)
        chance = (chance / DRAWS / ALONG).reshape(len(sites), 2 * CELLS, DRAWS, ALONG)
        for draw in range(DRAWS):
            spectrum = np.zeros(squared.shape, dtype=complex)
            for site, (x, up, lower, upper) in enumerate(sites):
                high = bottom + up * np.where(bottom < CELLS * A - 0.1, A, C)
                above = chance[site, :, draw].ravel() < share(high / A - CELLS)
                kinds = np.where(above, upper, lower)
                places = np.array([(np.arange(high.size) % ALONG + x) * A, high])
                places += rng.normal(size=places.shape) * [motion[kind] for kind in kinds]
                for kind in set(kinds):
                    one, two = (
                        np.exp(-2j * np.pi * np.outer(k, r[kinds == kind]))
                        for k, r in zip(FINE, places, strict=True)
                    )
                    spectrum += one @ two.T * atom[kind]
            phase = PHASE * fft.ifft2(spectrum).real * spectrum.size / np.prod(SIZE)
            found[plane, draw] = fft.ifft2(fft.fft2(np.exp(1j * phase))[INNER] * passed / 4)
    return found


def scanned(rows: int, semiangle: float, rng: Generator) -> np.ndarray:
    """Waves across the boundary, (strip, wave, ky), whose intensities add up to those of a scan.

    A strip is an average over its lines, each off by the noise of the scan, of a source that is no
    point: few waves have the same density matrix.
    """
    y = (np.arange(rows * LINES).reshape(rows, LINES) + rng.random()) / LINES - rows / 2
    y = (y + CELLS) * A + rng.normal(0, SCAN, y.shape)
    lit = np.abs(1e3 * WAVE * (np.abs(K[1]) - 0.5 / SIZE[1])) <= semiangle
    phases = np.exp(-2j * np.pi * y[:, None] * K[1][lit, None])
    apart = K[1][lit, None] - K[1][lit]
    matrix = phases @ phases.conj().swapaxes(1, 2) / LINES
    values, waves = np.linalg.eigh(matrix * np.exp(-2 * (np.pi * SOURCE * apart) ** 2))
    used = values.max(axis=0) > 1e-5 * values.max()
    found = np.zeros((rows, used.sum(), PX[1]), dtype=np.complex64)
    waves = waves * np.sqrt(np.maximum(values, 0))[:, None]
    found[..., lit] = waves[..., used].swapaxes(1, 2)
    return found


def through(
    waves: np.ndarray, layers: list, free: np.ndarray, rng: Generator
) -> Iterator[np.ndarray]:
    """Waves behind each of the last three periods; a layer's planes have one or many draws."""
    for period, layer in enumerate(layers):
        for plane in layer:
            drawn = plane[rng.integers(len(plane))]
            cells = drawn.shape[0] // (PX[0] // ALONG)
            waves = fft.ifft2(waves, overwrite_x=True)
            waves *= np.roll(drawn, PX[0] // ALONG * rng.integers(cells), axis=0)
            waves = fft.fft2(waves, overwrite_x=True)
            waves *= free
        if period >= len(layers) - 3:  # a wedge
            yield waves.copy()


def patterns(
    layers: list[np.ndarray],
    tilt: complex,
    rng: Generator,
    *,
    semiangle: float = 15.0,
    rows: int = 5,
) -> np.ndarray:
    """Mean intensity (strip, ky, kx) behind a list of :func:`draws`, one per period.

    Every electron meets other displacements, and those of planes are drawn one by one: the mean
    wave is that behind mean planes, and the mean intensity that of the mean wave and of what drawn
    ones are off it, so that few draws make little noise.
    """
    part, across = 1e3 * WAVE / SIZE[0] / 2, 1e3 * WAVE / SIZE[1]
    total, beams = np.zeros((rows, PX[1], 2 * PX[0])), PX[0] // ALONG
    each = {
        id(layer): layer.reshape(2, -1, beams, PX[1]).mean(axis=1, keepdims=True)
        for layer in layers
    }
    even = [each[id(layer)] for layer in layers]
    scan, down = scanned(rows, semiangle, rng), K[1][:, None, None] * SIZE[1]
    fine = (np.arange(16) + 0.5) / 16 - 0.5
    for column in range(-19, 20):
        open_ = ((column + fine[:, None]) * part) ** 2 + (down + fine) ** 2 * across**2
        open_ = (open_ <= semiangle**2).mean(axis=(1, 2))  # of each direction's cell
        inside = open_ > 0
        if not inside.any():
            continue
        some = scan[:, :, inside] * np.sqrt(open_[inside], dtype=np.float32)
        turns = np.exp(2j * np.pi * rng.random(some.shape[:2]))[:, None].astype(np.complex64)
        mixed = (turns @ some)[:, 0]
        offset, first = column % (2 * ALONG), column // (2 * ALONG)
        kx, ky = ((t / WAVE / 1e3) for t in (tilt.real + offset * part, tilt.imag))
        squared = (K[0][:, None] + kx) ** 2 + (K[1] + ky) ** 2
        free = np.exp(-0.5j * np.pi * WAVE * A * squared) * (squared <= LIMIT**2)
        free = free.astype(np.complex64)
        plane = np.zeros((inside.sum(), beams, PX[1]), dtype=np.complex64)
        plane[np.arange(inside.sum()), first, np.flatnonzero(inside)] = 1
        wave = np.zeros((rows, *PX), dtype=np.complex64)
        wave[:, ALONG * first, inside] = mixed
        means = through(plane, even, free[::ALONG], rng)
        for mean, drawn in zip(means, through(wave, layers, free, rng), strict=True):
            drawn[:, ::ALONG] -= np.tensordot(mixed, mean, 1)
            diffuse = fft.fftshift(np.abs(drawn) ** 2, axes=(1, 2))
            seen = (np.abs(np.tensordot(some, mean, 1)) ** 2).sum(axis=1)
            diffuse[:, PX[0] // 2 % ALONG :: ALONG] += fft.fftshift(seen, axes=(1, 2))
            at = (2 * np.arange(PX[0]) + offset) % (2 * PX[0])
            total[:, :, at] += diffuse.transpose(0, 2, 1)
    return total / total.sum(axis=(1, 2), keepdims=True)


def detected(whole: np.ndarray, rng: Generator) -> np.ndarray:
    """What a detector of its own rotation, scale, blur, tail and halo expects per electron."""
    step, blur = 1e3 * WAVE / np.array([SIZE[1], 2 * SIZE[0]]), rng.uniform(0.5, 1.0)
    turn, scale, oval = rng.uniform(-1, 1, 3) * (0.035, 0.015, 0.004)
    place = (np.arange(FRAME) - FRAME / 2 + 0.5) * STEP * (1 + scale)
    x, y = np.meshgrid(place * (1 + oval), place * (1 - oval)) + rng.uniform(-0.8, 0.8, (2, 1, 1))
    x, y = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    at = [y / step[0] + PX[1] // 2, x / step[1] + PX[0]]
    far = np.hypot(*np.meshgrid(*2 * [np.arange(-FRAME, FRAME + 1)]))
    tail = (1 + (far / rng.uniform(1, 3)) ** 2) ** -1.5
    halo = (1 + (far / rng.uniform(3, 6)) ** 2) ** -1.0 * (far < rng.uniform(15, 25))
    seen = np.array([map_coordinates(gaussian_filter(one, blur / step), at) for one in whole])
    for kernel, least, most in ((tail, 0.02, 0.06), (halo, 0.1, 0.25)):
        part = rng.uniform(least, most)
        seen = (1 - part) * seen + part * fftconvolve(
            seen, kernel[None] / kernel.sum(), mode="same", axes=(1, 2)
        )
    inside = np.maximum(seen[:, SHOWN, SHOWN], 0.0)
    return inside / inside.sum(axis=(1, 2), keepdims=True)


def diffuse(width: float, middle: float = 0.0) -> Profile:
    """An error function of this standard deviation about a height [cells]."""
    return lambda height: 0.5 * (1 + erf((height - middle) / width / np.sqrt(2)))


def plant(path: str = f"{gettempdir()}/planted.npz", seed: str = "1") -> None:
    """Levels about 0 to 2 by 0.2, 5 to 20 nm, tilts to 5 mrad; goes on with what is kept."""
    kept = np.load(path) if Path(path).exists() else {"truths": [], "stacks": []}
    truths, stacks = list(kept["truths"]), list(kept["stacks"])
    thick = default_rng(int(seed)).permutation(np.linspace(14, 50, 11))
    for place in range(len(truths), 11):
        rng = default_rng([int(seed), place])
        level = abs(0.2 * place + rng.uniform(-0.1, 0.1))
        tilt = 5 * np.sqrt(rng.random()) * np.exp(2j * np.pi * rng.random())
        periods = round(thick[place])
        layers = [draws(diffuse(level), rng)] * (periods + 1)
        stacks.append(detected(patterns(layers, tilt, rng), rng))
        truths.append((level, A * periods, tilt.real, tilt.imag))
        np.savez(path, truths=truths, stacks=stacks)


if __name__ == "__main__":
    plant(*sys.argv[1:])
