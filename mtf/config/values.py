"""Kinds of values in a config that YAML does not know: timeframes and points in time."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from mtf.config.plugin_spec import mistake
from mtf.errors import ConfigError
from mtf.market.timeframe import Timeframe


def _timeframe(value: Any) -> Timeframe:
    if isinstance(value, Timeframe):
        return value
    try:
        return Timeframe.parse(str(value))
    except ConfigError as error:
        raise mistake(error) from None


def _utc_text(value: Any) -> str:
    """Normalise an ISO date or time to UTC without an offset, such as 2024-01-31T12:00:00."""
    try:
        time = datetime.fromisoformat(value if isinstance(value, str) else str(value))
        time = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:  # the latter: in UTC before year 1 or after 9999
        raise mistake(
            ConfigError(
                f"found {value!r}",
                'an ISO date or time, UTC where no offset is given, such as "2024-01-31"',
                str(error),
            )
        ) from None
    text = time.replace(tzinfo=None).isoformat()
    return text.removesuffix("T00:00:00")


def to_ms(text: str) -> int:
    """Milliseconds since the epoch of a normalised time."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def _length(value: Any) -> float | str:
    """A share of a whole, or a duration such as 30d."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _share(float(value))
    try:
        return str(Timeframe.parse(value if isinstance(value, str) else ""))
    except ConfigError:
        wanted = "a number between 0 and 1, or a duration such as 30d"
        raise mistake(ConfigError(f"found {value!r}", wanted)) from None


def _share(value: float) -> float:
    """A number above 0 and below 1."""
    if not math.isfinite(value):
        raise mistake(ConfigError(f"found {value!r}", "a finite number"))
    if not 0 < value < 1:
        wanted = "a number greater than 0 and less than 1, or a duration such as 30d"
        raise mistake(ConfigError(f"found {value:g}", wanted))
    return value


TimeframeKey = Annotated[
    Timeframe,
    PlainValidator(_timeframe),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]{0,3}[smhdw]$"}),
]
"""A timeframe, written ``1m`` in files."""

TimeKey = Annotated[str, PlainValidator(_utc_text), WithJsonSchema({"type": "string"})]
"""A point in time as ISO text, UTC."""

LengthKey = Annotated[
    float | str,
    PlainValidator(_length),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
                {"type": "string", "pattern": "^[1-9][0-9]{0,3}[smhdw]$"},
            ]
        }
    ),
]
"""A length of time: a share of a whole, or a duration, written ``30d`` in files."""
