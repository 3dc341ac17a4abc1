"""The JSON schema of a campaign, with every installed component: editors complete from it."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from htinvert import plugins
from htinvert.config.campaign import Config
from htinvert.config.yaml_file import EXTENDS
from htinvert.declaration.declared import Parameter, declared
from htinvert.signals.kind import kind_named

DIALECT = "https://json-schema.org/draft/2020-12/schema"
KINDS = {"energy": "energy", "forward": "forward", "structure": "structure", "phase": "structure"}
ENTRY = re.compile(r"^( {4,8})(\w+): (.+(?:\n\1 +\S.*)*)", re.M)  # of a docstring's list


class _Lenient(GenerateJsonSchema):
    """What JSON cannot say, such as a structure inside of a block, may be anything."""

    def handle_invalid_for_json_schema(
        self,
        schema: Any,  # noqa: ARG002  (pydantic's signature)
        error_info: str,  # noqa: ARG002
    ) -> JsonSchemaValue:
        return {}


def campaign_schema() -> dict[str, Any]:
    """The schema of a campaign's file, as plain objects; what a block's ``use`` allows included.

    Keys have the sentences of the components' docstrings, and the units and bounds of their
    numbers. A campaign that extends another one may leave out what else is required.
    """
    schema = _schema_of(Config)
    definitions = schema.setdefault("$defs", {})
    for kind in plugins.GROUPS:
        definitions[kind] = _component(kind, definitions)
    _add_kinds(definitions)
    _refine(schema, definitions)
    for part in definitions.values():
        part.pop("required", None)
    required = {"required": schema.pop("required")}
    schema["anyOf"] = [required, {"required": [EXTENDS]}]
    schema["properties"][EXTENDS] = {"type": "string", "description": "a campaign to begin from"}
    schema["properties"]["search"] = {"$ref": "#/$defs/Search"}
    return {"$schema": DIALECT, "title": "htinvert campaign"} | {
        key: value for key, value in schema.items() if key != "title"
    }


def _add_kinds(definitions: dict[str, Any]) -> None:
    """Let an experiment say what any kind of data may; which do, its forward model decides."""
    known = definitions["Experiment"]["properties"]
    for name in plugins.names("kind"):
        keys = _schema_of(kind_named(name).keys)
        definitions.update(keys.pop("$defs", {}))
        for key, part in keys["properties"].items():
            if key in known and known[key] != part:
                part = {"anyOf": [*known[key].pop("anyOf", [known[key]]), part]}
            known[key] = part
    known["image"] = known["data"]


def _refine(schema: dict[str, Any], definitions: dict[str, Any]) -> None:
    """Put the components' schemas where the configuration says only that there is one."""
    parts = [schema, *(definitions[name] for name in ("Experiment", "CalibrationPart"))]
    parts += [definitions["ScreenPart"]]
    for part in parts:
        for name, kind in KINDS.items():
            if name in part["properties"]:
                part["properties"][name] = {"$ref": f"#/$defs/{kind}"}
    search = definitions["Search"]["properties"]["generators"]
    search["items"] = {"$ref": "#/$defs/generator"}
    metrics = {
        name: {"anyOf": [{"type": "null"}, _parameters("metric", name, definitions)]}
        for name in plugins.names("metric")
    }
    definitions["Experiment"]["properties"]["metrics"] = {
        "type": "object",
        "minProperties": 1,
        "properties": metrics,
    }


def _component(kind: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """A block ``{use: name, ...}`` of a kind: one rule per name, anything for a module's own."""
    names = plugins.names(kind)
    rules = [
        {
            "if": {"properties": {"use": {"const": name}}, "required": ["use"]},
            "then": _parameters(kind, name, definitions),
        }
        for name in names
    ]
    use = {"anyOf": [{"enum": names}, {"type": "string", "pattern": ":"}]}
    return {"type": "object", "properties": {"use": use}, "allOf": rules}


def _parameters(kind: str, name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """Schema of what a component takes, with its docstring's sentences."""
    component = plugins.find(kind, name)
    schema = _schema_of(plugins.parameters(component, kind=kind))
    definitions.update(schema.pop("$defs", {}))
    for key, sentence in _sentences(component).items():
        if key in schema["properties"]:
            schema["properties"][key]["description"] = " ".join(sentence.split())
    for key, parameter in declared(component).items():
        if key in schema["properties"]:
            _declare(schema["properties"][key], parameter)
    schema["properties"]["use"] = {}
    if kind == "generator":
        schema["properties"]["share"] = {"type": "number", "exclusiveMinimum": 0}
    schema["description"] = _first_sentence(component)
    schema.pop("required", None)
    return schema


def _sentences(component: Callable[..., Any]) -> dict[str, str]:
    """What docstrings say of each parameter: a class's own and those of what it inherits."""
    classes = inspect.getmro(component) if inspect.isclass(component) else (component,)
    sentences: dict[str, str] = {}
    for part in reversed(classes):
        entries = ENTRY.findall(inspect.cleandoc(part.__doc__ or ""))
        sentences |= {name: sentence for _, name, sentence in entries}
    return sentences


def _declare(part: dict[str, Any], parameter: Parameter) -> None:
    """Add what a component declares of a number: its unit, where no sentence has it, and bounds."""
    said = part.get("description", "")
    if parameter.unit != "1" and parameter.unit not in said:
        part["description"] = f"{said} [{parameter.unit}]".strip()
    if parameter.lower > -math.inf:
        part["minimum"] = parameter.lower
    if parameter.upper < math.inf:
        part["maximum"] = parameter.upper


def _schema_of(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(schema_generator=_Lenient)


def _first_sentence(component: Callable[..., Any]) -> str:
    return (inspect.getdoc(component) or "").split("\n\n")[0].replace("\n", " ")
