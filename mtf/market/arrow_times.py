"""Columns of time as Arrow holds them (numbers, timestamps, dates, ISO texts), read into ms UTC."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from mtf.errors import DataError
from mtf.market.times import PER_SECOND, Locate, no_time, numbers_to_ms

ZONE = re.compile(r":\d\d(\.\d*)?\s*(Z|UTC|[+-]\d{2}:?\d{2})$", re.IGNORECASE)


def is_time(kind: pa.DataType) -> bool:
    """Whether a column of that type can hold open times."""
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return number or pa.types.is_timestamp(kind) or pa.types.is_date(kind) or is_text(kind)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def to_ms(values: pa.Array, unit: str, locate: Locate, column: str) -> Int64[np.ndarray, " row"]:
    """Read a column of times.

    Args:
        values: one column.
        unit: of plain numbers; ``auto`` tells it by their size.
        locate: where a row stands, for messages.
        column: its name, for messages.

    Raises:
        DataError: a row without a time, or a text that is no ISO time.
    """
    if values.null_count:
        missing = values.is_null().to_numpy(zero_copy_only=False)
        raise no_time(locate(int(np.flatnonzero(missing)[0])), column)
    if is_text(values.type):
        values = _texts_to_stamps(values, locate, column)
    if pa.types.is_date(values.type):
        values = values.cast(pa.timestamp("ms"))
    if pa.types.is_timestamp(values.type):
        return numbers_to_ms(_whole(values), values.type.unit, locate, column)
    return numbers_to_ms(values.to_numpy(zero_copy_only=False), unit, locate, column)


def _whole(values: pa.Array) -> np.ndarray:
    """Timestamps as the integers they are; naive ones are UTC."""
    whole: np.ndarray = values.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return whole


def _texts_to_stamps(values: pa.Array, locate: Locate, column: str) -> pa.Array:
    """ISO texts; those without a zone are UTC."""
    try:
        return _cast(values)
    except pa.ArrowInvalid:
        texts = values.to_pylist()
        zone = _has_zone(texts[0])
        bad = (row for row, text in enumerate(texts) if not is_iso(text) or _has_zone(text) != zone)
        row = next(bad, 0)
        raise _no_iso(locate(row), column, texts[row], zone) from None


def is_iso(text: str) -> bool:
    """Whether a text is a date or a date and time in ISO form."""
    try:
        _cast(pa.array([text]))
    except pa.ArrowInvalid:
        return False
    return True


def _has_zone(text: str) -> bool:
    """Whether a time says its zone."""
    return ZONE.search(text) is not None


def _cast(values: pa.Array) -> pa.Array:
    """Texts to timestamps; fails where one has a zone and another none."""
    zone = len(values) > 0 and _has_zone(values[0].as_py())
    return values.cast(pa.timestamp("us", tz="UTC") if zone else pa.timestamp("us"))


def _no_iso(place: str, column: str, text: str, zone: bool) -> DataError:
    """A text that is no time."""
    example = "2022-01-01 00:00:00+00:00" if zone else "2022-01-01 00:00:00 (UTC)"
    return DataError(
        f"{place}: column {column!r}: found {text!r}",
        f"an ISO time such as {example}, all rows alike; or a number of {', '.join(PER_SECOND)}",
        "convert the column, or name another one: `columns:`",
    )
