"""The baselines by name, as the config names them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence

from mtf.errors import ConfigError
from mtf.evaluation.baseline import Baseline
from mtf.evaluation.boosting import LightGBM
from mtf.evaluation.candle_baselines import MeanCandle, NaiveCandle
from mtf.evaluation.class_baselines import ClassPrior, Logistic, Momentum
from mtf.evaluation.pivot_baselines import PivotPrior
from mtf.evaluation.position_baselines import AlwaysLong, Flat, MomentumRule
from mtf.evaluation.regression_baselines import TrainMean, Zero
from mtf.evaluation.volatility_baselines import Ewma, Har, Persistence

_CLASSES = (ClassPrior, Momentum, Logistic, LightGBM)
_CANDLES = (NaiveCandle, MeanCandle)
_POSITIONS = (Flat, AlwaysLong, MomentumRule)
_VOLATILITIES = (Persistence, Ewma, Har)
_NUMBERS = (Zero, TrainMean, *_VOLATILITIES)
_EVERY = (*_CLASSES, *_CANDLES, *_NUMBERS, PivotPrior, *_POSITIONS)
BASELINES: dict[str, Callable[[], Baseline]] = {baseline.name: baseline for baseline in _EVERY}
DEFAULT = (
    *("class_prior", "momentum", "logistic", "naive_candle"),
    *("persistence", "ewma", "har"),
)
REFERENCES = (
    *("naive_candle", "mean_candle", "zero", "train_mean", "pivot_prior"),
    *("flat", "always_long", "momentum_rule"),
)
"""What skill is measured against: always computed, whether asked for or not."""


def check_baselines(names: Sequence[str]) -> None:
    """Refuse names that no baseline has.

    Raises:
        ConfigError: with the nearest names.
    """
    for name in names:
        if name in BASELINES:
            continue
        near = difflib.get_close_matches(name, BASELINES, n=3)
        raise ConfigError(
            f"evaluation.baselines: found {name!r}",
            f"names out of {', '.join(BASELINES)}",
            f"did you mean {' or '.join(near)}?" if near else "take one of these",
        )
