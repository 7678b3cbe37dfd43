"""Which span of a synthetic history is simulated at which step, and how the spans are joined.

Fine steps cost: a day has 86,400 seconds. So every level (1s, 1m, 1h, 1d steps) is simulated only
back to the earliest request that needs it, rounded down to the UTC day; what lies before is
simulated at the next coarser step, and what lies after is aggregated from the finer one. The finest
level starts at the symbol's base price whatever history stands before it, and history is scaled to
end there: no jump, and more history changes nothing later.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mtf.data_sources.synthetic_kernels import aggregate
from mtf.errors import DataError
from mtf.market.candles import CLOSE, HIGH, LOW, Candles
from mtf.market.timeframe import Timeframe
from mtf.plugins.contracts import Request

DAY_MS = 86_400_000
STEPS_MS = (1_000, 60_000, 3_600_000, DAY_MS)


@dataclass(frozen=True)
class Region:
    """Whole UTC days ``[first_day, end_day)`` since the epoch, simulated at one step."""

    step_ms: int
    first_day: int
    end_day: int


class Law(ABC):
    """How prices move in one synthetic world.

    Attributes:
        region: the finest region simulated, which forecasts speak of; None before.
        latent: by symbol, what forecasts need to know of that region.
    """

    region: Region | None
    latent: dict[str, np.ndarray]

    @abstractmethod
    def days(
        self, symbols: Sequence[str], region: Region, finest: bool
    ) -> Iterator[dict[str, np.ndarray]]:
        """Simulate day by day: ohlcv ``[step, 5]`` of every symbol, from its base price on.

        Where the region is the ``finest`` one, the law remembers what forecasts need of it.
        """

    @abstractmethod
    def forecast(
        self, symbol: str, times: np.ndarray, horizon_ms: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Conditional mean and variance of the log return (see ``DataSource.best_forecast``)."""


def base_price(symbol: str) -> float:
    """Price at the start of the finest region."""
    return {"BTC": 60_000.0, "ETH": 3_000.0}.get(symbol[:3].upper(), 100.0)


def base_volume(symbol: str) -> float:
    """Mean volume per second in base coins: the same money in every symbol."""
    return 30_000.0 / base_price(symbol)


def step_of(timeframe: Timeframe) -> int:
    """The coarsest step that candles of this timeframe can be built from, in ms."""
    return max(step for step in STEPS_MS if timeframe.duration_ms % step == 0)


