"""The screen of a live session at two sizes, its lines for a log, its figures for TensorBoard."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.live import Live

from mtf.realtime.decision import Decision
from mtf.realtime.events import FeedFault
from mtf.realtime.live_scalars import live_scalars
from mtf.realtime.screen import plain_line, screen, span
from mtf.realtime.view import AccountLook, StreamLook, View
from mtf.report.tensorboard import TensorBoard

NOW = 1_748_779_387_000  # 2025-06-01 12:03:07
MINUTE = 60_000
AT = NOW - 7_000
WHY = "btc is absent: without it the action is worth 0.031 nats [0.012, 0.049], so decisions go on"


def stream(name: str, of: str, **others: Any) -> StreamLook:
    """One that lives since an hour."""
    known: dict[str, Any] = {
        "state": "live",
        "since_ms": NOW - 60 * MINUTE,
        "why": "",
        "closed_ms": AT,
        "candles": 63,
        "known": "present",
    }
    return StreamLook(name, of, **{**known, **others})


def decision(minutes_ago: int = 0, **others: Any) -> Decision:
    """One that went well."""
    known: dict[str, Any] = {
        "said": {"action.prob_buy": 0.5125, "action.prob_sell": 0.2215, "action.prob_hold": 0.266},
        "wanted": 1.0,
        "weight": 1.0,
        "confidence": math.nan,
        "stop_loss": math.nan,
        "take_profit": math.nan,
        "streams": {"1m": "present", "btc": "present"},
    }
    return Decision(time_ms=AT - minutes_ago * MINUTE, **{**known, **others})


def account(**others: Any) -> AccountLook:
    """Long, with some profit."""
    known: dict[str, Any] = {
        "equity": 10_123.456,
        "capital": 10_000.0,
        "position": 3.9801,
        "entry_price": 2_512.3,
        "mark": 2_520.1,
        "unrealised": 31.04,
        "costs": 12.34,
        "num_fills": 14,
        "num_trades": 7,
        "last_fill": "buy 3.9801 at 2,512.30",
        "ordered": None,
    }
    return AccountLook(**{**known, **others})


def view(**others: Any) -> View:
    """Two streams of ETH and one of BTC, which has been silent for five minutes."""
    gone = {"btc": "absent", "1m": "present", "5m": "present"}
    known: dict[str, Any] = {
        "run": "eth_btc/2025-06-01T10-00-00Z",
        "symbol": "ETHUSDT",
        "signals_only": False,
        "account": account(),
        "now_ms": NOW,
        "speed": 60.0,
        "started_ms": NOW - 63 * MINUTE,
        "next_ms": AT + MINUTE,
        "offset_ms": -12,
        "streams": (
            stream("1m", "ETHUSDT 1m"),
            stream("5m", "1m", closed_ms=AT - 3 * MINUTE),
            stream(
                "btc",
                "BTCUSDT 1m",
                state="stale",
                since_ms=NOW - 5 * MINUTE,
                why="nothing closed for 5 intervals",
                closed_ms=AT - 5 * MINUTE,
                known="absent",
            ),
        ),
        "decisions": (
            *(decision(ago) for ago in range(30, 2, -1)),
            decision(2, weight=0.0, allowed=False, streams=gone, why=WHY),
            decision(1, wanted=math.nan, weight=math.nan),
            decision(0, wanted=-0.5, weight=-0.5, streams=gone, why=WHY),
        ),
        "num_decisions": 63,
        "num_missed": 0,
        "faults": {"bad candle": 1, "lost connection": 3},
        "last_faults": (
            FeedFault(NOW - 86_400_000, "bad candle", "ETHUSDT 1m 12:02: high < low"),
            FeedFault(NOW - 5 * MINUTE, "lost connection", "closed by the server, code 1006"),
        ),
        "halted": "",
        "degraded": WHY,
    }
    return View(**{**known, **others})


def shown(what: View, width: int = 80, height: int = 24) -> list[str]:
    """The rows of the screen."""
    console = Console(width=width, height=height, file=io.StringIO(), record=True)
    console.print(screen(what))
    return console.export_text().splitlines()


def styled(what: View) -> str:
    """The screen with its colours."""
    console = Console(width=80, height=24, file=io.StringIO(), force_terminal=True)
    console.print(screen(what))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


# --- the screen ------------------------------------------------------------------------------


def test_all_of_it_is_seen_at_80_by_24() -> None:
    rows = [row.rstrip() for row in shown(view())]
    assert len(rows) == 24
    assert rows[0].split() == [
        *("eth_btc/2025-06-01T10-00-00Z", "ETHUSDT", "2025-06-01", "12:03:07", "UTC", "60×"),
        "paper",
    ]
    assert rows[1].startswith("up 1h03m  63 decisions  exchange's clock -12 ms")
    assert rows[1].endswith("next decision in 53s")
    assert " ".join(rows[2:4]) == f"DEGRADED: {WHY}"
    assert rows[6].split() == ["1m", "ETHUSDT", "1m", "live", "1h00m", "7s", "present"]
    assert rows[7].split() == ["5m", "1m", "live", "1h00m", "3m07s", "present"]
    assert rows[8].startswith("btc     BTCUSDT 1m  stale 5m00s  5m07s  absent      nothing closed")
    assert rows[10].split("  ")[0] == "equity"
    assert "10,123.46 +123.46 +1.23%" in rows[10]
    assert rows[10].endswith("lost connection 3, bad candle 1")
    assert rows[11].startswith("position  +3.9801 at 2,512.30 ")
    assert "11:58:07 lost connection: closed" in rows[11]  # the newest fault first
    assert "05-31 12:03 bad candle: ETHUSDT 1m" in rows[12]
    assert rows[14] == "last      buy 3.9801 at 2,512.30"
    assert rows[16].split() == ["at", "buy", "sell", "hold", "weight", "why"]
    assert rows[17].split()[:6] == ["12:03", "0.512", "0.222", "0.266", "-0.50", "btc"]
    assert rows[18].split() == ["12:02", "0.512", "0.222", "0.266", "keep"]
    assert rows[19].split()[4] == "+1.00→flat"
    assert rows[23].split()[0] == "11:57"


def test_a_wide_and_high_terminal_shows_whole_sentences_and_more_decisions() -> None:
    rows = [row.rstrip() for row in shown(view(), 140, 40)]
    assert len(rows) == 40
    assert rows[2] == f"DEGRADED: {WHY}"
    assert rows[4].split() == ["stream", "of", "state", "age", "decided", "on", "candles", "why"]
    assert rows[7].endswith("absent           63  nothing closed for 5 intervals")
    assert not any("…" in row for row in rows)
    assert sum(row.endswith(WHY) for row in rows[16:]) == 2
    assert len([row for row in rows[16:] if row.split()[4:5] == ["+1.00"]]) == 21


@pytest.mark.parametrize(("width", "height"), [(80, 24), (140, 40), (80, 12), (40, 24), (250, 70)])
def test_nothing_is_wider_or_higher_than_the_terminal(width: int, height: int) -> None:
    file = io.StringIO()
    console = Console(width=width, height=height, file=file, force_terminal=True)
    what = view(halted="the clock is wrong " * 60, degraded="btc is absent " * 60)
    options = console.options.update(height=height)
    lines = console.render_lines(screen(what), options, pad=False)
    assert all(sum(segment.cell_length for segment in line) <= width for line in lines)
    with Live(screen(what), console=console, screen=True, auto_refresh=False):
        pass
    assert file.getvalue().count("\n") < height


def test_what_is_halted_stands_first_and_in_red() -> None:
    text = styled(view(halted="nothing closed"))
    assert text.index("HALTED: nothing closed") < text.index("DEGRADED: ")
    assert "\x1b[1;37;41mHALTED" in text  # bold white on red
    assert "\x1b[1;33mDEGRADED" in text  # bold yellow
    calm = styled(view(halted="", degraded=""))
    assert "HALTED" not in calm
    assert "DEGRADED" not in calm


@pytest.mark.parametrize(
    ("state", "colour"),
    [
        *(("live", "32"), ("filling", "33"), ("starting", "33")),
        *(("stale", "1;31"), ("frozen", "1;31"), ("lost", "1;31")),
    ],
)
def test_a_state_has_its_colour(state: str, colour: str) -> None:
    what = view(streams=(stream("1m", "ETHUSDT 1m", state=state),))
    assert f"\x1b[{colour}m{state} 1h00m\x1b[0m" in styled(what)


def test_where_streams_do_not_fit_those_in_trouble_are_shown() -> None:
    streams = [stream(f"s{index}", "ETHUSDT 1m") for index in range(30)]
    streams[17] = stream("s17", "ETHUSDT 1m", state="lost", since_ms=NOW)
    streams[29] = stream("s29", "ETHUSDT 1m", known="late by 2")
    rows = shown(view(streams=tuple(streams), degraded=""))
    assert len(rows) == 24
    assert "streams, 11 of 30" in rows[2]
    names = [row.split()[0] for row in rows[4:15]]
    assert names == [*(f"s{index}" for index in range(9)), "s17", "s29"]
    assert "decisions" in rows[21]


def test_without_a_broker_it_says_so() -> None:
    nothing = view(account=None, faults={}, last_faults=(), decisions=(), degraded="")
    rows = shown(replace(nothing, signals_only=True))
    assert rows[0].rstrip().endswith("signals only")
    text = "\n".join(rows)
    assert "none: signals only" in text
    assert "equity" not in text
    assert "none so far" in rows[-1]


WAITING: dict[str, Any] = {
    "started_ms": None,
    "next_ms": None,
    "account": None,
    "decisions": (),
    "num_decisions": 0,
    "degraded": "",
    "streams": (
        stream("1m", "ETHUSDT 1m", state="filling", since_ms=NOW - 9_000, closed_ms=None, known=""),
        stream("btc", "BTCUSDT 1m", state="starting", since_ms=None, closed_ms=None, known=""),
    ),
}


def test_missed_decisions_are_counted_beside_those_that_were_made() -> None:
    assert shown(view(num_missed=43))[1].startswith("up 1h03m  63 decisions, 43 missed  exchange")


def test_before_the_first_decision_nothing_is_told_of_times_that_are_not_known() -> None:
    rows = [row.rstrip() for row in shown(view(**WAITING))]
    assert rows[0].endswith("60×  paper")
    assert rows[1].startswith("0 decisions  exchange's clock -12 ms")
    assert rows[1].endswith("waits for its history")
    assert rows[4].split() == ["1m", "ETHUSDT", "1m", "filling", "9s", "none"]
    assert rows[5].split() == ["btc", "BTCUSDT", "1m", "starting", "none"]
    text = "\n".join(rows)
    assert "paper account" in text
    assert "is opened at the first decision" in text
    assert "signals only" not in text
    assert "up " not in text


def test_a_session_that_goes_on_shows_its_account_while_it_waits() -> None:
    rows = shown(view(**{**WAITING, "account": account(), "num_decisions": 7}))
    assert rows[1].startswith("7 decisions  ")
    assert any("equity    10,123.46" in row for row in rows)


def test_nothing_held_nothing_known() -> None:
    flat = account(position=0.0, entry_price=math.nan, mark=math.nan, last_fill="", ordered=-0.5)
    what = view(account=flat, streams=(stream("1m", "ETHUSDT 1m", closed_ms=None, known=""),))
    text = "\n".join(shown(what))
    assert "position  none, ordered -0.50" in text
    assert "mark      -, unrealised" in text
    assert "nan" not in text.lower()


def test_words_from_outside_are_words() -> None:
    evil = "[red]x[/red] \x1b[2J\r\nnew [/]"
    fault = FeedFault(NOW, evil, evil)
    what = view(
        run=evil,
        symbol=evil,
        halted=evil,
        degraded=evil,
        streams=(stream(evil, evil, why=evil, known=evil),),
        decisions=(decision(said={f"action.prob_{evil}": 0.5}, why=evil),),
        faults={evil: 1},
        last_faults=(fault,),
        account=account(last_fill=evil),
    )
    rows = shown(what, 200)
    assert "HALTED: [red]x[/red]  [2J  new [/]" in rows[2]
    assert len(rows) == 6 + 6 + 4
    assert not any("\x1b" in row for row in rows)
    assert "\x1b[2J" not in styled(what)
    assert "\x1b" not in plain_line(what.decisions[0], None)


def test_without_probabilities_the_first_columns_are_shown() -> None:
    said = {"price.prediction": 0.25, "volatility.sigma": 123_456.0, "trend.slope": math.nan}
    rows = shown(view(decisions=(decision(said=said),), degraded=""))
    assert rows[14].split()[:5] == ["at", "price.predi…", "volatility.…", "trend.slope", "weight"]
    assert rows[15].split()[:5] == ["12:03", "0.250", "1.235e+05", "-", "+1.00"]


def test_probabilities_of_several_heads_are_told_apart() -> None:
    said = {"action.prob_buy": 0.5, "price.prediction": 9.0, "trend.prob_up": 0.25}
    rows = shown(view(decisions=(decision(said=said),), degraded=""))
    assert any(row.split()[:5] == ["at", "action", "buy", "trend", "up"] for row in rows)


@pytest.mark.parametrize(
    ("duration_ms", "told"),
    [
        *((-5, "0s"), (999, "0s"), (59_999, "59s"), (60_000, "1m00s"), (3_599_000, "59m59s")),
        *((3_600_000, "1h00m"), (86_399_000, "23h59m"), (86_400_000, "1d00h")),
        (100 * 86_400_000 + 3 * 3_600_000, "100d03h"),
    ],
)
def test_times_are_two_units_at_most(duration_ms: int, told: str) -> None:
    assert span(duration_ms) == told


# --- lines for a log -------------------------------------------------------------------------


def test_a_decision_is_one_line() -> None:
    assert plain_line(decision(), account()) == (
        "2025-06-01 12:03 UTC  buy 0.512 sell 0.222 hold 0.266  weight +1.00  "
        "position +3.9801  equity 10,123.46"
    )
    assert plain_line(decision(weight=0.0), None).endswith("weight +1.00→flat")
    assert plain_line(decision(streams={"btc": "late by 2"}), None).endswith("  btc late by 2")
    assert plain_line(decision(why="x is absent"), None).endswith("  x is absent")


@given(st.text(max_size=300), st.dictionaries(st.text(max_size=40), st.floats(), max_size=9))
def test_whatever_is_said_it_stays_one_line(why: str, said: dict[str, float]) -> None:
    line = plain_line(decision(why=why, said=said), account())
    assert len(line) <= 160
    assert line.isprintable()


# --- TensorBoard -----------------------------------------------------------------------------


def test_every_figure_of_a_decision_has_a_path() -> None:
    what = view()
    assert live_scalars(what, what.decisions[-1]) == {
        "live/prob_buy": 0.5125,
        "live/prob_sell": 0.2215,
        "live/prob_hold": 0.266,
        "live/wanted": -0.5,
        "live/weight": -0.5,
        "live/degraded": 1.0,
        "live/allowed": 1.0,
        "live/late_ms": 7_000.0,
        "live/missed": 0.0,
        "live/offset_ms": -12.0,
        "live/equity": 10_123.456,
        "live/position": 3.9801,
        "live/unrealised": 31.04,
        "live/costs": 12.34,
        "live/fills": 14.0,
        "stream/1m/age_s": 7.0,
        "stream/1m/present": 1.0,
        "stream/5m/age_s": 187.0,
        "stream/5m/present": 1.0,
        "stream/btc/age_s": 307.0,
        "stream/btc/present": 0.0,
        "faults/bad_candle": 1.0,
        "faults/lost_connection": 3.0,
    }


def test_what_is_undefined_or_not_there_is_left_out() -> None:
    what = view(account=None, streams=(stream("1m", "ETHUSDT 1m", closed_ms=None),), faults={})
    scalars = live_scalars(what, decision(weight=math.nan, said={"price.prediction": math.inf}))
    assert "live/weight" not in scalars
    assert not {"live/equity", "live/price.prediction", "stream/1m/age_s"} & set(scalars)
    assert scalars["live/allowed"] == 1.0


def test_tensorboard_takes_every_name_as_it_is(
    tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    what = view(streams=(stream("BTC / 1m [x]", "y"),), faults={"REST: status 500": 2})
    scalars = live_scalars(what, decision(said={"action.prob_buy it": 0.5, "trend.prob_up": 0.5}))
    assert {"live/prob_action_buy_it", "faults/REST__status_500"} <= set(scalars)
    assert scalars["stream/BTC___1m__x_/age_s"] == 7.0
    board = TensorBoard(tmp_path)
    for name, value in scalars.items():
        board.scalar(name, value, 1)
    board.close()
    assert not caplog.records  # TensorBoard says so where it has to change a name
