"""The files that a backtest leaves for the report: written whole, read back into plain values.

``backtest.json`` has the verdict and the figures, ``equity.parquet`` the curves (time, symbol,
strategy, equity), ``trades.parquet`` the round trips of the strategy (those of ``Outcome.trades``
and symbol), ``bars.parquet`` the candles that it traded (time, symbol, open, high, low, close).
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64

from mtf.errors import DataError
from mtf.learning.disk import replace_synced
from mtf.learning.json_files import read_json, write_json
from mtf.report.figures import Interval
from mtf.report.money import Against, CostByDelay, Coverage, Curve, Money

SCHEMA = 1
FACTS, EQUITY, TRADES, BARS = "backtest.json", "equity.parquet", "trades.parquet", "bars.parquet"
OHLC = ("open", "high", "low", "close")
NAN = float("nan")
LEVELS = ("share", "net_return", "low", "high")


def keep_money(folder: Path, traded: Sequence[Money], verdict: str) -> None:
    """Write the four files; each afterwards is there in full, or as it was.

    Args:
        folder: of the run.
        traded: a value a symbol.
        verdict: the report's first sentence: whether anything is left after costs.

    Raises:
        OSError: the disk refuses.
    """
    _write_parquet(
        folder / EQUITY, [_curve_rows(one, name) for one in traded for name in one.curves]
    )
    _write_parquet(folder / TRADES, [one.trades.assign(symbol=one.symbol) for one in traded])
    _write_parquet(folder / BARS, [_bar_rows(one) for one in traded])
    symbols = {one.symbol: _facts(one) for one in traded}
    write_json(folder / FACTS, {"schema": SCHEMA, "verdict": verdict, "symbols": symbols})


def _curve_rows(money: Money, name: str) -> pd.DataFrame:
    curve = money.curves[name]
    columns = {"time": _utc(curve.time), "symbol": money.symbol, "strategy": name}
    return pd.DataFrame({**columns, "equity": curve.equity})


def _bar_rows(money: Money) -> pd.DataFrame:
    columns = dict(zip(OHLC, money.ohlc.T, strict=True))
    return pd.DataFrame({"time": _utc(money.time), "symbol": money.symbol, **columns})


def _utc(time: Int64[np.ndarray, " bar"]) -> pd.DatetimeIndex:
    return pd.to_datetime(time, unit="ms", utc=True).as_unit("ms")


def _write_parquet(path: Path, frames: Sequence[pd.DataFrame]) -> None:
    full = [frame for frame in frames if len(frame)] or list(frames[:1])
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(pd.concat(full, ignore_index=True)), buffer)
    replace_synced(path, buffer.getvalue())


def _facts(money: Money) -> dict[str, Any]:
    """What of it stands in backtest.json."""
    grid, coverage = money.cost_by_delay, money.coverage
    facts = {
        "part": money.part,
        "capital": money.capital,
        "metrics": {
            of: {name: asdict(one) for name, one in found.items()}
            for of, found in money.metrics.items()
        },
        "against": {name: asdict(one) for name, one in money.against.items()},
        "cost_by_delay": None if grid is None else asdict(grid),
        "coverage": None if coverage is None else asdict(coverage),
        "settings": dict(money.settings),
    }
    told: dict[str, Any] = _told(facts)
    return told


def _told(value: Any) -> Any:
    """As JSON has it: lists for arrays, null for what is undefined."""
    if isinstance(value, Mapping):
        return {str(key): _told(one) for key, one in value.items()}
    if isinstance(value, np.ndarray):
        return _told(value.tolist())
    if isinstance(value, list | tuple):
        return [_told(one) for one in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def read_money(folder: Path) -> tuple[str, tuple[Money, ...]]:
    """The verdict, and what was traded, as ``keep_money`` left it; nothing where it left nothing.

    Raises:
        CheckpointError: backtest.json is damaged.
        DataError: one of the tables is missing or damaged.
    """
    if not (folder / FACTS).exists():
        return "", ()
    facts = read_json(folder / FACTS)
    frames = [_read_parquet(folder / name) for name in (EQUITY, TRADES, BARS)]
    try:
        symbols = facts["symbols"].items()
        return str(facts["verdict"]), tuple(_money(name, of, *frames) for name, of in symbols)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{folder / FACTS} and its tables don't fit each other: {error!r}",
            "the files of one backtest",
            "backtest the run again",
        ) from error


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        frame: pd.DataFrame = pq.read_table(path).to_pandas()
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(
            f"{path} can't be read: {error}", "what a backtest left", "backtest the run again"
        ) from error
    return frame


def _money(symbol: str, facts: Mapping[str, Any], *frames: pd.DataFrame) -> Money:
    equity, trades, bars = (frame[frame["symbol"] == symbol] for frame in frames)
    grid, coverage = facts["cost_by_delay"], facts["coverage"]
    return Money(
        symbol,
        str(facts["part"]),
        float(facts["capital"]),
        {
            str(name): Curve(_ms(rows), rows["equity"].to_numpy(np.float64))
            for name, rows in equity.groupby("strategy", sort=False)
        },
        {
            of: {name: Interval(**_known(one)) for name, one in found.items()}
            for of, found in facts["metrics"].items()
        },
        trades.drop(columns="symbol").reset_index(drop=True),
        _ms(bars),
        bars[list(OHLC)].to_numpy(np.float64),
        {name: Against(**_known(one)) for name, one in facts["against"].items()},
        None if grid is None else CostByDelay(**_arrays(grid, "net_return")),
        None if coverage is None else Coverage(**_arrays(coverage, *LEVELS)),
        facts["settings"],
    )


def _ms(frame: pd.DataFrame) -> Int64[np.ndarray, " row"]:
    times: Int64[np.ndarray, " row"] = frame["time"].dt.as_unit("ms").astype("int64").to_numpy()
    return times


def _known(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: NAN if value is None else value for key, value in found.items()}


def _arrays(found: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """With the named lists as arrays; null is NaN."""
    return {**found, **{name: np.array(found[name], dtype=np.float64) for name in names}}


__all__ = ["FACTS", "keep_money", "read_money"]
