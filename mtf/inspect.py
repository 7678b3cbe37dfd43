"""``mtf inspect FILE [--against FILE]``: the data report of one file of any column names.

Reads csv and parquet, candles and trades. Bad rows are counted, not refused; nothing is written
but the JSON that is asked for.
"""

from __future__ import annotations

import json as jsonlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from mtf.errors import DataError
from mtf.market.candle_files import check_path, symbol_of, timeframe_of
from mtf.market.candles import Candles
from mtf.market.columns import CLOSE_TIME, find_column, looks_like_candles
from mtf.market.csv_file import CsvFile
from mtf.market.finding import Finding, counted
from mtf.market.parquet_file import ParquetFile
from mtf.market.report import DataReport
from mtf.market.second_source import compare
from mtf.market.timeframe import Timeframe
from mtf.market.times import duration_name, iso, numbers_to_ms, spacing
from mtf.market.trades import Trades, trade_columns


@dataclass(frozen=True)
class Inspected:
    """The candles of a file, and what was noticed while they were read."""

    candles: Candles
    remarks: tuple[Finding, ...]


def main(
    file: str | Path,
    against: str | Path | None = None,
    json: str | Path | None = None,
    timeframe: str | None = None,
) -> DataReport:
    """Print the data report of a file of candles or trades.

    Args:
        file: csv or parquet.
        against: a second source to compare with.
        json: where to save the report, too.
        timeframe: of the candles; None = by their distance.

    Raises:
        DataError: no such file, neither candles nor trades, not readable.
    """
    report = inspect_file(file, against, timeframe)
    _print(report)
    if json is not None:
        _save(Path(json), report)
    return report


def inspect_file(
    file: str | Path, against: str | Path | None = None, timeframe: str | None = None
) -> DataReport:
    """Make the report of a file; see ``main``."""
    inspected = read(Path(file), timeframe)
    report = inspected.candles.report.with_remarks(*inspected.remarks)
    if against is None:
        return report
    other = read(Path(against))
    return report.with_agreement(compare(inspected.candles, other.candles, Path(against).name))


def read(path: Path, timeframe: str | None = None) -> Inspected:
    """Candles of a csv or parquet file with candles or trades.

    Raises:
        DataError: no such file, neither candles nor trades, not readable.
    """
    check_path(path, "FILE")
    if path.is_dir():
        raise DataError(f"{path} is a folder", "one csv or parquet file", "name one of its files")
    if _is_parquet(path):
        with ParquetFile(path) as parquet:
            return _read(path, parquet, timeframe)
    return _read(path, CsvFile(path), timeframe)


def _is_parquet(path: Path) -> bool:
    """By name or by its first bytes."""
    with path.open("rb") as file:
        return path.suffix.lower() in (".parquet", ".pq") or file.read(4) == b"PAR1"


def _read(path: Path, file: ParquetFile | CsvFile, timeframe: str | None) -> Inspected:
    """Trades become candles; candles are taken as they are."""
    columns = trade_columns(file.names)
    if columns is not None and not looks_like_candles(file.names):
        return _from_trades(path, file, columns, timeframe)
    open_time, ohlcv = file.candles(time_unit="auto")[:2]
    frame = _timeframe(path, open_time, timeframe)
    candles = _candles(path, frame, open_time, ohlcv)
    remarks = [*_name_remarks(path, frame), *_unclosed(file, open_time, frame)]
    return Inspected(candles, tuple(remarks))


def _candles(
    path: Path,
    timeframe: Timeframe,
    open_time: Int64[np.ndarray, " row"],
    ohlcv: Float64[np.ndarray, "row 5"],
) -> Candles:
    """Candles with bad rows masked; the report counts them."""
    symbol = symbol_of(path) or path.stem
    return Candles.from_rows(symbol, timeframe, open_time, ohlcv, bad_rows="mask", origin=str(path))


