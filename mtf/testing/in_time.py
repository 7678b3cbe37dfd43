"""A causality gate for functions of one's own: joins, indicators, scalers, whatever reads candles.

``check_in_time`` hands a function a small market, changes what is not known at a time and looks
whether the answer at that time moves; then changes the last candle that is known and looks whether
it does. One candle early and one candle late are both found, with the candle's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int64

from mtf.market.candles import Candles
from mtf.market.times import iso
from mtf.testing.market import (
    candle_words,
    changed,
    known_at,
    later_changed,
    random_candles,
    random_market,
)
from mtf.testing.probe import defect

Market = Mapping[str, Candles]
Answer = Callable[[Market, np.ndarray], np.ndarray]

NEAR = 2
"""How many candles around a time are tried by themselves."""


def check_in_time(
    answer: Answer, market: Market | None = None, *, sees_last: bool = True, seed: int = 0
) -> None:
    """Try whether a function answers from what is known at t, and from all of it.

    Args:
        answer: ``(candles by stream name, times in ms) -> [decision, …]``: whatever a model would
            be told at each of the times, in rows of numbers (NaN = nothing).
        market: to try it on; default: 80 hours of ``1m``, ``5m``, ``1h`` and ``btc``, with gaps.
            Candles are known at their close, or at their ``available_at``.
        sees_last: whether the last candle known of each stream that is used must move the answer.
        seed: of the changes, and of the default market.

    Raises:
        ContractError: the answer at t moves with a candle known only after t, or does not move
            with the last one known at t; with time, stream and candle.
    """
    trial = _Trial(answer, market or _market(seed), seed)
    trial.refuse_random()
    for stream in filter(trial.uses, trial.market):
        for row in range(len(trial.times)):
            trial.refuse_early(stream, row)
            if sees_last:
                trial.refuse_late(stream, row)


def _market(seed: int) -> dict[str, Candles]:
    """Gaps in all streams; the coarser ones have one near the end, where decisions are."""
    market = random_market(seed=seed, missing=0.02)
    for name, row in (("1m", -61), ("5m", -14), ("1h", -2), ("btc", -59)):
        market[name].valid[row] = False
        market[name].ohlcv[row] = np.nan
    return market


@dataclass(frozen=True)
class _Trial:
    """A function on a market.

    Attributes:
        answer: the function.
        market: as it is.
        seed: of the changes.
    """

    answer: Answer
    market: Market
    seed: int

    @cached_property
    def times(self) -> Int64[np.ndarray, " decision"]:
        """One clock step before, at and after the last closes of every stream, and around gaps."""
        step = min(candles.timeframe.duration_ms for candles in self.market.values())
        end = min(c.timeframe.close_time(c.end_slot - 1) for c in self.market.values())
        found: set[int] = set()
        for candles in self.market.values():
            close = known_at(candles)
            edges = close[close < end - step][-NEAR:]
            gaps = close[~candles.valid & (close < end - step)][-1:]  # where filling shows
            found |= {int(t) + d for t in (*edges, *gaps) for d in (-step, 0, step)}
        return np.array(sorted(found), np.int64)

    @cached_property
    def before(self) -> np.ndarray:
        """The answers in the market as it is."""
        return self.said(self.market)

    def uses(self, stream: str) -> bool:
        """Whether the function reads a stream at all."""
        everything = np.ones(len(self.market[stream]), np.bool_)
        other = changed(self.market[stream], everything, self.seed)
        return bool(self.moved({**self.market, stream: other}).any())

    def refuse_random(self) -> None:
        """Without this, whatever moves would look like a leak."""
        if self.moved(self.market).any():
            raise defect(
                self.answer, "is random: two calls differ", "the same answer to the same question"
            )

    def said(self, market: Market) -> np.ndarray:
        """The answers, a row a time.

        Raises:
            ContractError: not a row a time.
        """
        found = np.asarray(self.answer(market, self.times.copy()), np.float64)
        if len(found) != len(self.times):
            raise defect(
                self.answer,
                f"wrong shape: {found.shape} for {len(self.times)} times",
                "one row of numbers a time",
            )
        return found.reshape(len(found), -1)

    def moved(self, market: Market) -> Bool[np.ndarray, " decision"]:
        """At which times the answer is another than in the market as it is."""
        one, other = self.before, self.said(market)
        if one.shape != other.shape:
            return np.ones(len(one), np.bool_)
        moved: np.ndarray = ((one != other) & ~(np.isnan(one) & np.isnan(other))).any(axis=1)
        return moved

    def refuse_early(self, stream: str, row: int) -> None:
        """Nothing known only after a time moves an answer at or before it."""
        now, candles = int(self.times[row]), self.market[stream]
        other = later_changed({stream: candles}, now, self.seed)
        moved = self.moved({**self.market, **other}) & (self.times <= now)
        if moved.any():
            at = int(self.times[moved][-1])
            raise defect(
                self.answer,
                f"looks ahead: its answer at {iso(at)} moves when {self._culprit(stream, at)}",
                "at t from candles with available_at <= t only, which is never before their close",
                "join on the close time (open_time + duration), fill nothing from later, and use "
                "no statistic of the whole series",
            )

    def _culprit(self, stream: str, at: int) -> str:
        """The first candle after a time that moves the answer by itself."""
        candles = self.market[stream]
        later = np.flatnonzero(known_at(candles) > at)
        for slot in later[: NEAR + 1]:
            rows = np.arange(len(candles)) == slot
            touched = changed(_there(candles, int(slot)), rows, self.seed)
            if self.moved({**self.market, stream: touched})[self.times == at].any():
                after = (int(known_at(candles)[slot]) - at) / 1_000
                words = candle_words(candles, int(slot))
                return f"the {words} of {stream} changes, which is known {after:g} s later"
        return f"candles of {stream} change that are known only later"

    def refuse_late(self, stream: str, row: int) -> None:
        """Where a stream is used, the last candle known moves the answer."""
        now, candles = int(self.times[row]), self.market[stream]
        known = (known_at(candles) <= now) & candles.valid
        if not known.any():
            return
        last = int(np.flatnonzero(known)[-1])
        rows = np.arange(len(candles)) == last
        if self._moves(stream, rows, row) or not self._moves(stream, known, row):
            return
        raise defect(
            self.answer,
            f"one candle late: its answer at {iso(now)} does not move when the "
            f"{candle_words(candles, last)} of {stream} changes, the last one known then",
            "at t from all candles with available_at <= t, the one that closes at t among them",
            "no further shift once candles are joined on their close time",
        )

    def _moves(self, stream: str, rows: np.ndarray, row: int) -> bool:
        other = changed(self.market[stream], rows, self.seed)
        return bool(self.moved({**self.market, stream: other})[row])


def _there(candles: Candles, row: int) -> Candles:
    """The same, with a candle in the row."""
    if candles.valid[row]:
        return candles
    ohlcv, valid = candles.ohlcv.copy(), candles.valid.copy()
    ohlcv[row], valid[row] = random_candles(1).ohlcv[0], True
    return replace(candles, ohlcv=ohlcv, valid=valid)


__all__ = ["check_in_time"]
