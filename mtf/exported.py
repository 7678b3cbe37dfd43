"""What model.json says of an exported run: everything that a runner needs beside the graphs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import numpy as np

from mtf.calling.model import KeywordModel
from mtf.config.build import build
from mtf.config.plugin_spec import FeatureSpec
from mtf.config.schema import Config
from mtf.edge.folder import SCHEMA
from mtf.edge.policy import SIGNALS
from mtf.errors import ConfigError
from mtf.evaluation.predict import predictions_of
from mtf.learning.checkpoint import Checkpoint
from mtf.learning.load import feature_sets
from mtf.learning.sweep import Sweep
from mtf.market.features import Indicators, Ohlcv
from mtf.market.forming import finer_streams
from mtf.model.graph import Asked
from mtf.plugins import registry
from mtf.plugins.contracts import Head
from mtf.trading import policies

PACKAGES = ("mtf", "torch", "numpy", "onnx", "onnxruntime", "onnxscript")
FEATURES = {"ohlcv": Ohlcv, "indicators": Indicators}
"""The feature sets that the runner can compute, too."""
POLICIES = {name: getattr(policies, name.capitalize()) for name in SIGNALS}
"""The policies that the runner can follow, too."""


def asked_of(model: KeywordModel) -> Asked:
    """What the model of a run reads besides candles."""
    sets = feature_sets(model.config)
    return Asked(
        {name: len(one.channels) for name, one in sets.items()},
        {name: (side.time, len(side.elements)) for name, side in model.sides.items()},
        bool(model.config.panel),
    )


def check_features(config: Config) -> None:
    """Refuse features that the runner can't compute.

    Raises:
        ConfigError: with the stream that has them.
    """
    for stream, one in config.streams.items():
        spec = one.features or config.features
        if registry.load("feature", spec.name) is not FEATURES.get(spec.name):
            raise ConfigError(
                f"stream {stream} has the features {spec.name!r}, which the runner can't compute",
                f"one of {', '.join(FEATURES)}",
                "train a run on these, or ask the model where mtf is installed (mtf.load(RUN))",
            )


def description(
    name: str,
    model: KeywordModel,
    best: Checkpoint,
    steps: Mapping[str, str | None],
    outputs: Mapping[str, Mapping[str, np.ndarray]],
) -> dict[str, Any]:
    """The content of model.json.

    Args:
        name: of the run.
        model: with the weights of ``best``.
        best: the checkpoint.
        steps: stream → file of the graph that encodes one slot of it; None = there is none.
        outputs: what every head says of one decision, whatever it is: head → output → array.
    """
    config = model.config
    clock = config.decisions.clock
    streams = [
        _stream(index, model, steps[spec.name]) for index, spec in enumerate(model.hybrid.streams)
    ]
    return {
        "schema": SCHEMA,
        "run": name,
        "checkpoint": best.path.name,
        "weights_sha256": weights_fingerprint(best),
        "versions": {package: metadata.version(package) for package in PACKAGES},
        "symbols": list(config.decisions.symbols),
        "symbol_is_told": bool(config.panel),
        "clock": _frame(clock.name, clock.duration_ms, clock.anchor_ms),
        "mirror": model.hybrid.mirror is not None,
        "streams": streams,
        "side_inputs": [
            {"name": side, "time": one.time, "elements": list(one.elements)}
            for side, one in model.sides.items()
        ],
        "heads": {head: spec.model_dump() for head, spec in config.heads.items()},
        "outputs": _outputs(model.hybrid.heads_by_name, outputs),
        "action": _action(model.hybrid.heads_by_name, outputs),
        "policy": _policy(config),
    }


def weights_fingerprint(best: Checkpoint) -> str:
    """The sha256 over all weights, names and values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(best.tensors["weights"].items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def _frame(name: str, duration_ms: int, anchor_ms: int) -> dict[str, Any]:
    return {"name": name, "duration_ms": duration_ms, "anchor_ms": anchor_ms}


def _stream(index: int, model: KeywordModel, step: str | None) -> dict[str, Any]:
    """One stream: its candles, its features, its tokens."""
    hybrid, config = model.hybrid, model.config
    spec = hybrid.streams[index]
    features = config.streams[spec.name].features or config.features
    forming = spec.name in hybrid.forming_streams
    return {
        "name": spec.name,
        "symbol": spec.symbol,
        "role": spec.role,
        "timeframe": spec.timeframe.name,
        "duration_ms": spec.timeframe.duration_ms,
        "anchor_ms": spec.timeframe.anchor_ms,
        "lookback": spec.lookback,
        "required": hybrid.required_slots(spec.name),
        "latency_ms": spec.latency_ms,
        "max_age": spec.max_age,
        "from": spec.derived_from,
        "forming": finer_streams(hybrid.streams, spec) if forming else [],
        **_features(features),
        "spans": [[int(newest), int(oldest)] for newest, oldest in hybrid.spans(index)],
        "step": step,
    }


def _features(spec: FeatureSpec) -> dict[str, Any]:
    """The features of a stream as the runner computes them."""
    made = build("feature", spec)
    turned = None if made.turned is None else [list(pair) for pair in made.turned]
    return {
        "warmup": made.warmup,
        "features": {
            "name": spec.name,
            "channels": list(made.channels),
            "settings": spec.options,
            "turned": turned,
        },
    }


def _outputs(
    heads: Mapping[str, Head], outputs: Mapping[str, Mapping[str, np.ndarray]]
) -> list[dict[str, Any]]:
    """Names of the graphs' outputs in order, and of the columns that each is in predictions."""
    found = []
    for head, said in outputs.items():
        for name, array in said.items():
            one = Sweep(np.zeros(1, np.int64), {head: {name: array}}, {head: {}})
            columns = predictions_of({head: heads[head]}, one, "", "test").arrays
            found.append({"name": f"{head}.{name}", "columns": list(columns)})
    return found


def _action(heads: Mapping[str, Head], outputs: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The first head that says buy, sell or hold."""
    sides = ("prob_buy", "prob_sell", "prob_hold")
    found = [n for n, h in heads.items() if h.task == "classification" and "probs" in outputs[n]]
    return next((n for n in found if heads[n].columns.get("probs") == sides), None)


def _policy(config: Config) -> dict[str, Any] | None:
    """The policy of the run's backtest, where the runner can follow it."""
    if config.backtest is None:
        return None
    spec = config.backtest.policy
    if registry.load("policy", spec.name) is not POLICIES.get(spec.name):
        return None
    made = build("policy", spec)
    return {"name": spec.name, "settings": {**spec.options, "head": made.head}}


__all__ = ["asked_of", "check_features", "description", "weights_fingerprint"]
