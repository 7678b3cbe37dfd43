"""Worlds in which there is nothing to find, and worlds in which something was planted.

Three ways to take away what a model could learn: labels that belong to other decisions, candles in
an order of chance, random walks as volatile as the market; and two things planted that a best
player is known of: momentum, and a follower of BTC. Each is a config that trains like the real one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from mtf.config.plugin_spec import DataSourceSpec
from mtf.config.schema import Config
from mtf.learning.batches import BatchBuilder
from mtf.learning.splits import Part
from mtf.learning.targets import Labels, labels_of
from mtf.learning.task import Task
from mtf.market.blocks import shuffled_rows
from mtf.market.candles import CLOSE, Candles
from mtf.model.batch import Batch

DAY_MS = 86_400_000
MINUTE_MS = 60_000
SHARE_OF_A_DAY = 0.618
"""Of labels that are moved together: no multiple of a day, which would keep the time of day."""
FEWEST_BLOCKS = 20
RHO = 0.7
LEADER = "BTCUSDT"
MOST_LOOKBACK = 32
MOST_IN_A_BATCH = 8

Elsewhere = Callable[[Config, int, float], Config]


def preset(config: Config) -> list[str]:
    """Overrides that make training a matter of seconds: one convolution, all tokens side by side.

    Data, features, streams, tokens, heads, parts and optimiser stay. It is the data and the way of
    measuring that are tried, not the architecture; overrides behind these try that, too.
    """
    sampling = config.training.sampling
    small = {
        "model.embed_dim": min(config.model.embed_dim, 16),
        "model.encoder": "{name: conv, num_blocks: 1, kernel_size: 4}",
        "model.fusion": "{name: concat}",
        "training.sampling.groups": min(sampling.groups, MOST_IN_A_BATCH),
        "training.sampling.decisions": min(sampling.decisions, MOST_IN_A_BATCH),
    }
    lookbacks = [
        f"streams.{name}.lookback={min(stream.lookback, MOST_LOOKBACK)}"
        for name, stream in config.streams.items()
    ]
    return [*(f"{key}={value}" for key, value in small.items()), *lookbacks]


def bootstrapped(config: Config, seed: int, daily_volatility: float) -> Config:
    """The config's own candles, in an order of chance."""
    source = config.data.model_dump(mode="json")
    return _on(config, {"name": "bootstrapped", "source": source, "seed": seed})


def random_walk(config: Config, seed: int, daily_volatility: float) -> Config:
    """Random walks as volatile as the primary symbol."""
    return _on(config, _synthetic("random_walk", seed, daily_volatility))


def momentum(config: Config, seed: int, daily_volatility: float) -> Config:
    """Each return goes on with part of the one before: AR(1) at the clock's step or a minute."""
    step = max(config.decisions.clock.duration_ms, MINUTE_MS) // MINUTE_MS
    law = {"rho": RHO, "kind": "ar1", "step": f"{step}m"}
    return _on(config, {**_synthetic("momentum", seed, daily_volatility), **law})


def lead_lag(config: Config, seed: int, daily_volatility: float) -> Config:
    """Every symbol follows BTC with a lag, volatility clusters, tails are fat."""
    return _on(config, {**_synthetic("market", seed, daily_volatility), "leader": LEADER})


def planted(config: Config) -> dict[str, Elsewhere]:
    """What can be planted: a lead of BTC only where BTC is read beside another symbol."""
    worlds: dict[str, Elsewhere] = {"momentum": momentum}
    read = any(stream.symbol == LEADER for stream in config.streams.values())
    if read and LEADER not in config.decisions.symbols:
        worlds["lead_lag"] = lead_lag
    return worlds


def daily_volatility(candles: Candles) -> float:
    """Standard deviation of a day's log return, from those of the candles."""
    moves = np.diff(np.log(candles.ohlcv[:, CLOSE]))
    steps = DAY_MS / candles.timeframe.duration_ms
    return float(np.clip(np.nanstd(moves) * np.sqrt(steps), 1e-6, 1.0))


@dataclass(frozen=True)
class Dealt:
    """Which decision's label each decision of a part gets, in whole blocks of time.

    Attributes:
        times: of the part, evenly spaced.
        of: whose label, by row of ``times``.
    """

    times: Int64[np.ndarray, " decision"]
    of: Int64[np.ndarray, " decision"]

    @classmethod
    def blockwise(cls, part: Part, task: Task, seed: int) -> Dealt:
        """Blocks of 0.618 days, shorter where that makes fewer than 20 of them."""
        clock = task.world.clock
        times = part.times(clock)
        length = min(int(SHARE_OF_A_DAY * DAY_MS / clock.duration_ms), len(times) // FEWEST_BLOCKS)
        random = np.random.default_rng(seed)
        return cls(times, shuffled_rows(random, len(times), max(length, 1)))

    def others(self, times: Int64[np.ndarray, " asked"]) -> Int64[np.ndarray, " asked"]:
        """The decisions whose labels these get."""
        rows = np.searchsorted(self.times, times)
        return np.asarray(self.times[self.of[rows]])


@dataclass(frozen=True)
class Shuffled(BatchBuilder):
    """Builds batches to learn from in which every decision has the label of another one.

    Attributes:
        dealt: whose label.
    """

    dealt: Dealt | None = None

    def build(
        self,
        times: Int64[np.ndarray, "group member"],
        end_ms: int | None,
        dropped: Bool[np.ndarray, "decision input"] | None = None,
        labels: Labels | None = None,
        *,
        training: bool = False,
        **more: Any,
    ) -> Batch:
        """The batch of ``times``; what is not learned from has its own labels."""
        if training and labels is None and self.dealt is not None:
            others = self.dealt.others(times.reshape(-1))
            labels = labels_of(self.heads, self.world, others, end_ms)
        return super().build(times, end_ms, dropped, labels, training=training, **more)


def _synthetic(world: str, seed: int, volatility: float) -> dict[str, Any]:
    return {
        "name": "synthetic",
        "world": world,
        "seed": seed,
        "daily_volatility": volatility,
    }


def _on(config: Config, data: dict[str, Any]) -> Config:
    """The config on other candles."""
    return config.model_copy(update={"data": DataSourceSpec.model_validate(data)})


__all__ = [
    "Dealt",
    "Elsewhere",
    "Shuffled",
    "bootstrapped",
    "daily_volatility",
    "lead_lag",
    "momentum",
    "planted",
    "preset",
    "random_walk",
]
