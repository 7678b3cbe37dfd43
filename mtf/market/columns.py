"""Which column of a file is which: names as exchanges, libraries and people write them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

from mtf.errors import DataError

ROLES = ("open_time", "open", "high", "low", "close", "volume")
"""What a candle file must have, in the order of a file without a header."""

ALIASES = {
    "open_time": (
        "open_time", "opentime", "open_time_ms", "time_open", "start_time", "starttime", "start",
        "timestamp", "timestamp_ms", "ts", "unix", "unix_seconds", "unix_time", "time_ms",
        "datetime", "date_time", "time", "date", "t",
    ),
    "open": ("open", "o", "open_price", "price_open"),
    "high": ("high", "h", "high_price", "price_high"),
    "low": ("low", "l", "low_price", "price_low"),
    "close": ("close", "c", "close_price", "price_close"),
    "volume": ("volume", "v", "vol", "base_volume", "volume_base", "volume_traded"),
}  # fmt: skip
"""Names of each role after ``normalise``, the likeliest first."""

CLOSE_TIME = ("close_time", "closetime", "close_time_ms", "time_close", "end_time", "endtime")


def normalise(name: str) -> str:
    """Lower case, words joined by one underscore: ``Open Time`` and ``openTime`` are the same."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")


def find_column(names: Sequence[str], aliases: Sequence[str]) -> str | None:
    """The column of the first alias that is there."""
    normal: dict[str, str] = {}
    for name in names:
        normal.setdefault(normalise(name), name)
    return next((normal[alias] for alias in aliases if alias in normal), None)


def find_columns(
    names: Sequence[str], wanted: Mapping[str, str] | None, origin: str
) -> dict[str, str]:
    """The column of every role.

    Args:
        names: columns of the file.
        wanted: role to column, as the user says; roles left out are found by their usual names.
        origin: the file, for messages.

    Raises:
        DataError: a role that does not exist, a column that is not there, a role without column.
    """
    wanted = dict(wanted or {})
    for role, name in wanted.items():
        _check_wanted(role, name, names, origin)
    found = {role: wanted.get(role) or find_column(names, ALIASES[role]) for role in ROLES}
    missing = [role for role, name in found.items() if name is None]
    if missing:
        raise _missing(missing, names, origin)
    return {role: name for role, name in found.items() if name is not None}


def looks_like_candles(names: Sequence[str]) -> bool:
    """Whether all prices of a candle are there by name."""
    return all(find_column(names, ALIASES[role]) for role in ("open", "high", "low", "close"))


def _check_wanted(role: str, name: str, names: Sequence[str], origin: str) -> None:
    """What the user says must be a role and a column that is there."""
    if role not in ROLES:
        raise DataError(
            f"columns: unknown key {role!r}{nearest(role, ROLES)}",
            f"of {', '.join(ROLES)}",
            "write `columns: {volume: the file's name of the volume, ...}`",
        )
    if name not in names:
        raise DataError(
            f"{origin}: no column {name!r} for {role}; columns: {_told(names)}",
            f"a column of the file{nearest(name, names)}",
            f"set `columns: {{{role}: ...}}` to one of them",
        )


def _missing(missing: Sequence[str], names: Sequence[str], origin: str) -> DataError:
    """Which roles have no column, what is there, how to say it."""
    hints = ", ".join(f"{role}{nearest(role, names)}" for role in missing)
    return DataError(
        f"{origin}: no column for {hints}; columns: {_told(names)}",
        f"columns for {', '.join(ROLES)} (usual names are understood)",
        f"say which it is: `columns: {{{missing[0]}: <name in the file>}}`",
    )


def _told(names: Sequence[str], limit: int = 20) -> str:
    """The names, not more than a screen can take."""
    more = f", … ({len(names)} in all)" if len(names) > limit else ""
    return ", ".join(repr(name) for name in names[:limit]) + more


def nearest(name: str, names: Sequence[str]) -> str:
    """`` (nearest: ...)`` or nothing."""
    lower = {other.lower(): other for other in names}
    close = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    return f" (nearest: {lower[close[0]]!r})" if close else ""
