"""The model as a torch module: trained by its callers, opened from a run, moved and saved."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from callers import full_config, full_model, walk
from tasks import small_config

import mtf
from mtf.calling.model import KeywordModel
from mtf.config.load import parse_config
from mtf.learning.batches import BatchBuilder
from mtf.train import train


def test_gradients_reach_the_weights_and_a_few_steps_learn_the_targets() -> None:
    model = KeywordModel.of(full_config()).train()
    candles, targets = walk(4, 91), {"target_action": np.array([0, 1, 2, -1])}
    given = {"price_data_1m": candles[:, :-1], "btc_data_1m": walk(4, seed=1)}
    targets["target_1m"] = candles[:, -1]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(15):
        loss = model.loss(model(**given), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    assert model.hybrid.encoders[0].get_parameter("project.weight").grad is not None


def test_it_asks_in_evaluation_until_it_is_told_to_train() -> None:
    model, candles = KeywordModel.of(full_config()), walk(2)
    assert torch.equal(model(price_data=candles)["price_prediction"],
                       model(price_data=candles)["price_prediction"])  # fmt: skip
    weights = [deepcopy(one.state_dict()) for one in (model, KeywordModel.of(full_config()))]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    other = KeywordModel.of(full_config().model_copy(update={"seed": 1}))
    assert not torch.equal(other.hybrid.embeddings.missing, model.hybrid.embeddings.missing)


def test_the_generator_of_the_caller_is_left_as_it_was() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    KeywordModel.of(full_config())
    assert torch.equal(torch.rand(3), wanted)


def test_an_element_is_masked_with_the_stream_that_it_is_computed_from() -> None:
    """Without BTC, nothing that the market vector says of BTC can be heard; with it, it can."""
    side = full_model().sides["market"]
    of_btc = [i for i, name in enumerate(side.elements) if "btc" in side.sources.get(name, ())]
    assert len(of_btc) >= 5
    given: dict[str, Any] = {n: walk(1) for n in ("1s", "1m", "1h", "1d")}
    quiet = np.random.default_rng(0).normal(size=(1, 30))
    noisy = quiet.copy()
    noisy[:, of_btc] += 3
    for btc, heard in ((None, False), (walk(1), True)):
        with torch.no_grad():
            first, second = (
                full_model()({**given, "btc": btc}, market_data=vector)["action_logits"]
                for vector in (quiet, noisy)
            )
        assert torch.equal(first, second) != heard


def test_a_panel_is_told_its_symbol_or_takes_it_as_unknown() -> None:
    panel = small_config(decisions={"symbols": ["ETHUSDT", "SOLUSDT"]})
    model, candles = KeywordModel.of(panel), np.repeat(walk(1, 200), 2, axis=0)
    with torch.no_grad():
        torch.nn.init.normal_(model.hybrid.embeddings.symbol)
        eth, sol = model(price_data=candles, symbol=["ETHUSDT", "SOLUSDT"])["action_logits"]
        both = model(price_data=candles, symbol="SOLUSDT")["action_logits"]
        unknown = model(price_data=candles)["action_logits"]
    assert torch.equal(both[0], both[1])
    assert torch.allclose(both[0], sol)
    assert not torch.allclose(eth, sol)
    assert not torch.allclose(unknown[0], sol)
    assert not torch.allclose(unknown[0], eth)


def test_a_run_is_called_with_its_trained_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As its own task answers, and without its data."""
    monkeypatch.chdir(tmp_path)
    features = {"name": "ohlcv", "volatility_half_life": 3, "volume_half_life": 3}
    changes: dict[str, Any] = {"features": features, "training": {"epochs": 1}}
    run = train(small_config(evaluation={"bootstrap": 0, "baselines": []}, **changes))
    task = run.task()
    time = np.array([[task.parts["test"].start_ms]], np.int64)
    world = task.builder.world if isinstance(task.builder, BatchBuilder) else None
    assert world is not None
    with torch.no_grad():
        wanted = task.model.eval()(task.builder.build(time, None))
        given = {}
        for name in ("1m", "btc"):
            candles = world.streams[name].candles
            end = int(candles.timeframe.last_slot(int(time[0, 0]))) - candles.first_slot + 1
            given[name] = candles.ohlcv[None, end - 400 : end]
        answer = mtf.load(run.path).model()(given, time_ms=time[0])
    assert answer["action_probs"] == pytest.approx(wanted["action"]["probs"], abs=1e-5)


def test_what_a_stranger_s_head_says_is_called_by_its_name_and_output() -> None:
    config = full_config().model_dump(mode="json", by_alias=True)
    config["heads"] = {"soon": {"name": "action", "horizon": 5}, "late": {"name": "price"}}
    answer = KeywordModel.of(parse_config(config))(price_data=walk(1))
    assert set(answer) == {"soon_logits", "soon_probs", "late_prediction", "late_log_return"}
