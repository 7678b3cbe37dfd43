"""The leak zoo: mistakes as people make them, each written the way its author would write it.

Every one looks ahead, or a candle too late, at a place of its own. ``test_leak_zoo.py`` shows that
each is caught. Nothing here is a model of how to do it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mtf.encoders.linear import Linear
from mtf.heads.action import Action
from mtf.market.candles import Candles
from mtf.market.features import Ohlcv
from mtf.market.labels import Future, Label
from mtf.market.timeframe import Timeframe
from mtf.plugins.contracts import DataSource, Encoder, Fused, HeadContext, Request

MINUTE, HOUR = Timeframe.parse("1m"), Timeframe.parse("1h")
Market = Mapping[str, Candles]


# --- joins and transformations of one's own -----------------------------------------------------


def frame_of(candles: Candles) -> pd.DataFrame:
    """As people hold candles: a frame indexed by the open time, without the absent rows."""
    names = ["open", "high", "low", "close", "volume"]
    frame = pd.DataFrame(candles.ohlcv, columns=names)
    frame["time"] = candles.open_time()
    return frame[candles.valid].set_index("time")


def last_before(frame: pd.DataFrame, times: np.ndarray, **how: Any) -> np.ndarray:
    """``merge_asof`` of each time with the rows of a frame."""
    left = pd.DataFrame({"time": times})
    return (
        pd.merge_asof(left, frame.reset_index(), on="time", **how).drop(columns="time").to_numpy()
    )


def by_close(candles: Candles) -> pd.DataFrame:
    frame = frame_of(candles)
    frame.index = frame.index + candles.timeframe.duration_ms
    return frame


def sound_join(market: Market, times: np.ndarray) -> np.ndarray:
    """The honest one: the last candle of the hour and of the minute that has closed."""
    return np.hstack([last_before(by_close(market[name]), times) for name in ("1m", "1h")])


def joined_at_the_open(market: Market, times: np.ndarray) -> np.ndarray:
    """Higher timeframe by its time stamp, which is its open: the hour that runs, to its end."""
    return last_before(frame_of(market["1h"]), times)


def one_candle_early(market: Market, times: np.ndarray) -> np.ndarray:
    """By close time, to the nearest: half an hour ahead at most."""
    return last_before(by_close(market["1h"]), times, direction="nearest")


def one_candle_late(market: Market, times: np.ndarray) -> np.ndarray:
    """Shifted 'to be safe', after it was joined on the close already."""
    return last_before(by_close(market["1h"]).shift(1).dropna(), times)


def strictly_before(market: Market, times: np.ndarray) -> np.ndarray:
    """Leaves out the candle that closes at the time itself."""
    return last_before(by_close(market["1h"]), times, allow_exact_matches=False)


def resampled_to_hours(market: Market, times: np.ndarray) -> np.ndarray:
    """pandas labels a bucket by its left edge: the whole hour is there from its first minute on."""
    minutes = frame_of(market["1m"])
    minutes.index = pd.to_datetime(minutes.index, unit="ms")
    hours = minutes["close"].resample("1h").last()
    spread = hours.reindex(pd.to_datetime(times, unit="ms"), method="ffill")
    return spread.to_numpy()


def scaled_by_everything(market: Market, times: np.ndarray) -> np.ndarray:
    """StandardScaler().fit(X) before the split: validation and test are in the mean."""
    frame = by_close(market["1m"])
    returns = np.log(frame["close"]).diff().fillna(0.0)
    return last_before(((returns - returns.mean()) / returns.std()).to_frame("z"), times)


def window_with_its_target(market: Market, times: np.ndarray) -> np.ndarray:
    """A window and the candle to predict are cut together, then divided by their common mean."""
    candles = market["1m"]
    closes = pd.Series(candles.ohlcv[:, 3]).ffill().bfill().to_numpy()
    last = candles.timeframe.last_slot(times) - candles.first_slot
    samples = np.stack([closes[row - 15 : row + 2] for row in last])
    return np.asarray((samples / samples.mean(axis=1, keepdims=True))[:, :-1])


def gaps_filled_from_behind(market: Market, times: np.ndarray) -> np.ndarray:
    """fillna(method='bfill'): an absent candle is the next one there is."""
    candles = market["1m"]
    closes = pd.Series(candles.ohlcv[:, 3]).bfill()
    rows = candles.timeframe.last_slot(times) - candles.first_slot
    return np.asarray(closes.to_numpy()[rows])


def interpolated_gaps(market: Market, times: np.ndarray) -> np.ndarray:
    """A line across the gap needs its far end."""
    candles = market["1m"]
    closes = pd.Series(candles.ohlcv[:, 3]).interpolate()
    rows = candles.timeframe.last_slot(times) - candles.first_slot
    return np.asarray(closes.to_numpy()[rows])


# --- feature sets -------------------------------------------------------------------------------


class CentredMean(Ohlcv):
    """Smooths its features by a centred mean."""

    def scan(self, ohlcv: Any, valid: Any, state: Any) -> Any:
        values, usable = super().scan(ohlcv, valid, state)
        smooth = pd.DataFrame(values).rolling(5, center=True, min_periods=1).mean().to_numpy()
        return np.where(usable[:, None], smooth, 0).astype(np.float32), usable


class FillsBackwards(Ohlcv):
    """Fills absent candles from the next ones before it scans."""

    def scan(self, ohlcv: Any, valid: Any, state: Any) -> Any:
        filled = pd.DataFrame(np.where(valid[:, None], ohlcv, np.nan)).bfill().to_numpy()
        return super().scan(filled, ~np.isnan(filled[:, 0]), state)


class ScalesBySeries(Ohlcv):
    """Min-max scaling over the series it is given."""

    def scan(self, ohlcv: Any, valid: Any, state: Any) -> Any:
        values, usable = super().scan(ohlcv, valid, state)
        return (values / np.abs(values).max(0, initial=1e-6)).astype(np.float32), usable


# --- encoders -----------------------------------------------------------------------------------


class PadsBothSides(Encoder):
    """padding='same', and called causal."""

    causal, receptive_field = True, 5

    def __init__(self, in_channels: int, embed_dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_channels, embed_dim, 5, padding="same")

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        y: Tensor = self.conv(x.transpose(1, 2)).transpose(1, 2)
        return y


class NormalisesTheWindow(Linear):
    """Mean and deviation over the window (as RevIN has it), and called causal."""

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        x = (x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True, correction=0) + 1e-5)
        return super().forward(x, valid)


class BothDirections(Encoder):
    """A bidirectional GRU, and called causal."""

    causal = True

    def __init__(self, in_channels: int, embed_dim: int) -> None:
        super().__init__()
        self.gru = nn.GRU(in_channels, embed_dim // 2, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        y: Tensor = self.gru(x)[0]
        return y


class NormalisesTheBatch(Encoder):
    """Statistics of the batch, in evaluation too: later decisions are in it. Not called causal."""

    def __init__(self, in_channels: int, embed_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, embed_dim)
        self.norm = nn.BatchNorm1d(embed_dim, track_running_stats=False)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        y: Tensor = self.norm(self.linear(x).transpose(1, 2)).transpose(1, 2)
        return y


class Shifts(Linear):
    """Hands out each slot one late."""

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        y = super().forward(x, valid)
        return torch.cat([torch.zeros_like(y[:, :1]), y[:, :-1]], dim=1)

    def __init__(self, in_channels: int, embed_dim: int) -> None:
        super().__init__(in_channels, embed_dim)
        self.receptive_field = 2


# --- heads --------------------------------------------------------------------------------------


class LabelBeyondReach(Action):
    """Waits one candle longer for its exit than it declares."""

    def label(self, target: str, future: Future) -> Label:
        late = Future(future._world, future.times, future.reach + 60_000)
        label = super().label(target, late)
        exit_price = late.exit(self.horizon_ms + 60_000)
        label.values["log_return"] = np.log(exit_price / late.entry())
        return label


class LabelTooShort(Action):
    """Declares a horizon that it does not read to its end."""

    def reach(self, target: str, times: np.ndarray) -> np.ndarray:
        return super().reach(target, times) + 60_000


class DemeansItsLabels(Action):
    """Its label is the distance to the mean of all labels that are asked for at once."""

    def label(self, target: str, future: Future) -> Label:
        label = super().label(target, future)
        label.values["log_return"] -= label.values["log_return"].mean()
        return label


class RemembersItsLabel(Action):
    """Keeps the label of the batch and adds it to what it says next."""

    hint: Tensor | None = None

    def forward(self, fused: Fused) -> dict[str, Tensor]:
        outputs = super().forward(fused)
        if self.hint is not None and len(self.hint) == len(fused.state):
            logits = outputs["logits"] + 3 * self.hint
            outputs = {"logits": logits, "probs": logits.softmax(-1)}
        return outputs

    def loss(self, target: str, outputs: Any, values: Any) -> Tensor:
        self.hint = nn.functional.one_hot(values["class"].long(), 3).float()
        return super().loss(target, outputs, values)

    def __init__(self, context: HeadContext) -> None:
        super().__init__(context)


# --- data sources -------------------------------------------------------------------------------


class Archive(DataSource):
    """What an honest source has: minutes with a gap, and the hours they add up to."""

    def load(self, requests: Sequence[Request]) -> list[Candles]:
        return [self.answer(request) for request in requests]

    def answer(self, request: Request) -> Candles:
        rows = self.minutes(request.end_ms) if request.timeframe == MINUTE else self.hours(request)
        candles = Candles.from_rows(request.symbol, request.timeframe, *rows)
        return candles.slice(request.start_ms, request.end_ms)

    def minutes(self, end_ms: int) -> tuple[np.ndarray, np.ndarray]:
        """All there are, except for a gap."""
        rng = np.random.default_rng(5)
        price = 100 * np.exp(np.cumsum(rng.normal(0, 1e-3, 12 * 60 + 1)))
        opens, close = price[:-1], price[1:]
        high, low = np.maximum(opens, close) * 1.0003, np.minimum(opens, close) * 0.9997
        ohlcv = np.stack([opens, high, low, close, rng.gamma(2.0, 5.0, len(opens))], axis=1)
        keep = np.ones(len(opens), bool)
        keep[400:412] = False
        return np.flatnonzero(keep) * 60_000, ohlcv[keep]

    def hours(self, request: Request) -> tuple[np.ndarray, np.ndarray]:
        """Of the minutes up to the close of the last hour asked for."""
        return buckets(*self.minutes(-(-request.end_ms // 3_600_000) * 3_600_000))


def buckets(times: np.ndarray, ohlcv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of minutes added up to hours, complete or not."""
    hour = times // 3_600_000
    groups = [ohlcv[hour == h] for h in np.unique(hour)]
    rows = [[g[0, 0], g[:, 1].max(), g[:, 2].min(), g[-1, 3], g[:, 4].sum()] for g in groups]
    return np.unique(hour) * 3_600_000, np.array(rows)


