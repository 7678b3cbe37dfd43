"""The exchange's time: it follows what is measured, never goes back, and says what it was off."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import pytest
from feeding import Letters
from fetching import QuickTime, asking
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from listening import until

from mtf.errors import ConfigError, MtfError
from mtf.realtime.bybit_client import BybitClient
from mtf.realtime.events import Message
from mtf.realtime.inbox import Inbox
from mtf.realtime.live_clock import ClockKeeper, LiveClock
from mtf.realtime.rest import ExchangeError, Rest
from mtf.realtime.sandbox.faults import Fault
from mtf.realtime.sandbox.server import Sandbox
from mtf.realtime.sandbox.synthetic import SyntheticMarket

TIME = "/v5/market/time"
START = 1_748_736_000_000
HOUR_MS = 3_600_000


def test_the_machines_clock_and_what_it_is_off() -> None:
    outside = QuickTime()
    clock = LiveClock(time=outside)
    clock.set(outside.wall_ms() + 700)
    assert clock.offset_ms == 700
    outside.sleep(5)
    assert clock.now_ms() == outside.wall_ms() + 700
    clock.set(outside.wall_ms() + 900)
    assert clock.offset_ms == 900
    assert clock.now_ms() == outside.wall_ms() + 900


def test_a_rehearsal_takes_place_in_another_year_and_faster() -> None:
    outside = QuickTime()
    clock = LiveClock(60.0, outside)
    clock.set(1_748_736_000_000)
    assert (clock.now_ms(), clock.offset_ms) == (1_748_736_000_000, 0)
    outside.sleep(2)
    assert clock.now_ms() == 1_748_736_120_000
    for _ in range(2):
        clock.set(1_748_736_120_000 + 45_000)  # the stand-in's clock jumped ahead
    assert clock.offset_ms == 45_000
    assert clock.now_ms() == 1_748_736_165_000
    assert clock.seconds(60_000) == 1.0


def test_time_stands_still_rather_than_going_back() -> None:
    outside = QuickTime()
    clock = LiveClock(time=outside)
    clock.set(outside.wall_ms())
    before = clock.now_ms()
    for _ in range(2):
        clock.set(outside.wall_ms() - 10_000)
    assert clock.offset_ms == -10_000
    assert clock.now_ms() == before
    outside.sleep(9)
    assert clock.now_ms() == before
    outside.sleep(2)
    assert clock.now_ms() == before + 1_000


@given(steps=st.lists(st.tuples(st.integers(-100_000, 100_000), st.floats(0, 30)), max_size=30))
def test_it_never_goes_back_and_is_never_surer_than_now(steps: list[tuple[int, float]]) -> None:
    outside = QuickTime()
    clock = LiveClock(10.0, outside)
    times = []
    for offset, pause in steps:
        clock.set(1_748_736_000_000 + offset)
        outside.sleep(pause)
        times.append(clock.now_ms())
        assert clock.surely_ms() <= clock.now_ms()
    assert times == sorted(times)


def test_a_measurement_says_nothing_below_its_own_error() -> None:
    outside = QuickTime()
    clock = LiveClock(time=outside)
    now = outside.wall_ms()
    clock.set(now + 100)
    clock.set(now + 140, unsure_ms=50.0)
    assert clock.offset_ms == 100
    clock.set(now + 160, unsure_ms=50.0)
    assert clock.offset_ms == 160


def test_a_clock_that_jumped_ahead_closes_no_candle_at_once() -> None:
    outside = QuickTime()
    clock = LiveClock(time=outside)
    clock.set(outside.wall_ms())
    clock.set(outside.wall_ms() + 60_000)
    for _ in range(10):
        outside.sleep(60)
        clock.set(outside.wall_ms() + 60_000)
        assert clock.now_ms() == outside.wall_ms() + 60_000
        assert clock.surely_ms() == outside.wall_ms()
    outside.sleep(60)
    clock.set(outside.wall_ms() + 60_000)  # ten minutes after it was first seen
    assert clock.surely_ms() == clock.now_ms() == outside.wall_ms() + 60_000
    for _ in range(2):
        clock.set(outside.wall_ms())  # back again: time stands still, but surely it is no later
    assert clock.now_ms() == outside.wall_ms() + 60_000
    assert clock.surely_ms() == outside.wall_ms()


class Set(QuickTime):
    """A machine whose clock is set while time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.put_ms = float(START // 1_000), 0

    def wall_ms(self) -> int:
        return super().wall_ms() + self.put_ms

    def true_ms(self) -> int:
        return super().wall_ms()


@pytest.mark.parametrize("step_ms", [3_600_000, -3_600_000, 900, -900])
def test_who_sets_the_machines_clock_sets_no_other(step_ms: int) -> None:
    outside = Set()
    clock = LiveClock(time=outside)
    clock.set(outside.true_ms())
    outside.sleep(60)
    outside.put_ms = step_ms
    for _ in range(20):
        assert clock.now_ms() == clock.surely_ms() == outside.true_ms()
        clock.set(outside.true_ms())
        assert clock.offset_ms == -step_ms  # which the gate judges
        outside.sleep(60)
    outside.put_ms = 0
    clock.set(outside.true_ms())
    assert clock.offset_ms == 0
    assert clock.now_ms() == clock.surely_ms() == outside.true_ms()


@pytest.mark.parametrize("step_ms", [HOUR_MS, -2_000])
def test_a_machines_clock_that_was_set_is_noticed_at_once(
    monkeypatch: pytest.MonkeyPatch, step_ms: int
) -> None:
    monkeypatch.setattr("mtf.realtime.live_clock.LOOK_S", 0.01)
    outside = Set()
    told, clock = Told({}), LiveClock(time=outside)
    clock.set(outside.true_ms())
    assert not clock.was_set()
    letters = Letters(Inbox(clock))
    with asking_told(monkeypatch, told) as rest:
        keeper = ClockKeeper(clock, rest, letters.inbox, every_s=3_600.0, least_s=0.01)
        thread = keeper.start()
        outside.put_ms = step_ms
        messages = letters.wait(lambda letters: len(letters) == 2)
        keeper.stop()
        thread.join(5)
    assert [offset_of(each) for each in messages] == [0, -step_ms]
    assert not clock.was_set()


def test_a_measurement_far_from_all_others_needs_a_second_one() -> None:
    outside = Set()
    clock = LiveClock(time=outside)
    assert clock.set(outside.true_ms())
    assert not clock.set(outside.true_ms() + 3_600_000)
    assert clock.now_ms() == outside.true_ms()
    assert clock.set(outside.true_ms() + 20)  # it was wrong
    assert not clock.set(outside.true_ms() - 3_600_000)
    assert not clock.set(outside.true_ms() + 3_600_000)  # two that do not agree
    assert clock.now_ms() == outside.true_ms() + 20
    outside.sleep(2)
    assert clock.set(outside.true_ms() + 3_600_000 + 4_000)
    assert clock.now_ms() == outside.true_ms() + 3_604_000
    assert clock.set(outside.true_ms() + 3_600_000)  # not far from it
    assert clock.offset_ms == 3_600_000


def test_after_the_machine_slept_two_clocks_agree_how_late_it_is() -> None:
    outside = Set()
    clock = LiveClock(time=outside)
    clock.set(outside.true_ms())
    outside.put_ms = HOUR_MS  # an hour that no time of ours passed in: true as the wall's clock
    for _ in range(2):
        clock.set(outside.wall_ms())
    assert clock.offset_ms == 0
    assert clock.now_ms() == clock.surely_ms() == outside.wall_ms()


def test_it_waits_for_a_time_or_a_sign() -> None:
    clock = LiveClock(100.0)
    clock.set(1_000_000)
    sign = threading.Event()
    began = time.monotonic()
    clock.wait_until(1_010_000, sign)
    assert clock.now_ms() >= 1_010_000
    assert time.monotonic() - began >= 0.095
    sign.set()
    clock.wait_until(2**50, sign)  # or this test never ends
    clock.wait_until(0, threading.Event())


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), 1e7])
def test_a_speed_that_is_none(speed: float) -> None:
    with pytest.raises(MtfError, match="market seconds a second"):
        LiveClock(speed)


