"""The market vector: what the reference does, the time, funding and open interest."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from jaxtyping import Float64, Int64

from mtf.market.candles import Candles
from mtf.market.side.market_kernels import market_vectors
from mtf.market.side.records import Records, read_records
from mtf.market.side.streams import reference_stream
from mtf.market.side_input import Moments, SideContext, SideInput, Valid, Values
from mtf.market.timeframe import MONDAY_MS, UNIT_MS

RETURNS = (5, 15, 60, 240, 1440)
HORIZONS = (15, 60, 240, 1440)
"""Candles of the reference."""
CLIP = 8.0
DAY_MS, WEEK_MS = UNIT_MS["d"], UNIT_MS["w"]
CHANGES = {"1h": UNIT_MS["h"], "4h": 4 * UNIT_MS["h"], "1d": DAY_MS}
OF_INTEREST = 0.05
"""A change of open interest that counts as 1."""
FUNDING_MAX_AGE_MS = 16 * UNIT_MS["h"]
INTEREST_MAX_AGE_MS = 2 * UNIT_MS["h"]

Times = Int64[np.ndarray, " decision"]
Columns = Float64[np.ndarray, "decision element"]


def _elements() -> dict[str, str]:
    """Name → meaning."""
    about = "of the reference's candles"
    returns = {
        f"ref_return_{n}": f"log return over {n} {about}, over sigma and the root of {n}"
        for n in RETURNS
    }
    spread = {
        f"ref_volatility_{n}": f"ln of the volatility of {n} {about} over sigma" for n in HORIZONS
    }
    correlation = {
        f"correlation_{n}": f"of the symbol's with the reference's returns over {n} candles"
        for n in HORIZONS
    }
    beta = {f"beta_{n}": f"of the symbol on the reference over {n} candles" for n in HORIZONS}
    interest = {
        f"open_interest_{name}": f"log change of open interest in {name}, in units of 5 %"
        for name in CHANGES
    }
    return {
        **returns,
        **spread,
        **correlation,
        **beta,
        "day_sin": "sine of the time of day, UTC",
        "day_cos": "cosine of the time of day, UTC",
        "week_sin": "sine of the time of the week, from Monday, UTC",
        "week_cos": "cosine of the time of the week, from Monday, UTC",
        "weekend": "1 on Saturday and Sunday, UTC, else 0",
        "funding_rate": "the last funding rate, in basis points",
        "funding_mean": "mean of the last three funding rates, in basis points",
        "funding_change": "the last funding rate less the one before, in basis points",
        "funding_elapsed": "share of the time to the next funding that has passed, 0 … 1",
        **interest,
        "open_interest_level": "ln of open interest over its mean of a week, in units of 5 %",
    }


class Market(SideInput):
    """What the reference (BTC, say) does, the time, funding and open interest: 30 elements.

    The reference is a stream of another symbol. Its returns and volatilities are in units of its
    own running sigma and masked with it; correlation and beta compare it with the stream of the
    primary symbol at the same timeframe, and are masked with both. A return needs the candles at
    both its ends; volatility, correlation and beta need half of the candles. Without a reference,
    or without such a stream, those elements are masked for good. Time is always there. Funding
    and open interest come from files and are masked where no file is given, or where the last
    figure is older than 16 hours (funding) or 2 hours. Everything is clipped to ±8.

    Args:
        reference: the stream; null: the first one of another symbol.
        funding: parquet, or text with commas and a header, with columns ``time_ms`` and
            ``funding_rate``; ``{symbol}`` stands for the primary symbol; null: none.
        open_interest: the same with ``open_interest``.
    """

    elements = _elements()

    def __init__(
        self,
        context: SideContext,
        *,
        reference: str | None = None,
        funding: str | None = None,
        open_interest: str | None = None,
    ) -> None:
        """Keep the options; files are read when they are needed.

        Raises:
            ConfigError: no such stream of another symbol.
        """
        spec = reference_stream(context, reference)
        self.reference = None if spec is None else spec.name
        self.own = next(
            (
                one.name
                for one in context.streams
                if spec and one.symbol == context.symbol and one.timeframe == spec.timeframe
            ),
            None,
        )
        self.files = {
            column: path.replace("{symbol}", context.symbol)
            for column, path in {"funding_rate": funding, "open_interest": open_interest}.items()
            if path is not None
        }
        self.sources = self._sources()
        read = [name for name in (self.reference, self.own) if name is not None]
        self.history = dict.fromkeys(read, max(*RETURNS, *HORIZONS) + 1)

    def _sources(self) -> dict[str, tuple[str, ...]]:
        """The streams of each element that has some."""
        if self.reference is None:
            return {}
        alone = self.reference, *(() if self.own is None else (self.own,))
        return {
            name: alone if name.startswith(("correlation", "beta")) else (self.reference,)
            for name in self.elements
            if name.startswith(("ref_", "correlation", "beta"))
        }

    @cached_property
    def records(self) -> dict[str, Records]:
        """The files by their column."""
        return {column: read_records(path, [column]) for column, path in self.files.items()}

    def at(self, moments: Moments) -> tuple[Values, Valid]:
        """All elements at each time."""
        times = moments.times
        parts = [
            self._with_reference(moments),
            _time(times),
            _funding(self.records.get("funding_rate"), times),
            _interest(self.records.get("open_interest"), times),
        ]
        found = np.concatenate(parts, axis=1)
        valid = np.isfinite(found)
        values = np.where(valid, np.clip(found, -CLIP, CLIP), 0.0).astype(np.float32)
        return values[:, None], valid[:, None]

    def _with_reference(self, moments: Moments) -> Columns:
        """Returns, volatilities, correlations, betas; NaN without a reference."""
        found = np.full((len(moments.times), len(RETURNS) + 3 * len(HORIZONS)), np.nan)
        if self.reference is None:
            return found
        streams, known = moments.world.streams, moments.known[self.reference]
        reference = streams[self.reference].candles
        own, own_row = Candles.empty(reference.symbol, reference.timeframe), known.row
        if self.own is not None:
            own = streams[self.own].candles
            own_row = moments.known[self.own].last_slot - own.first_slot
        market_vectors(
            _arrays(reference), _arrays(own), reference.first_slot - own.first_slot,
            moments.times, known.row, own_row, known.sigma, np.array(RETURNS), np.array(HORIZONS),
            found,
        )  # fmt: skip
        return found

    def fingerprint(self) -> str:
        """Of the files."""
        return " ".join(f"{name} {one.fingerprint()}" for name, one in self.records.items())


def _arrays(candles: Candles) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Prices, which candles are there, and when they came (empty = on time)."""
    late = candles.available_at
    return candles.ohlcv, candles.valid, np.empty(0, np.int64) if late is None else late


