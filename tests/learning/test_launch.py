"""Several processes learn what one learns: the same gradients, losses, statistics and forecasts."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tasks import Silent, small_config
from torch import Tensor

from mtf.config.schema import Config
from mtf.errors import ConfigError
from mtf.learning.checkpoint import read_newest
from mtf.learning.fit import Fitting
from mtf.learning.launch import leads, together
from mtf.learning.optimise import named_tensors
from mtf.learning.task import Task, prepare

Gradients = list[dict[str, Tensor]]


def settings() -> tuple[object, ...]:
    """What belongs to the whole process, and what the processes' meeting sets."""
    variables = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    return variables, sys.excepthook, torch.get_num_threads()


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    """Nothing of the process is changed once the others have ended."""
    before = settings()
    yield
    assert settings() == before
    assert not torch.distributed.is_initialized()


def everything(devices: int) -> Config:
    """A panel with batch norm, five groups for two processes, two batches a step, the mirror."""
    return small_config(
        decisions={"symbols": ["ETHUSDT", "SOLUSDT"]},
        model={
            "encoder": {"norm": "batch"},
            "tokens": {"forming": True},
            "fusion": {"dropout": 0.0},
            "mirror": True,
        },
        training={"epochs": 1, "accumulate": 2, "symbol_dropout": 0.2, "sampling": {"groups": 5}},
        fabric={"devices": devices},
    )


def trained(task: Task) -> tuple[Fitting, Gradients]:
    """Train to the end; the gradients of every step before they were clipped."""
    fitting = task.fitting(Silent(), Silent(), None)
    fitting.begin()
    gradients: Gradients = []
    clip = fitting._clip

    def noted() -> Tensor:
        named = fitting.model.named_parameters()
        gradients.append({name: one.grad.clone() for name, one in named if one.grad is not None})
        return clip()

    fitting._clip = noted  # type: ignore[method-assign]
    fitting.run()
    return fitting, gradients


def check_same(processes: int) -> None:
    """All that several processes come to is what one comes to."""
    one, wanted = trained(prepare(everything(1)))
    with together(prepare(everything(processes))) as task:
        several, found = trained(task)
    assert several.ranks == processes
    for step, (left, right) in enumerate(zip(wanted, found, strict=True)):
        assert left.keys() == right.keys()
        for name, gradient in left.items():
            # Adam turns rounding of a gradient near 0 into a step; later gradients know of it.
            torch.testing.assert_close(
                right[name], gradient, rtol=0, atol=1e-7 if step == 0 else 1e-6, msg=name
            )
    assert isinstance(one.log, Silent)
    assert isinstance(several.log, Silent)
    for name in ("train/loss", "train/action/loss", "grad_norm", "validation/loss"):
        assert several.log.scalars[name] == pytest.approx(one.log.scalars[name], abs=1e-6), name
    statistics = dict(several.model.named_buffers())
    for name, value in one.model.named_buffers():
        if "running" in name:
            torch.testing.assert_close(statistics[name], value, rtol=1e-3, atol=1e-3)
    assert several.state.samples == one.state.samples == 4 * 2 * 5 * 4


def test_two_processes_have_the_gradients_of_one() -> None:
    check_same(2)


@pytest.mark.slow
def test_three_processes_have_the_gradients_of_one() -> None:
    check_same(3)


def dropping(devices: int) -> Config:
    """A config whose steps draw random numbers."""
    return small_config(
        model={"encoder": {"norm": "batch"}, "fusion": {"dropout": 0.3}},
        training={"ema_decay": 0.9},
        fabric={"devices": devices},
    )


def run(folder: Path, devices: int, stop_after: int | None = None, resumed: bool = False) -> Any:
    """Train, until Ctrl-C where one is to come; go on from the folder's newest checkpoint."""
    with together(prepare(dropping(devices))) as task:
        fitting = task.fitting(Silent(), Silent(), folder)
        fitting.begin(read_newest(folder, "last") if resumed else None)
        if not resumed:
            fitting.save("last")
        step = fitting._step

        def pressed() -> None:
            if fitting.state.step + 1 == stop_after:
                signal.raise_signal(signal.SIGINT)
            step()

        fitting._step = pressed  # type: ignore[method-assign]
        fitting.run()
    return fitting


@pytest.mark.slow
def test_a_run_of_two_is_stopped_and_gone_on_with_bit_for_bit(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", 2)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", 2, stop_after=3)
    assert read_newest(tmp_path / "cut", "last").state["step"] == 3
    shutil.copytree(tmp_path / "cut", tmp_path / "one")
    resumed = run(tmp_path / "cut", 2, resumed=True)
    pairs = zip(
        named_tensors(whole.model).items(), named_tensors(resumed.model).items(), strict=True
    )
    assert all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)
    assert resumed.state.history == whole.state.history
    alone = run(tmp_path / "one", 1, resumed=True)  # other random numbers, the same run
    assert (alone.state.step, alone.state.samples) == (whole.state.step, whole.state.samples)


def test_processes_without_a_group_are_refused_before_data_are_read() -> None:
    with pytest.raises(ConfigError, match=r"num_nodes is 6, training.sampling.groups is 4"):
        prepare(small_config(fabric={"devices": 3, "num_nodes": 2}))


def test_other_machines_have_to_know_where_the_first_one_is(monkeypatch: Any) -> None:
    two = small_config(fabric={"num_nodes": 2})
    with pytest.raises(ConfigError, match="MASTER_ADDR, MASTER_PORT, NODE_RANK is not set"):
        leads(two)
    for name, value in (("MASTER_ADDR", "10.0.0.1"), ("MASTER_PORT", "29500"), ("NODE_RANK", "1")):
        monkeypatch.setenv(name, value)
    assert not leads(two)
    monkeypatch.setenv("NODE_RANK", "0")
    assert leads(two)


def test_as_many_processes_as_torchrun_has_started(monkeypatch: Any) -> None:
    started = {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}
    for name, value in {**started, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}.items():
        monkeypatch.setenv(name, value)
    assert not leads(small_config(fabric={"devices": 2}))
    for devices in (1, 3):
        with pytest.raises(ConfigError, match="a process for each device of each machine"):
            leads(small_config(fabric={"devices": devices}))
