"""A market made of another one's candles in an order of chance: the same moves, and no story.

Candles of all symbols at one time are one observation, measured against the close before. Such
observations are drawn with replacement, in blocks of consecutive ones, and prices are rebuilt from
them; coarser candles are aggregates of finer ones. Fat tails, wicks, volumes and what symbols share
at a time stay; what comes after what is lost but for within a block. Blocks of one candle hide
nothing that could be found; longer ones keep volatility clustering of that length, and momentum.

History before the finest candles begin is drawn from the source's own coarser candles. Gaps are not
drawn. What it does not do: keep the time of day, invent candles that the source has none of, or
promise that an earlier end leaves candles as they are: they are drawn from all that was asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mtf.data_sources.synthetic_levels import (
    DAY_MS,
    Law,
    Levels,
    Region,
    base_price,
    step_of,
)
from mtf.errors import ConfigError, DataError
from mtf.market.blocks import drawn_rows
from mtf.market.candles import CLOSE, HIGH, LOW, OPEN, VOLUME, Candles
from mtf.market.timeframe import Timeframe
from mtf.plugins import registry
from mtf.plugins.contracts import DataSource, Request

MINUTE_MS = 60_000
NAMES = {1_000: "1s", MINUTE_MS: "1m", 3_600_000: "1h", DAY_MS: "1d"}


class Bootstrapped(DataSource):
    """Another source's candles, drawn in blocks with replacement, prices rebuilt.

    Args:
        source: the other data source as a config has it, such as {name: parquet, path: data}.
        seed: of the draws; each gives another history.
        block: consecutive candles drawn together, of the finest step (of seconds: minutes).
    """

    def __init__(self, *, source: dict[str, Any], seed: int = 0, block: int = 1) -> None:
        """Build the other source.

        Raises:
            ConfigError: no name in ``source``, or a block below 1.
        """
        if block < 1 or seed < 0 or "name" not in source:
            raise ConfigError(
                f"found source {source}, seed {seed} and block {block} of the data source "
                "bootstrapped",
                "a source with a name, a seed of 0 or more and a block of at least 1 candle",
                "such as source: {name: parquet, path: data/candles}",
            )
        options = {key: value for key, value in source.items() if key != "name"}
        self.source: DataSource = registry.load("data_source", source["name"])(**options)
        self.seed, self.block = seed, block

    def load(self, requests: Sequence[Request]) -> list[Candles]:
        """Draw what the requests need and return their candles, in order.

        Raises:
            DataError: the source has no two candles in a row at a step that is needed.
        """
        levels = Levels(_Draws(self, requests), requests)
        return [levels.candles(request) for request in requests]


class _Draws(Law):
    """The law of a bootstrapped world."""

    def __init__(self, of: Bootstrapped, requests: Sequence[Request]) -> None:
        self.of, self.region, self.latent = of, None, {}
        self.steps: dict[str, set[int]] = {}
        for request in requests:
            self.steps.setdefault(request.symbol, set()).add(step_of(request.timeframe))

    def days(
        self, symbols: Sequence[str], region: Region, finest: bool
    ) -> Iterator[dict[str, np.ndarray]]:
        """Draw a region at once and hand it out day by day."""
        wanted = {symbol: self._step(symbol, region) for symbol in symbols}
        steps = {symbol: step for symbol, step in wanted.items() if step is not None}
        unit_ms = max(*steps.values(), region.step_ms, MINUTE_MS)
        moves = self._moves(steps, region, unit_ms)
        pool, size = len(next(iter(moves.values()))), (region.end_day - region.first_day) * DAY_MS
        random = np.random.default_rng([self.of.seed, region.step_ms])
        drawn = drawn_rows(random, pool, -(-size // unit_ms), self.of.block)
        rows = {symbol: _rebuilt(symbol, move[drawn]) for symbol, move in moves.items()}
        per_day = DAY_MS // region.step_ms
        for symbol in symbols:  # of a symbol that nobody asks for here anything will do
            rows.setdefault(symbol, np.ones((size // region.step_ms, 5)))
        for day in range(size // DAY_MS):
            yield {s: r[day * per_day : (day + 1) * per_day] for s, r in rows.items()}

    def forecast(
        self, symbol: str, times: np.ndarray, horizon_ms: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Nobody knows."""
        raise NotImplementedError

    def _step(self, symbol: str, region: Region) -> int | None:
        """The step at which a symbol's candles are drawn in a region; None = nobody asks."""
        return min((one for one in self.steps[symbol] if one >= region.step_ms), default=None)

    def _moves(self, steps: dict[str, int], region: Region, unit_ms: int) -> dict[str, np.ndarray]:
        """Of each symbol ``[unit, row, 5]``: units that all have whole, against the close before.

        Raises:
            DataError: there is none.
        """
        start, end = region.first_day * DAY_MS - unit_ms, region.end_day * DAY_MS
        frames = {symbol: Timeframe.parse(NAMES[step]) for symbol, step in steps.items()}
        requests = [Request(symbol, frame, start, end) for symbol, frame in frames.items()]
        count = (end - start) // unit_ms
        found, whole = {}, np.ones(count - 1, dtype=np.bool_)
        for candles in self.of.source.load(requests):
            units = _units(candles, start, count, unit_ms // region.step_ms, region.step_ms)
            before = units[:-1, -1, CLOSE]
            moves = units[1:].copy()
            moves[..., :VOLUME] /= before[:, None, None]
            whole &= np.isfinite(moves).all(axis=(1, 2))
            found[candles.symbol] = moves
        if not whole.any():
            raise DataError(
                f"no two candles in a row of {', '.join(steps)} to draw from, at steps of "
                f"{unit_ms // 1000} s",
                "candles of all symbols at the same times",
                "check the source with mtf inspect",
            )
        return {symbol: moves[whole] for symbol, moves in found.items()}


def _units(candles: Candles, start_ms: int, count: int, rows: int, step_ms: int) -> np.ndarray:
    """Candles as ``[unit, row, 5]`` from a time on, NaN where there is none.

    A candle longer than a step is its first row, and the others stand still at its close.
    """
    own_ms = candles.timeframe.duration_ms
    ohlcv = np.full((count * rows * step_ms // own_ms, 5), np.nan)
    at = (candles.open_time() - start_ms) // own_ms
    inside = (at >= 0) & (at < len(ohlcv)) & candles.valid
    ohlcv[at[inside]] = candles.ohlcv[inside]
    wide = np.repeat(ohlcv[:, None, CLOSE, None], 5, axis=2).repeat(own_ms // step_ms, axis=1)
    wide[..., VOLUME] = np.where(np.isfinite(ohlcv[:, None, VOLUME]), 0.0, np.nan)
    wide[:, 0] = ohlcv
    return wide.reshape(count, rows, 5)


def _rebuilt(symbol: str, moves: np.ndarray) -> np.ndarray:
    """Rows of candles, from the base price on."""
    growth = np.cumsum(np.log(moves[:, -1, CLOSE]))
    level = base_price(symbol) * np.exp(np.concatenate([[0.0], growth[:-1]]))
    ohlcv = moves.copy()
    ohlcv[..., :VOLUME] *= level[:, None, None]
    rows: np.ndarray = ohlcv.reshape(-1, 5)
    rows[:, HIGH] = rows[:, : CLOSE + 1].max(axis=1)  # rounding must not put a price outside
    rows[:, LOW] = rows[:, [OPEN, LOW, CLOSE]].min(axis=1)
    return rows


__all__ = ["Bootstrapped"]
