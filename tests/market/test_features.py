"""Feature sets against hand, TA-Lib and numpy, in pieces, behind masks, and against the future."""

from __future__ import annotations

import numpy as np
import pytest
import talib
from histories import candles, closes, walk
from hypothesis import given, settings
from hypothesis import strategies as st

from mtf.errors import ConfigError
from mtf.market.candles import Candles
from mtf.market.features import Indicators, Ohlcv
from mtf.market.scale import compute_scale
from mtf.plugins import registry

FEATURES = registry.names("feature")
NO_VOLUME = np.log(0.01 / 1.01)


def scan(feature_set: object, candles: Candles) -> tuple[np.ndarray, np.ndarray]:
    state = feature_set.initial_state()  # type: ignore[attr-defined]
    return feature_set.scan(candles.ohlcv, candles.valid, state)  # type: ignore[attr-defined,no-any-return]


def plain(feature_set: Indicators, ohlcv: np.ndarray) -> dict[str, np.ndarray]:
    """The channels in plain units, NaN where not usable."""
    valid = ~np.isnan(ohlcv[:, 0])
    values, usable = feature_set.raw(ohlcv, valid, feature_set.initial_state())
    values[~usable] = np.nan
    return dict(zip(feature_set.channels, values.T, strict=True))


def test_ohlcv_by_hand() -> None:
    # Half-life 1, one return of 1 %: sigma is 0.01 and the mean volume (4 + 0.5 * 1) / 1.5 = 3.
    ohlcv = np.array(
        [
            [100, 100, 100, 100, 1.0],
            [100, 101, 100, 100 * np.exp(0.01), 4.0],
            [100 * np.exp(0.02), 100 * np.exp(0.04), 100 * np.exp(0.01), 100 * np.exp(0.03), 3.0],
        ]
    )
    values, usable = scan(Ohlcv(volatility_half_life=1, volume_half_life=1), candles(ohlcv))
    assert usable.tolist() == [False, False, True]
    np.testing.assert_allclose(values[2], [1, 3, 0, 2, 0], atol=1e-6)
    assert not values[:2].any()


def test_a_second_without_trades_has_prices_0_and_volume_minus_4_615() -> None:
    ohlcv, valid = walk(100, 1)
    ohlcv[99] = [ohlcv[98, 3]] * 4 + [0.0]
    values, _ = scan(Ohlcv(), candles(ohlcv, valid))
    np.testing.assert_allclose(values[99], [0, 0, 0, 0, NO_VOLUME], rtol=1e-6)
    assert values[99, 4] == pytest.approx(-4.615, abs=1e-3)


def test_volume_is_0_where_there_has_never_been_any() -> None:
    ohlcv, valid = walk(100, 1)
    ohlcv[:, 4] = 0.0
    ohlcv[99, 4] = 5.0
    values, usable = scan(Ohlcv(), candles(ohlcv, valid))
    assert usable[99]
    assert not values[:, 4].any()


def test_the_first_candle_after_a_gap_is_measured_from_the_last_known_close() -> None:
    ohlcv, valid = walk(100, 2)
    valid[80:90], ohlcv[80:90] = False, np.nan
    values, usable = scan(Ohlcv(clip=1e9), candles(ohlcv, valid))
    assert not usable[80:90].any()
    assert usable[90]
    sigma = compute_scale(candles(ohlcv, valid)).sigma[79]  # as before the gap
    expected = np.log(ohlcv[90, :4] / ohlcv[79, 3]) / sigma
    np.testing.assert_allclose(values[90, :4], expected, rtol=1e-6)


def test_features_are_clipped() -> None:
    ohlcv, valid = walk(100, 3)
    ohlcv[99] = ohlcv[98] * [2, 2, 0.5, 0.5, 1e9]
    values, _ = scan(Ohlcv(), candles(ohlcv, valid))
    assert values[99].tolist() == [8, 8, -8, -8, 8]


