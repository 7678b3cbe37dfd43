"""Graphs of a model say what the model says: windows, tokens, single slots."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import CHANNELS, SPECS, small_model
from tasks import small_config
from torch import Tensor, nn

from mtf.calling.model import KeywordModel
from mtf.errors import ConfigError
from mtf.exported import asked_of
from mtf.model import graph_check
from mtf.model.graph import Asked, answer_graph, can_step, pool_windows, step_graph, window_graph
from mtf.model.hybrid import HybridModel
from mtf.model.pooled import Concat
from mtf.model.tokens import pool, token_spans
from mtf.plugins.contracts import Encoder

onnxruntime = pytest.importorskip("onnxruntime")
ASKED = Asked({spec.name: CHANNELS for spec in SPECS})


def session(data: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def largest_difference(model: HybridModel, asked: Asked, *, answer: bool = True) -> float:
    """Over the graphs of a model that are wanted."""
    made_up = graph_check.made_up(model, asked)
    batch = graph_check.batch_of(model, asked, made_up)
    said = graph_check.outputs_of(model, batch)
    found = [graph_check.difference(said, session(window_graph(model, asked)), made_up)]
    if answer:
        tokens = made_up | graph_check.tokens_of(model, batch)
        some = session(answer_graph(model, asked, None))
        found.append(graph_check.difference(said, some, tokens))
    return max(found)


@pytest.fixture(scope="module")
def linear() -> tuple[HybridModel, Any]:
    """A small model, and the session of its graph of windows."""
    model = small_model("linear")
    return model, session(window_graph(model, ASKED))


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(["log", "mean", "last", "patch", "all"]),
    lookback=st.integers(1, 20),
    more=st.integers(0, 4),
    seed=st.integers(0, 99),
)
def test_tokens_of_windows_are_those_of_blocks(
    name: str, lookback: int, more: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    slots = lookback + more
    encoded = torch.randn(3, slots, 4, generator=generator)
    seen = torch.rand(3, slots, generator=generator) > 0.4
    encoded[~seen] = torch.nan
    spans = token_spans(name, lookback, 3)
    row = torch.arange(3)
    tokens, mask = pool(encoded, seen, row, torch.full((3,), slots - 1), torch.tensor(spans))
    mine, shown = pool_windows(encoded, seen, spans)
    assert torch.equal(shown, mask)
    assert torch.allclose(mine, tokens, atol=1e-6)


def test_the_graphs_of_a_small_model_say_what_it_says(linear: tuple[HybridModel, Any]) -> None:
    model, of_windows = linear
    made_up = graph_check.made_up(model, ASKED)
    batch = graph_check.batch_of(model, ASKED, made_up)
    said = graph_check.outputs_of(model, batch)
    assert graph_check.difference(said, of_windows, made_up) < 1e-5
    tokens = made_up | graph_check.tokens_of(model, batch)
    assert graph_check.difference(said, session(answer_graph(model, ASKED)), tokens) < 1e-5


class Saying:
    """A session that says what it was given, whatever it is asked."""

    def __init__(self, said: list[np.ndarray]) -> None:
        self.said = said

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name="x", shape=["decision", 1])]

    def run(self, names: list[str], given: graph_check.Arrays) -> list[np.ndarray]:
        return self.said


@pytest.mark.parametrize("place", [0, 1])
def test_an_output_that_is_nan_is_no_agreement(place: int) -> None:
    said = {"action": {"logits": np.array([[1.0]]), "probs": np.array([[2.0]])}}
    answers = [np.array([[1.0]]), np.array([[2.5]])]
    given = {"x": np.zeros((1, 1))}
    assert graph_check.difference(said, Saying(answers), given) == 0.25
    answers[place] = np.array([[np.nan]])
    assert np.isnan(graph_check.difference(said, Saying(answers), given))


def test_one_step_after_another_encodes_what_the_whole_window_does() -> None:
    model = small_model(options={"num_blocks": 2, "norm": "batch"})
    encoder = model.encoders[0]
    assert isinstance(encoder, Encoder)
    assert can_step(model)
    rng = np.random.default_rng(0)
    valid = rng.random((1, 40)) > 0.2
    x = np.where(valid[..., None], rng.normal(size=(1, 40, CHANNELS)), 0).astype(np.float32)
    graph = session(step_graph(encoder, CHANNELS))
    assert graph_check.step_difference(encoder, graph, x, valid) < 1e-5


class Reading(nn.Module):
    """A part that looks at a value to decide what to do: no graph can."""

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        return x if bool(valid.all()) else 2 * x


class Looking(Encoder):
    causal, receptive_field = True, 1

    def __init__(self) -> None:
        super().__init__()
        self.project, self.reading = nn.Linear(CHANNELS, 8), Reading()

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        encoded: Tensor = self.reading(self.project(x), valid)
        return encoded


def test_an_encoder_that_no_graph_can_express_is_a_message() -> None:
    model = small_model("linear")
    model.encoders = nn.ModuleList(Looking() for _ in SPECS)
    assert not can_step(model)
    with pytest.raises(ConfigError, match=r"can't be written as ONNX: .*data-dependent"):
        window_graph(model, ASKED)


def test_what_is_behind_a_mask_does_not_count(linear: tuple[HybridModel, Any]) -> None:
    model, graph = linear
    given = graph_check.made_up(model, ASKED)
    first = graph.run(None, given)
    for spec in SPECS:
        values, valid = given[f"{spec.name}/values"], given[f"{spec.name}/valid"]
        given[f"{spec.name}/values"] = np.where(valid[..., None], values, np.float32(99))
    second = graph.run(None, given)
    assert all((one == other).all() for one, other in zip(first, second, strict=True))


def test_a_graph_of_one_decision_is_made_where_no_other_can_be() -> None:
    model = small_model("linear", fusion=lambda *given: Concat(*given, pool="last"))  # type: ignore[arg-type]
    graph = session(window_graph(model, ASKED))
    assert graph.get_inputs()[0].shape[0] == 1
    given = graph_check.made_up(model, ASKED)
    said = graph_check.outputs_of(model, graph_check.batch_of(model, ASKED, given))
    assert graph_check.difference(said, graph, given) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {
            "decisions": {"symbols": ["ETHUSDT", "SOLUSDT"]},
            "model": {"mirror": True, "tokens": {"forming": True}, "encoder": {"num_blocks": 1}},
        },
        {
            "side_inputs": {"technical": {}, "market": {}, "position_state": {}},
            "heads": {
                "action": {},
                "trend": {},
                "pivots": {},
                "position": {},
                "volatility": {},
                "confidence": {"method": "isotonic"},
            },
        },
        {
            "model": {
                "fusion": {"name": "latent"},
                "tokens": {"name": "patch", "patch": 5},
                "encoder": {"norm": "layer"},
            }
        },
        {
            "model": {
                "fusion": {"name": "full"},
                "tokens": {"name": "all"},
                "encoder": {"causal": False},
            }
        },
    ],
    ids=["panel both ways up", "sides", "latent", "full"],
)
def test_the_graphs_of_every_kind_of_model_say_what_it_says(changes: dict[str, Any]) -> None:
    model = KeywordModel.of(small_config(**changes))
    assert largest_difference(model.hybrid, asked_of(model)) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["conv", "shared_pattern", "patch_transformer"])
def test_the_graph_of_every_built_in_encoder_says_what_it_says(encoder: str) -> None:
    assert largest_difference(small_model(encoder), ASKED, answer=False) < 1e-5


@pytest.mark.slow
def test_a_recurrent_encoder_is_refused_with_the_reason() -> None:
    with pytest.raises(ConfigError, match=r"No ONNX function found for .*sort"):
        window_graph(small_model("gru"), ASKED)
