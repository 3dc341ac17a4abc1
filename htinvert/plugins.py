"""Find components by name and make them from their parameters.

A component is named by ``use: name``, registered under one of the entry-point groups below by
htinvert itself or by any installed package, or by ``use: "module:attribute"``. It is a dataclass,
or a function, whose annotated parameters are checked by pydantic before it is called.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, get_args

from ase import Atoms
from ase.calculators.names import names as calculators
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from htinvert.core import UserError
from htinvert.declaration.declared import check_values, code_of, declared
from htinvert.declaration.hints import hints_of
from htinvert.declaration.role import check_role
from htinvert.declaration.schema_words import either, place_of, wanted
from htinvert.declaration.trust import require_trust
from htinvert.declaration.wording import LONGEST_VALUE, shortened, shown
from htinvert.declaration.wording import reason as told
from htinvert.energy.isolation import Isolated, Limits

GROUPS = ("structure", "generator", "energy", "forward", "metric")
KINDS = (*GROUPS, "density", "kind")
CONTEXT = frozenset({"space", "objectives", "seed", "residuals", "misfits"})
"""What a campaign has for generators."""


def names(kind: str) -> list[str]:
    """Names registered for a kind of component, sorted."""
    return sorted({point.name for point in _registered(kind)})


def foreign(kind: str) -> list[str]:
    """Names registered for a kind by other packages than htinvert, sorted."""
    return sorted({p.name for p in _registered(kind) if p.module.partition(".")[0] != "htinvert"})


def suggest(word: str, known: list[str]) -> str:
    """A tail for an error message: the known word that was probably meant, or all of them."""
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(known) or 'none'}"


def short(use: str) -> str:
    """What a component is called, without the module that it is imported from."""
    return use.rpartition(":")[2]


def find(kind: str, use: str) -> Callable[..., Any]:
    """Load a component.

    Raises :class:`UserError` where there is none of that name, where it cannot be one of its kind,
    and where it is code that is not trusted.
    """
    strange = ":" in use and not _is_registered(kind, use)
    if strange:
        module, _, attribute = use.partition(":")
        if not all(part.isidentifier() for part in [*module.split("."), attribute]):
            raise UserError(f"{kind} {shown(use)} is no name; write module:attribute")
        require_trust(f"{kind} {use}")
        component = _loaded(kind, use, lambda: getattr(_imported(module), attribute))
    else:
        points = [p for p in _registered(kind) if use in (p.name, p.value)]
        if not points:
            name = shortened(use, LONGEST_VALUE)
            raise UserError(f"{kind} {name} is unknown; {_meant(kind, use)}")
        component = _loaded(kind, use, points[0].load)
    if not callable(component):
        raise UserError(f"{kind} {use} is not a class or function")
    if strange:
        check_role(kind, use, component)
    return component


def _is_registered(kind: str, use: str) -> bool:
    """Whether an installed package registers what is named ``module:attribute``."""
    return any(point.value == use for point in _registered(kind))


def _registered(kind: str) -> tuple[EntryPoint, ...]:
    """What installed packages register for a kind, as of now."""
    return _read_points(f"htinvert.{kind}", tuple((place, _changed(place)) for place in sys.path))


@lru_cache(maxsize=64)  # reading them opens a file of every installed package
def _read_points(group: str, places: tuple[tuple[str, int], ...]) -> tuple[EntryPoint, ...]:
    del places  # sys.path, which is where they are looked for
    return tuple(entry_points(group=group))


def _changed(place: str) -> int:
    """When a folder of packages got or lost one last [ns]; -1 where it is none."""
    try:
        return os.stat(place or ".").st_mtime_ns  # noqa: PTH116  (a hundred times a check)
    except OSError:
        return -1


def _loaded(kind: str, use: str, load: Callable[[], Any]) -> Any:
    """What ``load`` gives. Raises :class:`UserError` for whatever its module raises."""
    try:
        return load()
    except (ImportError, AttributeError) as error:
        reason = " ".join(str(error).split())
        advice = "give an importable module:attribute"
        if ":" not in use:
            advice = "install its package anew, or leave it out"
        elif isinstance(error, ModuleNotFoundError) and use.startswith(error.name or ":"):
            advice = "install it, or name its folder: PYTHONPATH=FOLDER htinvert ..."
        raise UserError(f"{kind} {use} cannot be imported ({reason}); {advice}") from error
    except (Exception, SystemExit, GeneratorExit) as error:
        raise UserError(
            f"{kind} {use} cannot be imported, because its module raises {told(error)}; "
            "correct that"
        ) from error


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

    An energy model takes ``limits`` besides its own, see :mod:`htinvert.energy.isolation`. Raises
    :class:`UserError` for what says not what it takes, as functions written in C.
    """
    try:
        hints, signature = hints_of(component), inspect.signature(component)
    except (ValueError, TypeError, NameError, AttributeError) as error:
        name = getattr(component, "__name__", "this")
        raise UserError(f"{name} does not say what it takes ({error}); annotate it") from error
    fields: dict[str, Any] = {"limits": (Limits | None, None)} if kind == "energy" else {}
    for name, parameter in signature.parameters.items():
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


