"""Read what was measured, of any kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from htinvert import plugins
from htinvert.core import Signal, UserError
from htinvert.signals.kind import DEFAULT, kind_named


def read(
    path: str | Path,
    *,
    kind: str = DEFAULT,
    prepare: Iterable[Mapping[str, Any]] = (),
    **keys: Any,
) -> Signal:
    """Read and prepare what was measured.

    Args:
        path: the file.
        kind: ``image`` (y, x) [Å], ``curve`` (r, k, energy, ...), ``pattern`` (ky, kx) [1/Å or
            mrad], or one that a plug-in brings.
        prepare: steps as in an experiment's block, such as ``[{"crop": [0, 90, 0, 90]}]``.
        keys: what an experiment of that kind may say of its file, such as ``sampling`` [Å/px] of an
            image, ``range`` of a curve.

    Raises:
        UserError: where the kind or a key is unknown, or the file cannot be read so.
    """
    known = kind_named(kind)
    try:
        checked = known.keys.model_validate(keys)
    except ValidationError as error:
        raise UserError("; ".join(plugins.words(error, known.keys))) from error
    return known.read(Path(path), checked, prepare)[0]
