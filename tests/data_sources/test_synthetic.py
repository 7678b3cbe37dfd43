"""The synthetic worlds: their law, their joins, and that the best forecast is what it says."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtf.data_sources.synthetic import Synthetic
from mtf.data_sources.synthetic_draws import draws
from mtf.errors import ConfigError, DataError
from mtf.market.candles import CLOSE, HIGH, LOW, OPEN, VOLUME, Candles
from mtf.market.timeframe import Timeframe
from mtf.plugins.contracts import Request

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
FIRST = 19_723  # 2024-01-01 in days since the epoch
START = FIRST * DAY
WORLDS = ["random_walk", "momentum", "market"]


def want(symbol: str, timeframe: str, start: int, end: int) -> Request:
    return Request(symbol, Timeframe.parse(timeframe), start, end)


def one(source: Synthetic, symbol: str, timeframe: str, start: int, end: int) -> Candles:
    return source.load([want(symbol, timeframe, start, end)])[0]


def log_returns(candles: Candles) -> np.ndarray:
    return np.diff(np.log(candles.ohlcv[:, CLOSE]))


def correlation(x: np.ndarray, lag: int) -> float:
    return float(np.corrcoef(x[lag:], x[:-lag])[0, 1])


def joined(ohlcv: np.ndarray, factor: int) -> np.ndarray:
    """An aggregate by numpy alone."""
    blocks = ohlcv.reshape(-1, factor, 5)
    high, low = blocks[:, :, HIGH].max(axis=1), blocks[:, :, LOW].min(axis=1)
    volume = blocks[:, :, VOLUME].sum(axis=1)
    return np.stack([blocks[:, 0, OPEN], high, low, blocks[:, -1, CLOSE], volume], axis=1)


# --- candles ---------------------------------------------------------------------------------


@pytest.mark.parametrize("world", WORLDS)
def test_every_candle_is_exactly_the_aggregate_of_the_finer_ones(world: Any) -> None:
    frames = {"1s": 1, "1m": 60, "15m": 15, "1h": 4, "1d": 24}
    requests = [want("ETHUSDT", name, START, START + 2 * DAY) for name in frames]
    loaded = Synthetic(world=world).load(requests)
    for finer, coarser, factor in zip(loaded, loaded[1:], list(frames.values())[1:], strict=False):
        assert np.array_equal(joined(finer.ohlcv, factor), coarser.ohlcv)
    assert np.array_equal(joined(loaded[0].ohlcv, 86_400), loaded[-1].ohlcv)


@pytest.mark.parametrize("world", WORLDS)
def test_candles_are_candles(world: Any) -> None:
    for name in ("1s", "1m", "1h", "1d"):
        candles = one(Synthetic(world=world), "ETHUSDT", name, START, START + 3 * DAY)
        o, h, low, c, v = candles.ohlcv.T
        assert candles.ohlcv.dtype == np.float64
        assert candles.valid.all()
        assert np.isfinite(candles.ohlcv).all()
        assert (low > 0).all()
        assert (low <= np.minimum(o, c)).all()
        assert (h >= np.maximum(o, c)).all()
        assert (v >= 0).all()
        assert np.array_equal(o[1:], c[:-1])


@pytest.mark.parametrize("world", WORLDS)
def test_history_at_its_own_step_joins_without_a_jump(world: Any) -> None:
    requests = [
        want("ETHUSDT", "1s", START, START + DAY),
        want("ETHUSDT", "1m", START - 2 * DAY, START + DAY),
        want("ETHUSDT", "1h", START - 30 * DAY, START + DAY),
        want("ETHUSDT", "1d", START - 700 * DAY, START + DAY),
    ]
    loaded = Synthetic(world=world).load(requests)
    assert [len(c) for c in loaded] == [86_400, 3 * 1_440, 31 * 24, 701]
    for candles in loaded:
        o, h, low, c, _ = candles.ohlcv.T
        assert np.array_equal(o[1:], c[:-1])
        assert (low <= np.minimum(o, c)).all()
        assert (h >= np.maximum(o, c)).all()
    for finer, coarser, factor in zip(loaded, loaded[1:], (60, 60, 24), strict=False):
        days = len(finer) // factor
        assert np.array_equal(joined(finer.ohlcv, factor), coarser.ohlcv[-days:])


def test_a_long_daily_history_costs_no_seconds() -> None:
    requests = [
        want("ETHUSDT", "1m", START, START + DAY),
        want("ETHUSDT", "1d", START - 660 * DAY, START + DAY),
    ]
    Synthetic().load(requests)
    tracemalloc.start()
    Synthetic().load(requests)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6


def test_seconds_of_two_symbols_stay_below_a_hundred_bytes_a_row() -> None:
    requests = [want(s, "1s", START, START + 10 * DAY) for s in ("ETHUSDT", "BTCUSDT")]
    tracemalloc.start()
    loaded = Synthetic().load(requests)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak / sum(len(c) for c in loaded) < 100


def test_only_whole_candles_inside_the_request_are_delivered() -> None:
    source = Synthetic()
    hours = one(source, "ETHUSDT", "1h", START + 1, START + 5 * HOUR + 1)
    assert hours.open_time().tolist() == [START + k * HOUR for k in (1, 2, 3, 4, 5)]
    weeks = one(source, "ETHUSDT", "1w", START, START + 10 * DAY)  # 2024-01-01 was a Monday
    assert weeks.open_time().tolist() == [START]
    assert len(one(source, "ETHUSDT", "1m", START, START)) == 0


def test_prices_start_at_the_base_price_of_the_finest_level() -> None:
    for symbol, price in (("BTCUSDT", 60_000), ("ETHUSDT", 3_000), ("SOLUSDT", 100)):
        assert one(Synthetic(), symbol, "1m", START, START + DAY).ohlcv[0, OPEN] == price


# --- determinism -----------------------------------------------------------------------------


@pytest.mark.parametrize("world", WORLDS)
def test_order_company_and_repetition_change_nothing(world: Any) -> None:
    requests = [
        want("ETHUSDT", "1m", START, START + 2 * DAY),
        want("BTCUSDT", "1h", START - 9 * DAY, START + 2 * DAY),
        want("ETHUSDT", "1d", START - 50 * DAY, START + 2 * DAY),
    ]
    source = Synthetic(world=world)
    once = source.load(requests)
    again = source.load(requests)
    company = want("SOLUSDT", "15m", START, START + 2 * DAY)
    back = Synthetic(world=world).load([company, *requests[::-1]])[:0:-1]
    for a, b, c in zip(once, again, back, strict=True):
        assert a.fingerprint() == b.fingerprint() == c.fingerprint()


@settings(max_examples=12, deadline=None)
@given(
    world=st.sampled_from(WORLDS),
    later=st.integers(0, DAY - 1),
    longer=st.integers(0, 2 * DAY),
    history=st.integers(0, 40),
)
def test_the_span_around_changes_no_candle(
    world: Any, later: int, longer: int, history: int
) -> None:
    end = START + 2 * DAY
    short = one(Synthetic(world=world), "ETHUSDT", "1m", START, end)
    wide = [
        want("ETHUSDT", "1m", START + later, end + longer),
        want("ETHUSDT", "1d", START - history * DAY, end),
    ]
    other = Synthetic(world=world).load(wide)[0]
    skip = other.first_slot - short.first_slot
    assert np.array_equal(short.ohlcv[skip:], other.ohlcv[: len(short) - skip])


def test_another_day_to_begin_with_changes_the_level_but_no_return() -> None:
    longer = one(Synthetic(), "ETHUSDT", "1m", START - DAY, START + DAY)
    shorter = one(Synthetic(), "ETHUSDT", "1m", START, START + DAY)
    assert abs(longer.ohlcv[1_440, OPEN] - shorter.ohlcv[0, OPEN]) > 1
    assert np.allclose(log_returns(longer)[1_440:], log_returns(shorter), rtol=0, atol=1e-9)


@pytest.mark.parametrize("world", WORLDS)
def test_each_seed_is_another_history(world: Any) -> None:
    a = one(Synthetic(world=world, seed=1), "ETHUSDT", "1m", START, START + DAY)
    b = one(Synthetic(world=world, seed=2), "ETHUSDT", "1m", START, START + DAY)
    assert abs(np.corrcoef(log_returns(a), log_returns(b))[0, 1]) < 0.1


def test_walks_close_alike_however_finely_they_are_simulated() -> None:
    source = Synthetic(world="momentum", rho=0.3, step="5m")
    fives = one(source, "ETHUSDT", "5m", START, START + DAY)
    both = source.load([want("ETHUSDT", n, START, START + DAY) for n in ("1s", "5m")])[1]
    assert np.allclose(fives.ohlcv[:, CLOSE], both.ohlcv[:, CLOSE], rtol=1e-9)


# --- the laws --------------------------------------------------------------------------------


def test_random_walk_has_nothing_to_find() -> None:
    candles = one(Synthetic(world="random_walk"), "ETHUSDT", "1m", START, START + 60 * DAY)
    r = log_returns(candles)
    error = 1 / np.sqrt(len(r))
    for lag in range(1, 11):
        assert abs(correlation(r, lag)) < 3 * error
        assert abs(correlation(np.abs(r), lag)) < 3 * error
        assert abs(correlation(np.log(candles.ohlcv[:, VOLUME]), lag)) < 3 * error
    assert r.std() * np.sqrt(1440) == pytest.approx(0.03, rel=0.01)
    assert np.mean(r**4) / np.mean(r**2) ** 2 == pytest.approx(3, abs=0.1)


def test_random_walk_is_gaussian_at_seconds_too() -> None:
    r = log_returns(one(Synthetic(world="random_walk"), "ETHUSDT", "1s", START, START + 2 * DAY))
    assert r.std() * np.sqrt(86_400) == pytest.approx(0.03, rel=0.01)
    assert all(abs(correlation(r, lag)) < 4 / np.sqrt(len(r)) for lag in (1, 2, 59, 60))


@pytest.mark.parametrize("rho", [0.2, -0.3])
@pytest.mark.parametrize("step", ["1m", "5m"])
def test_momentum_has_the_autocorrelation_of_its_law(rho: float, step: str) -> None:
    for kind, first, second in (("ar1", rho, rho**2), ("ma1", rho / (1 + rho**2), 0.0)):
        source = Synthetic(world="momentum", rho=rho, kind=kind, step=step)  # type: ignore[arg-type]
        r = log_returns(one(source, "ETHUSDT", step, START, START + 90 * DAY))
        error = 1 / np.sqrt(len(r))
        assert correlation(r, 1) == pytest.approx(first, abs=3 * error)
        assert correlation(r, 2) == pytest.approx(second, abs=3 * error)
        per_day = DAY // Timeframe.parse(step).duration_ms
        assert r.std() * np.sqrt(per_day) == pytest.approx(0.03, rel=0.02)


def test_highs_and_lows_are_those_of_a_brownian_path() -> None:
    """Expected range of a Brownian motion over one unit: sqrt(8 / pi) sigma (Feller 1951)."""
    source = Synthetic(world="random_walk")
    for fine in ("1m", "1s"):
        frames = (fine, "1h")
        hours = source.load([want("ETHUSDT", n, START, START + 20 * DAY) for n in frames])[1]
        spread = np.log(hours.ohlcv[:, HIGH] / hours.ohlcv[:, LOW]) / (0.03 / np.sqrt(24))
        error = spread.std() / np.sqrt(len(spread))
        assert spread.mean() == pytest.approx(np.sqrt(8 / np.pi), abs=3.5 * error)


@pytest.fixture(scope="module")
def market() -> tuple[Synthetic, dict[str, Candles]]:
    """Thirty days of the market with its seconds."""
    names = [("ETHUSDT", "1s"), ("ETHUSDT", "1m"), ("BTCUSDT", "1m")]
    source = Synthetic()
    loaded = source.load([want(s, n, START, START + 30 * DAY) for s, n in names])
    return source, {f"{s[:3]} {n}": c for (s, n), c in zip(names, loaded, strict=True)}


Loaded = tuple[Synthetic, dict[str, Candles]]


def test_market_has_fat_tails_and_clusters(market: Loaded) -> None:
    for name in ("ETH 1m", "BTC 1m"):
        r = log_returns(market[1][name])
        assert np.mean(r**4) / np.mean(r**2) ** 2 > 5
        assert correlation(np.abs(r), 10) > 0.1


def test_follower_comes_after_the_leader(market: Loaded) -> None:
    eth, btc = log_returns(market[1]["ETH 1m"]), log_returns(market[1]["BTC 1m"])
    error = 1 / np.sqrt(len(eth))
    for lag in range(1, 6):
        after = np.corrcoef(eth[lag:], btc[:-lag])[0, 1]
        before = np.corrcoef(eth[:-lag], btc[lag:])[0, 1]
        assert after > 0.05
        assert after > before + 5 * error


def test_seconds_bounce_and_some_are_without_trade(market: Loaded) -> None:
    seconds = market[1]["ETH 1s"]
    assert correlation(log_returns(seconds), 1) < -0.05
    silent = seconds.ohlcv[:, VOLUME] == 0
    flat = seconds.ohlcv[silent]
    assert (flat[:, 1:4] == flat[:, :1]).all()
    hourly = silent.reshape(-1, 3600).mean(axis=1)
    assert 0.15 < hourly.mean() < 0.4
    assert np.quantile(hourly, 0.9) > np.quantile(hourly, 0.1) + 0.1


def test_volume_rises_with_volatility_and_remembers(market: Loaded) -> None:
    ohlcv = market[1]["ETH 1m"].ohlcv
    volume, spread = np.log(ohlcv[:, VOLUME]), np.log(np.log(ohlcv[:, HIGH] / ohlcv[:, LOW]))
    assert np.corrcoef(volume, spread)[0, 1] > 0.4
    assert correlation(volume, 1) > 0.5


def test_coarse_history_keeps_volatility_and_correlation() -> None:
    requests = [want(s, "1d", START - 3_000 * DAY, START) for s in ("ETHUSDT", "BTCUSDT")]
    eth, btc = (log_returns(c) for c in Synthetic().load(requests))
    assert eth.std() == pytest.approx(0.03, rel=0.1)
    assert btc.std() == pytest.approx(0.03, rel=0.1)
    assert np.corrcoef(eth, btc)[0, 1] == pytest.approx(np.sqrt(0.75), abs=0.05)


# --- what can be learned ---------------------------------------------------------------------


def weighted(x: np.ndarray, half_life: float) -> np.ndarray:
    """Bias-corrected exponentially weighted mean."""
    decay, total, weight = 0.5 ** (1 / half_life), 0.0, 0.0
    out = np.empty(len(x))
    for i, value in enumerate(x.tolist()):
        total, weight = decay * total + value, decay * weight + 1
        out[i] = total / weight
    return out


def channels(ohlcv: np.ndarray) -> np.ndarray:
    """Channels of the next candle as mission and model use them, unclipped; row 0 is 0."""
    close, volume = ohlcv[:, CLOSE], ohlcv[:, VOLUME]
    returns = np.diff(np.log(close), prepend=np.log(close[0]))
    sigma = np.maximum(np.sqrt(weighted(returns**2, 60)), 1e-5)[:-1, None]
    mean = np.maximum(weighted(volume, 60)[:-1], 1e-9)
    out = np.zeros((len(ohlcv), 5))
    out[1:, :4] = np.log(ohlcv[1:, :4] / close[:-1, None]) / sigma
    out[1:, 4] = np.log((volume[1:] + 0.01 * mean) / (1.01 * mean))
    return out


def recent(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The last four candles and the means of the last 4, 16 and 64: values and magnitudes."""
    x = np.clip(x, -8, 8)
    both = np.hstack([x, np.abs(x)])
    sums = np.vstack([np.zeros((1, both.shape[1])), np.cumsum(both, axis=0)])
    spans = [(sums[rows + 1] - sums[rows + 1 - n]) / n for n in (4, 16, 64)]
    return np.hstack([both[rows - i] for i in range(4)] + spans)