def plan(requests: Sequence[Request]) -> list[Region]:
    """The regions that serve these requests, finest first; none where nothing is asked."""
    wanted = [r for r in requests if r.start_ms < r.end_ms]
    regions: list[Region] = []
    if not wanted:
        return regions
    end = -(-max(r.end_ms for r in wanted) // DAY_MS)
    for step in STEPS_MS:
        starts = [r.start_ms // DAY_MS for r in wanted if step_of(r.timeframe) == step]
        if starts and min(starts) < end:
            regions.append(Region(step, min(starts), end))
            end = min(starts)
    return regions


class Levels:
    """The candles of every symbol at every step that was asked for, joined over all regions."""

    def __init__(self, law: Law, requests: Sequence[Request]) -> None:
        """Simulate all that the requests need."""
        self.regions = plan(requests)
        self._first_day: dict[int, int] = {}
        self._rows: dict[tuple[str, int], np.ndarray] = {}
        symbols = sorted({r.symbol for r in requests})
        asked = {(r.symbol, step_of(r.timeframe)) for r in requests}
        for region in self.regions:
            self._simulate(law, region, symbols, asked)
        self._add_coarser(asked)

    def candles(self, request: Request) -> Candles:
        """The candles of one request: a view where no joining is needed."""
        frame, step = request.timeframe, step_of(request.timeframe)
        first = int(frame.slot(request.start_ms + frame.duration_ms - 1))
        count = int(frame.slot(request.end_ms + frame.duration_ms - 1)) - first
        rows = np.empty((0, 5))
        if count > 0:
            factor = frame.duration_ms // step
            skip = (frame.open_time(first) - self._first_day[step] * DAY_MS) // step
            rows = self._rows[request.symbol, step][skip : skip + count * factor]
            rows = rows if factor == 1 else aggregate(rows, factor)
        return Candles(request.symbol, frame, first, rows, np.ones(len(rows), dtype=np.bool_))

    def _simulate(
        self, law: Law, region: Region, symbols: Sequence[str], asked: set[tuple[str, int]]
    ) -> None:
        """Simulate one region and put it before what there is.

        Seconds are kept only of symbols that were asked for at seconds; of the others, minutes.
        """
        finest = region is self.regions[0]
        if not finest:
            self._coarsen_to(region.step_ms, symbols)
        kept = {
            s: region.step_ms if (s, region.step_ms) in asked else max(region.step_ms, 60_000)
            for s in symbols
        }
        days = region.end_day - region.first_day
        parts = {s: np.empty((days * (DAY_MS // kept[s]), 5)) for s in symbols}
        for number, day in enumerate(law.days(symbols, region, finest)):
            for symbol, rows in day.items():
                size = DAY_MS // kept[symbol]
                factor = len(rows) // size
                part = parts[symbol][number * size : (number + 1) * size]
                part[:] = rows if factor == 1 else aggregate(rows, factor)
        for symbol, part in parts.items():
            self._put_before(symbol, kept[symbol], part)
        self._first_day[region.step_ms] = region.first_day
        self._first_day.setdefault(60_000, region.first_day)

    def _put_before(self, symbol: str, step: int, part: np.ndarray) -> None:
        """Join ``part`` and the later rows of that step, scaled so that the price does not jump."""
        later = self._rows.get((symbol, step))
        if later is None:
            self._rows[symbol, step] = part
            return
        target = later[0, 0]
        part[:, :4] *= target / part[-1, CLOSE]
        part[-1, CLOSE] = target
        part[-1, HIGH] = max(part[-1, HIGH], target)
        part[-1, LOW] = min(part[-1, LOW], target)
        self._rows[symbol, step] = np.concatenate([part, later])

    def _coarsen_to(self, step: int, symbols: Sequence[str]) -> None:
        """Build the rows of ``step`` from the next finer ones that there are."""
        for symbol in symbols:
            if (symbol, step) not in self._rows:
                finer = max(s for n, s in self._rows if n == symbol and s < step)
                self._rows[symbol, step] = aggregate(self._rows[symbol, finer], step // finer)
                self._first_day[step] = self._first_day[finer]

    def _add_coarser(self, asked: set[tuple[str, int]]) -> None:
        """Build what was asked for at steps without a region of their own."""
        for symbol, step in sorted(asked, key=lambda pair: pair[1]):
            if self.regions:
                self._coarsen_to(step, [symbol])


def check_span(regions: Sequence[Region], times: np.ndarray, horizon_ms: int, grid_ms: int) -> None:
    """Refuse decision times outside the finest region or off the grid that forecasts are known on.

    Raises:
        DataError: before any load; outside; off the grid; a horizon of no whole steps.
    """
    if not regions:
        raise DataError(
            "best_forecast was called before load",
            "a loaded source",
            "call load with the requests of the run first",
        )
    start, end = regions[0].first_day * DAY_MS, regions[0].end_day * DAY_MS
    if len(times) and (times.min() < start or times.max() > end):
        raise DataError(
            f"decision times from {times.min()} to {times.max()} ms",
            f"times in the finest loaded region, {start} to {end} ms",
            "load a span that holds every decision",
        )
    if horizon_ms <= 0 or horizon_ms % grid_ms or np.any(times % grid_ms):
        raise DataError(
            f"decision times or a horizon ({horizon_ms} ms) off the grid of {grid_ms} ms",
            f"whole multiples of {grid_ms} ms, horizon above 0",
            "use a clock and a horizon of whole steps of that length",
        )
