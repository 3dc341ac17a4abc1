"""How sure fitted parameters are, by the curvature of the residual and the pieces of the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from htinvert.core import Floats, Signal
from htinvert.declaration.declared import value_of
from htinvert.evaluation.fit import adjusted
from htinvert.evaluation.optimize import Box
from htinvert.signals.seen import Seen

PLACED = ("sampling",)  # what a simulation at a known place cannot tell


def intervals(seen: Seen, free: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """Standard error of each parameter in ``free`` (lower and upper bound), by name.

    The simulation stays where it lies in the data; what is linear is solved for at every step.
    Only pieces of the data count as independent (:meth:`htinvert.signals.kind.Kind.pieces`), for
    the residual of neighboring points hangs together.

    Raises:
        EvaluationFailed: where a signal beside the fitted one cannot be simulated.
    """
    box = Box({name: bounds for name, bounds in free.items() if name not in PLACED})
    if not box.names:
        return {}
    metric = next(iter(seen.channel.metrics.values()))
    patch = np.ascontiguousarray(seen.placed.patch, dtype=np.float32)
    region = Signal(patch, seen.simulated.axes)
    measured = np.isfinite(patch)
    pieces = seen.kind.pieces(seen.placed, patch.shape)

    def residual(point: Floats) -> Floats:
        simulated = adjusted(seen.forward, box.parameters(point))(seen.atoms)
        placed = seen.kind.place(replace(simulated, axes=region.axes), region, metric, {})
        return np.asarray(placed.residual[measured])

    point = box.scaled({name: value_of(seen.forward, name) for name in box.names})
    errors = box.standard_errors(residual, point, pieces[measured])
    return dict(zip(box.names, map(float, errors), strict=True))
