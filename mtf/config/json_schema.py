"""The config as JSON Schema, with the options of every installed plug-in."""

from __future__ import annotations

from typing import Any

from mtf.config.keys import NAMED_BY_KEY
from mtf.config.plugin_spec import PluginSpec
from mtf.config.schema import (
    BacktestSpec,
    Config,
    DataSourceSpec,
    EncoderSpec,
    FeatureSpec,
    FusionSpec,
    HeadSpec,
    PolicySpec,
    SideInputSpec,
)
from mtf.errors import MtfError
from mtf.plugins import registry
from mtf.plugins.signature import options_model

SPECS: tuple[type[PluginSpec], ...] = (
    BacktestSpec,
    DataSourceSpec,
    FeatureSpec,
    EncoderSpec,
    FusionSpec,
    HeadSpec,
    PolicySpec,
    SideInputSpec,
)


def json_schema() -> dict[str, Any]:
    """Draft 2020-12; a plug-in's options depend on its name by if/then."""
    schema = Config.model_json_schema(by_alias=True, mode="validation")
    definitions = schema["$defs"]
    for spec in SPECS:
        own = definitions[spec.__name__]
        plugins = _plugins(spec.kind, definitions)
        definitions[spec.__name__] = _by_name(own, plugins, spec.model_fields["name"].default)
        if spec.kind in NAMED_BY_KEY:
            schema["properties"][NAMED_BY_KEY[spec.kind]] |= _named_by_key(spec, own, plugins)
    _allow_files_form(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "mtf", **schema}


def _plugins(kind: str, definitions: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Properties and required keys of each plug-in; one that can't be loaded takes any option."""
    found: dict[str, dict[str, Any]] = {}
    for name in registry.names(kind):
        try:
            schema = options_model(registry.find(kind, name)).model_json_schema()
        except MtfError:
            continue
        definitions.update(schema.pop("$defs", {}))
        found[name] = schema
    return found


def _by_name(own: dict[str, Any], plugins: dict[str, Any], default: Any) -> dict[str, Any]:
    """The keys of mtf, and one if/then for each plug-in."""
    properties = {key: value for key, value in own["properties"].items() if key != "options"}
    properties["name"] = {**properties["name"], "enum": list(plugins)}
    properties["name"].pop("default", None)
    has_default = isinstance(default, str)
    rules = [
        _if_named(name, plugin, properties, name == default) for name, plugin in plugins.items()
    ]
    return {
        "type": "object",
        "description": own.get("description", ""),
        "properties": properties,
        "required": [] if has_default else ["name"],
        "allOf": rules,
    }


def _if_named(
    name: str, plugin: dict[str, Any], own: dict[str, Any], is_default: bool
) -> dict[str, Any]:
    """The options of one plug-in; the default's also where no name is given."""
    keys = {**dict.fromkeys(own, True), **plugin.get("properties", {})}
    then = {"properties": keys, "additionalProperties": False}
    if plugin.get("required"):
        then["required"] = plugin["required"]
    named: dict[str, Any] = {"properties": {"name": {"const": name}}}
    return {"if": named if is_default else {**named, "required": ["name"]}, "then": then}


def _named_by_key(
    spec: type[PluginSpec], own: dict[str, Any], plugins: dict[str, Any]
) -> dict[str, Any]:
    """Under ``heads`` the key is the name, so each known key has its plug-in's options."""
    of_mtf = {key: value for key, value in own["properties"].items() if key not in _HIDDEN}
    known = {
        name: {
            "anyOf": [
                {
                    "type": "object",
                    "properties": {"name": True, **of_mtf, **plugin.get("properties", {})},
                },
                {"type": "null"},
            ]
        }
        for name, plugin in plugins.items()
    }
    return {"properties": known, "additionalProperties": {"$ref": f"#/$defs/{spec.__name__}"}}


_HIDDEN = ("name", "options")


def _allow_files_form(schema: dict[str, Any]) -> None:
    """What files may say beyond the validated form: a base, and streams named like timeframes."""
    schema["properties"]["base"] = {
        "type": "string",
        "description": "a config to build on, relative to the folder of this one",
    }
    required = schema.pop("required", [])
    schema["anyOf"] = [{"required": required}, {"required": ["base"]}]
    schema["$defs"]["StreamConfig"].pop("required", None)
    streams = schema["properties"]["streams"]
    streams["additionalProperties"] = {
        "anyOf": [{"$ref": "#/$defs/StreamConfig"}, {"type": "null"}]
    }
    for name in ("ModelConfig", "DecisionsConfig"):  # a file with a base may give a part
        schema["$defs"][name].pop("required", None)
