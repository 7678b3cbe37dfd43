"""Random walk and momentum: the worlds whose best player is known in closed form.

Returns at the law's own step are ``r_t = rho r_{t-1} + e_t`` (AR(1)) or ``r_t = e_t + rho e_{t-1}``
(MA(1)) with Gaussian ``e``; rho = 0 is the random walk. Inside a step the path is a Brownian
bridge, so finer candles tell nothing more, and the closes of the step do not depend on how fine the
simulation is. History at coarser steps is a random walk with the long-run volatility of the law.
Volume is independent noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mtf.data_sources.synthetic_draws import draws
from mtf.data_sources.synthetic_kernels import bridge, momentum_returns, walk_candles
from mtf.data_sources.synthetic_levels import (
    DAY_MS,
    Law,
    Region,
    base_price,
    base_volume,
    check_span,
)
from mtf.errors import DataError

BURN_IN_STEPS = 512
SIZE_SD = 0.5


class Walk(Law):
    """The law of the worlds ``random_walk`` and ``momentum``."""

    def __init__(self, seed: int, rho: float, kind: str, step_ms: int, daily: float) -> None:
        """Keep the parameters; ``daily`` is the sd of the step's returns, per root of a day."""
        self.seed, self.rho, self.moving, self.step_ms = seed, rho, kind == "ma1", step_ms
        share = 1 / (1 + rho**2) if self.moving else 1 - rho**2
        self.shock_sd = daily * np.sqrt(share * step_ms / DAY_MS)
        self.region = None
        self.latent = {}

    def days(
        self, symbols: Sequence[str], region: Region, finest: bool
    ) -> Iterator[dict[str, np.ndarray]]:
        """Simulate day by day (see ``Law``)."""
        if finest:
            self.region = region
            self.latent = {}
        paths = {s: self._path(s, region, finest) for s in symbols}
        ends = {s: (np.log(base_price(s)), base_price(s)) for s in symbols}
        for day in range(region.first_day, region.end_day):
            rows = {}
            for s in symbols:
                rows[s], ends[s] = self._day(s, region, day, paths[s], ends[s])
            yield rows

    def forecast(
        self, symbol: str, times: np.ndarray, horizon_ms: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Exact conditional mean and variance; times and horizon on the grid of the step."""
        region = self._forecast_region(times, horizon_ms)
        rows = (times - region.first_day * DAY_MS) // self.step_ms
        memory = self.latent[symbol][rows]
        steps = np.arange(horizon_ms // self.step_ms)
        responses = self._responses(len(steps))
        # what the last return (AR) or shock (MA) still does, and what each coming shock will do
        carried = self.rho * (1.0 if self.moving else responses[-1])
        variance = self.shock_sd**2 * float(np.sum(responses**2))
        return memory * carried, np.full(len(times), variance)

    def _responses(self, steps: int) -> np.ndarray:
        """Log price after 1, 2, … steps per unit of shock in the first of them."""
        if self.moving:
            return np.where(np.arange(steps) == 0, 1.0, 1.0 + self.rho)
        return (1 - self.rho ** np.arange(1, steps + 1)) / (1 - self.rho)

    def _forecast_region(self, times: np.ndarray, horizon_ms: int) -> Region:
        """The finest region, if the law can be seen in it."""
        region = self.region
        if region is not None and region.step_ms > self.step_ms:
            raise DataError(
                f"the finest candles loaded have steps of {region.step_ms} ms",
                f"steps of {self.step_ms} ms or finer, at which this world has its law",
                "request candles of the world's own step",
            )
        check_span([] if region is None else [region], times, horizon_ms, self.step_ms)
        assert region is not None
        return region

    def _path(self, symbol: str, region: Region, finest: bool) -> np.ndarray:
        """Returns of a region at the law's step; none where the region's steps are coarser."""
        if region.step_ms > self.step_ms:
            return np.empty(0)
        per_day = DAY_MS // self.step_ms
        burn_days = -(-BURN_IN_STEPS // per_day)
        days = range(region.first_day - burn_days, region.end_day)
        normals = [
            draws(self.seed, symbol, f"walk {self.step_ms}", d).standard_normal(per_day)
            for d in days
        ]
        shocks = self.shock_sd * np.concatenate(normals)
        returns = momentum_returns(shocks, self.rho, self.moving, 0.0)
        burn = burn_days * per_day
        if finest:
            # the last return or shock as it stands at every step from the region's start on
            self.latent[symbol] = (shocks if self.moving else returns)[burn - 1 :]
        return np.asarray(returns[burn:])

    def _day(
        self, symbol: str, region: Region, day: int, path: np.ndarray, end: tuple[float, float]
    ) -> tuple[np.ndarray, tuple[float, float]]:
        """The candles of one day and where they end (log price, price)."""
        count = DAY_MS // region.step_ms
        random = draws(self.seed, symbol, f"walk inside {region.step_ms}", day)
        noise, sizes = random.standard_normal((2, count))
        uniforms = random.random((2, count))
        returns, sd = self._returns(region, day, path, noise)
        mean_volume = base_volume(symbol) * region.step_ms / 1000
        volume = mean_volume * np.exp(SIZE_SD * sizes - SIZE_SD**2 / 2)
        ohlcv = np.empty((count, 5))
        end = walk_candles(returns, np.full(count, sd), uniforms, volume, *end, ohlcv)
        return ohlcv, end

    def _returns(
        self, region: Region, day: int, path: np.ndarray, noise: np.ndarray
    ) -> tuple[np.ndarray, float]:
        """Returns of one day at the region's step, and the standard deviation inside a step."""
        inside = float(self.shock_sd * np.sqrt(region.step_ms / self.step_ms))
        if region.step_ms > self.step_ms:
            long_run = 1 + self.rho if self.moving else 1 / (1 - self.rho)
            return noise * inside * long_run, inside * long_run
        per_day = DAY_MS // self.step_ms
        first = (day - region.first_day) * per_day
        return bridge(path[first : first + per_day], noise, inside), inside
