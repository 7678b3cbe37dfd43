"""The next candle of every stream: that of the slot with the smallest close time after t.

It is measured like the inputs: prices as log ratios to the last close in sigmas of the stream,
volume as a log ratio to the mean volume, all as known at t and unclipped. The slot may be partly
elapsed already; what has elapsed of it is only known through finer streams.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float, Int64
from torch import Tensor, nn

from mtf.evaluation import metrics as figures
from mtf.learning.losses import mse
from mtf.market.candles import CLOSE, HIGH, LOW, OPEN, VOLUME
from mtf.market.channels import decode, encode
from mtf.market.kernels import VOLUME_SHARE
from mtf.market.labels import Future, Label
from mtf.market.symbols import reference_stream
from mtf.plugins.contracts import Arrays, Fused, Head, HeadContext, Metric, Units
from mtf.plugins.units import as_array, as_output

NO_VOLUME = math.log(VOLUME_SHARE / (1 + VOLUME_SHARE))
"""The volume channel of a candle without trades: the lowest there is."""
CHANNELS = ("open", "high", "low", "close", "volume")
TURNED, SIGNS = [OPEN, LOW, HIGH, CLOSE, VOLUME], [-1, -1, -1, -1, 1]
"""The channels where every price p is 1 / p."""
TYPICAL_WICK = 0.5  # sigmas beyond open and close, where the outputs start


class NextCandle(Head):
    """The next candle of every stream, also of streams that are missing.

    Outputs one tensor ``[batch, 5]`` a stream, under its name: open, high, low, close, volume.
    Whatever the weights, high is at least and low at most both of open and close, and volume is
    not negative; ``mtf.market.channels.decode`` turns it into prices.
    """

    task = "candle"
    primary_metric = "mse"

    def __init__(self, context: HeadContext) -> None:
        super().__init__()
        self.streams = {stream.name: stream for stream in context.streams}
        self.targets = tuple(self.streams)
        self.columns = dict.fromkeys(self.targets, CHANNELS)
        dim = context.embed_dim
        self.hidden = nn.Linear(2 * dim, dim)
        self.own = nn.Parameter(0.02 * torch.randn(len(self.targets), dim))
        self.channels = nn.Linear(dim, 5)
        wick = math.log(math.expm1(TYPICAL_WICK))
        volume = math.log(math.expm1(-NO_VOLUME))
        with torch.no_grad():
            self.channels.weight.mul_(0.1)
            self.channels.bias.copy_(torch.tensor([0.0, wick, wick, 0.0, volume]))

    def forward(self, fused: Fused) -> dict[str, Tensor]:
        """Return the next candle of every stream."""
        count = len(self.targets)
        state = repeat(fused.state, "batch dim -> batch stream dim", stream=count)
        hidden = self.hidden(torch.cat([state, fused.streams], dim=-1)) + self.own
        candles = valid_candle(self.channels(F.gelu(hidden)).float())
        candles = rearrange(candles, "batch stream channel -> stream batch channel")
        return dict(zip(self.targets, candles, strict=True))

    def named(self, name: str, outputs: Mapping[str, Tensor], units: Units) -> dict[str, Any]:
        """``next_candles`` by stream and, as prices and volume, ``next_candle_ohlcv``.

        The finest reference stream of BTC stands as ``btc_next_candle`` and
        ``btc_next_candle_ohlcv``, too. All are ``[batch, 5]``.
        """
        ohlcv = {
            stream: as_output(decode(as_array(candle), units.known[stream]), candle)
            for stream, candle in outputs.items()
        }
        answer: dict[str, Any] = {f"{name}s": dict(outputs), f"{name}_ohlcv": ohlcv}
        if btc := reference_stream(self.streams.values(), "btc"):
            answer[f"btc_{name}"] = outputs[btc.name]
            answer[f"btc_{name}_ohlcv"] = ohlcv[btc.name]
        return answer

    def turned(self, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Prices have the other sign, and high and low change places."""
        return {
            name: candle[:, TURNED] * candle.new_tensor(SIGNS) for name, candle in outputs.items()
        }

    def turned_label(self, target: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The same of the candle that came."""
        return self.turned(values)

    def reach(
        self, target: str, times: Int64[np.ndarray, " decision"]
    ) -> Int64[np.ndarray, " decision"]:
        """Until the next candle closes, in ms: at most the stream's duration."""
        timeframe = self.streams[target].timeframe
        return np.asarray(timeframe.close_time(timeframe.slot(times)) - times, dtype=np.int64)

    def label(self, target: str, future: Future) -> Label:
        """Value ``candle`` ``[decision, 5]``; absent in a gap, and while the stream is stale.

        A stream is stale above its ``max_age``; without sigma or last close there is no label.
        """
        ohlcv, there, slot = future.candle(target)
        known = future.known[target]
        stream = self.streams[target]
        oldest = stream.max_age * stream.timeframe.duration_ms
        candle = encode(ohlcv, known)
        present = there & np.isfinite(candle).all(axis=1) & (known.age_ms <= oldest)
        candle = np.where(present[:, None], candle, 0.0)
        return Label({"candle": candle}, present, slot)

    def loss(
        self, target: str, outputs: Mapping[str, Tensor], values: Mapping[str, Tensor]
    ) -> Float[Tensor, " batch"]:
        """Squared error, mean over the five channels."""
        return mse(outputs[target], values["candle"])

    def metrics(
        self, target: str, outputs: Arrays, label: Label, references: Mapping[str, Arrays]
    ) -> dict[str, Metric]:
        """MSE, and skill against the naive and the mean candle: all channels, close, volume."""
        predicted, happened = outputs[target], label.values["candle"]
        others = {
            name: references[name][target]
            for name in ("naive_candle", "mean_candle")
            if name in references
        }
        found = {"mse": figures.mse(predicted, happened)}
        if others:
            found["skill"] = figures.skill(predicted, happened, others)
            for name, channel in (("skill_close", CLOSE), ("skill_volume", VOLUME)):
                beaten = {key: other[:, channel] for key, other in others.items()}
                found[name] = figures.skill(predicted[:, channel], happened[:, channel], beaten)
        return found


def valid_candle(raw: Float[Tensor, "*batch 5"]) -> Float[Tensor, "*batch 5"]:
    """Five free numbers to a candle that can be: open and close as they are, wicks beyond them."""
    up, down = F.softplus(raw[..., HIGH]), F.softplus(raw[..., LOW])
    start, end = raw[..., OPEN], raw[..., CLOSE]
    high = torch.maximum(start, end) + up
    low = torch.minimum(start, end) - down
    volume = NO_VOLUME + F.softplus(raw[..., VOLUME])
    return torch.stack([start, high, low, end, volume], dim=-1)


__all__ = ["NextCandle", "valid_candle"]
