"""``mtf summary``: what a config's model costs, without a candle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from tasks import SMALL, small_config
from torch import Tensor

from mtf.cli import main
from mtf.config.load import load_config, parse_config, shipped_configs
from mtf.config.schema import Config
from mtf.encoders.linear import Linear
from mtf.learning.cost import Cost, batch_times, cost
from mtf.learning.load import feature_sets
from mtf.learning.task import prepare
from mtf.model.build import build_model
from mtf.report.cost import amount


def part(found: Cost, name: str) -> Any:
    (one,) = [part for part in found.parts if part.name == name]
    return one


def with_encoder(name: str, path: str = "auto") -> Config:
    model = {**SMALL["model"], "encoder": {"name": name}}
    sampling = {**SMALL["training"]["sampling"], "path": path}
    return parse_config({**SMALL, "model": model, "training": {"sampling": sampling}})


def built_parameters(name: str) -> int:
    config = load_config(name)
    channels = {name: len(features.channels) for name, features in feature_sets(config).items()}
    with torch.device("meta"):
        model = build_model(config, config.stream_specs(), channels, config.decisions.clock)
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", shipped_configs())
def test_every_parameter_is_counted_once(name: str) -> None:
    assert cost(load_config(name)).parameters == built_parameters(name)


def test_the_reference_at_full_size() -> None:
    """177 M parameters beside the heads, 214 G multiply-adds, five streams of 600 tokens."""
    found = cost(load_config("hybrid_full"))
    heads = sum(p.parameters or 0 for p in found.parts if p.name.startswith("head"))
    assert found.tokens == 3_000
    assert 176.5e6 < found.parameters - heads < 177.5e6
    assert heads < 4e6
    assert 213e9 < found.alone < 215e9
    assert found.batch == found.alone, "every window by itself"
    dim, wide, tokens = 1024, 4096, 600
    slot = 4 * dim * dim + 2 * dim * wide
    cross = 2 * (3_000 * slot + 2 * 3_000 * 3_000 * dim)
    main_layers = 12 * (tokens * slot + 2 * tokens * tokens * dim)
    assert part(found, "fusion").alone == cross + main_layers + 5 * 3_000 * dim
    pattern = 5 * 256 + 256 * 512 + 512 * dim
    assert part(found, "encoder 1d").alone == tokens * pattern
    assert found.weight_bytes == 4 * found.parameters


def test_full_attention_at_64_channels_costs_what_was_measured() -> None:
    """2,606 M multiply-adds with two layers over 3,000 tokens of 64."""
    model = "model={tokens: {name: all}, fusion: {name: full}}"
    lookbacks = [f"streams.{name}.lookback=600" for name in ("1h", "1d")]
    found = cost(load_config("dsc_mtf", [model, *lookbacks]))
    assert found.tokens == 3_000
    assert part(found, "fusion").alone == pytest.approx(2_606e6, rel=0.005)


def test_shared_weights_are_counted_once_and_work_on_every_stream() -> None:
    shared, own = (
        cost(small_config(model={"encoder": {"weights": weights}}))
        for weights in ("shared", "per_stream")
    )
    first = part(shared, "encoder 1m").parameters
    assert [part(shared, f"encoder {name}").parameters for name in ("5m", "btc")] == [None, None]
    assert [part(own, f"encoder {name}").parameters for name in ("1m", "5m", "btc")] == [first] * 3
    assert own.parameters == shared.parameters + 2 * first
    assert own.alone == shared.alone


@pytest.mark.parametrize("path", ["auto", "window"])
@pytest.mark.parametrize("encoder", ["dsc", "mlp", "gru"])
def test_a_batch_costs_what_its_blocks_cost(encoder: str, path: str) -> None:
    """The batch that training would build, with data, has the blocks that were counted."""
    config = with_encoder(encoder, path=path)
    found, task = cost(config), prepare(config)
    times = batch_times(task.config)
    batch = task.builder.build(times, None)
    for name, stream in batch.streams.items():
        told = part(found, f"encoder {name}")
        slots = task.model.required_slots(name)
        a_slot = told.alone / slots
        assert told.batch * times.size == pytest.approx(a_slot * stream.valid.numel())
        assert told.path == ("once" if path == "auto" and encoder != "gru" else "window")


def test_forming_tokens_are_counted() -> None:
    plain, forming = (
        cost(small_config(model={"tokens": {"forming": forming}})) for forming in (False, True)
    )
    assert forming.tokens == plain.tokens + 1, "only 5m has a finer stream"
    more = part(forming, "embeddings").parameters - part(plain, "embeddings").parameters
    assert more == 16 + (6 * 16 + 16) + (16 * 16 + 16)
    work = part(forming, "embeddings").alone - part(plain, "embeddings").alone
    assert work == 6 * 16 + 16 * 16


def test_a_part_that_needs_numbers_gets_some(monkeypatch: pytest.MonkeyPatch) -> None:
    config = with_encoder("linear")
    expected = cost(config)
    plain = Linear.forward

    def curious(self: Linear, x: Tensor, valid: Tensor) -> Tensor:
        return plain(self, x, valid) * (1.0 if float(x.sum()) == 0.0 else 2.0)

    monkeypatch.setattr(Linear, "forward", curious)
    assert cost(config).parts == expected.parts


def test_the_verb_reads_no_data(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["summary", "dsc_eth_btc", "data.path=/no/such/folder", "model.embed_dim=32"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith("mtf summary dsc_eth_btc\n")
    for word in ("encoder 15m", "shared", "fusion", "head action", "46 tokens of 32", "once"):
        assert word in said
    assert "elementwise work is not" in said


def test_a_mistake_in_the_config_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["summary", "dsc_mtf", "model.embed_dim=63"])
    assert ended.value.code == 2
    assert "found 63, not divisible" in capsys.readouterr().err


def test_amounts_have_four_digits_and_a_unit() -> None:
    found = [amount(value) for value in (0, 7, 999.96, 1_234, 213_800_000_000, 5e15)]
    assert found == ["0", "7", "1 k", "1.234 k", "213.8 G", "5,000 T"]


STEP = """
import json, sys
import torch
from mtf.config.load import load_config
from mtf.learning.log import Log, Progress
from mtf.learning.task import prepare
from mtf.report.measure import peak_bytes

