"""Malformed configs and overrides: the message says where, what, what instead; and at once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mtf.config.load import load_config
from mtf.config.mistakes import MistakesError
from mtf.errors import MtfError

GOOD = """\
data: {name: synthetic}
decisions: {start: "2024-01-01", end: "2024-01-31", symbols: [ETHUSDT]}
streams:
  1m: {}
  1h: {lookback: 168}
"""

# What is appended to GOOD, which has 5 lines (or put in its place where it starts with "!"), and
# words that the message must have.
FILES = {
    "unknown key at the top": ("trainin: {epochs: 3}", ":6: trainin", "did you mean training"),
    "unknown key inside": ("model: {embed_dims: 3}", ":6: model.embed_dims", "mean embed_dim"),
    "unknown option": (
        "model:\n  encoder:\n    name: dsc\n    kernal_size: 9",
        ":9: model.encoder.kernal_size",
        "kernel_size",
    ),
    "unknown encoder": ("model: {encoder: {name: dsk}}", "model.encoder.name", "'dsk'", "mean dsc"),
    "unknown encoder, nothing near": (
        "model: {encoder: {name: zzz}}",
        "unknown encoder 'zzz'",
        "conv, dsc, gru, linear, mlp",
        "entry point in the group 'mtf.encoders'",
    ),
    "unknown head": ("heads: {actoin: {}}", "heads.actoin", "did you mean action"),
    "unknown fusion": ("model: {fusion: {name: atention}}", "fusion.name", "mean attention"),
    "unknown feature set": ("features: {name: ohlc}", ":6: features.name", "mean ohlcv"),
    "option of another encoder": (
        "model: {encoder: {name: shared_pattern, kernel_size: 9}}",
        "model.encoder.kernel_size",
        "one of name, weights, hidden, dropout",
    ),
    "text for a number": ("model: {embed_dim: many}", "found 'many'", "a whole number"),
    "number in quotes": ('model: {embed_dim: "64"}', "found '64'", "remove the quotes"),
    "1e-3 is text": (
        "training: {optimizer: {lr: 1e-3}}",
        "training.optimizer.lr",
        "found '1e-3'",
        "write 1.0e-3",
    ),
    "fraction for a count": ("training: {epochs: 2.5}", "training.epochs", "a whole number"),
    "true for a number": ("seed: true", ":6: seed", "found true", "a whole number"),
    "huge number": ("seed: 0x" + "f" * 9000, ":6:", "more than 63 bits"),
    "negative": ("heads: {action: {weight: -1}}", "heads.action.weight", "found -1", "0"),
    "infinity": ("training: {clip_norm: .inf}", "training.clip_norm", "a finite number"),
    "not a number": ("streams: {1m: {max_age: .nan}}\n", "streams", "twice", "line 3"),
    "bad choice": ("fabric: {precision: 16}", "fabric.precision", "'32-true'"),
    "misspelt choice": ("schedule: {}\ntraining: {schedule: {name: cosin}}", "mean cosine"),
    "misspelt baseline": ("evaluation: {baselines: [momentums]}", "baselines[0]", "mean momentum"),
    "bad option type": (
        "model: {encoder: {name: dsc, causal: perhaps}}",
        "model.encoder.causal",
        "true or false",
    ),
    "bad option choice": (
        "model: {encoder: {name: dsc, norm: bach}}",
        "encoder.norm",
        "mean batch",
    ),
    "text for a list": ("plugins: mine.py", "plugins", "found 'mine.py'", "a list"),
    "list for a mapping": ("model: [1, 2]", ":6: model", "a mapping"),
    "plain value for a mapping": ("training: 3", ":6: training", "a mapping"),
    "plain value for a plug-in": ("features: ohlcv", ":6: features", "a mapping"),
    "bad name": ("name: My Run", ":6: name", "[a-z0-9_-]{1,60}"),
    "long name": (f"name: {'a' * 61}", ":6: name", "[a-z0-9_-]{1,60}"),
    "no heads": ("heads: {}", ":6: heads", "at least 1"),
    "side input without a file": (
        "side_inputs: {order_book: {}}",
        ":6: side_inputs.order_book.path: not given",
        "add `path:`",
    ),
    "unknown side input": ("side_inputs: {markt: {}}", ":6: side_inputs.markt", "mean market"),
    "unknown option of a side input": (
        "side_inputs: {tech: {name: technical, steam: 1m}}",
        "side_inputs.tech.steam",
        "mean stream",
    ),
    "unknown engine": ("backtest: {name: candel}", ":6: backtest.name", "mean candle"),
    "unknown policy": ("backtest: {policy: {name: argmin}}", "backtest.policy", "mean argmax"),
    "option of another policy": (
        "backtest: {policy: {name: argmax, threshold: 0.5}}",
        "backtest.policy.threshold",
        "unknown key",
    ),
    "no money": ("backtest: {capital: 0}", "backtest.capital", "greater than 0"),
    "funding of a panel": (
        "!" + GOOD.replace("[ETHUSDT]", "[ETHUSDT, SOLUSDT]") + "costs: {funding: rates.csv}",
        "costs.funding",
        "write {symbol}",
    ),
    "missing plug-in file": ("plugins: [gone.py]", "plug-in file gone.py", "mend the path"),
    "split not 1": ("split: {train: 0.9}", ":6: split", "add up to 1.2", "= 1"),
    "split of 0": ("split: {test: 0.0}", "split.test", "greater than 0"),
    "heads do not divide": (
        "model: {embed_dim: 65}",
        "embed_dim",
        "not divisible",
        "multiple of 4",
    ),
    "patch missing": ("model: {tokens: {name: patch}}", "model.tokens.patch", "found nothing"),
    "patch in vain": ("model: {tokens: {patch: 5}}", "model.tokens.patch", "name: log"),
    "momentum in vain": ("training: {optimizer: {momentum: 0.9}}", "momentum", "rmsprop"),
    "duplicate key": ("seed: 1\nseed: 2", ":7:", "seed is given twice", "line 6"),
    "bad indentation": ("model:\n  embed_dim: 3\n encoder: 4", ":8:", "indentation"),
    "tab": ("model:\n\tembed_dim: 3", ":7:", "no tabs"),
    "python tag": ("seed: !!python/object/apply:os.getcwd []", ":6:", "tag"),
    "own tag": ("seed: !mine 3", ":6:", "the tag !mine", "remove the tag"),
    "list as key": ("? [1, 2]\n: 3", ":6:", "as key"),
    "deep nesting": ("seed: " + "[" * 60 + "]" * 60, ":6:", "50 levels"),
    "endless nesting": ("seed: " + "[" * 90_000, "50 levels"),
    "too large": ("# " + "x" * 1_100_000, "more than 100 kB"),
    "unknown base": ("base: dsc_mft.yaml", ":6: base", "'dsc_mft.yaml'", "mean dsc_mtf"),
    "base is no text": ("base: 3", ":6: base", "found 3"),
    "empty": ("!", "3 mistakes", "my.yaml: data: not given", "add `decisions:`"),
    "a list": ("!- 1\n- 2", "not keys and values", "mtf init"),
    "nothing needed is there": ("!seed: 1", "3 mistakes", "data: not given", "add `streams:`"),
    "binary": ("!\x00\x01", "YAML"),
    "data without a name": (
        "!" + GOOD.replace("{name: synthetic}", "{path: x.csv}"),
        ":1: data.name: not given",
    ),
    "unknown source": ("!" + GOOD.replace("synthetic", "syntetic"), ":1:", "mean synthetic"),
    "csv without a path": (
        "!" + GOOD.replace("synthetic", "csv"),
        ":1: data.path: not given",
        "add `path:`",
    ),
    "no such month": ("!" + GOOD.replace("2024-01-31", "2024-13-01"), ":2: decisions.end", "month"),
    "end before start": (
        "!" + GOOD.replace("2024-01-31", "2023-01-01"),
        "decisions.end",
        "not after decisions.start",
    ),
    "a symbol twice": (
        "!" + GOOD.replace("[ETHUSDT]", "[ETHUSDT, SOLUSDT, ETHUSDT]"),
        "decisions.symbols",
        "found ETHUSDT more than once",
        "every primary symbol once",
    ),
    "no symbol": ("!" + GOOD.replace("[ETHUSDT]", "[]"), "decisions.symbols", "at least 1"),
    "months": ("!" + GOOD.replace("1m:", "slow: {timeframe: 1M}\n  1m:"), ":4:", "months"),
    "timeframe missing": (
        "!" + GOOD.replace("1m:", "btc: {symbol: BTCUSDT}\n  1m:"),
        ":4: streams.btc.timeframe: not given",
    ),
    "from nowhere": (
        "!" + GOOD.replace("lookback: 168", "from: 2m"),
        ":5: streams.1h.from",
        "'2m'",
        "one of 1m",
    ),
    "from a coarser": ("!" + GOOD.replace("1m: {}", "1m: {from: 1h}"), ":4:", "can't be built"),
    "from another symbol": (
        "!" + GOOD.replace("1h: {lookback: 168}", "1h: {from: 1m, symbol: BTCUSDT}"),
        "a stream of ETHUSDT",
    ),
    "only references": ("!" + GOOD.replace("{}\n  1h: {lookback: 168}", "{symbol: X}"), "ETHUSDT"),
    "stream without lookback": ("!" + GOOD.replace("168", "0"), ":5: streams.1h.lookback", "1"),
}

OVERRIDES = {
    "no value": ("model.embed_dim", "key.path=value"),
    "no key": ("=3", "key.path=value"),
    "double dot": ("model..embed_dim=3", "key.path=value"),
    "unknown path": ("model.encodr.name=dsc", "override 'model.encodr.name=dsc'", "mean encoder"),
    "unknown option": ("model.encoder.kernal_size=9", "model.encoder.kernal_size", "kernel_size"),
    "no YAML": ("model.embed_dim=[1", "override 'model.embed_dim=[1'", "valid YAML"),
    "through a plain value": ("seed.value=3", "seed", "a whole number"),
    "1e-3": ("training.optimizer.lr=1e-3", "override", "write 1.0e-3"),
    "duplicate": ("model={embed_dim: 1, embed_dim: 2}", "twice"),
    "not the base's": ("model.fusion={name: meen}", "model.fusion.name", "mean mean"),
}


def mistake_of(path: Path, overrides: tuple[str, ...] = ()) -> str:
    start = time.process_time()  # of this process alone: the machine may be busy
    with pytest.raises(MtfError) as caught:
        load_config(path, overrides)
    assert time.process_time() - start < 1.0
    text = str(caught.value)
    if isinstance(caught.value, MistakesError):
        assert len(text.splitlines()) <= 1 + 6 * len(caught.value.mistakes)
    else:
        assert len(text.splitlines()) <= 6
    return text


@pytest.mark.parametrize("case", FILES)
def test_malformed_config(case: str, tmp_path: Path) -> None:
    text, *words = FILES[case]
    path = tmp_path / "my.yaml"
    path.write_text(text.removeprefix("!") if text.startswith("!") else GOOD + text)
    message = mistake_of(path)
    missing = [word for word in words if word not in message]
    assert not missing, message


@pytest.mark.parametrize("case", OVERRIDES)
def test_malformed_override(case: str, tmp_path: Path) -> None:
    override, *words = OVERRIDES[case]
    path = tmp_path / "my.yaml"
    path.write_text(GOOD)
    message = mistake_of(path, (override,))
    missing = [word for word in words if word not in message]
    assert not missing, message


def test_all_mistakes_come_at_once_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(
        GOOD + "seed: x\nmodel:\n  encoder: {kernal_size: 3}\nheads: {action: {h: 1}}\n"
    )
    message = mistake_of(path, ("training.epochs=0",))
    assert message.startswith("4 mistakes")
    for word in (
        f"{path}:6: seed",
        f"{path}:8: model.enc",
        f"{path}:9: heads",
        "training.epochs=0",
    ):
        assert word in message


def test_no_such_file_names_the_shipped_configs() -> None:
    with pytest.raises(MtfError, match=r"dsc_mtf, .*real_eth_btc, shared_pattern_mtf") as caught:
        load_config("dsc_mft")
    assert "did you mean dsc_mtf?" in str(caught.value)


def test_a_folder_is_no_config(tmp_path: Path) -> None:
    with pytest.raises(MtfError, match="is a folder"):
        load_config(tmp_path)


def test_aliases_that_explode_are_refused_quickly(tmp_path: Path) -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    path = tmp_path / "my.yaml"
    path.write_text("\n".join(lines))
    assert "aliases that grow" in mistake_of(path)


def test_an_alias_of_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("a: &a [*a]")
    assert "aliases that grow" in mistake_of(path)


def test_bases_in_a_circle_are_named(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("base: two.yaml")
    (tmp_path / "two.yaml").write_text("seed: 1\nbase: one.yaml")
    message = mistake_of(tmp_path / "one.yaml")
    assert "one.yaml → two.yaml → one.yaml" in message
    assert "two.yaml:2:" in message


def test_a_mistake_of_the_base_is_placed_in_the_base(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(GOOD + "seeed: 3")
    (tmp_path / "my.yaml").write_text("base: base.yaml\nseed: 1")
    assert "base.yaml:6: seeed" in mistake_of(tmp_path / "my.yaml")