def regressed(x: np.ndarray, y: np.ndarray, split: int) -> np.ndarray:
    """Ridge regression fitted before ``split``, its predictions from there on."""
    x = (x - x[:split].mean(axis=0)) / (x[:split].std(axis=0) + 1e-9)
    x = np.hstack([x, np.ones((len(x), 1))])
    gram = x[:split].T @ x[:split] + 10 * np.eye(x.shape[1])
    return np.asarray(x[split:] @ np.linalg.solve(gram, x[:split].T @ y[:split]))


def test_next_candles_can_be_learned_by_regression(market: Loaded) -> None:
    days = 12
    minutes = np.arange(200, days * 1_440 - 1)
    data = {name: channels(c.ohlcv[: days * DAY // c.timeframe.duration_ms])
            for name, c in market[1].items()}  # fmt: skip
    rows = {n: minutes * 60 + 59 if n == "ETH 1s" else minutes for n in data}
    x = np.hstack([recent(data[n], rows[n]) for n in data])
    split = len(minutes) * 7 // 10
    for name, values in data.items():
        y = values[rows[name] + 1]
        loss = np.mean((regressed(x, y, split) - y[split:]) ** 2)
        naive = np.mean(y[split:] ** 2)
        mean = np.mean((y[:split].mean(axis=0) - y[split:]) ** 2)
        assert 1 - loss / min(naive, mean) > 0.1, name


def test_direction_of_fifteen_minutes_is_there_for_the_best_player(market: Loaded) -> None:
    mean, _, realised = judged(market, "ETHUSDT", 15)
    assert 0.25 < np.corrcoef(mean, realised)[0, 1] < 0.4


# --- the best forecast -----------------------------------------------------------------------


def judged(market: Loaded, symbol: str, minutes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, variance and realised return of every minute of the loaded span."""
    closes = np.log(market[1][f"{symbol[:3]} 1m"].ohlcv[:, CLOSE])
    rows = np.arange(60, len(closes) - minutes)
    mean, variance = market[0].best_forecast(symbol, START + (rows + 1) * MINUTE, minutes * MINUTE)
    return mean, variance, closes[rows + minutes] - closes[rows]


@pytest.mark.parametrize("symbol", ["ETHUSDT", "BTCUSDT"])
@pytest.mark.parametrize("minutes", [1, 15])
def test_market_forecast_is_calibrated(market: Loaded, symbol: str, minutes: int) -> None:
    mean, variance, realised = judged(market, symbol, minutes)
    m, y = mean / np.sqrt(variance), realised / np.sqrt(variance)
    slope = np.sum(m * y) / np.sum(m * m)
    error = np.sqrt(minutes / np.sum(m * m))  # outcomes overlap
    assert slope == pytest.approx(1, abs=3 * error)
    assert np.mean((y - m) ** 2) == pytest.approx(1, abs=0.08)


@pytest.mark.parametrize("kind", ["ar1", "ma1"])
@pytest.mark.parametrize("minutes", [1, 7])
def test_momentum_forecast_is_calibrated(kind: Any, minutes: int) -> None:
    source = Synthetic(world="momentum", rho=0.3, kind=kind)
    closes = np.log(one(source, "ETHUSDT", "1m", START, START + 60 * DAY).ohlcv[:, CLOSE])
    rows = np.arange(len(closes) - minutes)
    mean, variance = source.best_forecast("ETHUSDT", START + (rows + 1) * MINUTE, minutes * MINUTE)
    realised = closes[rows + minutes] - closes[rows]
    slope = np.sum(mean * realised) / np.sum(mean**2)
    error = np.sqrt(minutes * variance[0] / np.sum(mean**2))
    assert slope == pytest.approx(1, abs=3 * error)
    assert np.mean((realised - mean) ** 2) / variance[0] == pytest.approx(1, abs=0.03)


def test_random_walk_forecast_is_zero_with_the_variance_of_the_horizon() -> None:
    source = Synthetic(world="random_walk")
    one(source, "ETHUSDT", "1m", START, START + DAY)
    mean, variance = source.best_forecast("ETHUSDT", np.array([START + HOUR]), 15 * MINUTE)
    assert mean.tolist() == [0.0]
    assert variance[0] == pytest.approx(0.03**2 * 15 / 1440)


@pytest.mark.parametrize(
    ("options", "symbol", "minutes"),
    [
        ({"world": "momentum", "rho": 0.4, "seed": 5}, "ETHUSDT", 7),
        ({"world": "momentum", "rho": 0.4, "kind": "ma1", "seed": 6}, "ETHUSDT", 7),
        ({"world": "market", "seed": 3}, "ETHUSDT", 15),
        ({"world": "market", "seed": 4}, "BTCUSDT", 15),
        ({"world": "market", "seed": 5}, "ETHUSDT", 90),
    ],
)
def test_forecast_equals_the_mean_of_many_continuations(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], symbol: str, minutes: int
) -> None:
    """The same past, many futures: from a midnight on, every draw is taken anew."""
    present, futures = FIRST + 1, 1_000
    request = want(symbol, "1m", START, START + 2 * DAY)
    source = Synthetic(**options)
    source.load([request])
    now = np.array([present * DAY])
    mean, variance = source.best_forecast(symbol, now, minutes * MINUTE)
    found = np.empty(futures)
    for future in range(futures):

        def other(
            seed: int, name: str, purpose: str, day: int, future: int = future
        ) -> np.random.Generator:
            return draws(seed if day < present else 10**6 + future, name, purpose, day)

        for module in ("synthetic_market", "synthetic_walk", "synthetic_volatility"):
            monkeypatch.setattr(f"mtf.data_sources.{module}.draws", other)
        closes = np.log(source.load([request])[0].ohlcv[:, CLOSE])
        found[future] = closes[1_439 + minutes] - closes[1_439]
    error = found.std() / np.sqrt(futures)
    assert found.mean() == pytest.approx(mean[0], abs=3 * error)
    squares = (found - found.mean()) ** 2
    assert squares.mean() == pytest.approx(variance[0], abs=3 * squares.std() / np.sqrt(futures))


# --- mistakes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"world": "markt"}, ["world = 'markt'", "random_walk, momentum, market", "'market'?"]),
        ({"world": "momentum", "kind": "ar2"}, ["kind = 'ar2'", "ar1, ma1", "to do"]),
        ({"world": "momentum", "rho": 1.0}, ["rho = 1.0", "above -1 and below 1"]),
        ({"world": "momentum", "step": "1s"}, ["step = '1s'", "whole minutes"]),
        ({"world": "momentum", "step": "7m"}, ["step = '7m'", "divide a day"]),
        ({"world": "momentum", "step": "1M"}, ["months"]),
        ({"seed": -1}, ["seed = -1", "0 or more"]),
        ({"daily_volatility": 0.0}, ["daily_volatility = 0.0", "above 0"]),
        ({"lag_minutes": 0.0}, ["lag_minutes = 0.0", "above 0"]),
        ({"lag_share": 1.5}, ["lag_share = 1.5", "0 to 1"]),
        ({"leader_share": -0.1}, ["leader_share = -0.1", "0 to 1"]),
        ({"leader_momentum": 1.0}, ["leader_momentum = 1.0", "below 1"]),
        ({"tail_degrees": 2.0}, ["tail_degrees = 2.0", "above 2"]),
        ({"tail_degrees": float("nan")}, ["tail_degrees = nan", "above 2"]),
        ({"half_spread_bps": -1.0}, ["half_spread_bps = -1.0", "0 to 100"]),
    ],
)
def test_bad_parameters_are_told(options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        # past the run-time checker, as a config of a stranger's tool would be
        getattr(Synthetic.__init__, "__wrapped__", Synthetic.__init__)(
            object.__new__(Synthetic), **options
        )
    for word in words:
        assert word in str(caught.value)


def test_forecasts_outside_of_what_was_loaded_are_refused() -> None:
    for world in WORLDS:
        source = Synthetic(world=world)  # type: ignore[arg-type]
        good = np.array([START + HOUR])
        with pytest.raises(DataError, match="before load"):
            source.best_forecast("ETHUSDT", good, MINUTE)
        one(source, "ETHUSDT", "1m", START, START + DAY)
        for times in ([START - MINUTE], [START + DAY + MINUTE]):
            with pytest.raises(DataError, match="finest loaded region"):
                source.best_forecast("ETHUSDT", np.array(times), MINUTE)
        with pytest.raises(DataError, match="off the grid of 60000 ms"):
            source.best_forecast("ETHUSDT", good + 1, MINUTE)
        with pytest.raises(DataError, match="off the grid"):
            source.best_forecast("ETHUSDT", good, 1_000)
        with pytest.raises(DataError, match="SOLUSDT"):
            source.best_forecast("SOLUSDT", good, MINUTE)
        one(source, "ETHUSDT", "1h", START, START + DAY)
        with pytest.raises(DataError, match="steps of 3600000 ms"):
            source.best_forecast("ETHUSDT", good, HOUR)
