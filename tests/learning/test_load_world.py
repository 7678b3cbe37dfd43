"""From a config to a world: what is asked of the source, and what is too little."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tasks import file_config, small_config

from mtf.errors import DataError
from mtf.learning.load import Loaded, feature_sets, load_worlds
from mtf.market.world import World


def loaded(**changes: Any) -> Loaded:
    """The small config's candles, with nothing asked beyond the lookback."""
    config = small_config(**changes)
    required = {spec.name: spec.lookback for spec in config.stream_specs()}
    return load_worlds(config, feature_sets(config), required)


def world(**changes: Any) -> World:
    return loaded(**changes).world


def test_a_derived_stream_is_not_known_before_its_source() -> None:
    # 1m candles are known 5 s after their close: so is the 5m candle that is made of them.
    late = world(streams={"1m": {"latency_ms": 5_000}})
    five = late.streams["5m"]
    close = int(five.spec.timeframe.close_time(five.candles.end_slot - 2))
    known = late.known(np.array([close, close + 4_999, close + 5_000]))["5m"]
    assert known.last_slot.tolist() == [five.candles.end_slot - 3] * 2 + [five.candles.end_slot - 2]


def test_a_derived_stream_keeps_its_own_longer_latency() -> None:
    config = small_config(streams={"1m": {"latency_ms": 5}, "5m": {"latency_ms": 7}})
    assert {spec.name: spec.latency_ms for spec in config.stream_specs()} == {
        "1m": 5,
        "5m": 7,
        "btc": 0,
    }


def test_the_clocks_candles_are_loaded_where_no_stream_has_them() -> None:
    coarse = world(
        decisions={"clock": "2m"}, streams={"1m": {"latency_ms": 100}}, heads={"action": {}}
    )
    assert str(coarse.clock_candles.timeframe) == "2m"
    assert coarse.clock_latency_ms == 0
    assert len(coarse.label_sigma) == len(coarse.clock_candles)


def test_a_stream_may_have_features_of_its_own() -> None:
    own = world(streams={"btc": {"features": {"name": "indicators"}}})
    width = {name: stream.features.shape[1] for name, stream in own.streams.items()}
    assert width == {"1m": 5, "5m": 5, "btc": 9}


def test_the_fingerprint_is_that_of_the_candles() -> None:
    assert loaded().fingerprint == loaded(seed=7).fingerprint
    assert loaded().fingerprint != loaded(data={"seed": 2}).fingerprint


def test_too_little_history_says_need_have_and_the_key(tmp_path: Path) -> None:
    # 100 minutes, of which the features need 60 returns to warm up.
    config = file_config(tmp_path / "short.csv", 100, streams={"1m": {"lookback": 50}})
    with pytest.raises(DataError) as caught:
        load_worlds(config, feature_sets(config), {"1m": 50})
    message = str(caught.value)
    assert "stream 1m has 100 candles (ETHUSDT 1m), " in message
    assert "of them after the warm-up of its features" in message
    assert "to fill its lookback of 50 once" in message
    assert "lower streams.1m.lookback" in message
