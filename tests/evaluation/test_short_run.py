"""Variants are scored on the same decisions, by the answers of their models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from tasks import SMALL, small_config, small_task

from mtf.config.load import parse_config
from mtf.errors import ConfigError
from mtf.evaluation.short_run import asked, classifier, scores, short, trained
from mtf.learning.optimise import named_tensors
from mtf.learning.task import Task, prepare


@pytest.fixture(scope="module")
def task() -> Task:
    return small_task()


def test_a_short_run_has_its_steps_and_seed_and_the_config_else() -> None:
    config = small_config()
    changed = short(config, 7, 3)
    assert (changed.seed, changed.training.epochs) == (3, 1)
    assert changed.training.sampling.steps_per_epoch == 7
    assert changed.model == config.model


def test_training_ends_with_the_averaged_weights_and_depends_on_nothing_but_the_seed() -> None:
    config = small_config(training={"ema_decay": 0.5})
    first, again = trained(config, 2, 1), trained(config, 2, 1)
    other, plain = trained(config, 2, 2), trained(small_config(), 2, 1)
    weights = [named_tensors(one.model)["fusion.summary"] for one in (first, again, other, plain)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[3]), "averaged over the steps"


def test_what_is_frozen_before_stays_as_it_was() -> None:
    config = small_config()
    fresh = named_tensors(prepare(short(config, 2, 0)).model)
    done = trained(config, 2, 0, lambda model: model.encoders.requires_grad_(False))
    for name, value in named_tensors(done.model).items():
        if name.startswith("encoders"):
            assert torch.equal(value, fresh[name])
    changed = named_tensors(done.model)["fusion.summary"]
    assert not torch.equal(changed, fresh["fusion.summary"])


def test_a_missing_stream_is_missing_with_what_is_derived_from_it(task: Task) -> None:
    whole = asked(task, "validation", 4)
    without_source = asked(task, "validation", 4, ["1m"])
    without_both = asked(task, "validation", 4, ["1m", "5m"])
    assert_array_equal(whole.times, without_source.times)
    probs = [one.outputs["action"]["probs"] for one in (whole, without_source, without_both)]
    assert not np.array_equal(probs[0], probs[1])
    assert_array_equal(probs[1], probs[2])  # 5m is built from 1m


def test_several_models_are_scored_by_their_mean_answer(task: Task) -> None:
    other = small_task(seed=5)
    found = [asked(one, "validation", 2) for one in (task, other)]
    label = found[0].labels["action"]["action"]
    probs = np.mean([one.outputs["action"]["probs"] for one in found], axis=0)[label.present]
    happened = label.values["class"][label.present]
    by_hand = -np.log(probs[np.arange(len(happened)), happened]).mean()
    assert scores([task, other], "validation", 2)["log_loss"] == pytest.approx(by_hand)


def test_a_model_whose_streams_are_all_missing_is_not_asked(task: Task) -> None:
    slow = prepare(parse_config({**SMALL, "streams": {"1h": {"lookback": 8}}}))
    together = scores([task, slow], "validation", 8, ["1h"])
    assert together == scores([task], "validation", 8)
    assert together != scores([task, slow], "validation", 8)
    with pytest.raises(ConfigError, match="every stream is missing: 1m, 5m, btc"):
        scores([task], "validation", 8, ["1m", "5m", "btc"])


def test_without_a_head_that_classifies_there_is_no_score() -> None:
    task = prepare(parse_config({**SMALL, "heads": {"price": {}}}))
    with pytest.raises(ConfigError, match=r"found the heads price\n.*classifies[^$]*action="):
        classifier(task)
