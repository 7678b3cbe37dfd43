"""What research says at the times of a session: worlds and batches, no streaming engine.

The way of ``mtf evaluate`` over candles that are in memory: what is known at ``t`` is found by
``as_of``, blocks are built by ``BatchBuilder``, the model is asked many decisions at once. Nothing
is loaded, so the data folder of the run may be gone, and nothing is labelled.

Side inputs come along as far as they are made of streams and of the time (``side_inputs``). What
reads files of its own (``order_book``; ``market`` with funding or open interest) is missing, as it
is in a session; ``position_state`` is flat, as in every evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Int64

from mtf.config.build import build
from mtf.config.schema import Config
from mtf.errors import DataError, MtfError
from mtf.evaluation.predict import columns_of
from mtf.evaluation.traded import backtest_of
from mtf.learning.batches import BatchBuilder
from mtf.learning.load import feature_sets, history_starts, worlds_of
from mtf.learning.sweep import ONCE_DECISIONS, WINDOW_DECISIONS
from mtf.learning.task import choose_paths
from mtf.market.candles import Candles
from mtf.market.side_input import SideInput, with_history
from mtf.model.build import build_side_inputs
from mtf.model.hybrid import HybridModel
from mtf.plugins.contracts import Head
from mtf.predictions import Predictions
from mtf.realtime.decision import Decision
from mtf.realtime.events import Key
from mtf.realtime.session_candles import given

PART = "live"
"""What stands in the place of the part in predictions of a session."""

Outputs = Mapping[str, Mapping[str, np.ndarray]]
"""Head → output → one row a decision."""


def said_of(heads: Mapping[str, Head], outputs: Outputs) -> dict[str, float]:
    """One decision's outputs by the columns of ``Predictions``, such as ``action.prob_buy``.

    Args:
        heads: of the model (``heads_by_name``).
        outputs: with one row, as ``Streaming.decide`` returns them.
    """
    return {name: float(values[0]) for name, values in columns_of(heads, outputs).items()}


def history_needed(
    config: Config, model: HybridModel, first_ms: int, symbol: str | None = None
) -> dict[Key, int]:
    """Earliest open time (ms) of what a session has to ask for before its first decision.

    Args:
        config: of the run.
        model: of the run.
        first_ms: the first decision.
        symbol: the primary one; None = the run's first.
    """
    symbol = symbol or config.symbol
    required = with_history(_required(model), side_inputs(config, symbol))
    return history_starts(config, symbol, feature_sets(config), required, first_ms)


def side_inputs(config: Config, symbol: str | None = None) -> dict[str, SideInput]:
    """The side inputs that need nothing but streams and the time."""
    streams, clock = config.stream_specs(symbol), config.decisions.clock
    sides = build_side_inputs(config, streams, clock, symbol)
    return {name: side for name, side in sides.items() if not _reads_files(side)}


def _reads_files(side: SideInput) -> bool:
    """Whether a side input has data of its own, there or gone."""
    try:
        return bool(side.fingerprint())
    except DataError:
        return True


def batch_predictions(
    config: Config,
    model: HybridModel,
    candles: Mapping[Key, Candles],
    times: Int64[np.ndarray, " decision"],
    symbol: str | None = None,
) -> Predictions:
    """What research says at some times of a session's candles.

    Args:
        config: of the run.
        model: of the run, in evaluation.
        candles: history and live, of every key that ``history_needed`` names. What was known when
            is what they say themselves: ``as_decided`` for what the session saw, ``on_time`` for
            what a backtest of the same candles assumes.
        times: of the decisions, ms UTC.
        symbol: the primary one; None = the run's first.

    Raises:
        DataError: candles of a key are not there.
        MtfError: the model is in training.
    """
    if model.training:
        raise MtfError("found a model in training", "one in evaluation", "call model.eval()")
    symbol = symbol or config.symbol
    if not len(times):
        return Predictions(times, symbol, PART, {})
    builder = _builder(config, model, candles, symbol)
    size = ONCE_DECISIONS if all(builder.once.values()) else WINDOW_DECISIONS
    pieces = [
        _asked(model, builder, times[start : start + size]) for start in range(0, len(times), size)
    ]
    columns = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    return Predictions(times, symbol, PART, columns)


def decisions_of(config: Config, predictions: Predictions) -> list[Decision]:
    """What the run's policy makes of predictions, all of it allowed: what a session should decide.

    Raises:
        ConfigError: the run has no backtest, so no policy.
        DataError: the policy misses something in the predictions.
    """
    if not len(predictions):
        return []
    targets = build("policy", backtest_of(config).policy).targets(predictions)
    names, times = list(predictions.arrays), targets.times.tolist()
    said = np.stack([predictions.arrays[name] for name in names], axis=1).astype(np.float64)
    wanted = (targets.weight, targets.weight, targets.confidence, targets.stop_loss)
    rows = np.stack([*wanted, targets.take_profit], axis=1).tolist()
    return [
        Decision(time, dict(zip(names, row, strict=True)), *figures)
        for time, row, figures in zip(times, said.tolist(), rows, strict=True)
    ]


def _required(model: HybridModel) -> dict[str, int]:
    """Slots that a decision needs of each stream."""
    return {spec.name: model.required_slots(spec.name) for spec in model.streams}


def _builder(
    config: Config, model: HybridModel, candles: Mapping[Key, Candles], symbol: str
) -> BatchBuilder:
    """What makes batches of a session's candles.

    Raises:
        DataError: candles of a key are not there.
    """
    sets, required = feature_sets(config), _required(model)
    wanted = {key: given(candles, key) for key in history_starts(config, symbol, sets, required, 0)}
    return BatchBuilder(
        worlds_of(config, sets, wanted, [symbol])[symbol],
        {},  # without heads nothing is labelled
        required,
        choose_paths(model, config.training.sampling.path)[0],
        model.forming_streams,
        side_inputs(config, symbol),
        config.panel.index(symbol) if symbol in config.panel else None,
    )


@torch.inference_mode()
def _asked(
    model: HybridModel, builder: BatchBuilder, times: Int64[np.ndarray, " decision"]
) -> dict[str, np.ndarray]:
    """The columns of one batch."""
    device = next(model.parameters()).device
    answer = model(builder.build(times[None], None).to(device))
    outputs = {
        head: {name: value.float().cpu().numpy() for name, value in said.items()}
        for head, said in answer.items()
    }
    return columns_of(model.heads_by_name, outputs)


__all__ = [
    "batch_predictions",
    "decisions_of",
    "history_needed",
    "said_of",
    "side_inputs",
]
