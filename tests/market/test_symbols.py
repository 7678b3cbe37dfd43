"""What a symbol trades, and which stream speaks of a coin."""

from __future__ import annotations

import pytest

from mtf.market.stream import StreamSpec
from mtf.market.symbols import base_coin, reference_stream
from mtf.market.timeframe import Timeframe


@pytest.mark.parametrize(
    ("symbol", "coin"),
    [
        ("BTCUSDT", "btc"), ("BTC-USD", "btc"), ("btc/eur", "btc"), ("SOLUSDC", "sol"),
        ("1000PEPEUSDT", "1000pepe"), ("BTCUSDT-27DEC24", "btc"), ("BTC/USDT:USDT", "btc"),
        ("SPX", "spx"), ("USDT", "usdt"),
    ],
)  # fmt: skip
def test_the_coin_of_a_pair(symbol: str, coin: str) -> None:
    assert base_coin(symbol) == coin


def test_the_finest_reference_of_a_coin() -> None:
    specs = [
        StreamSpec("1m", "BTCUSDT", Timeframe.parse("1m"), "primary", 8),
        StreamSpec("slow", "BTCUSDT", Timeframe.parse("1h"), "reference", 8),
        StreamSpec("fast", "BTC-USD", Timeframe.parse("5m"), "reference", 8),
        StreamSpec("sol", "SOLUSDT", Timeframe.parse("1m"), "reference", 8),
    ]
    assert reference_stream(specs, "btc") is specs[2]
    assert reference_stream(specs[:1], "btc") is None
