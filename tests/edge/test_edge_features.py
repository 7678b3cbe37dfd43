"""The runner's features beside those of mtf: candles, gaps, silence, every setting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtf.edge.candle import Candle
from mtf.edge.errors import RunnerError
from mtf.edge.features import Features, features_of
from mtf.market.feature_set import FeatureSet
from mtf.market.features import Indicators, Ohlcv

OHLCV: dict[str, Any] = {"volatility_half_life": 5, "volume_half_life": 7, "clip": 3.0}
INDICATORS: dict[str, Any] = {
    "volatility_period": 6,
    "volume_period": 9,
    "rsi_period": 4,
    "macd_fast": 3,
    "macd_slow": 8,
    "macd_signal": 5,
    "vwap_period": 7,
    **OHLCV,
}


def market(seed: int, slots: int, gaps: float, still: float) -> tuple[np.ndarray, np.ndarray]:
    """Candles and which are there; some stand still without volume."""
    rng = np.random.default_rng(seed)
    steps = np.where(rng.random((slots, 4)) < still, 0.0, rng.normal(0, 0.004, (slots, 4)))
    path = 100 * np.exp(np.cumsum(steps.reshape(-1))).reshape(slots, 4)
    volume = np.where(rng.random(slots) < still, 0.0, rng.exponential(50, slots))
    ohlcv = np.stack([path[:, 0], path.max(1), path.min(1), path[:, 3], volume], axis=1)
    return ohlcv, rng.random(slots) >= gaps


def scanned(scan: Features, ohlcv: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, usable = np.zeros((len(valid), scan.channels), np.float32), np.zeros(len(valid), bool)
    for slot, there in enumerate(valid):
        found = None
        if there:
            found = scan.step(Candle._make([*ohlcv[slot].tolist(), 0]))
        else:
            scan.skip()
        usable[slot] = found is not None
        values[slot] = 0 if found is None else found
    return values, usable


@pytest.mark.parametrize(
    ("name", "options", "oracle"),
    [
        ("ohlcv", OHLCV, Ohlcv(**OHLCV)),
        ("indicators", INDICATORS, Indicators(**INDICATORS)),
    ],
)
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    gaps=st.sampled_from([0.0, 0.05, 0.5]),
    still=st.sampled_from([0.0, 0.3, 0.95]),
)
def test_every_feature_is_that_of_mtf(
    name: str, options: dict[str, Any], oracle: FeatureSet, seed: int, gaps: float, still: float
) -> None:
    ohlcv, valid = market(seed, 150, gaps, still)
    candles = np.where(valid[:, None], ohlcv, np.nan)
    values, usable = oracle.scan(candles, valid, oracle.initial_state())
    mine, known = scanned(features_of(name, options), ohlcv, valid)
    assert (known == usable).all()
    assert np.abs(mine - values).max() < 2e-5  # float32 of what was divided by a small sigma


@pytest.mark.parametrize(("name", "options"), [("ohlcv", OHLCV), ("indicators", INDICATORS)])
def test_a_copy_goes_on_as_the_scan_would_have(name: str, options: dict[str, Any]) -> None:
    ohlcv, valid = market(1, 120, 0.1, 0.1)
    scan = features_of(name, options)
    scanned(scan, ohlcv[:60], valid[:60])
    saved = scan.copy()
    first = scanned(scan, ohlcv[60:], valid[60:])
    second = scanned(saved, ohlcv[60:], valid[60:])
    assert (first[0] == second[0]).all()
    assert first[1].sum() > 20


def test_features_of_a_stranger_are_a_message() -> None:
    with pytest.raises(RunnerError, match=r"'mine'\n  expected: one of ohlcv, indicators"):
        features_of("mine", {})
