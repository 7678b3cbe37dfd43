"""A session: decisions and fills of events in order, with the batch path as the oracle."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from living import ALLOWED, NOT_ALLOWED, Events, closed, decided, live_run, measure, quick_model
from worlds import MINUTE, random_candles

from mtf.errors import DataError
from mtf.market.candles import Candles
from mtf.market.timeframe import Timeframe
from mtf.realtime.agreement import compare
from mtf.realtime.batch_answers import batch_predictions, decisions_of
from mtf.realtime.batch_backtest import session_backtest, session_bars, session_broker
from mtf.realtime.events import ClockMeasured, Closed, FeedFault, Key, NoCandle, StreamState
from mtf.realtime.journal import Journal, Lines, decision_of, plain, read_journal
from mtf.realtime.session import Session
from mtf.realtime.session_candles import candles_of, on_time
from mtf.realtime.terms import Terms
from mtf.run import Run

HISTORY, LIVE = 700, 90
FIRST = 28_000_020  # minutes since 1970, an hour's begin
START = FIRST * MINUTE
M1, H1 = Timeframe.parse("1m"), Timeframe.parse("1h")
TERMS = Terms("ETHUSDT", 2_000, False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return live_run(tmp_path_factory.mktemp("living"))


def market() -> dict[Key, Candles]:
    """Minutes of two symbols and hours of one, history and what comes."""
    first, slots = FIRST - HISTORY, HISTORY + LIVE
    return {
        ("ETHUSDT", M1): random_candles(slots, 1, first_slot=first),
        ("BTCUSDT", M1): random_candles(slots, 2, first_slot=first, symbol="BTCUSDT"),
        ("ETHUSDT", H1): random_candles(80, 3, "1h", first_slot=FIRST // 60 - 78),
    }


def events_of(candles: dict[Key, Candles]) -> list[Closed]:
    return [event for one in candles.values() for event in closed(one)]


def started(
    run: Run, events: list[Closed], journal: Journal | Lines | None = None, terms: Terms = TERMS
) -> tuple[Session, Events]:
    """A session that decides about ``START`` first."""
    session = Session(quick_model(run), terms, journal)
    source = Events(events)
    session.on(source.take(START - 30_000))
    session.start(START, START - 30_000)
    return session, source


def test_decisions_and_fills_are_those_of_the_backtest(run: Run) -> None:
    events = events_of(market())
    session, source = started(run, events)
    live = list(decided(session, source, START + 80 * MINUTE))
    assert session.paper is not None
    assert {one.weight for one in live} == {1.0, -1.0}
    told = candles_of(events, market())
    times = np.array([one.time_ms for one in live])
    said = batch_predictions(run.config, session.model.engine.model, on_time(told), times)
    bars = session_bars(run.config, told, START, session.paper.settled_ms, decision_delay_ms=2_000)
    outcome = session_backtest(run.config, said, bars, session_broker(run.config, 2_000))
    agreement = compare(
        run.config,
        live,
        decisions_of(run.config, said),
        session.paper.fills,
        outcome.fills,
        candles=told,
    )
    assert agreement.sentence.startswith("identical 81 of 81 decisions")
    assert agreement.identical
    assert len(outcome.fills) > 5
    assert session.paper.outcome is not None
    np.testing.assert_allclose(session.paper.outcome.equity, outcome.equity, rtol=1e-12)


def test_an_order_is_filled_at_the_first_open_after_the_delay(run: Run) -> None:
    """Decided 2 s after the close, so not at the open of the same minute but of the next one."""
    session, source = started(run, events_of(market()))
    live = list(decided(session, source, START + 10 * MINUTE))
    assert session.paper is not None
    first = next(one for one in live if one.weight != 0)
    fill = session.paper.fills.iloc[0]
    assert fill["time"].value // 1_000_000 == first.time_ms + MINUTE
    assert (
        fill["price"]
        == market()["ETHUSDT", M1].ohlcv[HISTORY + (first.time_ms - START) // MINUTE + 1, 0]
    )


@pytest.mark.parametrize("killed_after", [0, 1, 17])
def test_a_killed_session_goes_on_as_if_nothing_had_been(
    run: Run, tmp_path: Path, killed_after: int
) -> None:
    events = events_of(market())
    whole, source = started(run, events)
    expected = list(decided(whole, source, START + 30 * MINUTE))
    path = tmp_path / "journal.jsonl"
    with closing(Journal(path)) as journal:
        killed, source = started(run, events, journal)
        for _ in range(killed_after):
            killed.on(source.take(killed.due_ms))
            killed.decide()
    with path.open("ab") as file:
        file.write(b'{"kind": "decision", "time')  # torn by the kill
    with closing(Journal(path)) as journal:
        again = Session(quick_model(run), TERMS, journal)
        again.recall(read_journal(path))
        source, next_ms = Events(events), START + killed_after * MINUTE
        again.on(source.take(next_ms - 1_000))
        again.start(next_ms, next_ms - 1_000)
        rest = list(decided(again, source, START + 30 * MINUTE))
    assert [plain(vars(one)) for one in rest] == [
        plain(vars(one)) for one in expected[killed_after:]
    ]
    assert again.paper is not None
    assert whole.paper is not None
    assert again.paper.fills.equals(whole.paper.fills)
    assert again.paper.look() == whole.paper.look()
    lines = list(read_journal(path))
    fills = [line for line in lines if line["kind"] == "fill"]
    assert len(fills) == len(whole.paper.fills)  # each is written once
    assert again.num_decisions == 31
    written = [line for line in lines if line["kind"] == "decision"]
    assert [plain(vars(decision_of(line))) for line in written] == [
        plain(vars(one)) for one in expected
    ]


def test_minutes_that_a_process_was_away_for_are_traded_on(run: Run) -> None:
    """A position is held while nobody decides: it is marked on every candle of that time."""
    events = events_of(market())
    lines = Lines()
    first, source = started(run, events, lines)
    made = list(decided(first, source, START + 5 * MINUTE))
    again = Session(quick_model(run), TERMS, lines)
    again.recall(list(lines.written))
    source = Events(events)
    again.on(source.take(START + 30 * MINUTE))
    again.start(START + 31 * MINUTE, START + 30 * MINUTE)
    made += list(decided(again, source, START + 33 * MINUTE))
    assert again.paper is not None
    assert again.paper.outcome is not None
    told = candles_of(events, market())
    bars = session_bars(run.config, told, START, START + 33 * MINUTE, decision_delay_ms=2_000)
    outcome = session_backtest(run.config, made, bars, session_broker(run.config, 2_000))
    assert len(again.paper.outcome.equity) == 33
    np.testing.assert_allclose(again.paper.outcome.equity, outcome.equity, rtol=1e-12)


class TestWhenSomethingIsMissing:
    """BTC is silent for 20 minutes in the middle of a session."""

    def silent(self) -> list[Closed]:
        gone = range(START + 10 * MINUTE, START + 30 * MINUTE)
        return [
            event
            for event in events_of(market())
            if event.symbol != "BTCUSDT" or int(event.open_ms[0]) not in gone
        ]

    def whys(self, run: Run) -> tuple[list[str], list[float], Lines]:
        lines = Lines()
        session, source = started(run, self.silent(), lines)
        live = list(decided(session, source, START + 40 * MINUTE))
        return [one.why for one in live], [one.weight for one in live], lines

    def test_without_a_table_nothing_is_held(self, run: Run) -> None:
        whys, weights, _ = self.whys(run)
        assert "nothing was measured" in whys[20]
        assert set(weights[11:31]) == {0.0}
        assert set(whys[:11]) == {""}
        assert whys[31:] == [""] * 10
        assert any(weights[:11])
        assert any(weights[31:])

    def test_what_is_worth_something_decides_on(self, tmp_path: Path) -> None:
        run = live_run(tmp_path)
        everything = tuple(spec.name for spec in run.config.stream_specs("ETHUSDT"))
        measure(run, {everything: ALLOWED, ("1m", "5m", "1h"): ALLOWED})
        whys, weights, lines = self.whys(run)
        assert "btc is absent" in whys[25]
        assert "decisions go on" in whys[25]
        assert any(weights[11:31])
        told = [line for line in lines.written if line["kind"] == "halt"]
        assert told[0]["time_ms"] == START + 11 * MINUTE  # the candle of 10 … 11 did not come
        assert told[-1]["time_ms"] == START + 31 * MINUTE
        assert told[-1]["why"] == "everything is there again"

    def test_what_is_not_is_flat(self, tmp_path: Path) -> None:
        run = live_run(tmp_path)
        everything = tuple(spec.name for spec in run.config.stream_specs("ETHUSDT"))
        measure(run, {everything: ALLOWED, ("1m", "5m", "1h"): NOT_ALLOWED})
        whys, weights, _ = self.whys(run)
        assert "so no position is wanted" in whys[25]
        assert set(weights[11:31]) == {0.0}


def test_two_intervals_without_the_clocks_candles_end_every_position(run: Run) -> None:
    """L4: nothing is held while nothing comes, and it resumes when all of it is there."""
    late = []
    for event in events_of(market()):
        opened = int(event.open_ms[0])
        gone = event.timeframe == M1 and START + 10 * MINUTE <= opened < START + 20 * MINUTE
        arrived = START + 20 * MINUTE + 30_000 if gone else event.arrived_ms
        late.append(Closed(*event.key, event.open_ms, event.ohlcv, arrived, event.source))
    session, source = started(run, late)
    live = list(decided(session, source, START + 40 * MINUTE))
    for one in live[12:21]:
        assert one.weight == 0.0
        assert "intervals" in one.why or "late" in one.why
    assert all(one.why == "" for one in live[21:])
    assert any(one.weight for one in live[21:])


def test_no_order_is_sent_while_the_clocks_disagree(run: Run) -> None:
    """L3: what is held stays, nothing is opened or closed, and the halt has a name."""
    events = events_of(market())
    off, on = ClockMeasured(START + 10 * MINUTE, -12_000), ClockMeasured(START + 20 * MINUTE, 40)
    session, source = started(run, events)
    source = Events([*source.events, off, on])
    live = list(decided(session, source, START + 30 * MINUTE))
    assert all(np.isnan(one.weight) for one in live[10:20])
    assert "12,000 ms ahead" in live[15].why
    assert not any(np.isnan(one.weight) for one in [*live[:10], *live[20:]])
    assert session.paper is not None
    # The order of the minute before the halt is filled in its first minute; then none is.
    minutes = {time.value // 1_000_000 // MINUTE - FIRST for time in session.paper.fills["time"]}
    assert not minutes & set(range(11, 21))


def test_clocks_that_disagree_are_told_though_nothing_is_decided(run: Run) -> None:
    """A stand-in that began again: until its time is as late as ours was, there is no decision."""
    session, _ = started(run, events_of(market()))
    for offset_ms in (0, -7_200_000, -7_200_003):
        session.on([ClockMeasured(START, offset_ms)])
    assert session.faults == {"clock": 1}
    assert session.view(START).halted.startswith("this machine's clock is 7,200,003 ms ahead of")
    session.on([ClockMeasured(START, 0)])
    assert session.view(START).halted == ""


def test_signals_only_has_no_account(run: Run) -> None:
    lines = Lines()
    terms = Terms("ETHUSDT", 2_000, True)
    session, source = started(run, events_of(market()), lines, terms)
    live = list(decided(session, source, START + 5 * MINUTE))
    session.end(START + 6 * MINUTE)
    assert len(live) == 6
    assert session.paper is None
    assert session.view(START).account is None
    assert {line["kind"] for line in lines.written} <= {"begin", "decision", "end", "state"}


def test_missed_decisions_are_said_and_not_made_up(run: Run) -> None:
    lines = Lines()
    session, source = started(run, events_of(market()), lines)
    list(decided(session, source, START + 2 * MINUTE))
    session.skip(START + 7 * MINUTE)
    assert session.next_ms == START + 8 * MINUTE
    missed = [line for line in lines.written if line["kind"] == "missed"]
    assert missed == [{"kind": "missed", "first_ms": START + 3 * MINUTE, "count": 5}]
    assert session.view(START).num_missed == 5
    again = Session(session.model, session.terms)
    again.recall(lines.written)
    assert again.num_missed == 5
    rest = list(decided(session, source, START + 10 * MINUTE))
    assert [one.time_ms for one in rest] == [START + m * MINUTE for m in (8, 9, 10)]
    session.skip(START + 3 * MINUTE)  # long made: nothing to miss
    assert session.next_ms == START + 11 * MINUTE


def test_a_view_has_all_that_a_screen_shows(run: Run) -> None:
    session, source = started(run, events_of(market()))
    session.on([FeedFault(START, "bad candle", "high below low"), FeedFault(START, "REST", "500")])
    session.on([StreamState("BTCUSDT", M1, "stale", START, "nothing closed")])
    list(decided(session, source, START + 12 * MINUTE))
    view = session.view(START + 12 * MINUTE + 2_000, 60.0)
    assert view.faults == {"bad candle": 1, "REST": 1}
    names = {look.name: look for look in view.streams}
    assert list(names) == ["1m", "5m", "btc", "1h"]
    assert names["btc"].state == "stale"
    assert names["5m"].of == "5m of 1m"
    assert names["1m"].closed_ms == START + 12 * MINUTE
    assert names["1m"].candles == 13
    assert view.num_decisions == 13
    assert view.next_ms == START + 13 * MINUTE + 2_000
    assert view.account is not None
    assert view.account.num_fills > 0


def test_a_gap_that_is_certain_is_no_reason_to_wait(run: Run) -> None:
    """The exchange has no candle of a minute: the account goes on, its equity stays marked."""
    gap = START + 5 * MINUTE
    events = [event for event in events_of(market()) if int(event.open_ms[0]) != gap]
    session, source = started(run, events)
    source = Events([*source.events, NoCandle("ETHUSDT", M1, gap, gap + MINUTE, gap + 70_000)])
    list(decided(session, source, START + 20 * MINUTE))
    assert session.paper is not None
    assert session.paper.settled_ms == START + 20 * MINUTE
    assert session.paper.outcome is not None
    assert len(session.paper.outcome.equity) == 20


def test_another_model_that_goes_on_is_told_once(run: Run) -> None:
    """The run was trained on: its weights decide from now on, about the position that there is."""

    def going_on(files: dict[str, str], lines: Lines, minute: int) -> Session:
        session = Session(replace(quick_model(run), files=files), TERMS, lines)
        session.recall(list(lines.written))
        source, at_ms = Events(events_of(market())), START + minute * MINUTE - 30_000
        session.on(source.take(at_ms))
        session.start(START + minute * MINUTE, at_ms)
        list(decided(session, source, START + (minute + 4) * MINUTE))
        return session

    lines, old, new = Lines(), {"weights": "best-1"}, {"weights": "best-9", "table": "none"}
    assert not going_on(old, lines, 0).faults
    again = going_on(new, lines, 5)
    assert again.faults == {"another model": 1}
    (fault,) = again.last_faults
    assert (fault.at_ms, fault.words) == (
        START + 4 * MINUTE,
        "weights best-9 for best-1; the position is kept",
    )
    assert not going_on(new, lines, 10).faults
    told = [line["what"] for line in lines.written if line["kind"] == "fault"]
    assert told == ["another model"]
    assert [line["last_ms"] for line in lines.written if line["kind"] == "resume"] == [
        START + 4 * MINUTE,
        START + 9 * MINUTE,
    ]


def test_a_journal_of_another_model_is_refused(run: Run, tmp_path: Path) -> None:
    lines = Lines()
    session, source = started(run, events_of(market()), lines)
    list(decided(session, source, START))
    other = json.loads(json.dumps(lines.written))
    for line in other:
        line.get("said", {}).pop("action.prob_buy", None)
    again = Session(quick_model(run), TERMS)
    again.recall(other)
    again.on(Events(events_of(market())).take(START + 30_000))
    again.start(START + MINUTE, START + 30_000)
    with pytest.raises(DataError, match="found a decision with the columns"):
        again.decide()
