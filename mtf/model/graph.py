"""A model as ONNX graphs: of whole windows, of one slot of one stream, and of the tokens alone.

Three graphs say the same as ``HybridModel`` in evaluation, in float32:

``window_graph``  windows of features of every stream → what every head says;
``step_graph``    one slot of one stream and the state before it → the encoded slot and the state;
``answer_graph``  the bare tokens of every stream → what every head says.

Inputs and outputs have names. Slots come in as windows, ``1m/values`` ``[decision, slot, channel]``
and ``1m/valid`` ``[decision, slot]`` of a stream called 1m, the last slot being that of the
decision; or as bare tokens of all streams, one stream after another: ``tokens`` ``[decision, token,
dim]``, the means over the valid slots of each span (0 without any), and ``mask`` ``[decision,
token]``, whether there are any. A model with a mirror has the bare tokens upside down as another
input, ``over``. Beside them stand ``present``, ``log_sigma`` and ``age`` ``[decision, stream]`` as
in ``StreamBatch``; where forming candles are read ``forming`` ``[decision, stream, 6]`` and
``forming_there`` ``[decision, stream]``, of the streams in ``forming_streams`` alone; of a side
input called book ``side/book/values`` and ``side/book/valid`` ``[decision, time, element]``; of a
panel ``symbol`` ``[decision]``, -1 = one that was not learned. Values behind a mask that is False
must be finite, and don't count. Outputs are ``<head>.<output>``. Masks are bool, ``symbol`` is
int64, all else float32.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TypeVar

import torch
from torch import Tensor, nn

from mtf.errors import ConfigError
from mtf.model.graph_modules import Asked, FromTokens, FromWindows, Step, pool_windows
from mtf.model.hybrid import HybridModel
from mtf.model.tracing import EXTRA, traced
from mtf.plugins.contracts import Encoder

M = TypeVar("M", bound=nn.Module)


def answer_graph(model: HybridModel, asked: Asked, batch: int | None = 1) -> bytes:
    """The ONNX graph from bare tokens to what every head says (see the head of this file).

    What does not depend on the inputs, such as the embeddings of timeframes and spans, is computed
    once, here.

    Args:
        model: with the weights; it is left as it is.
        asked: what the model reads besides tokens.
        batch: decisions, always as many; None = any number.

    Raises:
        MtfError: something that ONNX can't express, or no ``onnx`` here.
    """
    made = FromTokens(_still(model), asked)
    return traced(made, made.examples(batch or 2), made.outputs, batch is None)


def window_graph(model: HybridModel, asked: Asked) -> bytes:
    """The ONNX graph from windows to what every head says, of any number of decisions.

    Of exactly one where a part of the model can only be traced for a number that is known. A window
    of a stream has ``model.required_slots(stream)`` slots. Arguments and errors as of
    ``answer_graph``.
    """
    made = FromWindows(_still(model), asked)
    try:
        return traced(made, made.examples(2), made.outputs, True)
    except ConfigError:
        return traced(made, made.examples(1), made.outputs, False)


def window_inputs(model: HybridModel, asked: Asked, decisions: int) -> dict[str, Tensor]:
    """Inputs of ``window_graph`` by name, in their order and shapes."""
    return FromWindows(_still(model), asked).examples(decisions)


def step_graph(encoder: Encoder, channels: int) -> bytes:
    """The ONNX graph of ``Encoder.step`` of one history.

    Inputs ``x`` ``[1, channel]``, ``valid`` ``[1]``, and ``state/0``, ``state/1``, … in the shapes
    of ``initial_state(1)``; outputs ``encoded`` ``[1, dim]``, and the next states under the names
    ``next/0``, ``next/1``, …

    Raises:
        MtfError: something that ONNX can't express, or no ``onnx`` here.
    """
    made = Step(_still(encoder))
    with torch.no_grad():
        state = made.encoder.initial_state(1)
    given = {"x": torch.zeros(1, channels), "valid": torch.ones(1, dtype=torch.bool)}
    given |= {f"state/{i}": part for i, part in enumerate(state)}
    outputs = ["encoded", *(f"next/{i}" for i in range(len(state)))]
    return traced(made, given, outputs, False)


def can_step(model: HybridModel) -> bool:
    """Whether every stream of a model can be encoded slot by slot."""
    return all(
        model.encode_once(spec.name)[0] and encoder.steps
        for spec, encoder in zip(model.streams, model.encoders, strict=True)
    )


def _still(module: M) -> M:
    """A copy in evaluation, in float32 on the CPU."""
    return deepcopy(module).cpu().float().eval()


__all__ = [
    "EXTRA",
    "Asked",
    "answer_graph",
    "can_step",
    "pool_windows",
    "step_graph",
    "window_graph",
    "window_inputs",
]
