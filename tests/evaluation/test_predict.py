"""Columns by name, one row a decision, NaN where there is no label."""

from __future__ import annotations

import numpy as np
import pytest
from tasks import small_task

from mtf.evaluation.predict import predictions_of
from mtf.learning.sweep import sweep

MINUTE = 60_000


def test_columns_say_head_target_and_value_and_absent_labels_are_nan() -> None:
    task = small_task()
    end = task.parts["test"].end_ms
    times = np.arange(end - 20 * MINUTE, end, MINUTE)
    found = sweep(task.model, task.builder, times, end)
    frame = predictions_of(task.builder.heads, found, "ETHUSDT", "test").frame()
    assert len(frame) == 20
    outputs = {"action.prob_buy", "action.prob_hold", "next_candle.1m.close", "next_candle.btc.low"}
    labels = {"action.label_class", "action.label_log_return", "next_candle.5m.label_close"}
    assert outputs | labels <= set(frame.columns)
    # 15 minutes ahead: the first six of twenty decisions have an action label, the rest look out.
    assert np.isfinite(frame["action.label_class"]).sum() == 6
    assert np.isfinite(frame["action.label_class"][:6]).all()
    assert np.isfinite(frame["next_candle.1m.label_close"]).all()
    probs = frame[["action.prob_buy", "action.prob_sell", "action.prob_hold"]].sum(axis=1)
    assert probs.to_numpy() == pytest.approx(1.0, abs=1e-5)