class KnownAtTheOpen(Archive):
    """Takes the time stamp for the moment from which a candle is known."""

    def answer(self, request: Request) -> Candles:
        candles = super().answer(request)
        return replace(candles, available_at=candles.open_time())


class UnclosedLast(Archive):
    """Adds up what has traded until the request's end: the last hour is not over."""

    def hours(self, request: Request) -> tuple[np.ndarray, np.ndarray]:
        times, ohlcv = self.minutes(request.end_ms)
        return buckets(times[times < request.end_ms], ohlcv[times < request.end_ms])


class FillsGapsBackwards(Archive):
    """A gapless series for the charts: each absent minute is the next one that is there."""

    def minutes(self, end_ms: int) -> tuple[np.ndarray, np.ndarray]:
        times, ohlcv = super().minutes(end_ms)
        there = times < end_ms
        whole = np.arange(times[0], min(times[-1] + 60_000, end_ms), 60_000)
        frame = pd.DataFrame(ohlcv[there], index=times[there]).reindex(whole).bfill().dropna()
        return frame.index.to_numpy(), frame.to_numpy()


class StampedByClose(Archive):
    """Its hours carry the close time where the open is wanted: everything one hour late."""

    def hours(self, request: Request) -> tuple[np.ndarray, np.ndarray]:
        times, ohlcv = super().hours(request)
        return times + 3_600_000, ohlcv


class StampedEarly(Archive):
    """Its hours are stamped one hour before they open: the next hour is known."""

    def hours(self, request: Request) -> tuple[np.ndarray, np.ndarray]:
        times, ohlcv = super().hours(request)
        return times[1:] - 3_600_000, ohlcv[1:]


# --- splits -------------------------------------------------------------------------------------


def split_before_purging(times: np.ndarray, horizon_ms: int) -> dict[str, np.ndarray]:
    """First cut, 70 : 30; the labels at the border know what comes behind it."""
    border = len(times) * 7 // 10
    return {"train": times[:border], "validation": times[border:]}


def shuffled_split(times: np.ndarray, horizon_ms: int) -> dict[str, np.ndarray]:
    """train_test_split(X, y) with its default shuffle=True."""
    order = np.random.default_rng(0).permutation(times)
    border = len(times) * 7 // 10
    return {"train": order[:border], "validation": order[border:]}


def purged_split(times: np.ndarray, horizon_ms: int) -> dict[str, np.ndarray]:
    """The honest one."""
    parts = split_before_purging(times, horizon_ms)
    train, first = parts["train"], parts["validation"][0]
    return {**parts, "train": train[train + horizon_ms <= first]}
