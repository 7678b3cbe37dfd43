"""The technical vector against TA-Lib, pandas and plain arithmetic."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import talib
from sides import MINUTE, asked, context
from worlds import candles_of, random_candles, world_of

from mtf.errors import ConfigError
from mtf.market.side.technical import WINDOW, Technical

CLIP = 8.0
CANDLES = random_candles(900, seed=5)
WORLD = world_of(CANDLES, {"1m": 20, "5m": 10})
TIMES = np.array([600, 731, 899, 900]) * MINUTE


def oracle(end: int, sigma: float) -> dict[str, float]:
    """All forty of the candles up to row ``end``, by other means."""
    _, h, lo, c, v = CANDLES.ohlcv[end - WINDOW : end].T.copy()
    close, volume = pd.Series(c), pd.Series(v)
    step, typical = pd.Series(np.log(c)).diff(), pd.Series((h + lo + c) / 3)
    band = talib.BBANDS(c, 20, 2, 2)
    line, signal, _ = talib.MACD(c, 12, 26, 9)
    k = talib.STOCHF(h, lo, c, 14, 1)[0]
    found = {f"return_{n}": np.log(c[-1] / c[-1 - n]) / sigma / n**0.5 for n in (1, 5, 15, 60, 240)}
    for n in (15, 60, 240):
        found[f"volatility_{n}"] = np.log(step.rolling(n).std(ddof=0).iloc[-1] / sigma)
    for n in (7, 14, 28):
        found[f"rsi_{n}"] = talib.RSI(c, n)[-1] / 50 - 1
    found |= {"macd": line[-1] / c[-1] / sigma, "macd_signal": signal[-1] / c[-1] / sigma}
    found["macd_histogram"] = (line[-1] - signal[-1]) / c[-1] / sigma
    for n in (10, 20, 50, 100, 200):
        found[f"sma_{n}"] = np.log(c[-1] / talib.SMA(c, n)[-1]) / sigma / n**0.5
    for n in (9, 21, 50, 100):
        found[f"ema_{n}"] = np.log(c[-1] / talib.EMA(c, n)[-1]) / sigma / n**0.5
    upper, middle, lower = (one[-1] for one in band)
    found["bollinger_place"] = (c[-1] - middle) / ((upper - lower) / 2)
    found["bollinger_width"] = np.log((upper - lower) / 4 / middle / sigma)
    found["atr_14"] = np.log(talib.ATR(h, lo, c, 14)[-1] / c[-1] / sigma)
    found["adx_14"] = talib.ADX(h, lo, c, 14)[-1] / 50 - 1
    found["di_14"] = (talib.PLUS_DI(h, lo, c, 14) - talib.MINUS_DI(h, lo, c, 14))[-1] / 100
    found |= {"stochastic_k": k[-1] / 50 - 1, "stochastic_d": talib.SMA(k, 3)[-1] / 50 - 1}
    found["cci_20"] = talib.CCI(h, lo, c, 20)[-1] / 100
    found["money_flow_14"] = talib.MFI(h, lo, c, v, 14)[-1] / 50 - 1
    rising = np.sign(close.diff()) * volume
    found["signed_volume_20"] = rising.iloc[-20:].sum() / volume.iloc[-20:].sum()
    means = [volume.rolling(n).mean().iloc[-1] for n in (20, 100)]
    found["volume_ratio"] = np.log((v[-1] + 0.01 * means[0]) / (1.01 * means[0]))
    found["volume_trend"] = np.log((means[0] + 0.01 * means[1]) / (1.01 * means[1]))
    for n in (20, 100):
        price = (typical * volume).rolling(n).sum().iloc[-1] / volume.rolling(n).sum().iloc[-1]
        found[f"vwap_{n}"] = np.log(c[-1] / price) / sigma / n**0.5
        top, bottom = h[-n:].max(), lo[-n:].min()
        found[f"range_{n}"] = 2 * (c[-1] - bottom) / (top - bottom) - 1
    found["aroon_25"] = talib.AROONOSC(h, lo, 25)[-1] / 100
    return found


def test_all_forty_are_what_other_libraries_say() -> None:
    side = Technical(context(WORLD))
    said = asked(side, WORLD, TIMES)
    sigma = WORLD.known(TIMES)["1m"].sigma
    assert said.shape == (4, 40)
    for row, time in enumerate(TIMES):
        wanted = oracle(int(time) // MINUTE, sigma[row])
        assert set(wanted) == set(side.elements)
        for name in side.elements:
            assert said[name][row] == pytest.approx(
                np.clip(wanted[name], -CLIP, CLIP), rel=2e-5, abs=1e-6
            ), name


def test_the_last_candle_known_counts_and_the_next_one_does_not() -> None:
    """At 700 minutes the candle of minute 699 has closed, that of 700 has not."""
    said = asked(Technical(context(WORLD)), WORLD, [700 * MINUTE, 700 * MINUTE + 59_999])
    close, sigma = CANDLES.ohlcv[:, 3], WORLD.known(np.array([700 * MINUTE]))["1m"].sigma[0]
    assert said["return_1"][0] == pytest.approx(np.log(close[699] / close[698]) / sigma, rel=1e-5)
    assert said.iloc[0].equals(said.iloc[1])


def test_a_stream_by_name_and_the_clock_by_default() -> None:
    assert Technical(context(WORLD)).stream == "1m"
    coarse = Technical(context(WORLD), stream="5m")
    assert coarse.sources["rsi_14"] == ("5m",)
    assert coarse.history == {"5m": WINDOW}
    said, close = asked(coarse, WORLD, [900 * MINUTE]), CANDLES.ohlcv[4::5, 3]
    assert said["rsi_14"][0] == pytest.approx(talib.RSI(close, 14)[-1] / 50 - 1, abs=1e-4)
    with pytest.raises(ConfigError, match=r"'btc'.*no stream of ETHUSDT") as raised:
        Technical(context(WORLD), stream="btc")
    assert raised.value.expected == "one of 1m, 5m"


def test_a_gap_is_passed_over_and_few_candles_mask_what_needs_more() -> None:
    """100 candles, of which the 40th to 49th are missing: as the other 90 without a gap."""
    gappy = random_candles(100, seed=6)
    gappy.valid[40:50] = False
    gappy.ohlcv[40:50] = np.nan
    world = world_of(gappy, {"1m": 20}, half_life=10)
    said = asked(Technical(context(world)), world, [100 * MINUTE]).iloc[0]
    dense = gappy.ohlcv[gappy.valid]
    sigma = world.known(np.array([100 * MINUTE]))["1m"].sigma[0]
    wanted = np.log(dense[-1, 3] / dense[-61, 3]) / sigma / 60**0.5
    assert said["return_60"] == pytest.approx(wanted, rel=1e-5)
    assert said["rsi_28"] == pytest.approx(talib.RSI(dense[:, 3].copy(), 28)[-1] / 50 - 1, abs=1e-6)
    absent = {name for name, value in said.items() if np.isnan(value)}
    more = {"return_240", "volatility_240", "sma_100", "sma_200", "ema_100", "volume_trend"}
    assert absent == more | {"vwap_100", "range_100"}


def test_a_market_that_stands_still_is_finite() -> None:
    """Two hundred candles that move, then three hundred flat ones without volume."""
    moving = random_candles(200, seed=7)
    price = float(moving.ohlcv[-1, 3])
    rows: list[tuple[float, ...] | None] = [tuple(row) for row in moving.ohlcv]
    rows += [(price, price, price, price, 0.0)] * 300
    world = world_of(candles_of(rows), {"1m": 20})
    said = asked(Technical(context(world)), world, [500 * MINUTE]).iloc[0]
    neutral = ["return_1", "stochastic_k", "cci_20", "bollinger_place", "signed_volume_20"]
    assert (said[[*neutral, "money_flow_14", "range_100"]] == 0).all()
    assert said["volatility_60"] == pytest.approx(np.log(0.01))
    assert said.notna().all()


def test_nothing_is_known_before_the_history() -> None:
    said = asked(Technical(context(WORLD)), WORLD, [-5 * MINUTE, 0, MINUTE])
    assert said.isna().all(axis=None)
