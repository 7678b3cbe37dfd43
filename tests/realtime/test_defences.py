"""Defences matter: each is taken out of a copy of the project, and a test of it turns red."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = (".*", "build", "runs", "dist", "*.egg-info", "__pycache__", "docs")


class Defence(NamedTuple):
    """One of them, and how it is taken out.

    Attributes:
        what: it does.
        file: in ``mtf``.
        text: that is there exactly once.
        without: what is there instead.
        tests: files beside this one, of which one turns red.
    """

    what: str
    file: str
    text: str
    without: str
    tests: tuple[str, ...]


def of(what: str, file: str, text: str, without: str, *tests: str) -> Defence:
    return Defence(what, file if "/" in file else f"realtime/{file}", text, without, tests)


DEFENCES = [
    of(
        "backfill: what is missing is asked for",
        "in_order.py",
        'return [Ask("candles", self.symbol, self.timeframe, *span, why) for span in joined]',
        "return []",
        *("test_in_order", "test_intake"),
    ),
    of(
        "backfill: what closed without a connection is asked for at once",
        "in_order.py",
        "self._fill_to_ms = self._floor(at_ms)\n",
        "pass\n",
        "test_in_order",
    ),
    of(
        "backfill: seconds are asked for",
        "live_trades.py",
        'return [Ask("trades", self.symbol, None, opened, opened, "trades before the connection")]',
        "return []",
        "test_live_trades",
    ),
    of(
        "backfill: after an outage at once",
        "backfill.py",
        "            self._asked = []\n            self._failures.clear()\n",
        "",
        "test_backfill",
    ),
    of(
        "backfill: the candle that is open is never asked for",
        "backfill.py",
        "end_ms=min(ask.end_ms, frame.open_time(frame.slot(now)))",
        "end_ms=ask.end_ms",
        "test_backfill",
    ),
    of(
        "staleness: a connection that tells nothing is given up",
        "supervisor.py",
        "if silence.seconds(now, self._heard) > self._silence_s:",
        "if False:",
        "test_supervisor",
    ),
    of(
        "staleness: a process that was stopped takes that for no silence",
        "supervisor.py",
        "min(now_s - self._looked_s, LONGEST_LOOK_S)",
        "now_s - self._looked_s",
        "test_supervisor",
    ),
    of(
        "staleness: a key that tells nothing is stale",
        "in_order.py",
        "return now_ms - self.next_ms >= 2 * self.timeframe.duration_ms",
        "return False",
        "test_in_order",
    ),
    of(
        "staleness: seconds that are not told are stale",
        "live_trades.py",
        "return now_ms - max(self._heard_ms, self.next_ms) >= limit",
        "return False",
        "test_live_trades",
    ),
    of(
        "staleness: two intervals without a close end a position",
        "gate.py",
        "if since_last_close_ms >= SILENT_INTERVALS * timeframe.duration_ms:",
        "if False:",
        "test_gate",
    ),
    of(
        "staleness: trades that fall silent while candles say otherwise",
        "silent_trades.py",
        "for at in both if self._traded[at] > 0]",
        "for at in both if False]",
        "test_silent_trades",
    ),
    of(
        "finiteness: of a message of the stream",
        "frames.py",
        "    if faults:\n",
        "    if False:\n",
        *("test_in_order", "test_intake"),
    ),
    of(
        "finiteness: of an answer",
        "kline.py",
        "faulty = any_of(find_faults(times, values, timeframe).values())",
        "faulty = None",
        *("test_in_order", "test_intake"),
    ),
    of(
        "finiteness: of trades",
        "frames.py",
        "sound: np.ndarray = trades.sound & in_time",
        "sound: np.ndarray = in_time",
        "test_live_trades",
    ),
    of(
        "finiteness: of funding rates",
        "frames.py",
        "if any(not isfinite(rate) or abs(rate) > MOST_RATE for rate in rates.values()):",
        "if False:",
        *("test_intake", "test_funding_due"),
    ),
    of(
        "the open candle is none",
        "frames.py",
        'if row["confirm"] is not False:',
        "if True:",
        *("test_in_order", "test_intake"),
    ),
    of(
        "a candle of the future is none",
        "frames.py",
        "if close_ms > at_ms + CLOCK_MS:",
        "if False:",
        "test_in_order",
    ),
    of(
        "ordering: a later candle waits for the one before",
        "in_order.py",
        "            self._held[open_ms] = candle, source\n",
        "            self._held[open_ms] = candle, source\n"
        "            self.next_ms = min(self._held)\n",
        "test_in_order",
    ),
    of(
        "dedupe: each candle once",
        "in_order.py",
        "            yield from self._compare(open_ms, candle, at_ms)\n            return\n",
        "            self.next_ms = open_ms\n",
        "test_in_order",
    ),
    of(
        "dedupe: each trade once",
        "market/trade_candles.py",
        "return np.asarray(every.duplicated(), np.bool_)[len(known) :]",
        "return np.zeros(len(trades), np.bool_)",
        "test_live_trades",
    ),
    of(
        "redirects of REST are not followed",
        "guarded_session.py",
        'kwargs["allow_redirects"] = False',
        'kwargs["allow_redirects"] = True',
        "test_bybit_client",
    ),
    of(
        "redirects of the stream are not followed",
        "stream_socket.py",
        '"redirect_limit": 0',
        '"redirect_limit": 5',
        "test_bybit_stream",
    ),
    of(
        "allow-list: hosts",
        "hosts.py",
        "official = host in _HOSTS[use] and scheme == secure and port in (None, 443)",
        "official = scheme == secure",
        "test_bybit_client",
    ),
    of(
        "allow-list: TLS",
        "hosts.py",
        "official = host in _HOSTS[use] and scheme == secure and port in (None, 443)",
        "official = host in _HOSTS[use]",
        "test_bybit_client",
    ),
    of(
        "allow-list: looked at before each request",
        "guarded_session.py",
        'check_url(request.url or "", "rest")',
        "pass",
        "test_rest",
    ),
    of(
        "a value that would be another parameter",
        "bybit_client.py",
        "if not PLAIN_VALUE.fullmatch(str(value)):",
        "if False:",
        "test_bybit_client",
    ),
    of(
        "atomic write",
        "stored_files.py",
        "replace_synced(path, data.getvalue())",
        "path.write_bytes(data.getvalue())",
        "test_download_defences",
    ),
    of(
        "a candle is stored when it has its last trades",
        "download.py",
        "one.timeframe.slot(now - CLOCK_MS)",
        "one.timeframe.slot(now)",
        "test_download",
    ),
    of(
        "clocks that disagree: no order",
        "gate.py",
        "if -MOST_AHEAD_MS <= offset_ms <= MOST_BEHIND_MS:",
        "if True:",
        "test_gate",
    ),
    of(
        "a measurement far from all before needs a second one",
        "live_clock.py",
        "            self._doubted_ms = found_ms\n            return False\n",
        "            self._doubted_ms = found_ms\n",
        "test_live_clock",
    ),
    of(
        "a clock that jumped ahead closes no candle at once",
        "live_clock.py",
        "least_ms = min((anchor for _, anchor in self._anchors), default=self._anchor_ms)",
        "least_ms = self._anchor_ms",
        "test_live_clock",
    ),
    of(
        "this machine's clock that was set is noticed",
        "live_clock.py",
        "return abs(moved_ms) > AWAY_MS",
        "return False",
        "test_live_clock",
    ),
    of(
        "a stand-in whose time runs at another speed is refused",
        "live_clock.py",
        "if _off(second, third) == off:",
        "if False:",
        "test_live_clock",
    ),
    of(
        "a window of seconds that is mostly empty does not count as whole",
        "gate.py",
        "if 2 * usable < spec.lookback:",
        "if False:",
        "test_thin_streams",
    ),
    of(
        "a second closes by what the exchange sent",
        "live_trades.py",
        "return self._close(max(later, self._heard_ms - self.quiet_ms), at_ms)",
        "return self._close(max(later, at_ms - self.quiet_ms), at_ms)",
        "test_live_trades",
    ),
    of(
        "what was sent counts, not when it came",
        "intake.py",
        "min(frame.sent_ms, message.at_ms)",
        "message.at_ms",
        "test_live_trades",
    ),
    of(
        "no attempt outlasts its time",
        "deadline.py",
        "                    end()\n",
        "                    pass\n",
        *("test_rest", "test_bybit_stream"),
    ),
    of(
        "whatever REST answers has a class",
        "rest_errors.py",
        "if type(code) is not int:",
        "if False:",
        "test_rest",
    ),
    of(
        "after a 403 nothing is asked",
        "rest.py",
        "raise self._heeded(failed(_named(method, parameters), error)) from None",
        "raise failed(_named(method, parameters), error) from None",
        "test_rest",
    ),
    of(
        "our own rate limit",
        "rest.py",
        "self._pace.wait()",
        "pass",
        "test_rest",
    ),
    of(
        "a second between two connects",
        "supervisor.py",
        "wait = max(self._backoff.wait_s(ended - began), began + EVERY_S - ended)",
        "wait = self._backoff.wait_s(ended - began)",
        "test_supervisor",
    ),
    of(
        "this machine is reached past any proxy: the stream",
        "stream_socket.py",
        "if not is_loopback(url):",
        "if True:",
        "test_bybit_stream",
    ),
    of(
        "this machine is reached past any proxy: REST",
        "bybit_client.py",
        "self.client.trust_env = not is_loopback(endpoint)",
        "self.client.trust_env = True",
        "test_bybit_client",
    ),
    of(
        "a table of other weights opens no gate",
        "degraded_table.py",
        'if table.weights in ("", weights):',
        "if True:",
        "test_degraded_table",
    ),
    of(
        "a payment that does not come holds nothing up for long",
        "funding_due.py",
        "if at_ms < due_ms + PATIENCE_MS:",
        "if True:",
        "test_funding_due",
    ),
]


def source(root: Path, defence: Defence) -> Path:
    return root / "mtf" / defence.file


def test_each_is_there_to_be_taken_out() -> None:
    for each in DEFENCES:
        assert source(ROOT, each).read_text().count(each.text) == 1, each.what


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, to be spoilt; its tests are green as it is."""
    folder = tmp_path_factory.mktemp("copies") / "mtf"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
    files = sorted({name for defence in DEFENCES for name in defence.tests})
    code, text = verdict(folder, files)
    assert code == 0, text
    return folder


def verdict(folder: Path, files: Sequence[str]) -> tuple[int, str]:
    """What pytest says of the quick tests of these files, up to the first that fails."""
    paths = [f"tests/realtime/{name}.py" for name in files]
    options = ["-q", "-x", "-p", "no:cacheprovider", "-m", "not slow and not long"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *paths],
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.parametrize("defence", DEFENCES, ids=[each.what for each in DEFENCES])
def test_without_it_a_test_turns_red(defence: Defence, copy: Path) -> None:
    file = source(copy, defence)
    whole = file.read_text()
    file.write_text(whole.replace(defence.text, defence.without))
    try:
        code, text = verdict(copy, defence.tests)
    finally:
        file.write_text(whole)
    assert code == 1, text
    (first, *_) = re.findall(r"^FAILED (\S+)", text, re.MULTILINE)
    print(f"\n{defence.what}: {first}")
