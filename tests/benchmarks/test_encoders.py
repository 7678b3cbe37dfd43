"""Encoders side by side: the same options, the layer as published, learning paired by seed."""

from __future__ import annotations

import pytest
import torch
from tasks import small_config

from mtf.benchmarks import encoders
from mtf.benchmarks.encoders import Scores, choices_of, learned, one_layer, published, sizes, twins
from mtf.config.schema import Config
from mtf.learning.task import prepare


@pytest.fixture(scope="module")
def wide() -> Config:
    """With the 64 channels of the published table."""
    return small_config(model={"embed_dim": 64})


def test_options_that_encoders_share_are_kept_and_taps_go_to_those_that_have_them() -> None:
    base = small_config(model={"encoder": {"name": "dsc", "num_blocks": 2, "norm": "layer"}})
    few, many = choices_of(base, "conv", [3, 9])
    assert (few.name, many.name) == ("conv, 3 taps", "conv, 9 taps")
    options = many.config.model.encoder.options
    assert (options["num_blocks"], options["norm"], options["kernel_size"]) == (2, "layer", 9)
    (gru,) = choices_of(base, "gru", [3, 9])
    assert (gru.name, gru.taps, gru.config.model.encoder.name) == ("gru", None, "gru")
    assert few.config.training == gru.config.training == base.training


def test_each_is_compared_with_ordinary_convolutions_of_as_many_taps(wide: Config) -> None:
    choices = [one for name in ("conv", "dsc", "gru") for one in choices_of(wide, name, [3, 9])]
    assert twins(choices) == {
        "conv, 3 taps": "conv, 3 taps",
        "conv, 9 taps": "conv, 9 taps",
        "dsc, 3 taps": "conv, 3 taps",
        "dsc, 9 taps": "conv, 9 taps",
        "gru": "conv, 3 taps",
    }


def test_a_layer_has_the_published_weights_and_multiply_adds(wide: Config) -> None:
    choices = [one for name in ("conv", "dsc") for one in choices_of(wide, name, [3, 9])]
    tasks = {one.name: prepare(one.config) for one in choices}
    weights, adds, seconds = one_layer(tasks, repeats=1)
    found = {name: value for name, (value,) in weights.values.items()}
    assert found == {
        "conv, 3 taps": 12_288,
        "conv, 9 taps": 36_864,
        "dsc, 3 taps": 4_288,
        "dsc, 9 taps": 4_672,
    }
    assert {name: value for name, (value,) in adds.values.items()} == pytest.approx(
        {name: 1_000 * value / 1e6 for name, value in found.items()}
    )
    assert all(value > 0 for (value,) in seconds.values.values())
    told = published(choices)
    assert told[0].values == {"conv, 9 taps": [36_864.0], "dsc, 9 taps": [4_672.0]}


def test_nothing_is_published_of_other_widths() -> None:
    assert published(list(choices_of(small_config(), "dsc", [9]))) == []


def test_an_encoder_of_other_kind_has_no_such_layer() -> None:
    (linear,) = choices_of(small_config(), "linear")
    assert one_layer({"linear": prepare(linear.config)}, 1) == []


def test_weights_shared_by_all_streams_count_once(wide: Config) -> None:
    (choice,) = choices_of(wide, "dsc", [3])
    task = prepare(choice.config)
    own = {id(p): p.numel() for p in task.model.encoders.parameters()}
    weights, alone, whole, _ = sizes([choice])
    assert weights.values[choice.name] == [sum(own.values())]
    assert whole.values[choice.name] == [sum(p.numel() for p in task.model.parameters())]
    assert alone.values[choice.name][0] > 0


def test_variants_learn_from_the_same_decisions_and_the_same_are_equal() -> None:
    config = small_config()
    first, *rest = learned({"a": [config], "b": [config]}, 2, [0, 1], 8)
    assert [line.name for line in (first, *rest)] == [
        "log loss, validation",
        "log loss, test",
        "rank IC, validation",
        "rank IC, test",
    ]
    assert len(first.values["a"]) == 2
    assert all(line.values["a"] == line.values["b"] for line in (first, *rest))
    assert first.values["a"][0] != first.values["a"][1]


def test_scores_stand_by_what_they_are_of() -> None:
    kept = Scores()
    kept.add("test", "a", {"log_loss": 1.0, "rank_ic": 0.1})
    kept.add("test without 1m", "a", {"log_loss": 1.1})
    assert [line.name for line in kept.lines()] == [
        "log loss, test",
        "log loss, test without 1m",
        "rank IC, test",
    ]


def test_speeds_are_taken_of_encoder_and_model() -> None:
    task = prepare(small_config())
    lines = encoders.speeds({"dsc": task}, decisions=8, repeats=2)
    assert [line.name.partition(",")[0] for line in lines] == [
        "encoder: candles/s",
        "encoder: candles/s",
        "model: decisions/s",
        "model: samples/s",
    ]
    assert all(len(line.values["dsc"]) == 2 and min(line.values["dsc"]) > 0 for line in lines)
    x, kept = encoders.windows_of(task)
    assert (x.shape, kept) == (torch.Size([8, 38, 5]), 32)
