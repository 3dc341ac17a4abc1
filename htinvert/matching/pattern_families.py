"""Which of several libraries made patterns: a rough or a chemically diffuse boundary, say.

Each library is a hypothesis with an even prior over its levels, so that its evidence is the mean
of the likelihood over them (Sivia & Skilling, *Data Analysis*, 2nd ed. (2006), section 4.1): one
with more freedom is not right for that alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from htinvert.matching.pattern_answer import PatternAnswer


def probabilities(answers: Mapping[str, PatternAnswer]) -> dict[str, float]:
    """Probability of each library's name, equal before; the likelihood is that of its answers.

    The best fit of all tells how many pixels are alike.
    """
    best = min(answers.values(), key=lambda answer: float(answer.misfit.min()))
    least, alike = float(best.misfit.min()), best.noise.alike
    found = {
        name: float(np.mean(np.exp(-0.5 * (answer.misfit - least) / alike)))
        for name, answer in answers.items()
    }
    return {name: value / sum(found.values()) for name, value in found.items()}
