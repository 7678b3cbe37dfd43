"""Sweep files: every mistake before the first trial, whole numbers, overrides of two kinds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweeps import small_sweep

from mtf.config.load import parse_config
from mtf.config.mistakes import MistakesError
from mtf.config.sweep_file import load_sweep, override
from mtf.config.yaml_text import parse_yaml
from mtf.errors import ConfigError, MtfError

BASE = """\
data: {name: synthetic}
decisions: {start: "2024-01-01", end: "2024-01-31", symbols: [ETHUSDT]}
streams:
  1m: {}
"""
LR = "training.optimizer.lr: {low: 1.0e-4, high: 1.0e-2, log: true}"

# Lines under `search:`, from line 3 on, and words that the message must have.
SEARCHED = {
    "unknown key of the config": (
        "training.optimizer.lrr: {low: 0.1, high: 0.2}",
        ":3: search.training.optimizer.lrr",
        "did you mean lr?",
    ),
    "unknown option of a plug-in": (
        "model.encoder.kernal_size: {choices: [3]}",
        "did you mean kernel_size?",
    ),
    "a choice that the schema refuses": (
        "model.encoder.kernel_size: {choices: [3, 5, big]}",
        "found 'big'",
        "a whole number",
    ),
    "a low end that the schema refuses": (
        "model.embed_dim: {low: -4, high: 4}",
        "found -4",
        "greater than or equal to 1",
    ),
    "a high end that the schema refuses": (
        "training.ema_decay: {low: 0.9, high: 1.0}",
        "found 1.0",
        "less than 1",
    ),
    "ends that don't suit the rest of the config": (
        "model.fusion.num_heads: {choices: [4, 6]}",
        "model.embed_dim: found 64, not divisible",
    ),
    "a head that is not there": (
        "heads.price.weight: {low: 0.1, high: 1}",
        "a key that the base config does not have",
        "overrides:",
    ),
    "the parts": ("split.test: {low: 0.1, high: 0.2}", "can't be searched", "validation part"),
    "the data": ("data.seed: {low: 1, high: 2}", "can't be searched"),
    "the backtest": ("backtest.used: {low: 0.1, high: 0.2}", "nothing that a validation depends"),
    "a misspelt range": (
        "training.optimizer.lr: {lo: 0.1, high: 0.2}",
        "search.training.optimizer.lr.lo: found an unknown key",
        "mean low",
    ),
    "half a range": ("training.optimizer.lr: {high: 0.2}", "no whole range", "`low` and `high`"),
    "a range upside down": (
        "training.optimizer.lr: {low: 0.2, high: 0.2}",
        "found low: 0.2, high: 0.2",
    ),
    "both": (
        "training.optimizer.lr: {low: 0.1, high: 0.2, choices: [0.1]}",
        "choices beside keys of a range",
    ),
    "log of zero": ("training.optimizer.lr: {low: 0.0, high: 0.2, log: true}", "a low end above 0"),
    "log with a step": (
        "training.optimizer.lr: {low: 0.1, high: 0.2, log: true, step: 0.1}",
        "a step with log: true",
    ),
    "a step of nothing": (
        "training.optimizer.lr: {low: 0.1, high: 0.2, step: 0}",
        "lr.step: found 0",
    ),
    "a choice twice": ("model.encoder.kernel_size: {choices: [3, 3]}", "found a choice twice"),
    "no choice": ("model.encoder.kernel_size: {choices: []}", "at least 1 item"),
    "1e-4 is text": ("training.optimizer.lr: {low: 1e-4, high: 0.1}", "write 1.0e-4"),
    "a value": ("training.optimizer.lr: 0.1", "found 0.1", "a mapping"),
}

# Lines after a sound search, from line 4 on.
OTHERS = {
    "unknown key": ("trails: 3", ":4: trails: found an unknown key", "did you mean trials?"),
    "no trials": ("trials: 0", ":4: trials: found 0"),
    "unknown sampler": ("sampler: tpa", "'tpe', 'random', 'grid'", "did you mean tpe?"),
    "grid without a step": ("sampler: grid", "search.training.optimizer.lr", "add `step:`"),
    "pruned folds": ("pruner: median\nwalk_forward: true", ":4: pruner: found median"),
    "a GPU for this process": ("gpus: 1.0", ":4: gpus: found 1.0 with workers: 1"),
    "text for a flag": ("walk_forward: maybe", "true or false"),
    "an override of the base": ("overrides: [training.epoch=2]", "mean epochs"),
    "overrides that are no list": ("overrides: training.epochs=2", "a list"),
}


def mistake_of(folder: Path, text: str) -> str:
    (folder / "base.yaml").write_text(BASE)
    (folder / "sweep.yaml").write_text(text)
    with pytest.raises(MtfError) as caught:
        load_sweep(folder / "sweep.yaml")
    message = str(caught.value)
    if isinstance(caught.value, MistakesError):
        assert len(message.splitlines()) <= 1 + 6 * len(caught.value.mistakes)
    return message


@pytest.mark.parametrize("case", SEARCHED)
def test_a_searched_key_is_judged_by_the_schema_of_the_config(case: str, tmp_path: Path) -> None:
    line, *words = SEARCHED[case]
    message = mistake_of(tmp_path, f"base: base.yaml\nsearch:\n  {line}\n")
    missing = [word for word in words if word not in message]
    assert not missing, message


@pytest.mark.parametrize("case", OTHERS)
def test_other_keys(case: str, tmp_path: Path) -> None:
    line, *words = OTHERS[case]
    message = mistake_of(tmp_path, f"base: base.yaml\nsearch:\n  {LR}\n{line}\n")
    missing = [word for word in words if word not in message]
    assert not missing, message


def test_all_mistakes_come_at_once(tmp_path: Path) -> None:
    message = mistake_of(
        tmp_path,
        "base: base.yaml\nsearch:\n  seeed: {low: 1, high: 2}\n  split.test: {choices: [0.1]}\n"
        "  model.embed_dim: {low: 0, high: 64.5}\n",
    )
    assert message.startswith("4 mistakes")
    for word in (":3: search.seeed", ":4: search.split.test", "found 0", "found 64.5"):
        assert word in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("search: {}\n", ("base: not given", "the config that is varied")),
        ("base: dsc_mtf\n", ("search: not given",)),
        ("base: dsc_mft\nsearch: {seed: {low: 1, high: 2}}", (":1: base:", "mean dsc_mtf")),
        ("- base", ("found list, not keys and values",)),
    ],
)
def test_what_must_be_there(text: str, words: tuple[str, ...], tmp_path: Path) -> None:
    message = mistake_of(tmp_path, text)
    assert not [word for word in words if word not in message], message


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no sweep file 'gone\.yaml'"):
        load_sweep("gone.yaml")
    with pytest.raises(ConfigError, match="is a folder"):
        load_sweep(tmp_path)


@pytest.mark.parametrize(
    ("key", "search", "whole"),
    [
        ("model.embed_dim", {"low": 16, "high": 64}, True),
        ("training.optimizer.weight_decay", {"low": 0, "high": 1}, False),
        ("training.ema_decay", {"low": 0.9, "high": 0.99}, False),
        ("model.encoder.dropout", {"low": 0, "high": 0.5}, False),
        ("model.embed_dim", {"choices": [16, 64]}, False),
    ],
)
def test_whole_ends_mean_whole_values_where_the_key_takes_no_others(
    key: str, search: dict[str, Any], whole: bool, tmp_path: Path
) -> None:
    (dimension,) = small_sweep(tmp_path, search={key: search}).space
    assert dimension.whole is whole


def test_overrides_are_of_the_sweep_or_else_of_the_config(tmp_path: Path) -> None:
    small_sweep(tmp_path, overrides=["training.epochs=3"])
    overrides = ["trials=7", "seed=5", "training.epochs=9", "training.clip_norm=2"]
    plan = load_sweep(tmp_path / "sweep.yaml", overrides)
    assert (plan.sweep.trials, plan.sweep.seed, plan.base.seed) == (7, 5, 0)
    assert (plan.base.training.epochs, plan.base.training.clip_norm) == (9, 2)


def test_values_that_only_suit_each_other_are_left_to_the_draw(tmp_path: Path) -> None:
    search = {
        "model.embed_dim": {"choices": [16, 18]},
        "model.fusion.num_heads": {"choices": [2, 3]},
    }
    plan = small_sweep(tmp_path, search=search)
    config = plan.candidate({"model.embed_dim": 18, "model.fusion.num_heads": 3})
    assert (config.model.embed_dim, config.model.fusion.options["num_heads"]) == (18, 3)
    with pytest.raises(ConfigError, match="not divisible"):
        plan.candidate({"model.embed_dim": 16, "model.fusion.num_heads": 3})


def test_a_choice_may_be_a_whole_plug_in(tmp_path: Path) -> None:
    choices = [{"name": "gru"}, {"name": "dsc", "num_blocks": 1}]
    plan = small_sweep(tmp_path, search={"model.encoder": {"choices": choices}})
    assert plan.candidate({"model.encoder": choices[0]}).model.encoder.name == "gru"
    options = plan.candidate({"model.encoder": choices[1]}).model.encoder.options
    assert options["num_blocks"] == 1


def test_what_changes_the_sum_that_is_compared_is_named(tmp_path: Path) -> None:
    search = {"heads.action.weight": {"low": 0.5, "high": 2.0}}
    assert small_sweep(tmp_path, search=search).incomparable() == ["heads.action.weight"]
    assert not small_sweep(tmp_path, search=search, metric="action/log_loss").incomparable()


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**62), 2**62)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=10),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=4,
    )
)
def test_an_override_reads_back_as_the_value(value: Any) -> None:
    key, _, text = override("model.x", value).partition("=")
    assert key == "model.x"
    assert parse_yaml(text, "override").values == value


def test_the_base_may_stand_beside_the_sweep_file_or_come_with_mtf(tmp_path: Path) -> None:
    plan = small_sweep(tmp_path)
    assert plan.base.name == "small"
    file = tmp_path / "other.yaml"
    file.write_text(f"base: dsc_mtf\nsearch:\n  {LR}\n")
    assert load_sweep(file).base.name == "dsc_mtf"
    assert parse_config(plan.base.model_dump(mode="json", by_alias=True)) == plan.base
