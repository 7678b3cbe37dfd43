"""The loop: resumes bit for bit, accumulates exactly, stops on NaN, keeps the best."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from tasks import Silent, small_task

from mtf.errors import CheckpointError, DataError
from mtf.learning.checkpoint import read_newest
from mtf.learning.fit import Fitting
from mtf.learning.optimise import named_tensors
from mtf.learning.validate import Validation
from mtf.market.times import iso


def fitting(folder: Path | None = None, **changes: Any) -> Fitting:
    """A small training loop."""
    return small_task(**changes).fitting(Silent(), Silent(), folder)


def same(left: Fitting, right: Fitting) -> bool:
    """Whether two models have bit-equal weights."""
    pairs = zip(named_tensors(left.model).items(), named_tensors(right.model).items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def test_the_same_seed_gives_the_same_weights() -> None:
    one = fitting()
    one.run()
    two = fitting()
    two.run()
    assert same(one, two)
    assert one.state.history == two.state.history


@pytest.mark.parametrize("stop_after", [1, 3, 4, 6, 7])
def test_a_run_stopped_anywhere_goes_on_bit_for_bit(tmp_path: Path, stop_after: int) -> None:
    changes = {"training": {"ema_decay": 0.9}, "model": {"fusion": {"dropout": 0.3}}}
    whole = fitting(tmp_path / "whole", **changes)
    whole.run()
    first = fitting(tmp_path / "cut", **changes)
    step = first._step

    def interrupted() -> None:
        if first.state.step == stop_after - 1:
            signal.raise_signal(signal.SIGINT)  # Ctrl-C before the step: the step is finished
        step()

    first._step = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        first.run()
    torch.manual_seed(12345)  # the process that resumes has drawn other numbers
    second = fitting(tmp_path / "cut", **changes)
    second.restore(read_newest(tmp_path / "cut", "last"))
    assert second.state.step == stop_after
    second.run()
    assert same(whole, second)
    assert whole.state.history == second.state.history
    best = [read_newest(tmp_path / name, "best").tensors["weights"] for name in ("whole", "cut")]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])


def scaling(folder: Path) -> Fitting:
    """A loop that scales its gradients as 16-mixed does on a GPU: doubled every three steps."""
    scaler = torch.amp.GradScaler(device="cpu", init_scale=16.0, growth_interval=3)
    precision = MixedPrecision("16-mixed", device="cpu", scaler=scaler)
    task = replace(small_task(), fabric=Fabric(accelerator="cpu", plugins=[precision]))
    return task.fitting(Silent(), Silent(), folder)


def test_the_scale_of_gradients_is_gone_on_with(tmp_path: Path) -> None:
    whole = scaling(tmp_path / "whole")
    whole.run()
    assert whole.fabric.strategy.precision.state_dict()["scale"] == 64.0  # 8 steps: doubled twice
    cut = scaling(tmp_path / "cut")
    for _ in range(4):
        cut._step()
    cut.save("last")
    resumed = scaling(tmp_path / "cut")
    resumed.restore(read_newest(tmp_path / "cut", "last"))
    saved = resumed.fabric.strategy.precision.state_dict()
    assert (saved["scale"], saved["_growth_tracker"]) == (32.0, 1)
    resumed.run()
    assert same(whole, resumed)
    assert resumed.fabric.strategy.precision.state_dict()["scale"] == 64.0


def test_a_checkpoint_of_another_precision_is_refused(tmp_path: Path) -> None:
    scaling(tmp_path).save("last")
    with pytest.raises(CheckpointError, match=r"not that of this fabric\.precision"):
        fitting().restore(read_newest(tmp_path, "last"))


def test_what_was_logged_before_a_checkpoint_is_written_out_with_it(tmp_path: Path) -> None:
    run = fitting(tmp_path, training={"epochs": 1})
    flushed: list[int] = []
    run.log.flush = lambda: flushed.append(run.state.step)  # type: ignore[method-assign]
    run.run()
    assert flushed == [3, 4, 4]  # every third step; best and last after the epoch


def test_two_accumulated_batches_are_one_large_batch() -> None:
    def gradients(accumulate: int, groups: int, parts: list[int]) -> list[torch.Tensor]:
        run = fitting(
            model={"fusion": {"dropout": 0.0}},
            training={
                "accumulate": accumulate,
                "stream_dropout": 0.0,
                "sampling": {"groups": groups},
            },
        )
        times = np.concatenate([four_groups.sampler.times(0, 0, part) for part in parts])
        pieces = np.split(times, accumulate)
        end = run.parts["train"].end_ms
        run._backward(run.feed.cut([run.panel.first.build(piece, end) for piece in pieces]))
        return [p.grad.clone() for p in run.model.parameters() if p.grad is not None]

    four_groups = fitting()
    large = gradients(1, 8, [0, 1])
    small = gradients(2, 4, [0, 1])
    for one, two in zip(large, small, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-7)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_dates() -> None:
    run = fitting()
    with torch.no_grad():
        next(run.model.parameters()).fill_(float("nan"))
    before = run.state.step
    with pytest.raises(DataError, match=r"not finite at step 0; .* between 2024-01-01 "):
        run.run()
    assert run.state.step == before


def test_dates_are_those_of_all_accumulated_batches() -> None:
    run = fitting(training={"accumulate": 3})
    parts = [run.sampler.times(0, 0, part) for part in range(3)]
    message = str(run._not_finite(float("nan")))
    assert iso(int(np.min(parts))) in message
    assert iso(int(np.max(parts))) in message


def test_a_validation_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    run = fitting(tmp_path, training={"epochs": 1})
    run._measure = lambda part: Validation(float("nan"), {})  # type: ignore[method-assign]
    with pytest.raises(DataError, match=r"validation loss nan after step 4.*2024-01-01 16:48"):
        run.run()
    assert not list(tmp_path.glob("best-*"))


def test_it_stops_when_the_validation_loss_no_longer_falls() -> None:
    run = fitting(training={"epochs": 6, "patience": 2, "optimizer": {"lr": 1e-12}})
    run.model.requires_grad_(True)
    losses = iter([1.0, 0.5, 0.7, 0.6, 0.4, 0.3])
    run._measure = lambda part: Validation(next(losses), {})  # type: ignore[method-assign]
    state = run.run()
    assert (state.epoch, state.best_epoch, state.best_loss) == (4, 1, 0.5)
    assert state.finished


def test_the_weights_at_the_end_are_kept_where_the_config_says_so(tmp_path: Path) -> None:
    run = fitting(tmp_path, training={"epochs": 3, "patience": None, "keep": "last"})
    losses = iter([1.0, 0.5, 0.7])
    run._measure = lambda part: Validation(next(losses), {})  # type: ignore[method-assign]
    state = run.run()
    assert (state.best_epoch, state.best_loss) == (2, 0.5)
    kept = read_newest(tmp_path, "best").tensors["weights"]
    assert same_values(kept, named_tensors(run.model))


def test_the_best_checkpoint_holds_the_averaged_weights(tmp_path: Path) -> None:
    run = fitting(tmp_path, training={"ema_decay": 0.9, "epochs": 1})
    run.run()
    assert run.average is not None
    best = read_newest(tmp_path, "best").tensors["weights"]
    assert all(torch.equal(best[name], value) for name, value in run.average.values.items())
    assert not same_values(best, named_tensors(run.model))


def same_values(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    """Whether all tensors are equal."""
    return all(torch.equal(left[name], right[name]) for name in left)


def test_every_figure_of_the_loop_is_logged() -> None:
    run = fitting(training={"epochs": 1})
    run.run()
    assert isinstance(run.log, Silent)
    names = set(run.log.scalars)
    assert {"train/loss", "train/action/loss", "lr", "grad_norm", "samples_per_second"} <= names
    assert {
        "validation/loss",
        "validation/action/log_loss",
        "validation/next_candle/btc/mse",
    } <= names
    assert len(run.log.scalars["train/loss"]) == 4


def test_training_learns_what_is_there() -> None:
    run = fitting(training={"epochs": 6, "sampling": {"groups": 8, "steps_per_epoch": 20}})
    history = run.run().history
    assert history[-1]["train"] < history[0]["train"]
