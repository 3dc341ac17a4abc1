"""What makes the small inputs of unit tests as fast as they are small."""

from __future__ import annotations

import os

# abTEM, which asks Dask's settings, would measure plans for longer than small waves are computed.
os.environ.setdefault("DASK_FFTW__PLANNING_EFFORT", "FFTW_ESTIMATE")
