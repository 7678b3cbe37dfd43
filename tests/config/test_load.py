"""Configs that are right: defaults, bases, overrides, and writing them out."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from mtf.config import plugin_spec, schema, sections
from mtf.config.load import load_config, parse_config, resolved, shipped_configs
from mtf.config.yaml_text import parse_yaml
from mtf.errors import ConfigError
from mtf.market.timeframe import Timeframe

SMALL: dict[str, Any] = {
    "data": {"name": "synthetic"},
    "decisions": {"start": "2024-01-01", "end": "2024-02-01", "symbols": ["ETHUSDT"]},
    "streams": {"1m": None, "btc": {"timeframe": "1m", "symbol": "BTCUSDT"}},
}


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_the_shipped_default_is_what_a_short_config_gets() -> None:
    """dsc_mtf says that it spells out every default but the shortcut: so it must."""
    shipped = load_config("dsc_mtf")
    short = {
        "name": "dsc_mtf",
        "data": {"name": "synthetic", "world": "market", "seed": 0},
        "decisions": {"start": "2024-01-01", "end": "2024-01-31", "symbols": ["ETHUSDT"]},
        "streams": {
            "1s": {},
            "1m": {},
            "1h": {"lookback": 168},
            "1d": {"lookback": 60},
            "btc": {"timeframe": "1m", "symbol": "BTCUSDT"},
        },
        "model": {"fusion": {"shortcut": True}},
    }
    assert parse_config(short) == shipped


@pytest.mark.parametrize("name", shipped_configs())
def test_resolved_text_gives_the_same_config(name: str, tmp_path: Path) -> None:
    config = load_config(name)
    assert load_config(written(tmp_path, "again.yaml", resolved(config))) == config


@settings(deadline=None, max_examples=50)
@given(
    lookback=st.integers(1, 10_000),
    max_age=st.floats(1e-3, 1e6),
    lr=st.floats(1e-12, 1e3),
    weight=st.floats(0, 1e6),
    symbol=st.text(min_size=1, max_size=20),
    stream=st.text(min_size=1, max_size=20),
)
@example(lookback=1, max_age=1.0, lr=1.0, weight=0.0, symbol="0", stream="\x85")
def test_any_values_survive_writing_out(
    lookback: int, max_age: float, lr: float, weight: float, symbol: str, stream: str
) -> None:
    values = {
        **SMALL,
        "decisions": {**SMALL["decisions"], "symbols": [symbol]},
        "streams": {stream: {"timeframe": "5m", "lookback": lookback, "max_age": max_age}},
        "training": {"optimizer": {"lr": lr}},
        "heads": {"action": {"weight": weight}},
    }
    config = parse_config(values)
    assert parse_config(parse_yaml(resolved(config), "resolved").values) == config


def test_the_name_is_that_of_the_file_unless_said(tmp_path: Path) -> None:
    text = yaml.safe_dump(SMALL)
    assert load_config(written(tmp_path, "Mine.yaml", text)).name == "mine"
    assert load_config(written(tmp_path, "strange name!.yaml", text)).name == "run"
    assert load_config(written(tmp_path, "x.yaml", f"{text}\nname: said")).name == "said"


def test_streams_named_like_timeframes_need_not_repeat_them() -> None:
    first, second = parse_config(SMALL).stream_specs()
    assert (first.name, first.timeframe, first.symbol, first.role) == (
        "1m",
        Timeframe.parse("1m"),
        "ETHUSDT",
        "primary",
    )
    assert (second.symbol, second.role, second.lookback) == ("BTCUSDT", "reference", 600)


def test_from_is_the_stream_to_derive_from() -> None:
    values = {**SMALL, "streams": {"1m": {}, "15m": {"from": "1m"}}}
    assert parse_config(values).stream_specs()[1].derived_from == "1m"


@pytest.mark.parametrize("written_as", ["2024-01-01", '"2024-01-01"', "2024-01-01T02:00:00+02:00"])
def test_dates_with_and_without_quotes_and_offsets(written_as: str, tmp_path: Path) -> None:
    text = f"""
data: {{name: synthetic}}
decisions: {{start: {written_as}, end: 2024-02-01T00:00:00Z, symbols: [ETHUSDT]}}
streams: {{1m: {{}}}}
"""
    decisions = load_config(written(tmp_path, "x.yaml", text)).decisions
    assert decisions.start_ms == 1_704_067_200_000
    assert decisions.end_ms == 1_706_745_600_000


def test_numeric_names_of_streams_and_merge_keys(tmp_path: Path) -> None:
    text = """
data: {name: synthetic}
decisions: {start: 2024-01-01, end: 2024-02-01, symbols: [ETHUSDT]}
streams:
  60: &minute {timeframe: 1m, lookback: 10}
  on: {<<: *minute, lookback: 20}
