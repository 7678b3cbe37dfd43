"""The wrapped module keeps mtf's contract, and a model with it trains."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

pytest.importorskip("transformers", reason="Hugging Face's transformers is not installed")

import torch

import mtf
from mtf.errors import ConfigError
from mtf.testing import check_encoder
from mtf_time_series_transformer.encoder import TimeSeriesTransformer

SHORT = (
    'decisions={start: "2024-01-01", end: "2024-01-02", symbols: [ETHUSDT]}',
    "training.epochs=1",
    "training.sampling={groups: 8, decisions: 1, steps_per_epoch: 5}",
    "evaluation.bootstrap=10",
)


def test_it_keeps_the_contract() -> None:
    check_encoder(TimeSeriesTransformer)


def test_slots_that_are_not_valid_are_not_read() -> None:
    torch.manual_seed(0)
    encoder = TimeSeriesTransformer(5, 16).eval()
    valid = torch.ones(2, 12, dtype=torch.bool)
    valid[:, 3:6] = False
    x = torch.randn(2, 12, 5)
    other = torch.where(valid.unsqueeze(-1), x, 7.0)
    torch.testing.assert_close(encoder(x, valid)[valid], encoder(other, valid)[valid])


def test_a_window_beyond_max_slots_is_refused() -> None:
    encoder = TimeSeriesTransformer(5, 16, max_slots=8)
    assert encoder(torch.zeros(1, 8, 5), torch.ones(1, 8, dtype=torch.bool)).shape == (1, 8, 16)
    with pytest.raises(ConfigError, match="window of 9 candles"):
        encoder(torch.zeros(1, 9, 5), torch.ones(1, 9, dtype=torch.bool))


def test_a_model_with_it_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = Path(__file__).resolve().parents[1] / "transformer.yaml"
    run = mtf.fit(str(config), SHORT)
    assert math.isfinite(run.metrics["test"]["action"]["log_loss"]["value"])
    assert all("is not causal" in reason for reason in run.task().paths.values())
