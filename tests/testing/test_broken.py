"""A plug-in that breaks its contract is named, with its defect."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mtf.encoders.linear import Linear
from mtf.errors import ContractError
from mtf.heads.action import Action
from mtf.market.candles import Candles
from mtf.market.features import Ohlcv
from mtf.market.labels import Future, Label
from mtf.market.timeframe import Timeframe
from mtf.model.pooled import Mean
from mtf.plugins.contracts import DataSource, Fused, Request
from mtf.testing import (
    check_data_source,
    check_encoder,
    check_feature_set,
    check_fusion,
    check_head,
)
from mtf.testing.market import random_candles

MINUTE = Timeframe.parse("1m")
REQUESTS = [Request("ETHUSDT", MINUTE, 0, 50 * 60_000), Request("BTCUSDT", MINUTE, 0, 600_000)]


class Narrow(Linear):
    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        return super().forward(x, valid)[..., :3]


class Ahead(Linear):
    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        return super().forward(x, valid) + x.roll(-1, dims=1).sum(-1, keepdim=True)


class CountsAhead(Linear):
    """Looks ahead in the mask alone."""

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        return super().forward(x, valid) + valid.sum(1, keepdim=True).unsqueeze(-1)


class Further(Linear):
    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        return super().forward(x, valid) + x.cumsum(1).sum(-1, keepdim=True)


class KnowsItsPlace(Linear):
    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        return super().forward(x, valid) + torch.arange(x.shape[1]).unsqueeze(-1)


class Idle(Linear):
    def __init__(self, in_channels: int, embed_dim: int) -> None:
        super().__init__(in_channels, embed_dim)
        self.unused = nn.Parameter(torch.zeros(3))


class Restless(Linear):
    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        return super().forward(x, valid) + torch.rand(())


class Breaks(Linear):
    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        return super().forward(x, valid) / valid.any(1, keepdim=True).unsqueeze(-1)


class Mixes(Linear):
    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        return super().forward(x, valid) - x.mean((0, 1)).sum()


class Forgets(Linear):
    def __init__(self, in_channels: int, embed_dim: int) -> None:
        super().__init__(in_channels, embed_dim)
        self.scale = torch.rand(())

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        return super().forward(x, valid) * self.scale


@pytest.mark.parametrize(
    ("encoder", "words"),
    [
        (Narrow, "wrong shape"),
        (Ahead, "looks ahead"),
        (CountsAhead, "looks ahead"),
        (Further, "receptive field wrong"),
        (KnowsItsPlace, "depends on where its block begins"),
        (Idle, "dead parameter 'unused'"),
        (Restless, "random in evaluation"),
        (Breaks, "not finite without any valid slot"),
        (Mixes, "rows of a batch mix"),
        (Forgets, "state is lost"),
    ],
)
def test_encoder(encoder: Any, words: str) -> None:
    assert_refused(encoder.__name__, words, lambda: check_encoder(encoder))


class Blind(Mean):
    """Never asks the mask."""

    def forward(self, tokens: Tensor, mask: Tensor) -> Fused:
        return super().forward(tokens, torch.ones_like(mask))


class Multiplies(Mean):
    """Hides by multiplying: NaN comes through."""

    def forward(self, tokens: Tensor, mask: Tensor) -> Fused:
        fused = super().forward(tokens, mask)
        return Fused(fused.state + (tokens * mask.unsqueeze(-1)).sum(1), fused.streams)


class OneStream(Mean):
    def forward(self, tokens: Tensor, mask: Tensor) -> Fused:
        fused = super().forward(tokens, mask)
        return Fused(fused.state, fused.streams[:, :1])


class Deaf(Mean):
    def forward(self, tokens: Tensor, mask: Tensor) -> Fused:
        fused = super().forward(tokens, mask)
        return Fused(fused.state.detach(), fused.streams)


@pytest.mark.parametrize(
    ("fusion", "words"),
    [
        (Blind, "breaks behind a mask"),
        (Multiplies, "breaks behind a mask"),
        (OneStream, "wrong shape"),
        (Deaf, "dead parameter 'state.weight'"),
    ],
)
def test_fusion(fusion: Any, words: str) -> None:
    assert_refused(fusion.__name__, words, lambda: check_fusion(fusion))


class Overreaches(Action):
    """Declares less than its label reads."""

    def reach(self, target: str, times: np.ndarray) -> np.ndarray:
        return super().reach(target, times) - 60_000


class Peeks(Action):
    """Goes round Future to the world behind it."""

    def label(self, target: str, future: Future) -> Label:
        label = super().label(target, future)
        candles = future._world.clock_candles
        row = (future.times + self.horizon_ms) // 60_000 + 1
        label.values["log_return"] = np.log(candles.ohlcv[row, 3])
        return label


class NeedsTheFuture(Action):
    """Scales its label by all labels, later ones among them."""

    def label(self, target: str, future: Future) -> Label:
        label = super().label(target, future)
        label.values["log_return"] = label.values["log_return"] - label.values["log_return"].mean()
        return label


class Averages(Action):
    def loss(self, target: str, outputs: Any, values: Any) -> Tensor:
        return super().loss(target, outputs, values).mean()


class NoPrimary(Action):
    def metrics(self, *arguments: Any) -> dict[str, Any]:
        return {name: m for name, m in super().metrics(*arguments).items() if name != "log_loss"}


class NamesTheBest(Action):
    """Calls something by a name that is no row a decision."""

    def named(self, name: str, outputs: Any, units: Any) -> dict[str, Any]:
        return {**super().named(name, outputs, units), "best": {"prob": outputs["probs"].max()}}


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (NamesTheBest, "named() has best.prob of type Tensor and shape ()"),
        (Overreaches, "beyond its reach"),
        (Peeks, "beyond its reach"),
        (NeedsTheFuture, "lies in the future of some decisions"),
        (Averages, "loss of 'action' has shape ()"),
        (NoPrimary, "primary metric 'log_loss'"),
    ],
)
def test_head(head: Any, words: str) -> None:
    assert_refused(head.__name__, words, lambda: check_head(head))


class Restarts(Ohlcv):
    """Keeps nothing from piece to piece."""

    def scan(self, ohlcv: Any, valid: Any, state: Any) -> Any:
        return super().scan(ohlcv, valid, state.copy())


class WholeWindow(Ohlcv):
    """Subtracts the mean of all it is given, later candles among them."""

    def scan(self, ohlcv: Any, valid: Any, state: Any) -> Any:
        values, usable = super().scan(ohlcv, valid, state)
        return np.where(usable[:, None], values - values.mean(0), 0).astype(np.float32), usable


class Shifted(Ohlcv):
    """Hands out the next candle; in pieces it can't."""

    def scan(self, ohlcv: Any, valid: Any, state: Any) -> Any:
        values, usable = super().scan(ohlcv, valid, state)
        values = np.roll(values, -1, axis=0)
        return np.where(usable[:, None], values, 0).astype(np.float32), usable