class Nowhere(Log, Progress):
    def scalar(self, name, value, step): print(name, value, file=sys.stderr)
    def hparams(self, config, metrics): ...
    def update(self, step, samples, figures): ...
    def epoch(self, epoch, step, figures): ...
    def close(self): ...

overrides = ["fabric.accelerator=cpu", "training.accumulate=1", *sys.argv[1:]]
task = prepare(load_config("hybrid_full", overrides))
fitting = task.fitting(Nowhere(), Nowhere(), None)
with torch.inference_mode():
    said = task.model.eval()(fitting._batch(0))
finite = all(bool(torch.isfinite(one).all()) for head in said.values() for one in head.values())
forward = peak_bytes()
before = task.model.fusion.main[11].feedforward.narrow.weight.detach()[:8].clone()
fitting._step()
after = task.model.fusion.main[11].feedforward.narrow.weight.detach()[:8]
print(json.dumps({
    "finite": finite,
    "forward": forward,
    "peak": peak_bytes(),
    "moved": bool((before != after).any()),
    "loss": fitting.state.loss_sum,
    "samples": fitting.state.samples,
}))
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("attention_dropout", "gigabytes"), [(0.1, 12), (0.0, 7)], ids=["published", "fused kernels"]
)
def test_a_step_at_full_size_fits_into_memory(attention_dropout: float, gigabytes: float) -> None:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if total < 16e9:
        pytest.skip(f"needs 16 GB of memory; this machine has {total / 1e9:.1f}")
    override = f"model.fusion.attention_dropout={attention_dropout}"
    done = subprocess.run(
        [sys.executable, "-c", STEP, override], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"\nforward {found['forward'] / 1e9:.1f} GB, step {found['peak'] / 1e9:.1f} GB: {found}")
    assert found["finite"]
    assert found["moved"]
    assert found["samples"] == 1
    assert 0 < found["loss"] < 100
    assert found["peak"] <= gigabytes * 1e9
