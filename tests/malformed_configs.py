"""Configs that can't be used, by the hundred: written out where the text matters, the rest made
from the schema, so that a new key is tested the day it is added.

A case is a name, the file's content, and words that the message must have: the key's path first.
``CANARY`` stands for a file that any code that runs would create.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import BaseModel

from mtf.config.schema import Config
from mtf.plugins import registry
from mtf.plugins.signature import options_model

GOOD = """\
data: {name: synthetic}
decisions: {start: "2024-01-01", end: "2024-01-31", symbols: [ETHUSDT]}
streams:
  1m: {}
  1h: {lookback: 168}
"""
VALUES: dict[str, Any] = yaml.safe_load(GOOD)


@dataclass(frozen=True)
class Case:
    """One malformed config and what its message must say."""

    name: str
    content: bytes
    words: tuple[str, ...]
    written: bool = True


def cases() -> list[Case]:
    """All of them."""
    written = [
        Case(name, text if isinstance(text, bytes) else text.encode(), tuple(words))
        for name, (text, *words) in [*_with_good(APPENDED), *ALONE.items(), *_replaced()]
    ]
    return [*written, *_of_schema(), *_unknown_keys()]


def _with_good(texts: dict[str, tuple[str, ...]]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for name, (text, *words) in texts.items():
        yield name, (GOOD + text, *words)


def _replaced() -> Iterator[tuple[str, tuple[Any, ...]]]:
    for name, (old, new, *words) in REPLACED.items():
        assert old in GOOD
        yield name, (GOOD.replace(old, new), *words)


# ---------------------------------------------------------------- by the schema


def _of_schema() -> Iterator[Case]:
    """Every key with a value of another type, and one beyond each of its bounds."""
    for path, schema in leaves():
        dotted = ".".join(path)
        for what, value, word in wrong_values(schema):
            content = yaml.safe_dump(placed(path, value), sort_keys=False).encode()
            yield Case(f"{dotted}: {what}", content, (dotted, word), written=False)


def leaves() -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """The path and schema of every key: mtf's own, and the options of one plug-in of each kind."""
    schema = Config.model_json_schema(by_alias=True, mode="validation")
    yield from _walk((), schema, schema["$defs"])


PLUGINS = {
    "DataSourceSpec": ("data_source", "synthetic"),
    "FeatureSpec": ("feature", "ohlcv"),
    "EncoderSpec": ("encoder", "dsc"),
    "FusionSpec": ("fusion", "attention"),
    "HeadSpec": ("head", "action"),
}
NAMES = {"streams": "5m", "heads": "action"}


