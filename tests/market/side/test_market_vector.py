"""The market vector against pandas and numbers written out."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sides import MINUTE, asked, context
from worlds import random_candles, world_of

from mtf.errors import ConfigError, DataError
from mtf.market.side.market import Market
from mtf.market.timeframe import Timeframe

HOUR, DAY = 60 * MINUTE, 1_440 * MINUTE
ETH = random_candles(3_000, seed=1)
_noise = random_candles(3_000, seed=2, symbol="BTCUSDT")
BTC = replace(_noise, ohlcv=_noise.ohlcv * np.sqrt(ETH.ohlcv[:, 3:4] / 100))
"""Half of ETH's log return, and a noise of its own."""
WORLD = world_of(ETH, {"1m": 20, "5m": 10}, btc=BTC)
TIMES = np.array([1_600, 2_222, 3_000]) * MINUTE


def test_returns_volatility_correlation_and_beta_are_those_of_pandas() -> None:
    side = Market(context(WORLD))
    said, sigma = asked(side, WORLD, TIMES), WORLD.known(TIMES)["btc"].sigma
    log = pd.DataFrame({"eth": np.log(ETH.ohlcv[:, 3]), "btc": np.log(BTC.ohlcv[:, 3])})
    step = log.diff()
    for row, time in enumerate(TIMES // MINUTE):
        last = time - 1
        for n in (5, 15, 60, 240, 1440):
            wanted = (log["btc"][last] - log["btc"][last - n]) / sigma[row] / n**0.5
            assert said[f"ref_return_{n}"][row] == pytest.approx(wanted, rel=1e-5)
        for n in (15, 60, 240, 1440):
            recent = step[last - n + 1 : last + 1]
            size = math.sqrt((recent["btc"] ** 2).mean())
            beta = recent.cov()["eth"]["btc"] / recent["btc"].var()
            assert said[f"ref_volatility_{n}"][row] == pytest.approx(
                math.log(size / sigma[row]), rel=1e-4, abs=1e-6
            )
            assert said[f"correlation_{n}"][row] == pytest.approx(
                recent.corr()["eth"]["btc"], rel=1e-5
            )
            assert said[f"beta_{n}"][row] == pytest.approx(beta, rel=1e-5)


def test_elements_of_the_reference_are_masked_with_it_and_pairs_with_both() -> None:
    sources = Market(context(WORLD)).sources
    assert sources["ref_return_5"] == sources["ref_volatility_15"] == ("btc",)
    assert sources["beta_60"] == sources["correlation_1440"] == ("btc", "1m")
    assert not {"day_sin", "weekend", "funding_rate", "open_interest_1h"} & set(sources)
    assert len(sources) == 17


def test_a_missing_candle_masks_returns_that_need_it_and_nothing_else() -> None:
    """BTC lacks minute 2,000; at 2,016 it is the start of the return over 15 minutes."""
    gappy = replace(BTC, ohlcv=BTC.ohlcv.copy(), valid=BTC.valid.copy())
    gappy.valid[2_000], gappy.ohlcv[2_000] = False, np.nan
    world = world_of(ETH, {"1m": 20}, btc=gappy)
    said = asked(Market(context(world)), world, np.array([2_016, 2_017]) * MINUTE)
    assert said["ref_return_15"].isna().tolist() == [True, False]
    step = pd.Series(np.log(gappy.ohlcv[2_001:2_016, 3])).diff()
    sigma = world.known(np.array([2_016 * MINUTE]))["btc"].sigma[0]
    wanted = math.log(math.sqrt((step**2).mean()) / sigma)  # 14 returns of 15
    assert said["ref_volatility_15"][0] == pytest.approx(wanted, rel=1e-4)
    assert said["correlation_15"].notna().all()


def test_too_few_candles_mask_what_is_made_of_them() -> None:
    """BTC lacks 8 of the last 15 minutes: 7 returns are no volatility of 15."""
    gappy = replace(BTC, ohlcv=BTC.ohlcv.copy(), valid=BTC.valid.copy())
    gappy.valid[1_991:1_999], gappy.ohlcv[1_991:1_999] = False, np.nan
    world = world_of(ETH, {"1m": 20}, btc=gappy)
    said = asked(Market(context(world)), world, [2_000 * MINUTE]).iloc[0]
    assert said[["ref_volatility_15", "correlation_15", "beta_15"]].isna().all()
    assert said[["ref_volatility_60", "correlation_60", "beta_60"]].notna().all()


def test_the_symbols_candles_are_read_as_late_as_they_come() -> None:
    """ETH comes a minute after its close: at 2,000 the pair of minute 1,999 is not known."""
    world = world_of(ETH, {"1m": 20}, btc=BTC)
    slow = world.streams["1m"]
    late = replace(slow, spec=replace(slow.spec, latency_ms=MINUTE))
    world = replace(world, streams={**world.streams, "1m": late})
    said = asked(Market(context(world)), world, [2_000 * MINUTE])
    step = pd.DataFrame({"eth": np.log(ETH.ohlcv[:, 3]), "btc": np.log(BTC.ohlcv[:, 3])}).diff()
    wanted = step[1_985:1_999].corr()["eth"]["btc"]
    assert said["correlation_15"][0] == pytest.approx(wanted, rel=1e-5)


def test_without_a_reference_or_its_twin_the_rest_is_there() -> None:
    alone = world_of(ETH, {"1m": 20})
    side = Market(context(alone))
    assert side.sources == {}
    said = asked(side, alone, TIMES)
    assert said[["ref_return_5", "beta_15"]].isna().all(axis=None)
    assert said[["day_sin", "weekend"]].notna().all(axis=None)
    hourly = random_candles(60, seed=3, timeframe="1h", symbol="BTCUSDT")
    world = world_of(ETH, {"1m": 20}, btc=hourly, half_life=10)
    side = Market(context(world))
    assert set(side.sources["beta_15"]) == {"btc"}
    said = asked(side, world, [50 * HOUR])
    assert not np.isnan(said["ref_return_15"][0])
    assert np.isnan(said["correlation_15"][0])
    with pytest.raises(ConfigError, match=r"'1m'.*no stream of another symbol"):
        Market(context(world), reference="1m")


def test_time_of_day_and_week() -> None:
    """2024-01-01 was a Monday; noon of Wednesday is 2.5 days into the week."""
    monday = 1_704_067_200_000
    times = [monday, monday + 6 * HOUR, monday + 60 * HOUR, monday + 5 * DAY, monday + 7 * DAY - 1]
    said = asked(Market(context(WORLD)), WORLD, times)
    assert said["day_sin"].round(5).tolist() == [0.0, 1.0, 0.0, 0.0, -0.0]
    assert said["day_cos"].round(5).tolist() == [1.0, 0.0, -1.0, 1.0, 1.0]
    assert said["week_sin"][2] == pytest.approx(math.sin(2 * math.pi * 2.5 / 7), abs=1e-6)
    assert said["week_cos"][2] == pytest.approx(math.cos(2 * math.pi * 2.5 / 7), abs=1e-6)
    assert said["weekend"].tolist() == [0, 0, 0, 1, 1]


def test_funding_is_known_from_its_time_on_until_it_is_stale(tmp_path: Path) -> None:
    """Rates of 1, 2, -3, 5 bps every 8 hours from hour 8 on."""
    times = [8 * HOUR, 16 * HOUR, 24 * HOUR, 32 * HOUR]
    rates = [1e-4, 2e-4, -3e-4, 5e-4]
    frame = pd.DataFrame({"time_ms": times, "funding_rate": rates})
    path = tmp_path / "ETHUSDT.csv"
    frame.sample(frac=1, random_state=0).to_csv(path, index=False)  # any order of rows will do
    side = Market(context(WORLD), funding=f"{tmp_path}/{{symbol}}.csv")
    at = [24 * HOUR - 1, 24 * HOUR, 26 * HOUR, 48 * HOUR, 48 * HOUR + 1, 8 * HOUR]
    said = asked(side, WORLD, at)
    assert said["funding_rate"][:4].tolist() == pytest.approx([2, -3, -3, 5])
    assert said["funding_mean"][1:4].tolist() == pytest.approx([0, 0, 4 / 3], abs=1e-6)
    assert np.isnan(said["funding_mean"][0])  # only two rates so far
    assert said["funding_change"][:4].tolist() == pytest.approx([1, -5, -5, 8])
    assert said["funding_elapsed"][1:4].tolist() == pytest.approx([0, 0.25, 1])
    assert said["funding_rate"].isna().tolist() == [False] * 4 + [True, False]
    assert np.isnan(said["funding_change"][5])
    assert side.fingerprint().startswith("funding_rate ")
    assert Market(context(WORLD)).fingerprint() == ""


def test_open_interest_in_units_of_five_percent(tmp_path: Path) -> None:
    """A figure an hour that grows by 1 %, for 30 hours; at hour 30 a day ago is known."""
    path = tmp_path / "interest.parquet"
    values = 1_000 * 1.01 ** np.arange(31)
    pd.DataFrame({"time_ms": np.arange(31) * HOUR, "open_interest": values}).to_parquet(path)
    side = Market(context(WORLD), open_interest=str(path))
    said = asked(side, WORLD, [30 * HOUR, 3 * HOUR, 33 * HOUR])
    unit = math.log(1.01) / 0.05
    assert said["open_interest_1h"][0] == pytest.approx(unit, rel=1e-5)
    assert said["open_interest_4h"][0] == pytest.approx(4 * unit, rel=1e-5)
    assert said["open_interest_1d"][0] == pytest.approx(24 * unit, rel=1e-5)
    wanted = math.log(values[-1] / values.mean()) / 0.05
    assert said["open_interest_level"][0] == pytest.approx(wanted, rel=1e-5)
    assert said["open_interest_4h"].isna().tolist() == [False, True, True]
    assert said["open_interest_1h"].isna().tolist() == [False, False, True]


def test_the_real_funding_rates_are_read(real_data: Path) -> None:
    path = real_data / "funding" / "{symbol}_perp_funding.parquet"
    side = Market(context(WORLD), funding=str(path))
    rate = pd.read_parquet(str(path).replace("{symbol}", "ETHUSDT"))
    said = asked(side, WORLD, [int(rate["time_ms"].iloc[100]) + 1])
    assert said["funding_rate"][0] == pytest.approx(rate["funding_rate"].iloc[100] * 1e4, rel=1e-5)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    side = Market(context(WORLD), funding=str(tmp_path / "gone.parquet"))
    with pytest.raises(DataError, match=r"no file .*gone\.parquet"):
        side.fingerprint()


def test_the_clock_does_not_matter() -> None:
    """Decisions every five minutes read the same candles."""
    slower = replace(context(WORLD), clock=Timeframe.parse("5m"))
    assert Market(slower).own == "1m"
