"""Several symbols trained together: what each of them sees is what it would see alone."""

from __future__ import annotations

import signal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from panels import SYMBOLS, small_panel
from tasks import Silent, small_task
from torch import Tensor

from mtf.errors import DataError
from mtf.learning.calibrate import calibrate
from mtf.learning.checkpoint import read_newest
from mtf.learning.fit import Fitting
from mtf.learning.objective import count_labels, target_losses, total_loss
from mtf.learning.optimise import named_tensors
from mtf.learning.task import Task, left_out
from mtf.learning.validate import validate
from mtf.model.batch import Batch

FORMING = {"tokens": {"forming": True}}


@pytest.fixture(scope="module")
def task() -> Task:
    """The small panel with fresh weights."""
    return small_panel(model=FORMING)


def said(task: Task, batch: Batch) -> dict[str, Tensor]:
    """All outputs of all heads."""
    with torch.inference_mode():
        answer = task.model.eval()(batch)
    return {f"{head}.{name}": value for head, of in answer.items() for name, value in of.items()}


def moved_by(task: Task, batch: Batch, row: int) -> list[bool]:
    """Which decisions say something else when one symbol's vector is another."""
    before = said(task, batch)["action.logits"]
    vector = task.model.embeddings.symbol.data[row]
    kept = vector.clone()
    vector.copy_(torch.randn(vector.shape, generator=torch.Generator().manual_seed(0)))
    moved = (said(task, batch)["action.logits"] != before).any(1).tolist()
    vector.copy_(kept)
    return list(moved)


