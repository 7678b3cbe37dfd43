"""Which keyword feeds what, whatever the streams are called."""

from __future__ import annotations

import pytest

from mtf.calling.names import chosen, input_names, symbol_rows, target_names
from mtf.errors import DataError
from mtf.heads.action import Action
from mtf.heads.next_candle import NextCandle
from mtf.market.stream import StreamSpec
from mtf.market.timeframe import Timeframe
from mtf.plugins.contracts import HeadContext


def spec(name: str, timeframe: str, symbol: str = "ETHUSDT") -> StreamSpec:
    role = "primary" if symbol == "ETHUSDT" else "reference"
    return StreamSpec(name, symbol, Timeframe.parse(timeframe), role, 8)


SPECS = (
    spec("fast", "1m"), spec("slow", "1m"), spec("4h", "4h"), spec("lead", "1h", "BTCUSDT"),
    spec("btc_1m", "1m", "BTCUSDT"), spec("sol", "1m", "SOL-USD"),
)  # fmt: skip
HEADS = {
    "action": Action(HeadContext(8, SPECS, SPECS[0].timeframe)),
    "candles": NextCandle(HeadContext(8, SPECS, SPECS[0].timeframe)),
}


def test_a_keyword_feeds_every_stream_of_its_symbol_and_timeframe() -> None:
    names = input_names(SPECS, {"book": "order_book", "mine": "sentiment"})
    assert names == {
        "price_data_1m": ("fast", "slow"), "price_data": ("fast", "slow"),
        "price_data_4h": ("4h",), "btc_data_1h": ("lead",), "btc_data_1m": ("btc_1m",),
        "sol_data_1m": ("sol",), "cob_data": ("book",), "mine": ("mine",), "book": ("book",),
        **{one.name: (one.name,) for one in SPECS},
    }  # fmt: skip


def test_a_model_without_minutes_has_no_single_price_data() -> None:
    assert "price_data" not in input_names(SPECS[2:], {})


def test_two_keywords_for_one_stream_are_too_many() -> None:
    names = input_names(SPECS, {})
    assert chosen(["fast", "price_data_4h"], names, "input") == {
        "fast": "fast",
        "4h": "price_data_4h",
    }
    with pytest.raises(DataError, match="slow and price_data are the same input"):
        chosen(["slow", "price_data"], names, "input")


def test_targets_go_by_timeframe_by_btc_by_stream_and_by_head() -> None:
    names = target_names(SPECS, HEADS)
    assert names["target_1m"] == (("candles", "fast"), ("candles", "slow"))
    assert names["target_btc"] == (("candles", "btc_1m"),), "the finest"
    assert names["target_lead"] == names["target_btc_1h"] == (("candles", "lead"),)
    assert names["target_action"] == (("action", "action"),)
    assert "target_1m" not in target_names(SPECS, {"action": HEADS["action"]})


def test_a_symbol_stands_where_the_panel_has_it() -> None:
    panel = ("ETHUSDT", "SOLUSDT")
    assert symbol_rows("SOLUSDT", panel, 2) == [1, 1]
    assert symbol_rows(["SOLUSDT", "ETHUSDT"], panel, 2) == [1, 0]
    with pytest.raises(DataError, match=r"'BTCUSDT'[\s\S]*of ETHUSDT, SOLUSDT[\s\S]*leave symbol"):
        symbol_rows("BTCUSDT", panel, 2)
    with pytest.raises(DataError, match="1 symbols for 2 decisions"):
        symbol_rows(["SOLUSDT"], panel, 2)
