"""The ways of calling that README shows: everything there, 1s missing, one timeframe only."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from callers import full_model

from mtf.calling.answer import Answer
from mtf.calling.model import KeywordModel

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
SECTION = README.partition("## Call the model\n")[2].partition("\n## ")[0]


def test_the_examples_of_the_readme_run_and_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[set[str], Answer]] = []
    forward = KeywordModel.forward

    def noted(self: KeywordModel, **inputs: Any) -> Answer:
        calls.append((set(inputs), forward(self, **inputs)))
        return calls[-1][1]

    monkeypatch.setattr(KeywordModel, "forward", noted)
    asking, training = re.findall(r"^```python\n(.*?)^```", SECTION, re.DOTALL | re.MULTILINE)
    exec(asking, {})
    everything = {"price_data_1s", "price_data_1m", "price_data_1h", "price_data_1d", "btc_data_1m"}
    assert [given for given, _ in calls] == [
        everything, everything - {"price_data_1s"}, {"price_data"},
    ]  # fmt: skip
    for _, answer in calls:
        assert answer["action_probs"].sum(1).tolist() == pytest.approx([1, 1], abs=1e-5)
        assert answer["next_candles"]["1s"].shape == answer["btc_next_candle"].shape == (2, 5)
        assert torch.isfinite(answer["next_candle_ohlcv"]["1m"]).all()
    names: dict[str, Any] = {}
    exec(training, names)
    assert names["loss"].item() > 0
    assert all(p.grad is not None for p in names["model"].hybrid.fusion.parameters())


def test_the_readme_names_outputs_that_there_are() -> None:
    answer = full_model()()
    named = set(re.findall(r"`(\w+_\w+|confidence)(?:\[[^\]]*\])?`", SECTION))
    inputs = {name for name in named if "data" in name or name == "position_state"}
    assert len(inputs) >= 5
    assert inputs <= set(full_model().inputs)
    outputs = {name for name in named - inputs if not name.startswith("target_")}
    assert len(outputs) >= 9
    assert outputs <= set(answer)
