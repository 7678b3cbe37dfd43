"""The market: a leader whose moves reach every other symbol late, with clustered volatility.

Leader (efficient log price, step of dt): ``b_t = c M_{t-1} + shock_t``, where ``M`` sums past
shocks with decay ``exp(-dt / 1 min)``: a little momentum. Follower: ``beta ((1-s) b_t + s passed_t)
+ shock_t``; the share ``s`` of the leader's return goes into a pool from which ``1 - exp(-dt/lag)``
passes each step, so the response is an exponential kernel and the pool is what is still to come.

Shocks are Student-t with log volatility = slow (hours, common) + pattern of the day + fast
(minutes) + burst (seconds), each a Gaussian AR(1). Trades come with an intensity that rises with
volatility and has an activity of its own; a second without trades is flat. Closes bounce between
bid and ask. History at steps of an hour or more keeps slow volatility, pattern and correlation
only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mtf.data_sources import synthetic_kernels as k
from mtf.data_sources.synthetic_draws import draws
from mtf.data_sources.synthetic_levels import (
    DAY_MS,
    Law,
    Region,
    base_price,
    base_volume,
    check_span,
)
from mtf.data_sources.synthetic_volatility import (
    FAST_DECAY,
    FAST_SD,
    MINUTES,
    SLOW_DECAY,
    SLOW_SD,
    Volatility,
)
from mtf.errors import DataError

BURST_SD, BURST_HALF_LIFE_S, BURST_MINUTES = 0.35, 20.0, 5
ACTIVITY_SD, ACTIVITY_HALF_LIFE_S = 0.5, 90.0
MOMENTUM_S = 60.0
VOLUME_ELASTICITY = 1.2
TRADES_PER_S = 2.5
SIZE_SD = {1_000: 0.6, 60_000: 0.15}
COARSE_SIZE_SD = 0.1


@dataclass(frozen=True)
class MarketLaw:
    """The parameters of the market, as ``Synthetic`` explains them."""

    seed: int
    leader: str
    daily: float
    lag_s: float
    lag_share: float
    leader_share: float
    momentum: float
    degrees: float
    half_spread: float

    def numbers(self, symbol: str, step_ms: int) -> np.ndarray:
        """The law of one symbol at one step, as the kernels want it."""
        dt, leads = step_ms / 1000, symbol == self.leader
        out = np.zeros(k.LAW_SIZE)
        out[k.STEP_SD] = self.daily * np.sqrt(step_ms / DAY_MS)
        # long-run variances: 1 of the leader with its momentum, leader_share + rest of a follower
        out[k.SPECIFIC_SHARE] = 1 / (1 + self.momentum) ** 2 if leads else 1 - self.leader_share
        out[k.BETA] = 1.0 if leads else np.sqrt(self.leader_share)
        out[k.PASS_NOW] = 1.0 if leads else 1 - self.lag_share
        out[k.LAG_DECAY] = np.exp(-dt / self.lag_s)
        out[k.MOMENTUM_DECAY] = np.exp(-dt / MOMENTUM_S)
        out[k.MOMENTUM_GAIN] = self.momentum * (1 - out[k.MOMENTUM_DECAY])
        out[k.BURST_DECAY] = 0.5 ** (dt / BURST_HALF_LIFE_S)
        out[k.BURST_SD] = BURST_SD
        out[k.ACTIVITY_DECAY] = 0.5 ** (dt / ACTIVITY_HALF_LIFE_S)
        out[k.ACTIVITY_SD] = ACTIVITY_SD
        out[k.VOLUME_ELASTICITY] = VOLUME_ELASTICITY
        out[k.TRADES] = TRADES_PER_S * dt
        out[k.VOLUME] = base_volume(symbol) * dt
        out[k.SIZE_SD] = SIZE_SD[step_ms]
        out[k.HALF_SPREAD] = self.half_spread
        out[k.HALF_DEGREES] = self.degrees / 2
        return out

    def responses(self, symbol: str, step_ms: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Log price after 1, 2, … steps per unit of a leader's shock, and of its momentum before.

        Both without beta. With ``R_n`` the passed share after n steps, the momentum response is
        ``K_n = sum_j c a^(j-1) R_(n-j+1) = a K_(n-1) + c R_n``, the shock's ``R_n + K_(n-1)``.
        """
        law = self.numbers(symbol, step_ms)
        passed = 1 - (1 - law[k.PASS_NOW]) * law[k.LAG_DECAY] ** np.arange(1, steps + 1)
        momentum = np.empty(steps)
        value = 0.0
        for n in range(steps):
            value = law[k.MOMENTUM_DECAY] * value + law[k.MOMENTUM_GAIN] * passed[n]
            momentum[n] = value
        return passed + np.append(0.0, momentum[:-1]), momentum


