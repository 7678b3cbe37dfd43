"""Recorded sessions in small: what the exchange told, and the processes that heard it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from messages import answer, connection, frame, sent
from worlds import MINUTE, random_candles

from mtf.market.candles import Candles
from mtf.market.timeframe import Timeframe
from mtf.realtime.deciding import FIRST, MISSED, NEVER_MS, History
from mtf.realtime.events import Message
from mtf.realtime.feed import Replay
from mtf.realtime.journal import Lines
from mtf.realtime.recording import Recorder
from mtf.realtime.replayed import notes_of
from mtf.realtime.session import Session
from mtf.realtime.session_folder import SessionFolder
from mtf.realtime.terms import Model, Terms

FIRST_SLOT = 28_000_020
START = FIRST_SLOT * MINUTE
M1, S1 = Timeframe.parse("1m"), Timeframe.parse("1s")
TERMS = Terms("ETHUSDT", 2_000, False)
HISTORY, LIVE = 700, 40
END = START + LIVE * MINUTE


def market() -> list[Candles]:
    first, slots = FIRST_SLOT - HISTORY, HISTORY + LIVE
    return [
        random_candles(slots, 1, first_slot=first),
        random_candles(slots, 2, first_slot=first, symbol="BTCUSDT"),
        random_candles(78, 3, "1h", first_slot=FIRST_SLOT // 60 - 78),
    ]


def rows_of(candles: Candles) -> list[list[str]]:
    opens = candles.open_time().tolist()
    return [
        [str(open_ms), *map(repr, values)]
        for open_ms, values in zip(opens, candles.ohlcv.tolist(), strict=True)
    ]


def messages(missed: int | None = None) -> Iterator[Message]:
    """History by REST, then every closed candle by the stream, BTC's of minute 7 late.

    Args:
        missed: minute of a decision that the session missed; None = none.
    """
    all_of = market()
    since = {(one.symbol, one.timeframe): int(one.open_time()[0]) for one in all_of}
    yield Message(START - 40_000, "session", History(since, {}).note())
    yield connection("open", START - 39_000)
    for one in all_of:
        yield from history(one, START - one.timeframe.duration_ms, START - 38_000)
    note = {"what": FIRST, "at_ms": START - 30_000, "first_ms": START}
    yield Message(START - 30_000, "session", note)
    live: list[Message] = []
    for one in all_of:
        for row in rows_of(one.slice(START - one.timeframe.duration_ms, NEVER_MS)):
            close = int(row[0]) + one.timeframe.duration_ms
            slow = one.symbol == "BTCUSDT" and close == START + 7 * MINUTE
            at = close + (3 * MINUTE if slow else 300)
            live.append(frame(row, at, symbol=one.symbol, timeframe=one.timeframe))
    if missed is not None:
        first = START + missed * MINUTE
        told = {"what": MISSED, "first_ms": first, "until_ms": first}
        live.append(Message(first + MINUTE + 5, "session", told))
    yield from sorted(live, key=lambda message: message.at_ms)


def later(whole: Sequence[Message], at_ms: int) -> Iterator[Message]:
    """What a process is told that starts later: all that has closed by REST, then the stream."""
    all_of = market()
    since = {(one.symbol, one.timeframe): int(one.open_time()[0]) for one in all_of}
    yield Message(at_ms - 3_000, "session", History(since, {}).note())
    yield connection("open", at_ms - 2_900)
    for one in all_of:
        end_ms = int(one.timeframe.open_time(one.timeframe.slot(at_ms)))
        yield from history(one, end_ms, at_ms - 2_000)
    first_ms = int(M1.open_time(M1.slot(at_ms) + 1))
    yield Message(at_ms, "session", {"what": FIRST, "at_ms": at_ms, "first_ms": first_ms})
    yield from (one for one in whole if one.kind == "frame" and one.at_ms > at_ms)


def history(candles: Candles, end_ms: int, at_ms: int) -> Iterator[Message]:
    """Answers of REST with the candles that open before a time."""
    rows = rows_of(candles.slice(0, end_ms))[::-1]
    for first in range(0, len(rows), 1_000):
        page = rows[first : first + 1_000]
        span = int(page[-1][0]), int(page[0][0]) + candles.timeframe.duration_ms
        yield answer(page, *span, at_ms, symbol=candles.symbol, timeframe=candles.timeframe)


def with_trades(whole: Sequence[Message], seconds_ms: int) -> list[Message]:
    """The same messages with a trade of ETH in every second from the connection on.

    Args:
        whole: what a process hears.
        seconds_ms: from when it wants 1s candles.
    """
    first, *rest = whole
    since = [*first.content["since"], ["ETHUSDT", "1s", seconds_ms]]
    first = Message(first.at_ms, first.kind, {**first.content, "since": since})
    trades = [
        trade(second) for second in range(rest[0].at_ms // 1_000 + 1, rest[-1].at_ms // 1_000)
    ]
    return [first, *sorted([*rest, *trades], key=lambda message: message.at_ms)]


def trade(second: int) -> Message:
    """The only trade of a second, which is the same whoever hears it."""
    price = 100 + 5 * np.sin(second / 40) + np.random.default_rng(second).normal(0, 0.02)
    told = {"T": second * 1_000 + 500, "s": "ETHUSDT", "S": "Buy", "v": "1.5", "p": f"{price:.3f}"}
    told |= {"L": "PlusTick", "i": f"id{second}", "BT": False, "seq": second}
    return sent("publicTrade.ETHUSDT", [told], second * 1_000 + 580)


def until(whole: Sequence[Message], at_ms: int) -> list[Message]:
    """What had arrived by a time."""
    return [one for one in whole if one.at_ms <= at_ms]


def process(
    folder: SessionFolder,
    model: Model,
    lines: Lines,
    written: Sequence[Message],
    *,
    terms: Terms = TERMS,
    killed: bool = False,
) -> Session:
    """A process goes on from a journal, records what it hears, and ends with it or is killed then.

    Without a note of a first decision it is stopped before it begins.
    """
    with Recorder(folder.next_recording) as recorder:
        for message in written:
            recorder.write(message)
    session = Session(model, terms, lines)
    session.recall([dict(line) for line in lines.written])
    notes = notes_of(written)
    assert notes is not None
    source = Replay(notes.history.intake(terms.funding_every_ms), written)
    if notes.at_ms is None:
        session.on(source.take(NEVER_MS))
    else:
        session.on(source.take(notes.at_ms))
        session.start(notes.first_ms, notes.at_ms)
        decide_all(session, source, notes.missed)
        if not killed:
            session.end(source.now_ms())
    folder.journal.write_text("".join(json.dumps(line) + "\n" for line in lines.written))
    return session


def decide_all(session: Session, source: Replay, missed: Mapping[int, int]) -> None:
    """Every decision up to the end of the messages."""
    while session.next_ms is not None:
        if session.next_ms in missed:
            session.skip(missed[session.next_ms])
        due = session.due_ms
        session.on(source.take(due))
        if not source.over(due):
            return
        session.decide()