@pytest.mark.parametrize("ahead", [-10_000, 60_000])
def test_a_fault_of_the_exchanges_clock_shows_and_passes(
    market: SyntheticMarket, ahead: int
) -> None:
    clock = LiveClock(60.0)
    letters = Letters(Inbox(clock))
    with Sandbox(market, speed=60.0) as sandbox, asking(sandbox) as rest:
        keeper = ClockKeeper(clock, rest, letters.inbox, every_s=6.0, least_s=0.05)
        thread = keeper.start()
        assert abs(clock.now_ms() - sandbox.clock.now_ms()) < 3_000  # 50 ms of the wall clock
        assert clock.offset_ms == 0
        sandbox.inject(Fault("clock", value=ahead, lasts_ms=180_000))  # three seconds
        letters.wait(lambda told: any(abs(offset_of(each) - ahead) < 3_000 for each in told))
        letters.wait(lambda told: abs(offset_of(told[-1])) < 3_000)
        keeper.stop()
        thread.join(5)
        assert not thread.is_alive()


class Told:
    """REST whose clock is wrong when it is asked for the n-th time."""

    def __init__(self, wrong: dict[int, int]) -> None:
        self.asked, self.wrong = 0, wrong

    def server_time(self, reading: Callable[[], float]) -> tuple[int, float, float]:
        at_ms = reading()
        self.asked += 1
        return START + round(at_ms) + self.wrong.get(self.asked, 0), at_ms, 5.0 - self.asked