def _from_trades(
    path: Path, file: ParquetFile | CsvFile, columns: dict[str, str], timeframe: str | None
) -> Inspected:
    """Trades, sorted by time, as candles."""
    read = file.read(list(columns.values()))
    time = numbers_to_ms(read[columns["time"]], "auto", _row, columns["time"])
    order = np.argsort(time, kind="stable")
    price = read[columns["price"]].astype(np.float64)[order]
    size = read[columns["size"]].astype(np.float64)[order]
    good = np.isfinite(price) & (price > 0) & (size >= 0)
    if not good.any():
        raise DataError(f"{path}: no trade with a price above 0", "trades", "load the file again")
    trades = Trades(time[order][good], price[good], size[good])
    frame = Timeframe.parse(timeframe) if timeframe else trades.timeframe()
    remarks = trades.findings()
    if not good.all():
        text = f"{counted(int(np.count_nonzero(~good)), 'trade')} without a price above 0 or a size"
        remarks.append(Finding("bad_trades", text, "they were left out"))
    return Inspected(_candles(path, frame, *trades.rows(frame)), tuple(remarks))


def _row(row: int) -> str:
    """Where a row stands."""
    return f"row {row + 1}"


def _timeframe(path: Path, open_time: Int64[np.ndarray, " row"], said: str | None) -> Timeframe:
    """As said; else by the distance of the rows; of a single row by the file's name."""
    if said is not None:
        return Timeframe.parse(said)
    step = spacing(open_time)
    if step:
        return Timeframe.parse(duration_name(step)) if step >= 1_000 else _too_close(path, step)
    named = timeframe_of(path)
    if named is None:
        raise DataError(
            f"{path}: {len(open_time)} rows, from which no timeframe can be told",
            "two candles, or a name such as ETHUSDT_1m.csv",
            "name the file so that it says it: <symbol>_<timeframe>.csv",
        )
    return named


def _too_close(path: Path, step: int) -> Timeframe:
    """Less than a second is no candle."""
    raise DataError(
        f"{path}: rows are {step} ms apart",
        "candles of 1s or longer",
        "trades need columns of time, price and size",
    )


def _name_remarks(path: Path, timeframe: Timeframe) -> list[Finding]:
    """A name that promises another timeframe."""
    named = timeframe_of(path)
    if named is None or named.duration_ms == timeframe.duration_ms:
        return []
    text = f"the name says {named}, the rows are {timeframe} apart"
    return [Finding("name", text, "rename the file if the rows are right")]


def _unclosed(
    file: ParquetFile | CsvFile, open_time: Int64[np.ndarray, " row"], timeframe: Timeframe
) -> list[Finding]:
    """Where the file tells close times: candles that close before their time was over."""
    name = find_column(file.names, CLOSE_TIME)
    if name is None:
        return []
    closes = numbers_to_ms(file.read([name])[name], "auto", _row, name)
    # Exchanges write the last millisecond (…59.999) or the next open; a second of both is allowed.
    early = np.flatnonzero(closes < open_time + timeframe.duration_ms - 1_000)
    if len(early) == 0:
        return []
    at = int(early[0])
    text = (
        "looks like candles stored before they closed: "
        f"{counted(len(early), 'candle')} with a close time before the {timeframe} was over "
        f"(first: the candle of {iso(int(open_time[at]))} closes {iso(int(closes[at]))})"
    )
    return [Finding("unclosed", text, "load these candles again, or leave them out", broken=True)]


def _print(report: DataReport) -> None:
    """The report on the terminal."""
    from rich.console import Console

    console = Console(highlight=False)
    if console.is_terminal and report.notes():
        print(*report.head_lines(), sep="\n")
        console.print(report.table())
    else:
        print(*report.lines(), sep="\n")


def _save(path: Path, report: DataReport) -> None:
    """The report as JSON, whole or not at all."""
    text = jsonlib.dumps(report.as_dict(), indent=2, allow_nan=False)
    try:
        part = path.with_name(path.name + ".part")
        part.write_text(text + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise DataError(
            f"can't write {path}: {error.strerror}",
            "a place to write",
            "choose another place for the JSON",
        ) from None


if __name__ == "__main__":
    import sys

    from mtf.cli import main as cli

    cli(["inspect", *sys.argv[1:]])
