"""``mtf replay SESSION``: a recorded session once more, and whether live equals the backtest.

Two answers. As recorded: the same messages at the same times of arrival, through the same code,
must give the same decisions and fills; where they do not, something is wrong with mtf. Beside the
backtest: the same candles the way research takes them, in batches, each known at its close, nothing
halted; what differs there is what reality did to the session.
"""

from __future__ import annotations

if __name__ == "__main__":  # first, so that a line appears before torch is imported
    import sys

    from mtf.cli import main as cli

    cli(["replay", *sys.argv[1:]])

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from mtf.config.schema import Config
from mtf.errors import CheckpointError
from mtf.live import model_of
from mtf.market.candles import Candles
from mtf.predictions import Predictions
from mtf.realtime.agreement import SAID_TOLERANCE, Agreement, compare
from mtf.realtime.batch_answers import batch_predictions, decisions_of, history_needed
from mtf.realtime.batch_backtest import session_backtest, session_bars, session_broker
from mtf.realtime.decision import Decision
from mtf.realtime.events import Closed, Key
from mtf.realtime.journal import read_journal
from mtf.realtime.paper import Paper
from mtf.realtime.replayed import Part, Replayed, replay_session
from mtf.realtime.segments import Segment, begun_in, decisions_in, segments_of
from mtf.realtime.session_candles import as_decided, candles_of, on_time
from mtf.realtime.session_folder import TERMS, SessionFolder, read_session, sessions_of
from mtf.realtime.terms import Model, Terms
from mtf.report.terminal import Terminal
from mtf.run import Run, load
from mtf.trading.bars import Bars


@dataclass(frozen=True)
class Compared:
    """A session beside its replay, and beside a backtest.

    Attributes:
        recorded: with its replay.
        backtest: with a backtest of the same candles.
        profit: of the paper account, and of a backtest of the decisions that were made, on the
            candles of the recording; None = there is no account, or nothing has closed.
        notes: what to know about it: files that are others now, processes without a recording.
    """

    recorded: Agreement
    backtest: Agreement
    profit: tuple[float, float] | None
    notes: Sequence[str] = ()


def main(session: str, *, run: str | None = None, trust: bool = False) -> bool:
    """Replay a session and print how far it agrees.

    Args:
        session: its folder, a recording in it, or a run: its newest one.
        run: the run that decided; None = the one whose folder it is in.
        trust: run the plug-in files that the run's config names.

    Returns:
        Whether the replay as recorded is identical.

    Raises:
        MtfError: no such session or run, or files that can't be read.
    """
    terminal = Terminal()
    folder = session_meant(session, trust=trust)
    found = load(run or folder.path.parent.parent, trust_plugins=trust)
    compared = compare_session(found, folder)
    for line in lines_of(compared):
        terminal.line(line)
    return compared.recorded.identical


def session_meant(name: str, *, trust: bool) -> SessionFolder:
    """The session of a path, or the newest one of a run.

    Raises:
        MtfError: there is none.
    """
    path = Path(name).absolute()
    if path.is_file() or (path / TERMS).is_file():
        return read_session(path)
    with suppress(CheckpointError):
        if found := sessions_of(load(name, trust_plugins=trust).path):
            return found[0]
    return read_session(path)  # which says what is expected


def lines_of(compared: Compared) -> Iterator[str]:
    """What came out."""
    yield from (f"note: {note}" for note in compared.notes)
    yield f"as recorded: {compared.recorded.sentence}"
    yield f"beside the backtest: {compared.backtest.sentence}"
    if compared.profit is not None:
        paper, backtest = compared.profit
        yield (
            f"paper P&L {paper:+,.2f}; a backtest of the same decisions and candles "
            f"{backtest:+,.2f}, apart by {abs(paper - backtest):.1e}"
        )


def compare_session(run: Run, folder: SessionFolder) -> Compared:
    """Replay a session, and compare it with its journal and with a backtest.

    Raises:
        MtfError: files that can't be read.
    """
    terms, config = folder.terms, run.config
    segments = segments_of(read_journal(folder.journal))
    replayed = replay_session(
        folder.recordings, lambda: model_of(run, terms.symbol), terms, segments
    )
    lines = replayed.lines
    made = {one.time_ms for one in replayed.decisions}
    live, fills = list(decisions_in(lines)), fills_in(lines)
    if replayed.unrecorded:
        live = [one for one in live if one.time_ms in made]
    model, paper = replayed.session.model, replayed.session.paper
    told = [_candles(model, part.closed, terms.symbol) for part in replayed.parts]
    every = _candles(model, _once(replayed.parts), terms.symbol)
    seen = as_decided(every, terms.decision_delay_ms)
    recorded = compare(
        config,
        live,
        replayed.decisions,
        fills,
        pd.DataFrame() if paper is None else paper.fills,
        candles=seen,
        symbol=terms.symbol,
    )
    research = _research(model, replayed.parts, told, terms.symbol)
    traded = _Traded(config, terms, every, paper)
    backtest = compare(
        config,
        live,
        _decisions(config, research),
        fills,
        traded.fills(research),
        candles=seen,
        expected_candles=on_time(every),
        symbol=terms.symbol,
        fill_tolerance=SAID_TOLERANCE,
    )
    profit = traded.profit(list(decisions_in(lines)), lines)
    return Compared(recorded, backtest, profit, list(_notes(replayed, segments)))