@pytest.mark.parametrize(("number", "asked"), [(1, 4), (2, 4), (3, 5), (4, 5)])
def test_one_wrong_answer_is_asked_again_at_once(
    monkeypatch: pytest.MonkeyPatch, number: int, asked: int
) -> None:
    """The third is said to be the most exact of the first three; a message asks for the fourth.

    A third that is wrong looks like another speed at first, of which one more question makes sure.
    """
    monkeypatch.setattr("mtf.realtime.live_clock.RATE_S", 0.0)
    told, clock = Told({number: HOUR_MS}), LiveClock(rehearsal=True)
    letters = Letters(Inbox(clock))
    with asking_told(monkeypatch, told) as rest:
        keeper = ClockKeeper(clock, rest, letters.inbox, every_s=3_600.0, least_s=0.01)
        thread = keeper.start()
        keeper.hear('{"topic":"kline.1.ETHUSDT","ts":0}', clock.now_ms())
        messages = letters.wait(lambda letters: len(letters) == 2)
        keeper.stop()
        thread.join(5)
    assert {abs(offset_of(each)) for each in messages} <= {0, 1}  # it is told in whole ms
    assert clock.now_ms() < START + HOUR_MS
    assert told.asked == asked


class Running:
    """REST of a stand-in whose time runs at a rate of its own, each answer on its way for a while.

    Args:
        outside: where time passes.
        rate: market seconds a second.
        ways_s: of each question and its answer together; the last one for all that follow.
        jumped: what its clock is ahead from the n-th question on, in ms.
        pause_s: between two questions, as the pace has it.
    """

    def __init__(
        self,
        outside: QuickTime,
        rate: float,
        ways_s: Sequence[float] = (0.004,),
        jumped: Mapping[int, int] = MappingProxyType({}),
        pause_s: float = 0.02,
    ) -> None:
        self.outside, self.rate, self.pause_s = outside, rate, pause_s
        self.ways_s, self.jumped, self.asked = list(ways_s), jumped, 0
        self.began_s = outside.monotonic()

    def server_time(self, reading: Callable[[], float]) -> tuple[int, float, float]:
        self.outside.sleep(self.pause_s)
        self.asked += 1
        way_s = self.ways_s.pop(0) if len(self.ways_s) > 1 else self.ways_s[0]
        asked = reading()
        self.outside.sleep(0.9 * way_s)  # it is not halfway that the clock is read
        ahead = max((number for number in self.jumped if number <= self.asked), default=0)
        passed_ms = 1_000 * self.rate * (self.outside.monotonic() - self.began_s)
        server_ms = START + int(passed_ms) + self.jumped.get(ahead, 0)
        self.outside.sleep(0.1 * way_s)
        answered = reading()
        return server_ms, (asked + answered) / 2, (answered - asked) / 2


def begun(
    monkeypatch: pytest.MonkeyPatch, speed: float, running: Running, rehearsal: bool = True
) -> None:
    """Measure for the first time, by a clock that is to run at a speed."""
    monkeypatch.setattr("mtf.realtime.live_clock.RATE_S", 0.0)
    clock = LiveClock(speed, running.outside, rehearsal=rehearsal)
    with asking_told(monkeypatch, running) as rest:
        keeper = ClockKeeper(clock, rest, Inbox(clock))
        keeper.start()
        keeper.stop()


@pytest.mark.parametrize(
    ("speed", "rate", "words"),
    [
        (1.0, 60.0, "found --speed 1, but the exchange's time runs at 60x"),
        (60.0, 1.0, "found --speed 60, but the exchange's time runs at 1x"),
        (60.0, 100.0, "found --speed 60, but the exchange's time runs at 100x"),
        (10.0, 0.5, "found --speed 10, but the exchange's time runs at 0.5x"),
    ],
)
def test_a_stand_in_of_another_speed_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, speed: float, rate: float, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        begun(monkeypatch, speed, Running(QuickTime(), rate))
    assert caught.value.found == words
    assert caught.value.todo == f"say --speed {rate:g}"


