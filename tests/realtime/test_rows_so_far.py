"""Arrays that grow, and candles laid on a grid as they come."""

from __future__ import annotations

import numpy as np

from mtf.market.timeframe import Timeframe
from mtf.realtime.rows_so_far import FIRST_ROOM, BarsSoFar, Growing

MINUTE = 60_000
M1 = Timeframe.parse("1m")


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
    bars.add(np.array([9, 10, 12]) * MINUTE, rows)  # the first lies before the start
    assert bars.end_ms == 13 * MINUTE
    bars.lack(15 * MINUTE)
    assert bars.end_ms == 15 * MINUTE
    bars.lack(11 * MINUTE)  # nothing that is known is forgotten
    found = bars.until(14 * MINUTE)
    assert found.valid.tolist() == [True, False, True, False]
    assert found.open_time.tolist() == [m * MINUTE for m in (10, 11, 12, 13)]
    assert found.ohlc[0].tolist() == rows[1, :4].tolist()
    assert len(bars.until(5 * MINUTE)) == 0
