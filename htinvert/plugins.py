"""Find components by name and make them from their parameters.

A component is named by ``use: name``, registered under one of the entry-point groups below by
htinvert itself or by any installed package, or by ``use: "module:attribute"``. It is a dataclass,
or a function, whose annotated parameters are checked by pydantic before it is called.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from difflib import get_close_matches
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, get_args, get_type_hints

from ase import Atoms
from ase.calculators.names import names as calculators
from pydantic import BaseModel, ConfigDict, create_model

from htinvert.core import UserError
from htinvert.energy.isolation import Isolated, Limits

GROUPS = ("structure", "generator", "energy", "forward", "metric")
KINDS = (*GROUPS, "density")
CONTEXT = frozenset({"space", "objectives", "seed", "guide"})  # what a campaign has for generators


def names(kind: str) -> list[str]:
    """Names registered for a kind of component, sorted."""
    return sorted({point.name for point in entry_points(group=f"htinvert.{kind}")})


def suggest(word: str, known: list[str]) -> str:
    """A tail for an error message: the known word that was probably meant, or all of them."""
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(known) or 'none'}"


def find(kind: str, use: str) -> Callable[..., Any]:
    """Load a component. Raises :class:`UserError` where there is none of that name."""
    if ":" in use:
        module, _, attribute = use.partition(":")
        try:
            component = getattr(_imported(module), attribute)
        except (ImportError, AttributeError) as error:
            raise UserError(
                f"{kind} {use} cannot be imported ({error}); give an importable module:attribute"
            ) from error
    else:
        points = [p for p in entry_points(group=f"htinvert.{kind}") if p.name == use]
        if not points:
            raise UserError(f"{kind} {use} is unknown; {_meant(kind, use)}")
        component = points[0].load()
    if not callable(component):
        raise UserError(f"{kind} {use} is not a class or function")
    return component


def _imported(module: str) -> Any:
    """A module by name; the script that runs is itself, for another import would run it again."""
    main = sys.modules.get("__main__")
    script = getattr(main, "__file__", None)
    if script and main and main.__spec__ is None and Path(script).stem == module:
        return main
    return importlib.import_module(module)


def component(kind: str, use: str, **parameters: Any) -> Any:
    """Make a component by name, as a campaign's block ``{use: ..., ...}`` does.

    Args:
        kind: structure, generator, energy, forward, metric or density.
        use: a registered name, or ``module:attribute``.
        parameters: its own, in the units that its docstring says; paths are relative to this
            folder. A generator takes what its campaign has (``space``, ``objectives`` ...), too.

    Raises :class:`UserError` for a kind, a name or a parameter that is unknown, and for a value
    that does not fit.
    """
    if kind not in KINDS:
        raise UserError(f"there is no kind of component {kind!r}; {suggest(kind, list(KINDS))}")
    context = {name: parameters.pop(name) for name in CONTEXT & set(parameters)}
    return build(kind, {"use": use, **parameters}, Path(), f"{kind} {use}", **context)


def _meant(kind: str, use: str) -> str:
    """What to write instead of an unknown name; engines that ASE knows are named through it."""
    if kind == "energy" and use.lower() == "mace":
        return "write {use: ase, name: mace.calculators:MACECalculator, model: FILE}"
    if kind == "energy" and use.lower() in calculators:
        return f"write {{use: ase, name: {use.lower()}}}"
    return suggest(use, names(kind))


def parameters(
    component: Callable[..., Any], *, kind: str = "", skip: Collection[str] = CONTEXT
) -> type[BaseModel]:
    """A pydantic model of a component's parameters, those named in ``skip`` left out.

    An energy model takes ``limits`` besides its own, see :mod:`htinvert.energy.isolation`.
    """
    function = component if inspect.isfunction(component) else component.__init__
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {"limits": (Limits | None, None)} if kind == "energy" else {}
    for name, parameter in inspect.signature(component).parameters.items():
        if name in skip:
            continue
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        if default.__class__.__name__ == "_HAS_DEFAULT_FACTORY_CLASS":
            default = None  # the dataclass makes its own
            hints[name] = hints[name] | None
        fields[name] = (hints.get(name, Any), default)
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, protected_namespaces=())
    return create_model("Parameters", __config__=config, **fields)


def validate(
    component: Callable[..., Any], given: Mapping[str, Any], *, folder: Path, kind: str = ""
) -> dict[str, Any]:
    """Check parameters; paths are taken relative to ``folder`` where they exist there.

    Raises pydantic's ``ValidationError``, for the caller to word.
    """
    checked = parameters(component, kind=kind).model_validate(dict(given))
    values = {name: getattr(checked, name) for name in checked.model_fields_set}
    return {
        name: resolve(value, folder) if isinstance(value, Path) else value
        for name, value in values.items()
    }


def build(kind: str, spec: Mapping[str, Any], folder: Path, place: str = "", **context: Any) -> Any:
    """Make a component from its block ``{use: name, ...}``, which stands at ``place``.

    A block inside of it, such as the phase of a grain or a density, is made first. Of the
    context the component gets what it has a parameter for. An energy model with ``limits`` is
    isolated.
    Raises :class:`UserError` where the component itself objects to its parameters.
    """
    component = find(kind, spec["use"])
    given = {key: _inner(key, value, folder) for key, value in spec.items() if key != "use"}
    wanted = inspect.signature(component).parameters
    context = {name: value for name, value in context.items() if name in wanted}
    try:
        values = validate(component, given, folder=folder.resolve(), kind=kind)
        limits = values.pop("limits", None) if kind == "energy" else None
        made = component(**context, **values)
        return Isolated(made, limits) if limits else made
    except ValueError as error:
        raise UserError(f"{place or kind}: {error}") from error


def _inner(name: str, value: Any, folder: Path) -> Any:
    """A value of a block, with the components that it names made, at any depth."""
    if not isinstance(value, Mapping):
        return value
    inner = {key: _inner(key, part, folder) for key, part in value.items()}
    return build(inner_kind(name), inner, folder) if "use" in inner else inner


def inner_kind(name: str) -> str:
    """What a block under this key inside of another makes: a density, else a structure."""
    return "density" if name == "density" else "structure"


def inner_blocks(spec: Mapping[str, Any], place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Blocks of components inside of a block that stands at ``place``, with their places."""
    for key, value in spec.items():
        if isinstance(value, Mapping):
            if "use" in value:
                yield f"{place}.{key}", value
            yield from inner_blocks(value, f"{place}.{key}")


