"""From measurements at the atomic scale to atomic structures.

What a script needs stands here, and is loaded when it is first asked for:

>>> import htinvert as ht
>>> plan = ht.load("campaign.yaml", stop={"minutes": 10})         # doctest: +SKIP
>>> run = ht.run(plan, "runs/first", workers=2)                   # doctest: +SKIP
>>> best = run.best(5)                                            # doctest: +SKIP
>>> run.draw(best[0]).save("best.png")                            # doctest: +SKIP
>>> again = ht.open("runs/first")                                 # doctest: +SKIP
>>> ht.evaluate(again.atoms(0), plan).objectives                  # doctest: +SKIP
>>> simulate = ht.component("forward", "stem_convolution", sampling=0.2, shape=(96, 96))
>>> image = ht.read("micrograph.tif", sampling=0.2)               # doctest: +SKIP
>>> found = ht.register(again.atoms(0), image, forward=simulate)  # doctest: +SKIP

Lengths are in Å, pixel sizes in Å/px, energies in eV.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from htinvert.campaign.load import load as load
    from htinvert.campaign.single import evaluate as evaluate
    from htinvert.config.examples import example as example
    from htinvert.core import Signal as Signal
    from htinvert.image.compare_structures import compare_structures as compare
    from htinvert.image.register import register as register
    from htinvert.matching.search import match_library as match
    from htinvert.plugins import component as component
    from htinvert.report.run import Run as Run
    from htinvert.report.run import open_run as open
    from htinvert.report.run import run as run
    from htinvert.report.show import show as show
    from htinvert.signals.read import read as read

    __version__: str

_PLACES = {
    "Run": "htinvert.report.run:Run",
    "Signal": "htinvert.core:Signal",
    "compare": "htinvert.image.compare_structures:compare_structures",
    "component": "htinvert.plugins:component",
    "evaluate": "htinvert.campaign.single:evaluate",
    "example": "htinvert.config.examples:example",
    "load": "htinvert.campaign.load:load",
    "match": "htinvert.matching.search:match_library",
    "open": "htinvert.report.run:open_run",
    "read": "htinvert.signals.read:read",
    "register": "htinvert.image.register:register",
    "run": "htinvert.report.run:run",
    "show": "htinvert.report.show:show",
}

__all__ = [  # noqa: RUF022  (the order in which they are met)
    "Signal",
    "read",
    "show",
    "example",
    "load",
    "run",
    "open",
    "Run",
    "evaluate",
    "register",
    "compare",
    "match",
    "component",
    "__version__",
]


if not TYPE_CHECKING:  # a type checker shall object to names that are not there

    def __getattr__(name: str) -> Any:
        """Load one of the names above when it is first asked for (PEP 562)."""
        if name == "__version__":
            from importlib.metadata import version

            value: Any = version("htinvert")
        elif name in _PLACES:
            from importlib import import_module

            module, _, attribute = _PLACES[name].partition(":")
            value = getattr(import_module(module), attribute)
        else:
            raise AttributeError(f"module 'htinvert' has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """The names above, beside the modules that are loaded."""
    return sorted({*globals(), *__all__})
