"""Synthetic worlds: a random walk, momentum, or a market, with the best forecast known.

What a model could learn at best is known in closed form, so skill can be measured against the truth
and a claim of skill on the random walk is known to be false. Nothing is read from disk.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float64, Int64

from mtf.data_sources.synthetic_levels import DAY_MS, Law, Levels
from mtf.data_sources.synthetic_market import Market, MarketLaw
from mtf.data_sources.synthetic_walk import Walk
from mtf.errors import ConfigError, DataError
from mtf.market.candles import Candles
from mtf.market.timeframe import Timeframe
from mtf.plugins.contracts import DataSource, Request

World = Literal["random_walk", "momentum", "market"]
Kind = Literal["ar1", "ma1"]


class Synthetic(DataSource):
    """Candles of a made-up world, consistent from 1s to 1d and the same for the same seed.

    A candle is exactly the aggregate of the finer ones wherever those exist: volumes are multiples
    of 2^-20, so even their sums do not depend on the order. Draws depend on seed, symbol, step and
    UTC day alone. The finest level starts at a fixed price (BTC 60,000, ETH 3,000, others 100) at
    the first UTC day that it is asked for; spans that start on the same day agree bit for bit.

    Args:
        world: ``random_walk`` (Gaussian, nothing to find), ``momentum`` (AR(1) or MA(1) returns) or
            ``market`` (every symbol follows the leader with a lag; volatility clusters; fat tails).
        seed: 0 or more; each gives another history.
        rho: momentum: coefficient of the last return (ar1) or shock (ma1), between -1 and 1.
        kind: momentum: ``ar1``: r_t = rho r_(t-1) + e_t; ``ma1``: r_t = e_t + rho e_(t-1).
        step: momentum: the step of that law, whole minutes that divide a day.
        daily_volatility: standard deviation of a day's log return; of momentum, that of its steps'
            returns times the root of the steps in a day.
        leader: market: the symbol that the others follow.
        lag_minutes: market: time constant of the delayed response to the leader.
        lag_share: market: part of that response that is delayed, 0 to 1; the rest is immediate.
        leader_share: market: part of a follower's daily variance that the leader brings, 0 to 1.
        leader_momentum: market: log return that follows each shock of the leader within minutes, as
            a fraction of the shock; above -1 and below 1 (negative: reversal).
        tail_degrees: market: degrees of freedom of the Student-t shocks, above 2.
        half_spread_bps: market: distance of a close from the efficient price, to either side.
    """

    def __init__(
        self,
        *,
        world: World = "market",
        seed: int = 0,
        rho: float = 0.2,
        kind: Kind = "ar1",
        step: str = "1m",
        daily_volatility: float = 0.03,
        leader: str = "BTCUSDT",
        lag_minutes: float = 5.0,
        lag_share: float = 0.8,
        leader_share: float = 0.75,
        leader_momentum: float = 0.4,
        tail_degrees: float = 6.0,
        half_spread_bps: float = 0.4,
    ) -> None:
        """Check the parameters; nothing is simulated before ``load``.

        Raises:
            ConfigError: an unknown world or kind, or a parameter out of its range.
        """
        _check_choice("world", world, get_args(World))
        _check_choice("kind", kind, get_args(Kind))
        _check("seed", seed, seed >= 0, "0 or more")
        _check("rho", rho, -1 < rho < 1, "above -1 and below 1")
        _check("daily_volatility", daily_volatility, 0 < daily_volatility <= 1, "above 0, to 1")
        _check("lag_minutes", lag_minutes, 0 < lag_minutes < np.inf, "above 0")
        _check("lag_share", lag_share, 0 <= lag_share <= 1, "0 to 1")
        _check("leader_share", leader_share, 0 <= leader_share <= 1, "0 to 1")
        _check("leader_momentum", leader_momentum, -1 < leader_momentum < 1, "above -1, below 1")
        _check("tail_degrees", tail_degrees, 2 < tail_degrees < np.inf, "above 2")
        _check("half_spread_bps", half_spread_bps, 0 <= half_spread_bps <= 100, "0 to 100")
        self.law: Law
        if world == "market":
            self.law = Market(
                MarketLaw(
                    seed=seed,
                    leader=leader,
                    daily=daily_volatility,
                    lag_s=60 * lag_minutes,
                    lag_share=lag_share,
                    leader_share=leader_share,
                    momentum=leader_momentum,
                    degrees=tail_degrees,
                    half_spread=half_spread_bps * 1e-4,
                )
            )
        else:
            rho = rho if world == "momentum" else 0.0
            self.law = Walk(seed, rho, kind, _momentum_step(step), daily_volatility)

    def load(self, requests: Sequence[Request]) -> list[Candles]:
        """Simulate what the requests need and return their candles, in order.

        Seconds are simulated only from the UTC day of the earliest request below 1m on; earlier
        history has steps of 1m, 1h and 1d as far back as each is asked for.
        """
        levels = Levels(self.law, requests)
        return [levels.candles(request) for request in requests]

    def best_forecast(
        self, symbol: str, times: Int64[np.ndarray, " decision"], horizon_ms: int
    ) -> tuple[Float64[np.ndarray, " decision"], Float64[np.ndarray, " decision"]]:
        """Mean and variance of log(close at t + horizon / close at t) given the latent past.

        Times and horizon are whole minutes (``momentum``: whole steps of its law) inside the finest
        level loaded.

        Raises:
            DataError: before ``load``, for another symbol, outside of that span or off that grid.
        """
        if self.law.latent and symbol not in self.law.latent:
            raise DataError(
                f"best_forecast of {symbol}",
                "a symbol that was loaded: " + ", ".join(self.law.latent),
                "request candles of it in load",
            )
        return self.law.forecast(symbol, times, horizon_ms)


def _check(key: str, value: object, good: bool, expected: str) -> None:
    """Refuse a parameter out of its range."""
    if not good:
        raise ConfigError(
            f"found {key} = {value!r} of the data source synthetic",
            f"{key}: {expected}",
            f"set {key} in that range or leave it out for its default",
        )


def _check_choice(key: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse an unknown name and tell the nearest one."""
    if value not in choices:
        near = difflib.get_close_matches(str(value), choices, 1)
        raise ConfigError(
            f"found {key} = {value!r} of the data source synthetic",
            "one of " + ", ".join(choices),
            f"did you mean {near[0]!r}?" if near else f"set {key} to one of them",
        )


def _momentum_step(text: str) -> int:
    """The momentum's own step in ms."""
    step_ms = Timeframe.parse(text).duration_ms
    good = step_ms % 60_000 == 0 and DAY_MS % step_ms == 0
    _check("step", text, good, "whole minutes that divide a day, such as 1m, 5m, 15m, 1h, 1d")
    return step_ms