def groups_of_both(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Three groups about the first symbol and one about the second, at their own times."""
    start = task.parts["train"].start_ms
    first = np.array([[100], [101], [640], [300]]) + np.arange(4)[None, :] * 2
    return start + first * 60_000, np.array([0, 0, 0, 1])


def test_a_batch_of_both_says_what_the_batches_of_each_say(task: Task) -> None:
    times, symbols = groups_of_both(task)
    end_ms = task.parts["train"].end_ms
    dropped = task.sampler.dropped(0, 0, 3)
    dropped[5] = [True, False, False]
    both = task.panel.build(times, symbols, end_ms, dropped)
    builders = task.panel.builders
    eth = builders["ETHUSDT"].build(times[:3], end_ms, dropped[:12])
    sol = builders["SOLUSDT"].build(times[3:], end_ms, dropped[12:])
    lengths = {len(batch.streams["btc"].values[0]) for batch in (eth, sol)}
    assert len(lengths) == 2  # the shorter blocks were filled up
    together, alone = said(task, both), [said(task, batch) for batch in (eth, sol)]
    for name, value in together.items():
        apart = torch.cat([answer[name] for answer in alone])
        torch.testing.assert_close(value, apart, rtol=1e-6, atol=1e-6)
    for head, targets in both.targets.items():
        for target, labels in targets.items():
            parts = [batch.targets[head][target] for batch in (eth, sol)]
            assert torch.equal(labels.present, torch.cat([part.present for part in parts]))
            for name, value in labels.values.items():
                assert torch.equal(value, torch.cat([part.values[name] for part in parts]))
    assert both.symbol is not None
    assert both.symbol.tolist() == [0] * 12 + [1] * 4


def test_blocks_of_all_symbols_are_laid_out_together(task: Task) -> None:
    # Alone, ETH would take one long block and SOL two short ones, filled up to its length.
    start = task.parts["train"].start_ms
    minute = np.concatenate([np.arange(0, 300, 30), [0, 380]])
    times, symbols = start + minute[:, None] * 60_000, np.repeat([0, 1], [10, 2])
    builders = list(task.panel.builders.values())
    parts = (builders[0].build(times[:10], None), builders[1].build(times[10:], None))
    need = task.builder.required_slots["1m"]
    alone = [part.streams["1m"].values.shape[:2] for part in parts]
    both = task.panel.build(times, symbols, None)
    blocks, length = both.streams["1m"].values.shape[:2]
    assert [count for count, _ in alone] == [1, 2]
    assert blocks * length < sum(count for count, _ in alone) * max(slots for _, slots in alone)
    assert length >= need
    apart = torch.cat([said(task, part)["action.logits"] for part in parts])
    torch.testing.assert_close(said(task, both)["action.logits"], apart, rtol=1e-6, atol=1e-6)


def test_a_panel_of_one_is_the_plain_batch_bit_for_bit() -> None:
    one = small_task(model=FORMING)
    times, end_ms = one.sampler.times(0, 3), one.parts["train"].end_ms
    dropped = one.sampler.dropped(0, 3, 3)
    untold = np.ones(16, dtype=bool)  # a model of one symbol is not told which
    of_panel = one.panel.build(times, one.sampler.symbols(0, 3), end_ms, dropped, untold)
    plain = one.builder.build(times, end_ms, dropped)
    assert of_panel.symbol is None
    assert not one.model.embeddings.varying[0]
    assert len(one.model.embeddings.symbol) == 2  # ETH and BTC, no vector for unknown ones
    for name, stream in plain.streams.items():
        for field, value in vars(stream).items():
            if value is not None:
                assert torch.equal(vars(of_panel.streams[name])[field], value), (name, field)
    expected = said(one, plain)
    assert all(torch.equal(value, expected[name]) for name, value in said(one, of_panel).items())


def test_nothing_is_learned_of_any_symbol_beyond_the_border_of_all(task: Task) -> None:
    train, test = task.parts["train"], task.parts["test"]
    assert train.end_ms < test.start_ms
    for step in range(20):
        times = task.sampler.times(0, step)
        assert train.start_ms <= times.min() <= times.max() < train.end_ms
    last = train.end_ms - np.array([[16, 15, 14, 1]] * 2) * 60_000
    labels = task.panel.build(last, np.array([0, 1]), train.end_ms).targets
    assert labels["action"]["action"].present.tolist() == [True, True, False, False] * 2
    assert labels["next_candle"]["btc"].present.all()  # closes at the border itself


def test_reference_streams_are_one_in_memory_and_the_rest_is_of_each_symbol(task: Task) -> None:
    eth, sol = task.panel.worlds.values()
    assert eth.streams["btc"] is sol.streams["btc"]
    assert [one.streams["1m"].spec.symbol for one in (eth, sol)] == SYMBOLS
    assert [one.streams["5m"].candles.symbol for one in (eth, sol)] == SYMBOLS
    assert [one.clock_candles.symbol for one in (eth, sol)] == SYMBOLS
    assert task.fingerprint != small_task().fingerprint


def test_every_symbol_and_the_unknown_one_have_a_vector_that_learns(task: Task) -> None:
    times, symbols = groups_of_both(task)
    untold = np.arange(16) % 4 == 0
    batch = task.panel.build(times, symbols, task.parts["train"].end_ms, None, untold)
    assert batch.symbol is not None
    assert batch.symbol.tolist() == [-1, 0, 0, 0] * 3 + [-1, 1, 1, 1]
    heads = task.model.heads_by_name
    sums = target_losses(heads, task.model.train()(batch), batch)
    loss, _ = total_loss(heads, dict.fromkeys(heads, 1.0), sums, count_labels([batch]))
    loss.backward()
    gradient = task.model.embeddings.symbol.grad
    assert gradient is not None
    assert gradient.shape == (4, 16)  # BTC, ETH, SOL, and whatever was not learned
    assert (gradient.abs().sum(1) > 0).all()
    task.model.zero_grad()


def test_what_is_told_of_the_symbol_reaches_its_decisions_alone(task: Task) -> None:
    times, symbols = groups_of_both(task)
    batch = task.panel.build(times, symbols, None)
    btc, eth, sol, unknown = (moved_by(task, batch, row) for row in range(4))
    assert btc == [True] * 16
    assert eth == [True] * 12 + [False] * 4
    assert sol == [False] * 12 + [True] * 4
    assert not any(unknown)


def fitting(folder: Path) -> Fitting:
    """The training loop of a panel, with dropped streams and symbols."""
    training = {"symbol_dropout": 0.3, "ema_decay": 0.9}
    return small_panel(training=training).fitting(Silent(), Silent(), folder)


def test_a_panel_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole = fitting(tmp_path / "whole")
    whole.run()
    first = fitting(tmp_path / "cut")
    step = first._step

    def interrupted() -> None:
        if first.state.step == 4:
            signal.raise_signal(signal.SIGINT)
        step()

    first._step = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        first.run()
    torch.manual_seed(12345)
    second = fitting(tmp_path / "cut")
    second.restore(read_newest(tmp_path / "cut", "last"))
    second.run()
    weights = [named_tensors(one.model) for one in (whole, second)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert whole.state.history == second.state.history


def test_validation_is_the_mean_over_all_decisions_and_tells_each_symbol(task: Task) -> None:
    weights = {"action": 1.0, "next_candle": 0.1}
    part = task.parts["validation"]
    both = validate(task.model, task.panel, part, weights, 2)
    alone = [
        validate(task.model, type(task.panel)({symbol: builder}), part, weights, 2)
        for symbol, builder in task.panel.builders.items()
    ]
    for symbol, one in zip(SYMBOLS, alone, strict=True):
        assert both.figures[f"{symbol}/loss"] == pytest.approx(one.loss, rel=1e-9)
    assert both.loss == pytest.approx((alone[0].loss + alone[1].loss) / 2, rel=1e-2)
    assert "ETHUSDT/loss" not in alone[0].figures


def test_calibration_sees_every_symbol(monkeypatch: pytest.MonkeyPatch) -> None:
    task = small_panel(heads={"action": {}, "confidence": {}})
    head, seen = task.model.heads_by_name["confidence"], []
    monkeypatch.setattr(
        type(head), "calibrate", lambda _, target, outputs, label: seen.append(len(label.present))
    )
    assert calibrate(task)
    single = small_task(heads={"action": {}, "confidence": {}})
    assert calibrate(single)
    assert seen[0] > 1.5 * seen[1] > 0


def test_a_symbol_left_out_is_told_as_one_that_was_not_learned(task: Task) -> None:
    builder, source = left_out(task, "XRPUSDT", "test")
    assert builder.world.symbol == "XRPUSDT"
    assert builder.world.streams["btc"].spec.symbol == "BTCUSDT"
    part = task.parts["test"]
    batch = builder.build(part.times(builder.world.clock)[None, :50], part.end_ms)
    btc, eth, sol, unknown = (moved_by(task, batch, row) for row in range(4))
    assert all(btc + unknown)
    assert not any(eth + sol)
    assert source is not task.source


def candle_folder(folder: Path, minutes: dict[str, int]) -> Path:
    """A file of minutes from the start of 2024 for each symbol."""
    for symbol, count in minutes.items():
        price = 100 + np.sin(np.arange(count + 1))
        rows = ["time,open,high,low,close,volume"]
        rows += [
            f"{1_704_067_200 + 60 * i},{a},{max(a, b)},{min(a, b)},{b},1"
            for i, (a, b) in enumerate(pairwise(price.tolist()))
        ]
        (folder / f"{symbol}_1m.csv").write_text("\n".join(rows))
    return folder


def from_folder(folder: Path, symbols: list[str]) -> Task:
    """A panel on the files of a folder, one stream each."""
    return small_panel(
        data={"name": "csv", "path": str(folder)},
        decisions={
            "symbols": symbols,
            "start": "2024-01-01T04:00",
            "end": "2024-01-01T16:00",
        },
        streams={"5m": {"from": "1m"}, "btc": {"symbol": "AUSDT"}},
    )


@pytest.fixture
def csv_panel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of csv have no world or seed."""
    import tasks

    data = {"name": "csv", "path": "?"}
    monkeypatch.setattr(tasks, "SMALL", {**tasks.SMALL, "data": data})


@pytest.mark.usefixtures("csv_panel")
def test_a_symbol_without_a_file_is_named(tmp_path: Path) -> None:
    candle_folder(tmp_path, {"AUSDT": 1000, "BUSDT": 1000})
    with pytest.raises(DataError, match=r"CUSDT"):
        from_folder(tmp_path, ["BUSDT", "CUSDT"])
    task = from_folder(tmp_path, ["AUSDT", "BUSDT"])  # one of them is the reference of both
    roles = [stream.spec.role for stream in task.panel.worlds["AUSDT"].streams.values()]
    assert roles == ["primary", "primary", "reference"]
    with pytest.raises(DataError, match=r"CUSDT"):
        left_out(task, "CUSDT", "test")


@pytest.mark.usefixtures("csv_panel")
def test_a_symbol_without_candles_in_a_part_is_named(tmp_path: Path) -> None:
    candle_folder(tmp_path, {"AUSDT": 1000, "BUSDT": 1000, "CUSDT": 700})
    words = r"no 1m candle of CUSDT in the validation part, .* to 2024-01-01 11:39"
    with pytest.raises(DataError, match=words):
        from_folder(tmp_path, ["BUSDT", "CUSDT"])
    task = from_folder(tmp_path, ["AUSDT", "BUSDT"])
    with pytest.raises(DataError, match=r"no 1m candle of CUSDT in the test part"):
        left_out(task, "CUSDT", "test")
    assert left_out(task, "CUSDT", "train")[0].world.symbol == "CUSDT"
