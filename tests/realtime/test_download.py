"""Downloads: nothing lost, nothing twice, nothing bad, nothing asked for that is there.

The full counts of faults and examples are `long`; a seeded sample runs always.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import requests
from fetching import (
    KLINE,
    MINUTE,
    MINUTE_MS,
    QuickTime,
    SmallExchange,
    asking,
    candles,
    contents,
    fetch_from,
    stored,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtf.errors import ConfigError
from mtf.market.timeframe import Timeframe
from mtf.realtime.download import SETTLE_MS, Wanted, fetch
from mtf.realtime.frames import CLOCK_MS
from mtf.realtime.kline import PAGE
from mtf.realtime.rest import BannedError, ExchangeError, RefusedError, Rest
from mtf.realtime.sandbox.faults import ROW_FAULTS, Fault
from mtf.realtime.sandbox.recorded import RecordedMarket
from mtf.realtime.sandbox.server import Sandbox
from mtf.realtime.sandbox.synthetic import SyntheticMarket
from mtf.realtime.store import Store

START = 1_748_736_000_000
PAGES = 20
SPAN_MS = PAGES * PAGE * MINUTE_MS
PASSING: tuple[tuple[str, float | None], ...] = (
    ("http_500", None),
    ("http_502", None),
    ("http_429", None),
    ("code_10000", None),
    ("code_10006", 1_500),
    ("code_10006", -1_500),
    ("code_10016", None),
    ("reset", None),
    ("cut", None),
    ("html", None),
    ("json_list", None),
)
SAMPLE = random.Random(7).sample(PASSING, 2)


@pytest.fixture(scope="module")
def history() -> SyntheticMarket:
    """One coin with twenty pages of minutes, from April into June."""
    return SyntheticMarket(("ETHUSDT",), START + 3 * 86_400_000, history_days=15)


@pytest.fixture(scope="module")
def wanted(history: SyntheticMarket) -> Wanted:
    end = history.start_ms - MINUTE_MS  # what closed just now is not asked for
    return Wanted("ETHUSDT", MINUTE, end - SPAN_MS, end)


@pytest.fixture(scope="module")
def whole(
    history: SyntheticMarket, wanted: Wanted, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """What a download without faults stores: byte for byte."""
    folder = tmp_path_factory.mktemp("whole")
    with Sandbox(history) as sandbox:
        fetch_from(sandbox, folder, wanted)
        assert len(sandbox.requests) == 1 + PAGES  # the server's time, and every page once
    assert len(stored(folder, "ETHUSDT")) == PAGES * PAGE
    return contents(folder)


def test_seven_days_of_three_symbols_are_those_of_the_exchange(
    real_data: Path, tmp_path: Path
) -> None:
    folder = real_data / "exchange"
    market = RecordedMarket(folder)
    week = [Wanted(s, MINUTE, market.start_ms, market.end_ms) for s in market.instruments]
    with Sandbox(market, start_ms=market.end_ms + CLOCK_MS) as sandbox:
        found = fetch_from(sandbox, tmp_path, *week)
        assert [each.added for each in found] == [10_080] * 3
        assert len(sandbox.requests) == 1 + 3 * 11
        for symbol in market.instruments:
            file = folder / f"bybit_linear_{symbol}_1m_20250530-20250605.parquet"
            true = pq.read_table(file).to_pandas().to_numpy(np.float64)
            np.testing.assert_array_equal(stored(tmp_path, symbol), true)
        before = contents(tmp_path)
        fetch_from(sandbox, tmp_path, *week)
        assert len(sandbox.requests) == 1 + 3 * 11  # nothing was asked for
    assert contents(tmp_path) == before


def at_every_page(
    kind: str, value: float | None, history: SyntheticMarket, wanted: Wanted, folder: Path
) -> tuple[int, int]:
    """Every page fails once; faults that happened, and requests."""
    faults = [Fault(kind, KLINE, nth=2 * page + 1, value=value) for page in range(PAGES)]
    with Sandbox(history, faults=tuple(faults)) as sandbox:
        fetch_from(sandbox, folder, wanted)
        return sandbox.counts[kind], len(sandbox.requests)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "value"), SAMPLE)
def test_faults_at_every_page_change_no_byte(
    kind: str,
    value: float | None,
    history: SyntheticMarket,
    wanted: Wanted,
    whole: dict[str, bytes],
    tmp_path: Path,
) -> None:
    injected, requests = at_every_page(kind, value, history, wanted, tmp_path)
    assert injected == PAGES
    assert requests <= 3 * (1 + PAGES)
    assert contents(tmp_path) == whole


@pytest.mark.long
def test_all_faults_at_every_page_change_no_byte(
    history: SyntheticMarket,
    wanted: Wanted,
    whole: dict[str, bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    faults = most = 0
    for number, (kind, value) in enumerate(PASSING):
        folder = tmp_path / str(number)
        injected, requests = at_every_page(kind, value, history, wanted, folder)
        assert contents(folder) == whole, kind
        faults, most = faults + injected, max(most, requests)
    assert faults == len(PASSING) * PAGES
    assert most <= 3 * (1 + PAGES)
    with capsys.disabled():
        print(f"\n{faults} faults injected, 0 lost, 0 duplicated; at most {most} requests for 21")


def test_faults_of_every_kind_in_one_download(
    history: SyntheticMarket, wanted: Wanted, whole: dict[str, bytes], tmp_path: Path
) -> None:
    """Twice in a row at every second page, each time another kind."""
    kinds = [(kind, value) for kind, value in PASSING[:10]]
    faults = [
        Fault(kind, KLINE, nth=4 * number + 1, count=2, value=value)
        for number, (kind, value) in enumerate(kinds)
    ]
    with Sandbox(history, faults=tuple(faults)) as sandbox:
        fetch_from(sandbox, tmp_path, wanted)
        assert sum(sandbox.counts.values()) == 20
        assert len(sandbox.requests) <= 3 * (1 + PAGES)
    assert contents(tmp_path) == whole


def banned_at(
    page: int, history: SyntheticMarket, wanted: Wanted, whole: dict[str, bytes], folder: Path
) -> None:
    """A ban ends it at once; what came is a prefix, and goes on to the same bytes."""
    with Sandbox(history) as sandbox:
        sandbox.inject(Fault("http_403", KLINE, nth=page + 1))
        with pytest.raises(BannedError, match="status 403"):
            fetch_from(sandbox, folder, wanted)
        assert len(sandbox.requests) == 1 + page + 1
        assert len(stored(folder, "ETHUSDT")) == page * PAGE
        fetch_from(sandbox, folder, wanted)
    assert contents(folder) == whole


@pytest.mark.slow
@pytest.mark.parametrize("page", [0, 11])
def test_a_ban_stops_at_once_and_keeps_what_came(
    page: int,
    history: SyntheticMarket,
    wanted: Wanted,
    whole: dict[str, bytes],
    tmp_path: Path,
) -> None:
    banned_at(page, history, wanted, whole, tmp_path)


@pytest.mark.long
def test_a_ban_at_every_page(
    history: SyntheticMarket, wanted: Wanted, whole: dict[str, bytes], tmp_path: Path
) -> None:
    for page in range(PAGES):
        banned_at(page, history, wanted, whole, tmp_path / str(page))


def test_a_ban_of_one_stops_all(market: SyntheticMarket, tmp_path: Path) -> None:
    coins = [Wanted(s, MINUTE, START - 3 * PAGE * MINUTE_MS, START) for s in market.instruments]
    with Sandbox(market) as sandbox:
        sandbox.inject(Fault("http_403", KLINE, nth=3))
        with pytest.raises(BannedError):
            fetch_from(sandbox, tmp_path, *coins)
        assert len(sandbox.requests) <= 1 + 3 + 4  # those on their way, of ten


@pytest.mark.parametrize("kind", [k for k in ROW_FAULTS if k != "gap"])
def test_spoilt_rows_at_every_page_change_no_byte(
    kind: str, market: SyntheticMarket, tmp_path: Path
) -> None:
    three = Wanted("ETHUSDT", MINUTE, START - 3 * PAGE * MINUTE_MS, START)
    faults = tuple(Fault(kind, KLINE, nth=2 * page + 1) for page in range(3))
    with Sandbox(market) as sandbox:
        fetch_from(sandbox, tmp_path / "whole", three)
        sandbox.inject(*faults)
        (found,) = fetch_from(sandbox, tmp_path / "spoilt", three)
    assert not found.absent.spans
    assert not found.missing.spans
    assert contents(tmp_path / "spoilt") == contents(tmp_path / "whole")


def no_bad_row(
    folder: Path, lacking: set[int], faults: list[str | None], count: int = 1_300
) -> tuple[int, int]:
    """Fetch from an exchange that lacks candles and spoils answers; see that nothing bad came.

    Returns:
        Faults that were injected, and candles that are missing though the exchange has them.
    """
    rows = candles(count + 1)
    true = np.delete(rows, sorted(lacking), axis=0)
    end = int(rows[-1, 0])  # the last minute is open
    # The clock is well past the end, so that holes there are taken as final.
    exchange = SmallExchange(true, end + 30_000, faults)
    exchange.now_ms = end + SETTLE_MS + MINUTE_MS
    wanted = Wanted("ETHUSDT", MINUTE, int(rows[0, 0]), end)
    (found,) = fetch([wanted], Store(folder), exchange.rest())
    injected = len(faults) - len(exchange.faults)
    came = stored(folder, "ETHUSDT")
    by_time = {row[0]: row for row in true[true[:, 0] < end]}
    assert all(np.array_equal(by_time.get(row[0], ()), row) for row in came)
    assert (np.diff(came[:, 0]) > 0).all()
    told = found.absent.plus(found.missing)
    there = set(came[:, 0])
    for minute in rows[:-1, 0]:
        assert (minute in there) != any(start <= minute < stop for start, stop in told)
    before = contents(folder)
    exchange.faults = []
    (again,) = fetch([wanted], Store(folder), exchange.rest())
    assert again.missing.spans == ()
    if not found.missing.spans:
        assert contents(folder) == before
    questions = len(exchange.questions)
    after = contents(folder)
    fetch([wanted], Store(folder), exchange.rest())
    assert len(exchange.questions) == questions
    assert contents(folder) == after
    return injected, len(by_time) - len(stored(folder, "ETHUSDT"))


spoilt = st.lists(st.sampled_from([None, *ROW_FAULTS]), max_size=8)
holes = st.sets(st.integers(0, 1_299), max_size=5)


def examples(number: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """So many examples of what an exchange lacks and how its answers are spoilt."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        given_to = given(lacking=holes, faults=spoilt)(test)
        return settings(
            max_examples=number,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )(given_to)

    return decorate


