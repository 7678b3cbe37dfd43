"""The market upside down: every price p becomes 1 / p, what rose falls, BUY is SELL.

A pattern before a rise is as good a teacher of what comes before a fall. A model that is shown half
of its decisions upside down learns from twice as many of them which way a price goes, and can't
learn the drift of the years that it was trained on. Asked, it answers both ways up, and the mean
of both answers is the forecast: exactly as sure of a rise as of the fall that mirrors it. How much
a price moves is the same both ways up.

What is not the price's way has no other side and stays as it is: volume, volatility, age, time.
Knows nothing of what the channels are called: each feature set says how its own are turned over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor, nn

from mtf.market.feature_set import Turned
from mtf.model.batch import Batch, StreamBatch, TargetBatch
from mtf.plugins.contracts import Head

FORMING: Turned = ((0, -1), (2, -1), (1, -1), (3, -1), (4, 1), (5, 1))
"""Open, high, low, close, volume, elapsed share of the candle that is not closed yet."""
SMALLEST = 1e-12


class Mirror(nn.Module):
    """Turns batches over.

    Args:
        turned: how the channels of each stream are turned over (see ``FeatureSet.turned``).
    """

    def __init__(self, turned: Mapping[str, Turned]) -> None:
        super().__init__()
        self.turned = dict(turned)

    def forward(self, batch: Batch, chosen: Bool[Tensor, " decision"] | None = None) -> Batch:
        """The batch with the ``chosen`` decisions upside down, labels not; None = all of them."""
        streams = {}
        for name, stream in batch.streams.items():
            streams[name] = self._stream(stream, self.turned[name], chosen)
        return replace(batch, streams=streams)

    def array(
        self, stream: str, values: Float32[np.ndarray, "*row channel"]
    ) -> Float32[np.ndarray, "*row channel"]:
        """Features of a stream upside down, outside of a batch."""
        return turn(torch.from_numpy(values), self.turned[stream]).numpy()

    def _stream(
        self, stream: StreamBatch, turned: Turned, chosen: Bool[Tensor, " decision"] | None
    ) -> StreamBatch:
        """One stream; a block that is read both ways up is there twice."""
        forming = stream.forming
        if chosen is None:
            if forming is not None:
                forming = turn(forming, FORMING)
            return replace(stream, values=turn(stream.values, turned), forming=forming)
        blocks = len(stream.values)
        wanted, block = torch.unique(stream.block + blocks * chosen, return_inverse=True)
        values, over = stream.values[wanted % blocks], (wanted >= blocks)[:, None, None]
        values = torch.where(over, turn(values, turned), values)
        if forming is not None:
            forming = torch.where(chosen[:, None], turn(forming, FORMING), forming)
        valid = stream.valid[wanted % blocks]
        return replace(stream, values=values, valid=valid, block=block, forming=forming)


def turn_labels(
    targets: Mapping[str, Mapping[str, TargetBatch]],
    heads: Mapping[str, Head],
    chosen: Bool[Tensor, " decision"],
) -> dict[str, dict[str, TargetBatch]]:
    """The labels of all heads, those of the chosen decisions as they are upside down."""

    def turned_over(head: Head, target: str, labels: TargetBatch) -> TargetBatch:
        if not head.learns:
            return labels
        values = dict(labels.values)
        for name, value in head.turned_label(target, labels.values).items():
            rows = chosen.reshape(-1, *[1] * (value.ndim - 1))
            values[name] = torch.where(rows, value, values[name])
        return TargetBatch(values, labels.present)

    return {
        name: {target: turned_over(heads[name], target, one) for target, one in labels.items()}
        for name, labels in targets.items()
    }


def agreed(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The mean of what is said both ways up; logits are those of the mean probabilities."""
    mean = {name: (value + other[name]) / 2 for name, value in one.items()}
    if mean.keys() >= {"logits", "probs"}:
        mean["logits"] = mean["probs"].clamp(min=SMALLEST).log()
    return mean


def turn(values: Float[Tensor, "*row channel"], turned: Turned) -> Float[Tensor, "*row channel"]:
    """Channels as they are upside down."""
    sources, signs = zip(*turned, strict=True)
    return values[..., list(sources)] * values.new_tensor(signs)
