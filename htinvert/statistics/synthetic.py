"""Intensities of speckles whose field remembers as Kohlrausch says: to calibrate, and to test."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

FINE, COARSE = 8.0, 40.0  # frames of tau below which a frame is made of four, of two instants


def intensities(
    frames: int,
    series: int,
    *,
    tau: float,
    beta: float,
    exposure: float,
    modes: int,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Independent series of mean 1, shape (series, frames).

    A frame's intensity is the mean over its exposure, and over ``modes`` fields, each complex,
    Gaussian, with the correlation exp(-(t / tau)^beta), ``tau`` in frames. Fields are made by
    circulant embedding (Dietrich & Newsam, SIAM J. Sci. Comput. 18, 1088 (1997)).
    """
    instants = (4 if tau < FINE else 2 if tau < COARSE else 1) if exposure > 0.0 else 1
    parts = max(1, round(instants / max(exposure, 1e-9))) if instants > 1 else 1
    size = fft.next_fast_len(2 * frames * parts)
    lag = np.minimum(np.arange(size), size - np.arange(size)) / parts
    power = np.maximum(fft.fft(np.exp(-((lag / tau) ** beta))).real, 0.0)
    amplitude = np.sqrt(power * size / 2.0).astype(np.float32)
    total = np.zeros((series, frames), dtype=np.float32)
    for _ in range(modes):
        noise = rng.standard_normal((series, size, 2), dtype=np.float32)
        field = fft.ifft(amplitude * noise.view(np.complex64)[..., 0], axis=1, overwrite_x=True)
        field = field[:, : frames * parts].reshape(series, frames, parts)[..., :instants]
        total += (field.real**2 + field.imag**2).mean(axis=2)
    return np.asarray(total / modes)