COUNTED = {"examples": 0, "faults": 0, "lost": 0}


def one_example(
    tmp_path_factory: pytest.TempPathFactory, lacking: set[int], faults: list[str | None]
) -> None:
    injected, lost = no_bad_row(tmp_path_factory.mktemp("store"), lacking, faults)
    # Twice in a row, in answers that are sound else, that it lacks a candle: that is believed.
    assert lost <= max(0, faults.count("gap") - 1)
    COUNTED["examples"] += 1
    COUNTED["faults"] += injected
    COUNTED["lost"] += lost


@examples(15)
def test_no_bad_row_is_stored(
    tmp_path_factory: pytest.TempPathFactory, lacking: set[int], faults: list[str | None]
) -> None:
    one_example(tmp_path_factory, lacking, faults)


@pytest.mark.long
def test_no_bad_row_is_stored_in_many_examples(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    COUNTED.update(examples=0, faults=0, lost=0)

    @examples(500)
    def each(lacking: set[int], faults: list[str | None]) -> None:
        one_example(tmp_path_factory, lacking, faults)

    each()
    assert COUNTED["examples"] >= 500
    with capsys.disabled():
        print(
            f"\n{COUNTED['examples']} examples, {COUNTED['faults']} faults injected, "
            f"{COUNTED['lost']} lost, 0 duplicated, 0 bad rows stored"
        )


def test_what_the_exchange_lacks_is_told_and_not_asked_for_again(tmp_path: Path) -> None:
    no_bad_row(tmp_path, {100, 101, 102, 500}, [])
    first = int(candles(1)[0, 0])
    absent = Store(tmp_path).candles("ETHUSDT", MINUTE).absent()
    minutes = [((start - first) // MINUTE_MS, (end - first) // MINUTE_MS) for start, end in absent]
    assert minutes == [(100, 103), (500, 501)]


def test_a_candle_that_closed_just_now_may_still_come(tmp_path: Path) -> None:
    rows = candles(30)
    end = int(rows[-1, 0]) + MINUTE_MS
    exchange = SmallExchange(np.delete(rows, [5, 29], axis=0), end + 1_000)
    wanted = Wanted("ETHUSDT", MINUTE, int(rows[0, 0]), None)
    (found,) = fetch([wanted], Store(tmp_path), exchange.rest())
    assert found.absent.spans == ((int(rows[5, 0]), int(rows[6, 0])),)
    assert found.missing.spans == ((int(rows[29, 0]), end),)
    exchange.rows = np.delete(rows, [5], axis=0)
    (found,) = fetch([wanted], Store(tmp_path), exchange.rest())
    assert (found.added, found.missing.spans) == (1, ())


class Settling(SmallExchange):
    """A candle has its last trades only 0.4 s after it closed."""

    def get_kline(self, **asked: Any) -> dict[str, Any]:
        true = self.rows
        unsettled = (true[:, 0] <= self.now_ms - MINUTE_MS) & (
            true[:, 0] > self.now_ms - MINUTE_MS - 400
        )
        self.rows = true.copy()
        self.rows[unsettled, 5] -= 0.5
        answer = super().get_kline(**asked)
        self.rows = true
        return answer


def test_a_candle_is_stored_when_it_has_its_last_trades(tmp_path: Path) -> None:
    rows = candles(30)
    end = int(rows[9, 0])
    exchange = Settling(rows, end)
    wanted = Wanted("ETHUSDT", MINUTE, int(rows[0, 0]), None)
    for after_ms, known in ((0, 9), (100, 9), (999, 9), (1_000, 10), (60_100, 10), (61_500, 11)):
        exchange.now_ms = end + MINUTE_MS + after_ms
        (found,) = fetch([wanted], Store(tmp_path), exchange.rest())
        assert found.missing.spans == ()
        np.testing.assert_array_equal(stored(tmp_path, "ETHUSDT"), rows[:known])


def test_a_series_that_is_wanted_twice_is_asked_for_once(tmp_path: Path) -> None:
    """Such as a symbol that is its own reference, over a longer time."""
    rows = candles(3_001)
    exchange = SmallExchange(rows, int(rows[-1, 0]) + MINUTE_MS // 2)
    times = [int(rows[row, 0]) for row in (0, 1_000, 2_000, 3_000)]
    wanted = [
        Wanted("ETHUSDT", MINUTE, times[0], times[2]),
        Wanted("ETHUSDT", MINUTE, times[1], times[3]),
        Wanted("ETHUSDT", MINUTE, times[0], times[2]),
    ]
    planned: list[int] = []
    found = fetch(wanted, Store(tmp_path), exchange.rest(), planned=planned.append)
    assert planned == [3_000]
    assert len(exchange.questions) == 3
    assert [each.missing.spans for each in found] == [()] * 3
    np.testing.assert_array_equal(stored(tmp_path, "ETHUSDT"), rows[:3_000])


def test_a_page_of_nothing_but_nonsense_is_not_believed(tmp_path: Path) -> None:
    """Seconds for milliseconds, every time: nothing is stored, and nothing is called absent."""
    rows = candles(1_001)
    exchange = SmallExchange(rows, int(rows[-1, 0]) + 2 * SETTLE_MS, ["seconds"] * 50)
    wanted = Wanted("ETHUSDT", MINUTE, int(rows[0, 0]), int(rows[1_000, 0]))
    (found,) = fetch([wanted], Store(tmp_path), exchange.rest())
    assert (found.added, found.absent.spans) == (0, ())
    assert found.missing.total_ms == 1_000 * MINUTE_MS
    assert contents(tmp_path) == {}


def test_years_of_nothing_take_few_questions(tmp_path: Path) -> None:
    rows = candles(2_500)
    end = int(rows[-1, 0])
    exchange = SmallExchange(rows, end + 2 * SETTLE_MS)
    wanted = Wanted("ETHUSDT", MINUTE, int(rows[0, 0]) - 3 * 365 * 86_400_000, end)
    (found,) = fetch([wanted], Store(tmp_path), exchange.rest())
    assert found.added == 2_499
    assert len(exchange.questions) < 150  # pages of 1,000 minutes would be 1,577
    assert len(found.absent) == 1
    assert found.absent.spans[0] == (wanted.start_ms, int(rows[0, 0]))


def test_the_open_candle_is_never_stored_by_the_servers_clock(
    market: SyntheticMarket, tmp_path: Path
) -> None:
    frames = [Timeframe.parse(name) for name in ("1m", "5m", "1h", "4h", "1d")]
    week = Timeframe.parse("1w")
    with Sandbox(market) as sandbox:
        sandbox.advance(90_500)  # a minute and a half into Sunday
        since = START - 2 * 86_400_000
        wanted = [Wanted("ETHUSDT", frame, since, None) for frame in [*frames, week]]
        fetch_from(sandbox, tmp_path, *wanted)
    for frame in frames:
        last = stored(tmp_path, "ETHUSDT", frame.name)[-1, 0]
        assert last + frame.duration_ms <= START + 90_500 < last + 2 * frame.duration_ms
    assert len(stored(tmp_path, "ETHUSDT", "1w")) == 0  # that of Monday is still open


def test_a_longer_time_asks_for_both_ends_alone(market: SyntheticMarket, tmp_path: Path) -> None:
    hour = 60 * MINUTE_MS
    with Sandbox(market, start_ms=START + CLOCK_MS) as sandbox:
        fetch_from(sandbox, tmp_path, Wanted("ETHUSDT", MINUTE, START - 9 * hour, START - 3 * hour))
        before = len(sandbox.requests)
        fetch_from(sandbox, tmp_path, Wanted("ETHUSDT", MINUTE, START - 12 * hour, START))
        asked = [dict(request.query) for request in sandbox.requests[before + 1 :]]
    assert [(int(q["start"]), int(q["end"]) + 1) for q in asked] == [
        (START - 12 * hour, START - 9 * hour),
        (START - 3 * hour, START),
    ]


def test_a_symbol_that_does_not_exist_is_told(market: SyntheticMarket, tmp_path: Path) -> None:
    nope = Wanted("NOPEUSDT", MINUTE, START - 2 * MINUTE_MS, START)
    with Sandbox(market) as sandbox, pytest.raises(RefusedError, match="symbol invalid"):
        fetch_from(sandbox, tmp_path, nope)


def test_a_time_to_come_is_refused(market: SyntheticMarket, tmp_path: Path) -> None:
    with Sandbox(market) as sandbox, asking(sandbox) as rest:
        tomorrow = Wanted("ETHUSDT", Timeframe.parse("1m"), sandbox.clock.now_ms() + 86_400_000)
        with pytest.raises(ConfigError, match="a time that has come: there it is 2025-"):
            fetch([tomorrow], Store(tmp_path), lambda: rest)
    assert not list(tmp_path.iterdir())


def test_an_exchange_that_is_down_is_told_with_what_to_do(tmp_path: Path) -> None:
    class Down:
        def get_server_time(self) -> None:
            raise requests.ConnectionError("refused")

    clock = QuickTime()
    with pytest.raises(ExchangeError, match=r"in 8 attempts[\s\S]*goes on where it stopped"):
        fetch(
            [Wanted("ETHUSDT", MINUTE, START, START + MINUTE_MS)],
            Store(tmp_path),
            lambda: Rest(Down(), time=clock),
        )
    assert 16 < sum(clock.slept) < 64


CHILD = """
import sys
from mtf.fetch import main
folder, url, start, end = sys.argv[1:]
main("bybit", ["ETHUSDT"], since=start, until=end, store=folder, endpoint=url, per_second=100)
"""


def kill_and_resume(
    trial: int, history: SyntheticMarket, wanted: Wanted, whole: dict[str, bytes], folder: Path
) -> int:
    """Kill a download at a random point; candles that it left, which are a prefix."""
    draw = random.Random(trial)
    requests = draw.randrange(1, PAGES + 3)
    iso = np.array([wanted.start_ms, wanted.end_ms], "datetime64[ms]").astype(str)
    with Sandbox(history) as sandbox:
        command = [sys.executable, "-c", CHILD, str(folder), sandbox.url, *iso]
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while child.poll() is None:
            writing = trial % 2 and list(folder.glob("linear/.*.partial"))
            if writing or len(sandbox.requests) >= requests + 99 * (trial % 2):
                time.sleep(draw.uniform(0, 0.02 if not trial % 2 else 0.001))
                break
            time.sleep(0.0005)
        child.kill()
        child.wait()
        left = stored(folder, "ETHUSDT")
        first = wanted.start_ms + MINUTE_MS * np.arange(len(left))
        np.testing.assert_array_equal(left[:, 0], first)
        with asking(sandbox) as rest:
            fetch([wanted], Store(folder), lambda: rest)
    assert contents(folder) == whole
    return len(left)


@pytest.mark.slow
@pytest.mark.parametrize("trial", range(4))
def test_a_killed_download_leaves_a_prefix_and_goes_on_to_the_same_bytes(
    trial: int,
    history: SyntheticMarket,
    wanted: Wanted,
    whole: dict[str, bytes],
    tmp_path: Path,
) -> None:
    kill_and_resume(trial, history, wanted, whole, tmp_path)


@pytest.mark.long
def test_downloads_killed_at_fifty_points(
    history: SyntheticMarket,
    wanted: Wanted,
    whole: dict[str, bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    left = [
        kill_and_resume(trial, history, wanted, whole, tmp_path / str(trial)) for trial in range(50)
    ]
    with capsys.disabled():
        print(f"\n50 kills, which left {sorted(set(left))} candles; 0 lost, 0 duplicated")
