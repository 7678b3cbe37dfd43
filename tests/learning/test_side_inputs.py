"""Side inputs from the config to the prediction: masked, dropped, resumed."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sides import write_book
from tasks import Silent, small_task
from torch import Tensor

from mtf.evaluation.part import predict_part
from mtf.learning.batches import BatchBuilder
from mtf.learning.checkpoint import read_newest
from mtf.learning.fit import Fitting
from mtf.learning.optimise import named_tensors
from mtf.learning.task import Task
from mtf.market.candles import Candles
from mtf.market.side.position import position_elements
from mtf.market.stream import compute_stream
from mtf.model.batch import Batch

MINUTE, DAY_MS = 60_000, 86_400_000
START = 19_723 * DAY_MS
STREAMS = ("1m", "5m", "btc")


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All four, the books and the funding rates from files over the day of the small config."""
    folder = tmp_path_factory.mktemp("sides")
    write_book(folder / "book.parquet", START + np.arange(1_440) * MINUTE - 5_000)
    funding = pd.DataFrame({"time_ms": START + np.arange(-3, 3) * DAY_MS // 3})
    funding["funding_rate"] = np.arange(1.0, 7.0) * 1e-4
    funding.to_csv(folder / "ETHUSDT.csv", index=False)
    return {
        "market": {"funding": f"{folder}/{{symbol}}.csv"},
        "technical": None,
        "position_state": {},
        "book": {
            "name": "order_book",
            "path": str(folder / "book.parquet"),
            "snapshots": 3,
            "max_age_ms": 180_000,
        },
    }


@pytest.fixture(scope="module")
def task(sides: dict[str, Any]) -> Task:
    return small_task(side_inputs=sides)


def times_of(task: Task, count: int = 24) -> np.ndarray:
    return (task.parts["train"].start_ms + np.arange(count) * 17 * MINUTE)[None]


def lost(batch: int, *members: int) -> np.ndarray:
    """Every decision loses these streams (0 …) and side inputs (3 …)."""
    dropped = np.zeros((batch, len(STREAMS) + 4), bool)
    dropped[:, list(members)] = True
    return dropped


def test_a_batch_brings_every_side_input_in_its_shape(task: Task) -> None:
    batch = task.builder.build(times_of(task), None)
    shapes = {name: tuple(side.values.shape) for name, side in batch.side.items()}
    wanted = {"market": (1, 30), "technical": (1, 40), "position_state": (1, 5), "book": (3, 100)}
    assert shapes == {name: (24, *shape) for name, shape in wanted.items()}
    there = {name: float(side.valid.float().mean()) for name, side in batch.side.items()}
    assert there == {
        "market": pytest.approx(26 / 30),  # no file of open interest
        "technical": 1.0,
        "position_state": 1.0,
        "book": pytest.approx(1 - 3 / 24 / 3, abs=0.03),  # none before the first one
    }


def test_the_history_that_they_need_is_loaded(task: Task) -> None:
    """The market looks back 1,440 minutes from the first decision, the streams alone far less."""
    batch = task.builder.build(np.array([[task.parts["train"].start_ms]]), None)
    elements = list(task.builder.sides["market"].elements)
    for name in ("ref_return_1440", "correlation_1440", "beta_1440", "ref_volatility_1440"):
        assert batch.side["market"].valid[0, 0, elements.index(name)]


def test_both_paths_bring_the_same(task: Task) -> None:
    builder, times = task.builder, times_of(task)
    windows = replace(builder, once=dict.fromkeys(builder.once, False)).build(times, None)
    for name, side in builder.build(times, None).side.items():
        assert torch.equal(side.values, windows.side[name].values)
        assert torch.equal(side.valid, windows.side[name].valid)


def test_what_is_computed_from_a_stream_goes_with_it(task: Task) -> None:
    builder, times = task.builder, times_of(task)
    whole = builder.build(times, None, training=True).side
    elements = {name: list(side.elements) for name, side in builder.sides.items()}
    without_btc = builder.build(times, None, lost(24, 2), training=True).side
    gone = ~without_btc["market"].valid.any(0)[0]
    of_btc = ("ref_", "correlation", "beta", "open_interest")  # of the last there is no file
    assert [bool(x) for x in gone] == [e.startswith(of_btc) for e in elements["market"]]
    assert not without_btc["market"].values[..., gone].any()
    assert torch.equal(without_btc["technical"].valid, whole["technical"].valid)
    without_1m = builder.build(times, None, lost(24, 0), training=True).side
    gone = ~without_1m["market"].valid.any(0)[0]
    of_1m = ("correlation", "beta", "open_interest")
    assert [bool(x) for x in gone] == [e.startswith(of_1m) for e in elements["market"]]
    assert not without_1m["technical"].valid.any()
    assert without_1m["position_state"].valid.all((0, 1)).tolist() == [1, 1, 0, 0, 1]
    assert torch.equal(without_1m["book"].valid, whole["book"].valid)


def test_a_side_input_is_dropped_like_a_stream(task: Task) -> None:
    builder, times = task.builder, times_of(task)
    dropped = lost(24)
    dropped[3, 3], dropped[5, 6] = True, True
    whole, found = builder.build(times, None).side, builder.build(times, None, dropped).side
    assert not found["market"].valid[3].any()
    assert not found["book"].valid[5].any()
    rows = [i for i in range(24) if i not in (3, 5)]
    for name in whole:
        assert torch.equal(found[name].valid[rows], whole[name].valid[rows])
        assert torch.equal(found[name].values[rows], whole[name].values[rows])


def test_training_drops_streams_and_side_inputs_alike(sides: dict[str, Any]) -> None:
    """With dropout 1 the number of lost members is uniform in 0 … 7: each is lost half the time."""
    fitting = small_task(side_inputs=sides, training={"stream_dropout": 1.0}).fitting(
        Silent(), Silent(), None
    )
    gone = []
    for step in range(40):
        fitting.state.step = step
        batch = fitting._batch(0)
        gone.append(~batch.side["position_state"].valid[..., 0].flatten())  # its side has no source
    assert torch.cat(gone).float().mean() == pytest.approx(0.5, abs=0.08)


def test_a_true_position_may_be_given(task: Task) -> None:
    builder, times = task.builder, times_of(task, 2)
    known = builder.world.known(times[0])["1m"]
    figures = np.array([1.0, -1.0]), np.array([0.5, 0.2]), np.array([2_000.0, 2_100.0])
    true = position_elements(*figures, known.last_close, np.array([30, 60]), known.sigma)
    values, valid = true[:, None].astype(np.float32), np.ones((2, 1, 5), bool)
    given = {"position_state": (values, valid)}
    found = builder.build(times, None, lost(2, 0), given=given).side["position_state"]
    assert torch.equal(found.values, torch.from_numpy(values))
    assert found.valid.all()  # the exchange knows it, whatever streams are absent


def weights(fitting: Fitting) -> dict[str, Tensor]:
    return dict(named_tensors(fitting.model))


def test_it_learns_and_resumes_bit_for_bit_and_predicts(
    tmp_path: Path, sides: dict[str, Any]
) -> None:
    changes: dict[str, Any] = {"side_inputs": sides, "training": {"stream_dropout": 0.6}}

    def fitting(folder: str) -> Fitting:
        return small_task(**changes).fitting(Silent(), Silent(), tmp_path / folder)

    whole = fitting("whole")
    start = {name: tensor.clone() for name, tensor in weights(whole).items()}
    whole.run()
    moved = {
        name for name, tensor in weights(whole).items() if not torch.equal(tensor, start[name])
    }
    assert {name for name in weights(whole) if name.startswith("sides.")} <= moved
    cut = fitting("cut")
    step = cut._step

    def interrupted() -> None:
        if cut.state.step == 4:
            signal.raise_signal(signal.SIGINT)
        step()

    cut._step = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        cut.run()
    torch.manual_seed(12345)
    again = fitting("cut")
    again.restore(read_newest(tmp_path / "cut", "last"))
    assert again.state.step == 5
    again.run()
    assert all(torch.equal(weights(again)[name], weights(whole)[name]) for name in weights(whole))
    assert again.state.history == whole.state.history


def test_every_decision_of_a_part_is_predicted(task: Task) -> None:
    found, _ = predict_part(task, "test")
    assert len(found.times) > 150
    assert np.isfinite(found.outputs["action"]["probs"]).all()


def other_candles(candles: Candles) -> Candles:
    """Noise in place of every candle."""
    factor = np.exp(np.random.default_rng(9).normal(0, 0.05, (len(candles), 1)))
    return replace(candles, ohlcv=candles.ohlcv * factor)


def with_noise(builder: BatchBuilder, name: str) -> BatchBuilder:
    """The same builder over a world with noise in one stream."""
    stream = builder.world.streams[name]
    assert stream.feature_set is not None
    noisy = compute_stream(stream.spec, other_candles(stream.candles), stream.feature_set)
    world = replace(builder.world, streams={**builder.world.streams, name: noisy})
    return replace(builder, world=world)


def answers(task: Task, batch: Batch) -> list[Tensor]:
    with torch.no_grad():
        found = task.model.eval()(batch)
    return [output for head in found.values() for output in head.values()]


def test_noise_in_btc_changes_no_output_while_btc_is_masked(task: Task) -> None:
    """Bit for bit: neither its stream nor what the market vector makes of it comes through."""
    builder, noisy = task.builder, with_noise(task.builder, "btc")
    times = times_of(task)
    for training in (False, True):
        pair = [
            answers(task, one.build(times, None, lost(24, 2), training=training))
            for one in (builder, noisy)
        ]
        assert all(torch.equal(a, b) for a, b in zip(*pair, strict=True))
    seen = [answers(task, one.build(times, None)) for one in (builder, noisy)]
    assert not any(torch.equal(a, b) for a, b in zip(*seen, strict=True))


def test_without_side_inputs_weights_and_draws_are_as_they_were() -> None:
    """Side inputs add parameters behind all others and columns behind those of the streams."""
    plain = small_task()
    assert plain.builder.sides == {}
    assert plain.builder.build(times_of(plain), None).side == {}
    assert not [name for name in plain.model.state_dict() if name.startswith("sides")]
    assert plain.panel.members == len(STREAMS)
