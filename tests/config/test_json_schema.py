"""What editors complete and check by."""

from __future__ import annotations

import json
from importlib import util
from pathlib import Path

from mtf.config.json_schema import json_schema


def test_the_shipped_schema_is_current() -> None:
    spec = util.find_spec("mtf.configs")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    shipped = Path(next(iter(spec.submodule_search_locations))) / "schema.json"
    assert json.loads(shipped.read_text()) == json_schema(), "out of date: run `make schema`"


def test_options_depend_on_the_name_of_the_plugin() -> None:
    encoder = json_schema()["$defs"]["EncoderSpec"]
    assert set(encoder["properties"]["name"]["enum"]) >= {"conv", "dsc", "linear", "shared_pattern"}
    options = {
        rule["if"]["properties"]["name"]["const"]: rule["then"]["properties"]
        for rule in encoder["allOf"]
    }
    assert options["dsc"]["kernel_size"]["type"] == "integer"
    assert options["dsc"]["kernel_size"]["default"] == 3
    assert "taps" in options["dsc"]["kernel_size"]["description"]
    assert "kernel_size" not in options["shared_pattern"]


def test_heads_are_completed_by_their_keys() -> None:
    heads = json_schema()["properties"]["heads"]["properties"]
    assert "horizon" in heads["action"]["anyOf"][0]["properties"]
    assert "weight" in heads["next_candle"]["anyOf"][0]["properties"]


def test_a_config_with_a_base_needs_nothing_else() -> None:
    assert {"required": ["base"]} in json_schema()["anyOf"]
