"""Libraries of patterns asked of data whose truth is known, and what they answer as a matrix."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htinvert.core import UserError
from htinvert.report.figures import pyplot
from htinvert.report.pattern_library import answer_each, libraries_in, read_strips
from htinvert.report.save import save

NONE = "none of these"


def trials_with_progress(
    libraries: Path, known: Path, *, sampling: float | None, output: Path, console: Any
) -> dict[str, Any]:
    """Ask every library of all data in folders that are named as the library that is right.

    Writes each answer, ``confusion.png`` and ``confusion.json``; returns the latter.

    Raises:
        UserError: where there are no data, or a folder is named as no library.
    """
    asked = libraries_in(libraries)
    files = sorted(known.glob("*/*.np[yz]"))
    truths = sorted({file.parent.name for file in files})
    if not files or set(truths) - set(asked):
        raise UserError(
            f"{known} has data of {', '.join(truths) or 'nothing'} but the libraries are "
            f"{', '.join(asked)}; put known data into a folder named as the library that is right"
        )
    answers = [*asked, NONE]
    counts = np.zeros((len(truths), len(answers)), dtype=int)
    for file in files:
        truth = file.parent.name
        console.print(f"{truth}/{file.name}")
        whole = read_strips(file, sampling, Path())
        found = answer_each(asked, whole, output / truth / file.stem, console)
        share = found["probabilities"]
        said = NONE if found["none_of_these"] else max(share, key=lambda name: share[name])
        counts[truths.index(truth), answers.index(said)] += 1
    right = sum(int(counts[row, answers.index(truth)]) for row, truth in enumerate(truths))
    values = {"truths": truths, "answers": answers, "counts": counts.tolist(), "right": right}
    (output / "confusion.json").write_text(json.dumps(values, indent=1), encoding="utf-8")
    draw_confusion(output / "confusion.png", counts, truths, answers)
    console.print(f"right: {right} of {len(files)}")
    console.print(f"written: {output / 'confusion.png'}")
    return values


def draw_confusion(
    path: Path, counts: NDArray[np.int_], truths: Sequence[str], answers: Sequence[str]
) -> None:
    """Draw how many cases of each truth got each answer, shape (truths, answers)."""
    plt = pyplot()
    figure, axis = plt.subplots(
        figsize=(1.6 + 0.9 * len(answers), 1.4 + 0.6 * len(truths)), layout="constrained"
    )
    part = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shown = axis.imshow(part, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if part[row, column] > 0.5 else "black"
        axis.text(column, row, str(count), ha="center", va="center", color=color)
    axis.set_xticks(range(len(answers)), answers)
    axis.set_yticks(range(len(truths)), truths)
    axis.set(xlabel="answer", ylabel="truth")
    figure.colorbar(shown, ax=axis, label="part of its row")
    save(figure, path)
    plt.close(figure)