def _time(times: Times) -> Columns:
    """Time of day and of the week."""
    day, week = 2 * np.pi * times / DAY_MS, 2 * np.pi * (times - MONDAY_MS) / WEEK_MS
    weekend = (times - MONDAY_MS) % WEEK_MS >= 5 * DAY_MS
    rows = [np.sin(day), np.cos(day), np.sin(week), np.cos(week), weekend.astype(np.float64)]
    return np.stack(rows, axis=1)


def _funding(records: Records | None, times: Times) -> Columns:
    """The last rate, the mean of three, the last change, and the share elapsed; NaN = not known."""
    found = np.full((len(times), 4), np.nan)
    if records is None or not len(records.times):
        return found
    last = records.last(times)
    rates = 1e4 * _at(records, last[:, None] - np.arange(3))
    age = times - records.times[np.maximum(last, 0)]
    between = records.times[np.maximum(last, 0)] - records.times[np.maximum(last - 1, 0)]
    elapsed = np.where(last >= 1, np.minimum(age / np.maximum(between, 1), 1.0), np.nan)
    rows = [rates[:, 0], rates.mean(axis=1), rates[:, 0] - rates[:, 1], elapsed]
    found[:] = np.stack(rows, axis=1)
    found[(last < 0) | (age > FUNDING_MAX_AGE_MS)] = np.nan
    return found


def _interest(records: Records | None, times: Times) -> Columns:
    """Changes over an hour, four and a day, and the level; NaN = not known."""
    found = np.full((len(times), len(CHANGES) + 1), np.nan)
    if records is None or not len(records.times):
        return found
    values = records.values[:, 0]
    log_values = Records(records.times, np.log(np.where(values > 0, values, np.nan))[:, None])
    now = _fresh(log_values, times)
    for index, back in enumerate(CHANGES.values()):
        found[:, index] = now - _fresh(log_values, times - back)
    sums = np.concatenate([[0.0], np.cumsum(np.where(values > 0, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(values > 0)])
    first, end = records.last(times - WEEK_MS) + 1, records.last(times) + 1
    mean = (sums[end] - sums[first]) / np.maximum(counts[end] - counts[first], 1)
    found[:, -1] = now - np.log(np.where(mean > 0, mean, np.nan))
    return found / OF_INTEREST


def _fresh(records: Records, times: Times) -> Float64[np.ndarray, " decision"]:
    """The last figure at each time; NaN where it is too old."""
    last = records.last(times)
    age = times - records.times[np.maximum(last, 0)]
    return np.where(age > INTEREST_MAX_AGE_MS, np.nan, _at(records, last))


def _at(records: Records, row: np.ndarray) -> np.ndarray:
    """The figures of rows; NaN before the first."""
    return np.where(row >= 0, records.values[np.maximum(row, 0), 0], np.nan)


__all__ = ["Market"]