def outlined(value: Any) -> Any:
    """A value of a block with an empty structure in place of every block inside of it."""
    if not isinstance(value, Mapping):
        return value
    return Atoms() if "use" in value else {key: outlined(part) for key, part in value.items()}


def word(error: Any, model: type[BaseModel], prefix: tuple[str, ...] = ()) -> str:
    """One sentence for one of pydantic's errors about ``model``, which stands at ``prefix``."""
    place = tuple(part for part in error["loc"])
    path = ".".join(str(part) for part in (*prefix, *place))
    if error["type"] == "extra_forbidden":
        return f"{path} is unknown; {suggest(str(place[-1]), _keys_at(model, place[:-1]))}"
    if error["type"] == "missing":
        return f"{path} is missing; give it a value"
    message = error["msg"][0].lower() + error["msg"][1:]
    return f"{path}: {message.removeprefix('value error, ')} (given: {error['input']!r})"


def _keys_at(model: Any, place: tuple[Any, ...]) -> list[str]:
    """Keys that a model allows at a place inside of it."""
    for part in place:
        if isinstance(model, type) and issubclass(model, BaseModel):
            field = model.model_fields.get(str(part))
            model = field.annotation if field else None
        options = [a for a in get_args(model) if a is not type(None)]
        model = options[-1] if options else model
    is_model = isinstance(model, type) and issubclass(model, BaseModel)
    return sorted(model.model_fields) if is_model else []


def resolve(path: Path, folder: Path) -> Path:
    """A path as seen from ``folder``; a bare name that is no file there stays a bare name."""
    path = path.expanduser()
    nearby = folder / path
    return nearby if nearby.exists() or path.parent != Path() else path
