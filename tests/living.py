"""Live sessions in small: a run that nobody trained but that says something, and a made-up feed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from exports import within
from jaxtyping import Float64
from tasks import small_config
from worlds import random_candles

from mtf.calling.model import KeywordModel
from mtf.config.schema import Config
from mtf.learning.checkpoint import write_checkpoint
from mtf.learning.load import feature_sets
from mtf.learning.optimise import named_tensors, set_tensors
from mtf.market.candles import Candles
from mtf.model.hybrid import HybridModel
from mtf.model.streaming import Streaming
from mtf.realtime.degraded_table import DegradedTable
from mtf.realtime.events import Closed, Event, Key
from mtf.realtime.gate import Gate
from mtf.realtime.kline import interval_of
from mtf.realtime.sandbox.clock import MarketClock
from mtf.realtime.sandbox.exchange import Exchange
from mtf.realtime.sandbox.interval import INTERVALS
from mtf.realtime.sandbox.market import Market
from mtf.realtime.session import Session
from mtf.realtime.terms import Model
from mtf.report.degraded import COLUMNS
from mtf.run import Run, create_run

LIVE: dict[str, Any] = {
    "name": "living",
    "streams": {
        "1m": {"lookback": 32},
        "5m": {"lookback": 16, "from": "1m"},
        "1h": {"lookback": 8},
        "btc": {"timeframe": "1m", "lookback": 32, "symbol": "BTCUSDT"},
    },
    "features": {"volatility_half_life": 20, "volume_half_life": 30},
    "heads": {"action": {}, "confidence": {}},
    "costs": {"commission": 0.0005, "slippage_bps": 1.0},
    "backtest": {"policy": {"name": "argmax"}},
}
LOUDER, HOLD, HOUR = 30.0, 2, 3_600_000
ALLOWED, NOT_ALLOWED = (0.2, 0.1, 0.3), (0.01, -0.1, 0.12)
"""Value, lower and upper end, of a condition that is worth something, and of one that is not."""


def live_config(**changes: Any) -> Config:
    """The config of a live run in small."""
    return small_config(**{**LIVE, **changes})


def live_run(folder: Path, market: Market | None = None, **changes: Any) -> Run:
    """A run whose model says now one thing and then another; no data of it is anywhere.

    Args:
        folder: where its ``runs`` are.
        market: of a stand-in, on whose candles it is to change its mind; None = random ones.
        changes: of the config.
    """
    config = live_config(**changes)
    like = random_market(config) if market is None else made_up_market(config, market)
    hybrid = KeywordModel.of(config).hybrid
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in hybrid.parameters():
            parameter.add_(0.15 * torch.randn(parameter.shape, generator=generator))
        head = dict(hybrid.heads.named_parameters())
        mean = torch.from_numpy(_mean_logits(config, hybrid, like)).float()
        # What the logits differ by from one decision to the next is made large.
        head["action.logits.weight"].mul_(LOUDER)
        head["action.logits.bias"].sub_(mean).mul_(LOUDER)
        head["action.logits.bias"][HOLD] -= 5.0  # it hardly ever holds still
    with within(folder):
        run = create_run(config, {"environment": {"data_fingerprint": "none"}})
    path = (folder / run.path).resolve()
    weights = {name: tensor.clone() for name, tensor in named_tensors(hybrid).items()}
    write_checkpoint(path / "checkpoints", "best", 1, {"weights": weights}, {})
    return Run(path, config)


def quick_model(run: Run) -> Model:
    """What ``mtf live`` decides with, but for the tape, which takes seconds to make."""
    model = KeywordModel.of(run.config)
    set_tensors(model.hybrid, run.best().tensors["weights"])
    config, clock = run.config, run.config.decisions.clock
    engine = Streaming(model.hybrid, feature_sets(config), clock, compiled=False)
    specs = config.stream_specs()
    table = DegradedTable.read(run.path, specs, "action")
    gate = Gate(specs, (config.symbol, clock), table, "RUN")
    return Model(config.name, config, engine, model.hybrid.heads_by_name, gate)


def _mean_logits(
    config: Config, hybrid: HybridModel, like: Mapping[str, Candles]
) -> Float64[np.ndarray, " way"]:
    """What the action head says on average in the last three hours of some candles."""
    streaming = Streaming(hybrid, feature_sets(config), config.decisions.clock, compiled=False)
    end_ms = min(one.open_time()[-1] for one in like.values()) // HOUR * HOUR - 4 * HOUR
    for name, candles in like.items():
        streaming.extend(name, candles.slice(0, int(end_ms)))
    said = []
    for minute in range(1, 181):
        time_ms = int(end_ms) + minute * 60_000
        for name, candles in like.items():
            length = candles.timeframe.duration_ms
            if time_ms % length == 0:
                streaming.extend(name, candles.slice(time_ms - length, time_ms))
        said.append(streaming.decide(time_ms)["action"]["logits"][0])
    mean: np.ndarray = np.stack(said).astype(np.float64).mean(axis=0)
    return mean


def random_market(config: Config) -> dict[str, Candles]:
    """A day and more of random candles for every delivered stream."""
    return {
        spec.name: random_candles(
            1_800 * 60_000 // spec.timeframe.duration_ms, seed, spec.timeframe.name, spec.symbol
        )
        for seed, spec in enumerate(config.stream_specs())
        if spec.derived_from is None
    }


def made_up_market(config: Config, market: Market, days: int = 3) -> dict[str, Candles]:
    """The days before the start of a stand-in's market, for every stream but those of seconds."""
    exchange, found = Exchange(market, MarketClock(market.start_ms)), {}
    for spec in config.stream_specs():
        if spec.derived_from is None and spec.timeframe.name != "1s":
            interval = INTERVALS[interval_of(spec.timeframe)]
            start_ms = market.start_ms - days * 24 * HOUR
            bars = exchange.bars(spec.symbol, interval, start_ms, market.start_ms)
            coin = market.instruments[spec.symbol]
            digits = np.array([coin.price_decimals] * 4 + [coin.size_decimals])
            rows = bars.values[:, :5] / 10.0**digits
            key = spec.symbol, spec.timeframe
            found[spec.name] = Candles.from_rows(*key, bars.open_time, rows)
    return found


