"""Whether graphs say what the model says: both are asked about the same made-up decisions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mtf.model.batch import Batch, SideBatch, StreamBatch
from mtf.model.graph import Asked, window_inputs
from mtf.model.hybrid import HybridModel
from mtf.plugins.contracts import Encoder

DECISIONS = 4
Arrays = dict[str, np.ndarray]
"""Input or output name → array."""


def made_up(model: HybridModel, asked: Asked, seed: int = 0) -> Arrays:
    """Inputs of ``window_graph`` about a few decisions: gaps, absent streams, absent elements."""
    rng = np.random.default_rng(seed)
    found: Arrays = {}
    for name, example in window_inputs(model, asked, DECISIONS).items():
        shape = tuple(example.shape)
        if example.dtype == torch.bool:
            found[name] = rng.random(shape) < 0.8
        elif example.dtype == torch.int64:
            found[name] = np.arange(shape[0]) % 2 - 1
        else:
            found[name] = rng.normal(size=shape).astype(np.float32)
    return found


def batch_of(model: HybridModel, asked: Asked, given: Mapping[str, np.ndarray]) -> Batch:
    """The same inputs as the model takes them: every decision has a block of its own."""
    of = {name: torch.from_numpy(array) for name, array in given.items()}
    streams = {}
    for index, spec in enumerate(model.streams):
        values, valid = of[f"{spec.name}/values"], of[f"{spec.name}/valid"]
        forming = _forming(model, spec.name, of)
        about = {key: of[key][:, index] for key in ("present", "log_sigma", "age")}
        row = torch.arange(len(values))
        last = torch.full_like(row, values.shape[1] - 1)
        streams[spec.name] = StreamBatch(values, valid, row, last, **about, **forming)
    side = {
        name: SideBatch(of[f"side/{name}/values"], of[f"side/{name}/valid"]) for name in asked.sides
    }
    return Batch(streams, {}, side, of.get("symbol"))


def outputs_of(model: HybridModel, batch: Batch) -> dict[str, Arrays]:
    """What the model says in evaluation: head → output → array."""
    was_training = model.training
    try:
        with torch.inference_mode():
            answer = model.eval()(batch)
    finally:
        model.train(was_training)
    return {head: {k: v.float().numpy() for k, v in said.items()} for head, said in answer.items()}


def tokens_of(model: HybridModel, batch: Batch) -> Arrays:
    """The inputs of ``answer_graph`` in the place of windows."""
    views = {"tokens": batch} | ({} if model.mirror is None else {"over": model.mirror(batch)})
    found = {}
    with torch.inference_mode():
        for name, view in views.items():
            pooled = model.pooled(view, model.encode(view))
            found[name] = torch.cat([tokens for tokens, _ in pooled], 1).numpy()
            found["mask"] = torch.cat([mask for _, mask in pooled], 1).numpy()
    return found


def difference(said: Mapping[str, Mapping[str, np.ndarray]], session: Any, given: Arrays) -> float:
    """The largest difference between what a model said and what its graph says.

    Of outputs beyond 1 in units of them: they are rounded more coarsely. NaN where either says it.
    """
    names = [f"{head}.{name}" for head, outputs in said.items() for name in outputs]
    wanted = [array for outputs in said.values() for array in outputs.values()]
    fed = {one.name: given[one.name] for one in session.get_inputs()}
    if session.get_inputs()[0].shape[0] == 1:  # no other number of decisions
        rows = [{name: of[i : i + 1] for name, of in fed.items()} for i in range(len(wanted[0]))]
        parts = [session.run(names, row) for row in rows]
        found = [np.concatenate(part) for part in zip(*parts, strict=True)]
    else:
        found = session.run(names, fed)
    apart = [_apart(one, other) for one, other in zip(wanted, found, strict=True)]
    return float(np.max(apart))  # Python's max passes over NaN


@torch.inference_mode()
def step_difference(encoder: Encoder, session: Any, x: np.ndarray, valid: np.ndarray) -> float:
    """The largest difference between an encoder over windows and its graph, slot by slot.

    Only of slots whose receptive field lies within the window.
    """
    wanted = encoder(torch.from_numpy(x[:1]), torch.from_numpy(valid[:1])).numpy()[0]
    names = [one.name for one in session.get_inputs()]
    state, found = [part.numpy() for part in encoder.initial_state(1)], []
    for slot in range(x.shape[1]):
        given = {"x": x[:1, slot], "valid": valid[:1, slot]}
        given |= {f"state/{index}": part for index, part in enumerate(state)}
        encoded, *state = session.run(None, {name: given[name] for name in names})
        found.append(encoded[0])
    known = (encoder.receptive_field or 1) - 1
    return _apart(wanted[known:], np.stack(found)[known:])


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    return float((np.abs(one - other) / np.maximum(np.abs(one), 1.0)).max(initial=0.0))


def _forming(model: HybridModel, stream: str, of: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if stream not in model.forming_streams:
        return {}
    row = model.forming_streams.index(stream)
    return {key: of[key][:, row] for key in ("forming", "forming_there")}


__all__ = [
    "Arrays",
    "batch_of",
    "difference",
    "made_up",
    "outputs_of",
    "step_difference",
    "tokens_of",
]
