"""How fast a plug-in is beside a plain one of its kind, measured in turns in the same run.

Figures of this machine at this moment; only their ratio means something elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mtf.plugins.contracts import Fused, HeadContext
from mtf.testing.contract import Check
from mtf.testing.market import CLOCK, random_candles, stream_specs
from mtf.testing.registered import factory_of

PLAIN = {"encoder": "linear", "fusion": "mean", "feature": "ohlcv"}
"""Kind → the plug-in to compare with; others stand alone."""
SECONDS = 0.4
"""How long each measurement may take."""
DIM, ROWS, SLOTS, CANDLES = 64, 16, 256, 20_000
TOKEN_STREAM = tuple(stream for stream in range(4) for _ in range(10))

Work = tuple[str, int, dict[str, Callable[[], object]]]
"""Unit, how many of it a call does, and what is called by name."""


def speed_check(kind: str, name: str, options: Mapping[str, Any]) -> tuple[Check, ...]:
    """A check that says how fast a plug-in is; none for kinds where that says nothing.

    Args:
        kind: such as ``encoder``.
        name: of the plug-in.
        options: its config keys.
    """
    if kind not in WORK:
        return ()
    return (Check("speed", lambda: _measure(kind, name, options)),)


def _measure(kind: str, name: str, options: Mapping[str, Any]) -> str:
    """Speeds, and ratios to the plain one."""
    unit, amount, calls = WORK[kind](factory_of(kind, name, options))
    plain = PLAIN.get(kind)
    others = {} if plain is None else WORK[kind](factory_of(kind, plain))[2]
    said = []
    for what, call in calls.items():
        own, other = _in_turns(call, others.get(what))
        ratio = "" if other is None else f" ({other / own:.2g} × {plain})"
        said.append(f"{what} {amount / own:,.0f} {unit}/s{ratio}")
    return ", ".join(said)


def _in_turns(
    one: Callable[[], object], other: Callable[[], object] | None
) -> tuple[float, float | None]:
    """Median seconds of each, called in turns."""
    calls = [one] if other is None else [one, other]
    taken: list[list[float]] = [[] for _ in calls]
    for call in calls:
        call()  # what is compiled or cached at first use
    end = perf_counter() + SECONDS
    while perf_counter() < end or len(taken[0]) < 3:
        for call, times in zip(calls, taken, strict=True):
            start = perf_counter()
            call()
            times.append(perf_counter() - start)
    medians = [median(times) for times in taken]
    return medians[0], medians[1] if other is not None else None


def _encoder(factory: Any) -> Work:
    encoder: nn.Module = factory(5, DIM).train()
    x, valid = torch.randn(ROWS, SLOTS, 5), torch.ones(ROWS, SLOTS, dtype=torch.bool)
    return "slots", ROWS * SLOTS, _both_ways(encoder, lambda: [encoder(x, valid)])


def _fusion(factory: Any) -> Work:
    fusion: nn.Module = factory(DIM, TOKEN_STREAM).train()
    tokens = torch.randn(8 * ROWS, len(TOKEN_STREAM), DIM)
    mask = torch.ones(tokens.shape[:2], dtype=torch.bool)

    def call() -> list[Tensor]:
        fused = fusion(tokens, mask)
        return [fused.state, fused.streams]

    return "decisions", len(tokens), _both_ways(fusion, call)


def _head(factory: Any) -> Work:
    specs = stream_specs()
    head: nn.Module = factory(HeadContext(DIM, specs, CLOCK)).train()
    fused = Fused(torch.randn(64 * ROWS, DIM), torch.randn(64 * ROWS, len(specs), DIM))
    return "decisions", 64 * ROWS, _both_ways(head, lambda: list(head(fused).values()))


def _both_ways(module: nn.Module, call: Callable[[], list[Tensor]]) -> dict[str, Callable]:
    """Forward, and forward with backward."""

    def backward() -> None:
        module.zero_grad()
        torch.stack([output.sum() for output in call()]).sum().backward()

    trains = any(parameter.requires_grad for parameter in module.parameters())
    return {
        "forward": torch.no_grad()(call),
        **({"with backward": backward} if trains else {}),
    }


def _feature(factory: Any) -> Work:
    features, candles = factory(), random_candles(CANDLES, missing=0.01)

    def scan() -> object:
        state = np.array(features.initial_state(), np.float64)
        return features.scan(candles.ohlcv, candles.valid, state)

    return "candles", CANDLES, {"scan": scan}


WORK: dict[str, Callable[[Any], Work]] = {
    "encoder": _encoder,
    "feature": _feature,
    "fusion": _fusion,
    "head": _head,
}
"""Kind → what is measured."""

__all__ = ["speed_check"]