class Market(Law):
    """The law of the world ``market``."""

    def __init__(self, law: MarketLaw) -> None:
        """Keep the parameters."""
        self.law = law
        self.region = None
        self.volatility: Volatility | None = None
        self.latent = {}

    def days(
        self, symbols: Sequence[str], region: Region, finest: bool
    ) -> Iterator[dict[str, np.ndarray]]:
        """Simulate day by day (see ``Law``); the leader always goes along."""
        order = [self.law.leader, *(s for s in symbols if s != self.law.leader)]
        if finest:
            self.region, self.volatility, self.latent = region, None, {}
        simulate = self._fine_days if region.step_ms <= 60_000 else self._coarse_days
        for rows in simulate(order, region, finest):
            yield {s: rows[s] for s in symbols}

    def forecast(
        self, symbol: str, times: np.ndarray, horizon_ms: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Conditional mean and variance of the log return given the latent past.

        The mean is exact but for the staleness of a last second without trade. So is the variance:
        expected volatility is a product of log-normal expectations, each exact.
        """
        region = self._forecast_region(times, horizon_ms)
        law = self.law.numbers(symbol, region.step_ms)
        steps = horizon_ms // region.step_ms
        shock, momentum = self.law.responses(symbol, region.step_ms, steps)
        rows = (times - region.first_day * DAY_MS) // 60_000
        state, leader = self.latent[symbol][rows], self.latent[self.law.leader][rows]
        lagged = (1 - law[k.PASS_NOW]) * (1 - law[k.LAG_DECAY] ** steps)
        mean = law[k.BETA] * (lagged * state[:, k.POOL] + momentum[-1] * leader[:, k.MOMENTUM])
        mean += state[:, k.PRICE] - state[:, k.LAST]
        weights = (law[k.BETA] * shock[::-1]) ** 2
        variance = self._variance(self.law.leader, times, rows, weights)
        if symbol != self.law.leader:
            variance += self._variance(symbol, times, rows, np.ones(steps))
        return mean, variance + law[k.HALF_SPREAD] ** 2

    def _variance(
        self, symbol: str, times: np.ndarray, rows: np.ndarray, weights: np.ndarray
    ) -> np.ndarray:
        """Expected weighted sum of a symbol's own shock variances after each time."""
        region, volatility = self.region, self.volatility
        assert region is not None
        assert volatility is not None
        law = self.law.numbers(symbol, region.step_ms)
        minutes = len(weights) * region.step_ms // 60_000
        before = times // 60_000 - 1  # the last minute whose volatility is known
        hours = before // 60
        # the volatility's arrays begin a day before the region
        fast = volatility.fast[symbol][rows + MINUTES - 1]
        slow = volatility.slow[hours - volatility.first_day * 24]
        burst = self.latent[symbol][rows, k.BURST]
        unit = law[k.STEP_SD] ** 2 * law[k.SPECIFIC_SHARE]
        by_minute = weights.reshape(minutes, -1).sum(axis=1)
        out = k.expected_variances(
            slow, SLOW_DECAY, SLOW_SD, hours, fast, FAST_DECAY, FAST_SD,
            volatility.daily, before + 1,
            burst, law[k.BURST_DECAY], BURST_SD, BURST_MINUTES, weights, by_minute,
        )  # fmt: skip
        return np.asarray(out * unit)

    def _forecast_region(self, times: np.ndarray, horizon_ms: int) -> Region:
        """The finest region, if lag and momentum are simulated in it."""
        region = self.region
        if region is not None and region.step_ms > 60_000:
            raise DataError(
                f"the finest candles loaded have steps of {region.step_ms} ms",
                "1m or finer, where the lag behind the leader is simulated",
                "request candles below 1h",
            )
        check_span([] if region is None else [region], times, horizon_ms, 60_000)
        assert region is not None
        return region

    def _fine_days(
        self, order: Sequence[str], region: Region, finest: bool
    ) -> Iterator[dict[str, np.ndarray]]:
        """Steps of a minute or a second: the whole law, after one day at minutes to settle in."""
        volatility = Volatility(
            self.law.seed, self.law.leader, order, region.first_day - 1, region.end_day
        )
        states = {s: np.zeros(k.STATE_SIZE) for s in order}
        prices = {s: base_price(s) for s in order}
        self._day(order, 60_000, region.first_day - 1, volatility, states, prices)
        for s in order:
            prices[s] = base_price(s)
            states[s][k.PRICE] = states[s][k.LAST] = np.log(prices[s])
        kept = {s: [states[s][None].copy()] for s in order}
        for day in range(region.first_day, region.end_day):
            rows, latent = self._day(order, region.step_ms, day, volatility, states, prices)
            for s in order:
                kept[s].append(latent[s])
            yield rows
        if finest:
            self.volatility = volatility
            self.latent = {s: np.concatenate(parts) for s, parts in kept.items()}

    def _day(
        self,
        order: Sequence[str],
        step_ms: int,
        day: int,
        volatility: Volatility,
        states: dict[str, np.ndarray],
        prices: dict[str, float],
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Candles and minute states of one day; ``states`` and ``prices`` are carried on."""
        count = DAY_MS // step_ms
        lead = np.empty((2, 0))
        rows, latent = {}, {}
        for s in order:
            random = draws(self.law.seed, s, f"market {step_ms}", day)
            normals = random.standard_normal((4, count))
            gammas = random.standard_gamma(self.law.degrees / 2, count)
            uniforms = random.random((4, count))
            path = np.empty((2, count))
            rows[s], latent[s] = np.empty((count, 5)), np.empty((MINUTES, k.STATE_SIZE))
            prices[s] = k.market_day(
                normals, gammas, uniforms, volatility.of_day(s, day), lead,
                self.law.numbers(s, step_ms), states[s], prices[s],
                path[0], path[1], latent[s], rows[s],
            )  # fmt: skip
            lead = path if s == self.law.leader else lead
        return rows, latent

    def _coarse_days(
        self, order: Sequence[str], region: Region, finest: bool
    ) -> Iterator[dict[str, np.ndarray]]:
        """Steps of an hour or a day: correlated Student-t returns under the slow volatility."""
        del finest
        volatility = Volatility(
            self.law.seed, self.law.leader, (), region.first_day, region.end_day
        )
        ends = {s: (np.log(base_price(s)), base_price(s)) for s in order}
        hourly = np.mean(np.exp(2 * volatility.daily).reshape(24, 60), axis=1)
        for day in range(region.first_day, region.end_day):
            variance = hourly * np.exp(2 * (volatility.slow_of_day(day) - SLOW_SD**2))
            count = DAY_MS // region.step_ms
            variance = np.mean(variance.reshape(count, -1), axis=1)
            lead, rows = np.empty(0), {}
            for s in order:
                rows[s], lead, ends[s] = self._coarse_day(s, region, day, variance, lead, ends[s])
            yield rows

    def _coarse_day(
        self,
        symbol: str,
        region: Region,
        day: int,
        variance: np.ndarray,
        lead: np.ndarray,
        end: tuple[float, float],
    ) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
        """Candles of one symbol, the leader's returns, and where the symbol ends."""
        count = len(variance)
        random = draws(self.law.seed, symbol, f"market {region.step_ms}", day)
        noise, sizes = random.standard_normal((2, count))
        gammas = random.standard_gamma(self.law.degrees / 2, count)
        uniforms = random.random((2, count))
        sd = self.law.daily * np.sqrt(variance * region.step_ms / DAY_MS)
        returns = sd * noise * np.sqrt((self.law.degrees / 2 - 1) / gammas)
        if symbol == self.law.leader:
            lead = returns
        else:
            share = self.law.leader_share
            returns = np.sqrt(share) * lead + np.sqrt(1 - share) * returns
        mean_volume = base_volume(symbol) * region.step_ms / 1000
        volume = mean_volume * variance ** (VOLUME_ELASTICITY / 2) * np.exp(COARSE_SIZE_SD * sizes)
        rows = np.empty((count, 5))
        end = k.walk_candles(returns, sd, uniforms, volume, *end, rows)
        return rows, lead, end