class _Traded:
    """A session's candles, traded by the research backtest up to where the account went."""

    def __init__(
        self, config: Config, terms: Terms, candles: Mapping[Key, Candles], paper: Paper | None
    ) -> None:
        self.config = config
        self.bars: Bars | None = None
        if paper is None or paper.settled_ms <= paper.start_ms:
            return  # nothing has closed
        delay_ms = terms.decision_delay_ms
        self.broker = session_broker(config, delay_ms)
        self.bars = session_bars(
            config,
            candles,
            paper.start_ms,
            paper.settled_ms,
            decision_delay_ms=delay_ms,
            funding=paper.rates,
            symbol=terms.symbol,
        )

    def fills(self, said: Predictions) -> pd.DataFrame:
        """What research would have filled."""
        if self.bars is None:
            return pd.DataFrame()
        until = int(np.searchsorted(said.times, self.bars.end_ms, side="right"))
        return session_backtest(self.config, said.rows(0, until), self.bars, self.broker).fills

    def profit(self, live: Sequence[Decision], lines: Segment) -> tuple[float, float] | None:
        """Of the account as journalled, and of a backtest of the decisions that were made."""
        accounts = [line for line in lines if line["kind"] == "account"]
        if self.bars is None or not accounts:
            return None
        end_ms = int(accounts[-1]["time_ms"])
        made = [one for one in live if one.time_ms <= end_ms]
        outcome = session_backtest(self.config, made, self.bars, self.broker)
        last = int(np.searchsorted(outcome.close_time, end_ms, side="right")) - 1
        capital = self.broker.capital
        return float(accounts[-1]["equity"]) - capital, float(outcome.equity[last]) - capital


def _notes(replayed: Replayed, segments: Sequence[Segment]) -> Iterator[str]:
    """What is not as it was, so that differences need not be mtf's."""
    begun = [one for one in map(begun_in, segments) if one is not None]
    if replayed.unrecorded:
        yield (
            f"{replayed.unrecorded} of {len(begun)} processes have no recording: what the "
            "journal says of them is believed"
        )
    if replayed.later:
        yield (
            f"{replayed.later} of {len(begun)} processes, the last ones, have no recording: they "
            "are left out"
        )
    for name, now in replayed.session.model.files.items():
        if any(one.files.get(name) != now for one in begun):
            yield f"the {name} of the run is another one than the session decided by"


def fills_in(lines: Segment) -> pd.DataFrame:
    """The fills of a journal, as ``Outcome.fills``."""
    rows = [{**line} for line in lines if line["kind"] == "fill"]
    if not rows:
        return pd.DataFrame()
    table = pd.DataFrame(rows).drop(columns="kind")
    times = pd.to_datetime(table.pop("time_ms").to_numpy(np.int64), unit="ms", utc=True)
    return table.assign(time=times)


def _candles(model: Model, closed: Sequence[Closed], symbol: str) -> dict[Key, Candles]:
    """What was told, of every key that the run needs."""
    keys = history_needed(model.config, model.engine.model, 0, symbol)
    return candles_of(closed, keys)


def _once(parts: Sequence[Part]) -> list[Closed]:
    """All candles that were told, each as it came first: every process asks for its history."""
    seen: dict[Key, set[int]] = {}
    found = []
    for event in (event for part in parts for event in part.closed):
        known = seen.setdefault(event.key, set())
        new = np.array([open_ms not in known for open_ms in event.open_ms.tolist()], np.bool_)
        known.update(event.open_ms.tolist())
        if new.any():
            found.append(replace(event, open_ms=event.open_ms[new], ohlcv=event.ohlcv[new]))
    return found


def _research(
    model: Model, parts: Sequence[Part], told: Sequence[Mapping[Key, Candles]], symbol: str
) -> Predictions:
    """What research says at every close of the session, of each process from its own history."""
    pieces, after_ms = list[Predictions](), None
    for part, candles in zip(parts, told, strict=True):
        times = _times(model, part, after_ms)
        if len(times):
            after_ms = int(times[-1])
            asked = model.config, model.engine.model, on_time(candles), times, symbol
            pieces.append(batch_predictions(*asked))
    if not pieces:
        return Predictions(np.empty(0, np.int64), symbol, "live", {})
    times = np.concatenate([piece.times for piece in pieces])
    names = pieces[0].arrays
    arrays = {name: np.concatenate([piece.arrays[name] for piece in pieces]) for name in names}
    return Predictions(times, symbol, pieces[0].part, arrays)


def _times(model: Model, part: Part, after_ms: int | None) -> np.ndarray:
    """Every close up to the last decision of a process, from where the one before ended."""
    times = [*(one.time_ms for one in part.decisions), *part.missed]
    if not times:
        return np.empty(0, np.int64)
    step = model.config.decisions.clock.duration_ms
    first_ms = min(times) if after_ms is None else after_ms + step
    return np.arange(first_ms, max(times) + step, step, dtype=np.int64)


def _decisions(config: Config, said: Predictions) -> list[Decision]:
    """What research decides; without a policy it only says something."""
    if config.backtest is not None:
        return decisions_of(config, said)
    nothing = (np.nan,) * 5
    rows = said.frame()[list(said.arrays)].to_dict("records")
    return [
        Decision(time_ms, {str(name): float(value) for name, value in row.items()}, *nothing)
        for time_ms, row in zip(said.times.tolist(), rows, strict=True)
    ]
