"""What is known of a market whose feed is late or frozen, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from worlds import MINUTE, candles_of, random_candles, world_of

from mtf.market.candles import CLOSE
from mtf.market.disturbed import delayed_world, fed_by, late
from mtf.market.forming import forming
from mtf.market.frozen import frozen, frozen_forming
from mtf.market.world import World

TIMES = np.array([40, 41, 44, 45], np.int64) * MINUTE


@pytest.fixture(scope="module")
def world() -> World:
    """An hour of minutes without a gap, and five-minute candles made of them."""
    return world_of(random_candles(60), {"1m": 8, "5m": 4}, half_life=5)


def test_late_by_two_knows_what_was_known_two_candles_before(world: World) -> None:
    known = world.known(TIMES)
    seen = late(world, TIMES, known, "1m", 2)
    then = world.known(TIMES - 2 * MINUTE)["1m"]
    now = seen.known["1m"]
    assert seen.hidden["1m"].tolist() == [2] * 4
    assert now.last_slot.tolist() == known["1m"].last_slot.tolist()  # the timetable stays
    for name in ("row", "sigma", "volume_mean", "last_close"):
        np.testing.assert_array_equal(getattr(now, name), getattr(then, name))
    assert now.age_ms.tolist() == [2 * MINUTE] * 4
    assert now.present.all()


def test_what_is_derived_waits_for_its_source(world: World) -> None:
    assert fed_by(world, "1m") == ["1m", "5m"]
    assert fed_by(world, "5m") == ["5m"]
    seen = late(world, TIMES, world.known(TIMES), "1m", 2)
    # at 40 the candle 35-40 lacks two minutes, at 41 one; at 44 it is whole
    assert seen.hidden["5m"].tolist() == [1, 1, 0, 1]
    assert seen.known["5m"].row.tolist() == [6, 6, 7, 7]


def test_too_late_is_stale_and_takes_what_is_derived_with_it(world: World) -> None:
    seen = late(world, TIMES, world.known(TIMES), "1m", 4)  # max_age is 3 candles
    assert not seen.known["1m"].present.any()
    assert not seen.known["5m"].present.any()
    shortest = world_of(random_candles(60), {"1m": 2}, half_life=5)
    gone = late(shortest, TIMES, shortest.known(TIMES), "1m", 2)  # all of its lookback
    assert not gone.known["1m"].present.any()


def test_a_delayed_world_shows_as_much(world: World) -> None:
    seen = late(world, TIMES, world.known(TIMES), "1m", 2)
    known = delayed_world(world, "1m", 2).known(TIMES)
    for name in ("1m", "5m"):
        np.testing.assert_array_equal(known[name].row, seen.known[name].row)
        np.testing.assert_array_equal(known[name].sigma, seen.known[name].sigma)


def test_a_frozen_feed_repeats_the_close_without_volume() -> None:
    rows: list[tuple[float, ...] | None]
    rows = [(1.0, 2.0, 0.5, 1.5, 3.0)] * 6 + [None, (4.0, 5.0, 3.0, 4.5, 7.0)] * 3
    world = world_of(candles_of(rows), half_life=2)
    times = np.array([12 * MINUTE])  # slots 0 … 11; those that hold a candle last: 7, 9, 11
    known = world.known(times)
    seen = frozen(world, times, known, "1m", 3)  # 9 and 11 are frozen, 10 stays away
    tail = seen.tails["1m"]
    assert tail.count.tolist() == [3]
    assert tail.valid[0].tolist() == [True, False, True]
    flat = tail.values[0, tail.valid[0]]
    assert flat[:, :4].tolist() == [[0.0] * 4] * 2
    assert flat[:, 4] == pytest.approx([np.log(0.01 / 1.01)] * 2, abs=1e-5)
    assert seen.flat["1m"].tolist() == [4.5]  # the close of slot 7
    assert seen.known["1m"].last_close.tolist() == [4.5]
    assert seen.known["1m"].age_ms.tolist() == known["1m"].age_ms.tolist() == [0]


def test_volatility_and_volume_sink_while_a_feed_hangs(world: World) -> None:
    known = world.known(TIMES)
    seen = frozen(world, TIMES, known, "1m", 15).known
    assert (seen["1m"].sigma < 0.5 * known["1m"].sigma).all()
    assert (seen["1m"].volume_mean < known["1m"].volume_mean).all()
    assert seen["1m"].present.all()


def test_of_a_derived_candle_only_the_frozen_minutes_change(world: World) -> None:
    times = np.array([45 * MINUTE])
    seen = frozen(world, times, world.known(times), "1m", 2)
    fine = world.streams["1m"].candles.ohlcv
    assert seen.tails["5m"].count.tolist() == [1]  # 40-45 alone
    assert seen.known["5m"].last_close.tolist() == [fine[42, CLOSE]]
    at_44 = np.array([44 * MINUTE])  # 40-45 is not closed, 35-40 not touched
    untouched = frozen(world, at_44, world.known(at_44), "1m", 2)
    assert untouched.tails["5m"].count.tolist() == [0]
    np.testing.assert_array_equal(untouched.known["5m"].sigma, world.known(at_44)["5m"].sigma)


def test_the_forming_candle_of_a_frozen_feed_stands_still(world: World) -> None:
    times = np.array([43, 44], np.int64) * MINUTE
    known = world.known(times)
    present = {name: one.present for name, one in known.items()}
    disturbed = frozen(world, times, known, "1m", 3)
    found = frozen_forming(world, times, "5m", disturbed.known, present, disturbed)
    fine = world.streams["1m"].candles.ohlcv
    # at 43 all three minutes of 40-45 so far are frozen; at 44 the first is not
    assert found.candle[0].tolist() == [fine[39, CLOSE]] * 4 + [0.0]
    assert found.candle[1].tolist() == fine[40].tolist()
    plain = forming(world, times, "5m", known, present)
    np.testing.assert_array_equal(found.elapsed, plain.elapsed)
