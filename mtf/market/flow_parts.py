"""What is made of a stream's candles as they come: longer candles, and the one that is forming."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float64

from mtf.market.flow import Flow
from mtf.market.flow_kernels import BUCKET, FOLDED, add_to_buckets, fold_forming, take_forming
from mtf.market.timeframe import Timeframe

NEVER = np.iinfo(np.int64).min


class Buckets:
    """Longer candles from the candles of a stream, in whatever order these come.

    A bucket that is not complete is not a candle, as in ``resample``. What has been gathered is
    kept as long as the longer stream would still take the candle.

    Args:
        fine: timeframe of the candles.
        flow: of the longer stream.
    """

    def __init__(self, fine: Timeframe, flow: Flow) -> None:
        self.flow = flow
        self.fine, self.coarse = grid(fine), grid(flow.spec.timeframe)
        self.members = flow.spec.timeframe.duration_ms // fine.duration_ms
        self.candles = np.zeros((flow.size, 5))
        self.count = np.zeros(flow.size, np.int64)
        self.bucket = np.full(flow.size, NEVER)

    def add(
        self,
        first_slot: int,
        ohlcv: Float64[np.ndarray, "slot 5"],
        valid: Bool[np.ndarray, " slot"],
    ) -> Iterator[tuple[int, Float64[np.ndarray, " 5"]]]:
        """Slot and candle of each bucket that these candles complete."""
        # In pieces of fewer buckets than there is room for: a complete one is read before its place
        # is taken by a later one.
        piece = max((self.flow.size - 1) * self.members, 1)
        for start in range(0, len(valid), piece):
            given = slice(start, start + piece)
            complete = np.full(len(valid[given]), NEVER)
            add_to_buckets(
                first_slot + start, ohlcv[given], valid[given], self.fine, self.coarse,
                self.members, self.candles, self.count, self.bucket, complete,
            )  # fmt: skip
            for slot in complete[complete != NEVER].tolist():
                yield slot, self.candles[slot % self.flow.size].copy()


class FormingSoFar:
    """What a finer stream has seen of a coarse candle that is not closed yet (``forming``).

    Fine slots are taken in when a decision asks, and before the fine stream's rings forget them.

    Args:
        flow: of the finer stream.
        coarse: timeframe of the candle.
    """

    def __init__(self, flow: Flow, coarse: Timeframe) -> None:
        self.flow, self.timeframe = flow, coarse
        self.fine, self.coarse = grid(flow.spec.timeframe), grid(coarse)
        self.state = np.full(4, NEVER)
        self.candle = np.full(5, np.nan)
        flow.followers.append(self._follow)

    def late(self, slot: int, candle: Float64[np.ndarray, " 5"]) -> None:
        """Take a fine candle that came after later ones."""
        if slot < self.state[FOLDED]:
            take_forming(slot, candle, self.fine, self.coarse, self.state, self.candle)

    def at(
        self, time_ms: int, last_slot: int
    ) -> tuple[Float64[np.ndarray, "1 5"], Float64[np.ndarray, " 1"]]:
        """The candle so far, and the share of its slot that it covers; 0 where nothing is seen.

        Args:
            time_ms: the decision.
            last_slot: of the finer stream by then.
        """
        self._fold(last_slot + 1)
        slot = self.timeframe.slot(time_ms)
        if slot != self.state[BUCKET]:
            return np.zeros((1, 5)), np.zeros(1)
        elapsed = self.flow.spec.timeframe.close_time(last_slot) - self.timeframe.open_time(slot)
        return self.candle[None].copy(), np.array([elapsed / self.timeframe.duration_ms])

    def _follow(self, start: int, end: int) -> None:
        """Before they are forgotten."""
        self._fold(end - self.flow.reach)

    def _fold(self, end: int) -> None:
        flow = self.flow
        fold_forming(
            end, flow.first, flow.end, flow.ohlcv, flow.valid, self.fine, self.coarse, self.state,
            self.candle,
        )  # fmt: skip


def grid(timeframe: Timeframe) -> tuple[int, int]:
    """Duration and anchor, for what is compiled."""
    return timeframe.duration_ms, timeframe.anchor_ms


__all__ = ["Buckets", "FormingSoFar"]
