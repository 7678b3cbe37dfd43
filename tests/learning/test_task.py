"""A config made ready: what can't work is said before the first step, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tasks import file_config, small_config, small_task

from mtf.errors import ConfigError, DataError
from mtf.learning.optimise import named_tensors
from mtf.learning.splits import Part
from mtf.learning.task import prepare

DAY = 1_440


def test_a_part_without_candles_is_told_before_training(tmp_path: Path) -> None:
    # The decisions are those of one day; the file ends in the training part.
    config = file_config(tmp_path / "short.csv", DAY // 2)
    with pytest.raises(DataError) as caught:
        prepare(config)
    message = str(caught.value)
    assert "no 1m candle of ETHUSDT in the validation part, 2024-01-01 16:48 to" in message
    assert "there are candles from 2024-01-01 00:00 to 2024-01-01 11:59" in message
    assert "decisions.end" in message


def test_a_part_shorter_than_a_group_is_told_before_training() -> None:
    sampling = {"decisions": 600, "stride": 2}
    with pytest.raises(DataError, match="a group needs 1199: 600 decisions × stride 2"):
        small_task(training={"sampling": sampling})


def test_an_absent_device_is_a_message() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ConfigError, match=r"fabric.accelerator is cuda[\s\S]*accelerator=auto"):
        small_task(fabric={"accelerator": "cuda"})


def test_encoding_once_is_refused_where_it_would_be_another_result() -> None:
    encoder = {"name": "dsc", "causal": False}
    sampling = {"path": "encode_once"}
    with pytest.raises(ConfigError, match=r"path is encode_once, but for stream 1m"):
        small_task(model={"encoder": encoder}, training={"sampling": sampling})
    assert not any(small_task(model={"encoder": encoder}).builder.once.values())


def test_the_same_seed_gives_the_same_fresh_weights() -> None:
    config = small_config()
    one, two = (named_tensors(prepare(config).model) for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_parts_can_be_given_and_candles_taken_from_a_task_beside() -> None:
    config = small_config()
    first = prepare(config)
    day = first.parts["train"].start_ms
    hours = {"train": (0, 6), "validation": (6, 8), "calibration": (8, 9), "test": (9, 12)}
    parts = {
        name: Part(name, day + start * 3_600_000, day + end * 3_600_000)
        for name, (start, end) in hours.items()
    }
    other = prepare(config.model_copy(update={"seed": 1}), parts, first)
    assert other.parts == parts
    assert other.sampler.starts.max() < parts["train"].end_ms
    assert other.world is first.world
    assert other.fingerprint == first.fingerprint
    fresh = prepare(config.model_copy(update={"seed": 1}), parts)
    for name, tensor in named_tensors(fresh.model).items():
        assert torch.equal(named_tensors(other.model)[name], tensor)
