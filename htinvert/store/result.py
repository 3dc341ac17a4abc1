"""What an evaluation says in numbers and words, as JSON that can always be read back.

Components say what they like. Texts are kept printable and of a bounded length, so that no reader,
terminal or archive stumbles over them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ase import Atoms

from htinvert.core import Candidate, Evaluation, Relaxation, Score, Signal
from htinvert.declaration.wording import LONGEST_REASON, shortened

MOST_STEPS = 2**63 - 1  # that a column holds
LONGEST_LABEL = 120  # bytes of a name: a folder bears it, escaped, and has at most 255


def pack_result(evaluation: Evaluation) -> str:
    """JSON of everything in an evaluation that is neither structure nor signal."""
    relaxation = evaluation.relaxation
    scores = {
        clean_label(name): [float(s.cost), _floats(s.detail)]
        for name, s in evaluation.scores.items()
    }
    result = {
        "relaxation": relaxation
        and [
            float(relaxation.energy),
            bool(relaxation.converged),
            int(relaxation.steps),
            None if relaxation.force is None else float(relaxation.force),
        ],
        "scores": scores,
        "objectives": _floats(evaluation.objectives),
        "parameters": {
            clean_label(name): _floats(values) for name, values in evaluation.parameters.items()
        },
        "error": evaluation.error and clean_reason(evaluation.error),
        "seconds": float(evaluation.seconds),
    }
    return json.dumps(result, separators=(",", ":"))


def load_result(text: str) -> dict[str, Any]:
    """What :func:`pack_result` wrote, as JSON has it.

    Earlier versions kept whatever a component said: its texts are cleaned, and a count of steps
    that no column can hold is the largest that one can.
    """
    result: dict[str, Any] = json.loads(text)
    if "\\u" in text or len(text) > LONGEST_REASON:  # JSON escapes all that may be unclean
        result = _cleaned(result)
    if result["relaxation"]:
        energy, converged, steps, *force = result["relaxation"]
        result["relaxation"] = [energy, converged, max(-1, min(steps, MOST_STEPS)), *force]
    return result


def clean_reason(text: str) -> str:
    """A text as a run keeps it: one printable line of at most 2000 characters."""
    return shortened(text, LONGEST_REASON)


def clean_label(name: str) -> str:
    """A name as a run keeps it: printable, and short enough to be that of a folder."""
    return name if name.isascii() and len(name) <= 60 and name.isprintable() else _short(name)


def _short(name: str) -> str:
    """A clean name of at most so many bytes in UTF-8."""
    most = LONGEST_LABEL
    while len((short := shortened(name, most)).encode()) > LONGEST_LABEL:
        most //= 2
    return short


def _cleaned(value: Any) -> Any:
    """The same with clean names and texts."""
    if isinstance(value, dict):
        return {clean_label(name): _cleaned(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_cleaned(part) for part in value]
    return clean_reason(value) if isinstance(value, str) else value


def unpack_result(
    text: str,
    candidate: Candidate,
    relaxed: Atoms | None,
    signals: Mapping[str, Signal],
    exact: Mapping[str, str] | None = None,
) -> Evaluation:
    """Restore an evaluation from :func:`pack_result`, its structures and its signals."""
    result = load_result(text)
    relaxation = None
    if relaxed is not None:
        relaxation = Relaxation(relaxed, *result["relaxation"])
    return Evaluation(
        candidate,
        relaxation=relaxation,
        scores={name: Score(*score) for name, score in result["scores"].items()},
        objectives=result["objectives"],
        parameters=result["parameters"],
        signals=signals,
        exact=exact or {},
        error=result["error"],
        seconds=result["seconds"],
    )


def _floats(values: Mapping[str, float]) -> dict[str, float]:
    return {clean_label(name): float(value) for name, value in values.items()}
