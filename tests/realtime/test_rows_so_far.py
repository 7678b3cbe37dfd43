"""Arrays that grow, and candles laid on a grid as they come."""

from __future__ import annotations

import numpy as np

from mtf.market.timeframe import Timeframe
from mtf.realtime.events import Closed, NoCandle
from mtf.realtime.rows_so_far import FIRST_ROOM, BarsSoFar, FineSoFar, Growing

MINUTE = 60_000
M1, S10 = Timeframe.parse("1m"), Timeframe.parse("10s")


def lack(end_ms: int, frame: Timeframe = M1) -> NoCandle:
    return NoCandle("ETHUSDT", frame, 0, end_ms, end_ms)


def test_rows_stay_when_room_grows() -> None:
    rows = Growing(2)
    for number in range(3 * FIRST_ROOM):
        rows.append(np.array([number, -number], np.float64))
    assert len(rows) == 3 * FIRST_ROOM
    np.testing.assert_array_equal(rows.rows[:, 0], np.arange(3 * FIRST_ROOM))
    rows.grow(3 * FIRST_ROOM + 2)
    assert np.isnan(rows.rows[-2:]).all()
    rows.grow(1)
    assert len(rows) == 3 * FIRST_ROOM + 2


def test_bars_lie_on_their_grid() -> None:
    bars = BarsSoFar("ETHUSDT", M1, 10 * MINUTE)
    assert bars.end_ms == 10 * MINUTE
    rows = np.arange(15.0).reshape(3, 5)
    told = Closed("ETHUSDT", M1, np.array([9, 10, 12]) * MINUTE, rows, 0, "answer")
    new = bars.take(told)  # the first lies before the start
    assert isinstance(new, Closed)
    assert new.open_ms.tolist() == [10 * MINUTE, 12 * MINUTE]
    assert bars.take(told) is None
    assert bars.end_ms == 13 * MINUTE
    assert bars.take(lack(15 * MINUTE)) == lack(15 * MINUTE)
    assert bars.end_ms == 15 * MINUTE
    assert bars.take(lack(11 * MINUTE)) is None  # nothing that is known is forgotten
    found = bars.until(14 * MINUTE)
    assert found.valid.tolist() == [True, False, True, False]
    assert found.open_time.tolist() == [m * MINUTE for m in (10, 11, 12, 13)]
    assert found.ohlc[0].tolist() == rows[1, :4].tolist()
    assert len(bars.until(5 * MINUTE)) == 0


class TestFinerCandles:
    """Six of ten seconds in each minute; orders arrive 15 s after a full minute."""

    def fine(self) -> FineSoFar:
        return FineSoFar("ETHUSDT", S10, M1, 0)

    def told(self, *seconds: int) -> Closed:
        opens = np.array(seconds, np.int64) * 1_000
        rows = np.repeat(opens[:, None] / 1_000.0, 5, axis=1)
        return Closed("ETHUSDT", S10, opens, rows, int(opens[-1]) + 10_000, "stream")

    def times(self, event: object) -> list[int]:
        """Seconds that are written down."""
        return [] if not isinstance(event, Closed) else (event.open_ms // 1_000).tolist()

    def test_those_of_a_bar_without_an_order_are_let_go(self) -> None:
        fine = self.fine()
        assert fine.take(self.told(0)) is None  # nobody knows yet whether it counts
        assert fine.decide(15_000, orders=False) == []
        assert fine.end_ms == MINUTE  # what comes in this minute does not count
        assert fine.take(self.told(10, 20, 30, 40, 50)) is None
        assert fine.until(MINUTE) is None

    def test_those_of_a_bar_with_an_order_are_kept_from_its_open_on(self) -> None:
        fine = self.fine()
        fine.take(self.told(0))
        [held] = fine.decide(15_000, orders=True)
        assert self.times(held) == [0]
        assert fine.end_ms == 10_000
        assert self.times(fine.take(self.told(10, 20))) == [10, 20]
        assert fine.take(self.told(20)) is None  # told already
        gap = lack(50_000, S10)
        assert fine.take(gap) == gap
        assert self.times(fine.take(self.told(50, 60))) == [50]  # of the next minute nobody knows
        assert fine.end_ms == 70_000
        bars = fine.until(MINUTE)
        assert bars is not None
        assert (bars.open_time // 1_000).tolist() == [0, 10, 20, 30, 40, 50]
        assert bars.valid.tolist() == [True, True, True, False, False, True]
        assert bars.ohlc[-1].tolist() == [50.0] * 4

    def test_an_order_that_is_known_before_its_bar_opens(self) -> None:
        fine = self.fine()
        assert fine.decide(60_000 + 15_000, orders=True) == []
        assert fine.end_ms == MINUTE  # up to there nothing counts
        assert fine.take(self.told(0, 10, 20, 30, 40, 50)) is None
        assert fine.take(lack(60_000, S10)) is None
        assert self.times(fine.take(self.told(70))) == [70]
        assert fine.end_ms == 80_000
        assert fine.until(MINUTE) is None
