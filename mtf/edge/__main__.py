"""``python -m mtf_runner 1m=eth_1m.csv btc=btc_1m.csv``: candles from CSV in, decisions out.

Decides at every close of the clock, of what was known by then; columns and times are those of
``read_candles`` and ``write_csv``. How many decisions there were goes to the standard error.
"""

from __future__ import annotations

import argparse
import heapq
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from mtf.edge.errors import RunnerError
from mtf.edge.history import SAVE_EVERY
from mtf.edge.runner import Decision, Runner
from mtf.edge.table import Row, read_candles, read_time, write_csv, write_json_lines

HERE = Path(__file__).resolve().parent.parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status: 2 after a user's mistake."""
    given = _parser().parse_args(arguments)
    try:
        runner = Runner(given.folder, given.symbol)
        candles = _candles(runner, given.candles)
        decisions = replay(runner, candles, given.first, given.last)
        write = write_json_lines if given.json else write_csv
        out = given.out.open("w", newline="", encoding="utf-8") if given.out else sys.stdout
        with out if given.out else nullcontext(out) as file:
            count = write(decisions, file.write)
    except (RunnerError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    rescans = sum(history.rescans for history in runner.streams.histories.values())
    print(f"{count} decisions; {rescans} times a candle came late", file=sys.stderr)
    return 0


def replay(
    runner: Runner,
    candles: Mapping[str, Sequence[Row]],
    first: int | None = None,
    last: int | None = None,
) -> Iterator[Decision]:
    """Decisions at every close of the clock, each of what was known by then.

    Args:
        runner: before its first candle.
        candles: of delivered streams, in the order of their times.
        first: the first decision (ms); None = the first close at which all streams are there.
        last: the last decision (ms); None = the close of the last candle.
    """
    for count, t in enumerate(_moments(runner, candles, last)):
        if first is None and all(one.present for one in runner.streams.advance(t).values()):
            first = t
        if first is not None and t >= first:
            yield runner.decide(t)
        elif count % SAVE_EVERY == 0:
            runner.streams.advance(t)  # lets go of candles that no decision will read


def _moments(
    runner: Runner, candles: Mapping[str, Sequence[Row]], last: int | None
) -> Iterator[int]:
    """The closes of the clock, each once all candles that had closed by then have come in."""
    frames = {name: history.spec.frame for name, history in runner.streams.histories.items()}
    closes = [
        [(frames[name].close_time(frames[name].slot(int(row[0][0]))), name, row) for row in rows]
        for name, rows in candles.items()
    ]
    end = max((rows[-1][0] for rows in closes if rows), default=0) if last is None else last
    t: int | None = None
    for close, name, (candle, available_at) in heapq.merge(*closes, key=lambda one: one[0]):
        t = runner.clock.open_time(runner.clock.slot(close)) if t is None else t
        while t < min(close, end + 1):
            yield t
            t += runner.clock.duration_ms
        runner.update(name, candle, available_at)
    while t is not None and t <= end:
        yield t
        t += runner.clock.duration_ms


def _candles(runner: Runner, given: Sequence[str]) -> dict[str, list[Row]]:
    """The candles of every file that is named.

    Raises:
        RunnerError: no such stream or file.
    """
    found = {}
    for one in given:
        name, _, path = one.partition("=")
        if name not in runner.streams.delivered or not path:
            expected = " ".join(f"{stream}=FILE.csv" for stream in runner.streams.delivered)
            raise RunnerError(f"found {one!r}", expected)
        found[name] = read_candles(Path(path))
    return found


def _time(text: str) -> int:
    try:
        return read_time(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: a time such as 2024-01-31T12:00") from error


def _parser() -> argparse.ArgumentParser:
    about = "Candles from CSV files in, decisions out. Times are UTC: ISO 8601 or milliseconds."
    parser = argparse.ArgumentParser(prog="python -m mtf_runner", description=about)
    parser.add_argument(
        "candles", nargs="+", metavar="STREAM=FILE.csv", help="candles of a delivered stream"
    )
    parser.add_argument("--folder", type=Path, default=HERE, help="the export; default: this one")
    parser.add_argument("--symbol", help="the primary symbol; default: the first of the run")
    parser.add_argument("--from", dest="first", type=_time, help="first decision; default: as soon "
                        "as all streams are there")  # fmt: skip
    parser.add_argument("--to", dest="last", type=_time, help="last decision")
    parser.add_argument("--out", type=Path, help="file to write; default: the standard output")
    parser.add_argument("--json", action="store_true", help="a JSON object a line, not CSV")
    return parser


if __name__ == "__main__":
    sys.exit(main())