def measure(run: Run, worth: Mapping[tuple[str, ...], tuple[float, float, float]]) -> None:
    """Write a table of what the run is worth with some streams alone; late is as absent."""
    lines = [",".join(COLUMNS)]
    for streams, (value, low, high) in worth.items():
        where = f"present,{'+'.join(streams)},0,action,action"
        lines.append(
            f"{where},{value},0.01,{low},{high},1000,30,,log loss, nats".replace(", nats", "")
        )
    (run.path / "degraded.csv").write_text("\n".join(lines) + "\n")


def closed(candles: Candles, *, after_ms: int = 100) -> list[Closed]:
    """Candles as a feed tells them, one by one, each some time after its close."""
    frame = candles.timeframe
    return [
        Closed(
            candles.symbol,
            frame,
            np.array([open_ms], np.int64),
            candles.ohlcv[row : row + 1].copy(),
            open_ms + frame.duration_ms + after_ms,
            "stream",
        )
        for row, open_ms in enumerate(candles.open_time().tolist())
        if candles.valid[row]
    ]


class Events:
    """A source of events that are all there: a feed without threads.

    It suffices for what a session makes of events; how they come is tried on the stand-in.
    """

    def __init__(self, events: Iterable[Event]) -> None:
        self.events = sorted(events, key=when)
        self._now_ms = 0

    def now_ms(self) -> int:
        return self._now_ms

    def take(self, until_ms: int, wait_s: float = 0.0) -> list[Event]:
        taken = [event for event in self.events if when(event) <= until_ms]
        self.events = self.events[len(taken) :]
        self._now_ms = max(self._now_ms, until_ms)
        return taken

    def over(self, until_ms: int) -> bool:
        return self._now_ms >= until_ms


def when(event: Event) -> int:
    """When an event is told."""
    for name in ("arrived_ms", "at_ms", "since_ms"):
        if hasattr(event, name):
            return int(getattr(event, name))
    raise AssertionError(f"{event} has no time")


def decided(session: Session, source: Events, until_ms: int) -> Iterator[Any]:
    """Every decision up to a time."""
    while session.next_ms is not None and session.next_ms <= until_ms:
        session.on(source.take(session.due_ms))
        yield session.decide()


def slice_of(candles: Mapping[Key, Candles], start_ms: int, end_ms: int) -> dict[Key, Candles]:
    """A stretch of all candles."""
    return {key: one.slice(start_ms, end_ms) for key, one in candles.items()}