@dataclass(frozen=True)
class Named:
    """A component that a configuration names: what validates, builds and identifies walks these.

    Attributes:
        kind: one of :data:`GROUPS`, or ``density``.
        place: where it stands in the YAML, such as ``search.generators.0``.
        use: its name, None where it is missing.
        block: what stands there, the very object; a metric may have none.
    """

    kind: str
    place: str
    use: Any
    block: Mapping[str, Any] | None

    @property
    def given(self) -> dict[str, Any]:
        """Its parameters as they were given."""
        apart = ("use", "share") if self.kind == "generator" else ("use",)
        return {key: value for key, value in (self.block or {}).items() if key not in apart}

    def walk(self) -> Iterator[Named]:
        """This component, and those that it is made of at any depth, such as a grain's phase."""
        yield self
        yield from _inside(self.given, self.place)

    def problems(self) -> list[str]:
        """What is wrong with its name or its parameters, a sentence each; blocks inside apart."""
        if not isinstance(self.use, str):
            return [f"{self.place}.use is missing; known are {', '.join(names(self.kind))}"]
        given = _filled(self.given, lambda key, block: Atoms())  # noqa: ARG005
        try:
            component = find(self.kind, self.use)
            validate(component, given, folder=Path(), kind=self.kind)
            self._require_trust(component)
        except UserError as error:
            return [f"{self.place}.use: {error}"]
        except ValidationError as error:
            model = parameters(component, kind=self.kind)
            prefix = tuple(self.place.split("."))
            return words(error, model, prefix)
        return []

    def build(self, folder: Path, **context: Any) -> Any:
        """Make it; paths are taken relative to ``folder``.

        A block inside of it, such as the phase of a grain or a density, is made first. Of the
        context the component gets what it has a parameter for. An energy model with ``limits`` is
        isolated.
        Raises :class:`UserError` where the component itself objects to its parameters.
        """
        component = find(self.kind, self.use)
        self._require_trust(component)
        given = _filled(self.given, lambda key, block: build(inner_kind(key), block, folder))
        wanted = inspect.signature(component).parameters
        context = {name: value for name, value in context.items() if name in wanted}
        try:
            values = validate(component, given, folder=folder.resolve(), kind=self.kind)
            limits = values.pop("limits", None) if self.kind == "energy" else None
            check_values(values, declared(component))
            engine = component(**context, **values)
            return Isolated(engine, limits) if limits else engine
        except ValidationError as error:
            model, place = parameters(component, kind=self.kind), tuple(self.place.split("."))
            raise UserError("\n".join(words(error, model, place))) from error
        except ValueError as error:
            raise UserError(f"{self.place}: {error}") from error
        except (SystemExit, GeneratorExit) as error:
            raise UserError(f"{self.place} raises {told(error)}; correct {self.use}") from error

    def _require_trust(self, component: object) -> None:
        """Refuse parameters that name code, such as a command, where that is not trusted."""
        for name in code_of(component, self.given):
            require_trust(f"{name} {self.given[name]}")


def named(kind: str, block: Mapping[str, Any], place: str = "") -> Named:
    """The component of a block ``{use: name, ...}``, which stands at ``place``."""
    return Named(kind, place or kind, block.get("use"), block)


def build(kind: str, block: Mapping[str, Any], folder: Path, place: str = "") -> Any:
    """Make the component of a block ``{use: name, ...}``; raises as :meth:`Named.build` does."""
    return named(kind, block, place).build(folder)


def inner_kind(key: str) -> str:
    """What a block under this key inside of another makes: a density, else a structure."""
    return "density" if key == "density" else "structure"


def _inside(given: Mapping[str, Any], place: str) -> Iterator[Named]:
    for key, value in given.items():
        if isinstance(value, Mapping):
            if "use" in value:
                yield named(inner_kind(key), value, f"{place}.{key}")
            yield from _inside(value, f"{place}.{key}")


def _filled(
    given: Mapping[str, Any], make: Callable[[str, Mapping[str, Any]], Any]
) -> dict[str, Any]:
    """Parameters with what ``make`` makes in place of every block, inner ones first."""
    filled: dict[str, Any] = {}
    for key, value in given.items():
        filled[key] = value
        if isinstance(value, Mapping):
            inner = _filled(value, make)
            filled[key] = make(key, inner) if "use" in inner else inner
    return filled


def words(
    errors: ValidationError, model: type[BaseModel], prefix: tuple[str, ...] = ()
) -> list[str]:
    """Sentences for what pydantic found wrong with ``model``, which stands at ``prefix``."""
    return either(word(error, model, prefix) for error in errors.errors())


def word(error: Any, model: type[BaseModel], prefix: tuple[str, ...] = ()) -> str:
    """One sentence for one of pydantic's errors about ``model``, which stands at ``prefix``."""
    place = place_of(error)
    if error["type"] == "missing" and place and isinstance(place[-1], int):
        error = {**error, "loc": place[:-1], "type": "tuple_type"}  # a list that is too short
        place = place[:-1]
    path = ".".join(shortened(str(part), LONGEST_VALUE) for part in (*prefix, *place))
    if error["type"] == "extra_forbidden":
        return f"{path} is unknown; {suggest(str(place[-1]), _keys_at(model, place[:-1]))}"
    if error["type"] == "missing":
        return f"{path} is missing; give it a value"
    given = f"(given: {shown(error['input'])})"
    if wants := wanted(error):
        return f"{path}: give {wants} {given}"
    message = (error["msg"][0].lower() + error["msg"][1:]).removeprefix("value error, ")
    return f"{path}: {message} {given}"


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