class ReadsAbsent(Ohlcv):
    """Puts what stands in an absent slot into the features of the slot itself."""

    def scan(self, ohlcv: Any, valid: Any, state: Any) -> Any:
        values, usable = super().scan(ohlcv, valid, state)
        values[~valid] = 1.0
        return values, usable


class Unnamed(Ohlcv):
    channels = ("open", "close")


class Sleeps(Ohlcv):
    """Is never usable."""

    def scan(self, ohlcv: Any, valid: Any, state: Any) -> Any:
        values, usable = super().scan(ohlcv, valid, state)
        return np.zeros_like(values), np.zeros_like(usable)


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (Restarts, "scan in pieces differs"),
        (WholeWindow, "scan in pieces differs"),
        (Shifted, "scan in pieces differs"),
        (ReadsAbsent, "a slot that is not usable has features"),
        (Unnamed, "wrong shape"),
        (Sleeps, "nothing is usable"),
    ],
)
def test_feature_set(features: Any, words: str) -> None:
    assert_refused(features.__name__, words, lambda: check_feature_set(features))


class Source(DataSource):
    """A sound source, to be spoilt."""

    def load(self, requests: Any) -> list[Candles]:
        return [self.answer(request) for request in requests]

    def answer(self, request: Request) -> Candles:
        slots = (request.end_ms - request.start_ms) // 60_000
        candles = random_candles(50, seed=self.seed(), missing=0.1)
        rows = candles.ohlcv[:slots], candles.valid[:slots]
        return Candles(request.symbol, MINUTE, self.first(), *rows)

    def seed(self) -> int:
        return 0

    def first(self) -> int:
        return 0


class Invents(Source):
    def seed(self) -> int:
        return random.randrange(2**31)


class Backwards(Source):
    def load(self, requests: Any) -> list[Candles]:
        return super().load(requests)[::-1]


class TooMuch(Source):
    def first(self) -> int:
        return 100


class NoCandles(Source):
    def answer(self, request: Request) -> Candles:
        candles = super().answer(request)
        candles.ohlcv[candles.valid, 1] = 1.0
        return candles


def test_a_sound_source_passes() -> None:
    check_data_source(Source, REQUESTS)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Invents, "not deterministic"),
        (Backwards, "not sorted"),
        (TooMuch, "were not asked for"),
        (NoCandles, "rows that are no candles"),
    ],
)
def test_data_source(source: Any, words: str) -> None:
    assert_refused(source.__name__, words, lambda: check_data_source(source, REQUESTS))


def assert_refused(name: str, words: str, check: Callable[[], None]) -> None:
    with pytest.raises(ContractError) as caught:
        check()
    assert str(caught.value).startswith(name)
    assert words in str(caught.value)
