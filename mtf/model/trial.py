"""A first question to every part that a stranger wrote: does it answer in the shape it should?

A module that takes other arguments or answers in another shape would fail somewhere in the middle
of mtf, where no message can say whose fault it is. So it is asked once, before candles are loaded.
The rest of the contract is what ``mtf.testing`` tries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mtf.config.schema import Config
from mtf.errors import MtfError, PluginError
from mtf.model.hybrid import HybridModel
from mtf.plugins import registry
from mtf.plugins.contracts import Fused

ROWS = 2

Shapes = list[tuple[int, ...]]


def try_parts(
    model: HybridModel, config: Config, in_channels: Mapping[str, int], tokens: int
) -> None:
    """Ask strangers' encoders, fusion and heads of a model once; built-ins are not asked.

    Model and random numbers are left as they were.

    Args:
        model: all of it.
        config: that it was built from.
        in_channels: feature channels of each stream.
        tokens: of all streams together.

    Raises:
        PluginError: a part fails or answers in another shape; with its name and package.
    """
    with _evaluating(model), torch.random.fork_rng(devices=[]), torch.no_grad():
        _try_encoders(model, config, in_channels)
        dim, streams = config.model.embed_dim, len(model.streams) + len(model.sides)
        given = torch.zeros(ROWS, tokens, dim), torch.ones(ROWS, tokens, dtype=torch.bool)
        shapes: Shapes = [(ROWS, dim), (ROWS, streams, dim)]
        _ask("fusion", config.model.fusion.name, model.fusion, given, shapes)
        fused = Fused(torch.zeros(ROWS, dim), torch.zeros(ROWS, len(model.streams), dim))
        for name, head in model.heads_by_name.items():
            _ask("head", config.heads[name].name, head, (fused,))


def _try_encoders(model: HybridModel, config: Config, in_channels: Mapping[str, int]) -> None:
    for spec, encoder in zip(model.streams, model.encoders, strict=True):
        slots = model.required_slots(spec.name)
        given = (
            torch.zeros(ROWS, slots, in_channels[spec.name]),
            torch.ones(ROWS, slots, dtype=torch.bool),
        )
        wanted: Shapes = [(ROWS, slots, config.model.embed_dim)]
        _ask("encoder", config.model.encoder.name, encoder, given, wanted)


def _ask(
    kind: str, name: str, module: nn.Module, given: Sequence[Any], wanted: Shapes | None = None
) -> None:
    """Call a stranger's module; ``wanted`` None = any tensors with one row a decision."""
    entry = registry.find(kind, name)
    if not entry.foreign:
        return
    try:
        found = [tuple(tensor.shape) for tensor in _tensors(module(*given))]
    except MtfError:
        raise
    except Exception as error:  # a stranger's module may raise anything
        raise entry.broken("failed at a first try", error) from error
    fits = found == wanted if wanted else all(shape[:1] == (ROWS,) for shape in found)
    if not fits:
        raise PluginError(
            f"{kind} {name!r} of {entry.origin} answers in the wrong shape: {_told(found)}",
            _told(wanted) if wanted else f"one row a decision, here {ROWS}",
            f"mend forward() of {entry.target}; mtf.testing.check_{kind} says more",
        )


def _tensors(answer: Any) -> list[Tensor]:
    if isinstance(answer, Fused):
        return [answer.state, answer.streams]
    return list(answer.values()) if isinstance(answer, dict) else [answer]


def _told(shapes: Shapes) -> str:
    return ", ".join(str(list(shape)) for shape in shapes) or "nothing"


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation; every module's mode is restored, also those that differ."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


__all__ = ["try_parts"]