def _walk(
    path: tuple[str, ...], schema: dict[str, Any], definitions: dict[str, Any]
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    for key, node in schema.get("properties", {}).items():
        if key == "options":
            continue
        here = (*path, key)
        yield here, node
        inner = _inside(node)
        if key in NAMES:
            here, inner = (*here, NAMES[key]), _inside(node["additionalProperties"])
            yield here, node["additionalProperties"]
        if inner is not None:
            name = inner.removeprefix("#/$defs/")
            yield from _walk(here, definitions[name], definitions)
            yield from _options(here, name)


def _inside(node: dict[str, Any]) -> str | None:
    """The section that a node refers to, null aside."""
    refs = [one.get("$ref") for one in (node, *node.get("anyOf", []))]
    return next((ref for ref in refs if ref), None)


def _options(path: tuple[str, ...], name: str) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    if name in PLUGINS:
        model: type[BaseModel] = options_model(registry.find(*PLUGINS[name]))
        for key, node in model.model_json_schema()["properties"].items():
            yield (*path, key), node


def placed(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The good config with one value at a path."""
    values: dict[str, Any] = yaml.safe_load(GOOD)
    inner = values
    for part in path[:-1]:
        inner = inner.setdefault(part, {})
        if part == "5m":
            inner.setdefault("lookback", 10)
    inner[path[-1]] = value
    return values


def wrong_values(schema: dict[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """What, the value, and a word that the message must have."""
    options = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    node: dict[str, Any] = options[0] if options else {"type": "null"}
    kind = "object" if "$ref" in node else node.get("type", "object" if "allOf" in node else "")
    if "enum" in node or "const" in node:
        yield "a choice there is not", "sideways", "one of" if kind != "boolean" else "false"
        yield "a list for a choice", ["a"], "found ['a']"
        return
    yield from WRONG.get(kind, [])
    if "minimum" in node:
        yield "below", node["minimum"] - 1, f"{node['minimum']}"
    if "exclusiveMinimum" in node:
        yield "at the lower bound", node["exclusiveMinimum"], "greater than"
    for bound, beyond in (("maximum", 1), ("exclusiveMaximum", 0)):
        if bound in node:
            yield "above", node[bound] + beyond, "less than"


WRONG: dict[str, list[tuple[str, Any, str]]] = {
    "integer": [
        ("text for a whole number", "many", "a whole number"),
        ("a fraction for a whole number", 2.5, "a whole number"),
        ("true for a whole number", True, "a whole number"),
    ],
    "number": [
        ("text for a number", "high", "a number"),
        ("infinity", float("inf"), "a finite number"),
        ("not a number", float("nan"), "a finite number"),
        ("a list for a number", [1.5], "a number"),
    ],
    "boolean": [
        ("text for true or false", "perhaps", "true or false"),
        ("one for true", 1, "true or false"),
    ],
    "string": [("a mapping for text", {"a": 1}, "found")],
    "array": [
        ("a word for a list", "one", "a list"),
        ("a mapping for a list", {"a": 1}, "a list"),
        ("a mapping within a list", [{"a": 1}], "[0]"),
    ],
    "object": [("a number for a mapping", 3, "a mapping"), ("a list", [1], "a mapping")],
    "null": [("what is not in this version", {"x": 1}, "found")],
}


def _unknown_keys() -> Iterator[Case]:
    """In every section a key that is not there: one slip of the pen from one that is."""
    sections: dict[tuple[str, ...], str] = {}
    for path, _ in leaves():
        sections.setdefault(path[:-1], path[-1])
    for section, key in sections.items():
        if section in (("streams",), ("heads",)):  # names of one's own
            continue
        typo = key[:-1] + key[-1] * 2
        values = placed((*section, typo), 1)
        dotted = ".".join((*section, typo))
        content = yaml.safe_dump(values, sort_keys=False).encode()
        words = (dotted, "unknown key", f"did you mean {key}")
        yield Case(f"unknown key {dotted}", content, words, written=False)


# ---------------------------------------------------------------- written out


def bomb(first: str, form: str, levels: int = 12) -> str:
    """Aliases of aliases: ten times as many at each level."""
    lines = [f"a0: &a0 {first}"]
    for level in range(1, levels):
        ten = ", ".join([f"*a{level - 1}"] * 10)
        lines.append(f"a{level}: &a{level} {form.replace('TEN', ten)}")
    return "\n".join(lines)


RUN = '["touch CANARY"]'

# Name: what is appended to GOOD (5 lines), words.
APPENDED: dict[str, tuple[str, ...]] = {
    "tag: os.system": (f"seed: !!python/object/apply:os.system {RUN}", ":6: seed", "the tag"),
    "tag: subprocess": (
        "seed: !!python/object/apply:subprocess.check_output [[touch, CANARY]]",
        ":6: seed",
        "the tag",
    ),
    "tag: eval": (
        "seed: !!python/object/apply:eval [\"open('CANARY', 'w')\"]",
        ":6: seed",
        "remove the tag",
    ),
    "tag: new": (
        "seed: !!python/object/new:os.system ['touch CANARY']",
        ":6: seed",
        "python/object/new",
    ),
    "tag: state": (
        "seed: !!python/object/new:type {args: [x], state: !!python/name:exec ''}",
        ":6: seed",
        "the tag",
    ),
    "tag: name": ("seed: !!python/name:os.system ''", ":6: seed", "python/name"),
    "tag: module": ("seed: !!python/module:antigravity ''", ":6: seed", "python/module"),
    "tag: object": ("seed: !!python/object:collections.Counter {a: 1}", ":6: seed", "the tag"),
    "tag: tuple": ("plugins: !!python/tuple [a]", ":6: plugins", "python/tuple"),
    "tag: unicode": ("name: !!python/unicode x", ":6: name", "python/unicode"),
    "tag: verbatim": (
        "seed: !<tag:yaml.org,2002:python/object/apply:os.system> [touch CANARY]",
        ":6: seed",
        "the tag",
    ),
    "tag: within a list": (
        "plugins:\n  - a.py\n  - !!python/object/apply:os.system [touch CANARY]",
        ":8: plugins.1",
        "the tag",
    ),
    "tag: in an option": (
        "model: {encoder: {name: dsc, norm: !!python/name:os.sep ''}}",
        ":6: model.encoder.norm",
        "the tag",
    ),
    "tag: of a key": ("!!python/name:os.system x: 1", ":6", "x"),
    "tag: set": ("plugins: !!set {a, b}", ":6: plugins", "the tag"),
    "tag: omap": ("split: !!omap [train: 0.7]", ":6: split", "the tag"),
    "tag: pairs": ("split: !!pairs [train: 0.7]", ":6: split", "the tag"),
    "tag: binary": ("name: !!binary aGVsbG8=", ":6: name", "the tag"),
    "tag: int of a word": ("seed: !!int many", ":6: seed", "'many'"),
    "tag: bool of a word": ("heads: {action: {cost_floor: !!bool perhaps}}", "heads.action.cost"),
    "tag: own": ("name: !mine x", ":6: name", "the tag !mine"),
    "tag: environment": ("name: !ENV ${HOME}", ":6: name", "the tag !ENV"),
    "tag: include": ("model: !include other.yaml", ":6: model", "the tag !include"),
    "tag: unknown handle": ("name: !x!y z", ":6", "tag handle"),
    "an = alone": ("seed: =", ":6: seed", "the tag"),
    "merge of a number": ("model: {<<: 3}", ":6: model", "`<<` with '3', no mapping"),
    "merge of a list of words": ("model: {<<: [a, b]}", ":6: model", "no mapping"),
    "merge twice": ("x: &x {a: 1}\nmodel: {<<: *x, <<: *x}", ":7: model.<< is given twice"),
    "merge of an unknown key": ("costs: &x {commision: 0}\nsplit: {<<: *x}", "split.commision"),
    "alias of nothing": ("seed: *nowhere", ":6:", "undefined alias"),
    "anchor twice on one value": ("seed: &a &b 3", ":6:", "valid YAML"),
    "duplicate section": ("costs: {}\ncosts: {}", ":7: costs is given twice, first in line 6"),
    "duplicate key deep inside": (
        "training:\n  optimizer:\n    lr: 0.1\n    lr: 0.2",
        ":9: training.optimizer.lr is given twice",
    ),
    "duplicate in quotes": ('seed: 1\n"seed": 2', ":7: seed is given twice"),
    "duplicate stream": ("  1m: {}", ":6: streams.1m is given twice"),
    "duplicate of a duplicate": ("seed: 1\nseed: 2\nseed: 3", ":7: seed is given twice"),
    "a mapping as key": ("? {a: 1}\n: 2", ":6", "as key"),
    "a list as key inside": ("model:\n  ? [a]\n  : 2", ":7: model", "as key"),
    "empty key": ("'': 3", ":6: ''", "unknown key"),
    "null as key": ("~: 3", ":6: ~", "unknown key"),
    "number as key": ("7: 3", ":6: 7", "unknown key"),
    "key of blanks": ("'  ': 3", "unknown key"),
    "key with a dot": ("training.epochs: 3", "training.epochs", "unknown key"),
    "capital key": ("Model: {}", ":6: Model", "did you mean model?"),
    "key in another alphabet": ("mоdel: {}", ":6: m", "unknown key"),  # a Cyrillic o
    "half a character": ('name: "\\uD800"', ":6: name", "half of a character"),
    "half a character as key": ('"\\uDFFF": 1', ":6", "half of a character"),
    "half a character in an option": (
        'model: {encoder: {norm: "\\uD83D"}}',
        "model.encoder.norm",
        "half of a character",
    ),
    "unknown escape": ('name: "\\q"', ":6", "escape"),
    "open quote": ('name: "abc', ":6", "unexpected end"),
    "open bracket": ("plugins: [a, b", "valid YAML"),
    "open brace": ("model: {embed_dim: 3", "valid YAML"),
    "too many brackets": ("plugins: [a]]", ":6", "valid YAML"),
    "no blank after the colon": ("seed:3", "valid YAML"),
    "two colons": ("seed: 1: x", ":6", "valid YAML"),
    "tabs as indentation": ("model:\n\tembed_dim: 3", ":7", "no tabs"),
    "a tab before a key": ("\tseed: 3", "no tabs"),
    "crooked indentation": ("model:\n   embed_dim: 8\n  tokens: {}", ":8", "indentation"),
    "a list where keys are": ("- seed", ":6", "valid YAML"),
    "two documents": ("---\nseed: 1", ":6", "another document"),
    "words after the end": ("...\nmore", ":7", "valid YAML"),
    "directive too late": ("%YAML 1.1\n---\nseed: 1", ":6", "valid YAML"),
    "reserved at sign": ("name: @home", ":6", "valid YAML"),
    "reserved backtick": ("name: `date`", ":6", "valid YAML"),
    "huge whole number": ("seed: " + "9" * 30, ":6: seed", "63 bits"),
    "whole number of 5,000 digits": ("seed: " + "9" * 5_000, ":6: seed", "63 bits"),
    "whole number of 90,000 digits": ("seed: " + "9" * 90_000, ":6: seed", "63 bits"),
    "negative giant": ("seed: -" + "9" * 25, ":6: seed", "63 bits"),
    "hexadecimal giant": ("seed: 0x" + "f" * 20, ":6: seed", "63 bits"),
    "binary giant": ("seed: 0b" + "1" * 80, ":6: seed", "63 bits"),
    "sixties giant": ("seed: 1" + ":10" * 12, ":6: seed", "63 bits"),
    "sixties giant fraction": ("seed: 1" + ":10" * 30_000 + ".5", ":6: seed", "63 bits"),
    "sixties too large for a float": ("seed: 1" + ":1" * 190 + ".5", ":6: seed", "too large"),
    "large exponent": ("training: {optimizer: {lr: 1.0e+999}}", "optimizer.lr", "finite"),
    "nothing but an exponent": ("training: {optimizer: {lr: e-3}}", "optimizer.lr", "a number"),
    "exponent without a dot": ("training: {optimizer: {lr: 1e3}}", "lr", "write 1.0e+3"),
    "percent": ("costs: {commission: 0.1%}", "costs.commission", "found '0.1%'"),
    "decimal comma": ("costs: {commission: '0,001'}", "costs.commission", "found '0,001'"),
    "leading zero": ("seed: 08", ":6: seed", "remove the leading zero"),
    "date for a number": ("seed: 2024-01-01", ":6: seed", "found '2024-01-01'"),
    "yes for a number": ("seed: yes", ":6: seed", "found true"),
    "no for text": ("name: no", ":6: name", "found false"),
    "name with a path": ("name: ../../etc", ":6: name", "[a-z0-9_-]"),
    "name with a slash": ("name: a/b", ":6: name", "[a-z0-9_-]"),
    "name with a line end": ('name: "a\\n"', ":6: name", "[a-z0-9_-]"),
    "name with a NUL": ('name: "a\\0"', ":6: name", "[a-z0-9_-]"),
    "empty name": ("name: ''", ":6: name", "[a-z0-9_-]"),
    "name of 50,000 letters": ("name: " + "a" * 50_000, ":6: name", "{1,60}"),
    "unknown symbol of the config's own": ("symbol: ETHUSDT", ":6: symbol", "unknown key"),
    "base that is not there": ("base: gone.yaml", ":6: base", "'gone.yaml'"),
    "base that is a folder": ("base: .", ":6: base", "'.'"),
    "base that is empty": ("base: ''", ":6: base", "no such file"),
    "base that is null": ("base: ~", ":6: base", "no such file"),
    "base that is a list": ("base: [dsc_mtf]", ":6: base", "no such file"),
    "base with a NUL": ('base: "\\0"', ":6: base", "no such file"),
    "base with too long a name": ("base: " + "x" * 5_000, ":6: base", "no such file"),
    "base that is a device": ("base: /dev/zero", ":6: base", "no such file"),
    "base that is this file": ("base: my.yaml", ":6", "in a circle: my.yaml → my.yaml", "`base:`"),
    "base that leads back": ("base: back.yaml", "base", "my.yaml → back.yaml → my.yaml"),
    "base that is no YAML": ("base: prose.yaml", "prose.yaml:1:", "valid YAML"),
    "base that is binary": ("base: binary.yaml", "binary.yaml", "UTF-8"),
    "base with a mistake": ("base: slip.yaml", "slip.yaml:1: seeed", "did you mean seed?"),
    "plug-in file that is not there": ("plugins: [gone.py]", "plug-in file gone.py", "plugins"),
    "plug-in file that is a folder": ("plugins: [.]", "plug-in file .", "plugins"),
    "plug-in file that is a device": ("plugins: [/dev/zero]", "/dev/zero: not a file", "plugins"),
    "plug-in file with a NUL": ('plugins: ["a\\0"]', "plug-in file a", "null", "plugins"),
    "plug-in file that is no Python": (
        "plugins: [no_python.py]",
        "plug-in file no_python.py could not be loaded: SyntaxError",
        "line 1",
    ),
    "plug-in file that raises": ("plugins: [raises.py]", "ZeroDivisionError", "raises.py"),
    "plug-in file that leaves": ("plugins: [leaves.py]", "SystemExit", "leaves.py"),
    "plug-in file that is binary": ("plugins: [binary.yaml]", "plug-in file binary.yaml"),
    "plug-in that is null": ("plugins: [~]", ":6: plugins[0]", "found null"),
    "data given twice by merge": ("x: &x {name: csv}\ndata: {<<: *x}", ":7: data is given twice"),
    "encoder by name only": ("model: {encoder: dsc}", ":6: model.encoder", "a mapping"),
    "encoder of null": ("model: {encoder: ~}", ":6: model.encoder", "found null"),
    "encoder whose name is a list": ("model: {encoder: {name: [dsc]}}", "model.encoder.name"),
    "encoder whose name is a module": (
        "model: {encoder: {name: os.system}}",
        "model.encoder.name",
        "unknown encoder 'os.system'",
    ),
    "encoder by its place": (
        "model: {encoder: {name: 'mtf.encoders.dsc:DSC'}}",
        "model.encoder.name",
        "unknown encoder",
    ),
    "encoder with a path for a name": (
        "model: {encoder: {name: ../../dsc}}",
        "model.encoder.name",
        "unknown encoder",
    ),
    "options in a mapping of their own": (
        "model: {encoder: {name: dsc, options: {kernel_size: 3}}}",
        "model.encoder.options",
        "unknown key",
    ),
    "a head by a list": ("heads: [action]", ":6: heads", "a mapping"),
    "a head's name within": ("heads: {mine: {name: actoin}}", "heads.mine", "did you mean action"),
    "a loss that is not there": ("heads: {action: {weigth: 2}}", "heads.action.weigth", "weight"),
    "heads that are null": ("heads: ~", ":6: heads", "found null"),
    "two heads with mistakes": (
        "heads: {action: {horizon: x}, next_candle: {weight: y}}",
        "2 mistakes",
        "heads.action.horizon",
        "heads.next_candle.weight",
    ),
    "shares beyond 1": ("split: {train: 0.99}", ":6: split", "add up to"),
    "shares short of 1": ("split: {train: 0.1}", ":6: split", "add up to 0.4"),
    "a share of NaN": ("split: {train: .nan}", "split.train", "a finite number"),
    "heads that do not divide": (
        "model: {embed_dim: 30, fusion: {name: attention, num_heads: 8}}",
        "model.embed_dim",
        "multiple of 8",
    ),
    "patch without its size": ("model: {tokens: {name: patch}}", "model.tokens.patch"),
    "patch size in vain": ("model: {tokens: {name: all, patch: 3}}", "tokens.patch", "name: all"),
    "momentum in vain": ("training: {optimizer: {momentum: 0.5}}", "optimizer.momentum"),
    "no device": ("fabric: {devices: 0}", "fabric.devices", "greater than or equal to 1"),
    "no machine": ("fabric: {num_nodes: 0}", "fabric.num_nodes", "greater than or equal to 1"),
    "a device by number": ("fabric: {accelerator: 0}", "fabric.accelerator", "one of"),
    "panels": ("decisions2: {symbols: [A, B]}", "decisions2", "did you mean decisions?"),
    "a thousand unknown keys": (
        "".join(f"k{i}: 1\n" for i in range(1_000)),
        "1000 mistakes",
        ":6: k0",
        "… and 970 more",
    ),
    "ten thousand values": ("plugins: [" + "1," * 11_000 + "]", ":6", "more than 5000 values"),
    "ten thousand lists": ("plugins: [" + "[]," * 11_000 + "]", ":6", "more than 5000 values"),
    "51 levels of lists": ("seed: " + "[" * 51 + "]" * 51, ":6", "50 levels"),
    "51 levels of mappings": ("seed: " + "{a: " * 51 + "1" + "}" * 51, ":6", "50 levels"),
    "60 levels by indentation": (
        "\n".join(" " * i + "a:" for i in range(60)),
        "more than 50 levels",
    ),
    "60 levels of dashes": ("seed:\n  " + "- " * 60 + "x", ":7", "50 levels"),
    "60 levels of keys that are questions": ("? " * 60 + "x", ":6", "50 levels"),
    "a quarter of a megabyte": ("# " + "x" * 250_000, "more than 100 kB", "is it a config?"),
}

# Name: what replaces what in GOOD, words.
REPLACED: dict[str, tuple[str, ...]] = {
    "start in words": ('"2024-01-01"', "yesterday", ":2: decisions.start", "found 'yesterday'"),
    "start of null": ('"2024-01-01"', "~", ":2: decisions.start", "ISO date"),
    "start in seconds": ('"2024-01-01"', "1704067200", ":2: decisions.start", "ISO date"),
    "start of a list": ('"2024-01-01"', "[2024, 1, 1]", "decisions.start", "ISO date"),
    "American date": ('"2024-01-01"', "01/31/2024", "decisions.start", "found '01/31/2024'"),
    "the 30th of February": ('"2024-01-01"', '"2024-02-30"', "decisions.start", "day is out"),
    "month 13": ('"2024-01-01"', '"2024-13-01"', "decisions.start", "month must be"),
    "hour 25": ('"2024-01-01"', '"2024-01-01T25:00"', "decisions.start", "ISO date"),
    "year 0": ('"2024-01-01"', '"0000-01-01"', "decisions.start", "year 0"),
    "year 10000": ('"2024-01-31"', '"10000-01-01"', "decisions.end", "ISO date"),
    "before year 1 in UTC": (
        '"2024-01-01"',
        '"0001-01-01T00:00+23:00"',
        "decisions.start",
        "out of range",
    ),
    "after year 9999 in UTC": (
        '"2024-01-31"',
        '"9999-12-31T23:00-23:00"',
        "decisions.end",
        "out of range",
    ),
    "dates reversed": (
        '"2024-01-31"',
        '"2023-12-31"',
        ":2: decisions.end",
        "not after decisions.start",
    ),
    "no time between": ('"2024-01-31"', '"2024-01-01"', "decisions.end", "not after"),
    "reversed by the zone": (
        '"2024-01-31"',
        '"2024-01-01T01:00+02:00"',
        "decisions.end",
        "found 2023-12-31T23:00:00",
    ),
    "no start": ('start: "2024-01-01", ', "", ":2: decisions.start", "not given"),
    "no symbols": (", symbols: [ETHUSDT]", "", ":2: decisions.symbols", "not given"),
    "an empty list of symbols": ("[ETHUSDT]", "[]", "decisions.symbols", "at least 1"),
    "symbol without a list": ("[ETHUSDT]", "ETHUSDT", "decisions.symbols", "a list"),
    "symbol of a number": ("[ETHUSDT]", "[1]", "decisions.symbols[0]", 'in quotes: "1"'),
    "symbol of a list": ("[ETHUSDT]", "[[ETHUSDT]]", "decisions.symbols[0]", "text"),
    "the same symbol twice": ("[ETHUSDT]", "[A, A]", "decisions.symbols", "found A more than once"),
    "streams of a list": ("  1m: {}\n  1h: {lookback: 168}", "  [1m, 1h]", "streams", "a mapping"),
    "no stream at all": (
        "\n  1m: {}\n  1h: {lookback: 168}",
        " {}",
        ":3: streams",
        "at least 1",
    ),
    "streams of null": ("\n  1m: {}\n  1h: {lookback: 168}", "", ":3: streams", "found null"),
    "streams of other symbols only": (
        "1m: {}\n  1h: {lookback: 168}",
        "1m: {symbol: X}\n  1h: {symbol: Y}",
        ":3: streams",
        "no stream of the primary symbol ETHUSDT",
    ),
    "stream of a number": ("1m: {}", "1m: 600", ":4: streams.1m", "a mapping"),
    "stream of a word": ("1m: {}", "1m: fast", ":4: streams.1m", "a mapping"),
    "timeframe of a month": ("1m: {}", "x: {timeframe: 1M}", "streams.x.timeframe", "months"),
    "timeframe of a year": ("1m: {}", "x: {timeframe: 1y}", "streams.x.timeframe", "1w"),
    "timeframe of nothing": ("1m: {}", "x: {timeframe: 0m}", "streams.x.timeframe", "'0m'"),
    "timeframe below nothing": ("1m: {}", "x: {timeframe: -1m}", "streams.x.timeframe", "'-1m'"),
    "timeframe of a fraction": ("1m: {}", "x: {timeframe: 1.5m}", "x.timeframe", "'1.5m'"),
    "timeframe of a number": (
        "1m: {}",
        "x: {timeframe: 60}",
        "x.timeframe",
        "found timeframe '60'",
    ),
    "timeframe too long": ("1m: {}", "x: {timeframe: 99999m}", "x.timeframe", "'99999m'"),
    "timeframe of a list": ("1m: {}", "x: {timeframe: [1m]}", "x.timeframe", "['1m']"),
    "timeframe of null": ("1m: {}", "x: {timeframe: ~}", "streams.x.timeframe", "None"),
    "timeframe with a blank": ("1m: {}", "x: {timeframe: '1 m'}", "x.timeframe", "'1 m'"),
    "timeframe in wide digits": ("1m: {}", "x: {timeframe: １m}", "streams.x.timeframe", "１m"),
    "timeframe with a line end": ("1m: {}", 'x: {timeframe: "1m\\n"}', "streams.x.timeframe"),
    "clock in words": ("symbols:", "clock: minutely, symbols:", "decisions.clock", "'minutely'"),
    "clock of a month": ("symbols:", "clock: 1mo, symbols:", "decisions.clock", "months"),
    "name that is no timeframe": ("1m: {}", "60: {}", "streams.60.timeframe", "not given"),
    "from a stream that is not there": (
        "lookback: 168",
        "from: 15m",
        ":5: streams.1h.from",
        "found '15m', no stream",
    ),
    "from itself": ("lookback: 168", "from: 1h", ":5: streams.1h.from"),
    "from each other": (
        "{}\n  1h: {lookback: 168}",
        "{from: 1h}\n  1h: {from: 1m}",
        "streams.1m.from",
        "streams.1h.from",
    ),
    "from a derived one": (
        "{lookback: 168}",
        "{from: 1m}\n  4h: {from: 1h}",
        "streams.4h.from",
        "write `from: 1m`",
    ),
    "from one that does not divide": (
        "1h: {lookback: 168}",
        "7m: {}\n  1h: {from: 7m}",
        "streams.1h.from",
        "can't be built",
    ),
    "from a list": ("lookback: 168", "from: [1m]", "streams.1h.from", "text"),
    "lookback of nothing": ("168", "0", ":5: streams.1h.lookback", "found 0"),
    "lookback beyond all numbers": ("168", "1" * 40, "streams.1h.lookback", "63 bits"),
    "latency below nothing": ("lookback: 168", "latency_ms: -5", "streams.1h.latency_ms"),
    "features of a stream": (
        "lookback: 168",
        "features: {name: ohclv}",
        "streams.1h.features.name",
        "did you mean ohlcv?",
    ),
    "no data": ("data: {name: synthetic}\n", "", "my.yaml: data: not given", "add `data:`"),
    "data of a word": ("{name: synthetic}", "synthetic", ":1: data", "a mapping"),
    "data of null": ("{name: synthetic}", "~", ":1: data", "found null"),
    "data with a word too many": (
        "{name: synthetic}",
        "{name: synthetic, path: x}",
        ":1: data.path",
        "unknown key",
    ),
    "parquet without a path": ("synthetic}", "parquet}", ":1: data.path", "not given"),
    "csv with a wrong unit": (
        "synthetic}",
        "csv, path: x.csv, time_unit: minutes}",
        "data.time_unit",
        "'ms'",
    ),
    "csv with a number for a path": ("synthetic}", "csv, path: 3}", "data.path", "text"),
    "a world that is not there": ("synthetic}", "synthetic, world: mars}", "data.world", "one of"),
}

# Name: the whole file, words.
ALONE: dict[str, tuple[Any, ...]] = {
    "nothing": (b"", "3 mistakes", "my.yaml: data: not given"),
    "nothing but a comment": (b"# later\n", "data: not given"),
    "nothing but blanks": (b"   \n\n", "data: not given"),
    "a document of null": (b"~", "my.yaml: data: not given"),
    "a list": (b"- data\n- streams\n", "my.yaml", "not keys and values"),
    "a word": (b"hello", "my.yaml", "found str, not keys and values"),
    "a number": (b"42", "my.yaml", "found int, not keys and values"),
    "JSON cut short": (b'{"data": {"name": "synthetic"', "my.yaml", "valid YAML"),
    "a web page": (b"<html><body>404: not found</body></html>", "my.yaml:1", "unknown key"),
    "Python": (b"import os\nos.system('touch CANARY')\n", "my.yaml", "not keys and values"),
    "TOML": (b"[data]\nname = 'synthetic'\n", "my.yaml", "valid YAML"),
    "an INI file": (b"name = x\nseed = 3\n", "my.yaml", "not keys and values"),
    "a pickle": (b"cposix\nsystem\n(S'touch CANARY'\ntR.", "my.yaml"),
    "a newer pickle": (b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c", "UTF-8"),
    "a zip archive": (b"PK\x03\x04" + bytes(range(256)), "UTF-8"),
    "a parquet file": (b"PAR1" + b"\x15\x04\xff" * 40, "UTF-8"),
    "NULs": (b"\0" * 64, "my.yaml", "valid YAML"),
    "a NUL within": (GOOD.encode().replace(b"synthetic", b"synth\0etic"), "my.yaml", "valid YAML"),
    "a bell": (GOOD.encode() + b"name: \x07", "my.yaml", "valid YAML"),
    "an escape sequence": (GOOD.encode() + b"name: \x1b[31m", "my.yaml", "valid YAML"),
    "Latin-1": (GOOD.encode() + "name: é".encode("latin-1"), "not text in UTF-8"),
    "UTF-16": (GOOD.encode("utf-16"), "not text in UTF-8"),
    "UTF-16 without a mark": (GOOD.encode("utf-16-le"), "my.yaml", "valid YAML"),
    "UTF-32": (GOOD.encode("utf-32"), "not text in UTF-8"),
    "overlong UTF-8": (GOOD.encode() + b"name: \xc0\xaf", "not text in UTF-8"),
    "UTF-8 cut short": (GOOD.encode() + b"name: \xe2\x82", "not text in UTF-8"),
    "half a character in UTF-8": (GOOD.encode() + b"name: \xed\xa0\x80", "not text in UTF-8"),
    "a mark and a mistake": (b"\xef\xbb\xbf" + GOOD.encode() + b"sed: 1", ":6: sed", "mean seed?"),
    "old line ends and a mistake": (GOOD.replace("\n", "\r").encode() + b"sed: 1", ":6: sed"),
    "a handle for Python": (
        b"%TAG ! tag:yaml.org,2002:python/\n---\nseed: !object/apply:os.system [touch CANARY]\n",
        ":3: seed",
        "the tag",
    ),
    "Python at the root": (b"!!python/object/apply:os.system [touch CANARY]\n", ":1", "the tag"),
    "Python at the root, as a mapping": (b"!!python/object:os.X\nseed: 1\n", ":1", "the tag"),
    "YAML of the future": (b"%YAML 9.9\n---\nseed: 1\n", "my.yaml", "valid YAML"),
    "aliases of lists": (bomb("[1, 1]", "[TEN]").encode(), "aliases that grow"),
    "aliases of mappings": (
        bomb("{a: 1}", "{a: [TEN]}", 9).encode(),
        "aliases that grow",
    ),
    "aliases of merges": (bomb("{k: 1}", "{<<: [TEN]}").encode(), "aliases that grow"),
    "merges of many keys": (
        bomb("{" + ", ".join(f"k{i}: 1" for i in range(900)) + "}", "{<<: [TEN]}", 3).encode(),
        "aliases that grow",
    ),
    "aliases of a long text": (
        f"a: &a '{'x' * 50_000}'\nb: [{', '.join(['*a'] * 4_000)}]".encode(),
        ":1",
        "aliases that grow",
    ),
    "an alias of its own list": (b"seed: &a [*a]", ":1: seed", "aliases that grow"),
    "an alias of its own mapping": (b"seed: &a {b: *a}", ":1: seed.b", "aliases that grow"),
    "a merge of itself": (b"seed: &a {<<: *a}", ":1: seed", "aliases that grow"),
    "a root that merges itself": (b"&a\n<<: *a\nseed: 1\n", "aliases that grow"),
    "brackets without end": (b"[" * 90_000, "50 levels"),
    "braces without end": (b"{a: " * 20_000, "50 levels"),
    "dashes without end": (b"- " * 40_000, "50 levels"),
    "lines without end": (b"\n" * 99_000, "data: not given"),
    "a megabyte": (b"a: " + b"x" * 1_000_000, "more than 100 kB"),
}

FILES = {
    "back.yaml": b"seed: 1\nbase: my.yaml\n",
    "prose.yaml": b"Once: upon: a time\n",
    "binary.yaml": bytes(range(128, 256)),
    "slip.yaml": b"seeed: 3\n",
    "no_python.py": b"def (:\n",
    "raises.py": b"1 / 0\n",
    "leaves.py": b"import sys\nsys.exit(0)\n",
}
"""What lies beside the config."""