@pytest.mark.parametrize(
    ("speed", "rate", "options"),
    [
        (1.0, 0.0, {}),  # a stand-in that stands still
        (60.0, 0.0, {}),
        (60.0, 57.0, {}),
        (60.0, 60.0, {"jumped": {2: 60_000}}),  # its clock is put on between two answers
        (60.0, 60.0, {"jumped": {3: 60_000, 4: 0}}),  # and back
        (60.0, 60.0, {"jumped": {1: -10_000, 2: 0}}),
        (60.0, 60.0, {"jumped": {3: -60_000, 4: 0}}),
        (1.0, 1.0, {"jumped": {2: 3_600_000, 3: 0}}),
        (1.0, 1.5, {"ways_s": [5.0]}),  # answers that take too long to tell
    ],
)
def test_what_is_no_other_speed(
    monkeypatch: pytest.MonkeyPatch, speed: float, rate: float, options: dict[str, Any]
) -> None:
    begun(monkeypatch, speed, Running(QuickTime(), rate, **options))


def test_the_exchange_itself_has_one_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    begun(monkeypatch, 1.0, Running(QuickTime(), 60.0), rehearsal=False)


@settings(max_examples=100, deadline=None, suppress_health_check=[*HealthCheck])
@given(
    speed=st.sampled_from([0.5, 1.0, 10.0, 60.0, 1_000.0]),
    ways_s=st.lists(st.floats(0.0, 3.0), min_size=3, max_size=6),
    pause_s=st.floats(0.0, 0.02),
)
def test_no_load_makes_the_right_speed_look_wrong(
    monkeypatch: pytest.MonkeyPatch, speed: float, ways_s: list[float], pause_s: float
) -> None:
    begun(monkeypatch, speed, Running(QuickTime(), speed, ways_s, pause_s=pause_s))


def test_a_stand_ins_own_speed_is_found_by_its_answers(market: SyntheticMarket) -> None:
    clock = LiveClock(rehearsal=True)
    with Sandbox(market, speed=600.0) as sandbox:
        rest = Rest(BybitClient(sandbox.url))
        with pytest.raises(ConfigError, match=r"exchange's time runs at [0-9]+x"):
            ClockKeeper(clock, rest, Inbox(clock)).start()
        rest.close()


@contextmanager
def asking_told(monkeypatch: pytest.MonkeyPatch, told: Told | Running) -> Iterator[Rest]:
    """A ``Rest`` that asks nobody."""
    rest = Rest(BybitClient("http://127.0.0.1:1"))
    monkeypatch.setattr(rest, "server_time", told.server_time)
    yield rest
    rest.close()


def offset_of(message: Message) -> int:
    """What a clock message says."""
    return int(message.content["offset_ms"])


def test_a_message_of_another_time_asks_for_a_measurement(market: SyntheticMarket) -> None:
    clock = LiveClock(rehearsal=True)
    inbox = Inbox(clock)
    with Sandbox(market, speed=1.0) as sandbox, asking(sandbox) as rest:
        keeper = ClockKeeper(clock, rest, inbox, every_s=3_600, least_s=0.01)
        thread = keeper.start()
        asked = len(sandbox.requests)
        now = clock.now_ms()
        keeper.hear(f'{{"topic":"kline.1.ETHUSDT","ts":{now - 900},"data":[]}}', now)
        keeper.hear('{"topic": "kline', now)
        keeper.hear('{"topic":"x","data":[{"ts":"soon"}]}', now)
        time.sleep(0.2)
        assert len(sandbox.requests) == asked
        keeper.hear(f'{{"topic":"kline.1.ETHUSDT","ts":{now - 1_100},"data":[]}}', now)
        until(lambda: len(sandbox.requests) == asked + 1)
        keeper.stop()
        thread.join(5)


def test_a_failed_measurement_is_said_and_repeated(market: SyntheticMarket) -> None:
    clock = LiveClock(rehearsal=True)
    letters = Letters(Inbox(clock))
    with Sandbox(market) as sandbox, asking(sandbox, attempts=2) as rest:
        keeper = ClockKeeper(clock, rest, letters.inbox, every_s=0.01, least_s=0.01)
        thread = keeper.start()
        sandbox.inject(Fault("http_500", where=TIME, count=2))
        told = letters.wait(lambda _: letters.states() == ["failed"])
        assert "no answer to get_server_time" in letters.whys()[0]
        letters.wait(lambda told: told[-1].kind == "clock")
        assert told
        keeper.stop()
        thread.join(5)


def test_without_the_exchanges_time_nothing_begins(market: SyntheticMarket) -> None:
    clock = LiveClock(rehearsal=True)
    with Sandbox(market) as sandbox, asking(sandbox, attempts=2) as rest:
        sandbox.inject(Fault("http_502", where=TIME, count=99))
        with pytest.raises(ExchangeError, match="status 502"):
            ClockKeeper(clock, rest, Inbox(clock)).start()
