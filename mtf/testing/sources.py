"""The contract of a data source, tried out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mtf.market.candles import CLOSE, HIGH, LOW, OPEN, VOLUME, Candles
from mtf.plugins.contracts import DataSource, Request
from mtf.testing.probe import defect


def check_data_source(factory: Callable[[], DataSource], requests: Sequence[Request]) -> None:
    """Try whether a data source keeps its contract on requests that it can answer.

    Args:
        factory: the class, or anything that builds one without arguments.
        requests: at least one; together they should name each kind of candles the source has.

    Raises:
        ContractError: answers that are missing or out of order; candles beyond the request; not
            deterministic; values that are no candles; candles known before their close.
    """
    source = factory()
    if not isinstance(source, DataSource):
        raise defect(source, "is no DataSource", "a subclass of mtf.plugins.contracts.DataSource")
    answers = source.load(requests)
    _check_order(source, requests, answers)
    for request, candles in zip(requests, answers, strict=True):
        _check_range(source, request, candles)
        _check_values(source, candles)
    for other in (source, factory()):
        again = other.load(requests)
        _check_order(source, requests, again)
        if [c.fingerprint() for c in answers] != [c.fingerprint() for c in again]:
            raise defect(
                source,
                "not deterministic: asked twice, it answers differently",
                "the same candles for the same request",
                "fix the seed, or read what was stored",
            )


def _check_order(
    source: DataSource, requests: Sequence[Request], answers: Sequence[Candles]
) -> None:
    wanted = [(request.symbol, request.timeframe.name) for request in requests]
    found = [(candles.symbol, candles.timeframe.name) for candles in answers]
    if found != wanted:
        raise defect(
            source, f"not sorted: answers {found}", f"one answer a request, in order: {wanted}"
        )


def _check_range(source: DataSource, request: Request, candles: Candles) -> None:
    opens = candles.open_time()[candles.valid]
    if len(opens) and (opens[0] < request.start_ms or opens[-1] >= request.end_ms):
        raise defect(
            source,
            f"candles from {opens[0]} to {opens[-1]} were not asked for",
            f"open times in [{request.start_ms}, {request.end_ms})",
        )


def _check_values(source: DataSource, candles: Candles) -> None:
    rows, absent = candles.ohlcv[candles.valid], candles.ohlcv[~candles.valid]
    prices = rows[:, :VOLUME]
    sound = np.isfinite(rows).all() and (prices > 0).all() and (rows[:, VOLUME] >= 0).all()
    inside = [prices[:, OPEN], prices[:, CLOSE]]
    sound = sound and (prices[:, HIGH] >= np.maximum(*inside)).all()
    sound = sound and (prices[:, LOW] <= np.minimum(*inside)).all()
    if not sound or not np.isnan(absent).all():
        raise defect(
            source,
            f"{candles.symbol} {candles.timeframe} holds rows that are no candles",
            "low <= open, close <= high, prices above 0, volume at least 0; NaN where absent",
            "build them with Candles.from_rows, which checks them",
        )
    if candles.available_at is not None:
        close_time = candles.open_time() + candles.timeframe.duration_ms
        if (candles.available_at < close_time)[candles.valid].any():
            raise defect(
                source, "a candle is known before its close", "available_at at or after the close"
            )


__all__ = ["check_data_source"]