"""
    streams = load_config(written(tmp_path, "x.yaml", text)).streams
    assert list(streams) == ["60", "on"]
    assert [stream.lookback for stream in streams.values()] == [10, 20]


def test_a_config_for_one_own_file_is_short(tmp_path: Path) -> None:
    text = """\
data: {name: csv, path: my.csv}
decisions: {start: 2024-01-01, end: 2024-02-01, symbols: [ETHUSDT]}
streams:
  1m: {}
"""
    config = load_config(written(tmp_path, "x.yaml", text), ["data.path=other.csv"])
    assert config.data.options["path"] == "other.csv"
    assert set(config.heads) == {"action", "next_candle"}


def test_overrides_are_yaml_and_the_last_wins() -> None:
    config = load_config(
        "dsc_mtf",
        ["model.encoder.kernel_size=9", "training.clip_norm=null", "seed=1", "seed=2"],
    )
    assert config.model.encoder.options["kernel_size"] == 9
    assert config.training.clip_norm is None
    assert config.seed == 2


def test_another_encoder_leaves_the_old_options_behind() -> None:
    config = load_config(
        "dsc_mtf",
        ["model.encoder.weights=per_stream", "model.encoder.name=shared_pattern"],
    )
    assert config.model.encoder.weights == "per_stream"
    assert set(config.model.encoder.options) == {"hidden", "dropout"}


def test_the_name_of_a_plugin_counts_before_its_options_whatever_the_order() -> None:
    config = load_config("dsc_mtf", ["model.fusion.num_latents=4", "model.fusion.name=latent"])
    assert config.model.fusion.options["num_latents"] == 4


def test_the_same_name_again_keeps_the_options() -> None:
    config = load_config(
        "dsc_mtf", ["model.encoder.kernel_size=9", "model.encoder={name: dsc, num_blocks: 2}"]
    )
    assert config.model.encoder.options["kernel_size"] == 9
    assert config.model.encoder.options["num_blocks"] == 2


def test_a_base_is_found_beside_the_config_and_among_the_shipped_ones(tmp_path: Path) -> None:
    written(tmp_path, "own.yaml", yaml.safe_dump({**SMALL, "seed": 3}))
    beside = written(tmp_path, "a.yaml", "base: own.yaml\nheads: {action: {horizon: 30}}")
    config = load_config(beside)
    assert (config.seed, config.name, config.heads["action"].options["horizon"]) == (3, "a", 30)
    shipped = load_config(written(tmp_path, "b.yaml", "base: dsc_mtf.yaml\nseed: 4"))
    assert (shipped.seed, len(shipped.streams), shipped.name) == (4, 5, "b")


def test_two_heads_of_one_kind_by_names_of_their_own() -> None:
    heads = {"quick": {"name": "action", "horizon": 5}, "slow": {"name": "action", "horizon": 60}}
    config = parse_config({**SMALL, "heads": heads})
    assert [head.name for head in config.heads.values()] == ["action", "action"]


def test_a_features_override_of_one_stream() -> None:
    streams = {"1m": {"features": {"name": "indicators", "rsi_period": 7}}}
    features = parse_config({**SMALL, "streams": streams}).streams["1m"].features
    assert features is not None
    assert features.options["rsi_period"] == 7


def test_options_of_the_default_plugins_need_no_name() -> None:
    model = {"encoder": {"num_blocks": 2}, "fusion": {"num_layers": 1}}
    config = parse_config({**SMALL, "model": model, "features": {"clip": 5.0}})
    assert config.model.encoder.name == "dsc"
    assert config.model.fusion.options["num_layers"] == 1
    assert config.features.options["clip"] == 5.0


def test_a_config_cannot_be_changed() -> None:
    config = parse_config(SMALL)
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3  # type: ignore[misc]


def test_every_key_is_described() -> None:
    everything = [
        value
        for module in (plugin_spec, schema, sections)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, BaseModel)
    ]
    undescribed = {
        f"{model.__name__}.{name}"
        for model in everything
        for name, field in model.model_fields.items()
        if not field.description and name != "options"
    }
    assert not undescribed


def test_shipped_configs_introduce_themselves() -> None:
    shipped = shipped_configs()
    assert set(shipped) == {
        "dsc_mtf",
        "dsc_single",
        "eth_sol_panel",
        "hybrid_full",
        "momentum_trader",
        "bybit_eth_btc",
        "live_rehearsal",
        "dsc_eth_btc",
        "real_eth_btc",
        "shared_pattern_mtf",
    }
    for path in shipped.values():
        head, *lines = path.read_text().splitlines()
        assert head == "# yaml-language-server: $schema=schema.json"
        introduction = "\n".join(lines[:10])
        for word in ("needs:", "run:", "override:", "time:"):
            assert word in introduction


def test_mistakes_travel_between_processes() -> None:
    with pytest.raises(ConfigError) as told:
        load_config("dsc_mtf", ["training.epochs=0"])
    assert str(pickle.loads(pickle.dumps(told.value))) == str(told.value)