def test_ohlcv_uses_the_scale_up_to_the_candle_before() -> None:
    ohlcv, valid = walk(500, 4, 0.1)
    values, usable = scan(Ohlcv(clip=1e9), candles(ohlcv, valid))
    scale = compute_scale(candles(ohlcv, valid))
    k = np.flatnonzero(valid)[1:]
    last, sigma, m = ohlcv[scale.last_valid[k - 1], 3], scale.sigma[k - 1], scale.volume_mean[k - 1]
    known = ~np.isnan(sigma)
    np.testing.assert_array_equal(usable[k], known)
    prices = np.log(ohlcv[k, :4] / last[:, None]) / sigma[:, None]
    np.testing.assert_allclose(values[k, :4][known], prices[known], rtol=1e-5, atol=1e-6)
    volume = np.log((ohlcv[k, 4] + 0.01 * m) / (1.01 * m))
    np.testing.assert_allclose(values[k, 4][known], volume[known], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("slow", [26, 40])
def test_indicators_against_talib(slow: int) -> None:
    ohlcv, _ = walk(2_000, 5)
    ours = plain(Indicators(macd_slow=slow), ohlcv)
    close, volume = ohlcv[:, 3].copy(), ohlcv[:, 4].copy()
    macd, signal, _ = talib.MACD(close, 12, slow, 9)
    log_returns = np.log(close[1:] / close[:-1])
    theirs = {
        "returns": talib.ROCP(close, 1),
        "log_returns": np.append(np.nan, log_returns),
        "volatility": np.append(np.nan, talib.STDDEV(log_returns, 20)),
        "volume_ratio": volume / talib.SMA(volume, 20),
        "rsi": talib.RSI(close, 14),
        "macd": macd,
        "macd_signal": signal,
    }
    known = ~np.isnan(ours["rsi"])
    assert np.flatnonzero(known)[0] == 61  # 60 returns make sigma, and it must lie before
    for name, expected in theirs.items():
        # TA-Lib's running sums of squares are good to about 1e-8 here.
        np.testing.assert_allclose(
            ours[name][known], expected[known], rtol=1e-6, atol=1e-9, err_msg=name
        )


def test_indicators_start_like_talib() -> None:
    ohlcv, _ = walk(100, 6)
    ours = plain(Indicators(volatility_half_life=2, volatility_period=2, volume_period=2), ohlcv)
    macd, signal, _ = talib.MACD(ohlcv[:, 3].copy(), 12, 26, 9)
    np.testing.assert_allclose(ours["macd"][33:], macd[33:], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours["macd_signal"][33:], signal[33:], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours["rsi"][33:], talib.RSI(ohlcv[:, 3].copy(), 14)[33:], rtol=1e-9)


def test_spread_and_vwap_by_hand() -> None:
    ohlcv, _ = walk(100, 7)
    ours = plain(Indicators(), ohlcv)
    high, low, close, volume = ohlcv[80:100, 1:].T
    vwap = ((high + low + close) / 3 * volume).sum() / volume.sum()
    assert ours["vwap"][99] == pytest.approx(vwap / close[-1])
    assert ours["spread"][99] == pytest.approx((high[-1] - low[-1]) / close[-1])


def test_what_a_network_sees_is_the_plain_value_in_sigmas() -> None:
    ohlcv, valid = walk(300, 8)
    feature_set = Indicators(clip=1e9)
    seen = dict(
        zip(feature_set.channels, scan(feature_set, candles(ohlcv, valid))[0][-1], strict=True)
    )
    raw = {name: values[-1] for name, values in plain(feature_set, ohlcv).items()}
    sigma, close = compute_scale(candles(ohlcv)).sigma[-2], ohlcv[-1, 3]
    assert seen["returns"] == pytest.approx(raw["returns"] / sigma)
    assert seen["log_returns"] == pytest.approx(raw["log_returns"] / sigma)
    assert seen["volatility"] == pytest.approx(raw["volatility"] / sigma)
    assert seen["volume_ratio"] == pytest.approx(np.log((raw["volume_ratio"] + 0.01) / 1.01))
    assert seen["rsi"] == pytest.approx((raw["rsi"] - 50) / 50)
    assert seen["macd"] == pytest.approx(raw["macd"] / close / sigma)
    assert seen["macd_signal"] == pytest.approx(raw["macd_signal"] / close / sigma)
    assert seen["spread"] == pytest.approx(raw["spread"] / sigma)
    assert seen["vwap"] == pytest.approx(np.log(raw["vwap"]) / sigma)


def test_a_gap_enters_neither_volatility_nor_rsi() -> None:
    ohlcv, _ = walk(300, 9)
    jump = ohlcv.copy()
    jump[200:, :4] *= 2  # the price doubles while nobody looks
    jump[195:200] = np.nan
    ours = plain(Indicators(), jump)
    assert np.isnan(ours["rsi"][195:200]).all()
    assert ours["returns"][200] == pytest.approx(jump[200, 3] / jump[194, 3] - 1)
    observed = np.log(jump[1:, 3] / jump[:-1, 3])
    observed = observed[~np.isnan(observed)]
    assert ours["volatility"][-1] == pytest.approx(observed[-20:].std())
    assert ours["volatility"][205] == pytest.approx(observed[:199][-20:].std())
    assert ours["rsi"][200] == ours["rsi"][194]  # nothing observed in between
    traded = jump[~np.isnan(jump[:, 4]), 4]
    assert ours["volume_ratio"][200] == pytest.approx(jump[200, 4] / traded[:196][-20:].mean())


def test_a_market_where_nothing_moves_is_neutral() -> None:
    values, usable = scan(Indicators(), candles(closes([7.0] * 200, volume=0.0)))
    assert usable[61:].all()
    assert not values.any()
    assert np.isfinite(scan(Ohlcv(), candles(closes([7.0] * 200, volume=0.0)))[0]).all()


def test_a_million_steps_do_not_drift() -> None:
    ohlcv, valid = walk(1_000_000, 10)
    ohlcv[100_000, 4] = 1e15  # one wild volume, which a running sum would never forget
    feature_set = Indicators(clip=1e9)
    values, _ = feature_set.raw(ohlcv, valid, feature_set.initial_state())
    tail = ohlcv[-1_020:]
    steps = np.lib.stride_tricks.sliding_window_view(np.diff(np.log(tail[:, 3])), 20)
    np.testing.assert_allclose(values[-1_000:, 2], steps.std(axis=1), rtol=1e-9, atol=1e-14)
    volumes = np.lib.stride_tricks.sliding_window_view(tail[:, 4], 20)
    np.testing.assert_allclose(values[-1_000:, 3], tail[20:, 4] / volumes.mean(axis=1)[1:])
    # Averages that forget: a start 2,000 candles ago gives the same.
    late, _ = feature_set.raw(ohlcv[-2_000:], valid[-2_000:], feature_set.initial_state())
    np.testing.assert_allclose(values[-1_000:], late[-1_000:], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", FEATURES)
@settings(deadline=None)  # the first example may compile
@given(
    seed=st.integers(0, 2**32 - 1),
    missing=st.sampled_from([0.0, 0.05, 0.5]),
    sizes=st.lists(st.integers(1, 90), min_size=1, max_size=6),
)
def test_pieces_equal_the_whole_bit_for_bit(
    name: str, seed: int, missing: float, sizes: list[int]
) -> None:
    feature_set = registry.load("feature", name)()
    ohlcv, valid = walk(sum(sizes), seed, missing)
    whole = scan(feature_set, candles(ohlcv, valid))
    ends = np.cumsum(sizes)[:-1]
    assert_same(whole, in_pieces(feature_set, np.split(ohlcv, ends), np.split(valid, ends)))


@pytest.mark.parametrize("name", FEATURES)
def test_single_steps_equal_the_whole_bit_for_bit(name: str) -> None:
    feature_set = registry.load("feature", name)()
    ohlcv, valid = walk(400, 11, 0.1)
    whole = scan(feature_set, candles(ohlcv, valid))
    single = in_pieces(feature_set, np.split(ohlcv, 400), np.split(valid, 400))
    assert_same(whole, single)
    assert whole[1].any()


def in_pieces(
    feature_set: object, ohlcv: list[np.ndarray], valid: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    state = feature_set.initial_state()  # type: ignore[attr-defined]
    parts = [
        feature_set.scan(rows, there, state)  # type: ignore[attr-defined]
        for rows, there in zip(ohlcv, valid, strict=True)
    ]
    values, usable = zip(*parts, strict=True)
    return np.concatenate(values), np.concatenate(usable)


def assert_same(one: tuple[np.ndarray, np.ndarray], two: tuple[np.ndarray, np.ndarray]) -> None:
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])


@pytest.mark.parametrize("name", FEATURES)
@settings(deadline=None)  # the first example may compile
@given(seed=st.integers(0, 2**32 - 1), garbage=st.sampled_from([np.nan, np.inf, 0.0, -1.0, 1e300]))
def test_nothing_behind_a_mask_comes_through(name: str, seed: int, garbage: float) -> None:
    feature_set = registry.load("feature", name)()
    ohlcv, valid = walk(200, seed, 0.2)
    values, usable = scan(feature_set, candles(ohlcv, valid))
    ohlcv[~valid] = garbage
    assert_same((values, usable), scan(feature_set, candles(ohlcv, valid)))
    assert np.isfinite(values).all()
    assert not values[~usable].any()
    assert not usable[~valid].any()


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("cut", [61, 100, 299])
def test_the_future_moves_nothing_and_the_last_candle_does(name: str, cut: int) -> None:
    feature_set = registry.load("feature", name)()
    ohlcv, valid = walk(300, 12)
    values, usable = scan(feature_set, candles(ohlcv, valid))
    other, _ = walk(300, 13)
    changed = np.where(np.arange(300)[:, None] > cut, other * 3, ohlcv)
    there = valid & ((np.arange(300) <= cut) | (np.arange(300) % 3 > 0))
    after = scan(feature_set, candles(changed, there))
    past = slice(0, cut + 1)
    assert_same((values[past], usable[past]), (after[0][past], after[1][past]))

    changed = ohlcv.copy()
    changed[cut] *= 1.001
    moved, _ = scan(feature_set, candles(changed, valid))
    assert (moved[cut] != values[cut]).any()
    np.testing.assert_array_equal(moved[:cut], values[:cut])


@pytest.mark.parametrize("name", FEATURES)
def test_after_the_declared_warmup_the_start_hardly_matters(name: str) -> None:
    feature_set = registry.load("feature", name)()
    ohlcv, valid = walk(3_000, 14)
    start = 3_000 - feature_set.warmup - 100
    whole, _ = scan(feature_set, candles(ohlcv, valid))
    short, _ = scan(feature_set, candles(ohlcv[start:], valid[start:]))
    np.testing.assert_allclose(whole[-100:], short[-100:], rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"volatility_half_life": 0}, "volatility_half_life 0"),
        ({"clip": -1.0}, "clip -1.0"),
        ({"rsi_period": 0}, "rsi_period 0"),
        ({"macd_fast": 26}, "macd_fast below macd_slow"),
    ],
)
def test_impossible_options_are_refused_by_name(options: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Indicators(**options)  # type: ignore[arg-type]
