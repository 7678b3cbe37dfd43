"""The exchange's candle lengths by the names it gives them: ``1`` to ``720`` minutes, D, W, M."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from mtf.market.timeframe import Timeframe


@dataclass(frozen=True)
class Interval:
    """A candle length; months have none, so their ``frame`` is None."""

    name: str
    frame: Timeframe | None

    def opens(self, time_ms: Int64[np.ndarray, " time"]) -> Int64[np.ndarray, " time"]:
        """When the candle that covers each time opens."""
        if self.frame is not None:
            return self.frame.open_time(self.frame.slot(time_ms))
        months = time_ms.astype("datetime64[ms]").astype("datetime64[M]")
        return months.astype("datetime64[ms]").astype(np.int64)

    def open_of(self, time_ms: int) -> int:
        """When the candle that covers a time opens."""
        return int(self.opens(np.array([time_ms], dtype=np.int64))[0])

    def close_of(self, open_ms: int) -> int:
        """When the candle that opens then closes: the open of the next one."""
        if self.frame is not None:
            return open_ms + self.frame.duration_ms
        return self.open_of(open_ms + 32 * 86_400_000)

    def back(self, open_ms: int, count: int) -> int:
        """The open of the candle ``count`` before that one."""
        if self.frame is not None:
            return open_ms - count * self.frame.duration_ms
        month = np.datetime64(open_ms, "ms").astype("datetime64[M]") - np.timedelta64(count, "M")
        return int(month.astype("datetime64[ms]").astype(np.int64))

    def forward(self, open_ms: int, count: int) -> int:
        """The open of the candle ``count`` after that one."""
        return self.back(open_ms, -count)


def _all() -> dict[str, Interval]:
    """Every interval by its name."""
    minutes = (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)
    frames = {str(count): f"{count}m" if count < 60 else f"{count // 60}h" for count in minutes} | {
        "D": "1d",
        "W": "1w",
    }
    found = {name: Interval(name, Timeframe.parse(frame)) for name, frame in frames.items()}
    return found | {"M": Interval("M", None)}


INTERVALS = _all()
MINUTE, HOUR, DAY = INTERVALS["1"], INTERVALS["60"], INTERVALS["D"]


def base_of(interval: Interval) -> Interval:
    """The minutes, hours or days that candles of an interval are added up from."""
    if interval.frame is None or interval.frame.duration_ms >= 86_400_000:
        return DAY
    return HOUR if interval.frame.duration_ms >= 3_600_000 else MINUTE
