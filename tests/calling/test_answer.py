"""Natural units beside the outputs, computed by hand from what the candles say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from callers import full_model, walk

from mtf.calling.answer import Answer
from mtf.market.kernels import VOLUME_SHARE

CANDLES = walk(2, seed=3)


@pytest.fixture(scope="module")
def answer() -> Answer:
    with torch.no_grad():
        said: Answer = full_model()(price_data_1m=CANDLES)
    return said


def sigma(half_life: int, squared: bool) -> np.ndarray:
    """Volatility of the last candle's close: about zero with ``squared``, else about the mean."""
    returns = np.diff(np.log(CANDLES[:, :, 3]), axis=1)
    weights = 0.5 ** (np.arange(returns.shape[1])[::-1] / half_life)
    weights /= weights.sum()
    mean = 0.0 if squared else (returns * weights).sum(1, keepdims=True)
    variance = (weights * (returns - mean) ** 2).sum(1)
    return np.asarray(np.sqrt(variance))


def test_the_scales_are_those_of_the_arrays(answer: Answer) -> None:
    assert answer.units.known["1m"].sigma == pytest.approx(sigma(20, squared=True), rel=1e-9)
    assert answer.units.known["1m"].last_close.tolist() == CANDLES[:, -1, 3].tolist()
    assert answer.units.label_volatility == pytest.approx(sigma(240, squared=False), rel=0.02)


def test_price_and_volatility_over_fifteen_minutes(answer: Answer) -> None:
    unit = answer.units.label_volatility[:, None] * math.sqrt(15)
    log_return = answer["price_prediction"].numpy() * unit
    assert answer["price_log_return"].numpy() == pytest.approx(log_return, rel=1e-5)
    realised = np.exp(answer["volatility_prediction"].numpy()) * unit
    assert answer["volatility_realised"].numpy() == pytest.approx(realised, rel=1e-5)


def test_a_predicted_candle_is_a_candle_around_the_last_close(answer: Answer) -> None:
    known, said = answer.units.known["1m"], answer["next_candles"]["1m"].numpy().astype(float)
    prices = known.last_close[:, None] * np.exp(said[:, :4] * known.sigma[:, None])
    volume = (np.exp(said[:, 4]) * (1 + VOLUME_SHARE) - VOLUME_SHARE) * known.volume_mean
    decoded = answer["next_candle_ohlcv"]["1m"].numpy()
    assert decoded[:, :4] == pytest.approx(prices, rel=1e-6)
    assert decoded[:, 4] == pytest.approx(volume, rel=1e-5)
    assert (decoded[:, 2] <= decoded[:, [0, 3]].min(1)).all()
    assert (decoded[:, 1] >= decoded[:, [0, 3]].max(1)).all()
    assert np.isnan(answer["btc_next_candle_ohlcv"].numpy()).all(), "no BTC, no price of it"


def test_the_slope_of_a_stream_and_the_distance_of_a_pivot(answer: Answer) -> None:
    line = answer["trend_analysis"]["1m"]
    per_candle = line["slope"][:, 0].numpy() * answer.units.known["1m"].sigma / math.sqrt(5)
    assert line["log_return_per_candle"][:, 0].numpy() == pytest.approx(per_candle, rel=1e-5)
    pivot, unit = answer["next_pivots"]["L2"], answer.units.label_volatility * math.sqrt(240)
    distance = pivot["distance"][:, 0].numpy() * unit
    assert pivot["log_return"][:, 0].numpy() == pytest.approx(distance, rel=1e-5)
    steps = np.exp(pivot["log_time"].numpy())
    assert pivot["clock_steps"].numpy() == pytest.approx(steps, rel=1e-5)


def test_names_follow_the_head_s_key() -> None:
    head = full_model().hybrid.heads_by_name["next_candle"]
    with torch.no_grad():
        answer = full_model()()
    named = head.named("mine", answer.outputs["next_candle"], answer.units)
    assert set(named) == {"mines", "mine_ohlcv", "btc_mine", "btc_mine_ohlcv"}
